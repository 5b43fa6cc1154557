//! Guidance in a part of the run.

use super::{Predictions, Rule};
use crate::{Error, NoiseLevel, Point, denoiser::memory_of, error::Number, state::State};

/// A part of a run, by noise level or by step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuidanceInterval(Bounds);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bounds {
    /// `sigma / alpha` above the first and up to the second.
    Sigmas(f64, f64),
    Steps(usize, usize),
}

impl GuidanceInterval {
    /// Where `low < sigma / alpha <= high`.
    ///
    /// # Errors
    ///
    /// If `low` is negative or NaN, or `high` is below it or NaN.
    pub fn sigmas(low: f64, high: f64) -> Result<Self, Error> {
        if !(low >= 0.0) {
            return Err(Error::range(
                "lower sigma of the guidance interval",
                low,
                "0 or more",
            ));
        }
        if !(high >= low) {
            let allowed = format!("{} or more", Number(low));
            return Err(Error::range(
                "upper sigma of the guidance interval",
                high,
                allowed,
            ));
        }
        Ok(Self(Bounds::Sigmas(low, high)))
    }

    /// Steps `first` to `end - 1` of a run, counted from 0.
    pub fn steps(first: usize, end: usize) -> Self {
        Self(Bounds::Steps(first, end))
    }

    /// From this fraction of the steps of a run to that: steps `floor(start n)` to `floor(stop n) - 1`.
    ///
    /// # Errors
    ///
    /// If the fractions are not in order within 0 to 1.
    pub fn fraction(start: f64, stop: f64, steps: usize) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&start) {
            return Err(Error::range(
                "start of the guidance interval",
                start,
                "0 to 1",
            ));
        }
        if !(stop >= start && stop <= 1.0) {
            let allowed = format!("{} to 1", Number(start));
            return Err(Error::range("end of the guidance interval", stop, allowed));
        }
        // A fraction such as 0.29 of 100 is 28.999999999999996.
        let index = |part: f64| (part * steps as f64 + 1e-9).floor() as usize;
        Ok(Self::steps(index(start), index(stop)))
    }

    fn holds(self, step: usize, level: NoiseLevel) -> bool {
        match self.0 {
            Bounds::Sigmas(low, high) => {
                let sigma = level.noise_to_signal();
                low < sigma && sigma <= high
            }
            Bounds::Steps(first, end) => (first..end).contains(&step),
        }
    }
}

/// A rule in an interval of the run; outside, the first prediction is taken as it is, and no other
/// asked for.
///
/// [Source](crate::docs::papers#arxiv-2404.07724): Applying Guidance in a Limited Interval Improves Sample and Distribution
/// Quality in Diffusion Models, Kynkäänniemi, Aittala, Karras, Laine, Aila, Lehtinen, 2024.
///
/// ```
/// use gaussian_diffusion::guidance::{Combination, GuidanceInterval, Within};
/// Within::new(Combination::classifier_free(4.0)?, GuidanceInterval::sigmas(0.28, 2.9)?);
/// Within::new(Combination::classifier_free(4.0)?, GuidanceInterval::fraction(0.2, 0.8, 50)?);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("guidance interval", "guidance_start", "guidance_stop"))]
#[derive(Debug, Clone)]
pub struct Within<R> {
    rule: R,
    interval: GuidanceInterval,
}

impl<R> Within<R> {
    /// This rule in this interval.
    pub fn new(rule: R, interval: GuidanceInterval) -> Self {
        Self { rule, interval }
    }
}

impl<V: State, R: Rule<V>> Rule<V> for Within<R> {
    fn count(&self) -> usize {
        self.rule.count()
    }

    fn needs(&self, index: usize, at: Point<()>) -> Result<bool, Error> {
        if self.interval.holds(at.step, at.level) {
            return self.rule.needs(index, at);
        }
        Ok(index == 0)
    }

    fn combine(&mut self, mut predictions: Predictions<V>, at: Point<()>) -> Result<V, Error> {
        if self.interval.holds(at.step, at.level) {
            return self.rule.combine(predictions, at);
        }
        predictions.take(0)
    }

    memory_of!(rule);
}
