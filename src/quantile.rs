//! Quantiles of distributions.

use std::f64::consts::{FRAC_1_SQRT_2, TAU};

use special::Beta;

/// Of the standard normal distribution, at the probability `u` below.
///
/// By Halley's iteration, which triples the digits, from the approximation of Hastings (Approximations for Digital
/// Computers, 1955), off by less than 0.003.
pub(crate) fn normal(u: f64) -> f64 {
    if u > 0.5 {
        return -normal(1.0 - u);
    }
    if u <= 0.0 {
        return f64::NEG_INFINITY;
    }
    let mut z = near_normal(u);
    for _ in 0..3 {
        let x = z * FRAC_1_SQRT_2;
        // Near the middle, the difference from one half, of which nothing cancels.
        let off = match u > 0.25 {
            true => (0.5 - u) + 0.5 * libm::erf(x),
            false => 0.5 * libm::erfc(-x) - u,
        };
        // Over the density, in two factors: the whole may be out of range.
        let root = (0.5 * x * x).exp();
        let newton = off * root * root * TAU.sqrt();
        z -= newton / (1.0 + 0.5 * z * newton);
    }
    z
}

/// The approximation of Hastings, for up to one half.
fn near_normal(u: f64) -> f64 {
    let t = (-2.0 * u.ln()).sqrt();
    (2.30753 + 0.27061 * t) / (1.0 + t * (0.99229 + t * 0.04481)) - t
}

/// Of the distribution Beta(a, b), at the probability `p` below.
pub(crate) fn beta(a: f64, b: f64, p: f64) -> f64 {
    match a == b && p == 0.5 {
        // The median of a symmetric distribution exactly, on which a tie may rest.
        true => 0.5,
        false => p.inv_inc_beta(a, b, a.ln_beta(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::{beta, near_normal, normal};

    /// Against 60-digit arithmetic (mpmath).
    #[test]
    fn quantiles_of_the_normal_distribution() {
        let exact = [
            (1e-300, -37.047_096_299_361_2),
            (2.0_f64.powi(-53), -8.209_536_151_601_387),
            (1e-10, -6.361_340_902_404_056),
            (0.001, -3.090_232_306_167_813_5),
            (0.024_25, -1.972_961_051_311_884_8),
            (0.1, -1.281_551_565_544_600_4),
            (0.25, -0.674_489_750_196_081_7),
            (0.3, -0.524_400_512_708_040_8),
            (0.4785, -0.053_918_622_045_273_97),
            (0.499_999, -2.506_628_274_566_559_5e-6),
            (0.500_000_1, 2.506_628_273_311_648e-7),
            (0.75, 0.674_489_750_196_081_7),
            (0.9, 1.281_551_565_544_600_6),
            (1.0 - 2.0_f64.powi(-53), 8.209_536_151_601_387),
        ];
        for (u, exact) in exact {
            let off = (normal(u) - exact) / exact;
            assert!(off.abs() < 6e-16, "{u}: {} for {exact}", normal(u));
            let near = near_normal(u.min(1.0 - u)) + f64::abs(exact);
            assert!(near.abs() < 3e-3, "{u}: off by {near}");
        }
        // The smallest number of all has one bit.
        assert!((normal(5e-324) + 38.467).abs() < 0.05);
        assert_eq!(normal(0.5), 0.0);
        assert_eq!(
            [normal(0.0), normal(1.0)],
            [f64::NEG_INFINITY, f64::INFINITY]
        );
        assert!(normal(f64::NAN).is_nan());
    }

    /// Against 60-digit arithmetic (mpmath).
    #[test]
    fn quantiles_of_the_beta_distribution() {
        let exact = [
            (0.6, 0.6, 0.9, 0.960_415_594_411_219_2),
            (0.6, 0.6, 0.05, 0.012_554_456_873_611_407),
            (0.5, 0.7, 0.35, 0.184_838_703_903_117_1),
            (0.2, 3.0, 0.7, 0.045_204_329_082_143_75),
            (2.5, 100.0, 0.3, 0.014_778_056_573_416_854),
            (100.0, 100.0, 0.02, 0.427_680_930_857_247_1),
            (1.0, 1.0, 0.37, 0.37),
        ];
        for (a, b, p, exact) in exact {
            let found = beta(a, b, p);
            // The series has its largest rounding, 1e-13 to 2e-13, where a shape is near 100.
            assert!(
                (found - exact).abs() < 2e-13,
                "{a}, {b}, {p}: {found} for {exact}"
            );
        }
        assert_eq!(beta(7.0, 7.0, 0.5), 0.5);
    }
}
