//! Variances, log-variances, and which one a sampler gives its steps.

mod denoising;

use crate::{Error, Markov, NoiseLevel, Posterior};

pub use denoising::DenoisingVariance;

/// A variance. Not a standard deviation, and not its logarithm.
///
/// ```
/// use gaussian_diffusion::Variance;
/// let variance = Variance::new(0.25)?;
/// assert_eq!(variance.std(), 0.5);
/// assert_eq!(variance.ln().get(), 0.25_f64.ln());
/// assert!(Variance::new(-0.25).is_err());
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "f64", into = "f64"))]
pub struct Variance(f64);

impl Variance {
    /// The variance of this value.
    ///
    /// # Errors
    ///
    /// If `value` is negative, NaN or infinite.
    pub fn new(value: f64) -> Result<Self, Error> {
        if !(value >= 0.0 && value.is_finite()) {
            return Err(Error::range("variance", value, "a finite number from 0 on"));
        }
        Ok(Self(value))
    }

    /// The square of a standard deviation that is known to be valid.
    pub(crate) const fn of_std(std: f64) -> Self {
        Self(std * std)
    }

    /// The variance as a number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Its square root, the standard deviation.
    pub fn std(self) -> f64 {
        self.0.sqrt()
    }

    /// Its natural logarithm; negative infinity for a variance of 0.
    pub fn ln(self) -> LogVariance {
        LogVariance(self.0.ln())
    }
}

/// The natural logarithm of a variance.
///
/// ```
/// use gaussian_diffusion::LogVariance;
/// let log = LogVariance::new(-2.0)?;
/// assert_eq!(log.std(), (-1.0_f64).exp());
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        try_from = "crate::serialized::Number",
        into = "crate::serialized::Number"
    )
)]
pub struct LogVariance(f64);

impl LogVariance {
    /// The logarithm of this value.
    ///
    /// # Errors
    ///
    /// If `value` is NaN or above 709, beyond which the variance would be infinite.
    pub fn new(value: f64) -> Result<Self, Error> {
        if !(value <= 709.0) {
            return Err(Error::range("log-variance", value, "a number up to 709"));
        }
        Ok(Self(value))
    }

    /// The logarithm as a number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The standard deviation `exp(self / 2)`.
    pub fn std(self) -> f64 {
        (0.5 * self.0).exp()
    }

    /// The variance `exp(self)`.
    pub fn exp(self) -> Variance {
        Variance(self.0.exp())
    }
}

/// How much noise one update adds.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum UpdateNoise {
    /// The same standard deviation for every element; 0 draws nothing.
    Std(f64),
    /// The network gives the log-variance of every element.
    Learned,
    /// The network gives `v` in [-1, 1] for every element, and the log-variance is
    /// `min + (max - min) * (v + 1) / 2`.
    LearnedRange {
        /// Log-variance at `v = -1`.
        min: LogVariance,
        /// Log-variance at `v = 1`.
        max: LogVariance,
    },
}

impl UpdateNoise {
    /// No noise.
    pub const NONE: Self = Self::Std(0.0);

    /// The log-variance as `offset + scale * v` of what the network says.
    pub(crate) fn log_variance_map(self) -> (f64, f64) {
        match self {
            Self::Std(std) => (2.0 * std.ln(), 0.0),
            Self::Learned => (0.0, 1.0),
            Self::LearnedRange { min, max } => {
                let (min, max) = (min.get(), max.get());
                (0.5 * (min + max), 0.5 * (max - min))
            }
        }
    }

    /// Whether the update draws noise.
    pub fn draws(self) -> bool {
        self != Self::NONE
    }
}

/// The variance a DDPM gives `p(x_s | x_t)`.
///
/// | choice | variance of the step from `t` to `s` |
/// |---|---|
/// | `FixedSmall` | that of the posterior `q(x_s \| x_t, x_0)`: right for data that is one point |
/// | `FixedLarge` | that of `q(x_t \| x_s)`, the beta of the step: right for data `N(0, I)` |
/// | `Learned` | the network gives its logarithm |
/// | `LearnedRange` | the network gives where its logarithm lies between the first two |
///
/// [Sources](crate::docs::papers#arxiv-2006.11239): Denoising Diffusion Probabilistic Models, Ho, Jain, Abbeel, 2020 (the
/// fixed ones); Improved Denoising Diffusion Probabilistic Models, Nichol, Dhariwal, 2021 (the learned ones).
#[doc(alias("variance_type", "fixed_small", "fixed_large", "learned_range"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ModelVariance {
    /// The posterior's.
    #[default]
    #[doc(alias("fixed_small_log"))]
    FixedSmall,
    /// The forward step's.
    #[doc(alias("fixed_large_log"))]
    FixedLarge,
    /// The network gives the log-variance.
    Learned,
    /// The network interpolates between the logarithms of the two fixed ones.
    LearnedRange,
}

impl ModelVariance {
    /// The spread of the step `from -> to`, with the log-variance of the last step clipped.
    ///
    /// The posterior of a step to the data has variance 0, whose logarithm is useless as a bound
    /// and as a divisor. It is replaced by that of the step before, `previous`, as in the code of
    /// Improved DDPM; where there is none (a single step), by the variance of the forward step.
    /// Sampling does not use it, since a step to the data draws nothing; likelihoods do.
    ///
    /// # Errors
    ///
    /// If a pair does not go from a noisier to a cleaner level.
    ///
    /// ```
    /// use gaussian_diffusion::{ModelVariance, NoiseLevel, UpdateNoise, schedule::Discrete, Step};
    /// let schedule = Discrete::cosine(100)?;
    /// let (from, to) = (schedule.level_at_step(1)?, schedule.level_at_step(0)?);
    /// let first = ModelVariance::FixedSmall.update_noise(to, NoiseLevel::CLEAN, Some((from, to)))?;
    /// assert_eq!(first, ModelVariance::FixedSmall.update_noise(from, to, None)?);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("posterior_log_variance_clipped"))]
    pub fn update_noise(
        self,
        from: NoiseLevel,
        to: NoiseLevel,
        previous: Option<(NoiseLevel, NoiseLevel)>,
    ) -> Result<UpdateNoise, Error> {
        let large = Markov.forward_std(from, to)?;
        let small = if !to.is_clean() {
            Markov.coefficients(from, to)?.std
        } else if let Some((from, to)) = previous {
            Markov.coefficients(from, to)?.std
        } else {
            large
        };
        Ok(match self {
            Self::FixedSmall => UpdateNoise::Std(small),
            Self::FixedLarge if to.is_clean() => UpdateNoise::Std(small),
            Self::FixedLarge => UpdateNoise::Std(large),
            Self::Learned => UpdateNoise::Learned,
            Self::LearnedRange => UpdateNoise::LearnedRange {
                min: Variance::of_std(small).ln(),
                max: Variance::of_std(large).ln(),
            },
        })
    }
}

/// What gives the reverse steps of a Markov chain their variance: [`ModelVariance`], or
/// [`AnalyticDpm`](crate::solver::AnalyticDpm) with one that was measured.
pub trait ReverseVariance {
    /// The spread of the step `from -> to`, and of the last step, which has no variance of its own, as
    /// [`ModelVariance::update_noise`] says.
    ///
    /// # Errors
    ///
    /// If a pair does not go from a noisier to a cleaner level, or nothing is known of one.
    fn update_noise(
        &self,
        from: NoiseLevel,
        to: NoiseLevel,
        previous: Option<(NoiseLevel, NoiseLevel)>,
    ) -> Result<UpdateNoise, Error>;
}

impl ReverseVariance for ModelVariance {
    fn update_noise(
        &self,
        from: NoiseLevel,
        to: NoiseLevel,
        previous: Option<(NoiseLevel, NoiseLevel)>,
    ) -> Result<UpdateNoise, Error> {
        Self::update_noise(*self, from, to, previous)
    }
}

impl<R: ReverseVariance + ?Sized> ReverseVariance for &R {
    fn update_noise(
        &self,
        from: NoiseLevel,
        to: NoiseLevel,
        previous: Option<(NoiseLevel, NoiseLevel)>,
    ) -> Result<UpdateNoise, Error> {
        (**self).update_noise(from, to, previous)
    }
}
