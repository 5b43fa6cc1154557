//! Sigmas uniform in their logarithm.

use super::{TimeSampler, check_share};
use crate::{Error, Sigma, error::Number};

/// `ln sigma` uniform between two ends: uniform times of the
/// [geometric schedule](crate::schedule::VeGeometric).
///
/// `p(sigma) = 1 / (sigma ln(high / low))`.
///
/// [Source](crate::docs::papers#arxiv-2011.13456): Score-Based Generative Modeling through Stochastic Differential Equations,
/// Song et al., 2021.
///
/// ```
/// use gaussian_diffusion::{Sigma, training::times::{LogUniform, TimeSampler}};
/// let sampler = LogUniform::new(Sigma::new(0.01)?, Sigma::new(100.0)?)?;
/// assert!((sampler.quantile(0.5)?.get() - 1.0).abs() < 1e-14);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogUniform {
    low: f64,
    high: f64,
}

impl LogUniform {
    /// With `ln sigma` even between these sigmas.
    ///
    /// # Errors
    ///
    /// If `low` is not in 1e-150 to 1e150, or `high` is not above it and in the same range.
    pub fn new(low: Sigma, high: Sigma) -> Result<Self, Error> {
        let (low, high) = (low.get(), high.get());
        if !(1e-150..=1e150).contains(&low) {
            return Err(Error::range("low sigma", low, "1e-150 to 1e150"));
        }
        if !(high > low && high <= 1e150) {
            let allowed = format!("above {} and up to 1e150", Number(low));
            return Err(Error::range("high sigma", high, allowed));
        }
        Ok(Self { low, high })
    }

    fn log_range(&self) -> f64 {
        self.high.ln() - self.low.ln()
    }
}

impl TimeSampler for LogUniform {
    type Time = Sigma;

    fn quantile(&self, u: f64) -> Result<Sigma, Error> {
        let sigma = self.low * (check_share(u)? * self.log_range()).exp();
        Sigma::new(sigma.clamp(self.low, self.high))
    }

    fn cdf(&self, t: Sigma) -> f64 {
        ((t.get().ln() - self.low.ln()) / self.log_range()).clamp(0.0, 1.0)
    }

    fn density(&self, t: Sigma) -> f64 {
        if !(self.low..=self.high).contains(&t.get()) {
            return 0.0;
        }
        1.0 / (t.get() * self.log_range())
    }
}
