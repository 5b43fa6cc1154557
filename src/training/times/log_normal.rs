//! The exponential of a normal variable.

use super::{TimeSampler, check_share, normal::Normal};
use crate::{Error, Sigma};

/// `ln sigma ~ N(mean, std^2)`: the sigmas that EDM trains at.
///
/// $$p(\sigma)=\frac1{s\thinspace\sigma\sqrt{2\pi}}\exp\negthinspace\Big(-\frac{(\ln\sigma-m)^2}{2s^2}\Big)$$
///
/// [Source](crate::docs::papers#arxiv-2206.00364): Elucidating the Design Space of Diffusion-Based Generative Models, Karras,
/// Aittala, Aila, Laine, 2022 (mean -1.2, std 1.2).
///
/// ```
/// use gaussian_diffusion::training::times::{LogNormal, TimeSampler};
/// assert!((LogNormal::edm().quantile(0.5)?.get() - (-1.2_f64).exp()).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogNormal {
    normal: Normal,
}

impl LogNormal {
    /// With `ln sigma` of this mean and standard deviation.
    ///
    /// # Errors
    ///
    /// If the mean is not in -100 to 100, or the standard deviation not in 1e-6 to 10.
    pub fn new(mean: f64, std: f64) -> Result<Self, Error> {
        Ok(Self {
            normal: Normal::new(mean, std)?,
        })
    }

    /// The published mean -1.2 and standard deviation 1.2.
    pub const fn edm() -> Self {
        Self {
            normal: Normal::EDM,
        }
    }

    /// The mean -1.1 and standard deviation 2 of improved consistency training.
    ///
    /// [Source](crate::docs::papers#arxiv-2310.14189): Improved Techniques for Training Consistency Models, Song, Dhariwal,
    /// 2024.
    pub const fn ict() -> Self {
        Self {
            normal: Normal::ICT,
        }
    }
}

impl TimeSampler for LogNormal {
    type Time = Sigma;

    fn quantile(&self, u: f64) -> Result<Sigma, Error> {
        Sigma::new(self.normal.quantile(check_share(u)?).exp())
    }

    fn cdf(&self, t: Sigma) -> f64 {
        self.normal.cdf(t.get().ln())
    }

    fn density(&self, t: Sigma) -> f64 {
        if t.get() == 0.0 {
            return 0.0;
        }
        self.normal.density(t.get().ln()) / t.get()
    }
}
