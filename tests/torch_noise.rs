//! The noise of torch: its seeds give the numbers they give there.

mod common {
    pub mod reference;
}

use common::reference::{numbers, reference};
use gaussian_diffusion::{
    Error, SeededNoise,
    noise::{NoiseSource, Scale, TorchCpu, TorchCuda},
    state::Real,
    training::OffsetNoise,
};
use ndarray::{Array1, Array2, Array3, Axis, ShapeBuilder, arr0};
use serde_json::Value;

fn f32s(value: &Value) -> Vec<f32> {
    numbers(value).iter().map(|&x| x as f32).collect()
}

fn cpu_f32(noise: &mut TorchCpu, n: usize) -> Vec<f32> {
    let mut z = vec![f32::NAN; n];
    noise.fill_f32(&mut z);
    z
}

fn cpu_f64(noise: &mut TorchCpu, n: usize) -> Vec<f64> {
    let mut z = vec![f64::NAN; n];
    noise.fill_f64(&mut z);
    z
}

/// Units in the last place between two finite numbers.
fn ulps(a: f64, b: f64) -> u64 {
    let line = |x: f64| {
        let bits = x.to_bits() as i64;
        if bits < 0 { i64::MIN - bits } else { bits }
    };
    line(a).abs_diff(line(b))
}

fn bits(z: &[f32]) -> Vec<u32> {
    z.iter().map(|z| z.to_bits()).collect()
}

#[test]
fn every_case_of_the_reference_to_the_bit() {
    let file = reference("torch_cpu_randn.json");
    for case in file["cases"].as_array().unwrap() {
        let name = format!("seed {}, n {}", case["seed"], case["n"]);
        let mut noise = TorchCpu::new(case["seed"].as_u64().unwrap());
        let first = f32s(&case["first"]);
        if case["n"] == "20 then 20" {
            assert_eq!(bits(&cpu_f32(&mut noise, 20)), bits(&first), "{name}");
            let second = f32s(&case["second"]);
            assert_eq!(bits(&cpu_f32(&mut noise, 20)), bits(&second), "{name}");
            continue;
        }
        let z = cpu_f32(&mut noise, case["n"].as_u64().unwrap() as usize);
        assert_eq!(bits(&z[..first.len()]), bits(&first), "{name}");
        if let Some(last) = case.get("last") {
            let last = f32s(last);
            assert_eq!(bits(&z[z.len() - last.len()..]), bits(&last), "{name}");
        }
        // The sums of the same numbers differ by rounding alone, in either order.
        let close = |sum: f64, key: &str| {
            let expected = case[key].as_f64().unwrap();
            assert!((sum - expected).abs() < 1e-9, "{name}: {key} {sum}");
        };
        close(z.iter().map(|&z| f64::from(z)).sum(), "sum_f64");
        close(z.iter().map(|&z| f64::from(z).powi(2)).sum(), "sum_sq_f64");
    }
}

/// Short and long draws of both types from one generator: what is kept, and what is not touched.
#[test]
fn draws_go_on_as_in_torch() {
    let file = reference("torch_sequences.json");
    let mut largest = 0;
    for sequence in file["sequences"].as_array().unwrap() {
        let seed = sequence["seed"].as_u64().unwrap();
        let mut noise = TorchCpu::new(seed);
        for (i, call) in sequence["calls"].as_array().unwrap().iter().enumerate() {
            if call["dtype"] == "float32" {
                let expected = f32s(&call["values"]);
                let found = cpu_f32(&mut noise, expected.len());
                assert_eq!(bits(&found), bits(&expected), "seed {seed}, call {i}");
            } else {
                let expected = numbers(&call["values"]);
                let found = cpu_f64(&mut noise, expected.len());
                for (a, b) in found.iter().zip(&expected) {
                    largest = largest.max(ulps(*a, *b));
                }
            }
        }
    }
    // 3 in a million numbers, as measured.
    assert!(largest <= 3, "{largest} units in the last place");
}

#[test]
fn a_million_numbers_to_the_bit() {
    let file = reference("torch_sequences.json");
    for case in file["large"].as_array().unwrap() {
        let mut noise = TorchCpu::new(case["seed"].as_u64().unwrap());
        let z = cpu_f32(&mut noise, case["n"].as_u64().unwrap() as usize);
        let hash = z.iter().fold(0_u64, |hash, z| {
            hash.wrapping_mul(31).wrapping_add(z.to_bits().into())
        });
        assert_eq!(Some(hash), case["hash"].as_u64(), "seed {}", case["seed"]);
    }
}

/// Whole stochastic runs of diffusers in float32, from a seed to the sample.
#[cfg(feature = "serde")]
#[test]
fn runs_of_diffusers_from_their_seed() {
    use gaussian_diffusion::config::SchedulerConfig;
    use ndarray::Array4;

    fn answer<A: Real>(x: &Array4<A>, time: f64) -> Array4<A> {
        x.mapv(|x| A::of(0.8 * x.get().tanh() + 0.2 * (2.0 * x.get() + time / 1000.0).cos()))
    }
    let file = reference("torch_sequences.json");
    for run in file["runs"].as_array().unwrap() {
        let config = SchedulerConfig::from_json(&run["config"].to_string()).unwrap();
        let plan = config
            .plan(run["steps"].as_u64().unwrap() as usize)
            .unwrap();
        let mut noise = TorchCpu::new(run["seed"].as_u64().unwrap());
        let start = plan.prior((2, 3, 5, 5), &mut noise).unwrap();
        let mut net = config.denoiser(|x: &Array4<f32>, time: f64| Ok(answer(x, time)));
        let end = plan.sample(start, &mut net, &mut noise).unwrap();
        let end = end.mapv(f64::from);
        let expected = numbers(&run["end"]);
        let off = |(a, b): (&f64, &f64)| (a - b).abs() / b.abs().max(1.0);
        let off = end.iter().zip(&expected).map(off).fold(0.0, f64::max);
        // 3e-6, as measured; float32 of 12 steps.
        assert!(off < 5e-6, "{}: {off}", run["config"]["_class_name"]);
    }
}

fn cuda(seed: u64, gpu: (u32, u32), n: usize) -> Vec<f32> {
    let mut z = vec![f32::NAN; n];
    let mut noise = TorchCuda::new(seed)
        .with_multiprocessors(gpu.0, gpu.1)
        .unwrap();
    noise.fill_f32(&mut z).unwrap();
    z
}

/// What the header of the WebUI's imitation of a GPU says, which is in f64.
#[test]
fn the_imitation_of_the_webui() {
    let expected = [
        -0.92466259,
        -0.42534415,
        -2.6438457,
        0.14518388,
        -0.12086647,
        -0.57972564,
        -0.62285122,
        -0.32838709,
        -1.07454231,
        -0.36314407,
        -1.67105067,
        2.26550497,
    ];
    for (found, expected) in cuda(0, (u32::MAX, 256), 12).iter().zip(expected) {
        // 2^-20, a rounded angle of six times a radius of three.
        assert!(
            (f64::from(*found) - expected).abs() < 1e-6,
            "{found}, {expected}"
        );
    }
}

/// What GPUs gave, as printed with four digits in the issues of PyTorch.
#[test]
fn gpus_have_given_these() {
    let printed = |z: f32, mean: f64, std: f64, expected: f64| {
        let found = mean + std * f64::from(z);
        assert!((found - expected).abs() < 6e-5, "{found} for {expected}");
    };
    // 79496: randn(3), no GPU named.
    let z = cuda(10, (108, 2048), 3);
    for (z, expected) in z.iter().zip([-0.1029, 1.6810, -0.2708]) {
        printed(*z, 0.0, 1.0, expected);
    }
    // 62467: an RTX A6000, shape (1, 3, 128, 128), elements [.., 0, 0].
    let z = cuda(43, (84, 1536), 3 * 128 * 128);
    for (i, expected) in [1.9983, 0.8704, 2.1127].iter().enumerate() {
        printed(z[i * 128 * 128], 0.0, 1.0, *expected);
    }
    // 97097: an RTX A4000, shape (1000, 100), mean 5, variance 5. Its last rows are beyond its threads.
    let z = cuda(14, (48, 1536), 1000 * 100);
    let rows = [
        (0, [2.8731, 5.2727, 2.9889, 1.6853, 9.6331, 6.6319]),
        (1, [3.9968, 3.8097, 5.7328, 4.4029, 3.9804, 7.4698]),
        (2, [6.5552, 4.0857, 4.2315, 2.7704, 3.5479, 3.3063]),
        (997, [8.6297, 2.3137, 6.2596, 7.9358, 4.4697, 2.7475]),
        (998, [7.0551, 7.8583, 3.9990, 4.1139, 8.9315, 4.2042]),
        (999, [2.7337, 2.2106, 7.7815, 8.2207, 6.5395, 4.2604]),
    ];
    for (row, expected) in rows {
        for (column, expected) in [0, 1, 2, 97, 98, 99].into_iter().zip(expected) {
            printed(z[row * 100 + column], 5.0, 5.0_f64.sqrt(), expected);
        }
    }
    // 143086: the ends of 9483264 numbers, ten rounds and more of every thread.
    let gpus = [
        ((108, 2048), [0.1549, -0.6797, -0.1656]), // A100
        ((132, 2048), [-0.6970, -0.7780, 0.3267]), // H100
    ];
    for (gpu, last) in gpus {
        let z = cuda(1, gpu, 49 * 12 * 112 * 144);
        for (z, expected) in z.iter().zip([-0.2963, 2.6764, -0.1408]) {
            printed(*z, 0.0, 1.0, expected);
        }
        for (z, expected) in z[z.len() - 3..].iter().zip(last) {
            printed(*z, 0.0, 1.0, expected);
        }
    }
}

/// What an H200 gave: draws of both types in a row, their first and last numbers.
#[test]
fn an_h200_gave_these() {
    let file = reference("torch_cuda_randn.json");
    let on = [0, 1].map(|i| file["on"][i].as_u64().unwrap() as u32);
    let mut off = [0.0_f64; 2];
    for sequence in file["sequences"].as_array().unwrap() {
        let seed = sequence["seed"].as_u64().unwrap();
        let mut noise = TorchCuda::new(seed)
            .with_multiprocessors(on[0], on[1])
            .unwrap();
        for draw in sequence["draws"].as_array().unwrap() {
            let n = draw["n"].as_u64().unwrap() as usize;
            let double = draw["type"] == "float64";
            let z = match double {
                true => {
                    let mut z = vec![f64::NAN; n];
                    noise.fill_f64(&mut z).unwrap();
                    z
                }
                false => {
                    let mut z = vec![f32::NAN; n];
                    noise.fill_f32(&mut z).unwrap();
                    z.into_iter().map(f64::from).collect()
                }
            };
            let (first, last) = (numbers(&draw["first"]), numbers(&draw["last"]));
            let found = z[..first.len()].iter().chain(&z[n - last.len()..]);
            for (found, expected) in found.zip(first.iter().chain(&last)) {
                let off = &mut off[usize::from(double)];
                *off = off.max((found - expected).abs());
            }
        }
    }
    // 3.2e-6 in 134 million numbers and 8.9e-16 in 77 million, as measured; 7.3e-7 and 2.3e-16 in these.
    assert!(off[0] < 1e-6 && off[1] < 5e-16, "{off:?}");
}

/// Philox as its paper writes it down, one number at a time.
fn philox(counter: [u32; 4], seed: u64) -> [u64; 4] {
    let mut c = counter.map(u64::from);
    let word = |x: u64| x & 0xffff_ffff;
    let mut key = [word(seed), seed >> 32];
    for _ in 0..10 {
        let (p, q) = (c[0] * 0xD251_1F53, c[2] * 0xCD9E_8D57);
        c = [
            q >> 32 ^ c[1] ^ key[0],
            word(q),
            p >> 32 ^ c[3] ^ key[1],
            word(p),
        ];
        key = [word(key[0] + 0x9E37_79B9), word(key[1] + 0xBB67_AE85)];
    }
    c
}

/// torch's rule element by element, in f64: which thread, which of its numbers, and how far each draw moves on.
#[test]
fn threads_and_offsets_by_the_rule() {
    let pair = |u: f64, half_turns: f64| {
        let radius = (-2.0 * u.ln()).sqrt();
        let angle = std::f64::consts::PI * half_turns;
        [radius * angle.sin(), radius * angle.cos()]
    };
    let seed = 0x0123_4567_89ab_cdef;
    let mut noise = TorchCuda::new(seed).with_multiprocessors(2, 600).unwrap();
    let mut offset = 0;
    for (i, n) in [1, 5000, 256, 257, 4096, 4097, 0, 1024, 9000, 3]
        .into_iter()
        .enumerate()
    {
        // Every other draw is of f64, with two numbers a round in place of four.
        let double = i % 2 == 1;
        let unroll = if double { 2 } else { 4 };
        let grid = (2 * (600 / 256)).min(usize::div_ceil(n, 256)).max(1);
        let threads = 256 * grid;
        let expected = |element: usize| {
            let turn = element / threads;
            let counter = offset / 4 + (turn / unroll) as u32;
            let w = philox([counter, 0, (element % threads) as u32, 0], seed);
            let [w0, w1, w2, w3] = w.map(|w| w as f64);
            let unit = |low: u64, high: u64| ((low ^ high << 21) as f64 + 0.5) / 2_f64.powi(53);
            let words = 2_f64.powi(32);
            match (double, turn % unroll) {
                (true, k) => pair(unit(w[0], w[1]), 2.0 * unit(w[2], w[3]))[k],
                (_, k @ (0 | 1)) => pair((w0 + 0.5) / words, 2.0 * (w1 + 0.5) / words)[k],
                (_, k) => pair((w2 + 0.5) / words, 2.0 * (w3 + 0.5) / words)[k - 2],
            }
        };
        let mut z = vec![f64::NAN; n];
        if double {
            noise.fill_f64(&mut z).unwrap();
        } else {
            let mut narrow = vec![f32::NAN; n];
            noise.fill_f32(&mut narrow).unwrap();
            z = narrow.into_iter().map(f64::from).collect();
        }
        // A u of f32 next to 1 is off by 2^-25, and the radius by the root of twice that over itself.
        let tolerance = if double { 1e-14 } else { 4e-6 };
        for (element, z) in z.iter().enumerate() {
            let expected = expected(element);
            assert!(
                (z - expected).abs() < tolerance,
                "draw {i}, element {element}: {z}, {expected}"
            );
        }
        if n > 0 {
            offset += (((n - 1) / (threads * unroll) + 1) * 4) as u32;
        }
    }
}

#[test]
fn a_gpu_is_refused_in_these_words() {
    let message = |m, t| {
        TorchCuda::new(0)
            .with_multiprocessors(m, t)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        message(0, 2048),
        "number of multiprocessors is 0, allowed: 1 or more"
    );
    assert_eq!(
        message(108, 255),
        "threads per multiprocessor is 255, allowed: 256 or more"
    );
    assert_eq!(
        TorchCuda::new(0),
        TorchCuda::new(0).with_multiprocessors(108, 2048).unwrap()
    );
}

/// The numbers of a source in logical order, into any array, on any scale.
fn fills_arrays<A: Real, G>(source: G, next: impl Fn(&mut G, usize) -> Vec<A>)
where
    G: Clone + PartialEq + std::fmt::Debug,
    G: NoiseSource<Array1<A>> + NoiseSource<Array2<A>> + NoiseSource<Array3<A>>,
    G: NoiseSource<ndarray::Array0<A>>,
{
    let mut after = source.clone();
    let z = next(&mut after, 60);
    let logical = |x: &Array3<A>| x.iter().copied().collect::<Vec<_>>();

    // Layouts: the order of the elements is the same, and what comes next too.
    let mut noise = source.clone();
    let mut x = Array3::from_elem((3, 4, 5), A::of(0.0));
    noise.add(&mut x, Scale::Same(1.0), None).unwrap();
    assert_eq!(logical(&x), z);
    assert_eq!(noise, after);
    let mut x = Array3::from_elem((3, 4, 5).f(), A::of(0.0));
    source.clone().add(&mut x, Scale::Same(1.0), None).unwrap();
    assert_eq!(logical(&x), z);
    let mut x = Array3::from_elem((5, 3, 4), A::of(0.0)).permuted_axes([1, 2, 0]);
    source.clone().add(&mut x, Scale::Same(1.0), None).unwrap();
    assert_eq!(logical(&x), z);
    x.invert_axis(Axis(1));
    x.fill(A::of(0.0));
    source.clone().add(&mut x, Scale::Same(1.0), None).unwrap();
    assert_eq!(logical(&x), z);

    // Scales, on top of what is there.
    let start = Array3::from_shape_fn((3, 4, 5), |(i, j, k)| A::of((i * 20 + j * 5 + k) as f64));
    let scaled = |deviation: &dyn Fn(usize) -> A| -> Vec<A> {
        let scaled = |(i, (&x, &z)): (usize, (&A, &A))| x + deviation(i) * z;
        start.iter().zip(&z).enumerate().map(scaled).collect()
    };
    let mut x = start.clone();
    source.clone().add(&mut x, Scale::Same(0.3), None).unwrap();
    assert_eq!(logical(&x), scaled(&|_| A::of(0.3)));
    let deviations = [0.3, 0.0, 2.5];
    let mut x = start.clone();
    source
        .clone()
        .add(&mut x, Scale::PerItem(&deviations), None)
        .unwrap();
    assert_eq!(logical(&x), scaled(&|i| A::of(deviations[i / 20])));
    let each = start.mapv(|x| A::of(0.1 * x.get()));
    let mut x = start.clone();
    source
        .clone()
        .add(&mut x, Scale::PerElement(&each), None)
        .unwrap();
    assert_eq!(logical(&x), scaled(&|i| each.as_slice().unwrap()[i]));

    // What is refused changes nothing.
    let mut noise = source.clone();
    let mut x = start.clone();
    let short = Array3::from_elem((3, 4, 4), A::of(1.0));
    for (scale, name) in [
        (Scale::PerItem(&deviations[..2]), "BatchLength"),
        (Scale::PerElement(&short), "Shape"),
    ] {
        let refused: Result<(), Error> = noise.add(&mut x, scale, None);
        let refused = format!("{:?}", refused.unwrap_err());
        assert!(refused.starts_with(name), "{refused}");
        assert_eq!((&x, &noise), (&start, &source));
    }

    // An array without elements draws nothing, one without axes draws one number.
    let mut x = Array2::from_elem((0, 7), A::of(0.0));
    noise.add(&mut x, Scale::Same(1.0), None).unwrap();
    assert_eq!(noise, source);
    let mut x = arr0(A::of(0.0));
    noise.add(&mut x, Scale::Same(1.0), None).unwrap();
    let mut after = source.clone();
    assert_eq!(x[()], next(&mut after, 1)[0]);
    assert_eq!(noise, after);
    let mut x = Array1::from_elem(2, A::of(0.0));
    noise.add(&mut x, Scale::Same(1.0), None).unwrap();
    assert_eq!(x.to_vec(), next(&mut after, 2));
}

#[test]
fn arrays_of_every_kind() {
    fills_arrays(TorchCpu::new(3), cpu_f32);
    fills_arrays(TorchCpu::new(3), cpu_f64);
    let cuda = TorchCuda::new(3);
    fills_arrays(cuda.clone(), |noise, n| {
        let mut z = vec![f32::NAN; n];
        noise.fill_f32(&mut z).unwrap();
        z
    });
    fills_arrays(cuda, |noise, n| {
        let mut z = vec![f64::NAN; n];
        noise.fill_f64(&mut z).unwrap();
        z
    });
}

/// A draw that nobody gets moves the generator on like one that somebody gets; seeded noise stays.
#[test]
fn draws_thrown_away() {
    fn one<A: Real, G>(source: &G, n: usize) -> [G; 2]
    where
        G: NoiseSource<Array1<A>> + Clone,
    {
        let [mut got, mut thrown] = [source.clone(), source.clone()];
        let mut x = Array1::from_elem(n, A::of(0.5));
        thrown.discard(&x).unwrap();
        assert!(x.iter().all(|x| x.get() == 0.5));
        got.add(&mut x, Scale::Same(1.0), None).unwrap();
        [got, thrown]
    }
    for n in [0, 1, 5, 16, 37] {
        let [got, thrown] = one::<f32, _>(&TorchCpu::new(9), n);
        assert_eq!(got, thrown, "{n}");
        let [got, thrown] = one::<f64, _>(&TorchCpu::new(9), n);
        assert_eq!(got, thrown, "{n}");
        let [got, thrown] = one::<f32, _>(&TorchCuda::new(9), n);
        assert_eq!(got, thrown, "{n}");
        let [got, thrown] = one::<f64, _>(&TorchCuda::new(9), n);
        assert_eq!(got, thrown, "{n}");
        let offset = OffsetNoise::new(TorchCpu::new(9), 0.1).unwrap();
        let [got, thrown] = one::<f32, _>(&offset, n);
        assert_eq!(got, thrown, "{n}");
    }
    let [_, thrown] = one::<f32, _>(&SeededNoise::new(9), 5);
    assert_eq!(thrown, SeededNoise::new(9));
}

/// Noise with an offset is two draws, one of them for the channels: so many are thrown away.
#[test]
fn offset_noise_throws_away_what_it_would_draw() {
    use gaussian_diffusion::training::OffsetNoise;
    let mut drawn = OffsetNoise::new(TorchCpu::new(5), 0.1).unwrap();
    let mut thrown = drawn.clone();
    let mut x = Array3::<f32>::zeros((2, 3, 40));
    drawn.add(&mut x, Scale::Same(1.0), None).unwrap();
    thrown.discard(&x).unwrap();
    assert_eq!(drawn, thrown);
    assert_ne!(drawn, OffsetNoise::new(TorchCpu::new(5), 0.1).unwrap());
}

/// A generator that was stored goes on where it was, on the smallest GPU too; what it cannot be is refused.
#[cfg(feature = "serde")]
#[test]
fn stored_generators_go_on() {
    let mut noise = TorchCuda::new(5).with_multiprocessors(1, 256).unwrap();
    noise.fill_f32(&mut [0.0; 700]).unwrap();
    let mut stored = serde_json::to_value(&noise).unwrap();
    let mut again: TorchCuda = serde_json::from_value(stored.clone()).unwrap();
    let (mut a, mut b) = ([0.0; 9], [1.0; 9]);
    noise.fill_f32(&mut a).unwrap();
    again.fill_f32(&mut b).unwrap();
    assert_eq!(a, b);
    // Rounds are counted beyond 2^32, and do not come again.
    let at = |round: u64| {
        let mut stored = stored.clone();
        stored["round"] = round.into();
        let mut noise: TorchCuda = serde_json::from_value(stored).unwrap();
        let mut z = [0.0_f32; 9];
        noise.fill_f32(&mut z).unwrap();
        z
    };
    assert_eq!(at(5), at(5));
    for round in [0, 1 << 32, (1 << 32) + 5, 5 << 32] {
        assert_ne!(at(5), at(round), "{round}");
    }
    stored["threads"] = 255.into();
    let refused = serde_json::from_value::<TorchCuda>(stored).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "threads of a GPU is 255, allowed: 256 or more"
    );
    let mut stored = serde_json::to_value(TorchCpu::new(5)).unwrap();
    for (given, taken) in [(0, true), (624, true), (625, false)] {
        stored["given"] = given.into();
        let read = serde_json::from_value::<TorchCpu>(stored.clone());
        assert_eq!(read.is_ok(), taken, "{given}");
    }
}
