//! Noise: its key, its law, its fixed values.

use gaussian_diffusion::{
    SeededNoise,
    noise::{NoiseSource, Scale},
    rand::{RngCore, SeedableRng, rngs::StdRng},
};
use ndarray::{Array, Array1, Array2, Axis, Dimension, ShapeBuilder};

fn filled<D: Dimension>(
    shape: impl ShapeBuilder<Dim = D>,
    noise: &mut SeededNoise,
) -> Array<f64, D> {
    let mut x = Array::zeros(shape);
    noise.add(&mut x, Scale::Same(1.0), None).unwrap();
    x
}

/// The promise of value stability. A change here is value-breaking and belongs in the changelog.
#[test]
fn the_numbers_of_a_seed_are_fixed() {
    let mut noise = SeededNoise::new(42);
    let first = filled((2, 3), &mut noise);
    let second = filled((2, 3), &mut noise);
    let found: Vec<u64> = first.iter().chain(&second).map(|z| z.to_bits()).collect();
    assert_eq!(found, FIXED, "{found:#x?}");
    // Of every element of long items, in both precisions: the sum of the bits.
    let mut single = Array2::<f32>::zeros((3, 1000));
    SeededNoise::new(42).fill(&mut single).unwrap();
    let sum = |sum: u64, bits: u64| sum.wrapping_mul(31).wrapping_add(bits);
    let single = single.iter().map(|z| u64::from(z.to_bits())).fold(0, sum);
    let double = filled((3, 1000), &mut SeededNoise::new(42));
    let double = double.iter().map(|z| z.to_bits()).fold(0, sum);
    assert_eq!([single, double], SUMS, "{single:#x}, {double:#x}");
}

const FIXED: [u64; 12] = [
    0x3fb8_d18a_53b3_f58c,
    0x3ff7_2e11_1aee_ecfe,
    0x3fe3_3702_30e3_1d6d,
    0xbfa0_5b4d_8271_9df0,
    0x3fbe_4bed_c56a_7f4e,
    0x3fb3_58fb_c734_a3b9,
    0xbfdd_bdb3_a7c5_ede9,
    0x3fc9_12fc_d8c1_93a6,
    0x3fbd_7bb1_a7d5_d6e9,
    0x3fdc_41a3_4a54_bb4b,
    0x3f98_62a8_cee5_7f20,
    0x3ff4_ba34_362c_9280,
];

const SUMS: [u64; 2] = [0xe21f_414e_9783_f0b8, 0x575a_5975_6397_14bd];

/// A second implementation, from the papers, one number at a time: Philox 4x32-7 by 128-bit products,
/// uniforms as fractions in f64, the logarithm and the circular functions of libm.
fn plainly(seed: u64, item: u32, draw: u64, element: usize) -> [f64; 2] {
    let philox = |counter: [u32; 4]| {
        let mut c = counter.map(u128::from);
        let mut k = [seed as u32, (seed >> 32) as u32];
        for _ in 0..7 {
            let (p, q) = (c[0] * 0xD251_1F53, c[2] * 0xCD9E_8D57);
            let low = |x: u128| x & 0xFFFF_FFFF;
            c = [
                (q >> 32) ^ c[1] ^ u128::from(k[0]),
                low(q),
                (p >> 32) ^ c[3] ^ u128::from(k[1]),
                low(p),
            ];
            k = [
                k[0].wrapping_add(0x9E37_79B9),
                k[1].wrapping_add(0xBB67_AE85),
            ];
        }
        c.map(|word| word as u32)
    };
    let (block, place) = (element / 256, element % 256);
    let (counter, kind) = (64 * block + place % 64, place / 64);
    let words = |draw: u64| {
        let words = philox([counter as u32, item, draw as u32, (draw >> 32) as u32]);
        [words[2 * (kind / 2)], words[2 * (kind / 2) + 1]].map(f64::from)
    };
    let (high, low) = (words(draw), words(draw | 1 << 62));
    // With the low words, and with one half in their place.
    [
        low.map(|low| ((low / 2.0).floor() + 0.5) / 2.0_f64.powi(31)),
        [0.5; 2],
    ]
    .map(|rest| {
        let half = 2.0_f64.powi(31);
        let p = ((high[0] % half) + rest[0]) / 2.0_f64.powi(32);
        let minus_ln = if high[0] < half {
            -libm::log(p)
        } else {
            -libm::log1p(-p)
        };
        // In quarter turns, so that the rest keeps its precision.
        let quarter = 2.0_f64.powi(30);
        let turns = (high[1] / quarter).round();
        let angle =
            std::f64::consts::TAU * ((high[1] - turns * quarter + rest[1]) / 2.0_f64.powi(32));
        let (sin, cos) = (libm::sin(angle), libm::cos(angle));
        let circle = match (turns as usize + 3 * (kind % 2)) % 4 {
            0 => cos,
            1 => -sin,
            2 => -cos,
            _ => sin,
        };
        (2.0 * minus_ln).sqrt() * circle
    })
}

/// Every shape of item: one element, part of a block, a block, several; the errors stated in the documentation.
#[test]
fn the_numbers_are_those_of_a_plain_loop() {
    let seed = 0x0123_4567_89ab_cdef;
    let mut worst = [0.0_f64; 2];
    for length in [
        1, 2, 3, 15, 16, 17, 63, 64, 65, 100, 128, 255, 256, 257, 300, 1000,
    ] {
        for items in [1, 2, 5, 40] {
            for draw in [0, 3, (1 << 40) + 7] {
                let source = SeededNoise::new(seed)
                    .with_first_item(2)
                    .with_first_draw(draw);
                let double = filled((items, length), &mut source.clone());
                let mut single = Array2::<f32>::zeros((items, length));
                source.clone().fill(&mut single).unwrap();
                for ((i, e), &z) in double.indexed_iter() {
                    let [exact, short] = plainly(seed, 2 + i as u32, draw, e);
                    let off = (z - exact).abs() / exact.abs();
                    worst[0] = worst[0].max(off);
                    assert!(
                        off < 8e-16,
                        "{z} for {exact} at {:?}",
                        (items, length, i, e)
                    );
                    let z = f64::from(single[[i, e]]);
                    let off = (z - short).abs() / short.abs();
                    worst[1] = worst[1].max(off);
                    assert!(off < 4e-7, "{z} for {short} at {:?}", (items, length, i, e));
                }
            }
        }
    }
    println!("worst relative errors: {worst:?}");
}

#[test]
fn an_item_depends_on_its_key_alone() {
    let whole = filled((7, 5, 3), &mut SeededNoise::new(9));
    for items in 1..7 {
        assert_eq!(
            filled((items, 5, 3), &mut SeededNoise::new(9)),
            whole.slice_axis(Axis(0), (..items).into())
        );
        let tail = filled(
            (7 - items, 5, 3),
            &mut SeededNoise::new(9).with_first_item(items as u32),
        );
        assert_eq!(tail, whole.slice_axis(Axis(0), (items..).into()));
    }
    // Seeds of items: an item alone with its seed.
    let seeds = [5, 6, 5];
    let batch = filled((3, 4), &mut SeededNoise::per_item(seeds));
    for (row, seed) in batch.rows().into_iter().zip(seeds) {
        assert_eq!(filled((1, 4), &mut SeededNoise::new(seed)).row(0), row);
    }
    // A longer item begins like a shorter one.
    let long = filled((2, 9), &mut SeededNoise::new(9));
    assert_eq!(
        filled((2, 4), &mut SeededNoise::new(9)),
        long.slice_axis(Axis(1), (..4).into())
    );
}

#[test]
fn layout_and_type_do_not_change_the_numbers() {
    let rows = filled((4, 6), &mut SeededNoise::new(3));
    let columns = filled((4, 6).f(), &mut SeededNoise::new(3));
    assert_eq!(rows, columns);
    let mut single = Array2::<f32>::zeros((4, 6));
    SeededNoise::new(3)
        .add(&mut single, Scale::Same(1.0), None)
        .unwrap();
    // A number of f32 is that of f64 to its own precision: its words are the high ones.
    for (single, double) in single.iter().zip(&rows) {
        assert!((f64::from(*single) - double).abs() < 1e-6 * double.abs().max(1.0));
    }
}

#[test]
fn draws_are_counted_and_can_be_resumed() {
    let mut noise = SeededNoise::new(1);
    let (a, b) = (filled(8, &mut noise), filled(8, &mut noise));
    assert_ne!(a, b);
    assert_eq!(noise.draws(), 2);
    assert_eq!(filled(8, &mut SeededNoise::new(1).with_first_draw(1)), b);
    assert_ne!(filled(8, &mut SeededNoise::new(2)), a);
}

#[test]
fn every_scale_is_the_plain_product() {
    let z = filled((3, 4), &mut SeededNoise::new(8));
    let start = Array2::from_shape_fn((3, 4), |(i, j)| i as f64 - 0.5 * j as f64);
    let mut x = start.clone();
    SeededNoise::new(8)
        .add(&mut x, Scale::PerItem(&[0.5, 0.0, -2.0]), None)
        .unwrap();
    for (i, scale) in [0.5, 0.0, -2.0].into_iter().enumerate() {
        for j in 0..4 {
            assert_eq!(x[[i, j]], start[[i, j]] + scale * z[[i, j]]);
        }
    }
    let std = start.mapv(f64::exp);
    let mut x = start.clone();
    SeededNoise::new(8)
        .add(&mut x, Scale::PerElement(&std), None)
        .unwrap();
    for ((i, j), x) in x.indexed_iter() {
        assert_eq!(*x, start[[i, j]] + std[[i, j]] * z[[i, j]]);
    }
}

#[test]
fn empty_arrays_are_a_draw_of_nothing() {
    let mut noise = SeededNoise::new(1);
    assert_eq!(filled((0, 3), &mut noise).len(), 0);
    assert_eq!(filled((3, 0), &mut noise).len(), 0);
    assert_eq!(filled((), &mut noise).len(), 1);
    assert_eq!(noise.draws(), 3);
}

#[test]
fn what_is_refused_changes_nothing() {
    let mut noise = SeededNoise::new(1);
    let mut x = Array2::<f64>::ones((3, 2));
    let short = noise.add(&mut x, Scale::PerItem(&[1.0]), None).unwrap_err();
    assert_eq!(
        short.to_string(),
        "noise scales has 1 entries for a batch of 3"
    );
    let std = Array2::ones((2, 3));
    let shape = noise
        .add(&mut x, Scale::PerElement(&std), None)
        .unwrap_err();
    assert_eq!(
        shape.to_string(),
        "noise scale has shape [2, 3], expected [3, 2]"
    );
    let seeds = SeededNoise::per_item([1, 2])
        .add(&mut x, Scale::Same(1.0), None)
        .unwrap_err();
    assert_eq!(seeds.to_string(), "seeds has 2 entries for a batch of 3");
    assert_eq!((x, noise.draws()), (Array2::ones((3, 2)), 0));
}

#[test]
fn no_noise_refuses_every_draw() {
    use gaussian_diffusion::noise::NoNoise;
    let mut x = Array2::<f64>::ones((3, 2));
    let refused = NoNoise.add(&mut x, Scale::Same(1.0), None).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "a source of noise is missing, a draw of the sampler needs it"
    );
    assert_eq!(x, Array2::<f64>::ones((3, 2)));
}

/// Many numbers take of a generator as many bytes as two words for a pair: of 4 bytes for f32, of 8 for f64.
#[test]
fn many_numbers_take_whole_words_of_a_generator() {
    use gaussian_diffusion::{
        rand::{SeedableRng, rngs::StdRng},
        state::Real,
    };
    fn left<A: Real>(n: usize, bytes: usize) {
        let (mut used, mut expected) = (StdRng::seed_from_u64(8), StdRng::seed_from_u64(8));
        let mut x = Array1::<A>::from_elem(n, A::of(0.0));
        used.add(&mut x, Scale::Same(1.0), None).unwrap();
        expected.fill_bytes(&mut vec![0; bytes]);
        assert_eq!(
            used.next_u64(),
            expected.next_u64(),
            "{n} numbers, {bytes} bytes"
        );
    }
    for (n, pairs) in [(64, 32), (65, 33), (100, 50), (256, 128)] {
        left::<f32>(n, 8 * pairs);
        left::<f64>(n, 16 * pairs);
    }
}

/// Noise of a subspace lies in it, is that of its source there, and is added; what is thrown away is thrown away.
#[test]
fn projected_noise_is_added_in_its_subspace() {
    use gaussian_diffusion::{
        noise::{ProjectedNoise, TorchCpu},
        state::{Subspace, ZeroMean},
    };
    let space = ZeroMean::along(1);
    let mut noise = ProjectedNoise::new(TorchCpu::new(3), space);
    let mut x = Array2::<f64>::from_elem((2, 5), 0.25);
    noise.add(&mut x, Scale::Same(0.7), None).unwrap();
    let mut of_source = TorchCpu::new(3);
    let drawn = |source: &mut TorchCpu| {
        let mut z = Array2::<f64>::zeros((2, 5));
        source.add(&mut z, Scale::Same(1.0), None).unwrap();
        z
    };
    let z: Array2<f64> = drawn(&mut of_source);
    let expected = space.project(&z).unwrap() * 0.7 + 0.25;
    assert!(
        x.iter().zip(&expected).all(|(x, y)| (x - y).abs() < 1e-14),
        "{x}"
    );
    noise.discard(&x).unwrap();
    let _: Array2<f64> = drawn(&mut of_source);
    let (mut next, z) = (Array2::<f64>::zeros((2, 5)), drawn(&mut of_source));
    noise.add(&mut next, Scale::Same(1.0), None).unwrap();
    let expected: Array2<f64> = space.project(&z).unwrap();
    assert!(
        next.iter()
            .zip(&expected)
            .all(|(x, y)| (x - y).abs() < 1e-14),
        "{next}"
    );
    let each = noise.add(&mut x, Scale::PerElement(&expected), None);
    assert!(each.is_err());
}

/// A sample of a posterior is its mean and a draw, or the mean alone.
#[test]
fn posteriors_draw_what_they_have() {
    use gaussian_diffusion::PosteriorCoefficients;
    let (x, x0) = (
        Array2::from_elem((1, 3), 2.0),
        Array2::from_elem((1, 3), -1.0),
    );
    for (std, draws) in [(0.0, 0), (0.4, 1)] {
        let q = PosteriorCoefficients {
            state: 0.5,
            clean: 0.25,
            std,
        };
        let mut noise = SeededNoise::new(4);
        let found: Array2<f64> = q.sample(&x, &x0, &mut noise).unwrap();
        assert_eq!(noise.draws(), draws);
        let z: Array2<f64> = filled((1, 3), &mut SeededNoise::new(4));
        let off = found - (z * std + 0.75);
        assert!(off.iter().all(|off| off.abs() < 1e-15), "{off}");
    }
}

/// A generator that must not be touched.
struct Untouchable;

impl RngCore for Untouchable {
    fn next_u32(&mut self) -> u32 {
        panic!("noise was drawn");
    }
    fn next_u64(&mut self) -> u64 {
        panic!("noise was drawn");
    }
    fn fill_bytes(&mut self, _: &mut [u8]) {
        panic!("noise was drawn");
    }
}

#[test]
fn deterministic_runs_draw_nothing() {
    use gaussian_diffusion::{GaussianMixture, Grid, Plan, schedule::Discrete, solver::Ddim};
    let schedule = Discrete::cosine(100).unwrap();
    let plan = Plan::new(
        &schedule,
        &Grid::trailing(&schedule, 9).unwrap(),
        &Ddim::default(),
    )
    .unwrap();
    let mut net = GaussianMixture::point(&[0.5]).unwrap();
    let x = plan
        .sample(Array2::<f64>::ones((2, 1)), &mut net, &mut Untouchable)
        .unwrap();
    assert!(x.iter().all(|x| (x - 0.5).abs() < 1e-12));
}

/// A sweep tells of a NaN in its first state also where nothing but noise is added, from every source.
#[test]
fn sweeps_with_noise_alone_watch() {
    use gaussian_diffusion::{
        NoiseLevel,
        noise::{BrownianPath, Interval, TorchCpu},
        state::Assignment,
    };
    let level = |alpha, sigma| NoiseLevel::new(alpha, sigma).unwrap();
    let over = Some(Interval {
        from: level(0.6, 0.8),
        to: level(0.8, 0.6),
    });
    let sources: [Box<dyn NoiseSource<Array2<f64>>>; 4] = [
        Box::new(SeededNoise::new(1)),
        Box::new(BrownianPath::new(SeededNoise::new(1))),
        Box::new(TorchCpu::new(1)),
        Box::new(StdRng::seed_from_u64(1)),
    ];
    for mut source in sources {
        for own in [0.0, 0.5, 1.0] {
            for bad in [false, true] {
                let mut x = Array2::<f64>::ones((2, 300));
                if bad {
                    x[[1, 299]] = f64::NAN;
                }
                let noisy = [Assignment::new(0, own, &[]).with_noise(true)];
                let scale = Scale::Same(0.5);
                let finite = source.sweep(&mut [&mut x], &[], &noisy, scale, over);
                assert_eq!(finite.unwrap(), !bad, "own {own}");
            }
        }
    }
}

/// A few numbers of a generator are those of rand_distr, by whatever way they come.
#[test]
fn a_few_numbers_of_a_generator_are_taken_one_by_one() {
    use gaussian_diffusion::{
        rand::Rng,
        rand_distr::StandardNormal,
        state::{Assignment, State},
    };
    for length in [0, 1, 2, 17, 63] {
        let mut rng = StdRng::seed_from_u64(3);
        let z: Vec<f64> = (0..length).map(|_| rng.sample(StandardNormal)).collect();
        let start = Array1::<f64>::from_elem(length, 0.5);
        let expected = Array1::from_iter(z.iter().map(|z| 0.5 + 0.25 * z));
        let mut added = start.clone();
        StdRng::seed_from_u64(3)
            .add(&mut added, Scale::Same(0.25), None)
            .unwrap();
        let mut swept = start.clone();
        let noisy = [Assignment::new(0, 1.0, &[]).with_noise(true)];
        StdRng::seed_from_u64(3)
            .sweep(&mut [&mut swept], &[], &noisy, Scale::Same(0.25), None)
            .unwrap();
        let mut filled = start.clone();
        NoiseSource::fill(&mut StdRng::seed_from_u64(3), &mut filled).unwrap();
        assert_eq!(
            (added, swept, filled.to_vec()),
            (expected.clone(), expected, z)
        );
        assert_eq!(start.items(), length);
    }
}

/// Moments, tails and a Kolmogorov-Smirnov test of two million numbers of a fixed seed, each at a
/// significance of 1e-4 (3.9 deviations; 2.23 for the KS statistic times the root of n).
fn standard_normal(z: &Array1<f64>) {
    let n = z.len() as f64;
    let moment = |k: i32| z.mapv(|z| z.powi(k)).sum() / n;
    for (k, expected, variance) in [
        (1, 0.0, 1.0_f64),
        (2, 1.0, 2.0),
        (3, 0.0, 15.0),
        (4, 3.0, 96.0),
    ] {
        let deviation = (moment(k) - expected) / (variance / n).sqrt();
        assert!(deviation.abs() < 3.9, "moment {k}: {deviation} deviations");
    }
    for bound in [1.0, 2.0, 3.0, 4.0] {
        let p = libm::erfc(bound / 2.0_f64.sqrt());
        let count = z.iter().filter(|z| z.abs() > bound).count() as f64;
        let deviation = (count - n * p) / (n * p * (1.0 - p)).sqrt();
        assert!(
            deviation.abs() < 3.9,
            "beyond {bound}: {deviation} deviations"
        );
    }
    let mut sorted = z.to_vec();
    sorted.sort_by(f64::total_cmp);
    let statistic = sorted.iter().enumerate().fold(0.0_f64, |worst, (i, z)| {
        let cdf = 0.5 * libm::erfc(-z / 2.0_f64.sqrt());
        worst
            .max((cdf - i as f64 / n).abs())
            .max((cdf - (i + 1) as f64 / n).abs())
    });
    assert!(statistic * n.sqrt() < 2.23, "KS {}", statistic * n.sqrt());
}

#[test]
fn seeded_noise_is_standard_normal() {
    // Across elements, items and draws, so that each part of the counter is exercised.
    standard_normal(&Array1::from_iter(filled(
        (2, 1_000_000),
        &mut SeededNoise::new(1),
    )));
    standard_normal(&Array1::from_iter(filled(
        (1_000_000, 2),
        &mut SeededNoise::new(2),
    )));
    let mut noise = SeededNoise::new(3);
    let many: Vec<f64> = (0..20_000)
        .flat_map(|_| filled((5, 2), &mut noise).into_iter().collect::<Vec<_>>())
        .collect();
    standard_normal(&Array1::from(many));
}

#[test]
fn elements_items_and_draws_are_uncorrelated() {
    let mut noise = SeededNoise::new(11);
    let (a, b) = (
        filled((2, 500_000), &mut noise),
        filled((2, 500_000), &mut noise),
    );
    let n = 500_000.0_f64;
    let pairs = [
        (a.row(0).to_owned(), a.row(1).to_owned()),
        (a.row(0).to_owned(), b.row(0).to_owned()),
        (
            a.row(0).slice_axis(Axis(0), (1..).into()).to_owned(),
            a.row(0).slice_axis(Axis(0), (..499_999).into()).to_owned(),
        ),
        (
            a.row(0).slice_axis(Axis(0), (2..).into()).to_owned(),
            a.row(0).slice_axis(Axis(0), (..499_998).into()).to_owned(),
        ),
    ];
    for (x, y) in pairs {
        // 3.9 deviations: significance 1e-4.
        assert!(x.dot(&y).abs() < 3.9 * n.sqrt(), "{}", x.dot(&y) / n.sqrt());
        let (x2, y2) = (x.mapv(|x| x * x - 1.0), y.mapv(|y| y * y - 1.0));
        assert!(
            x2.dot(&y2).abs() < 3.9 * 2.0 * n.sqrt(),
            "{}",
            x2.dot(&y2) / n.sqrt()
        );
    }
}

#[test]
fn any_generator_serves() {
    let mut z = Array1::<f64>::zeros(2_000_000);
    StdRng::seed_from_u64(5)
        .add(&mut z, Scale::Same(1.0), None)
        .unwrap();
    standard_normal(&z);
    let mut boxed: Box<dyn RngCore> = Box::new(StdRng::seed_from_u64(5));
    let mut again = Array1::<f64>::zeros(2_000_000);
    boxed.add(&mut again, Scale::Same(1.0), None).unwrap();
    assert_eq!(z, again);
}
