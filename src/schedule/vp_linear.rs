//! The two diffusions whose beta is linear in time.

use super::{ContinuousSchedule, NoiseSchedule, Sde, check_reach, finite_sde};
use crate::{Error, LogSnr, NoiseLevel, Time, error::Number};

/// `beta(t) = min + t (max - min)` and what follows from it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct LinearBeta {
    min: f64,
    max: f64,
}

impl LinearBeta {
    fn new(min: f64, max: f64) -> Result<Self, Error> {
        // The scales of the last level are then those of a level.
        if !(1e-100..=690.0).contains(&min) {
            return Err(Error::range("min beta", min, "1e-100 to 690"));
        }
        if !(min..=690.0).contains(&max) {
            return Err(Error::range(
                "max beta",
                max,
                format!("{} (the min beta) to 690", Number(min)),
            ));
        }
        Ok(Self { min, max })
    }

    fn at(self, t: f64) -> f64 {
        self.min + t * (self.max - self.min)
    }

    /// `-ln alpha = (min t + (max - min) t^2 / 2) / 2`.
    fn decay(self, t: f64) -> f64 {
        0.5 * t * (self.min + 0.5 * t * (self.max - self.min))
    }

    /// The root of the quadratic in the form that does not cancel.
    fn time_of_decay(self, decay: f64) -> Result<Time, Error> {
        let (b, d) = (self.min, self.max - self.min);
        Time::new(4.0 * decay / (b + (b * b + 4.0 * d * decay).sqrt()))
    }
}

/// The variance-preserving diffusion with linear beta: the continuous limit of DDPM.
///
/// `alpha(t) = exp(-(min t + (max - min) t^2 / 2) / 2)`, `sigma^2 = 1 - alpha^2`, `t` in 0 to 1.
///
/// $$\alpha(t)=\exp\negthinspace\Big(-\tfrac14 t^2(\beta_{\max}-\beta_{\min})-\tfrac12 t\thinspace\beta_{\min}\Big)$$
///
/// The equation has drift `-beta / 2` and diffusion `sqrt(beta)`.
///
/// [Source](crate::docs::papers#arxiv-2011.13456): Score-Based Generative Modeling through Stochastic Differential Equations,
/// Song et al., 2021 (min 0.1, max 20).
///
/// ```
/// use gaussian_diffusion::{Time, schedule::{NoiseSchedule, VpLinear}};
/// let level = VpLinear::new(0.1, 20.0)?.level(Time::new(1.0)?)?;
/// assert!((level.alpha().ln() + 5.025).abs() < 1e-14);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("VPSDE"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VpLinear {
    beta: LinearBeta,
}

impl VpLinear {
    /// With a beta that grows from `min_beta` at time 0 to `max_beta` at time 1.
    ///
    /// # Errors
    ///
    /// If `min_beta` is not in 1e-100 to 690, or `max_beta` is below it or above 690.
    pub fn new(min_beta: f64, max_beta: f64) -> Result<Self, Error> {
        Ok(Self {
            beta: LinearBeta::new(min_beta, max_beta)?,
        })
    }
}

impl NoiseSchedule for VpLinear {
    type Time = Time;

    fn level(&self, t: Time) -> Result<NoiseLevel, Error> {
        let decay = self.beta.decay(t.unit()?);
        NoiseLevel::new((-decay).exp(), (-(-2.0 * decay).exp_m1()).sqrt())
    }

    fn time_at(&self, snr: LogSnr) -> Result<Time, Error> {
        let end = self.level(Time::ONE)?.log_snr().get();
        let snr = check_reach(snr, end, f64::INFINITY)?;
        // ln(1 + exp(-snr)) / 2
        let decay = 0.5 * (snr.min(0.0).abs() + (-snr.abs()).exp().ln_1p());
        self.beta.time_of_decay(decay)
    }

    fn ends(&self) -> (Time, Time) {
        (Time::ONE, Time::ZERO)
    }

    fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
        NoiseLevel::variance_preserving(snr)
    }
}

impl ContinuousSchedule for VpLinear {
    fn sde(&self, t: Time) -> Result<Sde, Error> {
        let beta = self.beta.at(t.unit()?);
        finite_sde(self.level(t)?, -0.5 * beta, beta.sqrt())
    }

    fn fading(&self, level: NoiseLevel) -> Result<f64, Error> {
        Ok(level.sigma().powi(2))
    }
}

/// The sub-variance-preserving diffusion: the signal of [`VpLinear`] under less noise.
///
/// `alpha(t)` as there, `sigma = 1 - alpha^2`.
///
/// $$\sigma(t) = 1-\alpha(t)^2,\qquad f=-\tfrac12\beta,\qquad g^2=\beta\thinspace(1-\alpha^4)$$
///
/// [Source](crate::docs::papers#arxiv-2011.13456): Score-Based Generative Modeling through Stochastic Differential Equations,
/// Song et al., 2021.
///
/// ```
/// use gaussian_diffusion::{Time, schedule::{NoiseSchedule, SubVp}};
/// let level = SubVp::new(0.1, 20.0)?.level(Time::new(0.5)?)?;
/// assert!((level.sigma() - (1.0 - level.alpha().powi(2))).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("subVPSDE"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SubVp {
    beta: LinearBeta,
}

impl SubVp {
    /// With a beta that grows from `min_beta` at time 0 to `max_beta` at time 1.
    ///
    /// # Errors
    ///
    /// If `min_beta` is not in 1e-100 to 690, or `max_beta` is below it or above 690.
    pub fn new(min_beta: f64, max_beta: f64) -> Result<Self, Error> {
        Ok(Self {
            beta: LinearBeta::new(min_beta, max_beta)?,
        })
    }

    /// `-ln alpha` at this log-SNR: `sigma / alpha = 1 / alpha - alpha = 2 sinh(-ln alpha)`.
    fn decay_at(snr: f64) -> f64 {
        (0.5 * (-0.5 * snr).exp()).asinh()
    }
}

impl NoiseSchedule for SubVp {
    type Time = Time;

    fn level(&self, t: Time) -> Result<NoiseLevel, Error> {
        let decay = self.beta.decay(t.unit()?);
        NoiseLevel::new((-decay).exp(), -(-2.0 * decay).exp_m1())
    }

    fn time_at(&self, snr: LogSnr) -> Result<Time, Error> {
        let end = self.level(Time::ONE)?.log_snr().get();
        let snr = check_reach(snr, end, f64::INFINITY)?;
        self.beta.time_of_decay(Self::decay_at(snr))
    }

    fn ends(&self) -> (Time, Time) {
        (Time::ONE, Time::ZERO)
    }

    fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
        if snr.get() == f64::NEG_INFINITY {
            return Ok(NoiseLevel::NOISE);
        }
        snr.noise_to_signal()?;
        let decay = Self::decay_at(snr.get());
        NoiseLevel::new((-decay).exp(), -(-2.0 * decay).exp_m1())
    }
}

impl ContinuousSchedule for SubVp {
    fn sde(&self, t: Time) -> Result<Sde, Error> {
        let (beta, decay) = (self.beta.at(t.unit()?), self.beta.decay(t.unit()?));
        let g2 = beta * -(-4.0 * decay).exp_m1();
        finite_sde(self.level(t)?, -0.5 * beta, g2.sqrt())
    }

    fn fading(&self, level: NoiseLevel) -> Result<f64, Error> {
        // sigma / alpha = 2 sinh(-ln alpha), of which this is the hyperbolic tangent.
        Ok(level.sigma() / (1.0 + level.alpha().powi(2)))
    }
}
