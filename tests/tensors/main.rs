//! Tensors of candle and burn, of every layout, type and shape, beside arrays: the same tests for both.
#![cfg(all(feature = "candle", feature = "burn"))]
// The tests are those of a library that each module defines.
#![allow(clippy::duplicate_mod)]

/// Numbers that are neither 0 nor equal.
fn numbers(count: usize, which: usize) -> Vec<f64> {
    let number = |i: usize| (((i + 31 * which) * 2_654_435_761) % 1_000_003) as f64 / 3e5 - 1.6;
    (0..count).map(number).collect()
}

/// A type of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    F64,
    F32,
    F16,
    Bf16,
}

impl Kind {
    const ALL: [Self; 4] = [Self::F64, Self::F32, Self::F16, Self::Bf16];

    /// The type in which a run keeps it.
    fn kept(self) -> Self {
        match self {
            Self::F64 => Self::F64,
            _ => Self::F32,
        }
    }
}

mod burn;
mod candle;
