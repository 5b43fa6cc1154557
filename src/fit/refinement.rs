//! Fits that look at the end.

mod coefficients;
mod nodes;

use std::fmt::Debug;

use super::{
    Fit, Fitted, Lesson,
    minimum::{Aim, Problem, approach},
    stagewise::Student,
    suited,
    walk::Counted,
};
use crate::{
    Denoiser, Error, Grid, NoiseSchedule, Plan, ReverseStep,
    state::{Kept, State},
};
use coefficients::Coefficients;
use nodes::Nodes;

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
        let own = Student::of(plan, lesson, &mut network)?;
        let target = lesson.state_at(plan.end())?;
        let steps = plan.steps();
        let free = |stage: usize| fit.directions(stage + 1).len() * (steps - 1 - stage);
        let mut problem = Coefficients {
            fit,
            weights: lesson.weights(),
            network,
            difference: self.difference,
            questions: ((0..steps).map(free).sum(), steps),
        };
        let (mut student, condition) = self.approach(&mut problem, own.clone(), lesson, &target)?;
        student.condition = student.condition.max(condition);
        let name = format!("{}, refined", plan.name());
        student.plan = student.plan.with_commits(name, student.plan.commits())?;
        Fitted::better(own, student, lesson, problem.network.evaluations)
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
        let own = Student::of(&base, lesson, &mut network)?;
        let target = lesson.state_at(base.end())?;
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
        let ((_, mut student), condition) = self.approach(&mut problem, point, lesson, &target)?;
        student.condition = student.condition.max(condition);
        Fitted::better(own, student, lesson, problem.network.evaluations)
    }

    fn approach<V, T, P>(
        &self,
        problem: &mut P,
        point: P::Point,
        lesson: &Lesson<V, T>,
        target: &Kept<V>,
    ) -> Result<(P::Point, f64), Error>
    where
        V: State,
        T: Copy + Debug,
        P: Problem<V, T>,
    {
        let aim = Aim {
            target,
            lesson,
            robust: self.robust,
        };
        approach(problem, point, &aim, self.evaluations)
    }
}
