//! The straight line from data to noise.

use super::{ContinuousSchedule, NoiseSchedule, Sde, finite_sde};
use crate::{Error, LogSnr, NoiseLevel, PathRates, Time};

/// `alpha = 1 - t`, `sigma = t`: the path of rectified flow and flow matching.
///
/// $$x_t=(1-t)\thinspace x_0+t\thinspace\varepsilon$$
///
/// Ends at zero SNR. The shift of Stable Diffusion 3 and FLUX is [`Shifted::flow`](super::Shifted::flow).
///
/// [Sources](crate::docs::papers#arxiv-2209.03003): Flow Straight and Fast, Liu, Gong, Liu, 2023; Flow Matching for Generative
/// Modeling, Lipman, Chen, Ben-Hamu, Nickel, Le, 2023 (whose time runs the other way).
///
/// ```
/// use gaussian_diffusion::{Time, schedule::{NoiseSchedule, RectifiedFlow}};
/// let level = RectifiedFlow.level(Time::new(0.25)?)?;
/// assert_eq!((level.alpha(), level.sigma()), (0.75, 0.25));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("flow matching", "optimal transport"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RectifiedFlow;

impl NoiseSchedule for RectifiedFlow {
    type Time = Time;

    fn level(&self, t: Time) -> Result<NoiseLevel, Error> {
        let t = t.unit()?;
        NoiseLevel::new(1.0 - t, t)
    }

    fn time_at(&self, snr: LogSnr) -> Result<Time, Error> {
        Time::new(1.0 / (1.0 + (0.5 * snr.get()).exp()))
    }

    fn ends(&self) -> (Time, Time) {
        (Time::ONE, Time::ZERO)
    }

    fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
        NoiseLevel::rectified_flow(snr)
    }
}

impl ContinuousSchedule for RectifiedFlow {
    fn sde(&self, t: Time) -> Result<Sde, Error> {
        let level = self.level(t)?;
        let (alpha, sigma) = (level.alpha(), level.sigma());
        finite_sde(level, -1.0 / alpha, (2.0 * sigma / alpha).sqrt())
    }

    fn fading(&self, level: NoiseLevel) -> Result<f64, Error> {
        Ok(level.sigma())
    }

    fn path_rates(&self, t: Time) -> Result<PathRates, Error> {
        t.unit()?;
        Ok(PathRates {
            alpha: -1.0,
            sigma: 1.0,
        })
    }
}
