//! Means of samples with their standard errors.

use super::{InNats, Nats};
use crate::Error;

/// A mean over samples with its standard error.
///
/// ```
/// use gaussian_diffusion::likelihood::{Estimate, Nats};
/// let estimate = Estimate::of(&[Nats::new(1.0)?, Nats::new(3.0)?])?;
/// assert_eq!(estimate.value.get(), 2.0);
/// assert_eq!(estimate.standard_error.get(), 1.0);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Estimate<U> {
    /// The mean.
    pub value: U,
    /// Its standard deviation as estimated from the samples; infinite for a single sample.
    pub standard_error: Nats,
}

impl<U: InNats> Estimate<U> {
    /// The mean of independent samples, such as the items of a test set.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn of(samples: &[U]) -> Result<Self, Error> {
        let count = samples.len() as f64;
        if samples.is_empty() {
            return Err(Error::range("number of samples", 0.0, "1 or more"));
        }
        let mean = samples.iter().map(|it| it.nats()).sum::<Nats>() / count;
        let squares: f64 = samples
            .iter()
            .map(|it| (it.nats() - mean).get().powi(2))
            .sum();
        let standard_error = match samples.len() {
            1 => f64::INFINITY,
            _ => (squares / (count * (count - 1.0))).sqrt(),
        };
        Ok(Self {
            value: U::of_nats(mean),
            standard_error: Nats::of(standard_error),
        })
    }

    /// Without an error.
    pub(crate) fn exact(value: U) -> Self {
        Self {
            value,
            standard_error: Nats::of(0.0),
        }
    }

    /// `factor * self + offset`, in nats, as another quantity.
    pub(crate) fn affine<W: InNats>(self, factor: f64, offset: Nats) -> Estimate<W> {
        Estimate {
            value: W::of_nats(self.value.nats() * factor + offset),
            standard_error: self.standard_error * factor.abs(),
        }
    }
}
