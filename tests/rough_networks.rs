//! Adaptive solvers on networks that jump: what they cost, how near they come, and what errors say.

use gaussian_diffusion::{
    Denoiser, Error, LogSnr, NoiseLevel, Point, Prediction, SeededNoise, Sigma, Time,
    likelihood::{Exact, ProbabilityFlow},
    predicts,
    schedule::{Cosine, Edm, RectifiedFlow},
    solver::DpmAdaptive,
    state::Real,
};
use ndarray::{Array2, array};

const VARIANCE: f64 = 0.25;

/// Numbers from -1 to 1 that differ for any two arguments.
fn jump(x: f64, sigma: f64) -> f64 {
    let bits = x.to_bits() ^ sigma.to_bits().rotate_left(17);
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// The exact denoiser of `N(0, VARIANCE)` with a relative error of this size, counting its calls.
fn net<'a, A: Real, T: Copy + 'a>(
    rough: f64,
    calls: &'a mut usize,
) -> impl Denoiser<Array2<A>, T> + 'a {
    predicts::x0(move |x: &Array2<A>, at: Point<T>| {
        *calls += 1;
        let (alpha, sigma) = (at.level.alpha(), at.level.sigma());
        let gain = VARIANCE * alpha / (alpha * alpha * VARIANCE + sigma * sigma);
        x.mapv(|x| A::of(gain * x.get() * (1.0 + rough * jump(x.get(), sigma))))
    })
}

/// Where the exact flow takes `x`.
fn exact(x: f64, from: NoiseLevel, to: NoiseLevel) -> f64 {
    let std = |level: NoiseLevel| (level.alpha().powi(2) * VARIANCE + level.sigma().powi(2)).sqrt();
    x * std(to) / std(from)
}

fn values<A: Real>() -> Array2<A> {
    Array2::from_shape_fn((2, 8), |(i, j)| {
        A::of(0.1 + 0.37 * i as f64 - 0.13 * j as f64)
    })
}

/// Both directions, with the default tolerance: few evaluations, and an error of the size of the jumps, as
/// is told.
fn follows<A: Real>(rough: f64, most: usize) {
    let schedule = RectifiedFlow;
    let time = |t| Time::new(t).unwrap();
    let flow = ProbabilityFlow::between(&schedule, time(0.999), time(0.01)).unwrap();
    let (first, last) = (NoiseLevel::new(0.001, 0.999), NoiseLevel::new(0.99, 0.01));
    let (first, last) = (first.unwrap(), last.unwrap());
    for inverse in [false, true] {
        let mut calls = 0;
        let x = values::<A>();
        let (found, from, to) = match inverse {
            true => (flow.encode(&x, &mut net(rough, &mut calls)), last, first),
            false => (flow.decode(&x, &mut net(rough, &mut calls)), first, last),
        };
        let found = found.unwrap();
        assert_eq!(found.evaluations, calls);
        let off = found
            .value
            .iter()
            .zip(&x)
            .fold(0.0_f64, |worst, (found, x)| {
                worst.max((found.get() - exact(x.get(), from, to)).abs())
            });
        println!(
            "rough {rough:e}, inverse {inverse}: {calls} evaluations, off {off:.1e}, told {:.1e}",
            found.error
        );
        assert!(calls < most, "{rough}: {calls}");
    }
}

#[test]
fn no_network_blows_up_the_default() {
    for rough in [0.0, 1e-7, 1e-5, 1e-3, 1e-1, 1.0] {
        follows::<f64>(rough, 4000);
        follows::<f32>(rough, 4000);
    }
}

#[cfg(feature = "half")]
#[test]
fn half_precision_does_not_blow_up_the_default() {
    for rough in [0.0, 1e-3] {
        follows::<half::bf16>(rough, 4000);
        follows::<half::f16>(rough, 4000);
    }
}

/// The log-density as well.
#[test]
fn log_densities_do_not_blow_up() {
    let schedule = Cosine;
    let time = |t| Time::new(t).unwrap();
    let flow = ProbabilityFlow::between(&schedule, time(0.999), time(0.01)).unwrap();
    let mut calls = 0;
    let mut net = Exact(|x: &Array2<f64>, at: Point<Time>| {
        calls += 1;
        let (alpha, sigma) = (at.level.alpha(), at.level.sigma());
        let gain = VARIANCE * alpha / (alpha * alpha * VARIANCE + sigma * sigma);
        let rough = |x: f64| 1.0 + 1e-3 * jump(x, sigma);
        let trace = x
            .outer_iter()
            .map(|x| x.iter().map(|x| gain * rough(0.5 * x)).sum());
        Ok::<_, Error>((
            Prediction::x0(x.mapv(|x| gain * x * rough(x))),
            trace.collect(),
        ))
    });
    let found = flow.log_density(&values(), &mut net).unwrap();
    println!("log-density: {calls}, told {:?}", found.integration_error);
    assert!(calls < 4000, "{calls}");
    for (found, x) in found.log_density.iter().zip(values::<f64>().outer_iter()) {
        let variance = VARIANCE * (0.01 * std::f64::consts::FRAC_PI_2).cos().powi(2)
            + (0.01 * std::f64::consts::FRAC_PI_2).sin().powi(2);
        let wanted: f64 = x
            .iter()
            .map(|x| -0.5 * (x * x / variance + (std::f64::consts::TAU * variance).ln()))
            .sum();
        let off = found.value.nats().get() - wanted;
        assert!(off.abs() < 0.02, "{off}");
    }
}

/// What is asked for is held to, or refused with the reason.
#[test]
fn tolerance_and_roughness_are_told_apart() {
    let schedule = RectifiedFlow;
    let time = |t| Time::new(t).unwrap();
    let flow = || ProbabilityFlow::between(&schedule, time(0.999), time(0.01)).unwrap();
    let mut calls = 0;
    let asked = flow().with_tolerance(1e-8).unwrap();
    let error = asked
        .encode(&values::<f64>(), &mut net(1e-3, &mut calls))
        .unwrap_err();
    println!("{error}");
    let Error::Rough {
        tolerance,
        possible,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert!(
        tolerance == 1e-8 && possible > 1e-8 && possible < 1e-3,
        "{possible}"
    );
    assert!(calls < 1000, "{calls}");
    let mut calls = 0;
    let looser = flow().with_tolerance(4.0 * possible).unwrap();
    looser
        .encode(&values::<f64>(), &mut net(1e-3, &mut calls))
        .unwrap();
    assert!(calls <= 20_010, "{calls}");

    let mut calls = 0;
    let little = flow().with_tolerance(1e-13).unwrap().with_limit(100);
    let error = little
        .encode(&values::<f64>(), &mut net(0.0, &mut calls))
        .unwrap_err();
    println!("{error}");
    assert!(
        matches!(error, Error::Unfinished { done, .. } if done > 0.0 && done < 1.0),
        "{error}"
    );
    assert!((80..=100).contains(&calls), "{calls}");
}

/// The same of the adaptive DPM-Solver: at tolerances that no network of such jumps can meet.
#[test]
fn adaptive_dpm_solvers_do_not_blow_up() {
    let schedule = Edm::default();
    let snr = |sigma| LogSnr::from_sigma(Sigma::new(sigma).unwrap());
    for order in [2, 3] {
        for (rough, tolerance) in [(1e-3, 1e-8), (1e-1, 1e-6), (1.0, 1e-5)] {
            let mut calls = 0;
            let solver = DpmAdaptive::new(order).unwrap();
            let strict = solver
                .clone()
                .with_tolerances(tolerance, tolerance)
                .unwrap();
            let (from, to) = (snr(80.0), snr(0.01));
            let x = array![[80.0, -30.0, 5.0]];
            let mut noise = SeededNoise::new(0);
            let error = strict
                .sample(
                    &schedule,
                    from,
                    to,
                    x.clone(),
                    &mut net::<f64, _>(rough, &mut calls),
                    &mut noise,
                )
                .unwrap_err();
            println!("{order}, {rough}: {error}, {calls}");
            assert!(matches!(error, Error::Rough { .. }), "{error}");
            assert!(calls < 3000, "{calls}");
            // The default is not one of them.
            let mut calls = 0;
            solver
                .sample(
                    &schedule,
                    from,
                    to,
                    x,
                    &mut net::<f64, _>(rough, &mut calls),
                    &mut noise,
                )
                .unwrap();
            println!("{order}, {rough}: {calls} by default");
            assert!(calls < 3000, "{calls}");
        }
        // A smooth network that needs more than it may have.
        let mut calls = 0;
        let solver = DpmAdaptive::new(order).unwrap().with_limit(20);
        let solver = solver.with_tolerances(1e-9, 1e-9).unwrap();
        let error = solver
            .sample(
                &schedule,
                snr(80.0),
                snr(0.01),
                array![[80.0]],
                &mut net::<f64, _>(0.0, &mut calls),
                &mut SeededNoise::new(0),
            )
            .unwrap_err();
        println!("{error}");
        assert!(matches!(error, Error::Unfinished { .. }), "{error}");
    }
}
