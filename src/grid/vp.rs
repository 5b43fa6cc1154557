//! The sigmas of the variance-preserving diffusion.

use super::SigmaCurve;
use crate::{Error, time::check_steps};

/// `sigma = sqrt(exp(beta_d t^2 / 2 + beta_min t) - 1)` with `t` falling evenly from 1 to `eps`.
///
/// $$\sigma(t)=\sqrt{e^{\beta_d t^2/2+\beta_{\min}t}-1}$$
///
/// The sigmas of [`VpLinear`](crate::schedule::VpLinear) at even times, for any other schedule. The
/// largest alone for `n = 1`.
///
/// [Source](crate::docs::papers#arxiv-2206.00364): Elucidating the Design Space of Diffusion-Based Generative Models, Karras,
/// Aittala, Aila, Laine, 2022, table 1.
///
/// ```
/// use gaussian_diffusion::{Grid, Sigma, grid::VpCurve, schedule::Edm};
/// let schedule = Edm::new(Sigma::new(0.01)?, Sigma::new(160.0)?)?;
/// let grid = Grid::along(&schedule, 5, &VpCurve::default())?;
/// assert!((grid.nodes()[0].level.sigma() - 152.1669702839464).abs() < 1e-9);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("get_sigmas_vp"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VpCurve {
    beta_d: f64,
    beta_min: f64,
    eps: f64,
}

impl Default for VpCurve {
    /// The published values: 19.9, 0.1 and 0.001.
    fn default() -> Self {
        Self {
            beta_d: 19.9,
            beta_min: 0.1,
            eps: 1e-3,
        }
    }
}

impl VpCurve {
    /// The curve of `beta(t) = beta_min + beta_d t`, down to time `eps`.
    ///
    /// # Errors
    ///
    /// If `beta_d` is not in 0 to 1e3, `beta_min` not in 1e-6 to 1e3, or `eps` not in 1e-12 to below
    /// 1.
    pub fn new(beta_d: f64, beta_min: f64, eps: f64) -> Result<Self, Error> {
        if !(0.0..=1e3).contains(&beta_d) {
            return Err(Error::range("beta_d", beta_d, "0 to 1e3"));
        }
        if !(1e-6..=1e3).contains(&beta_min) {
            return Err(Error::range("beta_min", beta_min, "1e-6 to 1e3"));
        }
        if !(1e-12..1.0).contains(&eps) {
            return Err(Error::range("eps", eps, "1e-12 to below 1"));
        }
        Ok(Self {
            beta_d,
            beta_min,
            eps,
        })
    }
}

impl SigmaCurve for VpCurve {
    fn sigmas(&self, n: usize) -> Result<Vec<f64>, Error> {
        check_steps(n)?;
        let intervals = n.saturating_sub(1).max(1) as f64;
        let sigma = |i: usize| {
            let fraction = i as f64 / intervals;
            let t = 1.0 - fraction + self.eps * fraction;
            (0.5 * self.beta_d * t * t + self.beta_min * t)
                .exp_m1()
                .sqrt()
        };
        Ok((0..n).map(sigma).collect())
    }
}
