//! The sampler as a table of numbers.

mod carry;
mod jumps;
mod table;

use std::fmt::Debug;

use ndarray::{Array, ShapeBuilder};

use crate::{
    Denoiser, Edit, Error, Grid, NoiseLevel, Point, Run,
    noise::{Interval, NoiseSource, Scale},
    schedule::NoiseSchedule,
    solver::{At, Path, ReverseStep, Stage},
    state::{Real, State},
};

pub use carry::{Affine, Moments};

/// A sampler as a table: every coefficient of a run, computed before any network is asked.
///
/// A plan is immutable and can be shared by any number of concurrent runs, each of which owns its
/// state. Printed with `{:#}` it is a table.
///
/// ```
/// use gaussian_diffusion::{Grid, Noise, Plan, Point, Step, predicts, schedule::Discrete, solver::Ddim};
/// use ndarray::Array2;
///
/// let schedule = Discrete::cosine(1000)?;
/// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 20)?, &Ddim::default())?;
/// // A network that knows that all data is 0.5.
/// let mut net = predicts::x0(|x: &Array2<f32>, _: Point<Step>| Array2::from_elem(x.dim(), 0.5));
/// let mut noise = Noise::seeded(42);
/// let start = plan.prior((4, 2), &mut noise)?;
/// let x0 = plan.sample(start, &mut net, &mut noise)?;
/// assert!(x0.iter().all(|x| (x - 0.5).abs() < 1e-6));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<T> {
    name: String,
    levels: Vec<NoiseLevel>,
    stages: Vec<PlannedStage<T>>,
    memory: usize,
}

/// A stage of a solver with its place in the run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PlannedStage<T> {
    /// What the network is asked about.
    pub point: Point<T>,
    /// What is made of the answer.
    pub stage: Stage,
}

impl<T> PlannedStage<T> {
    /// The levels of the step.
    pub(crate) fn interval(&self) -> Interval {
        Interval {
            from: self.point.from,
            to: self.point.to,
        }
    }
}

impl<T: Copy + Debug> Plan<T> {
    /// The plan of this solver on this grid of this schedule.
    ///
    /// # Errors
    ///
    /// If the solver has no step between two levels of the grid, or asks the network at a level
    /// that the schedule does not reach.
    pub fn new<S, R>(schedule: &S, grid: &Grid<T>, solver: &R) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
        R: ReverseStep + ?Sized,
    {
        let levels: Vec<_> = grid.levels().collect();
        let level_at = |snr| schedule.level_at(snr);
        let mut stages = Vec::with_capacity(grid.len());
        for (index, node) in grid.nodes().iter().enumerate() {
            let Some(path) = Path::new(&levels, index, &level_at) else {
                break;
            };
            for stage in solver.stages(&path)? {
                let (level, time) = match stage.at {
                    At::From => (node.level, node.time),
                    At::To => match grid.nodes().get(index + 1) {
                        Some(next) => (next.level, next.time),
                        None => {
                            let level = grid.end();
                            (level, schedule.told(schedule.time_at(level.log_snr())?))
                        }
                    },
                    At::LogSnr(snr) => (
                        schedule.level_at(snr)?,
                        schedule.told(schedule.time_at(snr)?),
                    ),
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
                stages.push(PlannedStage { point, stage });
            }
        }
        let memory = solver.memory().max(1);
        Ok(Self {
            name: solver.name().to_owned(),
            levels,
            stages,
            memory,
        })
    }

    /// Where a run starts: `N(0, (alpha^2 + sigma^2) I)` at the first level, the law of noised data
    /// of mean 0 and variance 1.
    ///
    /// On variance-preserving schedules, and at the zero-SNR end of flows, that is `N(0, I)`. On
    /// variance-exploding ones it is `N(0, (1 + sigma^2) I)`, which differs from the `sigma` of EDM by
    /// 0.01 % at 80; start from noise of your own to have that.
    ///
    /// # Errors
    ///
    /// If the noise source refuses the shape.
    #[doc(alias("init_noise_sigma", "latents"))]
    pub fn prior<A, Sh, N>(&self, shape: Sh, noise: &mut N) -> Result<Array<A, Sh::Dim>, Error>
    where
        A: Real,
        Sh: ShapeBuilder,
        N: NoiseSource<Array<A, Sh::Dim>> + ?Sized,
    {
        let mut x = Array::from_elem(shape, A::of(0.0));
        noise.add(&mut x, Scale::Same(self.prior_std()), None)?;
        Ok(x)
    }

    /// The deviation of [`prior`](Self::prior), for tensors of other types.
    pub fn prior_std(&self) -> f64 {
        let start = self.start();
        start.alpha().hypot(start.sigma())
    }

    /// Runs the plan from `x`: asks the network at every point and applies every update.
    ///
    /// # Errors
    ///
    /// If the network fails, answers with another shape, a NaN or an infinity, or answers in terms
    /// that do not determine the data (noise, at zero SNR).
    #[doc(alias("p_sample_loop", "ddim_sample_loop", "denoise"))]
    pub fn sample<V, D, N>(&self, x: V, network: &mut D, noise: &mut N) -> Result<V, Error>
    where
        V: State,
        D: Denoiser<V, T> + ?Sized,
        N: NoiseSource<V> + ?Sized,
    {
        let mut run = self.start_from(x, noise)?;
        while let Some((x, at)) = run.pending() {
            let prediction = network.predict(x, at)?;
            run.supply(prediction, noise)?;
        }
        Ok(run.into_state())
    }

    /// The same with a change of the state before every step and at the end, such as
    /// [`Inpaint`](crate::editing::Inpaint).
    ///
    /// # Errors
    ///
    /// As [`sample`](Self::sample), and where the edit fails.
    #[doc(alias("callback", "callback_on_step_end"))]
    pub fn sample_edited<V, D, E, N>(
        &self,
        x: V,
        network: &mut D,
        edit: &mut E,
        noise: &mut N,
    ) -> Result<V, Error>
    where
        V: State,
        D: Denoiser<V, T> + ?Sized,
        E: Edit<V> + ?Sized,
        N: NoiseSource<V> + ?Sized,
    {
        let mut run = self.start_from(x, noise)?;
        run.edit(edit)?;
        while let Some((x, at)) = run.pending() {
            let prediction = network.predict(x, at)?;
            run.supply(prediction, noise)?;
            if run.pending().is_none_or(|(_, next)| next.step != at.step) {
                run.edit(edit)?;
            }
        }
        Ok(run.into_state())
    }

    /// The run as a value that asks and is answered, for a loop of one's own.
    ///
    /// # Errors
    ///
    /// If `x` holds a NaN or an infinity.
    pub fn start_from<V, N>(&self, x: V, noise: &mut N) -> Result<Run<'_, V, T>, Error>
    where
        V: State,
        N: NoiseSource<V> + ?Sized,
    {
        Run::new(self, x, noise)
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

    fn start(&self) -> NoiseLevel {
        self.levels.first().copied().unwrap_or(NoiseLevel::NOISE)
    }
}
