//! Fits that look at the end.

use std::fmt::Debug;

use super::{
    Fit, Fitted, Lesson,
    minimum::{Problem, approach},
    regression::product,
    stagewise::{Student, add, along},
    suited,
    walk::{Counted, Walk},
};
use crate::{
    Denoiser, Error, Grid, LogSnr, NoiseSchedule, Plan, ReverseStep,
    grid::Node,
    state::{Kept, State},
};

/// Refines a fit by its error at the end, where the stages of [`Fit::plan`] each see their own: by the method
/// of Levenberg and Marquardt, with differences of runs for derivatives.
///
/// A round asks the network once for each coefficient and each step after it: 30 times for 5 steps of two
/// predictions and a state, and for nodes `n (n - 1)` times. Starts count by the inverse of their distance, so
/// that the mean distance is what falls: near the border between two basins of the flow an end jumps, and
/// squares would see nothing else.
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, Grid, Plan, SeededNoise, fit::{Fit, Lesson, Refinement}};
/// use gaussian_diffusion::schedule::Discrete;
/// use gaussian_diffusion::solver::{Coordinates, DpmSolver, ExponentialAdams};
/// use ndarray::Array2;
/// let schedule = Discrete::stable_diffusion()?;
/// let mut net = GaussianMixture::isotropic(&[(0.5, [-1.0], 0.04), (0.5, [1.0], 0.04)])?;
/// let grid = Grid::uniform_log_snr(&schedule, 100)?;
/// let fine = Plan::new(&schedule, &grid, &ExponentialAdams::new(3, Coordinates::Data)?)?;
/// let starts: Array2<f64> = fine.prior((16, 1), &mut SeededNoise::new(1))?;
/// let lesson = Lesson::new(&fine, starts, &mut net)?;
///
/// let (fit, refinement, solver) = (Fit::default(), Refinement::default(), DpmSolver::plus_plus(2)?);
/// let grid = Grid::karras(&schedule, 4)?;
/// let staged = fit.plan(&Plan::new(&schedule, &grid, &solver)?, &lesson, &mut net)?;
/// let moved = refinement.nodes(&fit, &schedule, &grid, &solver, &lesson, &mut net)?;
/// let whole = refinement.coefficients(&fit, &moved.plan, &lesson, &mut net)?;
/// assert!(moved.after < staged.after && whole.after < moved.after);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("Levenberg-Marquardt", "S4S", "BNS"))]
#[derive(Debug, Clone, PartialEq)]
pub struct Refinement {
    evaluations: usize,
    difference: f64,
    robust: bool,
}

impl Default for Refinement {
    /// At most 1000 evaluations, differences of a thousandth, robust weights.
    fn default() -> Self {
        Self {
            evaluations: 1000,
            difference: 1e-3,
            robust: true,
        }
    }
}

/// Fewer starts than this are met by moving nodes without anything being learned.
const FEWEST_STARTS: usize = 5;

impl Refinement {
    /// With so many evaluations at the most, each about all starts. A round that would lead beyond is not
    /// begun.
    #[must_use]
    pub fn with_evaluations(mut self, evaluations: usize) -> Self {
        self.evaluations = evaluations;
        self
    }

    /// The change that differences are taken over: of a state, relative to its size, and of a node, relative
    /// to its distance from the next. A network in f32 needs a thousandth or more.
    ///
    /// # Errors
    ///
    /// If it is not 1e-9 to 0.1.
    pub fn with_difference(mut self, difference: f64) -> Result<Self, Error> {
        if !(1e-9..=0.1).contains(&difference) {
            return Err(Error::range("difference", difference, "1e-9 to 0.1"));
        }
        self.difference = difference;
        Ok(self)
    }

    /// With the mean square of the distances in place of their mean.
    #[must_use]
    pub fn with_squares(mut self) -> Self {
        self.robust = false;
        self
    }

    /// Refines the coefficients of a plan, those that the fit has free.
    ///
    /// # Errors
    ///
    /// As [`Fit::plan`].
    pub fn coefficients<V, T, D>(
        &self,
        fit: &Fit,
        plan: &Plan<T>,
        lesson: &Lesson<V, T>,
        network: &mut D,
    ) -> Result<Fitted<T>, Error>
    where
        V: State,
        T: Copy + Debug,
        D: Denoiser<V, T> + ?Sized,
    {
        suited::as_base(plan)?;
        let mut network = Counted::new(network);
        let start = lesson.state_at(plan.start())?;
        let point = Student {
            walk: Walk::of(plan, start, &mut network)?,
            plan: plan.clone(),
            condition: 1.0,
        };
        let before = lesson.mean(&lesson.distances(point.walk.last()?)?);
        let steps = plan.steps();
        let free = |stage: usize| fit.directions(stage + 1).len() * (steps - 1 - stage);
        let mut problem = Coefficients {
            fit,
            weights: lesson.weights(),
            network,
            difference: self.difference,
            questions: ((0..steps).map(free).sum(), steps),
        };
        let mut student = self.approach(&mut problem, point, lesson)?;
        let name = format!("{}, refined", plan.name());
        student.plan = student.plan.with_commits(name, student.plan.commits())?;
        Fitted::better(
            plan.clone(),
            before,
            student,
            lesson,
            problem.network.evaluations,
        )
    }

    /// Moves the inner nodes of a grid, with a fit on each grid that is tried, of the base that the solver
    /// has there.
    ///
    /// # Errors
    ///
    /// As [`Fit::plan`] and [`Plan::new`]; or if there are fewer than 5 starts.
    pub fn nodes<V, S, R, D>(
        &self,
        fit: &Fit,
        schedule: &S,
        grid: &Grid<S::Time>,
        solver: &R,
        lesson: &Lesson<V, S::Time>,
        network: &mut D,
    ) -> Result<Fitted<S::Time>, Error>
    where
        V: State,
        S: NoiseSchedule + ?Sized,
        R: ReverseStep + ?Sized,
        D: Denoiser<V, S::Time> + ?Sized,
    {
        if lesson.starts() < FEWEST_STARTS {
            let allowed = format!("{FEWEST_STARTS} or more to move nodes");
            return Err(Error::range(
                "number of starts",
                lesson.starts() as f64,
                allowed,
            ));
        }
        let base = Plan::new(schedule, grid, solver)?;
        suited::as_base(&base)?;
        let mut network = Counted::new(network);
        let walk: Walk<V> = Walk::of(&base, lesson.state_at(base.start())?, &mut network)?;
        let before = lesson.mean(&lesson.distances(walk.last()?)?);
        let mut problem = Nodes {
            fit,
            schedule,
            solver,
            lesson,
            network,
            difference: self.difference,
            steps: grid.len(),
        };
        let point = problem.at(grid.clone())?;
        let (_, student) = self.approach(&mut problem, point, lesson)?;
        Fitted::better(base, before, student, lesson, problem.network.evaluations)
    }

    fn approach<V, T, P>(
        &self,
        problem: &mut P,
        point: P::Point,
        lesson: &Lesson<V, T>,
    ) -> Result<P::Point, Error>
    where
        V: State,
        T: Copy + Debug,
        P: Problem<V, T>,
    {
        approach(problem, point, lesson, self.robust, self.evaluations)
    }
}

/// The free coefficients of a plan.
struct Coefficients<'a, D: ?Sized> {
    fit: &'a Fit,
    weights: &'a [f64],
    network: Counted<'a, D>,
    difference: f64,
    /// Of the next slopes, and of the next move.
    questions: (usize, usize),
}

/// A free change of a stage, and what it adds to its result.
struct Change<K> {
    stage: usize,
    direction: Vec<f64>,
    added: K,
}

impl Fit {
    /// What is free of a plan's stages, with what they were made of in this run.
    fn changes<V: State, T: Copy + Debug>(
        &self,
        at: &Student<V, T>,
    ) -> Result<Vec<Change<Kept<V>>>, Error> {
        let mut all = Vec::new();
        for stage in 0..at.plan.stages().len() {
            let features = at.walk.features(stage, self.memory)?;
            for direction in self.directions(features.len() - 1) {
                let added = along(&direction, &features)?;
                all.push(Change {
                    stage,
                    direction,
                    added,
                });
            }
        }
        Ok(all)
    }
}

impl<V, T, D> Problem<V, T> for Coefficients<'_, D>
where
    V: State,
    T: Copy + Debug,
    D: Denoiser<V, T> + ?Sized,
{
    type Point = Student<V, T>;

    fn end<'a>(&self, at: &'a Self::Point) -> Result<&'a Kept<V>, Error> {
        at.walk.last()
    }

    fn slopes(&mut self, at: &Self::Point) -> Result<Vec<Kept<V>>, Error> {
        let mut slopes = Vec::new();
        for Change {
            stage, mut added, ..
        } in self.fit.changes(at)?
        {
            let reached = at.walk.state(stage + 1)?;
            let size = product(reached, reached, self.weights)?;
            let own = product(&added, &added, self.weights)?;
            if stage + 1 < at.plan.stages().len() && own > 0.0 && size > 0.0 {
                let by = self.difference * (size / own).sqrt();
                added.combine(by, &[])?;
                let moved = at
                    .walk
                    .with_change(stage + 1, &added, &at.plan, &mut self.network)?;
                added.combine(0.0, &[(by.recip(), &moved), (-by.recip(), at.walk.last()?)])?;
            }
            slopes.push(added);
        }
        Ok(slopes)
    }

    fn moved(&mut self, at: &Self::Point, by: &[f64]) -> Result<Self::Point, Error> {
        let mut commits = at.plan.commits();
        for (change, by) in self.fit.changes(at)?.iter().zip(by) {
            if let Some(commit) = commits.get_mut(change.stage) {
                add(commit, *by, &change.direction);
            }
        }
        let plan = at.plan.with_commits(at.plan.name().to_owned(), commits)?;
        let start = at.walk.state(0)?.clone();
        Ok(Student {
            walk: Walk::of(&plan, start, &mut self.network)?,
            plan,
            condition: at.condition,
        })
    }

    fn questions(&self) -> (usize, usize, usize) {
        (self.network.evaluations, self.questions.0, self.questions.1)
    }
}

/// The inner nodes of a grid.
struct Nodes<'a, V: State, S: NoiseSchedule + ?Sized, R: ?Sized, D: ?Sized> {
    fit: &'a Fit,
    schedule: &'a S,
    solver: &'a R,
    lesson: &'a Lesson<V, S::Time>,
    network: Counted<'a, D>,
    difference: f64,
    steps: usize,
}

impl<V, S, R, D> Nodes<'_, V, S, R, D>
where
    V: State,
    S: NoiseSchedule + ?Sized,
    R: ReverseStep + ?Sized,
    D: Denoiser<V, S::Time> + ?Sized,
{
    /// A fit on this grid.
    fn at(&mut self, grid: Grid<S::Time>) -> Result<(Grid<S::Time>, Student<V, S::Time>), Error> {
        let base = Plan::new(self.schedule, &grid, self.solver)?;
        let student = self.fit.student(&base, self.lesson, &mut self.network)?;
        Ok((grid, student))
    }

    /// The grid with its inner nodes this far away in log-SNR, and how far each has gone: no further than
    /// the schedule reaches.
    fn shifted(
        &self,
        grid: &Grid<S::Time>,
        by: &[f64],
    ) -> Result<(Grid<S::Time>, Vec<f64>), Error> {
        let (noisiest, cleanest) = self.schedule.ends();
        let reach = [noisiest, cleanest].map(|end| self.schedule.level(end));
        let [low, high] = reach.map(|level| level.map(|level| level.log_snr().get()));
        let (low, high) = (low?, high?);
        let (mut nodes, mut gone) = (grid.nodes().to_vec(), Vec::with_capacity(by.len()));
        for (node, by) in nodes.iter_mut().skip(1).zip(by) {
            let before = node.level.log_snr().get();
            let snr = LogSnr::new((before + by).clamp(low.min(before), high.max(before)))?;
            gone.push(snr.get() - before);
            if snr.get() != before {
                *node = Node {
                    level: self.schedule.level_at(snr)?,
                    time: self.schedule.network_time(self.schedule.time_at(snr)?),
                };
            }
        }
        Ok((Grid::new(nodes, grid.end())?, gone))
    }
}

/// How far each inner node is from the nearer of its neighbours, in log-SNR.
fn gaps<T: Copy + Debug>(grid: &Grid<T>) -> Vec<f64> {
    let snrs: Vec<_> = grid.levels().map(|level| level.log_snr().get()).collect();
    let nearer = |three: &[f64]| (three[1] - three[0]).min(three[2] - three[1]);
    let gap = |three: &[f64]| match nearer(three) {
        gap if gap.is_finite() => gap,
        _ => 1.0,
    };
    snrs.windows(3).map(gap).collect()
}

impl<V, S, R, D> Problem<V, S::Time> for Nodes<'_, V, S, R, D>
where
    V: State,
    S: NoiseSchedule + ?Sized,
    R: ReverseStep + ?Sized,
    D: Denoiser<V, S::Time> + ?Sized,
{
    type Point = (Grid<S::Time>, Student<V, S::Time>);

    fn end<'a>(&self, (_, student): &'a Self::Point) -> Result<&'a Kept<V>, Error> {
        student.walk.last()
    }

    fn slopes(&mut self, (grid, student): &Self::Point) -> Result<Vec<Kept<V>>, Error> {
        let gaps = gaps(grid);
        let mut slopes = Vec::with_capacity(gaps.len());
        for (node, gap) in gaps.iter().enumerate() {
            let mut by = vec![0.0; gaps.len()];
            by[node] = self.difference * gap;
            let (mut there, mut gone) = self.shifted(grid, &by)?;
            if gone[node].abs() < 0.5 * by[node] {
                // At the end of the schedule: the other way.
                by[node] = -by[node];
                (there, gone) = self.shifted(grid, &by)?;
            }
            let (_, moved) = self.at(there)?;
            let mut slope = moved.walk.last()?.clone();
            let inverse = gone[node].recip();
            slope.combine(inverse, &[(-inverse, student.walk.last()?)])?;
            slopes.push(slope);
        }
        Ok(slopes)
    }

    fn moved(&mut self, (grid, _): &Self::Point, by: &[f64]) -> Result<Self::Point, Error> {
        // No node comes near another's place in one move.
        let share = |(gap, by): (&f64, &f64)| 0.4 * gap / by.abs().max(f64::MIN_POSITIVE);
        let share = gaps(grid).iter().zip(by).map(share).fold(1.0, f64::min);
        let by: Vec<_> = by.iter().map(|by| share * by).collect();
        let (grid, _) = self.shifted(grid, &by)?;
        self.at(grid)
    }

    fn questions(&self) -> (usize, usize, usize) {
        let inner = self.steps - 1;
        (self.network.evaluations, inner * self.steps, self.steps)
    }
}
