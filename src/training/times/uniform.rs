//! No preference.

use super::{TimeSampler, check_share};
use crate::{Error, Step, Time, error::Number, time::check_steps};

/// Every time between two ends alike; by default 0 and 1.
///
/// ```
/// use gaussian_diffusion::{Time, training::times::{TimeSampler, UniformTime}};
/// let sampler = UniformTime::new(Time::new(1e-3)?, Time::new(1.0)?)?;
/// assert!((sampler.density(Time::new(0.5)?) - 1.0 / 0.999).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UniformTime {
    low: f64,
    high: f64,
}

impl Default for UniformTime {
    fn default() -> Self {
        Self {
            low: 0.0,
            high: 1.0,
        }
    }
}

impl UniformTime {
    /// Even between these times.
    ///
    /// # Errors
    ///
    /// If `high` is not above `low`, or their distance is more than an f64 holds.
    pub fn new(low: Time, high: Time) -> Result<Self, Error> {
        let (low, high) = (low.get(), high.get());
        if high > low && (high - low).is_infinite() {
            let allowed = "less far above the low time than an f64 tells";
            return Err(Error::range("high time", high, allowed));
        }
        if !(high > low) {
            return Err(Error::range(
                "high time",
                high,
                format!("above {}", Number(low)),
            ));
        }
        Ok(Self { low, high })
    }
}

impl TimeSampler for UniformTime {
    type Time = Time;

    fn quantile(&self, u: f64) -> Result<Time, Error> {
        let t = self.low + check_share(u)? * (self.high - self.low);
        Time::new(t.clamp(self.low, self.high))
    }

    fn cdf(&self, t: Time) -> f64 {
        ((t.get() - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn density(&self, t: Time) -> f64 {
        if !(self.low..=self.high).contains(&t.get()) {
            return 0.0;
        }
        1.0 / (self.high - self.low)
    }
}

/// Every step of a schedule alike.
///
/// [Source](crate::docs::papers#arxiv-2006.11239): Denoising Diffusion Probabilistic Models, Ho, Jain, Abbeel, 2020.
///
/// ```
/// use gaussian_diffusion::{Step, training::times::{TimeSampler, UniformStep}};
/// let sampler = UniformStep::new(1000)?;
/// assert_eq!(sampler.quantile(0.9999)?, Step::new(999));
/// assert_eq!(sampler.density(Step::new(999)), 0.001);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UniformStep {
    count: usize,
}

impl UniformStep {
    /// The steps 0 to `count - 1`.
    ///
    /// # Errors
    ///
    /// If there are none, or more than 2^24.
    pub fn new(count: usize) -> Result<Self, Error> {
        check_steps(count)?;
        Ok(Self { count })
    }
}

impl TimeSampler for UniformStep {
    type Time = Step;

    fn quantile(&self, u: f64) -> Result<Step, Error> {
        // The greatest number below 1, times a count, is rounded to below the count.
        Ok(Step::new((check_share(u)? * self.count as f64) as usize))
    }

    fn cdf(&self, t: Step) -> f64 {
        ((t.get().floor() + 1.0) / self.count as f64).min(1.0)
    }

    fn cdf_before(&self, t: Step) -> f64 {
        self.cdf(t) - self.density(t)
    }

    fn density(&self, t: Step) -> f64 {
        match t.index() {
            Some(index) if index < self.count => 1.0 / self.count as f64,
            _ => 0.0,
        }
    }
}
