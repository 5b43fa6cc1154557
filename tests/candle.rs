//! Tensors of candle as states (feature `candle`): the bits of arrays, and memory that others hold left alone.
#![cfg(feature = "candle")]

use std::{error::Error as _, ops::ControlFlow};

use candle_core::{DType, Device, Tensor, Var};
use gaussian_diffusion::{
    Checks, Denoiser, Error, ForwardProcess, Grid, LogSnr, NoiseLevel, Parameterization, Plan,
    Point, Prediction, Sampler, SeededNoise, State, Step, candle,
    noise::{BrownianPath, Interval, NoiseSource, Scale, TorchCpu, TorchCuda},
    predicts,
    rand::{SeedableRng, rngs::StdRng},
    schedule::{Cosine, Discrete},
    solver::{Ddim, DpmAdaptive},
    state::{Elements, ErrorNorm, Keeping, Kept, Recasting, Wider},
    training::{
        Distance, Ema, EmaRule, OffsetNoise, absolute_error, huber_error, masked_error,
        pseudo_huber_error, pseudo_huber_norm, squared_error, weighted_mean,
    },
};
use ndarray::{Array, Array2, Array4, ArrayD, Dimension, IxDyn};

fn numbers(shape: &[usize], which: usize) -> ArrayD<f64> {
    let count: usize = shape.iter().product();
    let number = |i: usize| (((i + 31 * which) * 2_654_435_761) % 1_000_003) as f64 / 3e5 - 1.6;
    ArrayD::from_shape_vec(IxDyn(shape), (0..count).map(number).collect()).unwrap()
}

fn tensor<D: Dimension>(x: &Array<f64, D>, dtype: DType) -> Tensor {
    let numbers: Vec<_> = x.iter().copied().collect();
    let tensor = Tensor::from_vec(numbers, x.shape(), &Device::Cpu).unwrap();
    tensor.to_dtype(dtype).unwrap()
}

fn values(x: &Tensor) -> Vec<f64> {
    x.numbers().unwrap()
}

/// The same values in another layout: the last two axes lie in memory the other way round.
fn turned(x: &Tensor) -> Tensor {
    let (a, b) = (x.rank() - 2, x.rank() - 1);
    let turned = x.transpose(a, b).unwrap().contiguous().unwrap();
    let turned = turned.transpose(a, b).unwrap();
    assert!(!turned.is_contiguous());
    turned
}

/// The same values, from which a gradient is wanted, so that the operations of candle are taken.
fn tracked(x: &Tensor) -> Tensor {
    Var::from_tensor(x).unwrap().as_tensor().clone()
}

#[cfg(feature = "laws")]
#[test]
fn tensors_keep_the_laws_of_states() {
    use gaussian_diffusion::laws;
    for (dtype, tolerance) in [
        (DType::F64, 1e-14),
        (DType::F32, 1e-6),
        (DType::F16, 3e-3),
        (DType::BF16, 3e-2),
    ] {
        let [x, y] = [1, 2].map(|which| tensor(&numbers(&[3, 2, 5], which), dtype));
        let other = tensor(&numbers(&[3, 5, 2], 3), dtype);
        for form in [Tensor::clone, turned, tracked] {
            let check = laws::state(&form(&x), &form(&y), &form(&other), values, tolerance);
            check.unwrap_or_else(|broken| panic!("{dtype:?}: {broken}"));
            let check = laws::elements(&form(&x), &form(&y), &form(&other), tolerance);
            check.unwrap_or_else(|broken| panic!("{dtype:?}: {broken}"));
        }
        // What a run keeps of it.
        let kept = |x: &Tensor| Wider::new(x.clone(), DType::BF16);
        let read = |x: &Wider<Tensor>| values(x.tensor());
        laws::state(&kept(&x), &kept(&y), &kept(&other), read, tolerance).unwrap();
        laws::elements(&kept(&x), &kept(&y), &kept(&other), tolerance).unwrap();
        let mut changed = kept(&x);
        *changed.tensor_mut() = y.clone();
        assert_eq!((read(&changed), changed.shown()), (values(&y), DType::BF16));
        // Without axes, one item; without items, none.
        for shape in [&[][..], &[4]] {
            let [x, y] = [1, 2].map(|which| tensor(&numbers(shape, which), dtype));
            laws::state(&x, &y, &other, values, tolerance).unwrap();
            let losses = values(&squared_error(&x, &y).unwrap());
            let (x, y) = (values(&x), values(&y));
            assert_eq!(losses.len(), x.len());
            for ((x, y), loss) in x.iter().zip(&y).zip(losses) {
                let expected = (x - y).powi(2);
                assert!(
                    (loss - expected).abs() <= 4.0 * tolerance * expected,
                    "{loss}"
                );
            }
        }
    }
    let empty = Tensor::zeros((0, 3), DType::F32, &Device::Cpu).unwrap();
    assert_eq!((empty.items(), empty.is_finite()), (0, true));
    assert_eq!(empty.dot_items(&empty).unwrap().len(), 0);
}

#[test]
fn every_source_gives_a_tensor_the_numbers_of_an_array() {
    let level = |alpha, sigma| NoiseLevel::new(alpha, sigma).unwrap();
    let over = Some(Interval {
        from: level(0.6, 0.8),
        to: level(0.8, 0.6),
    });
    // Long and short items, and more than a part of a sweep.
    for shape in [vec![3, 700, 2], vec![5, 7], vec![40], vec![2, 3, 1100]] {
        let (x, std) = (numbers(&shape, 1), numbers(&shape, 2));
        let list: Vec<_> = (0..shape[0]).map(|i| 0.5 + i as f64).collect();
        macro_rules! same {
            ($A:ty, $dtype:expr, $source:expr) => {{
                let mut array = x.mapv(|x| x as $A);
                let stds = std.mapv(|x| x as $A);
                let (plain, by_element) = (tensor(&x, $dtype), tensor(&std, $dtype));
                for form in [Tensor::clone, tracked] {
                    let mut of_array = $source;
                    let mut of_tensor = of_array.clone();
                    let mut plain = form(&plain);
                    for turn in 0..4 {
                        let a: [Scale<'_, _>; 4] = [
                            Scale::Same(0.7),
                            Scale::PerItem(&list),
                            Scale::PerElement(&stds),
                            Scale::Same(1.0),
                        ];
                        let b: [Scale<'_, _>; 4] = [
                            Scale::Same(0.7),
                            Scale::PerItem(&list),
                            Scale::PerElement(&by_element),
                            Scale::Same(1.0),
                        ];
                        of_array.add(&mut array, a[turn], over).unwrap();
                        of_tensor.add(&mut plain, b[turn], over).unwrap();
                    }
                    let found = values(&plain);
                    let expected: Vec<_> = array.iter().map(|x| f64::from(*x)).collect();
                    assert_eq!(found, expected, "{shape:?} {}", stringify!($source));
                    array = x.mapv(|x| x as $A);
                }
            }};
        }
        macro_rules! every {
            ($A:ty, $dtype:expr) => {
                same!($A, $dtype, SeededNoise::new(7));
                same!($A, $dtype, BrownianPath::new(SeededNoise::new(7)));
                same!($A, $dtype, TorchCpu::new(7));
                same!($A, $dtype, TorchCuda::new(7));
                same!(
                    $A,
                    $dtype,
                    OffsetNoise::new(SeededNoise::new(7), 0.1).unwrap()
                );
                same!($A, $dtype, StdRng::seed_from_u64(7));
            };
        }
        every!(f32, DType::F32);
        every!(f64, DType::F64);
    }
    let mut x = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
    let error = SeededNoise::per_item([1]).fill(&mut x).unwrap_err();
    assert_eq!(error.to_string(), "seeds has 1 entries for a batch of 2");
    let one = Scale::PerItem(&[1.0][..]);
    let error = SeededNoise::new(1).add(&mut x, one, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "noise scales has 1 entries for a batch of 2"
    );
}

const NAMES: [&str; 12] = [
    "DDPM",
    "DDIM",
    "Euler a",
    "Heun",
    "DPM2 a",
    "DPM++ 2M Karras",
    "DPM++ 2M SDE",
    "DPM++ 3M SDE",
    "DPM++ SDE",
    "UniPC",
    "LMS",
    "Restart",
];

/// What a network says of a number: the same on both sides.
fn answer<A: num_like::Number>(x: A) -> A {
    x * A::of(0.1) + A::of(0.2)
}

mod num_like {
    pub trait Number: Copy + std::ops::Mul<Output = Self> + std::ops::Add<Output = Self> {
        fn of(value: f64) -> Self;
    }
    impl Number for f32 {
        fn of(value: f64) -> Self {
            value as f32
        }
    }
    impl Number for f64 {
        fn of(value: f64) -> Self {
            value
        }
    }
}

#[test]
fn a_run_on_tensors_has_the_bits_of_one_on_arrays() {
    let schedule = Discrete::stable_diffusion().unwrap();
    for name in NAMES {
        let plan = Sampler::from_name(name)
            .unwrap()
            .plan(&schedule, 9)
            .unwrap();
        macro_rules! same {
            ($A:ty, $dtype:expr) => {
                let mut noise = SeededNoise::new(5);
                let start: Array4<$A> = plan.prior((2, 3, 20, 30), &mut noise).unwrap();
                let mut net = predicts::noise(|x: &Array4<$A>, _: Point<Step>| x.mapv(answer));
                let expected = plan.sample(start.clone(), &mut net, &mut noise).unwrap();

                let mut net = predicts::noise(|x: &Tensor, _: Point<Step>| {
                    let numbers: Vec<$A> = x.flatten_all()?.to_vec1()?;
                    let answers: Vec<_> = numbers.into_iter().map(answer).collect();
                    Tensor::from_vec(answers, x.shape(), x.device())
                });
                for checks in [Checks::EveryEvaluation, Checks::AtTheEnd] {
                    let mut noise = SeededNoise::new(5);
                    let like = Tensor::ones((2, 3, 20, 30), $dtype, &Device::Cpu).unwrap();
                    let first = plan.prior_like(&like, &mut noise).unwrap();
                    let run = plan
                        .start_from(first, &mut noise)
                        .unwrap()
                        .with_checks(checks);
                    let found = run.sample(&mut net, &mut noise).unwrap();
                    assert_eq!(found.dtype(), $dtype);
                    let found: Vec<$A> = found.flatten_all().unwrap().to_vec1().unwrap();
                    assert!(found.iter().eq(expected.iter()), "{name}");
                }
            };
        }
        same!(f32, DType::F32);
        same!(f64, DType::F64);
    }
}

/// Halves are kept as f32, as those of arrays are.
#[test]
fn a_run_in_half_precision_has_the_bits_of_one_on_arrays() {
    use half::bf16;
    let schedule = Discrete::stable_diffusion().unwrap();
    let plan = Sampler::from_name("DPM++ 2M SDE")
        .unwrap()
        .plan(&schedule, 20)
        .unwrap();
    let said = |x: bf16| bf16::from_f32(x.to_f32() * 0.1 + 0.2);
    let mut noise = SeededNoise::new(5);
    let start: Array2<bf16> = plan.prior((2, 300), &mut noise).unwrap();
    let mut net = predicts::noise(|x: &Array2<bf16>, _: Point<Step>| x.mapv(said));
    let expected = plan.sample(start.clone(), &mut net, &mut noise).unwrap();

    let on_tensors = |x: &Tensor| {
        assert_eq!(x.dtype(), DType::BF16);
        let numbers: Vec<bf16> = x.flatten_all()?.to_vec1()?;
        Tensor::from_vec(
            numbers.into_iter().map(said).collect(),
            x.shape(),
            x.device(),
        )
    };
    let mut net = predicts::noise(|x: &Tensor, _: Point<Step>| on_tensors(x));
    let mut noise = SeededNoise::new(5);
    let like = Tensor::zeros((2, 300), DType::BF16, &Device::Cpu).unwrap();
    let first = plan.prior_like(&like, &mut noise).unwrap();
    let found = plan
        .sample(first.clone(), &mut net, &mut noise.clone())
        .unwrap();
    let bits = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<bf16>().unwrap();
    assert_eq!(bits(&found), expected.into_raw_vec_and_offset().0);

    // Stored in the middle as what is kept and the type that is shown.
    let mut run = plan.start_from(first, &mut noise).unwrap();
    run.sample_observed(&mut net, &mut noise, |seen| match seen.at.step {
        9 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .unwrap();
    let stored = run.save().unwrap().try_map(|kept: Kept<Tensor>| {
        let (shown, tensor) = (kept.shown(), kept.into_tensor());
        assert_eq!(tensor.dtype(), DType::F32);
        Ok::<_, Error>((tensor.numbers()?, tensor.shape().clone(), shown))
    });
    let back = stored.unwrap().try_map(|(numbers, shape, shown)| {
        let numbers: Vec<_> = numbers.into_iter().map(|x| x as f32).collect();
        Ok::<_, Error>(Wider::new(
            Tensor::from_vec(numbers, shape, &Device::Cpu)?,
            shown,
        ))
    });
    let again = plan
        .resume::<Tensor>(back.unwrap())
        .unwrap()
        .sample(&mut net, &mut noise)
        .unwrap();
    assert_eq!(bits(&again), bits(&found));

    // A state in f32 and a network in half precision.
    let mut net = predicts::noise(|x: &Tensor, _: Point<Step>| {
        assert_eq!(x.dtype(), DType::F32);
        on_tensors(&x.to_dtype(DType::BF16)?)
    });
    let mut noise = SeededNoise::new(5);
    let like = Tensor::zeros((2, 300), DType::F32, &Device::Cpu).unwrap();
    let first = plan.prior_like(&like, &mut noise).unwrap();
    let found = plan.sample(first, &mut net, &mut noise).unwrap();
    assert_eq!(found.dtype(), DType::F32);
}

/// Tensors share their memory with their clones: what the caller keeps does not change under a run.
#[test]
fn what_the_caller_kept_never_changes() {
    let schedule = Discrete::stable_diffusion().unwrap();
    for name in NAMES {
        for careful in [false, true] {
            let plan = Sampler::from_name(name)
                .unwrap()
                .plan(&schedule, 6)
                .unwrap();
            let mut noise = SeededNoise::new(5);
            let like = Tensor::zeros((2, 3, 700), DType::F32, &Device::Cpu).unwrap();
            let start = plan.prior_like(&like, &mut noise).unwrap();
            // Clones of every kind: of the handle, of the storage alone, of a part of it.
            let mut kept: Vec<(Tensor, Vec<f64>)> = Vec::new();
            let mut keep = |x: &Tensor| {
                for clone in [x.clone(), x.detach(), x.narrow(0, 1, 1).unwrap()] {
                    kept.push((clone.clone(), values(&clone)));
                }
            };
            keep(&like);
            keep(&start);
            let mut run = plan.start_from(start, &mut noise).unwrap();
            while let Some((x, _)) = run.pending() {
                keep(x);
                let answer = (x * 0.1).unwrap();
                keep(&answer);
                let answer = Prediction::noise(answer);
                match careful {
                    true => run.supply(answer, &mut noise).unwrap(),
                    false => drop(run.advance(answer, &mut noise).unwrap()),
                }
                keep(run.state().tensor());
                run.predictions().for_each(|x| keep(x.tensor()));
                let mut edit = |x: &mut Tensor, _| x.clamp(-3.0, 3.0);
                run.edit(&mut edit).unwrap();
            }
            keep(&run.into_state());
            for (tensor, before) in kept {
                assert_eq!(values(&tensor), before, "{name}");
            }
        }
    }
    let (x, y) = (
        tensor(&numbers(&[2, 3], 1), DType::F32),
        tensor(&numbers(&[2, 3], 2), DType::F32),
    );
    let before = values(&x);
    let mut z = x.clone();
    z.combine(0.5, &[(2.0, &y)]).unwrap();
    z.combine_items(&[0.5, 2.0], &[(&[1.0, 1.0], &y)]).unwrap();
    z.exp_affine(0.1, 0.1).unwrap();
    z.multiply(&y).unwrap();
    z.blend(&y, &x).unwrap();
    assert_eq!(values(&x), before);
}

#[test]
fn adaptive_steps_are_those_of_arrays() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let solver = DpmAdaptive::new(3).unwrap();
    let ends = [-4.0, 3.0].map(|snr| LogSnr::new(snr).unwrap());
    let start = numbers(&[2, 50], 1);
    let mut noise = SeededNoise::new(0);
    let mut net = predicts::noise(|x: &ArrayD<f64>, _: Point<Step>| x.mapv(|x| 0.9 * x.tanh()));
    let x = start.clone();
    let expected = solver
        .sample(&schedule, ends[0], ends[1], x, &mut net, &mut noise)
        .unwrap();
    let mut net = predicts::noise(|x: &Tensor, _: Point<Step>| {
        let numbers: Vec<f64> = x.flatten_all()?.to_vec1()?;
        let answers: Vec<_> = numbers.into_iter().map(|x: f64| 0.9 * x.tanh()).collect();
        Tensor::from_vec(answers, x.shape(), x.device())
    });
    let x = tensor(&start, DType::F64);
    let found = solver
        .sample(&schedule, ends[0], ends[1], x, &mut net, &mut noise)
        .unwrap();
    assert_eq!(values(&found.0), expected.0.into_raw_vec_and_offset().0);
}

#[test]
fn a_network_on_tensors_behind_an_array() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let plan = Sampler::from_name("DPM++ 2M Karras")
        .unwrap()
        .plan(&schedule, 8)
        .unwrap();
    let mut noise = SeededNoise::new(5);
    let start: Array4<f32> = plan.prior((2, 3, 4, 5), &mut noise).unwrap();
    let mut net = predicts::noise(|x: &Array4<f32>, _: Point<Step>| x.mapv(|x| x * 0.25));
    let expected = plan.sample(start.clone(), &mut net, &mut noise).unwrap();
    let scaled = |x: &Tensor, _: Point<Step>| {
        assert_eq!((x.dtype(), x.dims()), (DType::F32, &[2, 3, 4, 5][..]));
        x * 0.25
    };
    let mut net = candle::network(predicts::noise(scaled), &Device::Cpu, DType::F32);
    let found = plan.sample(start.clone(), &mut net, &mut noise).unwrap();
    assert_eq!(found, expected);
    // Of another layout, and a network in half precision: one rounding of 2^-9 in an answer of a quarter.
    let mut turned = start.clone();
    turned.swap_axes(2, 3);
    let turned = turned.as_standard_layout().into_owned();
    let mut turned = turned;
    turned.swap_axes(2, 3);
    assert!(!turned.is_standard_layout());
    let half = predicts::noise(|x: &Tensor, _: Point<Step>| x * 0.25);
    let mut half = candle::network(half, &Device::Cpu, DType::BF16);
    let found = plan.sample(turned, &mut half, &mut noise).unwrap();
    assert!(
        found
            .iter()
            .zip(&expected)
            .all(|(x, y)| (x - y).abs() < 0.02),
        "{found} {expected}"
    );
    assert_ne!(found, expected);

    let short = predicts::noise(|x: &Tensor, _: Point<Step>| x.narrow(3, 0, 2));
    let mut short = candle::network(short, &Device::Cpu, DType::F32);
    let error = plan
        .sample(start.clone(), &mut short, &mut noise)
        .unwrap_err();
    let words = "the prediction of the network has shape [2, 3, 4, 2], expected [2, 3, 4, 5]";
    assert_eq!(error.to_string(), words);
    let fails = predicts::noise(|x: &Tensor, _: Point<Step>| x.narrow(3, 0, 9));
    let mut fails = candle::network(fails, &Device::Cpu, DType::F32);
    let error = plan.sample(start, &mut fails, &mut noise).unwrap_err();
    assert!(matches!(error, Error::Network(_)));
    assert!(error.source().unwrap().is::<candle_core::Error>());
}

#[test]
fn what_does_not_fit_is_refused() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let plan = Sampler::from_name("DDIM")
        .unwrap()
        .plan(&schedule, 4)
        .unwrap();
    let x = Tensor::ones((2, 3), DType::F32, &Device::Cpu).unwrap();
    let mut noise = SeededNoise::new(0);
    type Net = fn(&Tensor) -> candle_core::Result<Tensor>;
    let cases: [(Net, &str); 4] = [
        (
            |x| x.t(),
            "the prediction of the network has shape [3, 2], expected [2, 3]",
        ),
        (
            |x| x * f64::NAN,
            "the prediction of the network holds a NaN or an infinity at step 0",
        ),
        (
            |x| x.to_dtype(DType::F64),
            "the prediction of the network has numbers of type F64, expected F32",
        ),
        (|x| x.narrow(0, 0, 5), "the network failed: "),
    ];
    for (net, message) in cases {
        let mut net = predicts::noise(|x: &Tensor, _: Point<Step>| net(x));
        let error = plan.sample(x.clone(), &mut net, &mut noise).unwrap_err();
        assert!(error.to_string().starts_with(message), "{error}");
    }
    let run = plan.start_from(x.clone(), &mut noise).unwrap();
    let mut bad = predicts::noise(|x: &Tensor, _: Point<Step>| x * f64::NAN);
    let error = run
        .with_checks(Checks::AtTheEnd)
        .sample(&mut bad, &mut noise)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the result of the run holds a NaN or an infinity at step 3"
    );
    let whole = Tensor::ones((2, 3), DType::U8, &Device::Cpu).unwrap();
    let error = plan.start_from(whole, &mut noise).map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the start of the run has numbers of type U8, expected F32, F64, F16, BF16"
    );
}

/// A network with variables: its graph does not grow over a run, and gradients flow through a training step.
#[test]
fn gradients_flow_through_a_training_step_and_not_through_a_run() {
    let weight = Var::new(0.3_f64, &Device::Cpu).unwrap();
    let net = |x: &Tensor| x.broadcast_mul(weight.as_tensor());
    let (x0, eps) = (
        tensor(&numbers(&[3, 4], 1), DType::F64),
        tensor(&numbers(&[3, 4], 2), DType::F64),
    );
    let times = [0.2, 0.5, 0.8].map(|t| gaussian_diffusion::Time::new(t).unwrap());
    let x_t = Cosine.jump(&x0, &times, &eps).unwrap();
    let target = Cosine
        .target(Parameterization::Velocity, &x0, &times, &eps)
        .unwrap();
    let weights = [1.0, 0.5, 2.0];
    // The loss as a plain loop, and its derivative by central differences.
    let (xs, targets) = (values(&x_t), values(&target));
    type Item = fn(&[f64]) -> f64;
    fn mean(d: &[f64], each: impl Fn(f64) -> f64) -> f64 {
        d.iter().map(|d| each(*d)).sum::<f64>() / 4.0
    }
    let losses: [(&str, Item); 6] = [
        ("squared", |d| mean(d, |d| d * d)),
        ("absolute", |d| mean(d, f64::abs)),
        ("huber", |d| {
            mean(d, |d| match d.abs() <= 0.5 {
                true => 0.5 * d * d,
                false => 0.5 * (d.abs() - 0.25),
            })
        }),
        ("pseudo-huber", |d| mean(d, |d| 0.5 * (d.hypot(0.5) - 0.5))),
        ("norm", |d| {
            2.0 * mean(d, |d| d * d).sqrt().hypot(0.25) - 0.5
        }),
        ("masked", |d| {
            (d[0] * d[0] + 2.0 * d[2] * d[2] + 0.5 * d[3] * d[3]) / 3.5
        }),
    ];
    // The second number of every item does not count, and is not known.
    let shape = Elements::shape(&target);
    let mask = Elements::of_numbers(&target, &shape, &[1.0, 0.0, 2.0, 0.5].repeat(3)).unwrap();
    let mut unknown = targets.clone();
    unknown
        .iter_mut()
        .skip(1)
        .step_by(4)
        .for_each(|x| *x = f64::NAN);
    let unknown = Elements::of_numbers(&target, &shape, &unknown).unwrap();
    for (name, each) in losses {
        let plain = |w: f64| {
            let item = |i: usize| {
                let off = (4 * i..4 * i + 4).map(|k| w * xs[k] - targets[k]);
                each(&off.collect::<Vec<_>>())
            };
            (0..3).map(|i| weights[i] * item(i)).sum::<f64>() / 3.0
        };
        let prediction = net(&x_t).unwrap();
        let per_item = match name {
            "squared" => squared_error(&prediction, &target),
            "absolute" => absolute_error(&prediction, &target),
            "huber" => huber_error(&prediction, &target, &[0.5; 3]),
            "pseudo-huber" => pseudo_huber_error(&prediction, &target, 0.5),
            "norm" => pseudo_huber_norm(&prediction, &target, &[0.5; 3]),
            _ => masked_error(&prediction, &unknown, &mask, Distance::Squared),
        };
        let loss = weighted_mean(&per_item.unwrap(), &[&weights]).unwrap();
        let value = loss.to_scalar::<f64>().unwrap();
        assert!((value - plain(0.3)).abs() < 1e-14, "{name}: {value}");
        let gradient = loss
            .backward()
            .unwrap()
            .get(weight.as_tensor())
            .unwrap()
            .to_scalar::<f64>()
            .unwrap();
        let expected = (plain(0.3 + 1e-6) - plain(0.3 - 1e-6)) / 2e-6;
        assert!(
            (gradient - expected).abs() < 1e-8,
            "{name}: {gradient} {expected}"
        );
    }
    // An x0-loss of a network that says the noise: the conversion keeps the graph.
    let level = NoiseLevel::new(0.6, 0.8).unwrap();
    let said = Prediction::noise(net(&x0).unwrap())
        .to(Parameterization::X0, &x0, level)
        .unwrap();
    let loss = squared_error(&said.value, &eps).unwrap().sum_all().unwrap();
    assert!(loss.backward().unwrap().get(weight.as_tensor()).is_some());

    let plan = Plan::new(
        &Cosine,
        &Grid::uniform_time(&Cosine, 5).unwrap(),
        &Ddim::default(),
    )
    .unwrap();
    let mut denoiser = predicts::velocity(|x: &Tensor, _: Point<gaussian_diffusion::Time>| {
        assert!(!x.track_op());
        net(x)
    });
    let end = plan
        .sample(x0, &mut denoiser, &mut SeededNoise::new(0))
        .unwrap();
    assert!(!end.track_op());
}

/// Averages of parameters are kept as f64, as those of arrays are.
#[test]
fn averages_are_those_of_arrays() {
    let rule = EmaRule::constant(0.9999).unwrap();
    let start = numbers(&[5, 3], 1).mapv(|x| x as f32);
    let of = |x: &ArrayD<f32>| tensor(&x.mapv(f64::from), DType::F32);
    let (mut array, mut tensors) = (Ema::new(rule, start.clone()), Ema::new(rule, of(&start)));
    for k in 0..200 {
        let next = start.mapv(|x| x + 1e-3 * k as f32);
        array.update(&next).unwrap();
        tensors.update(&of(&next)).unwrap();
    }
    assert_eq!(tensors.average().dtype(), DType::F32);
    let expected: Vec<_> = array.average().iter().map(|x| f64::from(*x)).collect();
    for (found, expected) in values(tensors.average()).iter().zip(&expected) {
        assert!(
            (found - expected).abs() <= 1.2e-7 * expected.abs(),
            "{found} {expected}"
        );
    }
    let drifted =
        (values(tensors.average())[0] - f64::from(start.iter().next().copied().unwrap())).abs();
    assert!(drifted > 1e-4);
    assert!(
        tensors
            .update(&Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap())
            .is_err()
    );
}

/// A denoiser that asks candle in an error of this crate.
#[test]
fn errors_of_candle_become_those_of_networks() {
    let mut net =
        predicts::with(|x: &Tensor, _: Point<Step>| Ok(Prediction::noise(x.narrow(0, 0, 9)?)));
    let at = Point::new(
        Step::new(0),
        NoiseLevel::new(0.6, 0.8).unwrap(),
        NoiseLevel::CLEAN,
    );
    let x = Tensor::ones((2, 3), DType::F32, &Device::Cpu).unwrap();
    assert!(matches!(net.predict(&x, at), Err(Error::Network(_))));
}

/// A bound between two numbers of the type does not become one of them.
#[test]
fn a_bound_stays_between_numbers() {
    for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
        let x = Tensor::new(&[0.3_f64], &Device::Cpu).unwrap();
        let x = x.to_dtype(dtype).unwrap();
        let number = values(&x)[0];
        for bound in [number.next_down(), number, number.next_up(), f64::MAX] {
            for or_at in [false, true] {
                let expected = number > bound || or_at && number == bound;
                let found = values(&x.above(bound, or_at).unwrap())[0];
                assert_eq!(found == 1.0, expected, "{dtype:?}, {bound}, {or_at}");
            }
        }
    }
}

/// Rules and subspaces that read numbers, against arrays.
#[test]
fn bands_cosines_and_subspaces_of_tensors_are_those_of_arrays() {
    use gaussian_diffusion::guidance::{InBands, Mahiro, PerpNeg, Predictions, Rule};
    use gaussian_diffusion::state::{Subspace, ZeroMean};
    fn rules<V: Elements>() -> Vec<Box<dyn Rule<V>>> {
        vec![
            Box::new(InBands::frequency_decoupled([8.0, 3.0]).unwrap()),
            Box::new(Mahiro::new(4.0).unwrap()),
            Box::new(PerpNeg::new(3.0, [0.5]).unwrap()),
        ]
    }
    let parts = [1, 2, 3].map(|which| numbers(&[2, 3, 8, 6], which));
    let at = Point::new((), NoiseLevel::new(0.6, 0.8).unwrap(), NoiseLevel::CLEAN);
    let arrays = rules::<ArrayD<f64>>().into_iter();
    for (mut of_arrays, mut of_tensors) in arrays.zip(rules::<Tensor>()) {
        let given = |n: usize| parts.iter().take(n).cloned().map(Some).collect();
        let array = of_arrays
            .combine(Predictions::new(given(of_arrays.count())), at)
            .unwrap();
        let given = parts.iter().take(of_tensors.count());
        let given = given.map(|x| Some(tensor(x, DType::F64))).collect();
        let found = of_tensors.combine(Predictions::new(given), at).unwrap();
        assert_eq!(found.dims(), [2, 3, 8, 6]);
        for (found, expected) in values(&found).iter().zip(&array) {
            assert!((found - expected).abs() < 1e-12);
        }
    }
    let space = ZeroMean::along(2);
    let found = space.coordinates(&tensor(&parts[0], DType::F64)).unwrap();
    let expected = space.coordinates(&parts[0]).unwrap();
    assert_eq!(values(&found), expected.iter().copied().collect::<Vec<_>>());
}

/// A change of what is kept in f32 is made on what is shown, and what comes out as it was stays as it is kept.
#[test]
fn changes_are_made_on_what_is_shown() {
    let kept = tensor(&ndarray::array![1.000_1, 2.000_1].into_dyn(), DType::F32);
    let numbers = values(&kept);
    let mut kept = Wider::new(kept, DType::BF16);
    <Recasting as Keeping<Tensor>>::change(&mut kept, |shown| {
        assert_eq!(
            (shown.dtype(), values(shown)),
            (DType::BF16, vec![1.0, 2.0])
        );
        *shown = tensor(&ndarray::array![1.0, 3.0].into_dyn(), DType::BF16);
        Ok(())
    })
    .unwrap();
    assert_eq!(kept.tensor().dtype(), DType::F32);
    assert_eq!(values(kept.tensor()), [numbers[0], 3.0]);
    // Where both are one type the change is made in place.
    let mut same = Wider::new(kept.tensor().clone(), DType::F32);
    <Recasting as Keeping<Tensor>>::change(&mut same, |shown| {
        assert_eq!(shown.dtype(), DType::F32);
        assert_eq!(values(shown)[0], numbers[0]);
        Ok(())
    })
    .unwrap();
}

/// Of each item, the root mean square of the differences in units of `max(absolute, relative * size)`.
#[test]
fn errors_of_items_are_as_written_out() {
    let shape = (3, 2, 5);
    let [x, y, before] = [1, 2, 3].map(|which| numbers(&[shape.0, shape.1, shape.2], which));
    let (absolute, relative) = (0.4, 0.3);
    let expected: Vec<f64> = (0..shape.0)
        .map(|i| {
            let places = i * 10..(i + 1) * 10;
            let [x, y, before] = [&x, &y, &before].map(|x| x.iter().copied().collect::<Vec<_>>());
            let square = |k: usize| {
                let size = f64::max(absolute, relative * x[k].abs().max(before[k].abs()));
                ((x[k] - y[k]) / size).powi(2)
            };
            (places.map(square).sum::<f64>() / 10.0).sqrt()
        })
        .collect();
    for (dtype, tolerance) in [(DType::F64, 1e-14), (DType::F32, 1e-5), (DType::BF16, 3e-2)] {
        let given = [&x, &y, &before].map(|x| tensor(x, dtype));
        for form in [|x: Tensor| x, |x| turned(&x), |x| tracked(&x)] {
            let [x, y, before] = given.each_ref().map(|x| form(x.clone()));
            let plain = x.error_norms(&y, &before, absolute, relative).unwrap();
            let [x, y, before] = [x, y, before].map(|x| Wider::new(x, DType::BF16));
            let kept = x.error_norms(&y, &before, absolute, relative).unwrap();
            for (found, expected) in plain.iter().chain(&kept).zip(expected.iter().cycle()) {
                let off = (found / expected - 1.0).abs();
                assert!(off < tolerance, "{dtype:?}: {found} for {expected}");
            }
            assert_eq!((plain.len(), kept.len()), (3, 3));
        }
    }
}

/// What is around a network is told that a run begins.
#[test]
fn a_wrapped_network_is_told_that_a_run_begins() {
    struct Counts(usize);
    impl<T> Denoiser<Tensor, T> for Counts {
        fn predict(&mut self, x: &Tensor, _: Point<T>) -> Result<Prediction<Tensor>, Error> {
            let scaled = x.affine(self.0 as f64, 0.0).map_err(Error::network)?;
            Ok(Prediction::x0(scaled))
        }

        fn begin(&mut self) {
            self.0 += 1;
        }
    }
    let schedule = Discrete::stable_diffusion().unwrap();
    let plan = Sampler::from_name("DDIM")
        .unwrap()
        .plan(&schedule, 2)
        .unwrap();
    let mut net = candle::network(Counts(0), &Device::Cpu, DType::F64);
    let mut run = || {
        let start = ndarray::Array2::<f64>::from_elem((1, 2), 0.5);
        plan.sample(start, &mut net, &mut SeededNoise::new(0))
            .unwrap()
    };
    // The prediction of the data is the state times how often a run began.
    assert_ne!(run(), run());
}

#[test]
fn batches_that_do_not_fit_are_named() {
    let of = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let joined = |a: &[usize], b: &[usize]| {
        let whole = Tensor::concatenated(&[&of(a), &of(b)]);
        whole
            .map(|whole| whole.dims().to_vec())
            .map_err(|error| error.to_string())
    };
    assert_eq!(joined(&[2, 3], &[4, 3]).unwrap(), [6, 3]);
    for (a, b) in [(&[2, 3][..], &[2, 4][..]), (&[2, 3], &[2]), (&[], &[])] {
        let refused = format!("batch has shape {b:?}, expected {a:?}");
        assert_eq!(joined(a, b).unwrap_err(), refused);
    }
}

/// What a run keeps says its own type, and a few numbers of a generator are those of an array.
#[test]
fn what_is_kept_is_drawn_for_as_an_array_is() {
    use gaussian_diffusion::rand::{SeedableRng, rngs::StdRng};
    let plain = numbers(&[2, 3], 1);
    let kept = |dtype| Wider::new(tensor(&plain, dtype), DType::BF16);
    assert!(kept(DType::F64).is_double() && !kept(DType::F32).is_double());
    let (mut x, mut array) = (kept(DType::F64), plain.clone());
    StdRng::seed_from_u64(3)
        .add(&mut x, Scale::Same(0.5), None)
        .unwrap();
    StdRng::seed_from_u64(3)
        .add(&mut array, Scale::Same(0.5), None)
        .unwrap();
    assert_ne!(array, plain);
    assert_eq!(values(x.tensor()), array.into_raw_vec_and_offset().0);
}

/// An answer is not made less precise than it is.
#[test]
fn types_are_changed_to_wider_ones_alone() {
    let x = |dtype| Tensor::ones((2, 3), dtype, &Device::Cpu).unwrap();
    let all = [DType::F64, DType::F32, DType::F16, DType::BF16];
    for (dtype, other) in all.iter().flat_map(|a| all.map(|b| (*a, b))) {
        let is_wider = other.size_in_bytes() > dtype.size_in_bytes();
        let wider = if is_wider { other } else { dtype };
        let found = x(dtype).widened_for(&x(other)).dtype();
        assert_eq!(found, wider, "{dtype:?} for {other:?}");
    }
}

/// What is kept as it is shown is lent as it is, and the exponential has the bits that it has of arrays.
#[test]
fn what_is_shown_as_it_is_kept_is_lent() {
    type K = <Tensor as State>::Keeping;
    for (dtype, lent) in [
        (DType::F64, true),
        (DType::F32, true),
        (DType::F16, false),
        (DType::BF16, false),
    ] {
        let x = tensor(&numbers(&[2, 3], 1), dtype);
        let (kept, _) = K::keep(x.clone(), None);
        let shown = K::as_shown(&kept).map(values);
        assert_eq!(shown, lent.then(|| values(&x)), "{dtype:?}");
        assert_eq!(K::into_shown(kept).is_ok(), lent, "{dtype:?}");
    }
    let numbers = numbers(&[3, 7], 2);
    let mut x = tensor(&numbers, DType::F32);
    x.exp_affine(0.3, -1.7).unwrap();
    let mut expected = numbers.mapv(|x| x as f32);
    expected.exp_affine(0.3, -1.7).unwrap();
    let expected: Vec<_> = expected.iter().map(|x| f64::from(*x)).collect();
    assert_eq!(values(&x), expected);
}
