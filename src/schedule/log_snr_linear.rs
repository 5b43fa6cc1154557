//! The schedule of variational diffusion models.

use super::{ContinuousSchedule, NoiseSchedule, Sde, check_reach, finite_sde};
use crate::{Error, LogSnr, NoiseLevel, Time, error::Number};

/// Variance-preserving levels whose log-SNR falls linearly from `max` at time 0 to `min` at time 1.
///
/// $$\log\mathrm{SNR}(t) = \ell_{\max} - t\thinspace(\ell_{\max}-\ell_{\min})$$
///
/// [Source](crate::docs::papers#arxiv-2107.00630): Variational Diffusion Models, Kingma, Salimans, Poole, Ho, 2021 (max 13.3,
/// min -5).
///
/// ```
/// use gaussian_diffusion::{LogSnr, Time, schedule::{LogSnrLinear, NoiseSchedule}};
/// let schedule = LogSnrLinear::new(LogSnr::new(-5.0)?, LogSnr::new(13.3)?)?;
/// let middle = schedule.level(Time::new(0.5)?)?;
/// assert!((middle.log_snr().get() - 4.15).abs() < 1e-14);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("VDM", "gamma"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogSnrLinear {
    min: f64,
    max: f64,
}

impl LogSnrLinear {
    /// From the log-SNR `max` at time 0 to `min` at time 1.
    ///
    /// # Errors
    ///
    /// If an end is outside -690 to 690, or `min` is not below `max`.
    pub fn new(min: LogSnr, max: LogSnr) -> Result<Self, Error> {
        let (min, max) = (min.get(), max.get());
        if !(min.abs() <= 690.0) {
            return Err(Error::range("min log-SNR", min, "-690 to 690"));
        }
        if !(max > min && max <= 690.0) {
            return Err(Error::range(
                "max log-SNR",
                max,
                format!("above {} and up to 690", Number(min)),
            ));
        }
        Ok(Self { min, max })
    }
}

impl NoiseSchedule for LogSnrLinear {
    type Time = Time;

    fn level(&self, t: Time) -> Result<NoiseLevel, Error> {
        let t = t.unit()?;
        NoiseLevel::variance_preserving(LogSnr::new(self.max * (1.0 - t) + self.min * t)?)
    }

    fn time_at(&self, snr: LogSnr) -> Result<Time, Error> {
        let snr = check_reach(snr, self.min, self.max)?;
        Time::new(((self.max - snr) / (self.max - self.min)).clamp(0.0, 1.0))
    }

    fn ends(&self) -> (Time, Time) {
        (Time::ONE, Time::ZERO)
    }

    fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
        NoiseLevel::variance_preserving(snr)
    }
}

impl ContinuousSchedule for LogSnrLinear {
    fn sde(&self, t: Time) -> Result<Sde, Error> {
        let level = self.level(t)?;
        let variance_rate = level.sigma().powi(2) * (self.max - self.min);
        finite_sde(level, -0.5 * variance_rate, variance_rate.sqrt())
    }

    fn fading(&self, level: NoiseLevel) -> Result<f64, Error> {
        Ok(level.sigma().powi(2))
    }
}
