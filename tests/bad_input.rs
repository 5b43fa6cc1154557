//! Input that asks for more than it pays for, that no layout should break, and what refusals say of
//! it: what the fuzz targets found or would find.

mod common {
    pub mod levels;
}

use std::time::{Duration, Instant};

use common::levels::{sigma, snr, time};
use gaussian_diffusion::{
    Denoiser, Error, ForwardProcess, GaussianMixture, Grid, ModelVariance, NoiseLevel, Plan, Point,
    Prediction, Sampler, SavedRun, SeededNoise, State, Step,
    denoiser::{Clip, DynamicThreshold, WithVjp},
    grid::{
        AlignYourSteps, Beta, BongTangent, FlowCurve, Karras, KlOptimal, LaplaceCurve,
        LinearQuadratic, LogitNormalCurve, Node, PolyExponential, SigmaCurve, VpCurve,
    },
    guidance::{GaussianPosterior, Measurement, Predictors, Together},
    likelihood::{Continuous, Discretized, Hutchinson},
    noise::{Interval, NoiseSource, Scale},
    plan::Restart,
    predicts,
    sampler::{GridName, SolverName},
    schedule::{Cosine, Discrete, Edm, VeGeometric},
    solver::{Ddim, SingleStep},
    state::ErrorNorm,
    training::{
        HybridLoss, OffsetNoise, huber_error, squared_error,
        times::{LossSecondMoment, UniformStep},
    },
};
use ndarray::{Array1, Array2, ArrayD, IxDyn, array};

const HUGE: [usize; 4] = [(1 << 24) + 1, MUCH, isize::MAX as usize / 8, usize::MAX];
/// 2^40, or what 32 bits hold of it.
const MUCH: usize = 1 << if usize::BITS < 64 { 28 } else { 40 };

fn message<T>(outcome: Result<T, Error>) -> String {
    outcome
        .map(|_| "accepted".to_owned())
        .unwrap_or_else(|error| error.to_string())
}

/// A plan of ten steps.
fn plan() -> Plan<Step> {
    let schedule = Discrete::constant(10, 0.3).unwrap();
    Plan::new(
        &schedule,
        &Grid::every(&schedule).unwrap(),
        &Ddim::default(),
    )
    .unwrap()
}

fn point() -> Point<Step> {
    let level = NoiseLevel::from_alpha_bar(0.5).unwrap();
    Point::new(Step::new(3), level, NoiseLevel::CLEAN)
}

#[test]
fn every_curve_refuses_more_sigmas_than_memory_holds() {
    let (max, min) = (sigma(80.0), sigma(0.1));
    let curves: [Box<dyn SigmaCurve>; 11] = [
        Box::new(Karras::new(max, min, 7.0).unwrap()),
        Box::new(PolyExponential::new(max, min, 1.0).unwrap()),
        Box::new(Beta::new(max, min, 0.6, 0.6).unwrap()),
        Box::new(KlOptimal::new(max, min).unwrap()),
        Box::new(LinearQuadratic::new(max, 0.025).unwrap()),
        Box::new(BongTangent::new(max, min).unwrap()),
        Box::new(LogitNormalCurve::for_length(1024).unwrap()),
        Box::new(VpCurve::default()),
        Box::new(AlignYourSteps::StableDiffusion15),
        Box::new(LaplaceCurve::new(max, min, 0.0, 0.5).unwrap()),
        Box::new(FlowCurve::new(3.0).unwrap().with_last(0.1).unwrap()),
    ];
    for (i, curve) in curves.iter().enumerate() {
        for n in HUGE.into_iter().chain([0]) {
            let expected = format!("number of steps is {}, allowed: 1 to 16777216", n as f64);
            assert_eq!(message(curve.sigmas(n)), expected, "{i}");
        }
        for n in [1, 2, 3, 10] {
            assert_eq!(curve.sigmas(n).unwrap().len(), n, "{i}");
        }
    }
}

#[test]
fn nothing_is_made_in_numbers_that_no_memory_holds() {
    let at = point();
    for n in HUGE {
        assert!(SingleStep::fast(n).is_err());
        assert!(UniformStep::new(n).is_err());
        assert!(LossSecondMoment::new(n).is_err());
        let net = predicts::x0(|x: &Array1<f64>, _: Point<Step>| x.clone());
        assert!(Together::new(net, n).is_err());
        let probes = Hutchinson::gaussian(&array![0.0], n, &mut SeededNoise::new(0), ());
        assert!(probes.is_err());
        let restart = Restart {
            high: snr(-1.0),
            low: snr(1.0),
            steps: n,
            times: 1,
        };
        let schedule = Cosine;
        let grid = Grid::uniform_log_snr_between(&schedule, 9, snr(-4.0), snr(4.0)).unwrap();
        let restarted = |restart| Plan::restarting(&schedule, &grid, &Ddim::default(), &[restart]);
        assert!(message(restarted(restart)).contains("steps of a restart is"));
        let often = Restart {
            steps: 2,
            times: n,
            ..restart
        };
        assert!(message(restarted(often)).contains("allowed: 0 to 524288"));
        assert!(message(plan().resampled(5, n)).contains("allowed: 1 to 104857"));
        assert!(message(plan().resampled_within(0..2, 1, n)).contains("allowed: 1 to 524288"));
        // What takes memory only where something happens is not refused.
        assert!(Discretized::new(n, -1.0, 1.0).is_ok());
        assert_eq!(plan().resampled_within(3..3, n, 2).unwrap(), plan());
        let matrix = array![[1.0, 0.5], [0.0, 2.0]];
        let measured = Measurement::new(matrix, array![[1.0, -1.0]], 0.1).unwrap();
        let net = WithVjp::new(
            predicts::x0(|x: &Array2<f64>, _: Point<Step>| x * 0.5),
            |_: &Array2<f64>, _: Point<Step>, v: &Array2<f64>| Ok(v * 0.5),
        );
        let mut posterior = GaussianPosterior::moment_matching(net, measured, n).unwrap();
        assert!(posterior.predict(&array![[0.3, 0.1]], at).unwrap().value[[0, 0]].is_finite());
    }
}

#[test]
fn ten_thousand_passes_are_one_plan_of_one_name() {
    let many = plan().resampled(1, 10_000).unwrap();
    assert_eq!((many.steps(), many.name()), (100_000, "DDIM"));
}

#[test]
fn measurements_that_are_no_numbers_end() {
    for bad in [f64::NAN, f64::INFINITY, f64::MAX] {
        let matrix = array![[bad, 0.5], [0.0, 2.0]];
        let measured = Measurement::new(matrix, array![[1.0, -1.0]], 0.1).unwrap();
        let net = WithVjp::new(
            predicts::x0(|x: &Array2<f64>, _: Point<Step>| x * 0.5),
            |_: &Array2<f64>, _: Point<Step>, v: &Array2<f64>| Ok(v * 0.5),
        );
        let mut posterior = GaussianPosterior::moment_matching(net, measured, 3).unwrap();
        let answer = posterior.predict(&array![[0.3, 0.1]], point()).unwrap();
        // The run that is shown it tells of it.
        assert!(!answer.value.iter().all(|x| x.is_finite()), "{bad}");
    }
    for (scale, noise) in [(1e200, 0.0), (1e160, 1.0), (f64::MAX, 1e-300)] {
        let mixture = GaussianMixture::isotropic(&[(1.0, [0.5, 0.1], 1.0)]).unwrap();
        let a = array![[scale, scale], [0.0, scale]];
        let _ = mixture.measured(&a, &[noise, noise], &[1.0, 2.0]);
    }
}

/// The longest power of 2 that is a length of f32.
const LONG: usize = 1 << (usize::BITS - 4);

/// Arrays without elements whose other axes are as long as a number can tell.
fn endless() -> [ArrayD<f32>; 4] {
    let shapes: [&[usize]; 4] = [
        &[LONG, 0],
        &[1 << (usize::BITS / 2 - 2), 1 << (usize::BITS / 2 - 2), 0],
        &[0, LONG],
        &[LONG, 0, 2],
    ];
    shapes.map(|shape| ArrayD::zeros(IxDyn(shape)))
}

#[test]
fn arrays_without_elements_take_neither_time_nor_memory() {
    let begun = Instant::now();
    let schedule = Discrete::constant(10, 0.3).unwrap();
    for x in endless() {
        assert!(x.items() <= 1 << 10);
        let zeros = vec![0.0; x.items()];
        assert_eq!(x.dot_items(&x).unwrap(), zeros);
        assert_eq!(x.error_norms(&x, &x, 0.1, 0.1).unwrap(), zeros);
        let times = vec![Step::new(3); x.items()];
        assert_eq!(schedule.jump(&x, &times, &x).unwrap().shape(), x.shape());
        assert_eq!(
            schedule.jump(&x, Step::new(3), &x).unwrap().shape(),
            x.shape()
        );
        assert_eq!(squared_error(&x, &x).unwrap().len(), x.items());
        assert!(huber_error(&x, &x, 0.1).is_ok());
        let mut noise = OffsetNoise::new(SeededNoise::new(0), 0.1).unwrap();
        let mut y = x.clone();
        noise.add(&mut y, Scale::Same(1.0), None).unwrap();
        noise.add(&mut y, Scale::PerElement(&x), None).unwrap();
        let seeds = vec![1; x.items()];
        assert!(
            SeededNoise::per_item(seeds)
                .add(&mut y, Scale::Same(1.0), None)
                .is_ok()
        );
        let net = predicts::x0(|x: &ArrayD<f32>, _: Point<Step>| x.clone());
        let mut net = net.corrected(DynamicThreshold::new(0.5).unwrap());
        assert!(
            plan()
                .sample(x.clone(), &mut net, &mut SeededNoise::new(0))
                .is_ok()
        );
        let loss = HybridLoss::new(ModelVariance::FixedSmall, 0.1, Continuous).unwrap();
        let said = Prediction::noise(x.clone());
        assert!(
            loss.evaluate(&schedule, &x, Step::new(3), &x, &said)
                .is_ok()
        );
    }
    let few = ArrayD::<f32>::zeros(IxDyn(&[3, 0]));
    assert_eq!(
        (few.items(), few.dot_items(&few).unwrap()),
        (3, vec![0.0; 3])
    );
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn shapes_that_no_memory_holds_are_refused() {
    let mut noise = SeededNoise::new(0);
    for shape in [
        &[usize::MAX, 2][..],
        &[LONG, LONG],
        &[LONG * 4],
        &[0, usize::MAX, 2],
    ] {
        let found = message(plan().prior::<f64, _, _>(IxDyn(shape), &mut noise));
        assert!(
            found.starts_with("product of the axes is "),
            "{shape:?}: {found}"
        );
        let most = isize::MAX / 8;
        assert!(
            found.ends_with(&format!("allowed: up to {most}")),
            "{found}"
        );
    }
    assert_eq!(
        plan()
            .prior::<f32, _, _>((2, 0), &mut noise)
            .unwrap()
            .shape(),
        [2, 0]
    );
}

#[test]
fn predictions_together_need_an_axis_of_items() {
    let net = predicts::x0(|x: &ArrayD<f64>, _: Point<Step>| x.clone());
    let mut both = Together::new(net, 2).unwrap();
    let scalar = ArrayD::zeros(IxDyn(&[]));
    let found = message(both.predict(&scalar, point(), &[true, true]));
    let expected =
        "an axis of batch items is missing, predictions of one network together needs it";
    assert_eq!(found, expected);
    let none = ArrayD::zeros(IxDyn(&[0, 3]));
    assert!(both.predict(&none, point(), &[true, true]).is_ok());
    for x in endless() {
        let net = predicts::x0(|x: &ArrayD<f32>, _: Point<Step>| x.clone());
        let mut many = Together::new(net, 1000).unwrap();
        let _ = many.predict(&x, point(), &[true, true]);
    }
}

/// A source that looks at nothing.
struct Careless;

impl NoiseSource<ArrayD<f32>> for Careless {
    fn add(
        &mut self,
        _: &mut ArrayD<f32>,
        _: Scale<'_, ArrayD<f32>>,
        _: Option<Interval>,
    ) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn offsets_look_at_shapes_themselves() {
    let mut x = ArrayD::zeros(IxDyn(&[2, 3]));
    let other = ArrayD::zeros(IxDyn(&[3, 2]));
    let mut noise = OffsetNoise::new(Careless, 0.1).unwrap();
    let found = message(noise.add(&mut x, Scale::PerElement(&other), None));
    assert_eq!(found, "noise scale has shape [3, 2], expected [2, 3]");
}

#[test]
fn a_matrix_without_elements_measures_nothing() {
    let measured = Measurement::new(Array2::<f64>::zeros((MUCH, 0)), array![[1.0]], 0.1).unwrap();
    let net = WithVjp::new(
        predicts::x0(|x: &Array2<f64>, _: Point<Step>| x.clone()),
        |_: &Array2<f64>, _: Point<Step>, v: &Array2<f64>| Ok(v.clone()),
    );
    let mut posterior = GaussianPosterior::moment_matching(net, measured, 2).unwrap();
    let found = message(posterior.predict(&Array2::zeros((MUCH, 0)), point()));
    assert_eq!(
        found,
        "a matrix with elements is missing, a measurement by it needs it"
    );
}

#[test]
fn long_names_are_refused_at_once() {
    let begun = Instant::now();
    let many_words = "dpm ".repeat(100_000);
    let one_word = "x".repeat(400_000);
    for name in [&many_words, &one_word] {
        for error in [
            name.parse::<Sampler>().unwrap_err(),
            name.parse::<SolverName>().unwrap_err(),
            name.parse::<GridName>().unwrap_err(),
        ] {
            assert!(matches!(error, Error::UnknownName { nearest, .. } if nearest.len() == 3));
        }
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[cfg(feature = "serde")]
#[test]
fn a_stored_plan_keeps_no_more_than_it_asks_for() {
    let schedule = Discrete::constant(10, 0.3).unwrap();
    let plan = "UniPC"
        .parse::<Sampler>()
        .unwrap()
        .plan(&schedule, 4)
        .unwrap();
    let mut value = serde_json::to_value(&plan).unwrap();
    for memory in [u64::MAX, u64::MAX - 1, 1 << 62, 1 << 40] {
        value["memory"] = memory.into();
        let plan: Plan<Step> = serde_json::from_value(value.clone()).unwrap();
        let mut net = predicts::x0(|x: &Array1<f64>, _| x.clone());
        let done = plan.sample(array![0.5], &mut net, &mut SeededNoise::new(0));
        assert!(done.unwrap()[0].is_finite());
        assert!(plan.defect().unwrap() < 1e-10);
    }
}

#[cfg(feature = "serde")]
#[test]
fn a_stored_run_counts_on_from_any_number() {
    let schedule = Discrete::constant(10, 0.3).unwrap();
    let named = |name: &str| name.parse::<Sampler>().unwrap().plan(&schedule, 4).unwrap();
    for plan in ["Euler a", "DPM++ 2M SDE", "DPM++ SDE"].map(named) {
        let mut value = serde_json::to_value(&plan).unwrap();
        value["memory"] = u64::MAX.into();
        let plan: Plan<Step> = serde_json::from_value(value).unwrap();
        let mut net = predicts::x0(|x: &Array1<f64>, _| x.clone());
        let mut noise = SeededNoise::new(0);
        let run = plan.start_from(array![0.5], &mut noise).unwrap();
        let mut value = serde_json::to_value(run.save().unwrap()).unwrap();
        value["draws"] = u64::MAX.into();
        let saved: SavedRun<Array1<f64>> = serde_json::from_value(value).unwrap();
        let done = plan.resume(saved).unwrap().sample(&mut net, &mut noise);
        assert!(done.unwrap()[0].is_finite());
    }
}

#[cfg(feature = "serde")]
#[test]
fn a_stored_plan_counts_its_evaluations() {
    let mut value = serde_json::to_value(plan()).unwrap();
    value["stages"][3]["point"]["evaluation"] = u64::MAX.into();
    let found = serde_json::from_value::<Plan<Step>>(value)
        .unwrap_err()
        .to_string();
    let expected = "evaluations[3] is 18446744073709552000, allowed: 3, its place";
    assert!(found.starts_with(expected), "{found}");
}

#[test]
fn long_numbers_have_an_exponent() {
    let twice = Node {
        level: NoiseLevel::new(1e-140, 1.0).unwrap(),
        time: time(0.0),
    };
    let found = [
        message(NoiseLevel::new(1e300, 1.0)),
        message(NoiseLevel::new(1.0, 5e-324)),
        message(Edm::new(sigma(1e-140), sigma(1e-141))),
        message(Karras::new(sigma(1e299), sigma(1e300), 7.0)),
        message(Discrete::from_alpha_bars(&[1e-200, 1e-100])),
        message(VeGeometric::new(sigma(1e-130), sigma(0.0))),
        message(Clip::new(1e250, 1.0)),
        message(Discretized::new(3, 1e200, -1e200)),
        message(Grid::new(vec![twice; 2], NoiseLevel::CLEAN)),
    ];
    for text in &found {
        assert!(text != "accepted" && text.len() < 120, "{text}");
    }
    assert_eq!(found[0], "alpha is 1e300, allowed: 0, or 1e-150 to 1e150");
    assert_eq!(
        found[2],
        "max sigma is 1e-141, allowed: above 1e-140 and up to 1e150"
    );
    for (value, written) in [
        (f64::MAX, "1.7976931348623157e308"),
        (-1e21, "-1e21"),
        (123_456_789_012_345_680_000.0, "123456789012345680000"),
        (1e-12, "0.000000000001"),
        (9.9e-13, "9.9e-13"),
        (-0.0, "-0"),
        (1.5, "1.5"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "NaN"),
    ] {
        let allowed = "no number".into();
        let error = Error::OutOfRange {
            what: "it",
            value,
            allowed,
        };
        assert_eq!(
            error.to_string(),
            format!("it is {written}, allowed: no number")
        );
    }
}

/// Axes whose product no array has are refused with it, also beside one of length 0.
#[test]
fn shapes_that_no_array_has_name_their_size() {
    let most = isize::MAX as usize / 8;
    for (shape, product) in [
        (&[1 << 40, 1 << 40][..], 2.0_f64.powi(80)),
        (&[1 << 40, 0, 1 << 40], 2.0_f64.powi(80)),
        (&[3, most], 3.0 * most as f64),
    ] {
        let refused = plan().prior::<f64, _, _>(IxDyn(shape), &mut SeededNoise::new(0));
        match refused.unwrap_err() {
            Error::OutOfRange {
                what,
                value,
                allowed,
            } => {
                assert_eq!((what, value), ("product of the axes", product), "{shape:?}");
                assert_eq!(allowed, format!("up to {most}"));
            }
            other => panic!("{other}"),
        }
    }
}

/// A batch of another shape is named, and what has one axis more is no repetition.
#[test]
fn batches_that_do_not_fit_are_named() {
    use gaussian_diffusion::state::Elements;
    let of = |shape: &[usize]| ArrayD::<f64>::zeros(IxDyn(shape));
    let joined = |shapes: [&[usize]; 2]| {
        let [a, b] = shapes.map(of);
        message(ArrayD::concatenated(&[&a, &b]).map(|whole| whole.len()))
    };
    assert_eq!(joined([&[2, 3], &[4, 3]]), "accepted");
    assert_eq!(
        joined([&[2, 3], &[2, 4]]),
        "batch has shape [2, 4], expected [2, 3]"
    );
    assert_eq!(
        joined([&[2, 3], &[2]]),
        "batch has shape [2], expected [2, 3]"
    );
    assert_eq!(joined([&[], &[]]), "batch has shape [], expected []");
    let x = of(&[1, 3]);
    assert_eq!(x.spread(&[4, 3]).unwrap().shape(), [4, 3]);
    for shape in [&[4, 2][..], &[4, 3, 1], &[3]] {
        let refused = message(x.spread(shape).map(|x| x.len()));
        assert_eq!(
            refused,
            format!("shape has shape {shape:?}, expected [1, 3]")
        );
    }
}
