//! The law of the increments of a Brownian path.

use std::f64::consts::FRAC_PI_2;

use gaussian_diffusion::{
    NoiseLevel, SeededNoise,
    noise::{BrownianPath, Interval, NoiseSource, Scale},
};
use ndarray::{Array1, Array2, Axis};

/// The level at this angle in quarter turns, which is the clock of the path.
fn level(u: f64) -> NoiseLevel {
    if u == 0.0 {
        return NoiseLevel::CLEAN;
    }
    if u == 1.0 {
        return NoiseLevel::NOISE;
    }
    let (sin, cos) = (u * FRAC_PI_2).sin_cos();
    NoiseLevel::new(cos, sin).unwrap()
}

/// Normalised increments of 8 000 paths.
fn draws(seed: u64, from: f64, to: f64) -> Array1<f64> {
    let mut z = Array1::zeros(8_000);
    let over = Interval {
        from: level(from),
        to: level(to),
    };
    let mut path = BrownianPath::new(SeededNoise::new(seed));
    path.add(&mut z, Scale::Same(1.0), Some(over)).unwrap();
    z
}

/// Intervals from the whole to one of 1e-6, at places with and without a short binary form.
const INTERVALS: [(f64, f64); 7] = [
    (1.0, 0.0),
    (0.5, 0.25),
    (0.75, 0.1),
    (0.333, 0.3),
    (0.9, 0.899),
    (0.500_001, 0.5),
    (0.2, 0.0),
];

/// Moments to five standard errors, the distance of Kolmogorov and Smirnov at a significance of 1e-6.
#[test]
fn increments_are_standard_normal() {
    for (seed, (from, to)) in INTERVALS.into_iter().enumerate() {
        let z = draws(seed as u64, from, to);
        let n = z.len() as f64;
        for (power, exact, variance) in
            [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)]
        {
            let moment = z.mapv(|z: f64| z.powi(power)).mean().unwrap();
            let off = (moment - exact) / (variance / n).sqrt();
            assert!(
                off.abs() < 5.0,
                "moment {power} over {from}..{to}: {moment}"
            );
        }
        let mut sorted = z.to_vec();
        sorted.sort_by(f64::total_cmp);
        let distance = sorted.iter().enumerate().fold(0.0_f64, |worst, (i, z)| {
            let cdf = 0.5 * libm::erfc(-z / 2f64.sqrt());
            worst
                .max((cdf - i as f64 / n).abs())
                .max((cdf - (i + 1) as f64 / n).abs())
        });
        // 2 exp(-2 n d^2) = 1e-6.
        assert!(
            distance < (2e6_f64.ln() / (2.0 * n)).sqrt(),
            "{from}..{to}: {distance}"
        );
    }
}

/// The correlation of two increments is the length of what they share over the root of the product of
/// their lengths: 0 where they do not overlap, also where they touch.
#[test]
fn increments_share_what_they_overlap() {
    for (a, b) in [
        ((1.0, 0.5), (0.5, 0.0)),
        ((0.8, 0.7), (0.7, 0.3)),
        ((0.9, 0.6), (0.4, 0.1)),
        ((0.8, 0.3), (0.5, 0.2)),
        ((0.7, 0.1), (0.4, 0.3)),
    ] {
        let (x, y) = (draws(9, a.0, a.1), draws(9, b.0, b.1));
        let shared = (a.0.min(b.0) - a.1.max(b.1)).max(0.0);
        let exact = shared / ((a.0 - a.1) * (b.0 - b.1)).sqrt();
        let n = x.len() as f64;
        let off = ((&x * &y).mean().unwrap() - exact) / ((1.0 + exact * exact) / n).sqrt();
        assert!(off.abs() < 5.0, "{a:?} and {b:?}: {off} standard errors");
    }
    // Other seeds, and the two elements that share a block, are other paths.
    let (x, y) = (draws(1, 0.8, 0.2), draws(2, 0.8, 0.2));
    assert!((&x * &y).mean().unwrap().abs() < 5.0 / (x.len() as f64).sqrt());
    let mut pair = Array2::<f64>::zeros((8_000, 2));
    let over = Interval {
        from: level(0.8),
        to: level(0.2),
    };
    let mut path = BrownianPath::new(SeededNoise::new(4));
    path.add(&mut pair, Scale::Same(1.0), Some(over)).unwrap();
    let (x, y) = (pair.index_axis(Axis(1), 0), pair.index_axis(Axis(1), 1));
    assert!((&x * &y).mean().unwrap().abs() < 5.0 / (x.len() as f64).sqrt());
}

#[test]
fn touching_increments_add_up() {
    let places = [1.0, 0.93, 0.5, 0.499_999, 0.25, 0.1, 1e-3, 0.0];
    let whole = draws(3, 1.0, 0.0);
    let mut sum = Array1::<f64>::zeros(whole.len());
    for pair in places.windows(2) {
        let length = f64::sqrt(pair[0] - pair[1]);
        sum += &(draws(3, pair[0], pair[1]) * length);
    }
    let worst = (sum - whole)
        .mapv(f64::abs)
        .fold(0.0, |a: f64, b| a.max(*b));
    assert!(worst < 1e-10, "{worst:e}");
}

/// Numbers of a seed are part of the interface: at places inside the finest cells, whose ends are drawn.
#[test]
fn paths_of_a_seed_stay_what_they_are() {
    for (from, to, wanted) in [
        (
            0.9,
            0.123_4,
            [
                0.048_869_442_496_258_575,
                0.643_736_317_605_838_4,
                -0.303_949_771_688_148_7,
            ],
        ),
        (
            0.500_001,
            0.333_3,
            [
                0.189_596_144_111_305_57,
                1.318_767_888_024_435,
                -0.449_952_753_033_784_1,
            ],
        ),
    ] {
        let found = draws(11, from, to);
        for (found, wanted) in found.iter().zip(wanted) {
            // The places themselves are rounded: 1e-16 of them is the root of that in a path.
            assert!((found - wanted).abs() < 1e-9, "{from}..{to}: {found:?}");
        }
    }
}

/// An item has the same path alone and in any batch, whatever was drawn before, and up as down.
#[test]
fn paths_belong_to_items() {
    let over = |from, to| {
        Some(Interval {
            from: level(from),
            to: level(to),
        })
    };
    let mut many = Array2::<f64>::zeros((5, 3));
    let mut one = Array2::<f64>::zeros((1, 3));
    let mut path = BrownianPath::new(SeededNoise::new(8));
    path.add(&mut many, Scale::Same(1.0), None).unwrap();
    many.fill(0.0);
    path.add(&mut many, Scale::Same(1.0), over(0.6, 0.2))
        .unwrap();
    for item in 0..5 {
        one.fill(0.0);
        let mut alone = BrownianPath::new(SeededNoise::new(8).with_first_item(item));
        alone
            .add(&mut one, Scale::Same(1.0), over(0.2, 0.6))
            .unwrap();
        assert_eq!(one.row(0), many.row(item as usize));
    }
    let error = path
        .add(&mut many, Scale::Same(1.0), over(0.5, 0.5))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "length of the interval of a draw is 0, allowed: above 0"
    );
}

/// A restart goes through levels again; its noise is not that of the first time.
#[test]
fn a_way_gone_again_draws_anew() {
    use gaussian_diffusion::{
        Grid, LogSnr, Plan, noise::BrownianPath, plan::Restart, schedule::Cosine, solver::Ddpm,
    };
    let snr = |snr: f64| LogSnr::new(snr).unwrap();
    let restart = Restart {
        high: snr(-2.0),
        low: snr(2.0),
        steps: 4,
        times: 2,
    };
    let grid = Grid::uniform_log_snr_between(&Cosine, 9, snr(-4.0), snr(4.0)).unwrap();
    let plan = Plan::restarting(&Cosine, &grid, &Ddpm::default(), &[restart]).unwrap();
    let draws: Vec<_> = plan.stages().iter().map(|stage| stage.over).collect();
    for (i, over) in draws.iter().enumerate() {
        let again = over.from != over.to && draws[..i].contains(over);
        assert!(!again, "{over:?} twice");
    }
    // The same seed still gives the same result.
    let run = || {
        let mut noise = BrownianPath::new(SeededNoise::new(3));
        let mut net = gaussian_diffusion::GaussianMixture::isotropic(&[(1.0, [0.3], 0.2)]).unwrap();
        let start = ndarray::array![[0.7_f64]];
        plan.sample(start, &mut net, &mut noise).unwrap()
    };
    assert_eq!(run(), run());
}

/// Within the finest intervals, of 2^-32, a path is a straight line: the same slope in both halves of one.
#[test]
fn paths_are_straight_within_the_finest_intervals() {
    let place = |part: f64| 0.5 + part / 4_294_967_296.0;
    let slope = |from: f64, to: f64| {
        draws(5, place(from), place(to)).mapv(|z| z / (place(from) - place(to)).sqrt())
    };
    let (upper, lower) = (slope(0.9, 0.6), slope(0.4, 0.1));
    let off = (&upper - &lower).mapv(f64::abs) / upper.mapv(f64::abs);
    // Places are known to 1e-16, of a width of 2e-10 the 2e-6th part.
    assert!(off.iter().all(|off| *off < 1e-4), "{:?}", off.first());
    // The interval beside it has another.
    let other = slope(-0.1, -0.4);
    assert!((&upper - &other).iter().all(|off| off.abs() > 1e-4));
}
