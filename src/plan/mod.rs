//! The sampler as a table of numbers.

mod carry;
mod restart;
#[cfg(feature = "serde")]
mod stored;
mod table;

use std::{fmt::Debug, ops::ControlFlow};

use ndarray::{Array, ShapeBuilder};

use crate::{
    Denoiser, Error, Grid, LogSnr, NoiseLevel, Parameterization, Point, Prediction, Run, Spread,
    noise::{Interval, NoiseSource, Scale},
    schedule::NoiseSchedule,
    solver::{At, Path, ReverseStep, Stage, Update},
    state::{Real, State},
};

pub use carry::{Affine, Moments};
pub use restart::Restart;

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

/// One evaluation of a run, as an observer sees it.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a, V, T> {
    /// Where the run stands: its step, what the network was told, from which level to which.
    pub at: Point<T>,
    /// What the network was shown.
    pub x: &'a V,
    /// What it answered.
    pub prediction: &'a Prediction<V>,
}

impl<V: State, T> Observation<'_, V, T> {
    /// The data as predicted: a preview of the result.
    ///
    /// # Errors
    ///
    /// If the answer does not determine the data at this level.
    #[doc(alias("pred_original_sample", "denoised"))]
    pub fn x0(&self) -> Result<V, Error> {
        let prediction = self.prediction.clone();
        Ok(prediction
            .to(Parameterization::X0, self.x, self.at.level)?
            .value)
    }
}

impl<T> PlannedStage<T> {
    /// Whether noise is drawn after the answer to this stage and before the next question.
    pub(crate) fn draws(&self, next: Option<&Self>) -> bool {
        let before_next = next.and_then(|next| next.stage.renoise.as_ref());
        let updates = [
            self.stage.commit.as_ref(),
            self.stage.trial.as_ref(),
            before_next,
        ];
        updates.into_iter().flatten().any(|u| u.spread.draws())
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
        let levels: Vec<_> = grid.levels().collect();
        let level_at = |snr| schedule.level_at(snr);
        let memory = solver.memory().max(1);
        let mut stages = Vec::with_capacity(grid.len());
        for (index, node) in grid.nodes().iter().enumerate() {
            let Some(path) = Path::new(&levels, index, &level_at) else {
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
                            (level, told_at(schedule, level.log_snr())?)
                        }
                    },
                    At::LogSnr(snr) => (schedule.level_at(snr)?, told_at(schedule, snr)?),
                };
                let (from, to) = (path.from(), path.to());
                let point = Point {
                    step: index,
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
        self.sample_observed(x, network, noise, |_| ControlFlow::Continue(()))
    }

    /// The same, with somebody looking on who may stop it: the state is then given as it stands.
    ///
    /// # Errors
    ///
    /// As [`sample`](Self::sample).
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use gaussian_diffusion::{Grid, Noise, Plan, Point, Step, predicts, schedule::Discrete, solver::Ddim};
    /// use ndarray::Array1;
    /// let schedule = Discrete::cosine(1000)?;
    /// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 10)?, &Ddim::default())?;
    /// let mut net = predicts::noise(|x: &Array1<f64>, _: Point<Step>| x * 0.9);
    /// let mut noise = Noise::seeded(3);
    /// let (mut previews, start) = (Vec::new(), plan.prior(4, &mut noise)?);
    /// plan.sample_observed(start, &mut net, &mut noise, |seen| {
    ///     previews.extend(seen.x0());
    ///     if seen.at.step == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    /// })?;
    /// assert_eq!(previews.len(), 5);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("callback", "callback_on_step_end", "preview"))]
    pub fn sample_observed<V, D, N>(
        &self,
        x: V,
        network: &mut D,
        noise: &mut N,
        mut observe: impl FnMut(Observation<'_, V, T>) -> ControlFlow<()>,
    ) -> Result<V, Error>
    where
        V: State,
        D: Denoiser<V, T> + ?Sized,
        N: NoiseSource<V> + ?Sized,
    {
        let mut run = self.start_from(x, noise)?;
        while let Some((x, at)) = run.pending() {
            let prediction = network.predict(x, at)?;
            let seen = Observation {
                at,
                x,
                prediction: &prediction,
            };
            let going = observe(seen);
            run.supply(prediction, noise)?;
            if going.is_break() {
                break;
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
        if stage
            .stage
            .commit
            .as_ref()
            .is_some_and(|u| u.spread.draws())
        {
            reached = Some(to);
        }
    }
}

/// What the network is told at a log-SNR; beyond the ends of its clock, the end.
fn told_at<S: NoiseSchedule + ?Sized>(schedule: &S, snr: LogSnr) -> Result<S::Time, Error> {
    let (noisiest, cleanest) = schedule.ends();
    let time = if snr <= schedule.level(noisiest)?.log_snr() {
        noisiest
    } else if snr >= schedule.level(cleanest)?.log_snr() {
        cleanest
    } else {
        schedule.time_at(snr)?
    };
    Ok(schedule.told(time))
}

/// Refuses a stage that a run with this many predictions could not carry out.
fn check_stage(stage: &Stage, predictions: usize) -> Result<(), Error> {
    let updates = [
        (&stage.renoise, 0, false),
        (&stage.commit, predictions, true),
        (&stage.trial, predictions, false),
    ];
    for (update, predictions, may_learn) in updates {
        let Some(Update {
            state,
            model,
            spread,
        }) = update
        else {
            continue;
        };
        if model.len() > predictions {
            return Err(Error::range(
                "number of predictions in an update",
                model.len() as f64,
                format!("0 to {predictions}, those that are kept"),
            ));
        }
        let mut numbers = model.iter().chain([state]);
        if let Some(bad) = numbers.find(|number| !number.is_finite()) {
            return Err(Error::range(
                "coefficient of an update",
                *bad,
                "a finite number",
            ));
        }
        match spread {
            Spread::Std(std) if !(*std >= 0.0 && std.is_finite()) => {
                let allowed = "a finite number from 0 on";
                return Err(Error::range("deviation of an update", *std, allowed));
            }
            Spread::Learned | Spread::LearnedRange { .. } if !may_learn => {
                return Err(Error::Missing {
                    what: "the variance of a prediction",
                    needed_by: "noise outside the commit of a stage",
                });
            }
            _ => {}
        }
    }
    Ok(())
}
