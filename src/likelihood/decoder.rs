//! The last step of the bound: what `p(x_0 | x_1)` says of the data.

use super::{
    InNats, LogDensity, LogProbability, Nats,
    normal::{LN_SQRT_TAU, ln_interval, ln_upper},
};
use crate::{Error, LogVariance, error::Number};

/// The likelihood of one element of the data under a Gaussian that a model gives.
pub trait Decoder {
    /// Whether it is a probability of discrete data or a density of continuous data.
    type Likelihood: InNats;

    /// The log-likelihood of `x_0`, in nats.
    ///
    /// # Errors
    ///
    /// If `x_0` is not data this decoder knows.
    fn log_likelihood(&self, x_0: f64, mean: f64, variance: LogVariance) -> Result<Nats, Error>;

    /// Its derivative with respect to the log-variance.
    ///
    /// # Errors
    ///
    /// As [`log_likelihood`](Self::log_likelihood).
    fn slope(&self, x_0: f64, mean: f64, variance: LogVariance) -> Result<f64, Error>;
}

/// Continuous data: the density of the Gaussian itself.
///
/// `ln N(x_0; mean, s^2) = -(x_0 - mean)^2 / (2 s^2) - ln s - ln(2 pi) / 2`
///
/// ```
/// use gaussian_diffusion::{LogVariance, likelihood::{Continuous, Decoder}};
/// let found = Continuous.log_likelihood(1.0, 1.0, LogVariance::new(0.0)?)?;
/// assert!((found.get() + 0.5 * std::f64::consts::TAU.ln()).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Continuous;

impl Decoder for Continuous {
    type Likelihood = LogDensity;

    fn log_likelihood(&self, x_0: f64, mean: f64, variance: LogVariance) -> Result<Nats, Error> {
        let z = (x_0 - mean) / variance.std();
        Ok(Nats::of(-0.5 * (z * z + variance.get()) - LN_SQRT_TAU))
    }

    fn slope(&self, x_0: f64, mean: f64, variance: LogVariance) -> Result<f64, Error> {
        let z = (x_0 - mean) / variance.std();
        Ok(0.5 * (z * z - 1.0))
    }
}

/// Discrete data: the probability that the Gaussian gives to the bin of a level.
///
/// Levels lie evenly from `low` to `high`; a bin reaches half way to the neighbours, and those of
/// the two end levels are open, so that the probabilities of all levels sum to 1.
///
/// `P(x_0) = Phi((x_0 + w/2 - mean) / s) - Phi((x_0 - w/2 - mean) / s)`
///
/// $$P(x_0)=\Phi\Big(\frac{x_0+\frac w2-\mu}{s}\Big)-\Phi\Big(\frac{x_0-\frac w2-\mu}{s}\Big)$$
///
/// The logarithm is that of the exact normal distribution function and accurate to a relative 1e-12
/// also where both terms are 1, or both underflow.
///
/// [Source](crate::docs::papers#arxiv-2006.11239): Denoising Diffusion Probabilistic Models, Ho, Jain, Abbeel, 2020, equation
/// 13.
///
/// ```
/// use gaussian_diffusion::{LogVariance, likelihood::{Decoder, Discretized}};
/// let pixels = Discretized::images();
/// let level = |i: f64| 2.0 * i / 255.0 - 1.0;
/// let variance = LogVariance::new(-9.0)?;
/// assert!((pixels.log_likelihood(level(128.0), level(128.0), variance)?.get() + 1.29).abs() < 0.01);
/// // Far in the tail, where probabilities are below the range of numbers.
/// assert!((pixels.log_likelihood(level(0.0), 0.9, variance)?.get() + 14_571.8).abs() < 0.1);
/// assert!(pixels.log_likelihood(0.5, 0.5, variance).is_err());       // no level
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("discretized_gaussian_log_likelihood"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Discretized {
    levels: usize,
    low: f64,
    high: f64,
}

impl Discretized {
    /// This many levels, the first at `low` and the last at `high`.
    ///
    /// # Errors
    ///
    /// If there are fewer than 2 levels, or the ends are not finite and in this order.
    pub fn new(levels: usize, low: f64, high: f64) -> Result<Self, Error> {
        if levels < 2 {
            return Err(Error::range("number of levels", levels as f64, "2 or more"));
        }
        if !low.is_finite() {
            return Err(Error::range("lowest level", low, "a finite number"));
        }
        if !(high > low && high.is_finite()) {
            let allowed = format!("a finite number above {}", Number(low));
            return Err(Error::range("highest level", high, allowed));
        }
        Ok(Self { levels, low, high })
    }

    /// The 256 levels of an 8-bit picture, scaled to -1 to 1.
    pub fn images() -> Self {
        Self {
            levels: 256,
            low: -1.0,
            high: 1.0,
        }
    }

    /// Number of levels.
    pub fn levels(self) -> usize {
        self.levels
    }

    /// The distance of neighbouring levels, which is the width of their bins.
    pub fn width(self) -> f64 {
        (self.high - self.low) / (self.levels - 1) as f64
    }

    /// The log-probability of the level of this index.
    ///
    /// # Errors
    ///
    /// If there is no such level, or the standard deviation is not above 0 and finite.
    pub fn log_probability(
        self,
        index: usize,
        mean: f64,
        std: f64,
    ) -> Result<LogProbability, Error> {
        if index >= self.levels {
            let allowed = format!("0 to {}", self.levels - 1);
            return Err(Error::range("level", index as f64, allowed));
        }
        if !(std > 0.0 && std.is_finite()) {
            return Err(Error::range("deviation", std, "a finite number above 0"));
        }
        LogProbability::new(self.ln_bin(index, mean, std))
    }

    fn ln_bin(self, index: usize, mean: f64, std: f64) -> f64 {
        // Less is as good as none, and the width in deviations has to be a number.
        let std = std.max(1e-300 * self.width());
        let half = 0.5 * self.width() / std;
        let middle = (self.at(index) - mean) / std;
        if index == 0 {
            ln_upper(-middle - half)
        } else if index == self.levels - 1 {
            ln_upper(middle - half)
        } else {
            ln_interval(middle, half)
        }
    }

    fn at(self, index: usize) -> f64 {
        let (index, last) = (index as f64, (self.levels - 1) as f64);
        (self.low * (last - index) + self.high * index) / last
    }

    /// The index of the level that `x_0` is, up to a hundredth of a bin for rounding in f32.
    fn index(self, x_0: f64) -> Result<usize, Error> {
        let place = (x_0 - self.low) / self.width();
        let nearest = place.round();
        let known = (0.0..self.levels as f64).contains(&nearest);
        if !(known && (place - nearest).abs() <= 0.01) {
            let Self { levels, low, high } = self;
            let allowed = format!(
                "one of {levels} levels from {} to {}",
                Number(low),
                Number(high)
            );
            return Err(Error::range("x_0", x_0, allowed));
        }
        Ok(nearest as usize)
    }
}

impl Decoder for Discretized {
    type Likelihood = LogProbability;

    fn log_likelihood(&self, x_0: f64, mean: f64, variance: LogVariance) -> Result<Nats, Error> {
        let index = self.index(x_0)?;
        Ok(Nats::of(self.ln_bin(index, mean, variance.std())))
    }

    fn slope(&self, x_0: f64, mean: f64, variance: LogVariance) -> Result<f64, Error> {
        let (index, std) = (self.index(x_0)?, variance.std());
        let ln = self.ln_bin(index, mean, std);
        // z times the density at a border z, relative to the probability of the bin.
        let border = |side: f64| {
            let z = (self.at(index) + side * 0.5 * self.width() - mean) / std;
            z * libm::exp(-0.5 * z * z - LN_SQRT_TAU - ln)
        };
        let upper = if index == self.levels - 1 {
            0.0
        } else {
            border(1.0)
        };
        let lower = if index == 0 { 0.0 } else { border(-1.0) };
        Ok(0.5 * (lower - upper))
    }
}
