//! Ancestral sampling with any deterministic solver.

use super::{At, Coordinates, Path, ReverseStep, Stage, Update, exponential::inner};
use crate::{Error, LogSnr, NoiseLevel, NonMarkovian, Posterior, Sigma, UpdateNoise};

/// How far below its target an ancestral step goes before noise takes it back up.
#[derive(Debug, Clone, PartialEq)]
pub enum Descent {
    /// As far as the posterior of [`NonMarkovian`] with this eta draws noise: in `rho = sigma / alpha`,
    /// `rho_down^2 = rho_s^2 (1 - eta^2 (1 - rho_s^2 / rho_t^2))`.
    Posterior(f64),
    /// A share of the way in the time `u = sigma / (alpha + sigma)` of the rectified flow:
    /// `u_down = u_s (1 + share (u_s / u_t - 1))`.
    Flow(f64),
    /// As far as this share of the target's standard deviation is drawn anew, whatever the length of the step:
    /// `rho_down = rho_s sqrt(1 - share^2)`.
    ///
    /// Around [`Ddim`](super::Ddim) that is coefficients-preserving sampling (CPS), which policy gradients take for its exact
    /// law, with the share `sin(pi a / 2)` of its noise level `a`.
    ///
    /// [Source](crate::docs::papers#arxiv-2509.05952): Coefficients-Preserving Sampling for Reinforcement Learning with Flow
    /// Matching, Wang, Yu, 2025.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, Plan, schedule::Shifted, solver::{Ancestral, Ddim, Descent}};
    /// use std::f64::consts::FRAC_PI_2;
    /// let schedule = Shifted::flow(3.0)?;
    /// let cps = Ancestral::with_descent(Ddim::default(), Descent::Redrawn((0.7 * FRAC_PI_2).sin()))?;
    /// let plan = Plan::new(&schedule, &Grid::uniform_time(&schedule, 10)?, &cps)?;
    /// assert!(plan.defect()? < 1e-15);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    Redrawn(f64),
    /// To these levels, one for each step, as trajectory consistency sampling (TCD) does with
    /// `level((1 - gamma) s)`.
    Levels(Vec<NoiseLevel>),
}

impl Descent {
    /// Not 0 where noise is drawn.
    fn amount(&self) -> f64 {
        match self {
            Self::Posterior(amount) | Self::Flow(amount) | Self::Redrawn(amount) => *amount,
            Self::Levels(_) => 1.0,
        }
    }

    /// The level below the target, `None` where there is nothing to draw.
    pub(crate) fn below(&self, path: &Path<'_>, lowest: f64) -> Result<Option<NoiseLevel>, Error> {
        let (from, to) = (path.from(), path.to());
        let ratio = match self {
            Self::Posterior(0.0) | Self::Flow(0.0) | Self::Redrawn(0.0) => return Ok(None),
            Self::Redrawn(share) => to.noise_to_signal() * ((1.0 - share) * (1.0 + share)).sqrt(),
            Self::Posterior(eta) => {
                // The part of the target's noise that the posterior's step does not draw anew.
                let q = NonMarkovian::new(*eta)?.coefficients(from, to)?;
                q.state * from.sigma() / to.alpha()
            }
            Self::Flow(share) => {
                let flow = Coordinates::Flow;
                let (start, target) = (flow.clock(from), flow.clock(to));
                let down = target * (1.0 + share * (target / start - 1.0));
                down / (1.0 - down)
            }
            Self::Levels(levels) => {
                let level = levels.get(path.index()).copied().ok_or(Error::Missing {
                    what: "the level below a step",
                    needed_by: "ancestral sampling by levels",
                })?;
                if !(level == to || to.is_noisier_than(level)) {
                    return Err(Error::NotMonotone {
                        what: "levels below",
                        index: path.index(),
                        before: to.log_snr().get(),
                        this: level.log_snr().get(),
                    });
                }
                return Ok(Some(level));
            }
        };
        let ratio = Sigma::new(ratio.max(lowest))?;
        path.level_at(LogSnr::from_sigma(ratio)).map(Some)
    }
}

/// A deterministic single-step solver made stochastic: each step goes below its target, and fresh
/// noise takes it back up.
///
/// With `d` the level below `s`: `x_d` by the inner solver from `x_t`, then the forward process,
/// `x_s = (alpha_s / alpha_d) x_d + sqrt(sigma_s^2 - (alpha_s sigma_d / alpha_d)^2) z`.
///
/// $$x_s=\frac{\alpha_s}{\alpha_d}x_d+\sqrt{\sigma_s^2-\frac{\alpha_s^2}{\alpha_d^2}\sigma_d^2}\thickspace z$$
///
/// Around [`Ddim`](super::Ddim) this is Euler ancestral, and the same as DDIM with that eta; around
/// [`RungeKutta::dpm2`](super::RungeKutta::dpm2) DPM2 a; around
/// [`SingleStep::plus_plus`](super::SingleStep::plus_plus) of order 2 DPM++ 2S a; with
/// [`Descent::Flow`] their forms for rectified flows.
///
/// [Sources](crate::docs::papers#k-diffusion): the code of k-diffusion, Crowson, 2022; Denoising Diffusion Implicit
/// Models, Song, Meng, Ermon, 2020.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Discrete, solver::{Ancestral, RungeKutta}};
/// let schedule = Discrete::stable_diffusion()?;
/// let solver = Ancestral::new(RungeKutta::dpm2(), 1.0)?;
/// let plan = Plan::new(&schedule, &Grid::karras(&schedule, 10)?, &solver)?;
/// assert_eq!(plan.name(), "DPM2, ancestral");
/// assert!(plan.defect()? < 1e-13);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "EulerAncestralDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "euler_ancestral",
    "dpm_2_ancestral",
    "dpmpp_2s_ancestral"
))]
#[doc(alias(
    "LTXEulerAncestralRFScheduler",
    "sample_euler_ancestral",
    "sample_dpm_2_ancestral",
    "sample_dpmpp_2s_ancestral",
    "TCDScheduler"
))]
#[derive(Debug, Clone, PartialEq)]
pub struct Ancestral<S> {
    inner: S,
    descent: Descent,
    noise: f64,
    floored: bool,
    name: String,
}

impl<S: ReverseStep> Ancestral<S> {
    /// With the posterior's noise: eta is DDIM's.
    ///
    /// # Errors
    ///
    /// If eta is not 0 to 1.
    pub fn new(inner: S, eta: f64) -> Result<Self, Error> {
        Self::with_descent(inner, Descent::Posterior(eta))
    }

    /// With the descent of one's choice.
    ///
    /// # Errors
    ///
    /// If its eta or share is not 0 to 1.
    pub fn with_descent(inner: S, descent: Descent) -> Result<Self, Error> {
        let (what, amount) = match descent {
            Descent::Posterior(eta) => ("eta", eta),
            Descent::Flow(share) => ("share of a flow's descent", share),
            Descent::Redrawn(share) => ("share of the noise that is redrawn", share),
            Descent::Levels(_) => ("levels", 1.0),
        };
        if !(0.0..=1.0).contains(&amount) {
            return Err(Error::range(what, amount, "0 to 1"));
        }
        let name = format!("{}, ancestral", inner.name());
        Ok(Self {
            inner,
            descent,
            noise: 1.0,
            floored: false,
            name,
        })
    }

    super::options::noise_factor!();

    /// Never goes below the end of the run, as DPM-Solver-fast of k-diffusion does.
    #[must_use]
    pub fn with_floor(mut self) -> Self {
        self.floored = true;
        self
    }
}

impl<S: ReverseStep> ReverseStep for Ancestral<S> {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let to = path.to();
        super::check_descent(path, "eta", self.descent.amount())?;
        if !inner(to) {
            return self.inner.stages(path);
        }
        let lowest = if self.floored {
            path.end().noise_to_signal()
        } else {
            0.0
        };
        let Some(down) = self.descent.below(path, lowest)? else {
            return self.inner.stages(path);
        };
        let mut stages = self.inner.stages(&path.reaching(down))?;
        for stage in &mut stages {
            if stage.at == At::To {
                stage.at = At::LogSnr(down.log_snr());
            }
        }
        // The forward process from the level below.
        let up = to.alpha() / down.alpha();
        let kept = up * down.sigma();
        let std = ((to.sigma() - kept) * (to.sigma() + kept)).max(0.0).sqrt();
        if let Some(commit) = stages.last_mut().and_then(|stage| stage.commit.as_mut()) {
            let upward = Update::new(up).with_noise(UpdateNoise::Std(std * self.noise));
            *commit = commit.clone().then(&upward);
        }
        Ok(stages)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn memory(&self) -> usize {
        self.inner.memory()
    }

    fn follows_points(&self) -> bool {
        self.inner.follows_points()
    }

    /// That of the inner solver: the noise is drawn from the forward process itself, so that an exact
    /// inner step would give the exact distribution.
    fn order(&self) -> u32 {
        self.inner.order()
    }

    fn order_on_uneven_steps(&self) -> u32 {
        self.inner.order_on_uneven_steps()
    }
}
