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
/// [Sources](crate::docs::papers#arxiv-2403.03206): Scaling Rectified Flow Transformers for High-Resolution Image Synthesis,
/// Esser et al., 2024; simple diffusion, Hoogeboom, Heek, Salimans, 2023.
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
    /// If the factor is not in 1e-6 to 1e6, or moves an end of the schedule to where there is no level.
    pub fn new(inner: S, factor: f64) -> Result<Self, Error> {
        if !(1e-6..=1e6).contains(&factor) {
            return Err(Error::range("shift factor", factor, "1e-6 to 1e6"));
        }
        let shifted = Self { inner, factor };
        let (noisiest, cleanest) = shifted.ends();
        shifted.level(noisiest).and(shifted.level(cleanest))?;
        Ok(shifted)
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
    /// The log-SNR falls at the inner rate, which says how fast the noise grows, and the signal fades as it
    /// does at the moved level: `g' = g sigma' / sigma`, `f' = f fading' / fading`.
    fn sde(&self, t: S::Time) -> Result<Sde, Error> {
        let (from, to) = (self.inner.level(t)?, self.level(t)?);
        let Sde { drift, diffusion } = self.inner.sde(t)?;
        let growth = match from.is_clean() {
            true => self.factor * to.alpha() / from.alpha(),
            false => to.sigma() / from.sigma(),
        };
        let drift = match drift {
            // No signal fades.
            0.0 => 0.0,
            _ => drift * self.fading_ratio(from, to)?,
        };
        finite_sde(to, drift, diffusion * growth)
    }

    fn fading(&self, level: NoiseLevel) -> Result<f64, Error> {
        self.inner.fading(level)
    }
}

impl<S: ContinuousSchedule> Shifted<S> {
    fn fading_ratio(&self, from: NoiseLevel, to: NoiseLevel) -> Result<f64, Error> {
        let (from, to) = match from.is_clean() {
            // Both are 0 at the data; their ratio is that of levels as near it as levels come.
            true => {
                let near = LogSnr::new(NEARLY_CLEAN)?;
                let moved = self.moved(near, -1.0)?;
                (self.inner.level_at(near)?, self.inner.level_at(moved)?)
            }
            false => (from, to),
        };
        Ok(self.inner.fading(to)? / self.inner.fading(from)?)
    }
}

/// A log-SNR that has a level after any shift.
const NEARLY_CLEAN: f64 = 640.0;
