//! Small cases, refusals, other types of numbers.

use std::collections::BTreeSet;

use gaussian_diffusion::{
    Denoiser, Error, GaussianMixture, Grid, NoiseLevel, Plan, Point, Prediction, Sampler,
    SeededNoise, Time,
    denoiser::SelfConditioned,
    fit::{Fit, Lesson, Refinement, StepErrors},
    guidance::{CfgPlusPlus, Combination},
    predicts,
    sampler::{GridName, SolverName},
    schedule::{Cosine, Discrete},
    solver::{
        Coordinates, Ddim, Ddpm, DpmSolver, LinearMultistep, ReverseStep, RungeKutta, SingleStep,
        UniPc,
    },
};
use ndarray::{Array2, Array4, ArrayD, Axis, concatenate};

use super::{EVERY_STATE, coefficients, fine, starts};

fn mixture() -> GaussianMixture {
    GaussianMixture::isotropic(&[(0.6, [-1.0, 0.2], 0.04), (0.4, [0.8, -0.5], 0.09)]).unwrap()
}

fn base(n: usize) -> Plan<Time> {
    let grid = Grid::uniform_time(&Cosine, n).unwrap();
    Plan::new(&Cosine, &grid, &DpmSolver::plus_plus(2).unwrap()).unwrap()
}

fn lesson(items: usize) -> Lesson<Array2<f64>, Time> {
    let fine = fine(&Cosine, 60);
    Lesson::new(&fine, starts(&fine, (items, 2), 1), &mut mixture()).unwrap()
}

/// A lesson costs the evaluations of its plan, each about all starts.
#[test]
fn a_lesson_says_what_it_took() {
    let solver = RungeKutta::heun();
    let fine = Plan::new(&Cosine, &Grid::uniform_time(&Cosine, 9).unwrap(), &solver).unwrap();
    let mut asked = 0;
    let mut counted = predicts::x0(|x: &Array2<f64>, _: Point<Time>| {
        asked += 1;
        x * 0.5
    });
    let lesson = Lesson::new(&fine, starts(&fine, (5, 2), 1), &mut counted).unwrap();
    assert_eq!((lesson.starts(), lesson.weights().len()), (5, 5));
    assert_eq!(lesson.evaluations(), asked);
    assert!(asked > 9 && asked < 18, "{asked}");
}

#[test]
fn what_has_no_table_of_its_own_is_refused_by_name() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let fine = fine(&schedule, 20);
    let lesson = Lesson::new(&fine, starts(&fine, (2, 2), 1), &mut mixture()).unwrap();
    let refused = |solver: &dyn ReverseStep| {
        let plan = Plan::new(&schedule, &Grid::karras(&schedule, 4).unwrap(), solver).unwrap();
        let fitted = Fit::default()
            .plan(&plan, &lesson, &mut mixture())
            .unwrap_err();
        let refined = Refinement::default()
            .coefficients(&Fit::default(), &plan, &lesson, &mut mixture())
            .unwrap_err();
        assert_eq!(fitted.to_string(), refined.to_string());
        fitted.to_string()
    };
    let allowed =
        "allowed for a fit: one evaluation a step and one update by predictions of the data";
    for (solver, found) in [
        (
            &RungeKutta::heun() as &dyn ReverseStep,
            "the plan \"Heun\" has trial points",
        ),
        (
            &UniPc::new(2).unwrap(),
            "the plan \"UniPC-2\" has trial points",
        ),
        (
            &LinearMultistep::lms(4).unwrap(),
            "the plan \"LMS\" takes predictions of the noise",
        ),
        (
            &LinearMultistep::lms(2)
                .unwrap()
                .with_coordinates(Coordinates::Flow),
            "the plan \"LMS\" takes predictions of the flow",
        ),
    ] {
        assert_eq!(refused(solver), format!("{found}, {allowed}"));
    }
    let allowed = "allowed for a fit: a run without noise";
    assert_eq!(
        refused(&Ddpm::default()),
        format!("the plan \"DDPM\" draws noise, {allowed}")
    );
    let ddpm = Plan::new(
        &schedule,
        &Grid::karras(&schedule, 4).unwrap(),
        &Ddpm::default(),
    )
    .unwrap();
    let taught = Lesson::new(&ddpm, starts(&ddpm, (2, 2), 1), &mut mixture());
    let error = taught.unwrap_err().to_string();
    assert_eq!(error, format!("the plan \"DDPM\" draws noise, {allowed}"));
    let up = Grid::karras(&schedule, 4).unwrap().inverted();
    let up = Plan::new(&schedule, &up, &Ddim::default()).unwrap();
    let error = Lesson::new(&up, starts(&up, (2, 2), 1), &mut mixture()).unwrap_err();
    let expected = "the plan \"DDIM\" goes up, allowed for a fit: a run that goes down";
    assert_eq!(error.to_string(), expected);

    let error = StepErrors::along(&lesson, &RungeKutta::heun())
        .unwrap_err()
        .to_string();
    let expected = "the plan \"Heun\" has trial points or several evaluations, \
                    allowed for a fit: one evaluation a step without noise";
    assert_eq!(error, expected);
    assert!(
        StepErrors::along(&lesson, &Ddpm::default())
            .unwrap_err()
            .to_string()
            .contains("draws noise")
    );
    assert!(StepErrors::along(&lesson, &SingleStep::plus_plus(2).unwrap()).is_err());
    assert!(StepErrors::along(&lesson, &LinearMultistep::lms(3).unwrap()).is_ok());
}

/// Every named sampler is a base or is refused by its name, and says why.
#[test]
fn every_named_sampler_is_fitted_or_refused() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let fine = fine(&schedule, 20);
    let lesson = Lesson::new(&fine, starts(&fine, (2, 2), 1), &mut mixture()).unwrap();
    let (mut fitted, mut reasons) = (0, BTreeSet::new());
    for solver in SolverName::all() {
        let sampler = Sampler::new(solver, GridName::Karras);
        let Ok(plan) = sampler.plan(&schedule, 6) else {
            continue;
        };
        match Fit::default().plan(&plan, &lesson, &mut mixture()) {
            Ok(fit) => {
                assert!(fit.after <= fit.before, "{fit}");
                let single = plan.stages().iter().all(|planned| {
                    let stage = &planned.stage;
                    stage.trial.is_none() && stage.commit.is_some() && stage.renoise.is_none()
                });
                assert!(single && plan.evaluations() == plan.steps(), "{sampler}");
                fitted += 1;
            }
            Err(Error::Unsuited {
                plan: name, found, ..
            }) => {
                assert_eq!(name, plan.name());
                reasons.insert(found);
            }
            Err(error) => panic!("{sampler}: {error}"),
        }
    }
    assert!(fitted > 3, "{fitted}");
    for reason in [
        "draws noise",
        "has trial points",
        "displaces the data",
        "takes predictions of the noise",
    ] {
        assert!(reasons.contains(reason), "{reason}: {reasons:?}");
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let message = |result: Result<Fit, Error>| result.unwrap_err().to_string();
    let fit = Fit::default;
    assert_eq!(
        message(fit().with_memory(0)),
        "predictions of a fit is 0, allowed: 1 to 8"
    );
    assert_eq!(
        message(fit().with_memory(9)),
        "predictions of a fit is 9, allowed: 1 to 8"
    );
    for ridge in [-1e-9, f64::NAN, f64::INFINITY] {
        assert!(message(fit().with_ridge(ridge)).ends_with("allowed: a finite number from 0 on"));
    }
    for difference in [0.0, 0.2, f64::NAN] {
        assert!(Refinement::default().with_difference(difference).is_err());
    }
    let lesson = lesson(3);
    assert!(
        lesson.state_at(NoiseLevel::NOISE).is_ok() && lesson.state_at(NoiseLevel::CLEAN).is_ok()
    );
    let errors = StepErrors::along(&lesson, &Ddim::default()).unwrap();
    assert_eq!(
        errors.grid(0).unwrap_err().to_string(),
        "number of steps is 0, allowed: 1 to 60, the levels to choose from"
    );
    assert!(errors.grid(61).is_err() && errors.even_grid(61).is_err());
    assert_eq!(errors.grid(60).unwrap().len(), 60);
    let error = lesson.with_weights(&[1.0]).unwrap_err().to_string();
    assert_eq!(
        error,
        "weights of the starts has 1 entries for a batch of 3"
    );
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        let error = self::lesson(2).with_weights(&[1.0, bad]).unwrap_err();
        let allowed = "a finite number from 0 on";
        assert_eq!(
            error.to_string(),
            format!("weights of the starts[1] is {bad}, allowed: {allowed}")
        );
    }

    // A base that starts or ends outside.
    let schedule = Discrete::stable_diffusion().unwrap();
    let part = Grid::uniform_time(&schedule, 20)
        .unwrap()
        .part(3..15)
        .unwrap();
    let fine = Plan::new(&schedule, &part, &Ddim::default()).unwrap();
    let short = Lesson::new(&fine, starts(&fine, (2, 2), 1), &mut mixture()).unwrap();
    for outside in [
        Grid::uniform_time(&schedule, 4).unwrap(),
        part.tail(3).unwrap().ending_at(NoiseLevel::CLEAN).unwrap(),
    ] {
        let base = Plan::new(&schedule, &outside, &Ddim::default()).unwrap();
        let error = Fit::default()
            .plan(&base, &short, &mut mixture())
            .unwrap_err()
            .to_string();
        assert!(error.contains("those of the lesson"), "{error}");
    }
    // One that lies within is none.
    let inner = Plan::new(&schedule, &part.part(2..9).unwrap(), &Ddim::default()).unwrap();
    assert!(Fit::default().plan(&inner, &short, &mut mixture()).is_ok());
    let few = Refinement::default().nodes(
        &Fit::default(),
        &Cosine,
        &Grid::uniform_time(&Cosine, 3).unwrap(),
        &Ddim::default(),
        &self::lesson(4),
        &mut mixture(),
    );
    let error = few.unwrap_err().to_string();
    assert_eq!(
        error,
        "number of starts is 4, allowed: 5 or more to move nodes"
    );
}

#[test]
fn samples_that_are_none_are_refused() {
    let none: [Array2<f64>; 0] = [];
    assert!(GaussianMixture::of_samples(&none).is_err());
    let empty = GaussianMixture::of_samples(&[Array2::<f32>::zeros((0, 2))]).unwrap_err();
    assert_eq!(
        empty.to_string(),
        "number of samples is 0, allowed: 1 or more"
    );
    assert!(GaussianMixture::of_samples(&[Array2::from_elem((2, 2), f64::NAN)]).is_err());
    let shapes = [Array2::<f64>::zeros((2, 2)), Array2::zeros((2, 3))];
    assert!(GaussianMixture::of_samples(&shapes).is_err());
    assert!(GaussianMixture::of_samples(&[Array2::<f64>::zeros((2, 0))]).is_err());
}

/// One start, one step, two steps, with every freedom.
#[test]
fn little_is_fitted_too() {
    for (items, n) in [(1, 1), (1, 2), (2, 1), (1, 5), (5, 2)] {
        let lesson = lesson(items);
        for state in EVERY_STATE {
            for memory in [1, 2, 5] {
                let fit = Fit::default()
                    .with_state(state)
                    .with_memory(memory)
                    .unwrap();
                let fitted = fit.plan(&base(n), &lesson, &mut mixture()).unwrap();
                assert!(fitted.after <= fitted.before, "{fitted}");
                assert_eq!(fitted.evaluations, 2 * n);
                let refined = Refinement::default().with_evaluations(60).coefficients(
                    &fit,
                    &fitted.plan,
                    &lesson,
                    &mut mixture(),
                );
                let refined = refined.unwrap();
                assert!(
                    refined.after <= fitted.after && refined.evaluations <= 60,
                    "{refined}"
                );
            }
        }
        // Two numbers meet one start in the plane exactly, but for the ridge.
        if items == 1 {
            let fit = Fit::default().with_ridge(0.0).unwrap();
            let fitted = fit.plan(&base(n), &lesson, &mut mixture()).unwrap();
            assert!(fitted.after < 1e-10, "{fitted}");
        }
    }
}

#[test]
fn an_empty_batch_keeps_its_base() {
    for shape in [(0, 2), (3, 0)] {
        let mut network = predicts::x0(|x: &Array2<f64>, _: Point<Time>| x.clone());
        let fine = fine(&Cosine, 10);
        let lesson = Lesson::new(&fine, Array2::zeros(shape), &mut network).unwrap();
        let fitted = Fit::default()
            .plan(&base(3), &lesson, &mut network)
            .unwrap();
        assert!(fitted.kept_base && fitted.plan == base(3), "{fitted}");
        assert_eq!((fitted.before, fitted.after), (0.0, 0.0));
        let refined = Refinement::default();
        let refined = refined.coefficients(&Fit::default(), &base(3), &lesson, &mut network);
        assert!(refined.unwrap().kept_base);
        let errors = StepErrors::along(&lesson, &Ddim::default()).unwrap();
        assert_eq!(errors.grid(3).unwrap().len(), 3);
    }
}

/// The mean distance between two ends, by a plain loop.
fn mean_distance(a: &Array2<f64>, b: &Array2<f64>, weights: &[f64]) -> f64 {
    let mut sum = 0.0;
    for ((a, b), weight) in a.rows().into_iter().zip(b.rows()).zip(weights) {
        let square: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
        sum += weight * square.sqrt();
    }
    sum / weights.iter().sum::<f64>()
}

/// Any plan without noise can be judged by a lesson, a fitted one by one that it was not taught.
#[test]
fn a_lesson_judges_every_plan_without_noise() {
    let (taught, weights) = (lesson(6), [1.0, 2.0, 0.0, 0.5]);
    let fine = fine(&Cosine, 60);
    let x = starts(&fine, (4, 2), 7);
    let judge = Lesson::new(&fine, x.clone(), &mut mixture()).unwrap();
    let judge = judge.with_weights(&weights).unwrap();
    let fitted = Fit::default()
        .plan(&base(4), &taught, &mut mixture())
        .unwrap();
    let grid = Grid::uniform_time(&Cosine, 4).unwrap();
    let solvers: [&dyn ReverseStep; 3] = [
        &RungeKutta::heun(),
        &UniPc::new(2).unwrap(),
        &LinearMultistep::lms(3).unwrap(),
    ];
    let mut plans = solvers.map(|solver| Plan::new(&Cosine, &grid, solver).unwrap());
    plans[0] = fitted.plan.clone();
    for plan in &plans {
        let end = plan
            .sample(x.clone(), &mut mixture(), &mut SeededNoise::new(0))
            .unwrap();
        let expected = mean_distance(&end, judge.end(), &weights);
        let found = judge.distance(plan, &mut mixture()).unwrap();
        assert!(
            (found - expected).abs() < 1e-14,
            "{plan}: {found} {expected}"
        );
    }
    let own = taught.distance(&fitted.plan, &mut mixture()).unwrap();
    assert!((own - fitted.after).abs() < 1e-14);
    let before = taught.distance(&base(4), &mut mixture()).unwrap();
    assert!((before - fitted.before).abs() < 1e-14);

    let ddpm = Plan::new(&Cosine, &grid, &Ddpm::default()).unwrap();
    let error = judge.distance(&ddpm, &mut mixture()).unwrap_err();
    assert!(error.to_string().contains("draws noise"), "{error}");
}

/// A plan that ends before the lesson does is fitted to, and judged by, the lesson's state there.
#[test]
fn a_plan_may_end_inside_a_lesson() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let fine = fine(&schedule, 100);
    let lesson = Lesson::new(&fine, starts(&fine, (8, 2), 1), &mut mixture()).unwrap();
    let levels = fine.levels();
    for (from, to) in [(0, 60), (20, 60), (20, 100)] {
        let middle = (from + to) / 2;
        let times: Vec<_> = [from, (from + middle) / 2, middle, (middle + to) / 2]
            .map(|place| fine.stages()[place].point.time)
            .to_vec();
        let grid = Grid::at(&schedule, &times).unwrap();
        let grid = grid.ending_at(levels[to]).unwrap();
        let solver = DpmSolver::plus_plus(2).unwrap();
        let base = Plan::new(&schedule, &grid, &solver).unwrap();
        let distance = |plan: &Plan<_>| {
            let start = lesson.state_at(levels[from]).unwrap();
            let noise = &mut SeededNoise::new(0);
            let end = plan.sample(start, &mut mixture(), noise).unwrap();
            mean_distance(&end, &lesson.state_at(levels[to]).unwrap(), &[1.0; 8])
        };
        let fit = Fit::default();
        let fitted = fit.plan(&base, &lesson, &mut mixture()).unwrap();
        assert!(
            !fitted.kept_base && fitted.after < 0.8 * fitted.before,
            "{fitted}"
        );
        assert!((fitted.after - distance(&fitted.plan)).abs() < 1e-12);
        assert!((fitted.before - distance(&base)).abs() < 1e-12);
        let judged = lesson.distance(&fitted.plan, &mut mixture()).unwrap();
        assert!((judged - fitted.after).abs() < 1e-12);
        let refinement = Refinement::default();
        let refined = refinement
            .coefficients(&fit, &fitted.plan, &lesson, &mut mixture())
            .unwrap();
        assert!(refined.after < fitted.after, "{refined} {fitted}");
        assert!((refined.after - distance(&refined.plan)).abs() < 1e-12);
        let moved = refinement
            .nodes(&fit, &schedule, &grid, &solver, &lesson, &mut mixture())
            .unwrap();
        assert!(
            moved.after <= fitted.after * (1.0 + 1e-12),
            "{moved} {fitted}"
        );
        assert!((moved.after - distance(&moved.plan)).abs() < 1e-12);
    }
}

/// What a fit makes of starts depends on their number and weights and not on their order.
#[test]
fn starts_are_counted_and_not_ordered() {
    let fine = fine(&Cosine, 60);
    let x = starts(&fine, (5, 2), 1);
    let fitted = |x: Array2<f64>, weights: &[f64]| {
        let lesson = Lesson::new(&fine, x, &mut mixture()).unwrap();
        let lesson = lesson.with_weights(weights).unwrap();
        let fitted = Fit::default()
            .plan(&base(4), &lesson, &mut mixture())
            .unwrap();
        (
            coefficients(&fitted.plan).concat(),
            fitted.before,
            fitted.after,
        )
    };
    let near = |a: &(Vec<f64>, f64, f64), b: &(Vec<f64>, f64, f64)| {
        a.0.iter().zip(&b.0).all(|(a, b)| (a - b).abs() < 1e-7)
            && (a.1 - b.1).abs() < 1e-12
            && (a.2 - b.2).abs() < 1e-9
    };
    let once = fitted(x.clone(), &[1.0; 5]);
    assert!(near(
        &once,
        &fitted(x.select(Axis(0), &[3, 1, 4, 0, 2]), &[1.0; 5])
    ));
    assert!(near(
        &once,
        &fitted(concatenate![Axis(0), x, x], &[0.7; 10])
    ));
    // Two of a start are one of twice the weight, and none is one of no weight.
    let twice = fitted(x.select(Axis(0), &[0, 0, 1, 2, 3]), &[1.0; 5]);
    assert!(near(&twice, &fitted(x.clone(), &[2.0, 1.0, 1.0, 1.0, 0.0])));
    assert!(!near(&once, &twice));
}

/// The result of an item does not depend on the others, and a stored plan gives the same bits.
#[test]
fn a_fitted_plan_is_a_plan() {
    let lesson = lesson(8);
    let fitted = Fit::default()
        .plan(&base(4), &lesson, &mut mixture())
        .unwrap();
    assert!(
        !fitted.kept_base && fitted.after < 0.5 * fitted.before,
        "{fitted}"
    );
    let plan = fitted.plan;
    assert_eq!(plan.name(), "DPM-Solver++ 2M, fitted");
    assert_eq!(format!("{plan:#}").lines().count(), 6);
    let x = starts(&plan, (3, 2), 9);
    let run = |plan: &Plan<Time>, x: Array2<f64>| {
        plan.sample(x, &mut mixture(), &mut SeededNoise::new(0))
            .unwrap()
    };
    let together = run(&plan, x.clone());
    for item in 0..3 {
        let alone = run(&plan, x.select(Axis(0), &[item]));
        assert_eq!(alone.row(0), together.row(item));
    }
    #[cfg(feature = "serde")]
    {
        let text = serde_json::to_string(&plan).unwrap();
        let read: Plan<Time> = serde_json::from_str(&text).unwrap();
        assert_eq!(read, plan);
        assert_eq!(read.fingerprint(), plan.fingerprint());
        assert_eq!(run(&read, x), together);
    }
}

/// The same lesson in f32, in another shape and as another type of array.
#[test]
fn any_array_will_do() {
    let fine = fine(&Cosine, 60);
    let x = starts(&fine, (16, 4), 1);
    let parts = [
        (0.6, [-1.0, 0.2, 0.1, 0.0], 0.04),
        (0.4, [0.8, -0.5, 0.3, 0.2], 0.09),
    ];
    let network = GaussianMixture::isotropic(&parts).unwrap();
    let fit = Fit::default().with_ridge(1e-4).unwrap();
    let fitted = |lesson: Result<Coefficients, Error>| lesson.unwrap();
    type Coefficients = (Vec<f64>, f64);
    let of = |plan: &Plan<Time>, after: f64| (coefficients(plan).concat(), after);

    let double = fitted((|| {
        let lesson = Lesson::new(&fine, x.clone(), &mut network.clone())?;
        let fitted = fit.plan(&base(4), &lesson, &mut network.clone())?;
        Ok(of(&fitted.plan, fitted.after))
    })());
    let single = fitted((|| {
        let x: Array4<f32> = x
            .mapv(|x| x as f32)
            .into_shape_with_order((16, 2, 1, 2))
            .unwrap();
        let lesson = Lesson::new(&fine, x, &mut network.clone())?;
        let fitted = fit.plan(&base(4), &lesson, &mut network.clone())?;
        Ok(of(&fitted.plan, fitted.after))
    })());
    let boxed = fitted((|| {
        let x: ArrayD<f64> = x.clone().into_dyn();
        let lesson = Lesson::new(&fine, x, &mut network.clone())?;
        let fitted = fit.plan(&base(4), &lesson, &mut network.clone())?;
        Ok(of(&fitted.plan, fitted.after))
    })());
    assert_eq!(double, boxed);
    for (a, b) in double.0.iter().zip(&single.0) {
        assert!((a - b).abs() < 1e-3 * (1.0 + a.abs()), "{a} {b}");
    }
    assert!(
        (double.1 / single.1 - 1.0).abs() < 1e-2,
        "{} {}",
        double.1,
        single.1
    );
    #[cfg(feature = "half")]
    {
        let half = fitted((|| {
            let x = x.mapv(half::f16::from_f64);
            let lesson = Lesson::new(&fine, x, &mut network.clone())?;
            let fitted = fit.plan(&base(4), &lesson, &mut network.clone())?;
            Ok(of(&fitted.plan, fitted.after))
        })());
        // A number of f16 has a relative error of 5e-4.
        assert!(
            (double.1 / half.1 - 1.0).abs() < 0.2,
            "{} {}",
            double.1,
            half.1
        );
    }
}

/// A network that remembers sees the same in differences of runs as in a run.
#[test]
fn a_network_that_remembers_is_asked_in_order() {
    let network = || {
        SelfConditioned::new(
            |x: &Array2<f64>, last: Option<&Array2<f64>>, at: Point<Time>| {
                let slope = at.level.alpha();
                let own = x.mapv(|x| (2.0 * slope * x).tanh());
                Ok(Prediction::x0(match last {
                    Some(last) => 0.7 * own + 0.3 * last,
                    None => own,
                }))
            },
        )
    };
    let fine = fine(&Cosine, 40);
    let lesson = Lesson::new(&fine, starts(&fine, (6, 2), 1), &mut network()).unwrap();
    let fit = Fit::default();
    let fitted = fit.plan(&base(4), &lesson, &mut network()).unwrap();
    let refined = Refinement::default().with_evaluations(300);
    let refined = refined
        .coefficients(&fit, &fitted.plan, &lesson, &mut network())
        .unwrap();
    assert!(refined.after < 0.9 * fitted.after, "{fitted}\n{refined}");
    // The distance that is reported is that of a run of the plan.
    let x = lesson.state_at(NoiseLevel::NOISE).unwrap();
    let end = refined
        .plan
        .sample(x, &mut network(), &mut SeededNoise::new(0))
        .unwrap();
    let distances = (&end - lesson.end())
        .mapv(|d| d * d)
        .sum_axis(Axis(1))
        .mapv(f64::sqrt);
    assert!((distances.mean().unwrap() - refined.after).abs() < 1e-12);
}

/// A network that adds a tenth of what it was asked about before, in this run.
#[derive(Default)]
struct Echo(Option<Array2<f64>>);

impl Denoiser<Array2<f64>, Time> for Echo {
    fn predict(
        &mut self,
        x: &Array2<f64>,
        _: Point<Time>,
    ) -> Result<Prediction<Array2<f64>>, Error> {
        let own = x.mapv(|x| (0.5 * x).tanh());
        let said = match self.0.replace(x.clone()) {
            Some(before) => own + before * 0.1,
            None => own,
        };
        Ok(Prediction::x0(said))
    }

    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<Array2<f64>>)) {
        visit(&mut self.0);
    }
}

/// Every run of a fit and of a refinement begins anew: nothing is left of the one before.
#[test]
fn a_network_that_remembers_forgets_between_runs() {
    let fine = fine(&Cosine, 40);
    let lesson = Lesson::new(&fine, starts(&fine, (6, 2), 1), &mut Echo::default()).unwrap();
    let fit = Fit::default();
    let mut echo = Echo::default();
    let fitted = fit.plan(&base(4), &lesson, &mut echo).unwrap();
    assert_eq!(fit.plan(&base(4), &lesson, &mut echo).unwrap(), fitted);
    let distance = |plan: &Plan<Time>| lesson.distance(plan, &mut Echo::default()).unwrap();
    assert!((distance(&base(4)) - fitted.before).abs() < 1e-14);
    assert!((distance(&fitted.plan) - fitted.after).abs() < 1e-12);
    let refinement = Refinement::default().with_evaluations(100);
    let refined = refinement.coefficients(&fit, &fitted.plan, &lesson, &mut echo);
    let refined = refined.unwrap();
    assert!((distance(&refined.plan) - refined.after).abs() < 1e-12);
    let text = format!("{lesson:?}");
    assert!(text.starts_with("Lesson { nodes: [Node"), "{text}");
}

#[test]
fn a_displacement_of_the_data_is_refused() {
    let one = || predicts::x0(|x: &Array2<f64>, _: Point<Time>| x * 0.5);
    let mut network = CfgPlusPlus::new((one(), one()), Combination::classifier_free(0.6).unwrap());
    let fine = fine(&Cosine, 10);
    let taught = Lesson::new(&fine, starts(&fine, (2, 2), 1), &mut network);
    let error = taught.unwrap_err().to_string();
    assert!(
        error.contains("has a network that displaces the data"),
        "{error}"
    );
    // Some answers of the student come with one: asked for nothing, it would be lost.
    let lesson = lesson(2);
    let error = Fit::default()
        .plan(&base(3), &lesson, &mut network)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("the plan \"DPM-Solver++ 2M\" has a network"),
        "{error}"
    );
}

#[test]
fn what_is_no_number_is_an_error() {
    let lesson = lesson(2);
    let mut network = predicts::x0(|x: &Array2<f64>, at: Point<Time>| match at.step {
        2 => x * f64::NAN,
        _ => x * 0.5,
    });
    let error = Fit::default()
        .plan(&base(4), &lesson, &mut network)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "the prediction of the network holds a NaN or an infinity at step 2"
    );
    let mut network = predicts::x0(|_: &Array2<f64>, _: Point<Time>| Array2::zeros((1, 2)));
    assert!(matches!(
        Fit::default().plan(&base(4), &lesson, &mut network),
        Err(Error::Shape { .. })
    ));
}
