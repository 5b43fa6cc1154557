//! Tensors of burn as states (feature `burn`): the bits of arrays, and memory that others hold left alone.
#![cfg(feature = "burn")]

use burn_tensor::{DType, Device, FloatDType, Tensor, TensorCreationOptions, TensorData};
use gaussian_diffusion::{
    Checks, Denoiser, Error, ForwardProcess, Grid, LogSnr, NoiseLevel, Parameterization, Plan,
    Point, Prediction, Sampler, SeededNoise, State, Step, Time, burn,
    noise::{BrownianPath, Interval, NoiseSource, Scale, TorchCpu, TorchCuda},
    predicts,
    rand::{SeedableRng, rngs::StdRng},
    schedule::{Cosine, Discrete},
    solver::{Ddim, DpmAdaptive},
    state::{Elements, ErrorNorm, Kept, Wider},
    training::{
        Distance, Ema, EmaRule, OffsetNoise, absolute_error, huber_error, masked_error,
        pseudo_huber_error, pseudo_huber_norm, squared_error, weighted_mean,
    },
};
use ndarray::{Array, Array1, Array2, Array3, Array4, Dimension};

fn numbers(shape: (usize, usize, usize), which: usize) -> Array3<f64> {
    let count = shape.0 * shape.1 * shape.2;
    let number = |i: usize| (((i + 31 * which) * 2_654_435_761) % 1_000_003) as f64 / 3e5 - 1.6;
    Array::from_shape_vec(shape, (0..count).map(number).collect()).unwrap()
}

fn line_of(length: usize, which: usize) -> Array1<f64> {
    numbers((length, 1, 1), which).into_iter().collect()
}

fn of_type(dtype: DType) -> TensorCreationOptions {
    TensorCreationOptions::new(Device::flex()).with_dtype(dtype)
}

fn tensor<const D: usize, N: Dimension>(x: &Array<f64, N>, dtype: DType) -> Tensor<D> {
    let data = TensorData::new(x.iter().copied().collect(), x.shape().to_vec());
    Tensor::from_data(data, of_type(dtype))
}

fn values<const D: usize>(x: &Tensor<D>) -> Vec<f64> {
    x.numbers().unwrap()
}

/// The same values in another layout: the last two axes lie in memory the other way round.
fn turned(x: Tensor<3>) -> Tensor<3> {
    let turned = x.swap_dims(1, 2).mul_scalar(1.0);
    turned.swap_dims(1, 2)
}

/// The same values, from which a gradient is wanted, so that the operations of burn are taken.
fn tracked(x: Tensor<3>) -> Tensor<3> {
    x.autodiff().require_grad()
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
        let [x, y] = [1, 2].map(|which| tensor::<3, _>(&numbers((3, 2, 5), which), dtype));
        let other = tensor(&numbers((3, 5, 2), 3), dtype);
        for form in [|x| x, turned, tracked] {
            let [x, y, other] = [&x, &y, &other].map(|x: &Tensor<3>| form(x.clone()));
            let check = laws::state(&x, &y, &other, values, tolerance);
            check.unwrap_or_else(|broken| panic!("{dtype:?}: {broken}"));
            let check = laws::elements(&x, &y, &other, tolerance);
            check.unwrap_or_else(|broken| panic!("{dtype:?}: {broken}"));
        }
        // What a run keeps of it.
        let kept = |x: &Tensor<3>| Wider::new(x.clone(), DType::BF16);
        let read = |x: &Wider<Tensor<3>>| values(x.tensor());
        laws::state(&kept(&x), &kept(&y), &kept(&other), read, tolerance).unwrap();
        laws::elements(&kept(&x), &kept(&y), &kept(&other), tolerance).unwrap();
        let line = |which| tensor::<1, _>(&line_of(4, which), dtype);
        let short = tensor::<1, _>(&line_of(5, 3), dtype);
        laws::state(&line(1), &line(2), &short, values, tolerance).unwrap();
    }
    let empty = Tensor::<2>::zeros([0, 3], of_type(DType::F32));
    assert_eq!((empty.items(), State::is_finite(&empty)), (0, true));
    assert_eq!(empty.dot_items(&empty).unwrap().len(), 0);
}

#[test]
fn every_source_gives_a_tensor_the_numbers_of_an_array() {
    let level = |alpha, sigma| NoiseLevel::new(alpha, sigma).unwrap();
    let over = Some(Interval {
        from: level(0.6, 0.8),
        to: level(0.8, 0.6),
    });
    for shape in [(3, 700, 2), (5, 7, 1), (40, 1, 1), (2, 3, 1100)] {
        let (x, std) = (numbers(shape, 1), numbers(shape, 2));
        let list: Vec<_> = (0..shape.0).map(|i| 0.5 + i as f64).collect();
        macro_rules! same {
            ($A:ty, $dtype:expr, $source:expr) => {{
                let (plain, by_element): (Tensor<3>, Tensor<3>) =
                    (tensor(&x, $dtype), tensor(&std, $dtype));
                let stds = std.mapv(|x| x as $A);
                for form in [|x| x, tracked] {
                    let mut array = x.mapv(|x| x as $A);
                    let mut of_array = $source;
                    let mut of_tensor = of_array.clone();
                    let mut plain = form(plain.clone());
                    for turn in 0..3 {
                        let a: [Scale<'_, _>; 3] = [
                            Scale::Same(0.7),
                            Scale::PerItem(&list),
                            Scale::PerElement(&stds),
                        ];
                        let b: [Scale<'_, _>; 3] = [
                            Scale::Same(0.7),
                            Scale::PerItem(&list),
                            Scale::PerElement(&by_element),
                        ];
                        of_array.add(&mut array, a[turn], over).unwrap();
                        of_tensor.add(&mut plain, b[turn], over).unwrap();
                    }
                    let found = values(&plain);
                    let expected: Vec<_> = array.iter().map(|x| f64::from(*x)).collect();
                    assert_eq!(found, expected, "{shape:?} {}", stringify!($source));
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
    let mut x = Tensor::<2>::ones([2, 3], of_type(DType::F32));
    let error = SeededNoise::per_item([1]).fill(&mut x).unwrap_err();
    assert_eq!(error.to_string(), "seeds has 1 entries for a batch of 2");
    assert_eq!(
        values(&x),
        [1.0; 6],
        "a draw that is refused leaves the tensor"
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
                let mut net = predicts::noise(|x: &Array4<$A>, _: Point<Step>| x * 0.1);
                let expected = plan.sample(start.clone(), &mut net, &mut noise).unwrap();
                let mut net = predicts::noise(|x: &Tensor<4>, _: Point<Step>| x.clone() * 0.1);
                for checks in [Checks::EveryEvaluation, Checks::AtTheEnd] {
                    let mut noise = SeededNoise::new(5);
                    let like = Tensor::<4>::ones([2, 3, 20, 30], of_type($dtype));
                    let first = plan.prior_like(&like, &mut noise).unwrap();
                    let run = plan
                        .start_from(first, &mut noise)
                        .unwrap()
                        .with_checks(checks);
                    let found = run.sample(&mut net, &mut noise).unwrap();
                    assert_eq!(found.dtype(), $dtype);
                    let found: Vec<$A> = found.into_data().try_into_vec().unwrap();
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

    let on_tensors = |x: Tensor<2>| {
        assert_eq!(x.dtype(), DType::BF16);
        let shape = x.dims();
        let numbers: Vec<bf16> = x.into_data().try_into_vec().unwrap();
        let answers: Vec<_> = numbers.into_iter().map(said).collect();
        Tensor::<2>::from_data(TensorData::new(answers, shape), of_type(DType::BF16))
    };
    let mut net = predicts::noise(|x: &Tensor<2>, _: Point<Step>| on_tensors(x.clone()));
    let mut noise = SeededNoise::new(5);
    let like = Tensor::<2>::zeros([2, 300], of_type(DType::BF16));
    let first = plan.prior_like(&like, &mut noise).unwrap();
    let found = plan
        .sample(first.clone(), &mut net, &mut noise.clone())
        .unwrap();
    let bits = |x: Tensor<2>| x.into_data().try_into_vec::<bf16>().unwrap();
    assert_eq!(bits(found.clone()), expected.into_raw_vec_and_offset().0);

    // Stored in the middle as what is kept and the type that is shown.
    let mut run = plan.start_from(first, &mut noise).unwrap();
    for _ in 0..9 {
        let (x, _) = run.pending().unwrap();
        let answer = Prediction::noise(on_tensors(x.clone()));
        run.supply(answer, &mut noise).unwrap();
    }
    let stored = run.save().unwrap().try_map(|kept: Kept<Tensor<2>>| {
        let shown = kept.shown();
        Ok::<_, Error>((kept.into_tensor().into_data(), shown))
    });
    let back = stored.unwrap().try_map(|(data, shown)| {
        Ok::<_, Error>(Wider::new(
            Tensor::from_data(data, of_type(DType::F32)),
            shown,
        ))
    });
    let again = plan
        .resume::<Tensor<2>>(back.unwrap())
        .unwrap()
        .sample(&mut net, &mut noise);
    assert_eq!(bits(again.unwrap()), bits(found));

    // A state in f32 and a network in half precision.
    let mut net = predicts::noise(|x: &Tensor<2>, _: Point<Step>| {
        assert_eq!(x.dtype(), DType::F32);
        on_tensors(x.clone().cast(DType::BF16))
    });
    let like = Tensor::<2>::zeros([2, 300], of_type(DType::F32));
    let first = plan.prior_like(&like, &mut noise).unwrap();
    assert_eq!(
        plan.sample(first, &mut net, &mut noise).unwrap().dtype(),
        DType::F32
    );
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
            let like = Tensor::<3>::zeros([2, 3, 700], of_type(DType::F32));
            let start = plan.prior_like(&like, &mut noise).unwrap();
            let mut kept: Vec<(Tensor<3>, Vec<f64>)> = Vec::new();
            let mut keep = |x: &Tensor<3>| {
                for clone in [x.clone(), x.clone().narrow(0, 1, 1)] {
                    kept.push((clone.clone(), values(&clone)));
                }
            };
            keep(&like);
            keep(&start);
            let mut run = plan.start_from(start, &mut noise).unwrap();
            while let Some((x, _)) = run.pending() {
                keep(x);
                let answer = x.clone() * 0.1;
                keep(&answer);
                let answer = Prediction::noise(answer);
                match careful {
                    true => run.supply(answer, &mut noise).unwrap(),
                    false => drop(run.advance(answer, &mut noise).unwrap()),
                }
                keep(run.state().tensor());
                run.predictions().for_each(|x| keep(x.tensor()));
                let mut edit = |x: &mut Tensor<3>, _| x.clamp(-3.0, 3.0);
                run.edit(&mut edit).unwrap();
            }
            keep(&run.into_state());
            for (tensor, before) in kept {
                assert_eq!(values(&tensor), before, "{name}");
            }
        }
    }
}

#[test]
fn adaptive_steps_are_those_of_arrays() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let solver = DpmAdaptive::new(3).unwrap();
    let ends = [-4.0, 3.0].map(|snr| LogSnr::new(snr).unwrap());
    let start = numbers((2, 50, 1), 1);
    let mut noise = SeededNoise::new(0);
    let mut net = predicts::noise(|x: &Array3<f64>, _: Point<Step>| x * 0.9);
    let x = start.clone();
    let expected = solver
        .sample(&schedule, ends[0], ends[1], x, &mut net, &mut noise)
        .unwrap();
    let mut net = predicts::noise(|x: &Tensor<3>, _: Point<Step>| x.clone() * 0.9);
    let x: Tensor<3> = tensor(&start, DType::F64);
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
    let mut net = predicts::noise(|x: &Array4<f32>, _: Point<Step>| x * 0.25);
    let expected = plan.sample(start.clone(), &mut net, &mut noise).unwrap();
    let scaled = |x: &Tensor<4>, _: Point<Step>| {
        assert_eq!((x.dtype(), x.dims()), (DType::F32, [2, 3, 4, 5]));
        x.clone() * 0.25
    };
    let mut net = burn::network(predicts::noise(scaled), &Device::flex(), FloatDType::F32);
    assert_eq!(
        plan.sample(start.clone(), &mut net, &mut noise).unwrap(),
        expected
    );

    let short = predicts::noise(|x: &Tensor<4>, _: Point<Step>| x.clone().narrow(3, 0, 2));
    let mut short = burn::network(short, &Device::flex(), FloatDType::F32);
    let error = plan.sample(start, &mut short, &mut noise).unwrap_err();
    let words = "the prediction of the network has shape [2, 3, 4, 2], expected [2, 3, 4, 5]";
    assert_eq!(error.to_string(), words);
    let flat: Array2<f32> = plan.prior((2, 3), &mut noise).unwrap();
    let error = plan.sample(flat, &mut short, &mut noise).unwrap_err();
    let words = "number of axes is 2, allowed: 4, those of the tensors of the network";
    assert_eq!(error.to_string(), words);
}

#[test]
fn what_does_not_fit_is_refused() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let plan = Sampler::from_name("DDIM")
        .unwrap()
        .plan(&schedule, 4)
        .unwrap();
    let x = Tensor::<2>::ones([2, 3], of_type(DType::F32));
    let mut noise = SeededNoise::new(0);
    type Net = fn(Tensor<2>) -> Tensor<2>;
    let cases: [(Net, &str); 3] = [
        (
            |x| x.transpose(),
            "the prediction of the network has shape [3, 2], expected [2, 3]",
        ),
        (
            |x| x * f64::NAN,
            "the prediction of the network holds a NaN or an infinity at step 0",
        ),
        (
            |x| x.cast(DType::F64),
            "the prediction of the network has numbers of type F64, expected F32",
        ),
    ];
    for (net, message) in cases {
        let mut net = predicts::noise(|x: &Tensor<2>, _: Point<Step>| net(x.clone()));
        let error = plan.sample(x.clone(), &mut net, &mut noise).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let run = plan.start_from(x, &mut noise).unwrap();
    let mut bad = predicts::noise(|x: &Tensor<2>, _: Point<Step>| x.clone() * f64::NAN);
    let error = run
        .with_checks(Checks::AtTheEnd)
        .sample(&mut bad, &mut noise)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the result of the run holds a NaN or an infinity at step 3"
    );
}

/// Forward process, targets and losses under autodiff; a run keeps no graph.
#[test]
fn gradients_flow_through_a_training_step_and_not_through_a_run() {
    let options = of_type(DType::F64);
    let weight = Tensor::<2>::full([1, 1], 0.3, options)
        .autodiff()
        .require_grad();
    let net = |x: &Tensor<2>| x.clone() * weight.clone();
    let of = |which| {
        numbers((3, 4, 1), which)
            .into_shape_with_order((3, 4))
            .unwrap()
    };
    let [x0, eps]: [Tensor<2>; 2] = [1, 2].map(|which| tensor(&of(which), DType::F64));
    let times = [0.2, 0.5, 0.8].map(|t| Time::new(t).unwrap());
    let expected = Cosine.jump(&of(1), &times, &of(2)).unwrap();
    // On an autodiff device and off it, as an array has them.
    for lift in [|x| x, |x: Tensor<2>| x.autodiff()] {
        let x_t = Cosine
            .jump(&lift(x0.clone()), &times, &lift(eps.clone()))
            .unwrap();
        let off = values(&x_t)
            .iter()
            .zip(&expected)
            .map(|(x, y)| (x - y).abs())
            .fold(0.0, f64::max);
        assert!(off < 1e-15, "{off}");
    }
    let x_t = Cosine.jump(&x0, &times, &eps).unwrap();
    let target = Cosine
        .target(Parameterization::Velocity, &x0, &times, &eps)
        .unwrap();
    let weights = [1.0, 0.5, 2.0];
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
        // The loss as a plain loop, and its derivative by central differences.
        let plain = |w: f64| {
            let item = |i: usize| {
                let off = (4 * i..4 * i + 4).map(|k| w * xs[k] - targets[k]);
                each(&off.collect::<Vec<_>>())
            };
            (0..3).map(|i| weights[i] * item(i)).sum::<f64>() / 3.0
        };
        let prediction = net(&x_t);
        let per_item = match name {
            "squared" => squared_error(&prediction, &target),
            "absolute" => absolute_error(&prediction, &target),
            "huber" => huber_error(&prediction, &target, &[0.5; 3]),
            "pseudo-huber" => pseudo_huber_error(&prediction, &target, 0.5),
            "norm" => pseudo_huber_norm(&prediction, &target, &[0.5; 3]),
            _ => masked_error(&prediction, &unknown, &mask, Distance::Squared),
        };
        let loss = weighted_mean(&per_item.unwrap(), &[&weights]).unwrap();
        let value = values(&loss)[0];
        assert!((value - plain(0.3)).abs() < 1e-14, "{name}: {value}");
        let gradient = values(&weight.grad(&loss.backward()).unwrap())[0];
        let expected = (plain(0.3 + 1e-6) - plain(0.3 - 1e-6)) / 2e-6;
        assert!(
            (gradient - expected).abs() < 1e-8,
            "{name}: {gradient} {expected}"
        );
    }
    // An x0-loss of a network that says the noise: the conversion keeps the graph.
    let level = NoiseLevel::new(0.6, 0.8).unwrap();
    let said = Prediction::noise(net(&x0))
        .to(Parameterization::X0, &x0, level)
        .unwrap();
    let loss = squared_error(&said.value, &eps).unwrap().sum();
    assert!(weight.grad(&loss.backward()).is_some());

    let grid = Grid::uniform_time(&Cosine, 5).unwrap();
    let plan = Plan::new(&Cosine, &grid, &Ddim::default()).unwrap();
    let mut denoiser = predicts::velocity(|x: &Tensor<2>, _: Point<Time>| {
        assert!(!x.is_autodiff());
        net(x)
    });
    let end = plan
        .sample(x0, &mut denoiser, &mut SeededNoise::new(0))
        .unwrap();
    assert!(!end.is_autodiff());
}

/// Averages of parameters are kept as f64, as those of arrays are.
#[test]
fn averages_are_those_of_arrays() {
    let rule = EmaRule::constant(0.9999).unwrap();
    let start = numbers((5, 3, 1), 1).mapv(|x| x as f32);
    let of = |x: &Array3<f32>| tensor::<3, _>(&x.mapv(f64::from), DType::F32);
    let (mut array, mut tensors) = (Ema::new(rule, start.clone()), Ema::new(rule, of(&start)));
    for k in 0..200 {
        let next = start.mapv(|x| x + 1e-3 * k as f32);
        array.update(&next).unwrap();
        tensors.update(&of(&next)).unwrap();
    }
    let expected: Vec<_> = array.average().iter().map(|x| f64::from(*x)).collect();
    for (found, expected) in values(tensors.average()).iter().zip(&expected) {
        assert!(
            (found - expected).abs() <= 1.2e-7 * expected.abs(),
            "{found} {expected}"
        );
    }
}

/// A network behind an array is told that a run begins.
#[test]
fn a_wrapped_network_is_told_that_a_run_begins() {
    struct Counts(u32);
    impl Denoiser<Tensor<2>, Step> for Counts {
        fn predict(
            &mut self,
            x: &Tensor<2>,
            _: Point<Step>,
        ) -> Result<Prediction<Tensor<2>>, Error> {
            Ok(Prediction::x0(x.clone().mul_scalar(f64::from(self.0))))
        }

        fn begin(&mut self) {
            self.0 += 1;
        }
    }
    let schedule = Discrete::stable_diffusion().unwrap();
    let grid = Grid::trailing(&schedule, 2).unwrap();
    let plan = Plan::new(&schedule, &grid, &Ddim::default()).unwrap();
    let mut net = burn::network(Counts(0), &Device::flex(), FloatDType::F64);
    let mut run = || {
        let start = Array2::<f64>::from_elem((1, 2), 0.5);
        plan.sample(start, &mut net, &mut SeededNoise::new(0))
            .unwrap()
    };
    // The prediction of the data is the state times how often a run began.
    let (one, two) = (run()[[0, 0]], run()[[0, 0]]);
    assert!(
        one.is_finite() && two.is_finite() && one != two,
        "{one} {two}"
    );
}

/// A bound between two numbers of the type does not become one of them.
#[test]
fn a_bound_stays_between_numbers() {
    for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
        let x: Tensor<1> = tensor(&Array1::from(vec![0.3]), dtype);
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

#[test]
fn numbers_that_do_not_fill_a_shape_are_refused() {
    let x: Tensor<2> = tensor(&Array2::<f64>::zeros((2, 3)), DType::F32);
    assert_eq!(
        x.of_numbers(&[3, 1], &[1.0, 2.0, 3.0]).unwrap().dims(),
        [3, 1]
    );
    for (shape, count) in [(&[6][..], 6), (&[2, 3], 5), (&[2, 3, 1], 6)] {
        let refused = x.of_numbers(shape, &vec![0.0; count]).unwrap_err();
        assert!(
            matches!(
                refused,
                Error::Shape {
                    what: "numbers",
                    ..
                }
            ),
            "{refused}"
        );
    }
}

/// Whole numbers are no state, and an answer is not made less precise than it is.
#[test]
fn types_are_changed_to_wider_ones_alone() {
    use gaussian_diffusion::state::Recast;
    let x = |dtype| -> Tensor<2> { tensor(&Array2::<f64>::ones((2, 3)), dtype) };
    for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
        assert!(x(DType::F32).recast(DType::I64).is_err());
        assert_eq!(x(dtype).recast(DType::F64).unwrap().dtype(), DType::F64);
        for other in [DType::F64, DType::F32, DType::F16, DType::BF16] {
            let wider = if other.size() > dtype.size() {
                other
            } else {
                dtype
            };
            let found = x(dtype).widened_for(&x(other)).dtype();
            assert_eq!(found, wider, "{dtype:?} for {other:?}");
        }
    }
}

/// Of each item, the root mean square of the differences in units of `max(absolute, relative * size)`.
#[test]
fn errors_of_items_are_as_written_out() {
    let shape = (3, 2, 5);
    let [x, y, before] = [1, 2, 3].map(|which| numbers(shape, which));
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
        let given = [&x, &y, &before].map(|x| tensor::<3, _>(x, dtype));
        for form in [|x| x, turned, tracked] {
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

/// A change of what is kept in f32 is made on what is shown, and what comes out as it was stays as it is kept.
#[test]
fn changes_are_made_on_what_is_shown() {
    use gaussian_diffusion::state::{Keeping, Recasting};
    let kept: Tensor<1> = tensor(&Array1::from(vec![1.000_1, 2.000_1]), DType::F32);
    let numbers = values(&kept);
    let mut kept = Wider::new(kept, DType::BF16);
    <Recasting as Keeping<Tensor<1>>>::change(&mut kept, |shown| {
        assert_eq!(
            (shown.dtype(), values(shown)),
            (DType::BF16, vec![1.0, 2.0])
        );
        *shown = tensor(&Array1::from(vec![1.0, 3.0]), DType::BF16);
        Ok(())
    })
    .unwrap();
    assert_eq!(kept.tensor().dtype(), DType::F32);
    assert_eq!(values(kept.tensor()), [numbers[0], 3.0]);
}

/// What a run keeps says its own type, and a few numbers of a generator are those of an array.
#[test]
fn what_is_kept_is_drawn_for_as_an_array_is() {
    let plain = numbers((2, 3, 1), 1);
    let own = |dtype| -> Tensor<3> { tensor(&plain, dtype) };
    let kept = |dtype| Wider::new(own(dtype), DType::BF16);
    assert!(own(DType::F64).is_double() && !own(DType::F32).is_double());
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
