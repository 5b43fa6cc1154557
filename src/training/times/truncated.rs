//! Any sampler within bounds.

use super::{TimeSampler, check_share, uniforms::open};
use crate::{Clock, Error};

/// The times of a sampler that lie between two ends, in the same proportions.
///
/// $$p^{\prime}(t)=\frac{p(t)}{F(b)-F(a)}\quad\text{for } a\le t\le b$$
///
/// ```
/// use gaussian_diffusion::{Sigma, training::times::{LogNormal, TimeSampler, Truncated}};
/// let (low, high) = (Sigma::new(0.002)?, Sigma::new(80.0)?);
/// let sampler = Truncated::new(LogNormal::edm(), low, high)?;
/// assert_eq!(sampler.density(Sigma::new(81.0)?), 0.0);
/// assert!(sampler.quantile(1e-15)? >= low);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truncated<S: TimeSampler> {
    inner: S,
    low: S::Time,
    high: S::Time,
    below: f64,
    mass: f64,
}

impl<S: TimeSampler> Truncated<S>
where
    S::Time: Clock,
{
    /// The times of this sampler that lie between these two.
    ///
    /// # Errors
    ///
    /// If less than a millionth of the inner sampler's draws lie between the ends.
    pub fn new(inner: S, low: S::Time, high: S::Time) -> Result<Self, Error> {
        let below = inner.cdf_before(low);
        let mass = inner.cdf(high) - below;
        if !(mass >= 1e-6) {
            return Err(Error::range("share between the ends", mass, "1e-6 or more"));
        }
        Ok(Self {
            inner,
            low,
            high,
            below,
            mass,
        })
    }

    fn holds(&self, t: S::Time) -> bool {
        (self.low.reading()..=self.high.reading()).contains(&t.reading())
    }
}

impl<S: TimeSampler> TimeSampler for Truncated<S>
where
    S::Time: Clock,
{
    type Time = S::Time;

    fn quantile(&self, u: f64) -> Result<S::Time, Error> {
        let share = open(self.below + check_share(u)? * self.mass);
        let t = self.inner.quantile(share)?;
        // Rounding may have left the bounds.
        Ok(if t.reading() < self.low.reading() {
            self.low
        } else if t.reading() > self.high.reading() {
            self.high
        } else {
            t
        })
    }

    fn cdf(&self, t: S::Time) -> f64 {
        ((self.inner.cdf(t) - self.below) / self.mass).clamp(0.0, 1.0)
    }

    fn cdf_before(&self, t: S::Time) -> f64 {
        ((self.inner.cdf_before(t) - self.below) / self.mass).clamp(0.0, 1.0)
    }

    fn density(&self, t: S::Time) -> f64 {
        if self.holds(t) {
            self.inner.density(t) / self.mass
        } else {
            0.0
        }
    }
}
