//! Editing with a run: known parts, jumps, inversion, starts, and what is carried between calls.

mod common {
    pub mod levels;
    pub mod schedules;
}

use std::{cell::Cell, fmt::Debug, rc::Rc};

use common::levels::{close, sigma, snr};
use common::schedules::{mask, mixture, on_every_family, values};
use gaussian_diffusion::{
    Error, GaussianMixture, Grid, LogSnr, NoiseLevel, NoiseSchedule, Plan, Point, Prediction,
    ReverseStep, SeededNoise, Sigma, Step, UpdateNoise,
    denoiser::SelfConditioned,
    editing::{Edit, Inpaint, Inversion, Known, StepEnd, slerp},
    noise::{Interval, NoiseSource, Scale},
    predicts,
    schedule::{Cosine, Discrete, Edm, LogSnrLinear, Shifted, SubVp, VpLinear},
    solver::{At, Ddim, Ddpm, DpmSolver, Path, Stage, Update},
    state::Real,
};
use ndarray::{Array1, Array2, Axis, array};

/// Calls a generic test with a schedule of every family and a grid of `n` steps on it.
macro_rules! on_every_schedule {
    ($test:ident, $n:expr) => {{
        let n = $n;
        on_every_family!($test, n);
        let vp = VpLinear::new(0.1, 20.0).unwrap();
        $test(&vp, &Grid::uniform_time(&vp, n).unwrap());
        let sub = SubVp::new(0.1, 20.0).unwrap();
        $test(&sub, &Grid::uniform_time(&sub, n).unwrap());
        $test(&Cosine, &Grid::uniform_time(&Cosine, n).unwrap());
        let shifted = Shifted::flow(3.0).unwrap();
        $test(&shifted, &Grid::uniform_time(&shifted, n).unwrap());
        let linear = LogSnrLinear::new(snr(-8.0), snr(10.0)).unwrap();
        $test(&linear, &Grid::uniform_log_snr(&linear, n).unwrap());
    }};
}

/// A predictor-corrector with one evaluation a step and weights without meaning: no step ends in the
/// predicted data.
#[derive(Debug)]
struct Corrector;

impl ReverseStep for Corrector {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let stage = Stage::new(At::From, gaussian_diffusion::Parameterization::X0);
        let commit =
            Update::new(0.9).with_model([0.3, 0.2][..1 + usize::from(path.index() > 0)].to_vec());
        Ok(vec![match path.index() + 1 == path.steps() {
            true => stage.with_commit(commit),
            false => stage
                .with_commit(commit)
                .with_trial(Update::new(0.8).with_model([0.1])),
        }])
    }

    fn name(&self) -> &str {
        "predictor-corrector"
    }

    fn memory(&self) -> usize {
        2
    }
}

/// Known elements are known to the last bit at the end, and wherever the network is asked they are
/// the known data at the very level of the question.
fn known_parts<A: Real, S: NoiseSchedule>(schedule: &S, grid: &Grid<S::Time>, items: usize) {
    let plan = |solver: &dyn ReverseStep| Plan::new(schedule, grid, solver).unwrap();
    let plans = [
        plan(&Ddim::default()),
        plan(&Ddpm::default()),
        plan(&Ddpm::default()).resampled(2, 3).unwrap(),
        plan(&Corrector),
    ];
    let known = values::<A>(items);
    for plan in plans {
        let mut eps = Array2::from_elem((items, 3), A::of(0.0));
        SeededNoise::new(9)
            .add(&mut eps, Scale::Same(1.0), None)
            .unwrap();
        let inpaint = || {
            Inpaint::new(
                Known::new(known.clone(), mask(items)).unwrap(),
                SeededNoise::new(9),
            )
        };
        let mut net = predicts::with(|x: &Array2<A>, at: Point<S::Time>| {
            for i in 0..items {
                let (k, e) = (known[[i, 0]], eps[[i, 0]]);
                // The kernel's own order of the two terms.
                let expected = A::of(at.level.alpha()) * k + A::of(at.level.sigma()) * e;
                assert_eq!(x[[i, 0]], expected, "{} at {:?}", plan.name(), at.level);
            }
            gaussian_diffusion::Denoiser::<Array2<A>, S::Time>::predict(&mut mixture(), x, at)
        });
        let mut noise = SeededNoise::new(4);
        let start: Array2<A> = plan.prior((items, 3), &mut noise).unwrap();
        let mut held = inpaint().with_held_noise();
        let x = plan
            .sample_edited(start.clone(), &mut net, &mut held, &mut noise)
            .unwrap();
        assert_eq!(x.column(0), known.column(0), "{}", plan.name());
        // With fresh noise; and what is unknown is not touched: a mask of zeros is no edit.
        let x = plan
            .sample_edited(
                start.clone(),
                &mut mixture(),
                &mut inpaint(),
                &mut noise.clone(),
            )
            .unwrap();
        assert_eq!(x.column(0), known.column(0), "{}", plan.name());
        let zeros = mask::<A>(items).mapv(|_| A::of(0.0));
        let mut nothing = Inpaint::new(
            Known::new(known.clone(), zeros).unwrap(),
            SeededNoise::new(1),
        );
        let edited = plan
            .sample_edited(
                start.clone(),
                &mut mixture(),
                &mut nothing,
                &mut noise.clone(),
            )
            .unwrap();
        assert_eq!(
            edited,
            plan.sample(start, &mut mixture(), &mut noise.clone())
                .unwrap()
        );
    }
}

/// Noise that is held is drawn once a run, fresh noise at every noisy level.
#[test]
fn inpainting_draws_once_a_run_or_at_every_level() {
    struct Counted(Rc<Cell<usize>>);
    impl NoiseSource<Array2<f64>> for Counted {
        fn add(
            &mut self,
            x: &mut Array2<f64>,
            _: Scale<'_, Array2<f64>>,
            _: Option<Interval>,
        ) -> Result<(), Error> {
            self.0.set(self.0.get() + 1);
            *x += self.0.get() as f64;
            Ok(())
        }
    }
    let schedule = Discrete::cosine(1000).unwrap();
    let grid = Grid::trailing(&schedule, 6).unwrap();
    let plan = Plan::new(&schedule, &grid, &Ddim::default()).unwrap();
    for (hold, drawn) in [(true, 2), (false, 12)] {
        let count = Rc::new(Cell::new(0));
        let known = Known::new(values(1), mask(1)).unwrap();
        let mut inpaint = Inpaint::new(known, Counted(Rc::clone(&count)));
        if hold {
            inpaint = inpaint.with_held_noise();
        }
        for _ in 0..2 {
            let mut noise = SeededNoise::new(0);
            let start = plan.prior((1, 3), &mut noise).unwrap();
            plan.sample_edited(start, &mut mixture(), &mut inpaint, &mut noise)
                .unwrap();
        }
        assert_eq!(count.get(), drawn);
    }
}

fn known_in_both<S: NoiseSchedule>(schedule: &S, grid: &Grid<S::Time>) {
    known_parts::<f64, S>(schedule, grid, 3);
    known_parts::<f32, S>(schedule, grid, 1);
}

#[test]
fn known_parts_are_kept_to_the_last_bit_on_every_schedule() {
    on_every_schedule!(known_in_both, 6);
    on_every_schedule!(known_in_both, 1);
}

/// As a correction of the data, known elements follow `alpha x_0 + sigma eps` with the noise of the
/// start, under a deterministic solver, and end as they are.
fn corrected_data<S: NoiseSchedule>(schedule: &S, grid: &Grid<S::Time>) {
    let plan = Plan::new(schedule, grid, &Ddim::default()).unwrap();
    let known = values::<f64>(2);
    let mut eps = Array2::<f64>::zeros((2, 3));
    SeededNoise::new(3)
        .add(&mut eps, Scale::Same(1.0), None)
        .unwrap();
    let first = plan.levels()[0];
    let start = &known * first.alpha() + &eps * first.sigma();
    let inner = predicts::with(|x: &Array2<f64>, at: Point<S::Time>| {
        for (x, expected) in x
            .column(0)
            .iter()
            .zip(&(&known * at.level.alpha() + &eps * at.level.sigma()).column(0))
        {
            close(*x, *expected, 1e-11, at.level);
        }
        gaussian_diffusion::Denoiser::<Array2<f64>, S::Time>::predict(&mut mixture(), x, at)
    });
    let correction = Known::new(known.clone(), mask(2)).unwrap();
    let mut net =
        gaussian_diffusion::Denoiser::<Array2<f64>, S::Time>::corrected(inner, correction);
    let x = plan
        .sample(start, &mut net, &mut SeededNoise::new(0))
        .unwrap();
    assert_eq!(x.column(0), known.column(0));
}

#[test]
fn corrected_data_is_followed_at_every_level() {
    on_every_schedule!(corrected_data, 7);
}

/// Two correlated numbers, one of them known: replacing alone gives too wide a law, and jumps bring it
/// near the exact conditional one.
#[test]
fn repaint_comes_near_the_conditional_law() {
    let (c, s) = (
        std::f64::consts::FRAC_1_SQRT_2,
        std::f64::consts::FRAC_1_SQRT_2,
    );
    // Variances 1 and correlation 0.9.
    let data =
        GaussianMixture::rotated(&[(1.0, vec![0.0, 0.0], vec![1.9, 0.1], array![[c, s], [-s, c]])])
            .unwrap();
    let exact = data.measured(&array![[1.0, 0.0]], &[0.0], &[1.0]).unwrap();
    assert!((exact.mean()[1] - 0.9).abs() < 1e-12 && (exact.variances()[1] - 0.19).abs() < 1e-12);
    let schedule = Discrete::cosine(1000).unwrap();
    let plan = Plan::new(
        &schedule,
        &Grid::trailing(&schedule, 40).unwrap(),
        &Ddpm::default(),
    )
    .unwrap();
    let items = 1000;
    let off = |plan: &Plan<Step>| {
        let known = Array2::from_shape_fn((items, 2), |(_, j)| [1.0, 0.0][j]);
        let mut inpaint = Inpaint::new(
            Known::new(known.clone(), known).unwrap(),
            SeededNoise::new(5),
        );
        let mut noise = SeededNoise::new(6);
        let start = plan.prior((items, 2), &mut noise).unwrap();
        let x: Array2<f64> = plan
            .sample_edited(start, &mut data.clone(), &mut inpaint, &mut noise)
            .unwrap();
        let y = x.column(1);
        ((y.mean().unwrap() - 0.9).abs(), (y.var(1.0) - 0.19).abs())
    };
    let (once, often) = (off(&plan), off(&plan.resampled(4, 8).unwrap()));
    println!("once {once:?}, with jumps {often:?}");
    assert!(once.0 > 0.1, "{once:?}");
    // Standard errors are 0.014 and 0.009.
    assert!(often.0 < 0.07 && often.1 < 0.05, "{often:?}");
}

/// The stretches, their levels, and noise that takes the law back: on every family.
fn jumps<S: NoiseSchedule>(schedule: &S, grid: &Grid<S::Time>)
where
    S::Time: PartialEq,
{
    let plan = Plan::new(schedule, grid, &Ddpm::default()).unwrap();
    assert_eq!(plan.resampled(3, 1).unwrap(), plan);
    let jumping = plan.resampled(3, 2).unwrap();
    let order = [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 6];
    assert_eq!((jumping.steps(), jumping.evaluations()), (14, 14));
    for (i, (stage, step)) in jumping.stages().iter().zip(order).enumerate() {
        let original = &plan.stages()[step];
        assert_eq!((stage.point.step, stage.point.evaluation), (i, i));
        assert_eq!(
            (stage.point.from, stage.point.to),
            (original.point.from, original.point.to)
        );
        assert_eq!(jumping.levels()[i], original.point.from);
        assert_eq!(stage.stage.commit, original.stage.commit);
        let back = [3, 9, 13].contains(&i);
        assert_eq!(stage.stage.renoise.is_some(), back);
        if let Some(renoise) = &stage.stage.renoise {
            let (to, from) = (stage.point.from, jumping.stages()[i - 1].point.to);
            let scale = to.alpha() / from.alpha();
            let std = (to.sigma().powi(2) - (scale * from.sigma()).powi(2)).sqrt();
            close(renoise.state, scale, 1e-14, i);
            let UpdateNoise::Std(found) = renoise.noise else {
                panic!("no deviation")
            };
            close(found, std, 1e-9, i);
        }
    }
    assert_eq!(jumping.levels().last(), plan.levels().last());
    assert!(jumping.defect().unwrap() < 1e-12);
}

#[test]
fn jumps_keep_the_law_on_every_schedule() {
    on_every_schedule!(jumps, 7);
    let schedule = Discrete::cosine(100).unwrap();
    let grid = Grid::trailing(&schedule, 6).unwrap();
    let plan = Plan::new(&schedule, &grid, &Ddim::default()).unwrap();
    let say = |plan: Result<Plan<Step>, Error>| plan.unwrap_err().to_string();
    assert_eq!(
        say(plan.resampled(0, 2)),
        "length of a jump is 0, allowed: 1 or more"
    );
    assert_eq!(
        say(plan.resampled(2, 0)),
        "passes of a jump is 0, allowed: 1 to 174762"
    );
    // A guess that is corrected after a jump would be one of another level.
    let corrected = Plan::new(&schedule, &grid, &Corrector).unwrap();
    assert_eq!(
        say(corrected.resampled(2, 2)),
        "a step that ends where a jump begins is missing, a jump back needs it"
    );
    let multistep = Plan::new(&schedule, &grid, &DpmSolver::plus_plus(2).unwrap()).unwrap();
    assert_eq!(
        say(multistep.resampled(2, 2)),
        "predictions of an update is 2, allowed: up to 1 for a jump back"
    );
    assert!(multistep.resampled(2, 1).is_ok());
    let inverted = Plan::new(&schedule, &grid.inverted(), &Ddim::default()).unwrap();
    assert!(inverted.resampled(2, 2).is_err());
}

/// There and back, with twice the steps twice as near: order 1, to the data and to the noise.
fn inversion_order<S: NoiseSchedule>(schedule: &S, _: &Grid<S::Time>) {
    let mut errors = Vec::new();
    let x0 = array![[-1.3_f64, 0.1, 0.2], [-0.7, 0.5, 0.6], [0.9, 0.4, -0.5]];
    for n in [64, 128, 256] {
        let top = LogSnr::new(-7.0).unwrap();
        let grid =
            Grid::uniform_log_snr_between(schedule, n, top, LogSnr::new(7.0).unwrap()).unwrap();
        let forth = Plan::new(schedule, &grid.inverted(), &Ddim::default()).unwrap();
        let back = Plan::new(schedule, &grid, &Ddim::default()).unwrap();
        let mut noise = SeededNoise::new(0);
        let code = forth
            .sample(x0.clone(), &mut Inversion::new(mixture()), &mut noise)
            .unwrap();
        let again = back.sample(code, &mut mixture(), &mut noise).unwrap();
        let worst = (&again - &x0)
            .iter()
            .fold(0.0_f64, |worst, d| worst.max(d.abs()));
        errors.push(worst);
        assert_eq!(noise.draws(), 0);
    }
    let order = (errors[0] / errors[2]).log2() / 2.0;
    println!("{errors:?}, order {order:.2}");
    assert!(
        (0.8..1.3).contains(&order) && errors[2] < 0.1,
        "{errors:?}, order {order}"
    );
}

#[test]
fn inversion_returns_at_first_order_on_every_schedule() {
    on_every_schedule!(inversion_order, 2);
}

/// A start from data has the level of the plan, and the grid's part the steps that follow.
fn starts<S: NoiseSchedule>(schedule: &S, grid: &Grid<S::Time>)
where
    S::Time: PartialEq,
{
    for (strength, kept) in [(1.0, 7), (0.99, 6), (4.0 / 7.0, 4), (1.0 / 7.0, 1)] {
        let part = grid.strength(strength).unwrap();
        assert_eq!(part.nodes(), &grid.nodes()[7 - kept..], "{strength}");
        assert_eq!(part.end(), grid.end());
        let plan = Plan::new(schedule, &part, &Ddim::default()).unwrap();
        let x0 = values::<f64>(2);
        let mut eps = Array2::<f64>::zeros((2, 3));
        SeededNoise::new(2)
            .add(&mut eps, Scale::Same(1.0), None)
            .unwrap();
        let found = plan.noised(&x0, &mut SeededNoise::new(2)).unwrap();
        let level = plan.levels()[0];
        for (found, expected) in found
            .iter()
            .zip(&(&x0 * level.alpha() + &eps * level.sigma()))
        {
            close(*found, *expected, 1e-15, strength);
        }
        // The data is the exact prediction: the run returns to it.
        let mut net = predicts::x0(|_: &Array2<f64>, _: Point<S::Time>| x0.clone());
        let x = plan
            .sample(found, &mut net, &mut SeededNoise::new(0))
            .unwrap();
        assert_eq!(x, x0);
    }
    for strength in [0.0, 0.1, -1.0, 1.01, f64::NAN] {
        assert!(grid.strength(strength).is_err(), "{strength}");
    }
    let level = grid.nodes()[3].level.log_snr();
    let part = grid
        .starting_at(schedule, schedule.level_at(level).unwrap())
        .unwrap();
    assert!(
        part.len() == 4 || part.len() == 5,
        "a node that is a rounding away may stay"
    );
    let between = snr(0.5 * (level.get() + grid.nodes()[4].level.log_snr().get()));
    let part = grid
        .starting_at(schedule, schedule.level_at(between).unwrap())
        .unwrap();
    assert_eq!(part.nodes()[1..], grid.nodes()[4..]);
    close(
        part.nodes()[0].level.log_snr().get(),
        between.get(),
        1e-9,
        "start",
    );
}

#[test]
fn starts_from_data_own_their_level_on_every_schedule() {
    on_every_schedule!(starts, 7);
}

/// Constant norm and angle in proportion, in any dimension; straight lines where there is no arc.
#[test]
fn slerp_moves_along_the_arc() {
    let mut a = Array2::<f64>::zeros((4, 5));
    let mut b = a.clone();
    let mut noise = SeededNoise::new(1);
    noise.add(&mut a, Scale::Same(1.0), None).unwrap();
    noise.add(&mut b, Scale::Same(1.0), None).unwrap();
    for mut row in a.rows_mut().into_iter().chain(b.rows_mut()) {
        row /= row.dot(&row).sqrt() / 3.0;
    }
    assert_eq!(slerp(&a, &b, 0.0).unwrap(), a);
    assert_eq!(slerp(&a, &b, 1.0).unwrap(), b);
    for t in [0.1, 0.5, 0.8, 1.5] {
        let x = slerp(&a, &b, t).unwrap();
        for ((x, a), b) in x.rows().into_iter().zip(a.rows()).zip(b.rows()) {
            close(x.dot(&x), 9.0, 1e-14, "norm");
            let angle = (a.dot(&b) / 9.0).acos();
            close(x.dot(&a), 9.0 * (t * angle).cos(), 1e-13, "angle");
        }
        // Items by themselves, in another order, in single precision.
        let order = [2, 0, 3, 1];
        let permuted = slerp(&a.select(Axis(0), &order), &b.select(Axis(0), &order), t).unwrap();
        assert_eq!(permuted, x.select(Axis(0), &order));
        let single = slerp(&a.mapv(|x| x as f32), &b.mapv(|x| x as f32), t).unwrap();
        assert!(
            single
                .iter()
                .zip(&x)
                .all(|(s, x)| (f64::from(*s) - x).abs() < 2e-6)
        );
    }
    // Nearly the same, the same, opposite, nothing.
    let tiny = slerp(&array![[1.0, 0.0]], &array![[1.0, 1e-7]], 0.25).unwrap();
    close(tiny[[0, 1]], 0.25e-7, 1e-20, "tiny");
    for (a, b, expected) in [
        (array![[1.0, 2.0]], array![[1.0, 2.0]], array![[1.0, 2.0]]),
        (array![[1.0, 0.0]], array![[-1.0, 0.0]], array![[0.5, 0.0]]),
        (array![[0.0, 0.0]], array![[4.0, 0.0]], array![[1.0, 0.0]]),
        (
            Array2::zeros((0, 2)),
            Array2::zeros((0, 2)),
            Array2::zeros((0, 2)),
        ),
    ] {
        assert_eq!(slerp(&a, &b, 0.25).unwrap(), expected);
    }
    assert_eq!(
        slerp(&a, &b, f64::NAN).unwrap_err().to_string(),
        "interpolation is NaN, allowed: a finite number"
    );
    assert!(slerp(&a, &array![[1.0]], 0.5).is_err());
}

/// Variations keep the law of the noise: second moments of many numbers.
#[test]
fn variations_are_noise() {
    let schedule = Edm::default();
    let plan = Plan::new(
        &schedule,
        &Grid::karras(&schedule, 4).unwrap(),
        &Ddim::default(),
    )
    .unwrap();
    let start: Array2<f64> = plan.prior((20, 2000), &mut SeededNoise::new(1)).unwrap();
    for strength in [0.0, 0.1, 0.5, 1.0] {
        let x = plan
            .variation(&start, strength, &mut SeededNoise::new(2))
            .unwrap();
        let variance = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        // Five standard errors of 40,000 numbers.
        close(
            variance / plan.prior_std().powi(2),
            1.0,
            5.0 * (2.0_f64 / 4e4).sqrt(),
            strength,
        );
    }
}

/// By hand, with a two-stage solver: what the network said at the trial is what it is shown next.
#[test]
fn self_conditioning_shows_the_last_answer_and_forgets_it() {
    #[derive(Debug)]
    struct Heun;
    impl ReverseStep for Heun {
        fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
            let (s, t) = (path.from().sigma(), path.to().sigma());
            let noise = gaussian_diffusion::Parameterization::Noise;
            let h = 0.5 * (t - s);
            if t == 0.0 {
                let euler = Update::new(1.0).with_model([-s]);
                return Ok(vec![Stage::new(At::From, noise).with_commit(euler)]);
            }
            Ok(vec![
                Stage::new(At::From, noise).with_trial(Update::new(1.0).with_model([t - s])),
                Stage::new(At::To, noise).with_commit(Update::new(1.0).with_model([h, h])),
            ])
        }
        fn name(&self) -> &str {
            "Heun"
        }
        fn memory(&self) -> usize {
            2
        }
    }
    let schedule = Edm::new(sigma(0.1), sigma(10.0)).unwrap();
    let grid = Grid::karras(&schedule, 4).unwrap();
    let plan = Plan::new(&schedule, &grid, &Heun).unwrap();
    let asked: Vec<_> = plan
        .stages()
        .iter()
        .map(|stage| stage.point.evaluation)
        .collect();
    assert_eq!(asked, (0..7).collect::<Vec<_>>());
    let said = |x: f64, last: f64| 0.3 * x.sin() + 0.5 * last;
    let mut net = SelfConditioned::new(
        |x: &Array1<f64>, last: Option<&Array1<f64>>, at: Point<Sigma>| {
            let x0 = said(x[0], last.map_or(0.0, |last| last[0]));
            // Predictions as noise: what is shown is the data that follows.
            Ok(Prediction::noise((x - x0) / at.level.sigma()))
        },
    );
    let (mut x, mut last) = (7.0, 0.0);
    let sigmas: Vec<f64> = grid.levels().map(|level| level.sigma()).collect();
    for pair in sigmas.windows(2) {
        let (s, t) = (pair[0], pair[1]);
        last = said(x, last);
        let first = (x - last) / s;
        let trial = x + (t - s) * first;
        if t == 0.0 {
            x = trial;
            break;
        }
        last = said(trial, last);
        x += 0.5 * (t - s) * (first + (trial - last) / t);
    }
    for _ in 0..2 {
        let found = plan
            .sample(array![7.0], &mut net, &mut SeededNoise::new(0))
            .unwrap();
        close(found[0], x, 1e-12, "self-conditioned");
    }
}

/// Edits see every level once, in order, and what they break is named.
#[test]
fn edits_are_made_between_steps() {
    struct Watch(Vec<StepEnd>);
    impl Edit<Array1<f64>> for Watch {
        fn edit(&mut self, _: &mut Array1<f64>, at: StepEnd) -> Result<(), Error> {
            self.0.push(at);
            Ok(())
        }
    }
    let schedule = Discrete::cosine(100).unwrap();
    let grid = Grid::trailing(&schedule, 5).unwrap();
    for solver in [&Ddim::default() as &dyn ReverseStep, &Corrector] {
        let plan = Plan::new(&schedule, &grid, solver).unwrap();
        let mut net = predicts::x0(|x: &Array1<f64>, _: Point<Step>| x * 0.5);
        let mut watch = Watch(Vec::new());
        let mut noise = SeededNoise::new(0);
        plan.sample_edited(array![1.0], &mut net, &mut watch, &mut noise)
            .unwrap();
        let levels: Vec<_> = watch.0.iter().map(|at| at.level).collect();
        assert_eq!(levels, plan.levels());
        assert!(watch.0.iter().enumerate().all(|(i, at)| at.step == i));
        // A shift of one at every step, by hand: the correction gets what its guess got.
        let mut add = |x: &mut Array1<f64>, at: StepEnd| {
            *x += if at.step == 0 { 0.0 } else { 1.0 };
            Ok(())
        };
        let found = plan
            .sample_edited(array![1.0], &mut net, &mut add, &mut noise)
            .unwrap()[0];
        if plan.name() == "predictor-corrector" {
            let (mut x, mut shown, mut before) = (1.0, 1.0, None);
            for i in 0..5 {
                let m: f64 = 0.5 * shown;
                // The state of which the guess moved by one is 0.8 times.
                x = 0.9 * (x + before.map_or(0.0, |_| 1.0 / 0.8))
                    + 0.3 * m
                    + before.map_or(0.0, |b: f64| 0.2 * b);
                before = Some(m);
                shown = 0.8 * x + 0.1 * m + 1.0;
                if i == 4 {
                    x += 1.0;
                }
            }
            close(found, x, 1e-13, "carried");
        }
    }
    let plan = Plan::new(&schedule, &grid, &Ddim::default()).unwrap();
    let mut net = predicts::x0(|x: &Array1<f64>, _: Point<Step>| x * 0.5);
    let mut spoil = |x: &mut Array1<f64>, at: StepEnd| {
        if at.step == 2 {
            x[0] = f64::NAN;
        }
        Ok(())
    };
    let error = plan.sample_edited(array![1.0], &mut net, &mut spoil, &mut SeededNoise::new(0));
    assert_eq!(
        error.unwrap_err().to_string(),
        "the edited state holds a NaN or an infinity at step 2"
    );
    // A displacement that is no number.
    let mut wild = predicts::with(|x: &Array1<f64>, _: Point<Step>| {
        Ok(Prediction::x0(x.clone()).with_shift(x * f64::NAN))
    });
    let error = plan.sample(array![1.0], &mut wild, &mut SeededNoise::new(0));
    assert_eq!(
        error.unwrap_err().to_string(),
        "the prediction of the network holds a NaN or an infinity at step 0"
    );
}

#[test]
fn bad_masks_are_refused() {
    let say = |values, weights| {
        Known::<Array1<f64>>::new(values, weights)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        say(array![1.0, 2.0], array![1.0]),
        "mask has shape [1], expected [2]"
    );
    assert_eq!(
        say(array![1.0, 2.0], array![1.0, -0.5]),
        "weights of the mask[1] is -0.5, allowed: 0 to 1"
    );
    assert_eq!(
        say(array![1.0, f64::NAN], array![1.0, 0.5]),
        "the known data holds a NaN or an infinity at step 0"
    );
    let known = Known::new(array![1.0, 2.0], array![1.0, 0.0]).unwrap();
    let schedule = Discrete::cosine(100).unwrap();
    let plan = Plan::new(
        &schedule,
        &Grid::trailing(&schedule, 2).unwrap(),
        &Ddim::default(),
    )
    .unwrap();
    let mut net = predicts::x0(|x: &Array1<f64>, _: Point<Step>| x.clone());
    let mut inpaint = Inpaint::new(known, SeededNoise::new(0));
    let error = plan.sample_edited(
        array![1.0],
        &mut net,
        &mut inpaint,
        &mut SeededNoise::new(0),
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "known data has shape [2], expected [1]"
    );
    assert_eq!(plan.levels().last(), Some(&NoiseLevel::CLEAN));
}

/// The steps of a range are made as often as is said, stretch by stretch, and what is left of it too.
#[test]
fn jumps_repeat_the_steps_of_their_range() {
    let grid = Grid::uniform_time(&Cosine, 5).unwrap();
    let plan = Plan::new(&Cosine, &grid, &Ddim::default()).unwrap();
    let place = |level: NoiseLevel| plan.levels().iter().position(|own| *own == level).unwrap();
    let steps = |plan: Plan<gaussian_diffusion::Time>| -> Vec<usize> {
        let step = |point: &Point<_>| {
            assert_eq!(place(point.to), place(point.from) + 1);
            place(point.from)
        };
        plan.stages()
            .iter()
            .map(|planned| step(&planned.point))
            .collect()
    };
    for (range, length, times, expected) in [
        (0..3, 2, 2, vec![0, 1, 0, 1, 2, 2, 3, 4]),
        (1..4, 2, 3, vec![0, 1, 2, 1, 2, 1, 2, 3, 3, 3, 4]),
        (3..5, 9, 2, vec![0, 1, 2, 3, 4, 3, 4]),
        (2..2, 1, 2, vec![0, 1, 2, 3, 4]),
    ] {
        let again = plan.resampled_within(range.clone(), length, times);
        assert_eq!(steps(again.unwrap()), expected, "{range:?}");
    }
}

/// Where one end is nothing, the other has its weight.
#[test]
fn slerp_with_nothing_is_straight() {
    let (a, none) = (array![[3.0, -4.0]], array![[0.0, 0.0]]);
    assert_eq!(slerp(&a, &none, 0.25).unwrap(), array![[2.25, -3.0]]);
    assert_eq!(slerp(&none, &a, 0.25).unwrap(), array![[0.75, -1.0]]);
    assert_eq!(slerp(&none, &none, 0.25).unwrap(), none);
}

/// Where a run ends without noise the known data has the scale of that level; where noise is left it has its own, or the
/// data itself where that is asked for; and a start may be left as it is.
#[test]
fn known_data_has_the_scale_of_the_level() {
    let level = |alpha, sigma| NoiseLevel::new(alpha, sigma).unwrap();
    let known = || Known::new(array![[2.0, -1.0]], array![[1.0, 0.0]]).unwrap();
    // The places of a run, of which only the run makes one.
    let grid = Grid::uniform_time(&Cosine, 2).unwrap();
    let plan = Plan::new(&Cosine, &grid, &Ddim::default()).unwrap();
    let mut place = None;
    let mut watch = |_: &mut Array2<f64>, at: StepEnd| {
        place = Some(at);
        Ok(())
    };
    let mut noise = SeededNoise::new(0);
    let run = plan.start_from(array![[0.5]], &mut noise);
    run.unwrap().edit(&mut watch).unwrap();
    let place = place.unwrap();
    let edited = |inpaint: &mut Inpaint<Array2<f64>, SeededNoise>, step, level| {
        let mut x = array![[7.0, 7.0]];
        let mut at = place;
        (at.step, at.steps, at.level) = (step, 4, level);
        inpaint.edit(&mut x, at).unwrap();
        assert_eq!(x[[0, 1]], 7.0);
        x[[0, 0]]
    };
    let plain = || Inpaint::new(known(), SeededNoise::new(1));
    for (alpha, expected) in [(1.0, 2.0), (0.5, 1.0), (3.0, 6.0)] {
        assert_eq!(edited(&mut plain(), 4, level(alpha, 0.0)), expected);
    }
    // The first draw of the seed, in one place of two.
    let mut z = Array2::<f64>::zeros((1, 2));
    SeededNoise::new(1).fill(&mut z).unwrap();
    let noisy = |alpha: f64, sigma: f64| alpha * 2.0 + sigma * z[[0, 0]];
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-14);
    close(edited(&mut plain(), 0, level(0.6, 0.8)), noisy(0.6, 0.8));
    close(edited(&mut plain(), 4, level(0.6, 0.8)), noisy(0.6, 0.8));
    let mut at_end = plain().with_data_at_end();
    close(edited(&mut at_end, 3, level(0.6, 0.8)), noisy(0.6, 0.8));
    assert_eq!(edited(&mut at_end, 4, level(0.6, 0.8)), 2.0);
    // Held, it is one draw; else each step has its own.
    let mut held = plain().with_held_noise().with_free_start();
    assert_eq!(edited(&mut held, 0, level(0.6, 0.8)), 7.0);
    close(edited(&mut held, 1, level(0.6, 0.8)), noisy(0.6, 0.8));
    close(edited(&mut held, 2, level(0.8, 0.6)), noisy(0.8, 0.6));
    let mut fresh = plain();
    edited(&mut fresh, 0, level(0.6, 0.8));
    assert!((edited(&mut fresh, 1, level(0.6, 0.8)) - noisy(0.6, 0.8)).abs() > 1e-3);
}
