//! Solvers: from noise levels to coefficients. No array and no random number in sight.
//!
//! Start with [`DpmSolver::plus_plus`] of order 2 on [`Grid::karras`](crate::Grid::karras); take
//! [`Ddpm`] on [`Grid::every`](crate::Grid::every) to see what a model can do.
//! [Which sampler](crate::docs::samplers) has measured errors of all.
//!
//! | known as | solver | evaluations a step | noise |
//! |---|---|---|---|
//! | DDPM, ancestral | [`Ddpm`] | 1 | yes |
//! | Analytic-DPM | [`AnalyticDpm`] | 1 | yes |
//! | DDIM, Euler | [`Ddim`] | 1 | for `eta > 0` |
//! | adjusted DDIM | [`Ddim`] with [`AdjustedDdim`](crate::denoiser::AdjustedDdim) | 1 | no |
//! | Euler a, DPM2 a, DPM++ 2S a | [`Ancestral`] around [`Ddim`], [`RungeKutta::dpm2`], [`SingleStep::plus_plus`] | as the inner | yes |
//! | Heun, midpoint, DPM2 | [`RungeKutta`] | 2 | no |
//! | Heun++ | [`HeunPlusPlus`] | 3 | no |
//! | churn of EDM | [`Churn`] around any single-step one | as the inner | yes |
//! | LMS, iPNDM, DEIS in time, gradient estimation | [`LinearMultistep`] | 1 | no |
//! | PNDM, PLMS | [`Pndm`] | 1 | no |
//! | DPM++ 2M, 3M, their SDE forms; DPM-Solver multi-step | [`DpmSolver`] | 1 | for `tau > 0` |
//! | DPM++ 2M v2 | [`DpmSolver2MV2`] | 1 | no |
//! | DPM++ 2S, DPM-Solver-2, -3, fast; SEEDS; RES | [`SingleStep`] | its order | for `tau > 0` |
//! | single-step DPM-Solver as diffusers counts | [`NodeBlocks`] | 1 | for `tau > 0` |
//! | DPM++ SDE | [`DpmSde`] | 2 | yes |
//! | DPM adaptive | [`DpmAdaptive`] | 2 or 3 | for `eta > 0` |
//! | UniPC | [`UniPc`] | 1 | no |
//! | DEIS, exponential Adams | [`ExponentialAdams`] | 1 | no |
//! | DPM-Solver-v3, REAB | [`DpmSolverV3`] | 1 | no |
//! | SA-Solver, and PECE | [`SaSolver`] | 1, and 2 | for `tau > 0` |
//! | ER-SDE | [`ErSde`] | 1 | yes |
//! | reverse diffusion, Flow-GRPO | [`EulerMaruyama`] | 1 | yes |
//! | coefficients-preserving sampling (CPS) | [`Ancestral`] around [`Ddim`] | 1 | yes |
//! | the mean of the last step | [`FinalMean`] around any | as the inner | as the inner |
//! | a floor under the noise | [`LeastNoise`] around any | as the inner | yes |
//! | predictor-corrector | [`Langevin`] around any | one more a correction | yes |
//! | Restart | [`Plan::restarting`](crate::Plan::restarting) | as the inner | yes |
//! | LCM, consistency models | [`Consistency`] | 1 | yes |
//! | the CFG++ family | [`CfgPlusPlusStep`] around any | as the inner | as the inner |
//! | solvers of k-diffusion on flows, as programs run them | [`InFlowTime`] around any | as the inner | no |

mod analytic_dpm;
mod ancestral;
mod cfg_plus_plus_step;
mod churn;
mod consistency;
mod coordinates;
mod ddim;
mod ddpm;
mod dpm_sde;
mod dpm_solver;
mod dpm_solver_2m_v2;
mod dpm_solver_v3;
mod ending;
mod er_sde;
mod euler_maruyama;
mod exponential;
mod exponential_adams;
mod final_mean;
mod heun_plus_plus;
mod in_flow_time;
mod interpolation;
mod langevin;
mod least_noise;
mod linear_multistep;
mod node_blocks;
mod options;
mod pndm;
mod runge_kutta;
mod sa_solver;
mod singlestep;
mod stage;
mod statistics;
mod unipc;

use crate::{Error, LogSnr, NoiseLevel};

// It runs plans of one step, and so lives with the loop.
pub use crate::run::{DpmAdaptive, DpmAdaptiveReport};
pub use analytic_dpm::AnalyticDpm;
pub use ancestral::{Ancestral, Descent};
pub use cfg_plus_plus_step::CfgPlusPlusStep;
pub use churn::Churn;
pub use consistency::Consistency;
pub use coordinates::Coordinates;
pub use ddim::Ddim;
pub use ddpm::Ddpm;
pub use dpm_sde::DpmSde;
pub use dpm_solver::DpmSolver;
pub use dpm_solver_2m_v2::DpmSolver2MV2;
pub use dpm_solver_v3::DpmSolverV3;
pub use er_sde::ErSde;
pub use euler_maruyama::EulerMaruyama;
pub(crate) use exponential::toward;
pub use exponential_adams::ExponentialAdams;
pub use final_mean::FinalMean;
pub use heun_plus_plus::HeunPlusPlus;
pub use in_flow_time::InFlowTime;
pub use langevin::Langevin;
pub use least_noise::LeastNoise;
pub use linear_multistep::LinearMultistep;
pub use node_blocks::NodeBlocks;
pub use pndm::Pndm;
pub use runge_kutta::RungeKutta;
pub use sa_solver::SaSolver;
pub use singlestep::SingleStep;
pub use stage::{At, Stage, Update};
pub use statistics::{ModelStatistics, StatisticsNode};
pub use unipc::UniPc;

/// A rule that turns a pair of noise levels into the coefficients of a step.
///
/// A solver sees noise levels and never times, so that one rule serves variance-preserving,
/// variance-exploding and flow schedules. It is stateless: what a multi-step rule looks back on is
/// in the [`Path`], and the earlier predictions are kept by the [`Run`](crate::Run).
///
/// # Laws
///
/// Checked by `laws::reverse_step` (feature `laws`). With exact predictions for data that is one
/// point, the mean and the standard deviation of the state are `alpha x_0` and `sigma` wherever the network is
/// asked and at the end ([`Plan::defect`](crate::Plan::defect)); a step to the clean level is the
/// x0-prediction and draws nothing; the measured orders of convergence are [`order`](Self::order) and
/// [`order_on_uneven_steps`](Self::order_on_uneven_steps).
///
/// # A solver of your own
///
/// ```
/// use gaussian_diffusion::{Error, Grid, Parameterization, Plan, schedule::Cosine};
/// use gaussian_diffusion::solver::{At, Path, ReverseStep, Stage, Update};
///
/// /// DDIM in terms of the data: x_s = (sigma_s / sigma_t) (x_t - alpha_t x_0) + alpha_s x_0.
/// #[derive(Debug)]
/// struct DataDdim;
///
/// impl ReverseStep for DataDdim {
///     fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
///         let (from, to) = (path.from(), path.to());
///         let state = to.sigma() / from.sigma();
///         let update = Update::new(state).with_model([to.alpha() - state * from.alpha()]);
///         Ok(vec![Stage::new(At::From, Parameterization::X0).with_commit(update)])
///     }
///     fn name(&self) -> &str {
///         "DDIM"
///     }
/// }
///
/// let plan = Plan::new(&Cosine, &Grid::uniform_time(&Cosine, 10)?, &DataDdim)?;
/// assert!(plan.defect()? < 1e-14);
/// # Ok::<(), Error>(())
/// ```
#[doc(alias("sampler", "scheduler", "solver", "integrator"))]
pub trait ReverseStep: Send + Sync {
    /// The network evaluations of this step, and what is made of each.
    ///
    /// # Errors
    ///
    /// If the rule has no step between these levels.
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error>;

    /// How it is called in tables.
    fn name(&self) -> &str;

    /// How many predictions an update may use, the newest included.
    fn memory(&self) -> usize {
        1
    }

    /// Order of convergence on the probability-flow equation, on steps whose lengths change smoothly; for a stochastic
    /// rule the weak order.
    fn order(&self) -> u32 {
        1
    }

    /// The same on steps whose lengths jump: less for a rule with the weights of equal steps.
    ///
    /// ```
    /// use gaussian_diffusion::solver::{LinearMultistep, ReverseStep};
    /// let (lms, ipndm) = (LinearMultistep::lms(2)?, LinearMultistep::ipndm(2)?);
    /// assert_eq!((lms.order(), lms.order_on_uneven_steps()), (2, 2));
    /// assert_eq!((ipndm.order(), ipndm.order_on_uneven_steps()), (2, 1));
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    fn order_on_uneven_steps(&self) -> u32 {
        self.order()
    }

    /// Whether data that is one point is followed exactly. A rule that is exact for other data follows a point
    /// with its order, and the first law asks that of it.
    fn follows_points(&self) -> bool {
        true
    }
}

macro_rules! forward_solver {
    ($($pointer:ty),*) => {$(
        impl<S: ReverseStep + ?Sized> ReverseStep for $pointer {
            fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
                (**self).stages(path)
            }

            fn name(&self) -> &str {
                (**self).name()
            }

            fn memory(&self) -> usize {
                (**self).memory()
            }

            fn order(&self) -> u32 {
                (**self).order()
            }

            fn order_on_uneven_steps(&self) -> u32 {
                (**self).order_on_uneven_steps()
            }

            fn follows_points(&self) -> bool {
                (**self).follows_points()
            }
        }
    )*};
}

forward_solver!(&S, Box<S>);

/// Maps a log-SNR to a level of the schedule's family.
pub(crate) type LevelAt<'a> = &'a dyn Fn(LogSnr) -> Result<NoiseLevel, Error>;

/// Where a step stands: all levels of the run, and which of them it goes between.
#[derive(Clone, Copy)]
pub struct Path<'a> {
    levels: &'a [NoiseLevel],
    /// The levels at `index` and after it, kept so that reading them cannot fail.
    ends: (NoiseLevel, NoiseLevel),
    index: usize,
    level_at: LevelAt<'a>,
    /// What is made of a level before a solver sees it; `ends` are so already.
    seen: fn(NoiseLevel) -> NoiseLevel,
}

impl std::fmt::Debug for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Path")
            .field("levels", &self.levels)
            .field("index", &self.index)
            .finish()
    }
}

impl<'a> Path<'a> {
    /// The step from `levels[index]` to the next one, `None` past the end.
    pub(crate) fn new(
        levels: &'a [NoiseLevel],
        index: usize,
        level_at: LevelAt<'a>,
    ) -> Option<Self> {
        let ends = (*levels.get(index)?, *levels.get(index + 1)?);
        Some(Self {
            levels,
            ends,
            index,
            level_at,
            seen: |level| level,
        })
    }

    /// The same step as a solver sees it that takes levels for others.
    fn seen_as<'b>(&self, seen: fn(NoiseLevel) -> NoiseLevel, level_at: LevelAt<'b>) -> Path<'b>
    where
        'a: 'b,
    {
        let ends = (seen(self.ends.0), seen(self.ends.1));
        Path {
            ends,
            level_at,
            seen,
            ..*self
        }
    }

    /// The level the step leaves.
    pub fn from(&self) -> NoiseLevel {
        self.ends.0
    }

    /// The level it reaches.
    pub fn to(&self) -> NoiseLevel {
        self.ends.1
    }

    /// Position of the step in the run, counted from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Number of steps of the run.
    pub fn steps(&self) -> usize {
        self.levels.len() - 1
    }

    /// The level of this position in the run, whose end has the last one.
    pub fn level(&self, index: usize) -> Option<NoiseLevel> {
        self.levels.get(index).map(|&level| (self.seen)(level))
    }

    /// The levels this step and the steps before it left, the newest first: where the predictions of
    /// a rule with one evaluation a step were made.
    pub fn visited(&self) -> impl Iterator<Item = NoiseLevel> + use<'a> {
        let (before, seen) = (self.levels.get(..self.index).unwrap_or_default(), self.seen);
        [self.from()]
            .into_iter()
            .chain(before.iter().rev().map(move |&level| seen(level)))
    }

    /// The level at which the run ends.
    pub fn end(&self) -> NoiseLevel {
        self.level(self.steps()).unwrap_or(self.ends.1)
    }

    /// The step from another level to the same one.
    #[must_use]
    pub fn leaving(mut self, from: NoiseLevel) -> Self {
        self.ends.0 = from;
        self
    }

    /// The step from the same level to another one.
    #[must_use]
    pub fn reaching(mut self, to: NoiseLevel) -> Self {
        self.ends.1 = to;
        self
    }

    /// The levels of the step before this one.
    pub fn previous(&self) -> Option<(NoiseLevel, NoiseLevel)> {
        let before = self.index.checked_sub(1)?;
        Some((self.level(before)?, self.from()))
    }

    /// Whether noise grows along the run.
    pub fn is_inverted(&self) -> bool {
        self.to().is_noisier_than(self.from())
    }

    /// The level of this log-SNR in the family of the schedule, for a stage between two nodes.
    ///
    /// # Errors
    ///
    /// If the schedule has none.
    pub fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
        (self.level_at)(snr)
    }
}

/// Refuses an order that the rule does not have.
fn check_order(order: usize, most: usize) -> Result<(), Error> {
    if !(1..=most).contains(&order) {
        return Err(Error::range("order", order as f64, format!("1 to {most}")));
    }
    Ok(())
}

/// Refuses the coordinates of the flow, for rules that are of the noise or of the data.
fn check_noise_or_data(coordinates: Coordinates) -> Result<Coordinates, Error> {
    if coordinates == Coordinates::Flow {
        return Err(Error::Missing {
            what: "a form for the velocity of flows",
            needed_by: "a solver for the noise or the data",
        });
    }
    Ok(coordinates)
}

/// Refuses a stochasticity that is no number or beyond use.
fn check_tau(tau: f64) -> Result<f64, Error> {
    if !(0.0..=3.0).contains(&tau) {
        return Err(Error::range("tau", tau, "0 to 3"));
    }
    Ok(tau)
}

/// Refuses a factor of the noise that is no number or beyond use.
fn check_noise_factor(factor: f64) -> Result<f64, Error> {
    if !(0.0..=10.0).contains(&factor) {
        return Err(Error::range("noise factor", factor, "0 to 10"));
    }
    Ok(factor)
}

/// Refuses noise on a grid that goes up: only the flow can be walked both ways.
fn check_descent(path: &Path<'_>, what: &'static str, amount: f64) -> Result<(), Error> {
    if amount != 0.0 && path.is_inverted() {
        return Err(Error::range(what, amount, "0 on an inverted grid"));
    }
    Ok(())
}
