//! Log-SNRs spread as a Laplace distribution.

use super::{SigmaCurve, curve::Ends};
use crate::{Error, Sigma, time::check_steps};

/// `ln sigma_i = mean - scale sign(1/2 - f) ln(1 - 2 |1/2 - f| + 1e-5)` with `f = i / (n - 1)`, kept
/// between the ends.
///
/// $$\ln\sigma_i=\mu-b\thinspace\mathrm{sign}\big(\tfrac12-f_i\big)
///   \ln\big(1-2\thinspace\lvert\tfrac12-f_i\rvert+10^{-5}\big)$$
///
/// Most nodes lie near `sigma = exp(mean)`, by custom 1. The curve itself goes from `exp(mean + 11.5
/// scale)` down to `exp(mean - 11.5 scale)`; its ends are `max` and `min` where those are nearer. The
/// largest alone for `n = 1`.
///
/// [Source](crate::docs::papers#arxiv-2407.03297): Improved Noise Schedule for Diffusion Training, Hang, Gu, Geng, Guo, 2024,
/// as in ComfyUI.
///
/// ```
/// use gaussian_diffusion::{Sigma, grid::{LaplaceCurve, SigmaCurve}};
/// let curve = LaplaceCurve::new(Sigma::new(14.6)?, Sigma::new(0.03)?, 0.0, 0.5)?;
/// let sigmas = curve.sigmas(5)?;
/// assert!((sigmas[1] - 0.50001_f64.powf(-0.5)).abs() < 1e-15 && sigmas[2] == 1.0);
/// assert_eq!((sigmas[0], sigmas[4]), (14.6, 0.03));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("get_sigmas_laplace"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LaplaceCurve {
    ends: Ends,
    mean: f64,
    scale: f64,
}

impl LaplaceCurve {
    /// # Errors
    ///
    /// If `min` is not positive, `max` is not above it, the mean is not in -10 to 10, or the scale not
    /// in 1e-3 to 10.
    pub fn new(max: Sigma, min: Sigma, mean: f64, scale: f64) -> Result<Self, Error> {
        let ends = Ends::new(max, min)?;
        if !(-10.0..=10.0).contains(&mean) {
            return Err(Error::range("mean", mean, "-10 to 10"));
        }
        if !(1e-3..=10.0).contains(&scale) {
            return Err(Error::range("scale", scale, "1e-3 to 10"));
        }
        Ok(Self { ends, mean, scale })
    }
}

impl SigmaCurve for LaplaceCurve {
    fn sigmas(&self, n: usize) -> Result<Vec<f64>, Error> {
        check_steps(n)?;
        let Ends { max, min } = self.ends;
        let intervals = n.saturating_sub(1).max(1) as f64;
        let sigma = |i: usize| {
            let from_middle = 0.5 - i as f64 / intervals;
            let depth = (1.0 - 2.0 * from_middle.abs() + 1e-5).ln();
            // `signum` of 0 is 1; the middle is the mean itself.
            let sign = if from_middle == 0.0 {
                0.0
            } else {
                from_middle.signum()
            };
            (self.mean - self.scale * sign * depth)
                .exp()
                .clamp(min, max)
        };
        Ok((0..n).map(sigma).collect())
    }
}
