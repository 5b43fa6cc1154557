//! How the exact denoiser of a mixture spreads.

use super::{GaussianMixture, Noisy};
use crate::{Error, NoiseLevel};

impl GaussianMixture {
    /// The divergence of [`posterior_mean`](Self::posterior_mean): the trace of `d E[x_0|x] / dx`.
    ///
    /// With the posterior probabilities `p_k`, means `m_k` and scores `s_k` of the components:
    /// `sum of p_k (trace G_k + m_k . (s_k - s))`, where `G_k = alpha C_k (alpha^2 C_k + sigma^2 I)^-1`
    /// and `s` is the score of all.
    ///
    /// # Errors
    ///
    /// As [`log_density`](Self::log_density); a single component may be a point at every level.
    ///
    /// ```
    /// use gaussian_diffusion::{GaussianMixture, NoiseLevel};
    /// let data = GaussianMixture::isotropic(&[(1.0, &[0.0, 0.0][..], 1.0)])?;
    /// let found = data.posterior_mean_divergence(&[0.3, 0.1], NoiseLevel::new(0.6, 0.8)?)?;
    /// assert!((found - 2.0 * 0.6).abs() < 1e-15);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn posterior_mean_divergence(&self, x: &[f64], level: NoiseLevel) -> Result<f64, Error> {
        let several = self.components.len() > 1;
        let noisy = self.noisy(level)?;
        let (seen, total) = self.see(&noisy, x, several)?;
        if !several {
            return Ok(noisy.iter().map(Noisy::gain_trace).sum());
        }
        let score = self.score(x, level)?;
        let mut sum = 0.0;
        for seen in &seen {
            let apart = -seen.pull() - &score;
            let spread = seen.noisy.gain_trace() + seen.posterior_mean().dot(&apart);
            sum += (seen.log - total).exp() * spread;
        }
        Ok(sum)
    }
}
