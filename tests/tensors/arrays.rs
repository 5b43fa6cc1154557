//! What works on arrays works on tensors, and gives the same numbers.

use super::library::{V, of};
use crate::{Kind, numbers};
use gaussian_diffusion::{
    Denoiser, Error, ForwardProcess, Grid, ModelVariance, Plan, Point, Prediction, Sampler,
    SeededNoise, Step, Time,
    denoiser::{Clip, DynamicThreshold, SelfConditioned},
    editing::{Inpaint, Known, slerp},
    fit::{Fit, Lesson},
    guidance::{
        CfgZeroStar, Combination, GuidanceInterval, Guided, MagnitudeAwareCfg, Projected, Rescaled,
        Rule, TangentialCfg, Together, Within,
    },
    noise::NoNoise,
    predicts,
    schedule::{Cosine, Discrete},
    solver::{Ddpm, DpmSolver},
    state::{Elements, ErrorNorm, Keeping, State},
    training::{
        InputPerturbation, ItemLosses, Losses, OffsetNoise, absolute_error, huber_error,
        squared_error, weighted_mean,
    },
};
use ndarray::Array3;

const SHAPE: [usize; 3] = [3, 2, 4];

/// An array or a tensor, of f64.
trait Side:
    Elements + ErrorNorm + Losses + 'static + State<Keeping: Keeping<Self, Kept: Elements>>
{
    fn of(numbers: &[f64]) -> Self;
    fn listed(losses: &Self::ItemLosses) -> Vec<f64>;
    fn mean(losses: &Self::ItemLosses, weights: &[&[f64]]) -> f64;
}

impl Side for Array3<f64> {
    fn of(numbers: &[f64]) -> Self {
        Self::from_shape_vec(SHAPE, numbers.to_vec()).unwrap()
    }

    fn listed(losses: &Self::ItemLosses) -> Vec<f64> {
        losses.to_vec()
    }

    fn mean(losses: &Self::ItemLosses, weights: &[&[f64]]) -> f64 {
        weighted_mean(losses, weights).unwrap()
    }
}

impl Side for V {
    fn of(numbers: &[f64]) -> Self {
        of(SHAPE, numbers, Kind::F64)
    }

    fn listed(losses: &Self::ItemLosses) -> Vec<f64> {
        losses.numbers().unwrap()
    }

    fn mean(losses: &Self::ItemLosses, weights: &[&[f64]]) -> f64 {
        let mean = losses.weighted_mean(weights).unwrap();
        mean.numbers().unwrap()[0]
    }
}

fn batch<S: Side>(which: usize) -> S {
    S::of(&numbers(24, which))
}

/// A network by way of the host.
fn each<S: Side>(x: &S, f: impl Fn(usize, f64) -> f64) -> S {
    let numbers = x.numbers().unwrap();
    let answers: Vec<_> = numbers.iter().enumerate().map(|(i, x)| f(i, *x)).collect();
    x.of_numbers(&x.shape(), &answers).unwrap()
}

/// The same to the order of sums in f64.
fn same(found: Vec<f64>, expected: Vec<f64>, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(&expected) {
        let off = (found - expected).abs();
        assert!(
            off < 1e-12 * (1.0 + expected.abs()),
            "{what}: {found} {expected}"
        );
    }
}

fn plan() -> Plan<Step> {
    let schedule = Discrete::cosine(50).unwrap();
    let grid = Grid::trailing(&schedule, 10).unwrap();
    Plan::new(&schedule, &grid, &Ddpm::new(ModelVariance::FixedSmall)).unwrap()
}

fn in_one_batch<S: Side, R: Rule<S> + 'static>(rule: Result<R, Error>) -> Vec<f64> {
    let net = predicts::x0(|x: &S, _: Point<Step>| {
        each(x, |i, x| {
            if i < 24 {
                (1.5 * x).sin()
            } else {
                0.5 * x + 0.1
            }
        })
    });
    let mut net = Guided::new(Together::new(net, 2).unwrap(), rule.unwrap());
    let mut noise = SeededNoise::new(1);
    let start = plan().prior_like(&batch::<S>(1), &mut noise).unwrap();
    plan()
        .sample(start, &mut net, &mut noise)
        .unwrap()
        .numbers()
        .unwrap()
}

#[test]
fn two_conditions_in_one_batch() {
    macro_rules! rules {
        ($($rule:expr),* $(,)?) => {$(
            let found = in_one_batch::<V, _>($rule);
            same(found, in_one_batch::<Array3<f64>, _>($rule), stringify!($rule));
        )*};
    }
    rules!(
        Combination::classifier_free(3.0),
        CfgZeroStar::new(3.0, 2),
        TangentialCfg::new(3.0),
        MagnitudeAwareCfg::new(3.0, 2.0),
        Rescaled::new(Combination::classifier_free(3.0).unwrap(), 0.7),
        Projected::new(3.0).and_then(|rule| rule.with_momentum(-0.5)?.with_norm(1.0)),
        Ok(Within::new(
            Combination::classifier_free(3.0).unwrap(),
            GuidanceInterval::steps(2, 6)
        )),
    );
}

fn masked<S: Side>(weights: &[f64], how: usize) -> Vec<f64> {
    let known = Known::new(batch::<S>(4), S::of(weights)).unwrap();
    let inpaint = Inpaint::new(known.clone(), SeededNoise::new(8));
    let mut inpaint = match how {
        0 => inpaint,
        1 => inpaint.with_held_noise(),
        2 => inpaint.with_free_start(),
        _ => inpaint
            .with_held_noise()
            .with_free_start()
            .with_data_at_end(),
    };
    let net = predicts::x0(|x: &S, _: Point<Step>| each(x, |_, x| (1.5 * x).sin()));
    let threshold = DynamicThreshold::new(0.7)
        .unwrap()
        .with_maximum(2.0)
        .unwrap();
    let net = Denoiser::<S, Step>::corrected(net, threshold);
    let net = Denoiser::<S, Step>::corrected(net, Clip::new(-0.9, 0.8).unwrap());
    let mut net = Denoiser::<S, Step>::corrected(net, known);
    let mut noise = SeededNoise::new(1);
    let start = plan().prior_like(&batch::<S>(1), &mut noise).unwrap();
    let end = plan().sample_edited(start, &mut net, &mut inpaint, &mut noise);
    end.unwrap().numbers().unwrap()
}

#[test]
fn masks_and_thresholds() {
    let soft: Vec<_> = (0..24).map(|j| [0.0, 0.3, 0.7, 1.0][j % 4]).collect();
    let binary: Vec<_> = soft.iter().map(|w: &f64| w.round()).collect();
    for weights in [soft, binary] {
        for how in 0..4 {
            let found = masked::<V>(&weights, how);
            let kept = found.iter().zip(numbers(24, 4)).zip(&weights);
            for ((x, known), weight) in kept {
                assert!(*weight < 1.0 || *x == known, "{x} {known}");
            }
            same(found, masked::<Array3<f64>>(&weights, how), "masked");
        }
    }
}

#[cfg(feature = "serde")]
#[test]
fn configurations() {
    use gaussian_diffusion::config::SchedulerConfig;
    fn run<S: Side>(config: &SchedulerConfig) -> Vec<f64> {
        let mut noise = SeededNoise::new(1);
        let start = config.start_like(&batch::<S>(1), 6, &mut noise).unwrap();
        let net = |x: &S, time: f64| Ok((each(x, |_, x| (x + 0.01 * time).sin()), None));
        let mut net =
            config.denoiser(move |x: &S, time| net(x, time).map(|(x, _): (S, Option<S>)| x));
        let end = config.plan(6).unwrap().sample(start, &mut net, &mut noise);
        end.unwrap().numbers().unwrap()
    }
    for text in [
        r#""DDIMScheduler", "prediction_type": "v_prediction""#,
        r#""DDPMScheduler", "clip_sample": false, "thresholding": true, "sample_max_value": 1.5"#,
        r#""DDPMScheduler", "clip_sample_range": 0.7"#,
        r#""EulerDiscreteScheduler""#,
        r#""EDMEulerScheduler""#,
        r#""LCMScheduler""#,
        r#""FlowMatchEulerDiscreteScheduler", "invert_sigmas": true"#,
        r#""DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++", "thresholding": true"#,
    ] {
        let text = format!(r#"{{"_class_name": {text}}}"#);
        let config = SchedulerConfig::from_json(&text).unwrap();
        same(run::<V>(&config), run::<Array3<f64>>(&config), &text);
    }
}

#[test]
fn losses() {
    fn all<S: Side>() -> Vec<f64> {
        let (x, y) = (batch::<S>(1), batch::<S>(2));
        let lists: [&[f64]; 2] = [&[1.0, 0.5, 2.0], &[0.0, 3.0, 1.0]];
        let mut all = Vec::new();
        for losses in [
            squared_error(&x, &y),
            absolute_error(&x, &y),
            huber_error(&x, &y, 0.3),
        ] {
            let losses = losses.unwrap();
            all.extend(S::listed(&losses));
            all.extend([0, 1, 2].map(|n| S::mean(&losses, &lists[..n])));
            assert!(losses.weighted_mean(&[&[1.0, 2.0]]).is_err());
        }
        all
    }
    same(all::<V>(), all::<Array3<f64>>(), "losses");
}

#[test]
fn starts_and_noised_data() {
    fn all<S: Side>() -> Vec<f64> {
        let (x, y, mut noise) = (batch::<S>(1), batch::<S>(2), SeededNoise::new(5));
        let times = [0.2, 0.5, 0.8].map(|t| Time::new(t).unwrap());
        let mut offset = OffsetNoise::new(noise.clone(), 0.3).unwrap();
        let (jumped, eps) = Cosine.draw_jump(&x, &times, &mut offset).unwrap();
        let perturbed = InputPerturbation::new(0.1).unwrap();
        let (shown, asked) = perturbed
            .draw_jump(&Cosine, &x, &times, &mut noise)
            .unwrap();
        let plan = plan();
        let states = [
            plan.prior_like(&x, &mut noise).unwrap(),
            plan.noised(&x, &mut noise).unwrap(),
            plan.variation(&x, 0.3, &mut noise).unwrap(),
            slerp(&x, &y, 0.3).unwrap(),
            jumped,
            eps,
            shown,
            asked,
        ];
        states.iter().flat_map(|x| x.numbers().unwrap()).collect()
    }
    same(all::<V>(), all::<Array3<f64>>(), "starts");
    let mut noise = SeededNoise::new(5);
    let like = plan().prior_like(&batch::<V>(1), &mut noise).unwrap();
    let array: Array3<f64> = plan().prior(SHAPE, &mut SeededNoise::new(5)).unwrap();
    assert_eq!(like.numbers().unwrap(), array.into_raw_vec_and_offset().0);
}

#[test]
fn what_remembers_and_what_is_fitted() {
    fn remembered<S: Side>() -> Vec<f64> {
        let mut net = SelfConditioned::new(|x: &S, last: Option<&S>, _: Point<Step>| {
            let last = last.map_or(0.0, |last| last.numbers().unwrap()[0]);
            Ok(Prediction::noise(each(x, |_, x| (x + last).sin())))
        });
        let plan = Sampler::from_name("DPM++ 2M").unwrap();
        let plan = plan
            .plan(&Discrete::stable_diffusion().unwrap(), 7)
            .unwrap();
        let end = plan.sample(batch::<S>(1), &mut net, &mut NoNoise);
        end.unwrap().numbers().unwrap()
    }
    same(
        remembered::<V>(),
        remembered::<Array3<f64>>(),
        "self-conditioned",
    );

    fn fitted<S: Side>() -> Vec<f64> {
        let schedule = Discrete::cosine(100).unwrap();
        let solver = DpmSolver::plus_plus(2).unwrap();
        let of = |n| Plan::new(&schedule, &Grid::trailing(&schedule, n).unwrap(), &solver).unwrap();
        let mut net = predicts::x0(|x: &S, _: Point<Step>| each(x, |_, x| (1.5 * x).sin()));
        let lesson = Lesson::new(&of(40), batch::<S>(1), &mut net).unwrap();
        let fitted = Fit::default().plan(&of(5), &lesson, &mut net).unwrap();
        let end = fitted.plan.sample(batch::<S>(1), &mut net, &mut NoNoise);
        let mut all = end.unwrap().numbers().unwrap();
        all.extend([fitted.before, fitted.after]);
        all
    }
    let (found, expected) = (fitted::<V>(), fitted::<Array3<f64>>());
    // Least squares of 5 steps: what the sums of the inner products lose in their order.
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-7, "{found} {expected}");
    }
}
