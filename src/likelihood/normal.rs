//! Logarithms of the normal distribution function that hold in the tails.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// `ln sqrt(2 pi)`.
pub(super) const LN_SQRT_TAU: f64 = 0.918_938_533_204_672_8;

/// `exp(z^2) erfc(z)` for `z >= 0`.
fn erfcx(z: f64) -> f64 {
    if z < 8.0 {
        let square = z * z;
        return libm::exp(square) * (1.0 + z.mul_add(z, -square)) * libm::erfc(z);
    }
    // The asymptotic series; its terms fall below 1e-17 before they grow again.
    let x = 0.5 / (z * z);
    let sum = (1..=18)
        .rev()
        .fold(1.0, |sum, k| 1.0 - f64::from(2 * k - 1) * x * sum);
    sum / (z * PI.sqrt())
}

/// `exp(x^2 / 2) P(Z > x)` for `x >= 0`.
fn scaled_upper(x: f64) -> f64 {
    0.5 * erfcx(x * FRAC_1_SQRT_2)
}

/// `ln P(Z > x)` for a standard normal `Z`.
pub(super) fn ln_upper(x: f64) -> f64 {
    if x < 0.0 {
        (-0.5 * libm::erfc(-x * FRAC_1_SQRT_2)).ln_1p()
    } else {
        scaled_upper(x).ln() - 0.5 * x * x
    }
}

/// `ln P(middle - half < Z < middle + half)` for a standard normal `Z`.
pub(super) fn ln_interval(middle: f64, half: f64) -> f64 {
    let middle = middle.abs();
    let tilt = middle * half;
    if half <= 1.0 && tilt <= 1.0 {
        // Twice the even part of Taylor's series around the middle, whose terms are Hermite
        // polynomials, He_n(middle) half^n / n!; nothing is taken as a difference of two tails.
        let (mut before, mut term, mut sum) = (0.0, 1.0, 0.0);
        for n in 0..28 {
            let n = f64::from(n);
            if n % 2.0 == 0.0 {
                sum += term / (n + 1.0);
            }
            (before, term) = (
                term,
                (middle * half * term - half * half * before) / (n + 1.0),
            );
        }
        return (2.0 * half * sum).ln() - LN_SQRT_TAU - 0.5 * middle * middle;
    }
    if middle.is_infinite() {
        return f64::NEG_INFINITY;
    }
    if middle < half {
        let tails = [half - middle, half + middle].map(|x| 0.5 * libm::erfc(x * FRAC_1_SQRT_2));
        return (-(tails[0] + tails[1])).ln_1p();
    }
    let (near, far) = (middle - half, middle + half);
    let ratio = libm::exp(-2.0 * tilt) * scaled_upper(far) / scaled_upper(near);
    ln_upper(near) + (-ratio).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simpson's rule on the density, relative to that of the nearest point.
    fn by_quadrature(middle: f64, half: f64) -> f64 {
        let (low, high) = (middle - half, middle + half);
        let near = if low * high <= 0.0 {
            0.0
        } else {
            low.abs().min(high.abs())
        };
        let density = |u: f64| (0.5 * (near - u) * (near + u)).exp();
        let n = 20_000;
        let h = (high - low) / f64::from(n);
        let sum: f64 = (0..=n)
            .map(|i| {
                let weight = match i {
                    0 => 1.0,
                    i if i == n => 1.0,
                    i => f64::from(2 + 2 * (i % 2)),
                };
                weight * density(low + f64::from(i) * h)
            })
            .sum();
        (sum * h / 3.0).ln() - LN_SQRT_TAU - 0.5 * near * near
    }

    #[test]
    fn intervals_meet_quadrature_on_both_sides_of_every_switch() {
        for half in [1e-6, 1e-3, 0.1, 0.5, 0.999, 1.001, 3.0, 9.0, 36.0, 100.0] {
            for tilt in [0.0, 0.3, 0.999, 1.001, 2.0, 8.0, 20.0, 81.0] {
                for middle in [tilt / half, -tilt / half] {
                    let found = ln_interval(middle, half);
                    let expected = by_quadrature(middle, half);
                    assert!(found <= 0.0);
                    let off = (found - expected).abs() / expected.abs().max(1.0);
                    assert!(off < 3e-12, "{middle} {half}: {found} for {expected}");
                }
            }
        }
    }

    #[test]
    fn the_scaled_tail_is_smooth_where_its_form_changes() {
        // The continued fraction of Laplace, from the far end.
        for z in [3.0, 4.0, 5.0, 6.5, 7.999, 8.0, 8.001, 12.0, 1e3, 1e8] {
            let fraction = (1..=200)
                .rev()
                .fold(z, |sum, k| z + 0.5 * f64::from(k) / sum);
            let expected = 1.0 / (PI.sqrt() * fraction);
            assert!((erfcx(z) / expected - 1.0).abs() < 2e-15, "{z}");
        }
    }

    #[test]
    fn tails_far_beyond_the_range_of_probabilities_are_finite() {
        assert!((ln_upper(1e5) + 0.5e10).abs() / 0.5e10 < 1e-8);
        assert_eq!(ln_upper(f64::NEG_INFINITY), 0.0);
        assert_eq!(ln_upper(f64::INFINITY), f64::NEG_INFINITY);
        assert!((ln_upper(0.0) - 0.5_f64.ln()).abs() < 1e-16);
    }
}
