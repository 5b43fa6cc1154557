//! Which variance a DDPM gives its steps.

mod denoising;

use crate::{Error, Markov, NoiseLevel, Posterior, UpdateNoise, Variance};

pub use denoising::DenoisingVariance;

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
