//! The reverse stochastic equation by its simplest method.

use std::f64::consts::FRAC_1_SQRT_2;

use super::{At, Coordinates, Path, ReverseStep, Stage, Update, exponential::inner};
use crate::{Error, NoiseLevel, Parameterization, UpdateNoise};

/// Euler-Maruyama on the reverse stochastic equation, in `x / alpha` against `rho^2`.
///
/// With `rho = sigma / alpha`, `y = x / alpha`, `r = rho_s / rho_t`:
///
/// ```text
/// y_s = y_t + (1 + tau^2) / 2 * (1 - r^2) (x_0 - y_t) + tau sqrt(rho_t^2 - rho_s^2) z
/// ```
///
/// $$y_s=y_t+\tfrac{1+\tau^2}2(1-r^2)(\hat x_0-y_t)+\tau\sqrt{\rho_t^2-\rho_s^2}\thickspace z$$
///
/// `tau = 1` is the reverse diffusion sampler: the mean of DDPM with the variance of the forward process in `y`. It does not
/// keep the standard deviation of the forward process: the defect of a step is of the second order in its
/// length, and that of a run closes as 1/n. A step to or from an infinite log-SNR is the exact one.
///
/// # In other coordinates
///
/// The same equation in the [`Coordinates`] of the noise, the flow or the data is another method
/// ([`with_coordinates`](Self::with_coordinates)): with `y = x / scale` against the clock `u`, `d = u_s - u_t` and the slope `p`,
///
/// ```text
/// Noise: y_s = y_t + (1 + tau^2) d p                                     + tau sqrt(2 u_t |d|) z
/// Flow:  y_s = (1 + q d) y_t + (1 + q (1 - u_t)) d p                     + sqrt(2 q u_t |d|) z,   q = tau^2 / (1 - u_t)
/// Data:  y_s = (1 - tau^2 d / u_t) y_t + (1 + tau^2) d p                 + tau sqrt(2 d / u_t) z
/// ```
///
/// [`flow_grpo`](Self::flow_grpo) is the second with other ends.
///
/// [Source](crate::docs::papers#arxiv-2011.13456): Score-Based Generative Modeling through Stochastic Differential Equations,
/// Song, Sohl-Dickstein, Kingma, Kumar, Ermon, Poole, 2021.
///
/// ```
/// use gaussian_diffusion::{Grid, LogSnr, Plan, schedule::{Cosine, NoiseSchedule}, solver::EulerMaruyama};
/// let defect = |n| {
///     let (from, to) = (LogSnr::new(-6.0)?, LogSnr::new(6.0)?);
///     let grid = Grid::uniform_log_snr_between(&Cosine, n, from, to)?;
///     Plan::new(&Cosine, &grid, &EulerMaruyama::new(1.0)?)?.defect()
/// };
/// let ratio = defect(200)? / defect(400)?;
/// assert!((ratio - 2.0).abs() < 0.2);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "reverse diffusion",
    "ScoreSdeVpScheduler",
    "reverse SDE",
    "reverse-time SDE"
))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EulerMaruyama {
    tau: f64,
    form: Form,
}

/// What the equation is written in.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// `x / alpha` against `rho^2`, whose slope is a score.
    Variance,
    /// These coordinates.
    In(Coordinates),
    /// Those of the flow, with the ends of Flow-GRPO.
    FlowGrpo,
}

impl EulerMaruyama {
    /// With this stochasticity: 0 is the probability flow, 1 the reverse of the forward process.
    ///
    /// # Errors
    ///
    /// If tau is not 0 to 3.
    pub fn new(tau: f64) -> Result<Self, Error> {
        Ok(Self {
            tau: super::check_tau(tau)?,
            form: Form::Variance,
        })
    }

    /// The stochastic step of Flow-GRPO: on a flow, with `v` for the velocity, `g = a sqrt(t / (1 - t))` and
    /// `d = s - t`, which is negative,
    ///
    /// ```text
    /// x_s = x_t + (v + g^2 / (2 t) (x_t + (1 - t) v)) d + g sqrt(-d) z
    /// ```
    ///
    /// $$x_s=x_t+\Big(v+\frac{g^2}{2t}\big(x_t+(1-t)\thinspace v\big)\Big)(s-t)+g\sqrt{t-s}\thickspace z$$
    ///
    /// It is the reverse equation with `tau = a / sqrt(2)` in the coordinates of the flow, but for its ends: at `t = 1`,
    /// where `g` is infinite, the deviation is that of the next time, and the last step draws noise as every
    /// other does, so that the samples have it. On other schedules `t` is `sigma / (alpha + sigma)` and `x` is divided by `alpha + sigma`.
    ///
    /// What a run leaves in the law, for ten steps of a flow of shift 3 and `a = 0.7`:
    ///
    /// | step | [`Plan::defect`](crate::Plan::defect) | deviation at the end, of a point of data |
    /// |---|---|---|
    /// | this one | 0.134 | 0.228 |
    /// | [`FinalMean`](super::FinalMean) of this one | 0.072 | 0.105 |
    /// | [`new`](Self::new), `tau = a / sqrt(2)` | 0.417 | 0 |
    /// | [`with_coordinates`](Self::with_coordinates) of the flow | 0.055 | 0 |
    /// | [`Descent::Redrawn`](super::Descent::Redrawn) (CPS), [`Ddim`](super::Ddim), [`DpmSolver`](super::DpmSolver) with any tau | 0 | 0 |
    ///
    /// The defect is the largest distance of a mean or deviation from the forward process, relative to the numbers that
    /// are summed on the way. Of the 0.134, most is the noise of the last step, which is also in its mean: the step goes
    /// past the data that is predicted. A policy gradient needs no exact law, only the density of the
    /// steps that were taken ([`step_log_density`](crate::likelihood::step_log_density)), which each of these has; but the
    /// samples that are judged have the noise. Flow-GRPO divides the log-density by the number of elements.
    ///
    /// # Errors
    ///
    /// If `a` is not 0 to 4.
    ///
    /// [Source](crate::docs::papers#arxiv-2505.05470): Flow-GRPO: Training Flow Matching Models via Online RL, Liu, Liu, Liang, Li,
    /// Liu, Wang, Wan, Zhang, Ouyang, 2025, equation 9, and its code.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, Plan, schedule::Shifted, solver::EulerMaruyama};
    /// let schedule = Shifted::flow(3.0)?;
    /// let plan = Plan::new(&schedule, &Grid::uniform_time(&schedule, 10)?, &EulerMaruyama::flow_grpo(0.7)?)?;
    /// assert!((plan.defect()? - 0.134).abs() < 5e-4);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("sde_step_with_logprob", "noise_level", "GRPO", "Flow-SDE"))]
    pub fn flow_grpo(a: f64) -> Result<Self, Error> {
        if !(0.0..=4.0).contains(&a) {
            return Err(Error::range("noise level of Flow-GRPO", a, "0 to 4"));
        }
        Ok(Self {
            tau: a * FRAC_1_SQRT_2,
            form: Form::FlowGrpo,
        })
    }

    /// The same equation in these coordinates.
    #[must_use]
    pub fn with_coordinates(self, coordinates: Coordinates) -> Self {
        let form = Form::In(coordinates);
        Self { form, ..self }
    }

    /// The step in these coordinates, with the noise of a step from `noisy`.
    fn step(self, own: Coordinates, path: &Path<'_>, noisy: NoiseLevel) -> Vec<Stage> {
        let (from, to) = (path.from(), path.to());
        let (u, d) = (own.clock(from), own.distance(from, to));
        let squared = self.tau * self.tau;
        let (state, slope, variance) = match own {
            Coordinates::Noise => (1.0, 1.0 + squared, squared * u * d.abs()),
            Coordinates::Flow => {
                let q = match squared {
                    0.0 => 0.0,
                    // The share of the signal, 1 - u, is the clock of the mirrored level.
                    squared => squared * own.scale(noisy) / noisy.alpha(),
                };
                let rest = from.alpha() / own.scale(from);
                (1.0 + q * d, 1.0 + q * rest, q * u * d.abs())
            }
            Coordinates::Data => (1.0 - squared * d / u, 1.0 + squared, squared * d / u),
        };
        let scale = own.scale(to);
        let update = Update::new(scale / own.scale(from) * state)
            .with_model([scale * d * slope])
            .with_noise(UpdateNoise::Std(scale * (2.0 * variance).sqrt()));
        vec![Stage::new(At::From, own.basis()).with_commit(update)]
    }

    /// The step in `rho^2`.
    fn in_variance(self, path: &Path<'_>) -> Vec<Stage> {
        let (from, to) = (path.from(), path.to());
        let (ratio, gap) = (to.ratio_above(from), to.gap_above(from));
        let passed = gap * (1.0 + ratio);
        let drift = 0.5 * (1.0 + self.tau * self.tau) * passed;
        let std = self.tau * from.noise_to_signal() * passed.sqrt();
        let update = Update::new(to.alpha() / from.alpha() * (1.0 - drift))
            .with_model([to.alpha() * drift])
            .with_noise(UpdateNoise::Std(to.alpha() * std));
        vec![Stage::new(At::From, Parameterization::X0).with_commit(update)]
    }
}

impl ReverseStep for EulerMaruyama {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (from, to) = (path.from(), path.to());
        super::check_descent(path, "tau", self.tau)?;
        if self.form == Form::FlowGrpo {
            let noisy = if from.is_noise() { to } else { from };
            return Ok(self.step(Coordinates::Flow, path, noisy));
        }
        if !(inner(from) && inner(to)) {
            let own = match self.form {
                Form::In(own) => own,
                _ => Coordinates::Data,
            };
            return Ok(own.end_stage(path, self.tau, 1.0));
        }
        Ok(match self.form {
            Form::In(own) => self.step(own, path, from),
            _ => self.in_variance(path),
        })
    }

    fn name(&self) -> &str {
        match self.form {
            Form::FlowGrpo => "Flow-GRPO",
            _ => "Euler-Maruyama",
        }
    }
}
