//! Guidance and editing with every solver of the crate.

mod common {
    pub mod levels;
    pub mod schedules;
    pub mod solvers;
}

use common::schedules::{mask, mixture, on_every_family, values};
use common::{
    levels::snr,
    solvers::{
        deterministic, every, multi_steps, single_steps, stochastic_multi_steps,
        stochastic_single_steps,
    },
};
use gaussian_diffusion::{
    Denoiser, GaussianMixture, Grid, NoiseSchedule, Parameterization, Plan, Point, ReverseStep,
    SeededNoise,
    editing::{Inpaint, Inversion, Known, StepEnd},
    guidance::{CfgPlusPlus, Combination, Guided},
    noise::{NoiseSource, Scale},
    predicts,
    schedule::{Cosine, Discrete},
    solver::{DpmSolver, SaSolver, SingleStep, Stage},
    state::Real,
};
use ndarray::{Array2, Axis, array};

/// The first element is known, the second is not, the third by half.
fn known<A: Real>(items: usize) -> Known<Array2<A>> {
    let mask = mask(items);
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
    SeededNoise::new(9)
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
        let mut noise = SeededNoise::new(4);
        let start: Array2<A> = plan.prior((items, 3), &mut noise).unwrap();
        let mut held = Inpaint::new(known(items), SeededNoise::new(9)).with_held_noise();
        let x = plan
            .sample_edited(start.clone(), &mut net, &mut held, &mut noise.clone())
            .unwrap();
        assert_eq!(x.column(0), x0.column(0), "{}", plan.name());
        let mut fresh = Inpaint::new(known(items), SeededNoise::new(9));
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
        let mut nothing = |_: &mut Array2<A>, _: StepEnd| Ok(());
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
        let mut watch = |_: &mut Array2<f64>, at: StepEnd| {
            seen.push(at);
            Ok(())
        };
        let mut noise = SeededNoise::new(1);
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
/// scales alone, `sigma_s / sigma_t e^(-tau^2 h)`, wherever a guess, a noise or a block was pending.
#[test]
fn edits_are_carried_on_by_the_flow() {
    let seeds = |order, tau| SingleStep::plus_plus(order).unwrap().with_tau(tau).unwrap();
    let sa = |p, c, tau: f64| SaSolver::new(p, c).unwrap().with_tau(tau).unwrap();
    let mut all: Vec<(common::solvers::Solver, f64)> = vec![
        (Box::new(seeds(2, 1.0)), 1.0),
        (Box::new(seeds(3, 0.5)), 0.25),
        (Box::new(sa(1, 1, 1.0)), 1.0),
        (Box::new(sa(3, 3, 1.0)), 1.0),
        (Box::new(sa(2, 4, 0.6)), 0.36),
        (Box::new(sa(2, 0, 0.6)), 0.36),
        (
            Box::new(DpmSolver::plus_plus(2).unwrap().with_tau(1.0).unwrap()),
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
                let mut edit = |x: &mut Array2<f64>, at: StepEnd| {
                    if at.step == place {
                        *x += by * at.level.sigma();
                    }
                    Ok(())
                };
                let mut noise = SeededNoise::new(3);
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

/// The exact data of one class and of all, guided with a scale: CFG++.
fn plus_plus(scale: f64) -> CfgPlusPlus<(GaussianMixture, GaussianMixture), Combination> {
    let parts = [(0.5, [-1.0, 0.4], 0.3), (0.5, [0.8, -0.2], 0.2)];
    let class = GaussianMixture::isotropic(&parts[..1]).unwrap();
    let all = GaussianMixture::isotropic(&parts).unwrap();
    CfgPlusPlus::new((class, all), Combination::classifier_free(scale).unwrap())
}

/// `x_s = alpha_s x0_guided + sigma_s eps_u`, step by step.
fn plus_plus_by_hand<S: NoiseSchedule>(
    grid: &Grid<S::Time>,
    start: &Array2<f64>,
    scale: f64,
) -> Array2<f64> {
    let parts = [(0.5, [-1.0, 0.4], 0.3), (0.5, [0.8, -0.2], 0.2)];
    let class = GaussianMixture::isotropic(&parts[..1]).unwrap();
    let all = GaussianMixture::isotropic(&parts).unwrap();
    let levels: Vec<_> = grid.levels().collect();
    let mut x = start.clone();
    for pair in levels.windows(2) {
        for mut row in x.rows_mut() {
            let shown = row.to_vec();
            let c = class.posterior_mean(&shown, pair[0]).unwrap();
            let u = all.posterior_mean(&shown, pair[0]).unwrap();
            for j in 0..2 {
                let eps = (shown[j] - pair[0].alpha() * u[j]) / pair[0].sigma();
                row[j] = pair[1].alpha() * (u[j] + scale * (c[j] - u[j])) + pair[1].sigma() * eps;
            }
        }
    }
    x
}

/// Rules of first order are the published step; without guidance every rule is the plain one.
fn plus_plus_closed<S: NoiseSchedule>(schedule: &S, grid: &Grid<S::Time>) {
    for solver in deterministic() {
        let plan = Plan::new(schedule, grid, &solver).unwrap();
        let mut noise = SeededNoise::new(5);
        let start: Array2<f64> = plan.prior((3, 2), &mut noise).unwrap();
        let found = |scale: f64| {
            plan.sample(
                start.clone(),
                &mut plus_plus(scale),
                &mut SeededNoise::new(0),
            )
            .unwrap()
        };
        let parts = [(0.5, &[-1.0, 0.4][..], 0.3), (0.5, &[0.8, -0.2][..], 0.2)];
        let mut all = GaussianMixture::isotropic(&parts).unwrap();
        let plain = plan.sample(start.clone(), &mut all, &mut SeededNoise::new(0));
        // The one is given the data, the other the noise at high levels: roundings apart.
        assert!(
            worst(&found(0.0), &plain.unwrap()) < 1e-9,
            "{}",
            plan.name()
        );
        let guided = found(0.6);
        let bounded = guided.iter().all(|x| x.abs() < 10.0);
        // Slopes taken across long steps amplify a displacement before them.
        let inside = ["PNDM", "DPM-Solver in blocks"].contains(&plan.name());
        let exempt = grid.len() < 60 || inside;
        assert!(bounded || exempt, "{}: {guided}", plan.name());
        let single = |stage: &Stage| {
            let commit = stage.commit.as_ref();
            stage.trial.is_none() && commit.is_some_and(|commit| commit.model.len() == 1)
        };
        if plan.stages().iter().all(|planned| single(&planned.stage)) {
            let expected = plus_plus_by_hand::<S>(grid, &start, 0.6);
            assert!(worst(&guided, &expected) < 1e-9, "{}", plan.name());
        }
    }
}

#[test]
fn plus_plus_is_its_closed_form_at_first_order() {
    on_every_family!(plus_plus_closed, 12);
    on_every_family!(plus_plus_closed, 60);
}

/// Two networks that know a point each: rules of any order for the data keep the closed form, since
/// what they integrate does not change.
#[test]
fn plus_plus_of_points_is_its_closed_form_at_any_order() {
    let (a, b, scale) = (0.9, -0.4, 0.3);
    let grid = Grid::uniform_log_snr_between(&Cosine, 9, snr(-5.0), snr(3.0)).unwrap();
    let grid = grid.without_final_step().unwrap();
    let mut checked = 0;
    for solver in deterministic() {
        let plan = Plan::new(&Cosine, &grid, &solver).unwrap();
        let stages = plan.stages();
        let of_data = |basis| basis == Parameterization::X0;
        // Inside a step there are displacements of their own.
        if !stages.iter().all(|planned| of_data(planned.stage.basis))
            || plan.evaluations() != plan.steps()
        {
            continue;
        }
        checked += 1;
        let nets = [a, b].map(|at| GaussianMixture::point(&[at]).unwrap());
        let [class, all] = nets;
        let mut net = CfgPlusPlus::new((class, all), Combination::classifier_free(scale).unwrap());
        let start = array![[0.3], [-1.1]];
        let found = plan
            .sample(start.clone(), &mut net, &mut SeededNoise::new(0))
            .unwrap();
        let mut x = start;
        for pair in plan.levels().windows(2) {
            x.mapv_inplace(|x| {
                let eps = (x - pair[0].alpha() * b) / pair[0].sigma();
                pair[1].alpha() * (b + scale * (a - b)) + pair[1].sigma() * eps
            });
        }
        assert!(
            worst(&found, &x) < 1e-12,
            "{}: {found} for {x}",
            plan.name()
        );
    }
    assert!(checked >= 14, "{checked}");
}

/// CFG++ displaces the data at every step, so that its scale is one for a number of steps; with one in
/// proportion to the step, all rules tend to the same flow, the displacement to first order.
#[test]
fn plus_plus_converges_with_every_solver() {
    let ends = (snr(-5.0), snr(3.0));
    let spaced = |n| {
        let grid = Grid::uniform_log_snr_between(&Cosine, n, ends.0, ends.1).unwrap();
        grid.without_final_step().unwrap()
    };
    let start = array![[0.4, -0.7], [-1.2, 0.3]];
    let by_hand = |n: usize| plus_plus_by_hand::<Cosine>(&spaced(n + 1), &start, 6.0 / n as f64);
    // Extrapolated twice.
    let [coarse, middle, fine] = [1600, 3200, 6400].map(by_hand);
    let once = [&middle * 2.0 - &coarse, &fine * 2.0 - &middle];
    let limit = (&once[1] * 4.0 - &once[0]) / 3.0;
    for solver in deterministic() {
        let error = |n: usize| {
            let plan = Plan::new(&Cosine, &spaced(n + 1), &solver).unwrap();
            // A step of several questions displaces at its end, by the last answer.
            let mut net = plus_plus(6.0 / n as f64);
            let mut noise = SeededNoise::new(0);
            worst(
                &plan.sample(start.clone(), &mut net, &mut noise).unwrap(),
                &limit,
            )
        };
        let errors = [120, 240, 480].map(error);
        let order = (errors[0] / errors[2]).log2() / 2.0;
        println!("{}: {errors:?}, order {order:.2}", solver.name());
        assert!(order > 0.8, "{}: {errors:?}", solver.name());
        assert!(errors[2] < 0.02, "{}: {errors:?}", solver.name());
    }
}

/// Levels are those that steps leave and the end.
fn check_table<T: Copy + std::fmt::Debug>(plan: &Plan<T>, sound: bool) {
    assert_eq!(plan.levels().len(), plan.steps() + 1);
    for (i, planned) in plan.stages().iter().enumerate() {
        let point = &planned.point;
        assert_eq!(point.evaluation, i, "{}", plan.name());
        assert_eq!(plan.levels()[point.step], point.from, "{}", plan.name());
    }
    let last = plan.stages().last().unwrap();
    assert_eq!(last.point.step + 1, plan.steps());
    assert_eq!(plan.levels().last(), Some(&last.point.to));
    let defect = plan.defect().unwrap();
    assert!(!sound || defect < 1e-11, "{}: {defect:e}", plan.name());
}

/// Whether a solver keeps the laws of points; Langevin's corrector, Euler-Maruyama and what is exact for other data do
/// in the limit.
fn is_sound<T: Copy + std::fmt::Debug>(plan: &Plan<T>) -> bool {
    let sound = plan.defect().unwrap() < 1e-11;
    let exempt = ["Langevin", "Euler-Maruyama", "REAB", "DPM-Solver-v3"]
        .iter()
        .any(|name| plan.name().contains(name));
    assert!(sound || exempt, "{}", plan.name());
    sound
}

/// RePaint's jumps: rules of single steps can, with the laws kept; of the others those stretches can
/// that stand alone, and the rest is refused.
fn jumps<S: NoiseSchedule>(schedule: &S, grid: &Grid<S::Time>)
where
    S::Time: PartialEq,
{
    let single = single_steps().into_iter().chain(stochastic_single_steps());
    for solver in single {
        let plan = Plan::new(schedule, grid, &solver).unwrap();
        for length in [1, 2, 3, 7, 9, usize::MAX] {
            let jumping = plan.resampled(length, 2).unwrap();
            assert_eq!(jumping.steps(), 2 * plan.steps());
            assert_eq!(jumping.name(), plan.name());
            check_table(&jumping, is_sound(&plan));
        }
        let mut inpaint = Inpaint::new(known::<f64>(2), SeededNoise::new(6));
        let mut noise = SeededNoise::new(7);
        let jumping = plan.resampled(3, 3).unwrap();
        let start = jumping.prior((2, 3), &mut noise).unwrap();
        let x = jumping
            .sample_edited(start, &mut mixture(), &mut inpaint, &mut noise)
            .unwrap();
        assert_eq!(x.column(0), values::<f64>(2).column(0), "{}", plan.name());
    }
    for solver in multi_steps().into_iter().chain(stochastic_multi_steps()) {
        let plan = Plan::new(schedule, grid, &solver).unwrap();
        assert_eq!(plan.resampled(2, 1).unwrap(), plan);
        assert!(plan.resampled(1, 2).is_err(), "{}", plan.name());
        for length in 2..=8 {
            match plan.resampled(length, 2) {
                // A whole run, or blocks that fit.
                Ok(jumping) => check_table(&jumping, true),
                Err(error) => {
                    let error = error.to_string();
                    let older = error.starts_with("predictions of an update is ");
                    let within = error.starts_with("a step that ends where a jump begins");
                    assert!(older || within, "{}: {error}", plan.name());
                }
            }
        }
        let whole = plan.resampled(10, 2).unwrap();
        check_table(&whole, true);
    }
}

#[test]
fn jumps_are_for_single_steps() {
    on_every_family!(jumps, 8);
}

/// Plans one after another, whatever kind each is.
#[test]
fn plans_follow_plans_of_other_solvers() {
    let grid = |n, from: f64, to: f64| {
        let grid = Grid::uniform_log_snr_between(&Cosine, n, snr(from), snr(to)).unwrap();
        grid.without_final_step().unwrap()
    };
    let all = every();
    for (i, solver) in all.iter().enumerate() {
        let other = &all[(7 * i + 3) % all.len()];
        let first = Plan::new(&Cosine, &grid(9, -8.0, 2.0), solver).unwrap();
        let (from, end) = (first.levels().len(), 2.0);
        // Going back up, and going on.
        for start in [-1.0, end] {
            let again = Plan::new(&Cosine, &grid(8, start, 6.0), other).unwrap();
            let both = first.clone().then(again.clone()).unwrap();
            assert_eq!(both.steps(), first.steps() + again.steps());
            assert_eq!(
                both.evaluations(),
                first.evaluations() + again.evaluations()
            );
            assert_eq!(both.levels()[from - 1], again.levels()[0]);
            check_table(&both, is_sound(&first) && is_sound(&again));
        }
        let cleaner = Plan::new(&Cosine, &grid(5, 3.0, 6.0), other).unwrap();
        assert!(first.then(cleaner).is_err());
    }
}

/// Data to noise and back by the same solver, between levels where the network says both: the measured
/// order is that of the solver or more.
#[test]
fn inversion_returns_with_the_order_of_the_solver() {
    let x0 = array![[-0.9, 0.3, 0.2], [0.8, 0.4, -0.5]];
    let spaced = |n| {
        let grid = Grid::uniform_log_snr_between(&Cosine, n + 1, snr(-5.0), snr(3.5)).unwrap();
        grid.without_final_step().unwrap()
    };
    for solver in deterministic() {
        let error = |n: usize| {
            let grid = spaced(n);
            let forth = Plan::new(&Cosine, &grid.inverted(), &solver).unwrap();
            assert!(forth.defect().unwrap() < 1e-11, "{}", solver.name());
            let back = Plan::new(&Cosine, &grid, &solver).unwrap();
            let mut noise = SeededNoise::new(0);
            let code = forth
                .sample(x0.clone(), &mut Inversion::new(mixture()), &mut noise)
                .unwrap();
            let again = back.sample(code, &mut mixture(), &mut noise).unwrap();
            assert_eq!(noise.draws(), 0);
            worst(&again, &x0)
        };
        let errors = [96, 192, 384].map(error);
        let order = (errors[0] / errors[2]).log2() / 2.0;
        println!("{}: {errors:?}, order {order:.2}", solver.name());
        // Rules of many steps start with order 1 and a step of full length: order 2 is all they show.
        let stated = f64::from(solver.order()).min(2.0);
        let tiny = errors[2] < 1e-6;
        assert!(
            tiny || order > stated - 0.25,
            "{}: {errors:?}",
            solver.name()
        );
        assert!(errors[2] < 0.02, "{}: {errors:?}", solver.name());
    }
}

/// From clean data to noise, on some families pure, and back.
fn inverted<S: NoiseSchedule>(schedule: &S, grid: &Grid<S::Time>) {
    for solver in deterministic() {
        let back = Plan::new(schedule, grid, &solver).unwrap();
        let x0 = array![[-0.9_f64, 0.3, 0.2], [0.8, 0.4, -0.5]];
        let mut noise = SeededNoise::new(0);
        let forth = Plan::new(schedule, &grid.inverted(), &solver).unwrap();
        let code = forth.sample(x0.clone(), &mut Inversion::new(mixture()), &mut noise);
        let again = back.sample(code.unwrap(), &mut mixture(), &mut noise);
        let off = worst(&again.unwrap(), &x0);
        // Slopes of the noise taken across steps of orders of magnitude in sigma are off.
        let rough = ["PNDM", "PLMS", "LMS", "DPM-Solver in blocks"].contains(&solver.name());
        assert!(rough || off < 0.15, "{}: {off}", solver.name());
    }
    let noisy = stochastic_single_steps()
        .into_iter()
        .chain(stochastic_multi_steps());
    for solver in noisy.filter(|solver| !solver.name().contains("Langevin")) {
        // Refused, or on this way the flow, without noise.
        match Plan::new(schedule, &grid.inverted(), &solver) {
            Err(error) => {
                let error = error.to_string();
                let refused = error.ends_with("allowed: 0 on an inverted grid")
                    || error.ends_with("allowed: strictly one way");
                assert!(refused, "{}: {error}", solver.name());
            }
            Ok(plan) => {
                let name = plan.name().to_owned();
                let flow = ["churn", "ER-SDE", "Euler-Maruyama"];
                assert!(flow.iter().any(|part| name.contains(part)), "{name}");
                let mut noise = SeededNoise::new(0);
                let start = array![[0.1, 0.2, 0.3]];
                plan.sample(start, &mut Inversion::new(mixture()), &mut noise)
                    .unwrap();
                assert_eq!(noise.draws(), 0, "{name}");
            }
        }
    }
}

#[test]
fn inversion_runs_on_every_family() {
    on_every_family!(inverted, 60);
}

/// Guidance from a start of some strength: with points of data the guided data is the result, whatever
/// the solver, the type, the schedule and the size of the batch; and no item of a batch sees another.
fn guided<A: Real, S: NoiseSchedule>(schedule: &S, grid: &Grid<S::Time>) {
    let scale = 2.5;
    let points = |at: [f64; 2]| GaussianMixture::point(&at).unwrap();
    let cfg = || Combination::classifier_free(scale).unwrap();
    let is_single = A::of(1e-12) + A::of(1.0) == A::of(1.0);
    let unit = if is_single {
        f64::from(f32::EPSILON)
    } else {
        f64::EPSILON
    };
    for strength in [0.3, 0.7, 1.0] {
        let part = grid.strength(strength).unwrap();
        for solver in every() {
            let plan = Plan::new(schedule, &part, &solver).unwrap();
            // Rounding errors of the network's answers, of the size of the noise in units of the
            // signal, as they grow.
            let growth = plan.amplification(Parameterization::X0).unwrap();
            let ratios = plan.levels().iter().map(|level| level.noise_to_signal());
            let ratio = ratios.filter(|ratio| ratio.is_finite()).fold(1.0, f64::max);
            let tolerance = 20.0 * unit * ratio * growth.max(1.0);
            let run = |x0: &Array2<A>| {
                let mut noise = SeededNoise::new(11);
                let start = plan.noised(x0, &mut noise).unwrap();
                let nets = (points([0.5, -0.2]), points([0.1, 0.3]));
                let mut net = Guided::new(nets, cfg()).with_parameterization(Parameterization::X0);
                plan.sample(start, &mut net, &mut noise).unwrap()
            };
            let x0 = Array2::from_shape_fn((4, 2), |(i, j)| A::of(0.3 * i as f64 - 0.5 * j as f64));
            let found = run(&x0);
            for row in found.rows() {
                for (x, expected) in row.iter().zip([0.1 + scale * 0.4, 0.3 - scale * 0.5]) {
                    let off = (x.get() - expected).abs();
                    assert!(
                        off < tolerance,
                        "{} at {strength}: off by {off:e}",
                        plan.name()
                    );
                }
            }
            // Alone, and in another batch: noise goes by the item, sums by its own elements.
            let first = x0.select(Axis(0), &[0]);
            assert_eq!(run(&first).row(0), found.row(0), "{}", plan.name());
        }
    }
}

fn guided_in_both<S: NoiseSchedule>(schedule: &S, grid: &Grid<S::Time>) {
    guided::<f64, S>(schedule, grid);
    guided::<f32, S>(schedule, grid);
}

#[test]
fn guidance_goes_with_every_solver_start_and_type() {
    on_every_family!(guided_in_both, 10);
}
