//! What the targets share: numbers worth trying, and a bound on what an input may take.

use std::alloc::System;

use arbitrary::{Arbitrary, Result, Unstructured};
use cap::Cap;

/// Bytes that may be in use at a time. No input here is long enough to pay for more.
const MOST_BYTES: usize = 64 << 20;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, MOST_BYTES);

/// Any `f64`, more often one that means something.
#[derive(Debug, Clone, Copy)]
pub struct Number(pub f64);

const EDGES: [f64; 24] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-4,
    0.02,
    0.999,
    80.0,
    1000.0,
    1e18,
    1e-150,
    1e150,
    1e-300,
    1e300,
    690.0,
    -690.0,
    5e-324,
    f64::MIN_POSITIVE,
    f64::MAX,
    f64::EPSILON,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

impl<'a> Arbitrary<'a> for Number {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self(match u.int_in_range(0..=3)? {
            0 => f64::arbitrary(u)?,
            1 => *u.choose(&EDGES)?,
            2 => f64::from(i16::arbitrary(u)?) / 64.0,
            _ => f64::from(u16::arbitrary(u)?) / 65535.0,
        }))
    }
}

/// A number of steps or of anything else: a few, or more than any memory holds.
///
/// Not what lies between: the time and the memory of a table grow with its length by the caller's own
/// wish, up to the limit.
#[derive(Debug, Clone, Copy)]
pub struct Count(pub usize);

const SIZES: [usize; 9] = [
    0,
    1,
    2,
    (1 << 24) + 1,
    1 << 32,
    1_000_000_000_000,
    1_000_000_000_000_000_000,
    usize::MAX / 2,
    usize::MAX,
];

impl<'a> Arbitrary<'a> for Count {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self(match u.int_in_range(0..=3)? {
            0 => *u.choose(&SIZES)?,
            _ => u.int_in_range(0..=100)?,
        }))
    }
}

/// Whether a number is none of those that ask for a long table and may have one.
pub fn is_cheap(value: f64) -> bool {
    !(4096.0 < value.abs() && value.abs() <= 16_777_216.0)
}
