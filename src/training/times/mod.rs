//! Which times a network is trained at.
//!
//! A sampler is a distribution over times, given by its quantile function, and a batch is its
//! quantiles at [`Uniforms`]: independent, stratified, evenly spaced or in pairs. Each time comes
//! with its density, so that a loss can be reweighted without bias.
//!
//! | sampler | time | |
//! |---|---|---|
//! | [`UniformStep`] | [`Step`](crate::Step) | DDPM |
//! | [`LossSecondMoment`] | `Step` | where the loss is large |
//! | [`UniformTime`] | [`Time`](crate::Time) | |
//! | [`LogitNormalTime`], [`Mode`], [`CosMap`] | `Time` | rectified flows |
//! | [`LogNormal`] | [`Sigma`](crate::Sigma) | EDM |
//! | [`LogUniform`], [`CosineSigma`] | `Sigma` | |
//! | [`Truncated`] | that of the inner one | any of these within bounds |
//! | [`Intervals`] | `Step`, an interval of a list | consistency models |
//! | [`Pairs`] | two of the inner one | flow maps |

mod cosine;
mod intervals;
mod log_normal;
mod log_uniform;
mod logit_normal;
mod loss_second_moment;
mod mode;
mod normal;
mod pairs;
mod shares;
mod truncated;
mod uniform;
mod uniforms;

use std::fmt::Debug;

use crate::{Error, rand::RngCore};

pub use cosine::{CosMap, CosineSigma};
pub use intervals::Intervals;
pub use log_normal::LogNormal;
pub use log_uniform::LogUniform;
pub use logit_normal::LogitNormalTime;
pub use loss_second_moment::LossSecondMoment;
pub use mode::Mode;
pub use pairs::Pairs;
pub use truncated::Truncated;
pub use uniform::{UniformStep, UniformTime};
pub use uniforms::Uniforms;

/// A distribution over training times.
///
/// # Laws
///
/// Checked by `laws::time_sampler` (feature `laws`): `quantile` and `cdf` are inverse to one another,
/// and `density` is the derivative of `cdf` by the reading of the clock; over steps it is the
/// probability of the step.
///
/// ```
/// use gaussian_diffusion::{
///     rand::{SeedableRng, rngs::StdRng},
///     training::times::{Mode, TimeSampler, UniformTime, Uniforms},
/// };
/// let sampler = Mode::new(1.29)?;
/// let draws = sampler.draw(Uniforms::Stratified, 8, &mut StdRng::seed_from_u64(0))?;
/// // Weights with which the mean loss is that of uniform times.
/// let weights = draws.weights_for(&UniformTime::default());
/// assert_eq!((draws.times.len(), weights.len()), (8, 8));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "timestep_sampler",
    "density_for_timestep_sampling",
    "schedule_sampler"
))]
pub trait TimeSampler {
    /// The clock.
    type Time: Copy + Debug;

    /// The time below which this share of the draws lies.
    ///
    /// # Errors
    ///
    /// If `u` is not above 0 and below 1.
    fn quantile(&self, u: f64) -> Result<Self::Time, Error>;

    /// The share of draws up to this time.
    fn cdf(&self, t: Self::Time) -> f64;

    /// The share of draws before this time: less than [`cdf`](Self::cdf) where the time itself has a
    /// share, as a step has.
    fn cdf_before(&self, t: Self::Time) -> f64 {
        self.cdf(t)
    }

    /// The density at a time, per unit of the clock's reading; 0 where no time is drawn.
    fn density(&self, t: Self::Time) -> f64;

    /// A batch of times, each with its density.
    ///
    /// # Errors
    ///
    /// As the sampler has them; not for those of this crate.
    fn draw(
        &self,
        uniforms: Uniforms,
        count: usize,
        rng: &mut dyn RngCore,
    ) -> Result<Draws<Self::Time>, Error> {
        let times = uniforms
            .draw(count, rng)
            .into_iter()
            .map(|u| self.quantile(u))
            .collect::<Result<Vec<_>, _>>()?;
        let densities = times.iter().map(|&t| self.density(t)).collect();
        Ok(Draws { times, densities })
    }
}

macro_rules! forward_sampler {
    ($($pointer:ty),*) => {$(
        impl<S: TimeSampler + ?Sized> TimeSampler for $pointer {
            type Time = S::Time;

            fn quantile(&self, u: f64) -> Result<Self::Time, Error> {
                (**self).quantile(u)
            }

            fn cdf(&self, t: Self::Time) -> f64 {
                (**self).cdf(t)
            }

            fn cdf_before(&self, t: Self::Time) -> f64 {
                (**self).cdf_before(t)
            }

            fn density(&self, t: Self::Time) -> f64 {
                (**self).density(t)
            }
        }
    )*};
}

forward_sampler!(&S, Box<S>);

/// Times and the density each was drawn with.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Draws<T> {
    /// One time per batch item.
    pub times: Vec<T>,
    /// The density of each, under the sampler that drew it.
    pub densities: Vec<f64>,
}

impl<T: Copy + Debug> Draws<T> {
    /// `wanted.density(t) / density(t)`: times these, a loss has the expectation it has under
    /// `wanted`.
    ///
    /// $$\mathbb E_{t\sim p}\Big[\tfrac{q(t)}{p(t)}\thinspace\ell(t)\Big]=\mathbb E_{t\sim q}[\ell(t)]$$
    ///
    /// Holds where the sampler draws every time that `wanted` does. Rare draws have large weights: from
    /// a logit-normal to uniform times the mean is right but its variance infinite, so that a
    /// sampler with heavier tails ([`Mode`], [`CosMap`]) is the better start.
    #[doc(alias("importance_weights"))]
    pub fn weights_for<S: TimeSampler<Time = T> + ?Sized>(&self, wanted: &S) -> Vec<f64> {
        self.times
            .iter()
            .zip(&self.densities)
            .map(|(&t, density)| wanted.density(t) / density)
            .collect()
    }
}

/// Refuses a share that no time belongs to.
fn check_share(u: f64) -> Result<f64, Error> {
    if !(u > 0.0 && u < 1.0) {
        return Err(Error::range("share", u, "above 0 and below 1"));
    }
    Ok(u)
}
