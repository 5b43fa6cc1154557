//! Divergences between Gaussians.

use crate::Variance;

/// Kullback-Leibler divergence of two scalar Gaussians, in nats.
///
/// `KL(N(m1, v1) || N(m2, v2)) = ((m1 - m2)^2 / v2 + v1 / v2 - 1 - ln(v1 / v2)) / 2`
///
/// $$\mathrm{KL} = \tfrac12\Big(\frac{(m_1-m_2)^2}{v_2} + \frac{v_1}{v_2} - 1
///   {}- \ln\frac{v_1}{v_2}\Big)$$
///
/// Accurate where the two are close: the variance part is not taken as a difference. Infinite where
/// one variance is 0 and the other is not; two points have 0 or infinity.
///
/// ```
/// use gaussian_diffusion::{Variance, gaussian_kl};
/// let v = Variance::new(0.5)?;
/// assert_eq!(gaussian_kl(0.0, v, 1.0, v), 1.0);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("normal_kl"))]
pub fn gaussian_kl(mean_1: f64, variance_1: Variance, mean_2: f64, variance_2: Variance) -> f64 {
    let (v1, v2) = (variance_1.get(), variance_2.get());
    let distance = mean_1 - mean_2;
    if v1 == v2 {
        return if distance == 0.0 {
            0.0
        } else {
            0.5 * distance * (distance / v2)
        };
    }
    if v1 == 0.0 || v2 == 0.0 {
        return f64::INFINITY;
    }
    let growth = (v1 - v2) / v2;
    // Beyond a factor of 2 nothing cancels, and 1 + growth would lose a small ratio.
    let excess = if growth.abs() > 0.5 {
        growth - (v1.ln() - v2.ln())
    } else {
        excess_over_log(growth)
    };
    0.5 * (distance * (distance / v2) + excess)
}

/// `x - ln(1 + x)` for `|x|` up to 1/2, without the cancellation near 0.
fn excess_over_log(x: f64) -> f64 {
    // ln(1 + x) = 2 atanh(u) with u = x / (2 + x), and x - 2 u = x u.
    let u = x / (2.0 + x);
    let mut tail = 0.0;
    for k in (1..=20).rev() {
        tail = tail * u * u + 1.0 / f64::from(2 * k + 1);
    }
    x * u - 2.0 * u * u * u * tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excess_meets_its_series_and_its_definition() {
        for x in [1e-8, -1e-8, 1e-4, -3e-3_f64] {
            let series: f64 = (2..14).map(|k| -(-x).powi(k) / -f64::from(k)).sum();
            assert!((excess_over_log(x) / series - 1.0).abs() < 1e-13, "{x}");
        }
        for x in [-0.5, -0.25, 0.25, 0.5_f64] {
            assert!(
                (excess_over_log(x) - (x - x.ln_1p())).abs() < 4e-16 * 4.0,
                "{x}"
            );
        }
    }

    fn variance(v: f64) -> Variance {
        Variance::new(v).unwrap()
    }

    /// The integral of `p ln (p / q)`, by the trapezoid rule.
    #[test]
    fn divergences_are_integrals() {
        for (m1, v1, m2, v2) in [
            (0.3, 0.5, -0.4, 0.5),
            (1.0, 0.2, 2.5, 0.9),
            (-1.0, 3.0, 0.5, 0.4),
            (0.7, 1.0, 0.4, 1.1),
        ] {
            let log = |x: f64, m: f64, v: f64| -0.5 * ((x - m).powi(2) / v + v.ln());
            let (n, reach) = (20_000, 12.0 * f64::sqrt(v1));
            let integral: f64 = (0..=n)
                .map(|i| {
                    let x = m1 + reach * (2.0 * f64::from(i) / f64::from(n) - 1.0);
                    let own = log(x, m1, v1);
                    own.exp() * (own - log(x, m2, v2))
                })
                .sum();
            let wanted = integral * 2.0 * reach / f64::from(n) / std::f64::consts::TAU.sqrt();
            let found = gaussian_kl(m1, variance(v1), m2, variance(v2));
            assert!(
                (found - wanted).abs() < 1e-12 * (1.0 + wanted),
                "{found} {wanted}"
            );
        }
    }

    #[test]
    fn points_are_the_same_or_infinitely_far() {
        let kl = |m1, v1, m2, v2| gaussian_kl(m1, variance(v1), m2, variance(v2));
        assert_eq!(kl(0.5, 0.0, 0.5, 0.0), 0.0);
        for (m1, v1, m2, v2) in [
            (0.5, 0.0, 0.4, 0.0),
            (0.5, 0.0, 0.5, 1.0),
            (0.5, 1.0, 0.5, 0.0),
        ] {
            assert_eq!(kl(m1, v1, m2, v2), f64::INFINITY, "{v1} {v2}");
        }
    }
}
