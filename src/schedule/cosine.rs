//! The trigonometric schedule.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2, PI};

use super::{ContinuousSchedule, NoiseSchedule, Sde, finite_sde};
use crate::{Error, LogSnr, NoiseLevel, PathRates, Time};

/// `alpha = cos(pi t / 2)`, `sigma = sin(pi t / 2)`: a quarter turn from data to noise.
///
/// $$x_t=\cos\negthinspace\big(\tfrac{\pi t}{2}\big)x_0+\sin\negthinspace\big(\tfrac{\pi t}{2}\big)\varepsilon$$
///
/// Ends at zero SNR. The table of betas with an offset and a cap is
/// [`Discrete::cosine`](super::Discrete::cosine).
///
/// [Sources](crate::docs::papers#arxiv-2102.09672): Improved Denoising Diffusion Probabilistic Models, Nichol, Dhariwal, 2021
/// (without its offset); Progressive Distillation, Salimans, Ho, 2022; generalized VP path and TrigFlow
/// elsewhere.
///
/// ```
/// use gaussian_diffusion::{NoiseLevel, Time, schedule::{Cosine, NoiseSchedule}};
/// assert_eq!(Cosine.level(Time::new(1.0)?)?, NoiseLevel::NOISE);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("GVP", "trigflow"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cosine;

impl NoiseSchedule for Cosine {
    type Time = Time;

    fn level(&self, t: Time) -> Result<NoiseLevel, Error> {
        let t = t.unit()?;
        // The sine of the complement keeps its digits where the cosine of a rounded angle does not.
        NoiseLevel::new((FRAC_PI_2 * (1.0 - t)).sin(), (FRAC_PI_2 * t).sin())
    }

    fn time_at(&self, snr: LogSnr) -> Result<Time, Error> {
        Time::new(FRAC_2_PI * (-0.5 * snr.get()).exp().atan())
    }

    fn ends(&self) -> (Time, Time) {
        (Time::ONE, Time::ZERO)
    }

    fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
        NoiseLevel::variance_preserving(snr)
    }
}

impl ContinuousSchedule for Cosine {
    fn sde(&self, t: Time) -> Result<Sde, Error> {
        let level = self.level(t)?;
        let tangent = level.noise_to_signal();
        finite_sde(level, -FRAC_PI_2 * tangent, (PI * tangent).sqrt())
    }

    fn fading(&self, level: NoiseLevel) -> Result<f64, Error> {
        Ok(level.sigma().powi(2))
    }

    fn path_rates(&self, t: Time) -> Result<PathRates, Error> {
        let level = self.level(t)?;
        Ok(PathRates {
            alpha: -FRAC_PI_2 * level.sigma(),
            sigma: FRAC_PI_2 * level.alpha(),
        })
    }
}
