//! The sampler as a table of numbers.

mod carry;
mod check;
mod fingerprint;
mod jumps;
mod restart;
#[cfg(feature = "serde")]
mod stored;
mod table;

use std::fmt::Debug;

use self::check::check_stage;
use crate::{
    Error, Grid, LogSnr, NoiseLevel, Point,
    noise::Interval,
    schedule::{NoiseSchedule, network_time_at},
    solver::{At, LevelAt, Path, ReverseStep, Stage, Update},
};

#[doc(inline)]
pub use crate::run::Observation;
pub use carry::{Affine, Moments};
pub use restart::Restart;

/// A sampler as a table: every coefficient of a run, computed before any network is asked.
///
/// A plan is immutable and can be shared by any number of concurrent runs, each of which owns its
/// state. Printed with `{:#}` it is a table.
///
/// ```
/// use gaussian_diffusion::{Grid, SeededNoise, Plan, Point, Step, predicts, schedule::Discrete, solver::Ddim};
/// use ndarray::Array2;
///
/// let schedule = Discrete::cosine(1000)?;
/// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 20)?, &Ddim::default())?;
/// // A network that knows that all data is 0.5.
/// let mut net = predicts::x0(|x: &Array2<f32>, _: Point<Step>| Array2::from_elem(x.dim(), 0.5));
/// let mut noise = SeededNoise::new(42);
/// let start = plan.prior((4, 2), &mut noise)?;
/// let x0 = plan.sample(start, &mut net, &mut noise)?;
/// assert!(x0.iter().all(|x| (x - 0.5).abs() < 1e-6));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
///
/// # When a network's errors grow
///
/// A prediction of the noise says little of the data where there is hardly any signal: its error is
/// multiplied by `sigma / alpha` of the first levels, which is 14.6 for Stable Diffusion and 20291
/// for the cosine schedule. [`amplification`](Self::amplification) says by how much the errors of a
/// network grow until the end. Where that is a thousandfold,
///
/// - train the network to predict the velocity or the data;
/// - start at less noise: [`Discrete::reaching`](crate::schedule::Discrete::reaching) leaves out the
///   noisiest steps, [`Grid::karras_with`] and the other curves take their ends;
/// - bound the predicted data: [`Denoiser::clipped`](crate::Denoiser::clipped), or a dynamic
///   [threshold](crate::denoiser::DynamicThreshold).
///
/// ```
/// use gaussian_diffusion::{Grid, LogSnr, Parameterization, Plan, schedule::Discrete, solver::Ddim};
/// let cosine = Discrete::cosine(1000)?;
/// let plan = Plan::new(&cosine, &Grid::trailing(&cosine, 20)?, &Ddim::default())?;
/// assert!(plan.amplification(Parameterization::Noise)? > 20_000.0);
/// assert!(plan.amplification(Parameterization::Velocity)? < 4.0);
/// let milder = cosine.reaching(LogSnr::new(-6.0)?)?;
/// let plan = Plan::new(&milder, &Grid::trailing(&milder, 20)?, &Ddim::default())?;
/// assert!(plan.amplification(Parameterization::Noise)? < 21.0);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        try_from = "stored::Stored<T>",
        bound(deserialize = "T: serde::Deserialize<'de> + Copy + Debug")
    )
)]
pub struct Plan<T> {
    name: String,
    levels: Vec<NoiseLevel>,
    stages: Vec<PlannedStage<T>>,
    memory: usize,
}

/// A stage of a solver with its place in the run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PlannedStage<T> {
    /// What the network is asked about.
    pub point: Point<T>,
    /// What is made of the answer.
    pub stage: Stage,
    /// The levels that the noise of its updates lies between.
    pub over: Interval,
}

/// As many evaluations as repetitions may make of a plan: each takes some hundred bytes.
const MOST_REPEATED: usize = 1 << 20;

impl<T> PlannedStage<T> {
    /// Whether noise is drawn after the answer to this stage and before the next question.
    pub(crate) fn draws(&self, next: Option<&Self>) -> bool {
        let before_next = next.and_then(|next| next.stage.renoise.as_ref());
        self.stage.draws() || before_next.is_some_and(|update| update.noise.draws())
    }
}

impl<T: Copy + Debug> Plan<T> {
    /// The plan of this solver on this grid of this schedule.
    ///
    /// # Errors
    ///
    /// If the solver has no step between two levels of the grid, or asks the network at a level
    /// that the schedule does not reach; or if an update of its has a coefficient that is not finite,
    /// takes more predictions than are kept, or needs the network's variance outside the commit.
    pub fn new<S, R>(schedule: &S, grid: &Grid<T>, solver: &R) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
        R: ReverseStep + ?Sized,
    {
        let level_at = |snr| schedule.level_at(snr);
        let time_at = |snr| network_time_at(schedule, snr);
        Self::of(grid, &solver, &level_at, &time_at)
    }

    /// Compiled once for all schedules and solvers.
    fn of(
        grid: &Grid<T>,
        solver: &dyn ReverseStep,
        level_at: LevelAt<'_>,
        time_at: &dyn Fn(LogSnr) -> Result<T, Error>,
    ) -> Result<Self, Error> {
        let levels: Vec<_> = grid.levels().collect();
        let memory = solver.memory().max(1);
        let mut stages = Vec::with_capacity(grid.len());
        for (index, node) in grid.nodes().iter().enumerate() {
            let Some(path) = Path::new(&levels, index, level_at) else {
                break;
            };
            let planned = solver.stages(&path)?;
            let count = planned.len();
            for stage in planned {
                let (level, time) = match stage.at {
                    At::From => (node.level, node.time),
                    At::To => match grid.nodes().get(index + 1) {
                        Some(next) => (next.level, next.time),
                        None => {
                            let level = grid.end();
                            (level, time_at(level.log_snr())?)
                        }
                    },
                    At::LogSnr(snr) => (level_at(snr)?, time_at(snr)?),
                };
                let (from, to) = (path.from(), path.to());
                let point = Point {
                    step: index,
                    evaluation: stages.len(),
                    level,
                    time,
                    from,
                    to,
                };
                check_stage(&stage, memory.min(stages.len() + 1))?;
                let over = Interval { from, to };
                stages.push(PlannedStage { point, stage, over });
            }
            let first = stages.len() - count;
            if let Some(step) = stages.get_mut(first..) {
                lay_out_noise(step);
            }
        }
        Ok(Self {
            name: solver.name().to_owned(),
            levels,
            stages,
            memory,
        })
    }

    /// The updates of the state, one for each stage that has one.
    pub(crate) fn commits(&self) -> Vec<Update> {
        let commits = self.stages.iter().map(|planned| &planned.stage.commit);
        commits.flatten().cloned().collect()
    }

    /// The same table with other updates of the state, in their order, under another name.
    pub(crate) fn with_commits(&self, name: String, commits: Vec<Update>) -> Result<Self, Error> {
        let mut plan = self.clone();
        let longest = commits.iter().map(|commit| commit.model.len()).max();
        plan.memory = plan.memory.max(longest.unwrap_or(0));
        plan.name = name;
        let places = plan.stages.iter_mut().map(|planned| &mut planned.stage);
        let places = places.filter(|stage| stage.commit.is_some());
        for (place, commit) in places.zip(commits) {
            place.commit = Some(commit);
        }
        for (index, planned) in plan.stages.iter().enumerate() {
            check_stage(&planned.stage, plan.memory.min(index + 1))?;
        }
        Ok(plan)
    }

    /// The name of the solver.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All evaluations with their updates, in order.
    pub fn stages(&self) -> &[PlannedStage<T>] {
        &self.stages
    }

    /// All levels, from the start to the end.
    pub fn levels(&self) -> &[NoiseLevel] {
        &self.levels
    }

    /// How many predictions an update may use.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.levels.len() - 1
    }

    /// Number of network evaluations.
    #[doc(alias("NFE"))]
    pub fn evaluations(&self) -> usize {
        self.stages.len()
    }

    /// How many of the predictions made before this evaluation are used in it or later.
    pub(crate) fn looks_back(&self, evaluation: usize) -> usize {
        let later = self.stages.iter().skip(evaluation).enumerate();
        let uses =
            later.map(|(later, planned)| planned.stage.predictions().saturating_sub(later + 1));
        uses.max().unwrap_or(0)
    }

    /// The most predictions a run keeps: no more than it asks for.
    pub(crate) fn most_kept(&self) -> usize {
        self.memory.min(self.stages.len())
    }

    pub(crate) fn start(&self) -> NoiseLevel {
        self.levels.first().copied().unwrap_or(NoiseLevel::NOISE)
    }
}

/// Gives the noise of each stage of a step its interval: to the level of the next evaluation, from
/// where the noise in the state ends.
fn lay_out_noise<T>(step: &mut [PlannedStage<T>]) {
    let mut targets: Vec<_> = step.iter().skip(1).map(|stage| stage.point.level).collect();
    targets.extend(step.first().map(|stage| stage.point.to));
    let mut reached = step.first().map(|stage| stage.point.from);
    for (stage, to) in step.iter_mut().zip(targets) {
        stage.over.to = to;
        if let Some(from) = reached {
            stage.over.from = from;
        }
        if stage.stage.commit.as_ref().is_some_and(|u| u.noise.draws()) {
            reached = Some(to);
        }
    }
}
