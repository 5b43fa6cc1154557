//! The variance-exploding diffusion.

use super::{ContinuousSchedule, NoiseSchedule, Sde, check_reach, finite_sde};
use crate::{Error, LogSnr, NoiseLevel, Sigma, Time, error::Number};

/// `alpha = 1`, `sigma(t) = min (max / min)^t`.
///
/// $$\sigma(t)=\sigma_{\min}\Big(\frac{\sigma_{\max}}{\sigma_{\min}}\Big)^{t},\qquad
///   g^2=2\sigma^2\ln\frac{\sigma_{\max}}{\sigma_{\min}}$$
///
/// [Source](crate::docs::papers#arxiv-2011.13456): Score-Based Generative Modeling through Stochastic Differential Equations,
/// Song et al., 2021 (min 0.01, max 50 for CIFAR-10).
///
/// ```
/// use gaussian_diffusion::{Sigma, Time, schedule::{NoiseSchedule, VeGeometric}};
/// let schedule = VeGeometric::new(Sigma::new(0.01)?, Sigma::new(100.0)?)?;
/// assert!((schedule.level(Time::new(0.5)?)?.sigma() - 1.0).abs() < 1e-14);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("VESDE", "SMLD"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VeGeometric {
    min: f64,
    max: f64,
}

impl VeGeometric {
    /// From the sigma `min` at time 0 to `max` at time 1.
    ///
    /// # Errors
    ///
    /// If `min` is not in 1e-150 to 1e150, or `max` is not above it and in the same range.
    pub fn new(min: Sigma, max: Sigma) -> Result<Self, Error> {
        let (min, max) = (min.get(), max.get());
        if !(1e-150..=1e150).contains(&min) {
            return Err(Error::range("min sigma", min, "1e-150 to 1e150"));
        }
        if !(max > min && max <= 1e150) {
            return Err(Error::range(
                "max sigma",
                max,
                format!("above {} and up to 1e150", Number(min)),
            ));
        }
        Ok(Self { min, max })
    }

    /// `ln(max / min)`, without the overflow of the quotient.
    fn log_range(&self) -> f64 {
        self.max.ln() - self.min.ln()
    }
}

impl NoiseSchedule for VeGeometric {
    type Time = Time;

    fn level(&self, t: Time) -> Result<NoiseLevel, Error> {
        let t = t.unit()?;
        let sigma = match t {
            0.0 => self.min,
            1.0 => self.max,
            _ => (self.min * (t * self.log_range()).exp()).min(self.max),
        };
        NoiseLevel::new(1.0, sigma)
    }

    fn time_at(&self, snr: LogSnr) -> Result<Time, Error> {
        let (low, high) = (-2.0 * self.max.ln(), -2.0 * self.min.ln());
        let snr = check_reach(snr, low, high)?;
        Time::new(((high - snr) / (high - low)).clamp(0.0, 1.0))
    }

    fn ends(&self) -> (Time, Time) {
        (Time::ONE, Time::ZERO)
    }

    fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
        NoiseLevel::new(1.0, snr.noise_to_signal()?)
    }
}

impl ContinuousSchedule for VeGeometric {
    fn sde(&self, t: Time) -> Result<Sde, Error> {
        let level = self.level(t)?;
        finite_sde(level, 0.0, level.sigma() * (2.0 * self.log_range()).sqrt())
    }

    fn fading(&self, _: NoiseLevel) -> Result<f64, Error> {
        Ok(0.0)
    }
}
