//! Neighbours in a list of times.

use super::{TimeSampler, shares::Shares};
use crate::{Clock, Error, Step, time::check_steps};

/// An interval between neighbouring times of a list, as often as another sampler draws a time within it.
///
/// Step `i` is the interval from the `i`th time to the next. Consistency training draws pairs of levels so: with
/// [`LogNormal::ict`](super::LogNormal::ict), the shares are those of the improved techniques.
///
/// $$p_i\propto F(t_{i+1})-F(t_i)$$
///
/// [Source](crate::docs::papers#arxiv-2310.14189): Improved Techniques for Training Consistency Models, Song, Dhariwal, 2024.
///
/// ```
/// use gaussian_diffusion::{Grid, NoiseLevel, Sigma, Step, schedule::Edm};
/// use gaussian_diffusion::training::times::{Intervals, LogNormal, TimeSampler};
/// // The levels of Karras from the cleanest on, without the data.
/// let grid = Grid::karras(&Edm::default(), 11)?;
/// let sigmas: Vec<Sigma> = grid.nodes().iter().rev().map(|node| node.time).collect();
/// let sampler = Intervals::new(&LogNormal::ict(), &sigmas)?;
/// let (low, high) = sampler.ends(sampler.quantile(0.5)?)?;
/// assert!(low < high && low.get() < 0.4 && high.get() > 0.3);
/// // Improved consistency training weighs by the inverse of the distance.
/// assert_eq!(sampler.inverse_length(Step::new(0))?, 1.0 / (sigmas[1].get() - sigmas[0].get()));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Intervals<T> {
    times: Vec<T>,
    shares: Shares,
}

impl<T: Clock> Intervals<T> {
    /// Between these times, by the shares of this sampler.
    ///
    /// # Errors
    ///
    /// If there are fewer than two times, they do not strictly rise, or less than a millionth of the sampler's
    /// draws lie between the first and the last.
    pub fn new<S>(sampler: &S, times: &[T]) -> Result<Self, Error>
    where
        S: TimeSampler<Time = T> + ?Sized,
    {
        check_steps(times.len().saturating_sub(1))?;
        let falls = times
            .windows(2)
            .position(|pair| !(pair[0].reading() < pair[1].reading()));
        if let Some(i) = falls {
            let found = times[i + 1].reading();
            let allowed = format!("above {}", times[i].reading());
            return Err(Error::element("times", i + 1, found, allowed));
        }
        let shares: Vec<f64> = times
            .windows(2)
            .map(|pair| (sampler.cdf(pair[1]) - sampler.cdf(pair[0])).max(0.0))
            .collect();
        let mass: f64 = shares.iter().sum();
        if !(mass >= 1e-6) {
            return Err(Error::range("share between the ends", mass, "1e-6 or more"));
        }
        Ok(Self {
            times: times.to_vec(),
            shares: Shares::new(shares.iter().map(|share| share / mass).collect()),
        })
    }

    /// The two times of an interval, the lower first.
    ///
    /// # Errors
    ///
    /// If there is no such interval.
    pub fn ends(&self, step: Step) -> Result<(T, T), Error> {
        let place = step.index();
        match place.and_then(|i| Some((*self.times.get(i)?, *self.times.get(i + 1)?))) {
            Some(ends) => Ok(ends),
            None => {
                let allowed = format!("the whole steps 0 to {}", self.times.len() - 2);
                Err(Error::range("step", step.get(), allowed))
            }
        }
    }

    /// One over the length of an interval: the weight of improved consistency training.
    ///
    /// # Errors
    ///
    /// As [`ends`](Self::ends).
    pub fn inverse_length(&self, step: Step) -> Result<f64, Error> {
        let (low, high) = self.ends(step)?;
        Ok(1.0 / (high.reading() - low.reading()))
    }
}

impl<T: Clock> TimeSampler for Intervals<T> {
    type Time = Step;

    fn quantile(&self, u: f64) -> Result<Step, Error> {
        self.shares.quantile(u)
    }

    fn cdf(&self, t: Step) -> f64 {
        self.shares.cdf(t)
    }

    fn cdf_before(&self, t: Step) -> f64 {
        self.shares.cdf_before(t)
    }

    fn density(&self, t: Step) -> f64 {
        self.shares.density(t)
    }
}
