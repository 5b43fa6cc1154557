//! The exponential, for loops over many numbers.
//!
//! From additions and multiplications in a fixed order: the same bits everywhere, and on several numbers at once.

use std::f64::consts::{LN_2, LOG2_E};

use super::Real;
use crate::simd::vectorized;

/// `y <- exp(offset + scale * y)` of every element.
pub(crate) fn exp_affine<A: Real>(values: &mut [A], offset: f64, scale: f64) {
    vectorized(
        #[inline(always)]
        || {
            for y in &mut *values {
                *y = A::of(exp(offset + scale * y.get()));
            }
        },
    );
}

/// `exp(x)`, to a unit in the last place; NaN stays NaN.
///
/// `exp(x) = 2^k exp(r)` with the whole number `k` nearest to `x / ln 2` and `|r| <= ln(2) / 2`.
#[inline(always)]
pub(super) fn exp(x: f64) -> f64 {
    /// Whole numbers up to 2^51 are the low bits of a sum with this.
    const WHOLE: f64 = 6_755_399_441_055_744.0;
    /// `ln 2` in its first 33 bits, of which products with `k` are exact, and the rest.
    const HIGH: f64 = f64::from_bits(LN_2.to_bits() & !0xf_ffff);
    const LOW: f64 = 7.440_617_110_012_397e-11;
    /// `1 / n!` from the third power on, the highest first: the next is 2^-58 of the sum.
    const TERMS: [f64; 11] = [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
    ];
    let power = |k: f64| f64::from_bits(((k + WHOLE).to_bits() << 52).wrapping_add(1023 << 52));
    // Beyond these it is infinite, or 0.
    let bounded = if x > 710.0 { 710.0 } else { x };
    let bounded = if bounded < -746.0 { -746.0 } else { bounded };
    let k = (bounded * LOG2_E + WHOLE) - WHOLE;
    let r = (bounded - k * HIGH) - k * LOW;
    let mut sum = 0.0;
    for term in TERMS {
        sum = sum * r + term;
    }
    let exp_r = 1.0 + (r + r * r * (0.5 + r * sum));
    // In two factors, since the whole may be no normal number.
    let half = (0.5 * k + WHOLE) - WHOLE;
    exp_r * power(half) * power(k - half)
}

#[cfg(test)]
mod tests {
    use super::exp;
    use crate::simd;

    /// Units in the last place between two positive numbers.
    fn ulps(a: f64, b: f64) -> u64 {
        a.to_bits().abs_diff(b.to_bits())
    }

    #[test]
    fn to_a_unit_in_the_last_place() {
        let mut worst = 0;
        for i in -2_000_000..2_000_000_i32 {
            let x = f64::from(i) * 3.543_21e-4;
            worst = worst.max(ulps(exp(x), libm::exp(x)));
        }
        // Of two functions, each to a unit.
        assert!(worst <= 1, "{worst}");
        for x in [0.0, -0.0, 5e-324, -5e-324] {
            assert_eq!(exp(x), 1.0);
        }
        assert!(exp(f64::NAN).is_nan());
        for x in [709.78, 710.0, 711.0, 1e300, f64::INFINITY] {
            assert_eq!(exp(x), libm::exp(x), "{x}");
        }
        for x in [-1e300, f64::NEG_INFINITY, -746.0, -745.2] {
            assert_eq!(exp(x), 0.0, "{x}");
        }
        // Where the result has fewer bits, the last of those it has.
        for x in [-708.5, -720.1, -744.0, -745.1] {
            assert!(ulps(exp(x), libm::exp(x)) <= 1, "{x}");
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let x: Vec<_> = (0..100_000).map(|i| f64::from(i) * 0.015 - 750.0).collect();
        let bits = |arch| {
            let mut y = x.clone();
            simd::on(
                arch,
                #[inline(always)]
                || y.iter_mut().for_each(|y| *y = exp(*y)),
            );
            y.into_iter().map(f64::to_bits).collect::<Vec<_>>()
        };
        let all: Vec<_> = simd::all().into_iter().map(bits).collect();
        assert!(all.iter().all(|bits| *bits == all[0]));
    }
}
