//! Fitted plans keep the laws of solvers, where they are made to.

use std::sync::Mutex;

use gaussian_diffusion::{
    Error, Grid, LogSnr, NoiseLevel, NoiseSchedule, Plan, ReverseStep, Time,
    fit::{Fit, Lesson, StateCoefficient},
    schedule::{Cosine, Edm, RectifiedFlow},
    solver::{Coordinates, Ddim, DpmSolver, ExponentialAdams, Path, Stage},
};

use super::{Columns, fine, starts};

/// The levels of a run, known by their place.
struct Levels(Vec<NoiseLevel>);

impl NoiseSchedule for Levels {
    type Time = Time;

    fn level(&self, t: Time) -> Result<NoiseLevel, Error> {
        Ok(self.0[t.get() as usize])
    }

    fn time_at(&self, _: LogSnr) -> Result<Time, Error> {
        Time::new(0.0)
    }

    fn ends(&self) -> (Time, Time) {
        (
            Time::new(0.0).unwrap(),
            Time::new((self.0.len() - 1) as f64).unwrap(),
        )
    }
}

/// A solver whose step is that of a plan fitted on the grid it stands in, to Gaussians that no two numbers
/// can follow.
struct Fitted<R>(R, Mutex<Option<Plan<Time>>>);

impl<R: ReverseStep> ReverseStep for Fitted<R> {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let levels: Vec<_> = (0..=path.steps()).filter_map(|i| path.level(i)).collect();
        let mut known = self.1.lock().unwrap();
        if let Some(plan) = known.as_ref().filter(|plan| plan.levels() == levels) {
            return Ok(vec![plan.stages()[path.index()].stage.clone()]);
        }
        let levels = Levels(levels);
        let times: Vec<_> = (0..path.steps())
            .map(|i| Time::new(i as f64).unwrap())
            .collect();
        let grid = Grid::at(&levels, &times)?.ending_at(path.end())?;
        let base = Plan::new(&levels, &grid, &self.0)?;
        let mut network = Columns::of(&[1.3, 0.2, 0.01]);
        network.mean = 0.3;
        // Taught by another solver on the same grid: what is learned is not the base.
        let teacher = Plan::new(
            &levels,
            &grid,
            &ExponentialAdams::new(3, Coordinates::Data)?,
        )?;
        let lesson = Lesson::new(&teacher, starts(&teacher, (40, 3), 1), &mut network)?;
        let fit = Fit::default().with_state(StateCoefficient::Consistent);
        let fitted = fit.plan(&base, &lesson, &mut network)?;
        let plan = known.insert(fitted.plan);
        Ok(vec![plan.stages()[path.index()].stage.clone()])
    }

    fn name(&self) -> &str {
        "fitted"
    }

    fn memory(&self) -> usize {
        2
    }
}

#[cfg(feature = "laws")]
#[test]
fn consistent_fits_keep_the_laws_of_solvers() {
    gaussian_diffusion::laws::reverse_step(&Fitted(Ddim::default(), Mutex::default())).unwrap();
    gaussian_diffusion::laws::reverse_step(&Fitted(
        DpmSolver::plus_plus(2).unwrap(),
        Mutex::default(),
    ))
    .unwrap();
}

/// A free fit has no reason to be right for a point; a consistent one is, on every family.
#[test]
fn only_consistent_fits_are_right_for_a_point() {
    fn defects<S: NoiseSchedule<Time = T>, T: gaussian_diffusion::Clock + std::fmt::Debug>(
        schedule: &S,
    ) -> [f64; 2] {
        let mut network = Columns::of(&[1.0, 0.1, 0.01]);
        network.mean = -0.4;
        let fine = fine(schedule, 80);
        let lesson = Lesson::new(&fine, starts(&fine, (6, 3), 3), &mut network).unwrap();
        let grid = Grid::uniform_time(schedule, 5).unwrap();
        let base = Plan::new(schedule, &grid, &DpmSolver::plus_plus(2).unwrap()).unwrap();
        [StateCoefficient::Consistent, StateCoefficient::Free].map(|state| {
            let fit = Fit::default().with_state(state);
            let fitted = fit.plan(&base, &lesson, &mut network).unwrap();
            assert!(
                !fitted.kept_base && fitted.after < 0.7 * fitted.before,
                "{fitted}"
            );
            fitted.plan.defect().unwrap()
        })
    }
    for [consistent, free] in [
        defects(&Cosine),
        defects(&Edm::default()),
        defects(&RectifiedFlow),
    ] {
        assert!(consistent < 1e-14 && free > 1e-6, "{consistent:e} {free:e}");
    }
}

/// Whatever the base: also one that is not right for a point itself.
#[test]
fn a_consistent_fit_mends_its_base() {
    let mut network = Columns::of(&[1.0, 0.1, 0.01]);
    network.mean = -0.4;
    let fine = fine(&Cosine, 80);
    let lesson = Lesson::new(&fine, starts(&fine, (6, 3), 3), &mut network).unwrap();
    let grid = Grid::uniform_time(&Cosine, 5).unwrap();
    let base = Plan::new(&Cosine, &grid, &DpmSolver::plus_plus(2).unwrap()).unwrap();
    let free = Fit::default().plan(&base, &lesson, &mut network).unwrap();
    // Data far from where the free fit learned not to be right for a point.
    let mut other = Columns::of(&[0.2, 0.5, 2.0]);
    other.mean = 5.0;
    let lesson = Lesson::new(&fine, starts(&fine, (6, 3), 4), &mut other).unwrap();
    let fit = Fit::default().with_state(StateCoefficient::Consistent);
    let fitted = fit.plan(&free.plan, &lesson, &mut other).unwrap();
    let (before, after) = (free.plan.defect().unwrap(), fitted.plan.defect().unwrap());
    assert!(
        !fitted.kept_base && before > 1e-6 && after < 1e-14,
        "{fitted}: {before:e} {after:e}"
    );
    for planned in fitted.plan.stages() {
        let (from, to) = (planned.point.from, planned.point.to);
        let state = planned.stage.commit.as_ref().unwrap().state;
        assert!((state - to.sigma() / from.sigma()).abs() < 1e-15);
    }
}
