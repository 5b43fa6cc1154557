//! Noise schedules: which noise level belongs to which time.
//!
//! | schedule | time | levels |
//! |---|---|---|
//! | [`Discrete`] | [`Step`](crate::Step) | variance preserving, from a table of betas |
//! | [`VpLinear`] | [`Time`](crate::Time) | variance preserving, beta linear in time |
//! | [`Cosine`] | `Time` | `cos(pi t / 2)`, `sin(pi t / 2)` |
//! | [`LogSnrLinear`] | `Time` | variance preserving, log-SNR linear in time |
//! | [`SubVp`] | `Time` | `alpha` of `VpLinear`, `sigma = 1 - alpha^2` |
//! | [`VeGeometric`] | `Time` | `alpha = 1`, sigma geometric in time |
//! | [`Edm`] | [`Sigma`](crate::Sigma) | `alpha = 1`, time is sigma itself |
//! | [`RectifiedFlow`] | `Time` | `1 - t`, `t` |
//! | [`Interpolant`] | `Time` | any two functions of time, with latent noise |
//! | [`Shifted`] | that of the inner one | any of these, moved in log-SNR |

mod cosine;
mod discrete;
mod edm;
mod interpolant;
mod log_snr_linear;
mod rectified_flow;
mod respacing;
mod shifted;
mod shortened;
mod tables;
mod ve_geometric;
mod vp_linear;
mod zero_terminal_snr;

use std::fmt::Debug;

use crate::{Error, LogSnr, NoiseLevel, PathRates, error::Number};

pub use cosine::Cosine;
pub use discrete::Discrete;
pub use edm::Edm;
pub use interpolant::Interpolant;
pub use log_snr_linear::LogSnrLinear;
pub use rectified_flow::RectifiedFlow;
pub use respacing::Respacing;
pub use shifted::Shifted;
pub use ve_geometric::VeGeometric;
pub use vp_linear::{SubVp, VpLinear};

/// Which noise level belongs to which time.
///
/// Three methods make a schedule; everything else of this crate works on it.
///
/// # Laws
///
/// Checked by `laws::schedule` (feature `laws`): the log-SNR strictly falls from the cleanest time
/// to the noisiest, and `time_at(level(t).log_snr())` is `t`.
///
/// # A schedule of your own
///
/// ```
/// use gaussian_diffusion::{Error, LogSnr, NoiseLevel, Time, schedule::NoiseSchedule};
///
/// /// Log-SNR -4 ln(2 t), on levels that preserve variance.
/// struct Quadratic;
///
/// impl NoiseSchedule for Quadratic {
///     type Time = Time;
///     fn level(&self, t: Time) -> Result<NoiseLevel, Error> {
///         NoiseLevel::variance_preserving(LogSnr::new(-4.0 * (2.0 * t.get()).ln())?)
///     }
///     fn time_at(&self, snr: LogSnr) -> Result<Time, Error> {
///         Time::new(0.5 * (-0.25 * snr.get()).exp())
///     }
///     fn ends(&self) -> (Time, Time) {
///         (Time::new(1.0).unwrap(), Time::new(0.01).unwrap())
///     }
/// }
///
/// let half = Quadratic.level(Time::new(0.5)?)?;
/// assert!((half.alpha() - half.sigma()).abs() < 1e-15);
/// # Ok::<(), Error>(())
/// ```
#[doc(alias("scheduler"))]
pub trait NoiseSchedule {
    /// The clock: what a network trained on this schedule is given.
    type Time: Copy + Debug;

    /// The noise level at a time.
    ///
    /// # Errors
    ///
    /// If the time is outside the schedule.
    fn level(&self, t: Self::Time) -> Result<NoiseLevel, Error>;

    /// The time at which the log-SNR has this value: the inverse of [`level`](Self::level).
    ///
    /// # Errors
    ///
    /// If no time has it.
    fn time_at(&self, snr: LogSnr) -> Result<Self::Time, Error>;

    /// The noisiest and the cleanest time.
    fn ends(&self) -> (Self::Time, Self::Time);

    /// The level of this log-SNR in the schedule's own family of levels.
    ///
    /// # Errors
    ///
    /// By default where [`time_at`](Self::time_at) or [`level`](Self::level) has one. Schedules of
    /// this crate have no such bounds here.
    fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
        self.level(self.time_at(snr)?)
    }

    /// What the network is given at `t`: `t` itself, but for a schedule on a subsequence of steps,
    /// whose network knows the original ones.
    #[doc(alias("timestep_map"))]
    fn network_time(&self, t: Self::Time) -> Self::Time {
        t
    }
}

macro_rules! forward_schedule {
    ($($pointer:ty),*) => {$(
        impl<S: NoiseSchedule + ?Sized> NoiseSchedule for $pointer {
            type Time = S::Time;

            fn level(&self, t: Self::Time) -> Result<NoiseLevel, Error> {
                (**self).level(t)
            }

            fn time_at(&self, snr: LogSnr) -> Result<Self::Time, Error> {
                (**self).time_at(snr)
            }

            fn ends(&self) -> (Self::Time, Self::Time) {
                (**self).ends()
            }

            fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
                (**self).level_at(snr)
            }

            fn network_time(&self, t: Self::Time) -> Self::Time {
                (**self).network_time(t)
            }
        }

        impl<S: ContinuousSchedule + ?Sized> ContinuousSchedule for $pointer {
            fn sde(&self, t: Self::Time) -> Result<Sde, Error> {
                (**self).sde(t)
            }

            fn fading(&self, level: NoiseLevel) -> Result<f64, Error> {
                (**self).fading(level)
            }

            fn path_rates(&self, t: Self::Time) -> Result<PathRates, Error> {
                (**self).path_rates(t)
            }
        }
    )*};
}

forward_schedule!(&S, Box<S>, std::sync::Arc<S>);

/// The coefficients of the forward equation `dx = drift x dt + diffusion dW`.
///
/// $$\mathrm dx = f(t)\thinspace x\thinspace\mathrm dt + g(t)\thinspace\mathrm dW,\qquad
///   f=\frac{\mathrm d\ln\alpha}{\mathrm dt},\qquad
///   g^2=-\sigma^2\thinspace\frac{\mathrm d\log\mathrm{SNR}}{\mathrm dt}$$
///
/// [Source](crate::docs::papers#arxiv-2011.13456): Score-Based Generative Modeling through Stochastic Differential Equations,
/// Song, Sohl-Dickstein, Kingma, Kumar, Ermon, Poole, 2021.
#[doc(alias("reverse SDE"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sde {
    /// `f`, per unit of time.
    pub drift: f64,
    /// `g`, per root of a unit of time.
    pub diffusion: f64,
}

/// A schedule in continuous time, whose forward process is a stochastic differential equation.
///
/// ```
/// use gaussian_diffusion::{Time, schedule::{ContinuousSchedule, VpLinear}};
/// let sde = VpLinear::new(0.1, 20.0)?.sde(Time::new(0.0)?)?;
/// assert_eq!((sde.drift, sde.diffusion), (-0.05, 0.1_f64.sqrt()));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
pub trait ContinuousSchedule: NoiseSchedule {
    /// Drift and diffusion at a time.
    ///
    /// # Errors
    ///
    /// If the time is outside the schedule, or a coefficient is infinite there (the noise end of
    /// schedules that reach zero SNR).
    fn sde(&self, t: Self::Time) -> Result<Sde, Error>;

    /// How fast the signal fades as noise gains on it, `-d ln alpha / d ln(sigma / alpha)`, at a level of
    /// the schedule's own family: `sigma^2` where variance is preserved, `sigma` on a rectified flow, 0
    /// where variance explodes.
    ///
    /// With `d ln(sigma / alpha) / dt = g^2 / (2 sigma^2)` it gives the drift of the same family on another
    /// clock, as [`Shifted`] is.
    ///
    /// # Errors
    ///
    /// By default as [`sde`](Self::sde), which is asked, and where no time has this level. Schedules of
    /// this crate answer at every level of their family.
    fn fading(&self, level: NoiseLevel) -> Result<f64, Error> {
        let sde = self.sde(self.time_at(level.log_snr())?)?;
        if sde.drift == 0.0 {
            return Ok(0.0);
        }
        Ok(-2.0 * sde.drift * (level.sigma() / sde.diffusion).powi(2))
    }

    /// How fast the two scales change: `alpha' = f alpha` and `sigma' = f sigma + g^2 / (2 sigma)`.
    ///
    /// What a network of flow matching predicts on the path of this schedule is `alpha' x_0 + sigma' eps`
    /// ([`Parameterization::PathVelocity`](crate::Parameterization::PathVelocity)).
    ///
    /// # Errors
    ///
    /// By default as [`sde`](Self::sde), and where there is no noise, at which the quotient has no value; schedules whose
    /// rates have one there say it.
    ///
    /// ```
    /// use gaussian_diffusion::{Error, LogSnr, NoiseLevel, PathRates, Time};
    /// use gaussian_diffusion::schedule::{ContinuousSchedule, NoiseSchedule, Sde};
    ///
    /// /// The path of optimal transport to a little noise: `1 - t`, `s + (1 - s) t`.
    /// struct Ot(f64);
    ///
    /// impl NoiseSchedule for Ot {
    ///     type Time = Time;
    ///     fn level(&self, t: Time) -> Result<NoiseLevel, Error> {
    ///         NoiseLevel::new(1.0 - t.get(), self.0 + (1.0 - self.0) * t.get())
    ///     }
    ///     fn time_at(&self, snr: LogSnr) -> Result<Time, Error> {
    ///         let ratio = (-0.5 * snr.get()).exp();
    ///         Time::new(((ratio - self.0) / (1.0 - self.0 + ratio)).clamp(0.0, 1.0))
    ///     }
    ///     fn ends(&self) -> (Time, Time) {
    ///         (Time::new(1.0).unwrap(), Time::new(0.0).unwrap())
    ///     }
    /// }
    ///
    /// impl ContinuousSchedule for Ot {
    ///     fn sde(&self, t: Time) -> Result<Sde, Error> {
    ///         let (level, rates) = (self.level(t)?, self.path_rates(t)?);
    ///         let drift = rates.alpha / level.alpha();
    ///         let square = 2.0 * level.sigma() * (rates.sigma - drift * level.sigma());
    ///         Ok(Sde { drift, diffusion: square.sqrt() })
    ///     }
    ///     fn path_rates(&self, _: Time) -> Result<PathRates, Error> {
    ///         Ok(PathRates { alpha: -1.0, sigma: 1.0 - self.0 })
    ///     }
    /// }
    ///
    /// // The target of OT-CFM is (1 - s) eps - x_0 at every time, 0 included.
    /// use gaussian_diffusion::ForwardProcess;
    /// let (x0, eps) = (ndarray::array![[2.0]], ndarray::array![[1.0]]);
    /// let target = Ot(0.1).path_velocity(&x0, Time::new(0.0)?, &eps)?;
    /// assert_eq!(target[[0, 0]], -1.1);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias("OT-CFM", "sigma_min", "d_alpha_t", "d_sigma_t"))]
    fn path_rates(&self, t: Self::Time) -> Result<PathRates, Error> {
        let (level, sde) = (self.level(t)?, self.sde(t)?);
        let (alpha, sigma) = (level.alpha(), level.sigma());
        let rates = PathRates {
            alpha: sde.drift * alpha,
            sigma: sde.drift * sigma + 0.5 * sde.diffusion * sde.diffusion / sigma,
        };
        if rates.sigma.is_finite() {
            return Ok(rates);
        }
        Err(Error::Singular {
            what: "the velocity of a path",
            alpha,
            sigma,
        })
    }
}

/// What the network is given at a log-SNR; beyond the reach of its clock, the end.
pub(crate) fn network_time_at<S: NoiseSchedule + ?Sized>(
    schedule: &S,
    snr: LogSnr,
) -> Result<S::Time, Error> {
    let (noisiest, cleanest) = schedule.ends();
    let is_beyond = |end: S::Time, noisier: bool| -> Result<bool, Error> {
        let end = schedule.level(end)?.log_snr();
        Ok(if noisier { snr <= end } else { snr >= end })
    };
    // A clock may go on beyond the ends of a grid, but not to the data or to nothing but noise.
    let time = match schedule.time_at(snr) {
        Ok(time) if snr.get().is_finite() => time,
        _ if is_beyond(noisiest, true)? => noisiest,
        _ if is_beyond(cleanest, false)? => cleanest,
        found => found?,
    };
    Ok(schedule.network_time(time))
}

/// Refuses a drift that is infinite because no signal is left.
fn finite_sde(level: NoiseLevel, drift: f64, diffusion: f64) -> Result<Sde, Error> {
    if drift.is_finite() && diffusion.is_finite() {
        return Ok(Sde { drift, diffusion });
    }
    Err(Error::Singular {
        what: "the forward equation",
        alpha: level.alpha(),
        sigma: level.sigma(),
    })
}

/// Refuses a log-SNR outside what the times of a schedule reach.
fn check_reach(snr: LogSnr, low: f64, high: f64) -> Result<f64, Error> {
    // A level that was computed at an end may miss it by a rounding.
    let slack = 1e-12 * (1.0 + low.abs().max(high.abs()).min(1e3));
    if !(snr.get() >= low - slack && snr.get() <= high + slack) {
        return Err(Error::range(
            "log-SNR",
            snr.get(),
            format!("{} to {}", Number(low), Number(high)),
        ));
    }
    Ok(snr.get())
}
