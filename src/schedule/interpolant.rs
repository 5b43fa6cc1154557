//! Schedules from any two functions of time.

use std::fmt;

use super::{ContinuousSchedule, NoiseSchedule, Sde, check_reach, finite_sde};
use crate::{Error, LogSnr, NoiseLevel, PathRates, Time};

/// No latent noise.
type NoLatent = fn(f64) -> (f64, f64);

/// A stochastic interpolant between data and noise as a schedule: any `alpha` and `sigma`, functions of the time in
/// [0, 1] that give a value and its derivative, with latent noise where wanted.
///
/// ```text
/// x_t = alpha(t) x_0 + beta(t) x_1 + gamma(t) z,   x_1, z ~ N(0, I)
///     = alpha(t) x_0 + sigma(t) eps,               sigma^2 = beta^2 + gamma^2
/// ```
///
/// $$x_t=\alpha(t)\thinspace x_0+\beta(t)\thinspace x_1+\gamma(t)\thinspace z,\qquad\sigma^2=\beta^2+\gamma^2$$
///
/// At every time the state has the law of a level with that sigma, and the velocity of the flow is
/// `alpha' E[x_0 | x] + sigma' E[eps | x]`, whatever part of the noise is latent: every solver, loss and likelihood
/// of this crate works on it. Time 0 is the data.
///
/// [Source](crate::docs::papers#arxiv-2303.08797): Stochastic Interpolants: A Unifying Framework for Flows and Diffusions,
/// Albergo, Boffi, Vanden-Eijnden, 2023 (whose time runs the other way in the one-sided case).
///
/// ```
/// use std::f64::consts::FRAC_PI_2;
/// use gaussian_diffusion::{Grid, Plan, Time, solver::DpmSolver};
/// use gaussian_diffusion::schedule::{ContinuousSchedule, Interpolant, NoiseSchedule};
/// // The trigonometric interpolant.
/// let trigonometric = Interpolant::new(
///     |t: f64| ((FRAC_PI_2 * t).cos(), -FRAC_PI_2 * (FRAC_PI_2 * t).sin()),
///     |t: f64| ((FRAC_PI_2 * t).sin(), FRAC_PI_2 * (FRAC_PI_2 * t).cos()),
/// )?;
/// let plan = Plan::new(&trigonometric, &Grid::uniform_time(&trigonometric, 8)?, &DpmSolver::plus_plus(2)?)?;
/// assert!(plan.defect()? < 1e-13);
///
/// // The straight line with the latent noise of a Brownian bridge, gamma^2 = t (1 - t).
/// let bridge = Interpolant::new(|t| (1.0 - t, -1.0), |t| (t, 1.0))?
///     .with_latent_variance(|t| (t * (1.0 - t), 1.0 - 2.0 * t))?;
/// assert_eq!(bridge.level(Time::new(0.25)?)?.sigma(), 0.5);
/// assert_eq!(bridge.sde(Time::new(0.5)?)?.drift, -2.0);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("stochastic interpolant", "latent noise", "SiT", "GVP", "path"))]
#[derive(Clone, Copy)]
pub struct Interpolant<A, B, G = NoLatent> {
    alpha: A,
    beta: B,
    latent: Option<G>,
}

impl<A, B, G> fmt::Debug for Interpolant<A, B, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interpolant")
            .field("has_latent_noise", &self.latent.is_some())
            .finish_non_exhaustive()
    }
}

impl<A, B> Interpolant<A, B>
where
    A: Fn(f64) -> (f64, f64),
    B: Fn(f64) -> (f64, f64),
{
    /// From the scales of the data and of the noise, with their derivatives.
    ///
    /// # Errors
    ///
    /// If at one of 1025 times from 0 to 1 a scale is not 0 or in 1e-150 to 1e150, both are 0, a derivative inside is
    /// not finite, or the log-SNR has not fallen.
    pub fn new(alpha: A, sigma: B) -> Result<Self, Error> {
        Interpolant {
            alpha,
            beta: sigma,
            latent: None::<NoLatent>,
        }
        .checked()
    }

    /// The same with latent noise, by its variance `gamma^2` and the derivative of that.
    ///
    /// It is added to that of the function given before. A variance, since gamma itself has no derivative where it
    /// comes from 0 as a root.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), or if a variance is negative.
    pub fn with_latent_variance<G>(self, latent: G) -> Result<Interpolant<A, B, G>, Error>
    where
        G: Fn(f64) -> (f64, f64),
    {
        Interpolant {
            alpha: self.alpha,
            beta: self.beta,
            latent: Some(latent),
        }
        .checked()
    }
}

impl<A, B, G> Interpolant<A, B, G>
where
    A: Fn(f64) -> (f64, f64),
    B: Fn(f64) -> (f64, f64),
    G: Fn(f64) -> (f64, f64),
{
    fn checked(self) -> Result<Self, Error> {
        const CHECKS: usize = 1024;
        let mut before: Option<NoiseLevel> = None;
        for index in 0..=CHECKS {
            let t = index as f64 / CHECKS as f64;
            let level = self.at(t)?;
            if let Some(before) = before
                && !level.is_noisier_than(before)
            {
                return Err(Error::NotMonotone {
                    what: "levels of an interpolant",
                    index,
                    before: before.log_snr().get(),
                    this: level.log_snr().get(),
                });
            }
            before = Some(level);
            let slopes = [(self.alpha)(t).1, self.variance_slope(t)];
            if let Some(bad) = slopes.into_iter().find(|slope| !slope.is_finite())
                && 0 < index
                && index < CHECKS
            {
                let what = "derivative of an interpolant";
                return Err(Error::range(what, bad, "a finite number"));
            }
        }
        Ok(self)
    }

    fn latent(&self, t: f64) -> (f64, f64) {
        self.latent.as_ref().map_or((0.0, 0.0), |latent| latent(t))
    }

    fn at(&self, t: f64) -> Result<NoiseLevel, Error> {
        let (beta, latent) = ((self.beta)(t).0, self.latent(t).0);
        if !(latent >= 0.0) {
            return Err(Error::range(
                "latent variance",
                latent,
                "a number from 0 on",
            ));
        }
        let sigma = match latent == 0.0 {
            true => beta,
            false => beta.hypot(latent.sqrt()),
        };
        NoiseLevel::new((self.alpha)(t).0, sigma)
    }

    /// `d sigma^2 / dt`.
    fn variance_slope(&self, t: f64) -> f64 {
        let (beta, slope) = (self.beta)(t);
        2.0 * beta * slope + self.latent(t).1
    }
}

impl<A, B, G> NoiseSchedule for Interpolant<A, B, G>
where
    A: Fn(f64) -> (f64, f64),
    B: Fn(f64) -> (f64, f64),
    G: Fn(f64) -> (f64, f64),
{
    type Time = Time;

    fn level(&self, t: Time) -> Result<NoiseLevel, Error> {
        self.at(t.unit()?)
    }

    /// By bisection, to the last digit.
    fn time_at(&self, snr: LogSnr) -> Result<Time, Error> {
        let (noisiest, cleanest) = (self.at(1.0)?.log_snr(), self.at(0.0)?.log_snr());
        let snr = check_reach(snr, noisiest.get(), cleanest.get())?;
        let (mut clean, mut noisy) = (0.0, 1.0);
        if snr >= cleanest.get() {
            return Time::new(clean);
        }
        if snr <= noisiest.get() {
            return Time::new(noisy);
        }
        loop {
            let middle = 0.5 * (clean + noisy);
            if !(clean < middle && middle < noisy) {
                return Time::new(middle);
            }
            match self.at(middle)?.log_snr().get() > snr {
                true => clean = middle,
                false => noisy = middle,
            }
        }
    }

    fn ends(&self) -> (Time, Time) {
        (Time::ONE, Time::ZERO)
    }
}

impl<A, B, G> ContinuousSchedule for Interpolant<A, B, G>
where
    A: Fn(f64) -> (f64, f64),
    B: Fn(f64) -> (f64, f64),
    G: Fn(f64) -> (f64, f64),
{
    fn sde(&self, t: Time) -> Result<Sde, Error> {
        let level = self.level(t)?;
        let (alpha, slope) = (self.alpha)(t.get());
        let drift = match slope == 0.0 {
            true => 0.0,
            false => slope / alpha,
        };
        let square = self.variance_slope(t.get()) - 2.0 * drift * level.sigma().powi(2);
        finite_sde(level, drift, square.max(0.0).sqrt())
    }

    /// The derivatives as they were given; with latent noise, `(sigma^2)' / (2 sigma)`.
    fn path_rates(&self, t: Time) -> Result<PathRates, Error> {
        let (level, t) = (self.level(t)?, t.get());
        let rates = PathRates {
            alpha: (self.alpha)(t).1,
            sigma: match self.latent {
                None => (self.beta)(t).1,
                Some(_) => 0.5 * self.variance_slope(t) / level.sigma(),
            },
        };
        if rates.alpha.is_finite() && rates.sigma.is_finite() {
            return Ok(rates);
        }
        Err(Error::Singular {
            what: "the velocity of a path",
            alpha: level.alpha(),
            sigma: level.sigma(),
        })
    }
}
