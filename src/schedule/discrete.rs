//! The table of betas of a DDPM.

use super::{NoiseSchedule, check_reach};
use crate::{
    Error, LogSnr, Markov, ModelVariance, NoiseLevel, Step, UpdateNoise, Variance, error::Number,
    simd::vectorized,
};

/// A variance-preserving schedule on training steps, given by its betas.
///
/// `alpha_bar_t = (1 - beta_0) ... (1 - beta_t)`, `alpha_t^2 = alpha_bar_t`,
/// `sigma_t^2 = 1 - alpha_bar_t`; steps count from 0, so that paper step `t` is step `t - 1` here.
///
/// $$\bar\alpha_t = \prod_{i\le t}(1-\beta_i),\qquad
///   q(x_t\mid x_0)=\mathcal N(\sqrt{\bar\alpha_t}\thinspace x_0,\ (1-\bar\alpha_t)I)$$
///
/// A beta lies strictly between 0 and 1; the last one may be 1 where the schedule is built to end
/// at zero SNR. A step between two whole ones has the log-SNR interpolated between theirs.
///
/// # Precision
///
/// Products are accumulated to twice the width of an f64, so that alpha, sigma, the log-SNR and the
/// posteriors of neighbouring steps agree with exact arithmetic to a relative 1e-13 (a test holds
/// the tables of eight schedules against 60 digits).
///
/// [Source](crate::docs::papers#arxiv-2006.11239): Denoising Diffusion Probabilistic Models, Ho, Jain, Abbeel, 2020.
///
/// ```
/// use gaussian_diffusion::{Step, schedule::{Discrete, NoiseSchedule}};
/// let schedule = Discrete::cosine(1000)?;
/// assert_eq!(schedule.len(), 1000);
/// let level = schedule.level(Step::new(499))?;
/// assert!((level.alpha().powi(2) - schedule.alpha_bar(Step::new(499))?).abs() < 1e-15);
/// assert_eq!(schedule.time_at(level.log_snr())?, Step::new(499));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("betas", "alphas_cumprod", "DDPM"))]
#[derive(Debug, Clone, PartialEq)]
pub struct Discrete {
    pub(super) betas: Vec<f64>,
    pub(super) levels: Vec<NoiseLevel>,
    /// The original index of each step, where this is a subsequence.
    pub(super) original: Option<Vec<usize>>,
}

/// Below 1e-300, products of two scales would underflow.
pub(super) const BETAS: &str = "1e-300 to below 1";

impl Discrete {
    /// The schedule of these betas, in order of time.
    ///
    /// # Errors
    ///
    /// If the list is empty, or a beta is not strictly between 0 and 1.
    #[doc(alias("trained_betas"))]
    pub fn from_betas(betas: impl Into<Vec<f64>>) -> Result<Self, Error> {
        Self::build(betas.into(), false)
    }

    /// The schedule of these cumulative products, in order of time.
    ///
    /// # Errors
    ///
    /// If the list is empty, or does not strictly fall within (0, 1); the last one may be 0.
    #[doc(alias("alphas_cumprod"))]
    pub fn from_alpha_bars(alpha_bars: &[f64]) -> Result<Self, Error> {
        let last = alpha_bars.len().saturating_sub(1);
        let mut before = 1.0;
        let mut betas = Vec::with_capacity(alpha_bars.len());
        let mut levels = Vec::with_capacity(alpha_bars.len());
        for (index, &alpha_bar) in alpha_bars.iter().enumerate() {
            let zero_end = index == last && alpha_bar == 0.0;
            if !(alpha_bar < before && (alpha_bar >= 1e-300 || zero_end)) {
                let allowed = format!("1e-300 to below {}, or 0 for the last", Number(before));
                return Err(Error::element("alpha_bars", index, alpha_bar, allowed));
            }
            betas.push((before - alpha_bar) / before);
            levels.push(NoiseLevel::from_split_alpha_bar(alpha_bar, 0.0));
            before = alpha_bar;
        }
        Self::of_levels(betas, levels)
    }

    pub(super) fn build(betas: Vec<f64>, may_end_at_one: bool) -> Result<Self, Error> {
        let mut levels = Ok(Vec::new());
        // Fused products are a call each where they are not compiled for.
        vectorized(
            #[inline(always)]
            || levels = levels_of(&betas, may_end_at_one),
        );
        Self::of_levels(betas, levels?)
    }

    /// Refuses levels that are too close for their log-SNRs to tell them apart.
    pub(super) fn of_levels(betas: Vec<f64>, levels: Vec<NoiseLevel>) -> Result<Self, Error> {
        if levels.is_empty() {
            return Err(Error::range("number of steps", 0.0, "1 or more"));
        }
        for (index, pair) in levels.windows(2).enumerate() {
            // A gap that a logarithm cannot miss saves taking it.
            let (more, less) = (
                pair[0].alpha() * pair[1].sigma(),
                pair[1].alpha() * pair[0].sigma(),
            );
            if more - less > 1e-9 * more {
                continue;
            }
            let (before, this) = (pair[0].log_snr().get(), pair[1].log_snr().get());
            if !(this < before && pair[1].is_noisier_than(pair[0])) {
                return Err(Error::NotMonotone {
                    what: "levels",
                    index: index + 1,
                    before,
                    this,
                });
            }
        }
        Ok(Self {
            betas,
            levels,
            original: None,
        })
    }

    /// Number of steps, `T`.
    #[doc(alias("num_train_timesteps", "num_timesteps"))]
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.betas.len()
    }

    /// All betas, in order of time.
    pub fn betas(&self) -> &[f64] {
        &self.betas
    }

    /// All noise levels, in order of time.
    pub fn levels(&self) -> &[NoiseLevel] {
        &self.levels
    }

    /// The level of the whole step of this index.
    ///
    /// # Errors
    ///
    /// If there is no such step.
    pub fn level_at_step(&self, index: usize) -> Result<NoiseLevel, Error> {
        self.levels
            .get(index)
            .copied()
            .ok_or_else(|| self.outside(index as f64))
    }

    /// The level one step before `t`: that of `t - 1`, and the clean one before step 0.
    ///
    /// # Errors
    ///
    /// If `t` is not a whole step of the schedule.
    pub fn level_before(&self, t: Step) -> Result<NoiseLevel, Error> {
        Ok(match self.whole(t)? {
            0 => NoiseLevel::CLEAN,
            index => self.levels[index - 1],
        })
    }

    /// `beta_t`, the variance that step `t` adds.
    ///
    /// # Errors
    ///
    /// If `t` is not a whole step of the schedule; the same for all that follow.
    pub fn beta(&self, t: Step) -> Result<f64, Error> {
        Ok(self.betas[self.whole(t)?])
    }

    /// `1 - beta_t`: what the DDPM papers call `alpha_t`.
    ///
    /// Not the signal scale of the marginal, which is [`NoiseLevel::alpha`], the root of
    /// [`alpha_bar`](Self::alpha_bar).
    ///
    /// # Errors
    ///
    /// As [`beta`](Self::beta).
    pub fn alpha(&self, t: Step) -> Result<f64, Error> {
        Ok(1.0 - self.beta(t)?)
    }

    /// `sqrt(1 - beta_t)`.
    ///
    /// # Errors
    ///
    /// As [`beta`](Self::beta).
    pub fn sqrt_alpha(&self, t: Step) -> Result<f64, Error> {
        Ok(self.alpha(t)?.sqrt())
    }

    /// `alpha_bar_t`, the squared signal scale.
    ///
    /// # Errors
    ///
    /// As [`beta`](Self::beta).
    pub fn alpha_bar(&self, t: Step) -> Result<f64, Error> {
        Ok(self.sqrt_alpha_bar(t)?.powi(2))
    }

    /// `sqrt(alpha_bar_t)`, the signal scale.
    ///
    /// # Errors
    ///
    /// As [`beta`](Self::beta).
    pub fn sqrt_alpha_bar(&self, t: Step) -> Result<f64, Error> {
        Ok(self.levels[self.whole(t)?].alpha())
    }

    /// `1 - alpha_bar_t`, the squared noise scale, accurate also where it is small.
    ///
    /// # Errors
    ///
    /// As [`beta`](Self::beta).
    pub fn one_minus_alpha_bar(&self, t: Step) -> Result<f64, Error> {
        Ok(self.sqrt_one_minus_alpha_bar(t)?.powi(2))
    }

    /// `sqrt(1 - alpha_bar_t)`, the noise scale.
    ///
    /// # Errors
    ///
    /// As [`beta`](Self::beta).
    pub fn sqrt_one_minus_alpha_bar(&self, t: Step) -> Result<f64, Error> {
        Ok(self.levels[self.whole(t)?].sigma())
    }

    /// The variance of `q(x_{t-1} | x_t, x_0)`: 0 for step 0.
    ///
    /// # Errors
    ///
    /// As [`beta`](Self::beta).
    #[doc(alias("beta_tilde"))]
    pub fn posterior_variance(&self, t: Step) -> Result<Variance, Error> {
        use crate::Posterior;
        Markov.variance(self.levels[self.whole(t)?], self.level_before(t)?)
    }

    /// The variance a DDPM gives `p(x_{t-1} | x_t)`, with the log-variance of step 0 clipped to that
    /// of step 1.
    ///
    /// # Errors
    ///
    /// As [`beta`](Self::beta).
    ///
    /// ```
    /// use gaussian_diffusion::{ModelVariance, Step, schedule::Discrete};
    /// let schedule = Discrete::cosine(100)?;
    /// let small = |t| schedule.model_variance(ModelVariance::FixedSmall, Step::new(t));
    /// assert_eq!(small(0)?, small(1)?);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("posterior_log_variance_clipped"))]
    pub fn model_variance(&self, choice: ModelVariance, t: Step) -> Result<UpdateNoise, Error> {
        let index = self.whole(t)?;
        let previous = (index == 0).then(|| self.levels.get(1).map(|&one| (one, self.levels[0])));
        choice.update_noise(
            self.levels[index],
            self.level_before(t)?,
            previous.flatten(),
        )
    }

    fn whole(&self, t: Step) -> Result<usize, Error> {
        match t.index() {
            Some(index) if index < self.len() => Ok(index),
            _ => Err(self.outside(t.get())),
        }
    }

    fn outside(&self, step: f64) -> Error {
        Error::range(
            "step",
            step,
            format!("the whole steps 0 to {}", self.len() - 1),
        )
    }

    /// The neighbours of a step and how far it is from the first to the second.
    fn split(&self, t: f64) -> Result<(usize, usize, f64), Error> {
        let last = self.len() - 1;
        if !(t <= last as f64) {
            return Err(Error::range("step", t, format!("0 to {last}")));
        }
        let low = (t.floor() as usize).min(last);
        Ok((low, (low + 1).min(last), t.fract()))
    }
}

/// The level of each cumulative product.
#[inline(always)]
fn levels_of(betas: &[f64], may_end_at_one: bool) -> Result<Vec<NoiseLevel>, Error> {
    let last = betas.len().saturating_sub(1);
    let mut levels = Vec::with_capacity(betas.len());
    // alpha_bar = high + low: an f64 alone would cost the posteriors of short steps two digits.
    let (mut high, mut low) = (1.0_f64, 0.0_f64);
    for (index, &beta) in betas.iter().enumerate() {
        let end = may_end_at_one && index == last && beta == 1.0;
        if !((1e-300..1.0).contains(&beta) || end) {
            return Err(Error::element("betas", index, beta, BETAS));
        }
        let keep = 1.0 - beta;
        let keep_low = (1.0 - keep) - beta;
        let product = high * keep;
        let rest = high.mul_add(keep, -product) + high * keep_low + low * keep;
        high = product + rest;
        low = rest - (high - product);
        if !(high >= 1e-300 || end) {
            return Err(Error::element("alpha_bars", index, high, "1e-300 to 1"));
        }
        levels.push(NoiseLevel::from_split_alpha_bar(high, low));
    }
    Ok(levels)
}

impl NoiseSchedule for Discrete {
    type Time = Step;

    fn level(&self, t: Step) -> Result<NoiseLevel, Error> {
        let (low, high, fraction) = self.split(t.get())?;
        let (low, high) = (self.levels[low], self.levels[high]);
        if fraction == 0.0 {
            return Ok(low);
        }
        if high.is_noise() {
            // The log-SNR is infinite at the end; alpha is not.
            return NoiseLevel::from_alpha_bar(((1.0 - fraction) * low.alpha()).powi(2));
        }
        let (a, b) = (low.log_snr().get(), high.log_snr().get());
        NoiseLevel::variance_preserving(LogSnr::new(a + (b - a) * fraction)?)
    }

    fn time_at(&self, snr: LogSnr) -> Result<Step, Error> {
        let last = self.len() - 1;
        let at = |index: usize| self.levels[index].log_snr().get();
        let wanted = check_reach(snr, at(last), at(0))?;
        // By ratios, and by logarithms, which decide, where those are close.
        let ratio = (0.5 * wanted).exp();
        let mut above = self
            .levels
            .partition_point(|level| level.alpha() >= ratio * level.sigma());
        while above <= last && at(above) >= wanted {
            above += 1;
        }
        while above > 0 && at(above - 1) < wanted {
            above -= 1;
        }
        let Some(low) = above.checked_sub(1) else {
            return Ok(Step::new(0));
        };
        let before = at(low);
        if low == last || before == wanted {
            return Ok(Step::new(low));
        }
        let fraction = if self.levels[above].is_noise() {
            1.0 - self.level_at(snr)?.alpha() / self.levels[low].alpha()
        } else {
            (before - wanted) / (before - at(above))
        };
        Step::fractional(low as f64 + fraction.clamp(0.0, 1.0))
    }

    fn ends(&self) -> (Step, Step) {
        (Step::new(self.len() - 1), Step::new(0))
    }

    fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
        NoiseLevel::variance_preserving(snr)
    }

    fn network_time(&self, t: Step) -> Step {
        let (Some(original), Ok((low, high, fraction))) = (&self.original, self.split(t.get()))
        else {
            return t;
        };
        let (low, high) = (original[low] as f64, original[high] as f64);
        Step::fractional(low + (high - low) * fraction).unwrap_or(t)
    }
}
