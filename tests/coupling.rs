//! Pairs of noise and data: against exhaustive search, against scipy, POT and torchcfm, and the laws they keep.

use gaussian_diffusion::{
    SeededNoise, Time,
    noise::NoiseSource,
    rand::{SeedableRng, rngs::StdRng},
    training::{
        BrownianBridge,
        coupling::{EntropicPlan, reordered},
    },
};
use ndarray::{Array2, Array3, Axis, array};
use serde_json::Value;

/// The points of `tests/reference/couplings.json`.
fn points(count: usize) -> (Array2<f64>, Array2<f64>) {
    let x = |(i, k): (usize, usize)| 2.0 * (1.3 * i as f64 + 0.7 * k as f64 + 0.2).sin();
    let z = |(i, k): (usize, usize)| {
        let i = i as f64;
        1.5 * (2.1 * i - 0.4 * k as f64 + 0.37 * i * i).cos()
    };
    (
        Array2::from_shape_fn((count, 3), x),
        Array2::from_shape_fn((count, 3), z),
    )
}

fn reference() -> Value {
    serde_json::from_str(include_str!("reference/couplings.json")).unwrap()
}

fn table(value: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = serde_json::from_value(value.clone()).unwrap();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
}

fn most(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    (a - b).iter().fold(0.0, |most, d| most.max(d.abs()))
}

#[cfg(feature = "assignment")]
mod assigned {
    use gaussian_diffusion::{
        noise::Scale,
        training::coupling::{immiscible, optimal_transport},
    };

    use ndarray::Array1;

    use super::*;

    /// The total cost of pairs.
    fn total(x: &Array2<f64>, z: &Array2<f64>, places: &[usize], power: i32) -> f64 {
        let cost = |(i, &j): (usize, &usize)| {
            let off = &x.row(i) - &z.row(j);
            off.dot(&off).sqrt().powi(power)
        };
        places.iter().enumerate().map(cost).sum()
    }

    /// The least of all permutations, one by one.
    fn exhaustive(x: &Array2<f64>, z: &Array2<f64>, power: i32) -> f64 {
        fn over(places: &mut Vec<usize>, k: usize, f: &mut impl FnMut(&[usize])) {
            if k == places.len() {
                return f(places);
            }
            for i in k..places.len() {
                places.swap(k, i);
                over(places, k + 1, f);
                places.swap(k, i);
            }
        }
        let mut least = f64::INFINITY;
        let mut places: Vec<usize> = (0..x.nrows()).collect();
        over(&mut places, 0, &mut |places| {
            least = least.min(total(x, z, places, power));
        });
        least
    }

    #[test]
    fn the_cost_is_the_least_of_all_permutations() {
        let mut noise = SeededNoise::new(3);
        for count in 1..=7 {
            let mut draw = || {
                let mut x = Array2::<f64>::zeros((count, 2));
                noise.add(&mut x, Scale::Same(1.0), None).unwrap();
                x
            };
            let (x, z) = (draw(), draw());
            for (places, power) in [
                (optimal_transport(&x, &z).unwrap(), 2),
                (immiscible(&x, &z).unwrap(), 1),
            ] {
                let (found, least) = (total(&x, &z, &places, power), exhaustive(&x, &z, power));
                assert!(
                    (found - least).abs() < 1e-12,
                    "{count} {power}: {found}, {least}"
                );
            }
        }
    }

    #[test]
    fn the_pairs_are_those_of_scipy() {
        let (x, z) = points(40);
        let z = z * 2.0 + 2.0;
        let pairs =
            |key: &str| -> Vec<usize> { serde_json::from_value(reference()[key].clone()).unwrap() };
        assert_eq!(optimal_transport(&x, &z).unwrap(), pairs("squared"));
        assert_eq!(immiscible(&x, &z).unwrap(), pairs("distance"));
        let costs = &reference()["costs"];
        let found = total(&x, &z, &optimal_transport(&x, &z).unwrap(), 2);
        assert!((found - costs[0].as_f64().unwrap()).abs() < 1e-11);
        // The two costs want different pairs.
        assert_ne!(pairs("squared"), pairs("distance"));
    }

    /// Each noise once, whatever the scale, layout and type of the arrays.
    #[test]
    fn each_noise_is_used_once() {
        let (x, z) = points(64);
        for scale in [1e-90, 1.0, 1e90] {
            let (x, z) = (&x * scale, &z * scale);
            let mut places = optimal_transport(&x, &z).unwrap();
            assert_eq!(
                places,
                optimal_transport(&(&x / scale), &(&z / scale)).unwrap()
            );
            places.sort_unstable();
            assert_eq!(places, (0..64).collect::<Vec<_>>());
        }
        let turned = |a: &Array2<f64>| a.t().as_standard_layout().into_owned().reversed_axes();
        assert_eq!(
            optimal_transport(&turned(&x), &turned(&z)).unwrap(),
            optimal_transport(&x, &z).unwrap()
        );
        // All alike, none, and items without elements.
        let ones = Array2::<f32>::ones((5, 2));
        let mut places = immiscible(&ones, &ones).unwrap();
        places.sort_unstable();
        assert_eq!(places, [0, 1, 2, 3, 4]);
        let none = Array2::<f32>::zeros((0, 3));
        assert_eq!(optimal_transport(&none, &none).unwrap(), [0_usize; 0]);
        let empty = Array2::<f32>::zeros((3, 0));
        assert_eq!(optimal_transport(&empty, &empty).unwrap(), [0, 1, 2]);
        assert_eq!(
            optimal_transport(&ndarray::arr0(1.0), &ndarray::arr0(2.0)).unwrap(),
            [0]
        );
        let error = optimal_transport(&array![[0.0], [1.0]], &array![[0.0]]).unwrap_err();
        assert_eq!(error.to_string(), "noise has shape [1, 1], expected [2, 1]");
        let error = immiscible(&array![0.0, 1.0], &array![0.0, f64::NAN]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "noise[1] is NaN, allowed: -1e100 to 1e100"
        );
        let error = immiscible(&array![0.0, f64::INFINITY], &array![0.0, 1.0]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "data[1] is inf, allowed: -1e100 to 1e100"
        );
    }

    /// Normal data of deviation `s` in pairs of two: sorted lists go together, so that the correlation of data and
    /// noise is the squared mean of the larger of two normals, 1 / pi, and the law of `x_t` has the variance
    /// `(1 - t)^2 s^2 + t^2 + 2 t (1 - t) s / pi`. At the ends it is that of the data and of the noise. Each of the
    /// nine within 4.5 deviations of its estimate: significance below 1e-4.
    #[test]
    fn the_law_of_the_states_between_has_its_closed_form() {
        let (batches, s) = (40_000, 0.6);
        let mut noise = SeededNoise::new(11);
        let draw = |noise: &mut SeededNoise, std: f64| {
            let mut x = Array2::<f64>::zeros((2 * batches, 1));
            noise.add(&mut x, Scale::Same(std), None).unwrap();
            x
        };
        let (x0, eps) = (draw(&mut noise, s), draw(&mut noise, 1.0));
        let mut paired = Array2::<f64>::zeros((2 * batches, 1));
        for i in 0..batches {
            let both = [2 * i, 2 * i + 1];
            let (x0, eps) = (x0.select(Axis(0), &both), eps.select(Axis(0), &both));
            let places = optimal_transport(&x0, &eps).unwrap();
            let eps = reordered(&eps, &places).unwrap();
            both.iter()
                .zip(eps.rows())
                .for_each(|(&i, eps)| paired.row_mut(i).assign(&eps));
        }
        for t in [0.0, 0.2, 0.5, 0.8, 1.0] {
            let x = &x0 * (1.0 - t) + &paired * t;
            // A batch's two are not independent: the mean of their squares is one number.
            let squares = Array1::from_shape_fn(batches, |i| {
                0.5 * (x[[2 * i, 0]].powi(2) + x[[2 * i + 1, 0]].powi(2))
            });
            let wanted = (1.0 - t) * (1.0 - t) * s * s
                + t * t
                + 2.0 * t * (1.0 - t) * s / std::f64::consts::PI;
            let bound = 4.5 * (squares.var(1.0) / batches as f64).sqrt();
            let found = squares.mean().unwrap();
            assert!(
                (found - wanted).abs() < bound,
                "{t}: {found}, {wanted} +- {bound}"
            );
            // It is not the law of independent pairs.
            let independent = (1.0 - t) * (1.0 - t) * s * s + t * t;
            assert!(
                t == 0.0 || t == 1.0 || (found - independent).abs() > bound,
                "{t}"
            );
        }
        // The noise of a batch is the same noise.
        let sorted = |x: &Array2<f64>| {
            let mut all: Vec<f64> = x.iter().copied().collect();
            all.sort_by(f64::total_cmp);
            all
        };
        assert_eq!(sorted(&paired), sorted(&eps));
    }
}

#[test]
fn entropic_plans_are_those_of_pot() {
    let (x, z) = points(6);
    let z = z.select(Axis(0), &[0, 1, 2, 3, 4]);
    for regularization in [0.5, 2.0, 10.0] {
        let plan = EntropicPlan::with_iterations(&x, &z, regularization, 200_000).unwrap();
        let wanted = table(&reference()["sinkhorn"][&format!("{regularization:.1}")]);
        assert!(plan.imbalance() <= 1e-10);
        let off = most(plan.shares(), &wanted);
        assert!(off < 1e-9, "{regularization}: {off}");
    }
    // From a large regularization the way to a small one is short; from the small one itself a thousand iterations
    // leave half of a row's sum missing.
    let (x, z) = points(8);
    let small = EntropicPlan::with_iterations(&x, &z, 1e-3, 100).unwrap();
    assert!(small.imbalance() <= 1e-10, "{}", small.imbalance());
    let (x, z) = points(6);
    // Half of few iterations fall, and the rest is told from.
    let few = EntropicPlan::with_iterations(&x, &z, 1e-3, 10).unwrap();
    assert!(few.imbalance().is_finite(), "{}", few.imbalance());
    // Iterations that do not suffice are told.
    let short = EntropicPlan::with_iterations(&x, &z, 0.5, 3).unwrap();
    assert!(short.imbalance() > 1e-3, "{}", short.imbalance());
}

/// Of two and two the plan is a closed form: the odds of the pairs are those of the kernel.
#[test]
fn an_entropic_plan_of_two_has_a_closed_form() {
    let (x, z): (Array3<f32>, Array3<f32>) = (
        array![[[0.5, 0.0]], [[-1.0, 1.0]]],
        array![[[0.0, 0.0]], [[1.0, 2.0]]],
    );
    let squared = |i: usize, j: usize| -> f64 {
        (0..2)
            .map(|k| f64::from(x[[i, 0, k]] - z[[j, 0, k]]).powi(2))
            .sum()
    };
    // Far below and far above the distances.
    for regularization in [0.01, 1.0, 3.0, 1e4] {
        let log_odds =
            (squared(0, 1) + squared(1, 0) - squared(0, 0) - squared(1, 1)) / regularization;
        // p^2 / (1/2 - p)^2 are the odds, for the share p of each of the two straight pairs.
        let p = 0.5 / (1.0 + (-0.5 * log_odds).exp());
        let plan = EntropicPlan::with_iterations(&x, &z, regularization, 100_000).unwrap();
        assert!(
            (plan.shares()[[0, 0]] - p).abs() < 1e-10,
            "{regularization}"
        );
        assert!(
            (plan.shares()[[1, 0]] - (0.5 - p)).abs() < 1e-10,
            "{regularization}"
        );
    }
}

/// Shares of drawn pairs are those of the plan, each within 4.5 deviations: 30 of them, significance below 3e-4.
#[test]
fn draws_have_the_shares_of_the_plan() {
    let (x, z) = points(6);
    let z = z.select(Axis(0), &[0, 1, 2, 3, 4]);
    let plan = EntropicPlan::new(&x, &z, 5.0).unwrap();
    let (draws, mut rng) = (40_000, StdRng::seed_from_u64(5));
    let mut counts = Array2::<f64>::zeros((6, 5));
    for _ in 0..draws {
        for (i, j) in plan.draw(&mut rng).into_iter().enumerate() {
            counts[[i, j]] += 1.0;
        }
    }
    for ((i, j), count) in counts.indexed_iter() {
        // Each of the data is drawn for once.
        let p = 6.0 * plan.shares()[[i, j]];
        let bound = 4.5 * (p * (1.0 - p) / f64::from(draws)).sqrt();
        assert!((count / f64::from(draws) - p).abs() < bound, "{i} {j}");
    }
}

/// A generator that answers 0.
struct Zeros;

impl gaussian_diffusion::rand::RngCore for Zeros {
    fn next_u32(&mut self) -> u32 {
        0
    }

    fn next_u64(&mut self) -> u64 {
        0
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

#[test]
fn a_pair_of_no_share_is_never_drawn() {
    let x = array![[0.0], [1e3]];
    let plan = EntropicPlan::new(&x, &array![[1e3], [0.0]], 1.0).unwrap();
    assert_eq!(plan.shares(), &array![[0.0, 0.5], [0.5, 0.0]]);
    assert_eq!(plan.draw(&mut Zeros), [1, 0]);
}

/// A generator of the greatest numbers.
struct Ones;

impl gaussian_diffusion::rand::RngCore for Ones {
    fn next_u32(&mut self) -> u32 {
        u32::MAX
    }

    fn next_u64(&mut self) -> u64 {
        u64::MAX
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(u8::MAX);
    }
}

/// Of the greatest number that is drawn, what is left after the last share may be a rounding: the last one is drawn.
#[test]
fn the_greatest_number_draws_the_last_pair() {
    for count in 2..40 {
        let (x, z) = points(count);
        let plan = EntropicPlan::with_iterations(&x, &z, 5.0, 20).unwrap();
        assert_eq!(plan.draw(&mut Ones), vec![count - 1; count]);
    }
}

#[test]
fn plans_refuse_what_has_no_answer() {
    let (x, z) = points(4);
    let refused =
        |plan: Result<EntropicPlan, gaussian_diffusion::Error>| plan.unwrap_err().to_string();
    assert_eq!(
        refused(EntropicPlan::new(&x, &z, 0.0)),
        "regularization is 0, allowed: 1e-100 to 1e100"
    );
    assert_eq!(
        refused(EntropicPlan::with_iterations(&x, &z, 1.0, 0)),
        "limit of iterations is 0, allowed: 1 or more"
    );
    let none = Array2::<f64>::zeros((0, 3));
    assert_eq!(
        refused(EntropicPlan::new(&none, &z, 1.0)),
        "number of data is 0, allowed: 1 or more"
    );
    assert_eq!(
        refused(EntropicPlan::new(&x, &Array2::zeros((4, 2)), 1.0)),
        "noise has shape [4, 2], expected [4, 3]"
    );
    assert_eq!(
        refused(EntropicPlan::new(&(&x * f64::NAN), &z, 1.0)),
        "data[0] is NaN, allowed: -1e100 to 1e100"
    );
    // Distances of any size leave numbers.
    let far = EntropicPlan::new(&(&x * 1e90), &z, 1e-90).unwrap();
    assert!(far.shares().iter().all(|share| share.is_finite()));
    let message =
        |result: Result<Array2<f64>, gaussian_diffusion::Error>| result.unwrap_err().to_string();
    assert_eq!(
        message(reordered(&x, &[0, 1])),
        "places has 2 entries for a batch of 4"
    );
    assert_eq!(
        message(reordered(&x, &[0, 1, 4, 2])),
        "places[2] is 4, allowed: below 4"
    );
}

/// torchcfm counts time from the noise, and adds 1e-8 to `2 t (1 - t)`, which is taken along here.
#[test]
fn bridges_are_those_of_torchcfm() {
    let (x, z) = points(4);
    let e = Array2::from_shape_fn((4, 3), |(i, k)| (0.9 * (3 * i + k) as f64).cos());
    let times = [0.1, 0.5, 0.83, 0.999].map(|t| Time::new(t).unwrap());
    let bridge = BrownianBridge::new(0.7).unwrap();
    let state = bridge.jump(&x, &z, &times, &e).unwrap();
    assert!(most(&state, &table(&reference()["bridge"]["xt"])) < 1e-14);
    let mut velocity = bridge.velocity(&x, &z, &times, &e).unwrap();
    for (i, t) in times.iter().enumerate() {
        let twice = 2.0 * t.get() * (1.0 - t.get());
        for k in 0..3 {
            let straight = z[[i, k]] - x[[i, k]];
            velocity[[i, k]] = straight + (velocity[[i, k]] - straight) * twice / (twice + 1e-8);
        }
    }
    let off = most(&velocity, &table(&reference()["bridge"]["ut"]));
    assert!(off < 1e-11, "{off}");
}

/// The velocity is the slope of the path, by central differences (error about 1e-9), and the score the gradient of
/// the normal law of `x_t` between the ends.
#[test]
fn a_bridge_has_its_slope_and_its_score() {
    let (x, z) = points(2);
    let e = array![[0.3, -1.0, 2.0], [1.0, 0.1, -0.4]];
    let bridge = BrownianBridge::new(0.7).unwrap();
    let time = |t: f64| Time::new(t).unwrap();
    for t in [0.05, 0.4, 0.9] {
        let at = |t| bridge.jump(&x, &z, time(t), &e).unwrap();
        let slope = (at(t + 1e-6) - at(t - 1e-6)) / 2e-6;
        assert!(
            most(&bridge.velocity(&x, &z, time(t), &e).unwrap(), &slope) < 1e-8,
            "{t}"
        );
        let mean = &x * (1.0 - t) + &z * t;
        let variance = 0.49 * t * (1.0 - t);
        let wanted = (mean - at(t)) / variance;
        assert!(
            most(&bridge.score(time(t), &e).unwrap(), &wanted) < 1e-12,
            "{t}"
        );
    }
    let mut noise = SeededNoise::new(3);
    let (drawn, z) = bridge.draw_jump(&x, &z, time(0.3), &mut noise).unwrap();
    let mut eps = x.clone();
    SeededNoise::new(3).fill(&mut eps).unwrap();
    assert_eq!(z, eps);
    // (1 - t) x_0 + t x_1 + 0.7 sqrt(t (1 - t)) eps
    let expected = &x * 0.7 + &points(2).1 * 0.3 + eps * (0.7 * 0.21_f64.sqrt());
    assert!(most(&drawn, &expected) < 1e-14);
    let (x, z) = points(2);
    // Ends are the ends, and have no slope.
    assert_eq!(bridge.jump(&x, &z, time(0.0), &e).unwrap(), x);
    assert_eq!(bridge.jump(&x, &z, time(1.0), &e).unwrap(), z);
    let error = bridge.velocity(&x, &z, time(1.0), &e).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the velocity of a Brownian bridge has no value at alpha = 0, sigma = 1"
    );
    assert!(bridge.score(time(0.0), &e).is_err());
    let error = bridge.jump(&x, &z, time(1.5), &e).unwrap_err();
    assert_eq!(error.to_string(), "time is 1.5, allowed: 0 to 1");
    let error = bridge
        .jump(&x, &e.t().to_owned(), time(0.5), &e)
        .unwrap_err();
    assert_eq!(error.to_string(), "x_1 has shape [3, 2], expected [2, 3]");
    let error = bridge.jump(&x, &z, &[time(0.5)], &e).unwrap_err();
    assert_eq!(error.to_string(), "times has 1 entries for a batch of 2");
    for sigma in [0.0, -1.0, f64::NAN, 1e7] {
        assert!(BrownianBridge::new(sigma).is_err());
    }
    assert!((bridge.regularization() - 0.98).abs() < 1e-15);
}
