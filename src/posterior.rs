//! The posterior `q(x_s | x_t, x_0)` between any two noise levels.

use crate::{
    Error, NoiseLevel,
    error::Number,
    variance::{LogVariance, Variance},
};

/// The posterior of one step as three numbers: `x_s ~ N(state * x_t + clean * x_0, std^2 I)`.
///
/// $$q(x_s \mid x_t, x_0) = \mathcal N(\texttt{state}\thinspace x_t + \texttt{clean}\thinspace x_0,\ \texttt{std}^2 I)$$
///
/// The marginals fix two equations, whatever the family:
/// `state * alpha_t + clean = alpha_s` and `(state * sigma_t)^2 + std^2 = sigma_s^2`.
#[doc(alias("diffusion bridge"))]
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PosteriorCoefficients {
    /// Coefficient of `x_t`.
    #[doc(alias("posterior_mean_coef2"))]
    pub state: f64,
    /// Coefficient of `x_0`.
    #[doc(alias("posterior_mean_coef1"))]
    pub clean: f64,
    /// Standard deviation of the noise.
    pub std: f64,
}

impl PosteriorCoefficients {
    /// `std^2`.
    pub fn variance(self) -> Variance {
        Variance::of_std(self.std)
    }
}

/// A family of posteriors `q(x_s | x_t, x_0)` that share the marginals `q(x_t | x_0)`.
///
/// Laws, checked by `laws::posterior` (feature `laws`) and stated at [`PosteriorCoefficients`]; a step to the
/// clean level is `state = 0, clean = 1, std = 0`.
///
/// ```
/// use gaussian_diffusion::{NonMarkovian, Markov, NoiseLevel, Posterior};
/// let (from, to) = (NoiseLevel::new(0.6, 0.8)?, NoiseLevel::new(0.8, 0.6)?);
/// let q = Markov.coefficients(from, to)?;
/// assert!((q.state * from.alpha() + q.clean - to.alpha()).abs() < 1e-15);
/// assert_eq!(q, NonMarkovian::new(1.0)?.coefficients(from, to)?);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
pub trait Posterior {
    /// The step from the noisier level `from` to the cleaner level `to`.
    ///
    /// # Errors
    ///
    /// If `from` is not noisier than `to`, or the family has no such member.
    fn coefficients(
        &self,
        from: NoiseLevel,
        to: NoiseLevel,
    ) -> Result<PosteriorCoefficients, Error>;

    /// The variance of the step.
    ///
    /// # Errors
    ///
    /// As [`coefficients`](Self::coefficients).
    #[doc(alias("posterior_variance"))]
    fn variance(&self, from: NoiseLevel, to: NoiseLevel) -> Result<Variance, Error> {
        Ok(self.coefficients(from, to)?.variance())
    }

    /// The log-variance of the step, negative infinity for a step that draws nothing.
    ///
    /// # Errors
    ///
    /// As [`coefficients`](Self::coefficients).
    fn log_variance(&self, from: NoiseLevel, to: NoiseLevel) -> Result<LogVariance, Error> {
        Ok(self.variance(from, to)?.ln())
    }
}

/// The posterior of the Markov chain `x_0 -> x_s -> x_t`: Bayes' rule on two Gaussians.
///
/// With `r^2 = SNR_t / SNR_s`: `state = r^2 alpha_s / alpha_t`, `clean = alpha_s (1 - r^2)`,
/// `std^2 = sigma_s^2 (1 - r^2)`.
///
/// $$\tilde\mu = r^2\frac{\alpha_s}{\alpha_t}x_t + \alpha_s(1-r^2)x_0,\qquad
///   \tilde\sigma^2 = \sigma_s^2(1-r^2),\qquad r^2=\frac{\mathrm{SNR}_t}{\mathrm{SNR}_s}$$
///
/// For neighbouring steps of a discrete schedule these are the posterior mean coefficients and
/// `beta_tilde` of the DDPM paper.
///
/// [Source](crate::docs::papers#arxiv-2006.11239): Denoising Diffusion Probabilistic Models, Ho, Jain, Abbeel, 2020, equations
/// 6 and 7.
#[doc(alias("beta_tilde", "q_posterior_mean_variance"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Markov;

impl Markov {
    /// The standard deviation of `q(x_t | x_s)`: the root of the beta of this step.
    ///
    /// # Errors
    ///
    /// If `from` is not noisier than `to`.
    pub fn forward_std(&self, from: NoiseLevel, to: NoiseLevel) -> Result<f64, Error> {
        check_direction(from, to)?;
        let (ratio, gap) = (to.ratio_above(from), to.gap_above(from));
        Ok(from.sigma() * (gap * (1.0 + ratio)).sqrt())
    }
}

impl Posterior for Markov {
    fn coefficients(
        &self,
        from: NoiseLevel,
        to: NoiseLevel,
    ) -> Result<PosteriorCoefficients, Error> {
        NonMarkovian::MARKOV.coefficients(from, to)
    }
}

/// The family of DDIM: `std^2 = eta^2 *` the Markov posterior's variance, with the same marginals.
///
/// With `r` as for [`Markov`] and `q^2 = 1 - eta^2 (1 - r^2)`: `state = q sigma_s / sigma_t`,
/// `clean = alpha_s (1 - r q)`, `std = eta sigma_s sqrt(1 - r^2)`.
///
/// $$x_s = \alpha_s x_0 + \sqrt{\sigma_s^2-\tilde\sigma^2}\thinspace\frac{x_t-\alpha_t x_0}{\sigma_t}
///   {}+ \tilde\sigma z,\qquad \tilde\sigma^2=\eta^2\sigma_s^2(1-r^2)$$
///
/// `eta = 1` is [`Markov`]; `eta = 0` is deterministic.
///
/// [Source](crate::docs::papers#arxiv-2010.02502): Denoising Diffusion Implicit Models, Song, Meng, Ermon, 2020, equations 7
/// and 16.
#[doc(alias("DDIM posterior", "generalized DDIM"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NonMarkovian {
    eta: f64,
}

impl NonMarkovian {
    pub(crate) const DETERMINISTIC: Self = Self { eta: 0.0 };
    pub(crate) const MARKOV: Self = Self { eta: 1.0 };

    /// The member of the family with this eta: 1 is [`Markov`], 0 draws nothing.
    ///
    /// # Errors
    ///
    /// If eta is negative, NaN or infinite. Above 1, some steps have no posterior, and
    /// [`coefficients`](Posterior::coefficients) says so.
    pub fn new(eta: f64) -> Result<Self, Error> {
        if !(eta >= 0.0 && eta.is_finite()) {
            return Err(Error::range("eta", eta, "a finite number from 0 on"));
        }
        Ok(Self { eta })
    }

    /// The share of the Markov posterior's standard deviation.
    pub const fn eta(self) -> f64 {
        self.eta
    }
}

impl Posterior for NonMarkovian {
    fn coefficients(
        &self,
        from: NoiseLevel,
        to: NoiseLevel,
    ) -> Result<PosteriorCoefficients, Error> {
        check_direction(from, to)?;
        let (ratio, gap) = (to.ratio_above(from), to.gap_above(from));
        let drawn = self.eta * self.eta;
        // Sums of what does not cancel, so that the coefficients of short steps keep their digits.
        let one_minus_ratio2 = gap * (1.0 + ratio);
        let kept2 = (1.0 - drawn) + drawn * ratio * ratio;
        if !(kept2 >= 0.0) {
            let most = one_minus_ratio2.sqrt().recip();
            return Err(Error::range(
                "eta",
                self.eta,
                format!("0 to {} for this step", Number(most)),
            ));
        }
        let kept = kept2.sqrt();
        Ok(PosteriorCoefficients {
            state: kept * to.sigma() / from.sigma(),
            clean: to.alpha() * (gap + ratio * drawn * one_minus_ratio2 / (1.0 + kept)),
            std: self.eta * to.sigma() * one_minus_ratio2.sqrt(),
        })
    }
}

fn check_direction(from: NoiseLevel, to: NoiseLevel) -> Result<(), Error> {
    if from.is_noisier_than(to) {
        return Ok(());
    }
    Err(Error::NotMonotone {
        what: "step",
        index: 1,
        before: from.log_snr().get(),
        this: to.log_snr().get(),
    })
}
