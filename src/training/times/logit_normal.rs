//! The logistic function of a normal variable.

use super::{TimeSampler, check_share, normal::Normal};
use crate::{Error, Time};

/// `t = sigmoid(n)` with `n ~ N(mean, std^2)`: times in the middle of a rectified flow.
///
/// A positive mean draws noisier times.
///
/// $$p(t)=\frac1{s\sqrt{2\pi}}\thinspace\frac1{t(1-t)}\exp\negthinspace\Big(-\frac{(\operatorname{logit}t-m)^2}{2s^2}\Big)$$
///
/// [Source](crate::docs::papers#arxiv-2403.03206): Scaling Rectified Flow Transformers for High-Resolution Image Synthesis,
/// Esser et al., 2024 (mean 0, std 1).
///
/// ```
/// use gaussian_diffusion::training::times::{LogitNormalTime, TimeSampler};
/// let sampler = LogitNormalTime::new(0.0, 1.0)?;
/// assert!((sampler.quantile(0.5)?.get() - 0.5).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogitNormalTime {
    normal: Normal,
}

impl LogitNormalTime {
    /// With `ln(t / (1 - t))` of this mean and standard deviation.
    ///
    /// # Errors
    ///
    /// If the mean is not in -100 to 100, or the standard deviation not in 1e-6 to 10.
    pub fn new(mean: f64, std: f64) -> Result<Self, Error> {
        Ok(Self {
            normal: Normal::new(mean, std)?,
        })
    }
}

fn logit(t: f64) -> f64 {
    t.ln() - (-t).ln_1p()
}

impl TimeSampler for LogitNormalTime {
    type Time = Time;

    fn quantile(&self, u: f64) -> Result<Time, Error> {
        Time::new(1.0 / (1.0 + (-self.normal.quantile(check_share(u)?)).exp()))
    }

    fn cdf(&self, t: Time) -> f64 {
        self.normal.cdf(logit(t.get().clamp(0.0, 1.0)))
    }

    fn density(&self, t: Time) -> f64 {
        let t = t.get();
        if !(t > 0.0 && t < 1.0) {
            return 0.0;
        }
        self.normal.density(logit(t)) / (t * (1.0 - t))
    }
}
