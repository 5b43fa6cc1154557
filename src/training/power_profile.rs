//! Averages that weigh parameters by a power of their time.

use crate::Error;

/// The weights `p(tau) ~ tau^gamma` of the parameters of time `tau` in the average at time `t`.
///
/// Unlike those of a constant decay they stretch with training, so that their width is a fixed share
/// of its length.
///
/// $$p_t(\tau)=\frac{\gamma+1}{t^{\gamma+1}}\thinspace\tau^\gamma,\qquad
///   \sigma_\mathrm{rel}=\sqrt{\frac{\gamma+1}{(\gamma+2)^2(\gamma+3)}}$$
///
/// [Source](crate::docs::papers#arxiv-2312.02696): Analyzing and Improving the Training Dynamics of Diffusion Models, Karras,
/// Aittala, Lehtinen, Hellsten, Aila, Laine, 2024.
///
/// ```
/// use gaussian_diffusion::training::PowerProfile;
/// let profile = PowerProfile::of_relative_width(0.1)?;
/// assert!((profile.gamma() - 6.94).abs() < 0.005);
/// assert!((profile.relative_width() - 0.1).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerProfile {
    gamma: f64,
}

impl PowerProfile {
    /// Of this exponent.
    ///
    /// # Errors
    ///
    /// If `gamma` is not in 0 to 1e6.
    pub fn new(gamma: f64) -> Result<Self, Error> {
        if !(0.0..=1e6).contains(&gamma) {
            return Err(Error::range("gamma", gamma, "0 to 1e6"));
        }
        Ok(Self { gamma })
    }

    /// The profile whose standard deviation is this share of the time of training.
    ///
    /// # Errors
    ///
    /// If the width is not in 1e-5 to 0.288, which is short of the width of a uniform average.
    pub fn of_relative_width(width: f64) -> Result<Self, Error> {
        if !(1e-5..=0.288).contains(&width) {
            return Err(Error::range("relative width", width, "1e-5 to 0.288"));
        }
        // The width falls with gamma, and is below 1 / gamma: bisection down to neighbours.
        let (mut low, mut high) = (0.0, 1.0 / width);
        loop {
            let gamma = 0.5 * (low + high);
            if gamma <= low || gamma >= high {
                return Ok(Self { gamma });
            }
            if (Self { gamma }).relative_width() > width {
                low = gamma;
            } else {
                high = gamma;
            }
        }
    }

    /// The exponent.
    pub const fn gamma(self) -> f64 {
        self.gamma
    }

    /// Its standard deviation as a share of the time of training.
    #[doc(alias("sigma_rel"))]
    pub fn relative_width(self) -> f64 {
        let g = self.gamma;
        ((g + 1.0) / (g + 3.0)).sqrt() / (g + 2.0)
    }

    /// The integral of the product of two profiles, each at its time.
    ///
    /// `(a + 1)(b + 1) / ((a + b + 1) max(s, t)) * (min / max)^g`, `g` that of the later one's.
    pub(super) fn overlap(self, t: f64, other: Self, s: f64) -> f64 {
        let (early, late, gamma) = if t < s {
            (t, s, other.gamma)
        } else {
            (s, t, self.gamma)
        };
        let (a, b) = (self.gamma, other.gamma);
        (a + 1.0) * (b + 1.0) / ((a + b + 1.0) * late) * (early / late).powf(gamma)
    }
}

#[cfg(test)]
mod tests {
    use super::PowerProfile;

    /// The integral of `(a + 1) x^a / t^(a + 1)` times the same of the other up to the earlier time, by the midpoint rule.
    #[test]
    fn overlaps_are_integrals() {
        for (a, t, b, s) in [
            (0.0, 3.0, 2.0, 5.0),
            (6.0, 5.0, 1.5, 3.0),
            (1.0, 4.0, 3.0, 4.0),
        ] {
            let [one, other] = [a, b].map(|gamma| PowerProfile::new(gamma).unwrap());
            let (n, early) = (100_000, f64::min(t, s));
            let integral: f64 = (0..n)
                .map(|i| {
                    let x = early * (f64::from(i) + 0.5) / f64::from(n);
                    let of = |gamma: f64, t: f64| (gamma + 1.0) / t * (x / t).powf(gamma);
                    of(a, t) * of(b, s) * early / f64::from(n)
                })
                .sum();
            for found in [one.overlap(t, other, s), other.overlap(s, one, t)] {
                assert!((found / integral - 1.0).abs() < 1e-8, "{found} {integral}");
            }
        }
    }
}
