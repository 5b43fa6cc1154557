//! Any schedule, moved in log-SNR.

use super::{ContinuousSchedule, NoiseSchedule, Sde, finite_sde};
use crate::{Error, LogSnr, NoiseLevel};

/// A schedule whose log-SNR is that of the inner one minus `2 ln(factor)`, on the same family of
/// levels and the same clock.
///
/// $$\log\mathrm{SNR}^{\prime}(t)=\log\mathrm{SNR}(t)-2\ln k$$
///
/// On a rectified flow this is the time shift of Stable Diffusion 3,
/// `sigma' = k sigma / (1 + (k - 1) sigma)`; with `k` the ratio of image sizes it is the resolution
/// shift of simple diffusion.
///
/// Sources: Scaling Rectified Flow Transformers for High-Resolution Image Synthesis, Esser et al.,
/// 2024; simple diffusion, Hoogeboom, Heek, Salimans, 2023.
///
/// ```
/// use gaussian_diffusion::{Time, schedule::{NoiseSchedule, Shifted}};
/// let level = Shifted::flow(3.0)?.level(Time::new(0.5)?)?;
/// assert!((level.sigma() - 0.75).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("flow_shift", "snr_shift_scale"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shifted<S> {
    inner: S,
    factor: f64,
}

impl Shifted<super::RectifiedFlow> {
    /// The rectified flow, shifted.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn flow(factor: f64) -> Result<Self, Error> {
        Self::new(super::RectifiedFlow, factor)
    }
}

impl<S: NoiseSchedule> Shifted<S> {
    /// Noise-to-signal ratios become `factor` times as large.
    ///
    /// # Errors
    ///
    /// If the factor is not in 1e-6 to 1e6.
    pub fn new(inner: S, factor: f64) -> Result<Self, Error> {
        if !(1e-6..=1e6).contains(&factor) {
            return Err(Error::range("shift factor", factor, "1e-6 to 1e6"));
        }
        Ok(Self { inner, factor })
    }

    /// The shift for images of `size` pixels a side where the inner schedule suits `base_size`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), for the ratio of the sizes.
    pub fn for_resolution(inner: S, size: f64, base_size: f64) -> Result<Self, Error> {
        Self::new(inner, size / base_size)
    }

    fn moved(&self, snr: LogSnr, sign: f64) -> Result<LogSnr, Error> {
        LogSnr::new(snr.get() + sign * 2.0 * self.factor.ln())
    }
}

impl<S: NoiseSchedule> NoiseSchedule for Shifted<S> {
    type Time = S::Time;

    fn level(&self, t: S::Time) -> Result<NoiseLevel, Error> {
        self.inner
            .level_at(self.moved(self.inner.level(t)?.log_snr(), -1.0)?)
    }

    fn time_at(&self, snr: LogSnr) -> Result<S::Time, Error> {
        self.inner.time_at(self.moved(snr, 1.0)?)
    }

    fn ends(&self) -> (S::Time, S::Time) {
        self.inner.ends()
    }

    fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
        self.inner.level_at(snr)
    }

    fn network_time(&self, t: S::Time) -> S::Time {
        self.inner.network_time(t)
    }
}

impl<S: ContinuousSchedule> ContinuousSchedule for Shifted<S> {
    /// The shift runs the inner equation on another clock `t'`, at the speed
    /// `dt'/dt = (g^2 / sigma^2)(t) / (g^2 / sigma^2)(t')`.
    fn sde(&self, t: S::Time) -> Result<Sde, Error> {
        let level = self.level(t)?;
        let rate = |t: S::Time| -> Result<f64, Error> {
            let level = self.inner.level(t)?;
            Ok((self.inner.sde(t)?.diffusion / level.sigma()).powi(2))
        };
        let other = self.inner.time_at(level.log_snr())?;
        let (here, there) = (rate(t)?, rate(other)?);
        let drift = self.inner.sde(other)?.drift * (here / there);
        finite_sde(level, drift, level.sigma() * here.sqrt())
    }
}
