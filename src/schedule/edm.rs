//! Sigma itself as time.

use super::{ContinuousSchedule, NoiseSchedule, Sde};
use crate::{Error, LogSnr, NoiseLevel, PathRates, Sigma, error::Number};

/// `alpha = 1` and time is sigma: the schedule of EDM and of k-diffusion.
///
/// $$x_\sigma = x_0 + \sigma\thinspace\varepsilon,\qquad g^2 = 2\sigma$$
///
/// The two ends say where grids start and stop; a level exists for every sigma.
///
/// [Source](crate::docs::papers#arxiv-2206.00364): Elucidating the Design Space of Diffusion-Based Generative Models, Karras,
/// Aittala, Aila, Laine, 2022.
///
/// ```
/// use gaussian_diffusion::{Sigma, schedule::{Edm, NoiseSchedule}};
/// let schedule = Edm::default();
/// assert_eq!(schedule.ends(), (Sigma::new(80.0)?, Sigma::new(0.002)?));
/// assert_eq!(schedule.level(Sigma::new(3.0)?)?.sigma(), 3.0);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("k-diffusion", "karras"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edm {
    min: Sigma,
    max: Sigma,
}

impl Default for Edm {
    /// The published ends, 0.002 and 80.
    fn default() -> Self {
        Self {
            min: Sigma::EDM_MIN,
            max: Sigma::EDM_MAX,
        }
    }
}

impl Edm {
    /// The ends of the sampling range.
    ///
    /// # Errors
    ///
    /// If `min` is not in 1e-150 to 1e150, or `max` is not above it and in the same range.
    pub fn new(min: Sigma, max: Sigma) -> Result<Self, Error> {
        if !(1e-150..=1e150).contains(&min.get()) {
            return Err(Error::range("min sigma", min.get(), "1e-150 to 1e150"));
        }
        if !(max > min && max.get() <= 1e150) {
            let allowed = format!("above {} and up to 1e150", Number(min.get()));
            return Err(Error::range("max sigma", max.get(), allowed));
        }
        Ok(Self { min, max })
    }
}

impl NoiseSchedule for Edm {
    type Time = Sigma;

    fn level(&self, t: Sigma) -> Result<NoiseLevel, Error> {
        NoiseLevel::variance_exploding(t)
    }

    fn time_at(&self, snr: LogSnr) -> Result<Sigma, Error> {
        Sigma::new(snr.noise_to_signal()?)
    }

    fn ends(&self) -> (Sigma, Sigma) {
        (self.max, self.min)
    }

    fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
        NoiseLevel::new(1.0, snr.noise_to_signal()?)
    }
}

impl ContinuousSchedule for Edm {
    fn sde(&self, t: Sigma) -> Result<Sde, Error> {
        Ok(Sde {
            drift: 0.0,
            diffusion: (2.0 * self.level(t)?.sigma()).sqrt(),
        })
    }

    fn fading(&self, _: NoiseLevel) -> Result<f64, Error> {
        Ok(0.0)
    }

    fn path_rates(&self, _: Sigma) -> Result<PathRates, Error> {
        Ok(PathRates {
            alpha: 0.0,
            sigma: 1.0,
        })
    }
}
