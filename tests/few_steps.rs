//! Training of networks of few steps: targets against forward differentiation in torch, formulas of the papers and
//! flows in closed form.

use gaussian_diffusion::{
    Grid, NoiseLevel, Parameterization, Plan, Point, SeededNoise, Sigma, SigmaData, Step, Time,
    denoiser::{Denoiser, trigflow},
    predicts,
    rand::{SeedableRng, rngs::StdRng},
    schedule::{Cosine, Discrete, Edm, NoiseSchedule, RectifiedFlow},
    solver::Ddim,
    training::{
        consistency::{Curriculum, Tangent},
        distribution_matching_target, flow_map, progressive_target,
        times::{Intervals, LogNormal, LogitNormalTime, Pairs, TimeSampler, UniformTime, Uniforms},
    },
};
use ndarray::{Array1, Array2, array};
use serde_json::Value;

fn reference() -> Value {
    serde_json::from_str(include_str!("reference/training.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

fn table(value: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = serde_json::from_value(value.clone()).unwrap();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
}

fn most(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    (a - b).iter().fold(0.0, |most, d| most.max(d.abs()))
}

fn time(t: f64) -> Time {
    Time::new(t).unwrap()
}

/// The points of the reference.
fn points() -> (Array2<f64>, Array2<f64>) {
    let x = |(i, k): (usize, usize)| 2.0 * (1.3 * i as f64 + 0.7 * k as f64 + 0.2).sin();
    let z = |(i, k): (usize, usize)| {
        let i = i as f64;
        1.5 * (2.1 * i - 0.4 * k as f64 + 0.37 * i * i).cos()
    };
    (
        Array2::from_shape_fn((4, 3), x),
        Array2::from_shape_fn((4, 3), z),
    )
}

#[test]
fn curricula_are_those_of_the_papers() {
    let levels = |curriculum: Curriculum, key: &str| {
        for pair in reference()[key].as_array().unwrap() {
            let (update, wanted) = (pair[0].as_u64().unwrap(), pair[1].as_u64().unwrap());
            assert_eq!(curriculum.levels(update) as u64, wanted, "{key} {update}");
        }
    };
    levels(Curriculum::improved(400_000).unwrap(), "doubling");
    levels(Curriculum::doubling(3, 50, 1000).unwrap(), "doubling_odd");
    let first = Curriculum::square_root(2, 200, 800_000).unwrap();
    levels(first, "square_root");
    // The decay begins at its initial value, and ends at 0.95^(2 / 201).
    assert_eq!(first.decay(0, 0.95).unwrap(), 0.95);
    assert!((first.decay(800_000, 0.95).unwrap() - 0.95_f64.powf(2.0 / 201.0)).abs() < 1e-15);
    assert_eq!(first.levels(u64::MAX), 201);
    // Where the square of the first counts: by hand, sqrt(16400.5) - 1 = 127.06 half way, and 128 intervals.
    let late = Curriculum::square_root(100, 150, 10).unwrap();
    assert_eq!(
        [0, 3, 5, 9, 10, 11].map(|k| late.levels(k)),
        [100, 118, 129, 147, 151, 151]
    );
    // Fewer updates than doublings.
    let short = Curriculum::improved(3).unwrap();
    assert_eq!(
        (short.levels(0), short.levels(1), short.levels(3)),
        (11, 21, 81)
    );
    let message =
        |result: Result<Curriculum, gaussian_diffusion::Error>| result.unwrap_err().to_string();
    assert_eq!(
        message(Curriculum::doubling(0, 5, 10)),
        "first number of intervals is 0, allowed: 1 to 1000000"
    );
    assert_eq!(
        message(Curriculum::square_root(10, 5, 10)),
        "last number of intervals is 5, allowed: 10 to 1000000"
    );
    assert_eq!(
        message(Curriculum::improved(0)),
        "number of updates is 0, allowed: 1 or more"
    );
    for bad in [1.0, -1e-9, f64::NAN] {
        assert_eq!(
            message(first.decay(0, bad).map(|_| first)),
            format!("initial decay is {}, allowed: 0 to below 1", bad)
        );
    }
    assert_eq!(first.decay(0, 0.0).unwrap(), 0.0);
}

#[test]
fn the_constant_of_the_loss_grows_with_the_root_of_the_elements() {
    for (elements, wanted) in [(1, 5.4e-4), (4, 1.08e-3), (10_000, 0.054)] {
        let found = gaussian_diffusion::training::consistency::huber_constant(elements);
        assert!((found / wanted - 1.0).abs() < 1e-14, "{elements}: {found}");
    }
}

#[test]
fn intervals_have_the_shares_of_improved_consistency_training() {
    let ict = &reference()["ict"];
    let grid = Grid::karras(&Edm::default(), 11).unwrap();
    let sigmas: Vec<Sigma> = grid.nodes().iter().rev().map(|node| node.time).collect();
    for (found, wanted) in sigmas.iter().zip(numbers(&ict["sigmas"])) {
        assert!((found.get() / wanted - 1.0).abs() < 1e-13);
    }
    let sampler = Intervals::new(&LogNormal::ict(), &sigmas).unwrap();
    for (i, share) in numbers(&ict["shares"]).into_iter().enumerate() {
        let step = Step::new(i);
        assert!((sampler.density(step) - share).abs() < 1e-14, "{i}");
        let weight = numbers(&ict["weights"])[i];
        assert!((sampler.inverse_length(step).unwrap() / weight - 1.0).abs() < 1e-11);
        assert_eq!(sampler.ends(step).unwrap(), (sigmas[i], sigmas[i + 1]));
    }
    assert_eq!(sampler.density(Step::new(10)), 0.0);
    assert_eq!(
        sampler.ends(Step::new(10)).unwrap_err().to_string(),
        "step is 10, allowed: the whole steps 0 to 9"
    );
    // Uniform times have shares as long as the intervals; quantile and cdf are inverse.
    let times = [0.0, 0.1, 0.4, 1.0].map(time);
    let sampler = Intervals::new(&UniformTime::default(), &times).unwrap();
    for (i, share) in [0.1, 0.3, 0.6].into_iter().enumerate() {
        assert!((sampler.density(Step::new(i)) - share).abs() < 1e-15);
        let middle = sampler.cdf(Step::new(i)) - 0.5 * share;
        assert_eq!(sampler.quantile(middle).unwrap(), Step::new(i));
        assert!(
            (sampler.cdf_before(Step::new(i)) - (sampler.cdf(Step::new(i)) - share)).abs() < 1e-15
        );
    }
    let message = |times: &[Time]| {
        Intervals::new(&UniformTime::default(), times)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        message(&[time(0.2)]),
        "number of steps is 0, allowed: 1 to 16777216"
    );
    assert_eq!(
        message(&[time(0.2), time(0.2)]),
        "times[1] is 0.2, allowed: above 0.2"
    );
    assert_eq!(
        message(&[time(2.0), time(3.0)]),
        "share between the ends is 0, allowed: 1e-6 or more"
    );
}

#[test]
fn pairs_are_ordered_and_as_often_equal_as_asked() {
    let (count, share) = (40_000, 0.75);
    let sampler = LogitNormalTime::new(-0.4, 1.0).unwrap();
    let pairs = Pairs::new(sampler, share).unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    let (late, early) = pairs.draw(Uniforms::Independent, count, &mut rng).unwrap();
    let equal = late.iter().zip(&early).filter(|(t, s)| t == s).count() as f64 / count as f64;
    // 4.5 deviations: significance below 1e-5.
    assert!(
        (equal - share).abs() < 4.5 * (share * (1.0 - share) / count as f64).sqrt(),
        "{equal}"
    );
    // The later of two has the square of the distribution function.
    let median = sampler.quantile(0.5_f64.sqrt()).unwrap();
    let below = late.iter().filter(|t| **t <= median).count() as f64 / count as f64;
    assert!(
        (below - 0.5).abs() < 4.5 * 0.5 / (count as f64).sqrt(),
        "{below}"
    );
    assert!(late.iter().zip(&early).all(|(t, s)| s <= t));
    for bad in [-0.1, 1.1, f64::NAN] {
        assert!(Pairs::new(sampler, bad).is_err());
    }
}

/// torch differentiates `f` itself along the path; here its parts are put together.
#[test]
fn tangents_are_the_derivative_of_the_consistency_function() {
    let (x, z) = points();
    let x0 = x * 0.3;
    let scm = &reference()["scm"];
    let times = [0.05, 0.6, 1.1, 1.5].map(time);
    let tangent = Tangent::new(SigmaData::EDM);
    let (state, slope) = tangent.path(&x0, &z, &times).unwrap();
    let (answer, change) = (table(&scm["F"]), table(&scm["dF"]));
    let g = tangent
        .tangent(&state, &slope, &answer, &change, &times)
        .unwrap();
    assert!(most(&g, &table(&scm["g"])) < 1e-14);
    let target = tangent
        .target(&state, &slope, &answer, &change, &times)
        .unwrap();
    assert!(most(&target, &table(&scm["target"])) < 1e-14);
    let target = tangent
        .with_mean_square()
        .target(&state, &slope, &answer, &change, &times)
        .unwrap();
    assert!(most(&target, &table(&scm["target_rms"])) < 1e-14);
    // Without the second part only the velocity is compared.
    let first = tangent.with_warm_up(0.0).unwrap();
    let g = first
        .tangent(&state, &slope, &answer, &change, &times)
        .unwrap();
    for ((i, k), g) in g.indexed_iter() {
        let wanted = -times[i].get().cos().powi(2) * (0.5 * answer[[i, k]] - slope[[i, k]]);
        assert!((g - wanted).abs() < 1e-15);
    }
    // The levels are those of the denoiser's form.
    let level = tangent.level(times[1]).unwrap();
    assert!((trigflow(level, SigmaData::EDM).conditioning - 0.6).abs() < 1e-15);
    let angle = tangent.angle(Sigma::new(0.5).unwrap()).unwrap().get();
    assert!((angle - std::f64::consts::FRAC_PI_4).abs() < 1e-15);
    // At a quarter of a turn nothing is left of the data.
    let end = tangent.level(time(std::f64::consts::FRAC_PI_2)).unwrap();
    assert!(end.is_noise());
    assert!(tangent.level(time(1.6)).is_err() && tangent.level(time(-0.1)).is_err());
    assert!(tangent.with_warm_up(1.5).is_err() && tangent.with_constant(0.0).is_err());
    let error = tangent.tangent(&state, &slope, &answer, &change.t().to_owned(), &times);
    assert_eq!(
        error.unwrap_err().to_string(),
        "dF/dt has shape [3, 4], expected [4, 3]"
    );
}

/// The consistency function of normal data is `x s / std(t)`; along its flow nothing is to be learned, and along a
/// path of the data the mean of the tangent is 0 there too.
#[test]
fn the_exact_consistency_function_has_no_tangent() {
    let (s, d) = (0.8_f64, 0.5_f64);
    let variance = |t: f64| (s * t.cos()).powi(2) + (d * t.sin()).powi(2);
    let answer_at = |x: f64, t: f64| (t.cos() * x - x * s / variance(t).sqrt()) / (t.sin() * d);
    let tangent = Tangent::new(SigmaData::new(d).unwrap());
    for t in [0.1_f64, 0.7, 1.3] {
        let x = 0.9;
        let slope = x * (d * d - s * s) * t.sin() * t.cos() / variance(t);
        // Along the flow, by central differences.
        let h = 1e-5;
        let along = |h: f64| answer_at(x * (variance(t + h) / variance(t)).sqrt(), t + h);
        let change = (along(h) - along(-h)) / (2.0 * h);
        let one = |x: f64| array![[x]];
        let g = tangent
            .tangent(
                &one(x),
                &one(slope),
                &one(answer_at(x, t)),
                &one(change),
                time(t),
            )
            .unwrap();
        assert!(g[[0, 0]].abs() < 1e-8, "{t}: {g}");
    }
}

#[test]
fn mean_velocities_are_those_of_torch() {
    let (x, z) = points();
    let v = z - x * 0.3;
    let (t, s) = (
        [0.9, 0.5, 0.7, 0.3].map(time),
        [0.2, 0.5, 0.0, 0.1].map(time),
    );
    let peer = &reference()["mean_flow"];
    let target = flow_map::mean_velocity(&v, &table(&peer["du"]), &t, &s).unwrap();
    assert!(most(&target, &table(&peer["target"])) < 1e-14);
    let weights = flow_map::adaptive_weights(&numbers(&peer["squares"]), 1e-3, 0.75).unwrap();
    for (found, wanted) in weights.iter().zip(numbers(&peer["weights"])) {
        assert!((found / wanted - 1.0).abs() < 1e-14);
    }
    assert!(flow_map::adaptive_weights(&[1.0], 0.0, 1.0).is_err());
    assert!(flow_map::adaptive_weights(&[1.0], 1.0, -1.0).is_err());
}

/// The flow of normal data in closed form: its mean velocity is the fixed point of all three targets, the
/// derivatives by central differences (errors about 1e-10).
#[test]
fn the_exact_flow_map_is_its_own_target() {
    let deviation = |t: f64| (0.3 * (1.0 - t)).hypot(t);
    let mean = |x: f64, t: f64, s: f64| x * (1.0 - deviation(s) / deviation(t)) / (t - s);
    let velocity = |x: f64, t: f64| x * (t - 0.09 * (1.0 - t)) / deviation(t).powi(2);
    let one = |x: f64| array![[x]];
    let h = 1e-5;
    for (t, m, s) in [(1.0, 0.6, 0.0), (0.8, 0.5, 0.3), (0.4, 0.1, 0.05)] {
        let x = 1.3;
        let u = mean(x, t, s);
        let along = |h: f64| mean(x * deviation(t + h) / deviation(t), t + h, s);
        let change = (along(h) - along(-h)) / (2.0 * h);
        let found =
            flow_map::mean_velocity(&one(velocity(x, t)), &one(change), time(t), time(s)).unwrap();
        assert!((found[[0, 0]] - u).abs() < 1e-8, "{t} {s}");

        let arrived = flow_map::arrive(&one(x), &one(u), time(t), time(s)).unwrap()[[0, 0]];
        assert!((arrived - x * deviation(s) / deviation(t)).abs() < 1e-14);
        let change = (mean(x, t, s + h) - mean(x, t, s - h)) / (2.0 * h);
        let there = one(velocity(arrived, s));
        let found = flow_map::arriving_velocity(&there, &one(change), time(t), time(s)).unwrap();
        assert!((found[[0, 0]] - u).abs() < 1e-8, "{t} {s}");

        let first = mean(x, t, m);
        let half = flow_map::arrive(&one(x), &one(first), time(t), time(m)).unwrap()[[0, 0]];
        let second = one(mean(half, m, s));
        let found = flow_map::two_steps(&one(first), &second, time(t), time(m), time(s)).unwrap();
        assert!((found[[0, 0]] - u).abs() < 1e-14, "{t} {s}");
    }
    let (a, t) = (one(1.0), time(0.5));
    let error = flow_map::two_steps(&a, &a, t, t, t).unwrap_err();
    assert_eq!(
        error.to_string(),
        "length of the way is 0, allowed: other than 0"
    );
    let error = flow_map::mean_velocity(&a, &array![[1.0, 2.0]], t, t).unwrap_err();
    assert_eq!(error.to_string(), "du/dt has shape [1, 2], expected [1, 1]");
    let error = flow_map::arrive(&a, &a, &[t, t], t).unwrap_err();
    assert_eq!(error.to_string(), "times has 2 entries for a batch of 1");
}

#[test]
fn progressive_targets_are_those_of_the_paper() {
    let (x, z) = points();
    let level = |t: f64| Cosine.level(time(t)).unwrap();
    for row in reference()["progressive"].as_array().unwrap() {
        let at = |key: &str| level(row[key].as_f64().unwrap());
        for (key, terms) in [
            ("x", Parameterization::X0),
            ("eps", Parameterization::Noise),
            ("v", Parameterization::Velocity),
        ] {
            let (x_t, x_s) = (x.row(0).to_owned(), z.row(0).to_owned());
            let found = progressive_target(terms, &x_t, at("t"), &x_s, at("s")).unwrap();
            for (found, wanted) in found.iter().zip(numbers(&row[key])) {
                assert!(
                    (found - wanted).abs() < 1e-14,
                    "{row} {key}: {found}, {wanted}"
                );
            }
        }
    }
}

/// A student that answers the target comes in one step of DDIM to where the teacher came in two, whatever its terms.
#[test]
fn a_student_of_the_target_takes_the_teachers_two_steps() {
    let schedule = Discrete::linear(1000, 1e-4, 0.02).unwrap();
    let levels = [999, 600, 250].map(|i| schedule.level(Step::new(i)).unwrap());
    let ends = [
        [levels[0], levels[1], levels[2]],
        [levels[1], levels[2], NoiseLevel::CLEAN],
    ];
    let net = |x: &Array1<f64>| x.mapv(|x| 0.8 * x.tanh() + 0.2 * (2.0 * x).cos());
    let step = |x: &Array1<f64>, eps: &Array1<f64>, t: NoiseLevel, s: NoiseLevel| {
        (x - eps * t.sigma()) / t.alpha() * s.alpha() + eps * s.sigma()
    };
    for [t, m, s] in ends {
        let x = array![0.3, -1.2, 2.0];
        let half = step(&x, &net(&x), t, m);
        let end = step(&half, &net(&half), m, s);
        for terms in [
            Parameterization::X0,
            Parameterization::Noise,
            Parameterization::Velocity,
            Parameterization::Flow,
            Parameterization::Score,
            Parameterization::Edm(SigmaData::EDM),
        ] {
            let target = progressive_target(terms, &x, t, &end, s).unwrap();
            let map = terms.to(Parameterization::Noise, t).unwrap();
            let eps = &x * map.state + &target * map.prediction;
            let off = step(&x, &eps, t, s) - &end;
            assert!(off.iter().all(|d| d.abs() < 1e-12), "{terms:?}: {off}");
        }
    }
    let x = array![1.0];
    for (t, s) in [(levels[1], levels[1]), (levels[2], levels[1])] {
        let error = progressive_target(Parameterization::X0, &x, t, &x, s).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("step[1] has log-SNR"), "{text}");
    }
    // Of these neighbours the two products are one number: there is no step.
    let near = [0.8, 0.8_f64.next_up()].map(|alpha| NoiseLevel::new(alpha, 0.8).unwrap());
    assert_eq!(
        near[0].alpha() * near[1].sigma(),
        near[1].alpha() * near[0].sigma()
    );
    let error = progressive_target(Parameterization::X0, &x, near[0], &x, near[1]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a step between levels so near has no value at alpha = 0.8, sigma = 0.8"
    );
    let other = array![1.0, 2.0];
    let error =
        progressive_target(Parameterization::X0, &x, levels[0], &other, levels[1]).unwrap_err();
    assert_eq!(error.to_string(), "x_s has shape [2], expected [1]");
}

/// The target is off by the difference of the two, in units of the mean distance from the teacher's.
#[test]
fn distribution_matching_moves_towards_the_teacher() {
    let (x, z) = points();
    let (real, fake) = (&z * 0.5, &x * 0.9 + 0.1);
    let target = distribution_matching_target(&x, &real, &fake).unwrap();
    for i in 0..4 {
        let off = (&x.row(i) - &real.row(i)).mapv(f64::abs).mean().unwrap();
        for k in 0..3 {
            let wanted = x[[i, k]] - (fake[[i, k]] - real[[i, k]]) / off;
            assert!((target[[i, k]] - wanted).abs() < 1e-14);
        }
    }
    assert_eq!(distribution_matching_target(&x, &x, &fake).unwrap(), x);
    let error = distribution_matching_target(&x, &array![[1.0]], &fake).unwrap_err();
    assert_eq!(error.to_string(), "real has shape [1, 1], expected [4, 3]");
    let error = distribution_matching_target(&x, &real, &array![[1.0]]).unwrap_err();
    assert_eq!(error.to_string(), "fake has shape [1, 1], expected [4, 3]");
}

/// A flow map as the network of a plan: one step or many come to the same end.
#[test]
fn a_plan_asks_a_flow_map_for_its_own_way() {
    let deviation = |t: f64| (0.3 * (1.0 - t)).hypot(t);
    let mut network = predicts::flow(|x: &Array1<f64>, at: Point<Time>| {
        let (t, s) = (at.from.sigma(), at.to.sigma());
        x * ((1.0 - deviation(s) / deviation(t)) / (t - s))
    });
    let start = array![1.5, -0.2];
    for steps in [1, 2, 5, 40] {
        let grid = Grid::uniform_time(&RectifiedFlow, steps).unwrap();
        let plan = Plan::new(&RectifiedFlow, &grid, &Ddim::default()).unwrap();
        let network: &mut dyn Denoiser<Array1<f64>, Time> = &mut network;
        let end = plan
            .sample(start.clone(), network, &mut SeededNoise::new(0))
            .unwrap();
        assert!(
            (end - &start * 0.3).iter().all(|d| d.abs() < 1e-14),
            "{steps}"
        );
    }
}
