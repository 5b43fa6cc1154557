//! Plans after plans, and going back up.

use std::fmt::Debug;

use super::{MOST_REPEATED, Plan};
use crate::{
    Error, Grid, LogSnr, NoiseLevel, UpdateNoise,
    schedule::NoiseSchedule,
    solver::{ReverseStep, Update},
    time::check_count,
};

/// An interval of noise levels that a run goes through again.
///
/// Whenever the run has come down to `low`, noise takes it back up to `high`, and a grid of `steps`
/// steps, even in `rho^(1/7)`, down to `low` again; all this `times` times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Restart {
    /// Where it starts again.
    pub high: LogSnr,
    /// Where it stops.
    pub low: LogSnr,
    /// Steps each time.
    pub steps: usize,
    /// How often.
    pub times: usize,
}

impl<T: Copy + Debug> Plan<T> {
    /// This plan and then another one, with noise between them where the other starts noisier.
    ///
    /// The noise is that of the forward process, `x <- (alpha_t / alpha_s) x + std z` with
    /// `std^2 = sigma_t^2 - (alpha_t sigma_s / alpha_s)^2`.
    ///
    /// # Errors
    ///
    /// If the other starts at a cleaner level than this one ends.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, LogSnr, Plan, schedule::Cosine, solver::{Ddim, DpmSolver}};
    /// let grid = |n, from: f64, to: f64| {
    ///     Grid::uniform_log_snr_between(&Cosine, n, LogSnr::new(from)?, LogSnr::new(to)?)
    /// };
    /// let rough = Plan::new(&Cosine, &grid(10, -8.0, 4.0)?, &DpmSolver::plus_plus(2)?)?;
    /// let again = Plan::new(&Cosine, &grid(10, 0.0, 8.0)?, &Ddim::default())?;
    /// let plan = rough.then(again)?;
    /// assert_eq!(plan.evaluations(), 20);
    /// assert!(plan.defect()? < 1e-13);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn then(mut self, next: Self) -> Result<Self, Error> {
        self.name = format!("{}, {}", self.name, next.name);
        self.append(next)
    }

    /// The same under this plan's name.
    fn append(mut self, next: Self) -> Result<Self, Error> {
        let (from, to) = (self.end(), next.start());
        let steps = self.steps();
        self.memory = self.memory.max(next.memory);
        // Each step leaves the level at its place.
        self.levels.pop();
        self.levels.extend(next.levels);
        let first = self.stages.len();
        self.stages.extend(next.stages);
        for planned in &mut self.stages[first..] {
            planned.point.step += steps;
            planned.point.evaluation += first;
            if from != to {
                // A way gone again draws noise of its own, not that of the path a second time.
                planned.over.to = planned.over.from;
            }
        }
        if from != to
            && let Some(planned) = self.stages.get_mut(first)
        {
            let up = noising(from, to)?;
            planned.stage.renoise = Some(match &planned.stage.renoise {
                Some(own) => up.then(own),
                None => up,
            });
        }
        Ok(self)
    }

    /// The plan of a solver on a grid, with restarts: the Restart sampler.
    ///
    /// Each restart comes after the step that reaches the level nearest to its `low` in log-SNR, and
    /// ends there.
    ///
    /// [Source](crate::docs::papers#arxiv-2306.14878): Restart Sampling for Improving Generative Processes, Xu, Deng, Cheng,
    /// Tian, Liu, Jaakkola, 2023.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); or if a restart has no steps, its `high` is not noisier than the level it
    /// ends at, or its passes make more than 2^20 evaluations.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, LogSnr, Plan, Sigma, schedule::Edm, solver::RungeKutta};
    /// use gaussian_diffusion::plan::Restart;
    /// let schedule = Edm::default();
    /// let snr = |sigma| Sigma::new(sigma).map(LogSnr::from_sigma);
    /// let restart = Restart { high: snr(2.0)?, low: snr(0.1)?, steps: 9, times: 2 };
    /// let grid = Grid::karras(&schedule, 20)?;
    /// let plan = Plan::restarting(&schedule, &grid, &RungeKutta::heun(), &[restart])?;
    /// assert_eq!(plan.evaluations(), 39 + 2 * 18);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn restarting<S, R>(
        schedule: &S,
        grid: &Grid<T>,
        solver: &R,
        restarts: &[Restart],
    ) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
        R: ReverseStep + ?Sized,
    {
        let whole = Self::new(schedule, grid, solver)?;
        let mut after: Vec<Vec<&Restart>> = vec![Vec::new(); grid.len()];
        for restart in restarts {
            let distance = |level: &NoiseLevel| (level.log_snr().get() - restart.low.get()).abs();
            // The data is never a place to start again from.
            let inner = grid.nodes().iter().enumerate().skip(1);
            let nearest =
                inner.min_by(|(_, a), (_, b)| distance(&a.level).total_cmp(&distance(&b.level)));
            if let Some(place) = nearest.and_then(|(i, _)| after.get_mut(i)) {
                place.push(restart);
            }
        }
        if after.iter().all(Vec::is_empty) {
            return Ok(whole);
        }
        let mut parts = Vec::new();
        let mut start = 0;
        for (i, restarts) in after.iter().enumerate() {
            if restarts.is_empty() {
                continue;
            }
            let (nodes, low) = (&grid.nodes()[start..i], grid.nodes()[i].level);
            let down = Grid::new(nodes.to_vec(), low)?;
            parts.push(Self::new(schedule, &down, solver)?);
            for restart in restarts {
                let back = again(schedule, restart, low)?;
                let back = Self::new(schedule, &back, solver)?;
                let most = MOST_REPEATED / back.evaluations().max(1);
                if restart.times > most {
                    let (times, allowed) = (restart.times as f64, format!("0 to {most}"));
                    return Err(Error::range("passes of a restart", times, allowed));
                }
                parts.extend(std::iter::repeat_n(back, restart.times));
            }
            start = i;
        }
        let rest = Grid::new(grid.nodes()[start..].to_vec(), grid.end())?;
        parts.push(Self::new(schedule, &rest, solver)?);
        Self::joined(format!("{}, restarted", whole.name), parts).map(|plan| plan.unwrap_or(whole))
    }

    /// One plan after another under one name; `None` if there are none.
    pub(super) fn joined(
        name: String,
        parts: impl IntoIterator<Item = Self>,
    ) -> Result<Option<Self>, Error> {
        let mut parts = parts.into_iter();
        let Some(first) = parts.next() else {
            return Ok(None);
        };
        let mut plan = parts.try_fold(first, Self::append)?;
        plan.name = name;
        Ok(Some(plan))
    }

    pub(crate) fn end(&self) -> NoiseLevel {
        self.levels.last().copied().unwrap_or(NoiseLevel::CLEAN)
    }
}

/// The forward process from a level to a noisier one.
fn noising(from: NoiseLevel, to: NoiseLevel) -> Result<Update, Error> {
    if !to.is_noisier_than(from) {
        return Err(Error::NotMonotone {
            what: "plans",
            index: 1,
            before: from.log_snr().get(),
            this: to.log_snr().get(),
        });
    }
    let std = crate::Markov.forward_std(to, from)?;
    Ok(Update::new(to.alpha() / from.alpha()).with_noise(UpdateNoise::Std(std)))
}

/// The grid of a restart, which ends at `low`.
fn again<S>(schedule: &S, restart: &Restart, low: NoiseLevel) -> Result<Grid<S::Time>, Error>
where
    S: NoiseSchedule + ?Sized,
{
    check_count("steps of a restart", restart.steps, MOST_REPEATED)?;
    let root = |snr: f64| (-snr / 14.0).exp();
    let (from, to) = (root(restart.high.get()), root(low.log_snr().get()));
    let nodes = (0..restart.steps).map(|i| {
        let fraction = i as f64 / restart.steps as f64;
        LogSnr::new(-14.0 * (from + (to - from) * fraction).ln())
    });
    Grid::at_log_snrs(schedule, &nodes.collect::<Result<Vec<_>, _>>()?)?.ending_at(low)
}
