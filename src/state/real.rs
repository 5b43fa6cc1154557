//! The element types of arrays.

use std::{fmt::Debug, ops};

use super::kernel;
use crate::box_muller;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    #[cfg(feature = "half")]
    impl Sealed for half::f16 {}
    #[cfg(feature = "half")]
    impl Sealed for half::bf16 {}
}

/// The element types of arrays: `f32` and `f64`, and with the feature `half` its `f16` and `bf16`.
///
/// Half precision is for keeping: sums are taken in `f32` and rounded once.
pub trait Real:
    Copy
    + Debug
    + PartialOrd
    + Send
    + Sync
    + ops::Add<Output = Self>
    + ops::Mul<Output = Self>
    + sealed::Sealed
    + 'static
{
    /// What sums are taken in: `f64` for `f64`, `f32` for all others.
    type Wide: Wide;

    /// The nearest value of this type.
    fn of(value: f64) -> Self;

    /// The same value as an f64.
    fn get(self) -> f64;

    /// The same value in the type of sums.
    fn widen(self) -> Self::Wide;

    /// The nearest value of this type.
    fn narrow(value: Self::Wide) -> Self;

    /// Whether no value is a NaN or infinite.
    #[doc(hidden)]
    fn all_finite(values: &[Self]) -> bool;

    /// `y <- own * y + sum of c * t`, and noise if there is any; `own = 0` overwrites.
    #[doc(hidden)]
    fn combine(
        y: &mut [Self],
        own: f64,
        terms: &[(f64, &[Self])],
        noise: Option<(f64, &[Self::Wide])>,
    );
}

/// What sums of [`Real`]s are taken in: `f32` or `f64`.
pub trait Wide: Real<Wide = Self> {
    /// Whether a number takes two words for its precision.
    #[doc(hidden)]
    const IS_DOUBLE: bool;

    /// Two standard normals from words for a radius and for an angle, the high words first.
    #[doc(hidden)]
    fn normal_pair(radius: [u32; 2], angle: [u32; 2]) -> (Self, Self);
}

macro_rules! wide {
    ($real:ident, $exponent:literal) => {
        impl Real for $real {
            type Wide = Self;

            #[inline(always)]
            fn of(value: f64) -> Self {
                value as Self
            }

            #[inline(always)]
            fn get(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn widen(self) -> Self {
                self
            }

            #[inline(always)]
            fn narrow(value: Self) -> Self {
                value
            }

            fn all_finite(values: &[Self]) -> bool {
                kernel::all_finite(values, |value| value.to_bits() & $exponent != $exponent)
            }

            fn combine(
                y: &mut [Self],
                own: f64,
                terms: &[(f64, &[Self])],
                noise: Option<(f64, &[Self])>,
            ) {
                kernel::combine(y, own, terms, noise);
            }
        }
    };
}

wide!(f32, 0x7f80_0000);
wide!(f64, 0x7ff0_0000_0000_0000);

impl Wide for f32 {
    const IS_DOUBLE: bool = false;

    #[inline(always)]
    fn normal_pair(radius: [u32; 2], angle: [u32; 2]) -> (Self, Self) {
        box_muller::pair_f32(radius[0], angle[0])
    }
}

impl Wide for f64 {
    const IS_DOUBLE: bool = true;

    #[inline(always)]
    fn normal_pair(radius: [u32; 2], angle: [u32; 2]) -> (Self, Self) {
        box_muller::pair_f64(radius, angle)
    }
}

#[cfg(feature = "half")]
macro_rules! half {
    ($real:ident, $exponent:literal) => {
        impl Real for half::$real {
            type Wide = f32;

            fn of(value: f64) -> Self {
                Self::from_f64(value)
            }

            fn get(self) -> f64 {
                self.to_f64()
            }

            fn widen(self) -> f32 {
                self.to_f32()
            }

            fn narrow(value: f32) -> Self {
                Self::from_f32(value)
            }

            fn all_finite(values: &[Self]) -> bool {
                kernel::all_finite(values, |value| value.to_bits() & $exponent != $exponent)
            }

            fn combine(
                y: &mut [Self],
                own: f64,
                terms: &[(f64, &[Self])],
                noise: Option<(f64, &[f32])>,
            ) {
                use half::slice::HalfFloatSliceExt;
                kernel::combine_widened(
                    y,
                    own,
                    terms,
                    noise,
                    |from, to| from.convert_to_f32_slice(to),
                    |from, to| to.convert_from_f32_slice(from),
                );
            }
        }
    };
}

#[cfg(feature = "half")]
half!(f16, 0x7c00);
#[cfg(feature = "half")]
half!(bf16, 0x7f80);
