//! Guidance and editing with every solver of the crate.

mod common;

use common::{
    deterministic, every, multi_steps, single_steps, stochastic_multi_steps,
    stochastic_single_steps,
};
use gaussian_diffusion::{
    Denoiser, GaussianMixture, Grid, LogSnr, Noise, NoiseSchedule, Parameterization, Plan, Point,
    Reached, ReverseStep, Sigma,
    editing::{Inpaint, Inversion, Known},
    guidance::{Combination, Guided, PlusPlus},
    noise::{NoiseSource, Scale},
    predicts,
    schedule::{Cosine, Discrete, Edm, RectifiedFlow},
    solver::{Ddim, DpmSolver, SaSolver, SingleStep},
    state::Real,
};
use ndarray::{Array2, array};

fn snr(value: f64) -> LogSnr {
    LogSnr::new(value).unwrap()
}

/// Calls a generic test on a schedule of every family, with a grid of `n` steps to the data.
macro_rules! on_every_family {
    ($test:ident, $n:expr) => {{
        let n = $n;
        let discrete = Discrete::cosine(1000).unwrap();
        $test(&discrete, &Grid::trailing(&discrete, n).unwrap());
        let zero = Discrete::stable_diffusion()
            .unwrap()
            .zero_terminal_snr()
            .unwrap();
        $test(&zero, &Grid::trailing(&zero, n).unwrap());
        let edm = Edm::new(Sigma::new(0.002).unwrap(), Sigma::new(80.0).unwrap()).unwrap();
        $test(&edm, &Grid::karras(&edm, n).unwrap());
        $test(
            &RectifiedFlow,
            &Grid::uniform_time(&RectifiedFlow, n).unwrap(),
        );
    }};
}

fn mixture() -> GaussianMixture {
    GaussianMixture::isotropic(&[
        (0.5, &[-1.0, 0.2, 0.4][..], 0.2),
        (0.5, &[1.0, 0.5, -0.3][..], 0.1),
    ])
    .unwrap()
}

fn values<A: Real>(items: usize) -> Array2<A> {
    Array2::from_shape_fn((items, 3), |(i, j)| {
        A::of(0.1 + 0.37 * i as f64 - 0.59 * j as f64)
    })
}

/// The first element is known, the second is not, the third by half.
fn known<A: Real>(items: usize) -> Known<A, ndarray::Ix2> {
    let mask = Array2::from_shape_fn((items, 3), |(_, j)| A::of([1.0, 0.0, 0.5][j]));
    Known::new(values(items), mask).unwrap()
}

fn worst<A: Real>(a: &Array2<A>, b: &Array2<A>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    let each = a.iter().zip(b).map(|(a, b)| (a.get() - b.get()).abs());
    each.fold(0.0, f64::max)
}

/// Known elements are what they should be where a step begins and, to the last bit, at the end.
fn inpainted<A: Real, S: NoiseSchedule>(schedule: &S, grid: &Grid<S::Time>, items: usize) {
    let mut eps = Array2::from_elem((items, 3), A::of(0.0));
    Noise::seeded(9)
        .add(&mut eps, Scale::Same(1.0), None)
        .unwrap();
    for solver in every() {
        let plan = Plan::new(schedule, grid, &solver).unwrap();
        let x0 = values::<A>(items);
        let mut step = None;
        let mut net = predicts::with(|x: &Array2<A>, at: Point<S::Time>| {
            if step.replace(at.step) != Some(at.step) {
                let level = at.level;
                let expected =
                    A::of(level.alpha()) * x0[[0, 0]] + A::of(level.sigma()) * eps[[0, 0]];
                assert_eq!(x[[0, 0]], expected, "{} at step {}", plan.name(), at.step);
            }
            Denoiser::<Array2<A>, S::Time>::predict(&mut mixture(), x, at)
        });
        let mut noise = Noise::seeded(4);
        let start: Array2<A> = plan.prior((items, 3), &mut noise).unwrap();
        let mut held = Inpaint::new(known(items), Noise::seeded(9)).holding_noise();
        let x = plan
            .sample_edited(start.clone(), &mut net, &mut held, &mut noise.clone())
            .unwrap();
        assert_eq!(x.column(0), x0.column(0), "{}", plan.name());
        let mut fresh = Inpaint::new(known(items), Noise::seeded(9));
        let x = plan
            .sample_edited(
                start.clone(),
                &mut mixture(),
                &mut fresh,
                &mut noise.clone(),
            )
            .unwrap();
        assert_eq!(x.column(0), x0.column(0), "{}", plan.name());
        // What does not change the state does not change the run.
        let mut nothing = |_: &mut Array2<A>, _: Reached| Ok(());
        let x = plan
            .sample_edited(
                start.clone(),
                &mut mixture(),
                &mut nothing,
                &mut noise.clone(),
            )
            .unwrap();
        assert_eq!(
            x,
            plan.sample(start, &mut mixture(), &mut noise).unwrap(),
            "{}",
            plan.name()
        );
    }
}

fn inpainted_in_both<S: NoiseSchedule>(schedule: &S, grid: &Grid<S::Time>) {
    inpainted::<f64, S>(schedule, grid, 3);
    inpainted::<f32, S>(schedule, grid, 1);
}

#[test]
fn known_parts_are_exact_with_every_solver() {
    on_every_family!(inpainted_in_both, 10);
    on_every_family!(inpainted_in_both, 2);
    on_every_family!(inpainted_in_both, 1);
}

/// One edit before each step and one at the end, each at the level of the next question.
#[test]
fn edits_see_the_levels_of_every_solver() {
    let schedule = Discrete::cosine(1000).unwrap();
    let grid = Grid::trailing(&schedule, 9).unwrap();
    for solver in every() {
        let plan = Plan::new(&schedule, &grid, &solver).unwrap();
        let mut seen = Vec::new();
        let mut watch = |_: &mut Array2<f64>, at: Reached| {
            seen.push(at);
            Ok(())
        };
        let mut noise = Noise::seeded(1);
        let start = plan.prior((1, 3), &mut noise).unwrap();
        plan.sample_edited(start, &mut mixture(), &mut watch, &mut noise)
            .unwrap();
        assert_eq!(seen.len(), 10, "{}", plan.name());
        for (i, at) in seen.iter().enumerate() {
            assert_eq!(at.step, i);
            let first = plan.stages().iter().find(|planned| planned.point.step == i);
            let level = first.map_or(grid.end(), |planned| planned.point.level);
            assert_eq!(at.level, level, "{}", plan.name());
            // Churn asks at a level above, the Runge-Kutta steps of PNDM at the one reached.
            if !["churn", "PNDM"]
                .iter()
                .any(|name| plan.name().contains(name))
            {
                assert_eq!(at.level, plan.levels()[i], "{}", plan.name());
            }
        }
    }
}

/// For data that is one point, a change of the noise at some step is carried to the end by the
/// scales alone, `sigma_t / sigma_s e^(-eta h)`, wherever a guess, a noise or a block was pending.
#[test]
fn edits_are_carried_on_by_the_flow() {
    let seeds = |order, eta| SingleStep::plus_plus(order).unwrap().with_eta(eta).unwrap();
    let sa = |p, c, tau: f64| SaSolver::new(p, c).unwrap().with_tau(tau).unwrap();
    let mut all: Vec<(common::Solver, f64)> = vec![
        (Box::new(seeds(2, 1.0)), 1.0),
        (Box::new(seeds(3, 0.5)), 0.5),
        (Box::new(sa(1, 1, 1.0)), 1.0),
        (Box::new(sa(3, 3, 1.0)), 1.0),
        (Box::new(sa(2, 4, 0.6)), 0.36),
        (Box::new(sa(2, 0, 0.6)), 0.36),
        (
            Box::new(DpmSolver::plus_plus(2).unwrap().with_eta(1.0).unwrap()),
            1.0,
        ),
    ];
    all.extend(deterministic().into_iter().map(|solver| (solver, 0.0)));
    let ends = (snr(-5.0), snr(3.0));
    let mut checked = 0;
    for (solver, eta) in all {
        let grid = Grid::uniform_log_snr_between(&Cosine, 9, ends.0, ends.1).unwrap();
        let grid = grid.without_final_step().unwrap();
        let plan = Plan::new(&Cosine, &grid, &solver).unwrap();
        // Earlier predictions of the noise, of before the edit, would take part.
        let of_data = plan
            .stages()
            .iter()
            .all(|planned| planned.stage.basis == Parameterization::X0);
        if !of_data && !single_steps().iter().any(|s| s.name() == plan.name()) {
            continue;
        }
        checked += 1;
        for place in 0..=8 {
            let run = |by: f64| {
                let mut edit = |x: &mut Array2<f64>, at: Reached| {
                    if at.step == place {
                        *x += by * at.level.sigma();
                    }
                    Ok(())
                };
                let mut noise = Noise::seeded(3);
                let start = plan.prior((2, 1), &mut noise).unwrap();
                let mut net = GaussianMixture::point(&[0.3]).unwrap();
                plan.sample_edited(start, &mut net, &mut edit, &mut noise)
                    .unwrap()
            };
            let moved = &run(1.0) - &run(0.0);
            let end = grid.end();
            let from = plan.levels()[place];
            let h = 0.5 * (end.log_snr().get() - from.log_snr().get());
            let expected = end.sigma() * (-eta * h).exp();
            assert!(
                moved.iter().all(|d| (d - expected).abs() < 1e-12),
                "{} at {place}: {moved} for {expected}",
                plan.name()
            );
        }
    }
    assert!(checked > 35, "{checked}");
}
