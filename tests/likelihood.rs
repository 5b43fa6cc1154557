//! Exact likelihoods, latents, the densities of steps, and units.

mod common {
    pub mod levels;
}

use std::f64::consts::{LN_2, TAU};

use common::levels::{snr, time};
use gaussian_diffusion::{
    Denoiser, Error, GaussianMixture, Grid, ModelVariance, NoiseLevel, NoiseSchedule,
    Parameterization, Plan, Point, Prediction, SeededNoise, Step, Time,
    likelihood::{
        BitsPerDim, Estimate, Exact, Hutchinson, LogDensity, LogProbability, Nats, ProbabilityFlow,
        step_log_density,
    },
    predicts,
    rand::{SeedableRng, rngs::StdRng},
    schedule::{Cosine, Discrete, Edm, LogSnrLinear, RectifiedFlow, Shifted, VpLinear},
    solver::{Ddim, Ddpm},
};
use ndarray::{Array2, ArrayD, Axis, IxDyn, array};

/// Three dimensions, correlated, two modes.
fn data() -> GaussianMixture {
    let (c, s) = (0.8, 0.6);
    let axes = array![[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]];
    let other = array![[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]];
    GaussianMixture::rotated(&[
        (0.4, &[-1.0, 0.3, 0.0][..], &[0.3, 0.05, 0.2][..], axes),
        (0.6, &[0.7, -0.2, 0.5][..], &[0.1, 0.4, 0.02][..], other),
    ])
    .unwrap()
}

fn points(count: usize) -> Array2<f64> {
    data().sample(count, &mut StdRng::seed_from_u64(17))
}

fn row(x: &Array2<f64>, i: usize) -> Vec<f64> {
    x.row(i).to_vec()
}

/// The divergence of the posterior mean by central differences.
fn by_differences(data: &GaussianMixture, x: &[f64], level: NoiseLevel) -> f64 {
    let h = 1e-5;
    let along = |j: usize| {
        let at = |sign: f64| {
            let mut x = x.to_vec();
            x[j] += sign * h;
            data.posterior_mean(&x, level).unwrap()[j]
        };
        (at(1.0) - at(-1.0)) / (2.0 * h)
    };
    (0..x.len()).map(along).sum()
}

#[test]
fn the_divergence_of_a_mixture_is_that_of_finite_differences() {
    let data = data();
    for (alpha, sigma) in [
        (0.999, 0.02),
        (0.8, 0.6),
        (0.1, 0.9),
        (0.0, 1.0),
        (1.0, 7.0),
    ] {
        let level = NoiseLevel::new(alpha, sigma).unwrap();
        for i in 0..5 {
            let x = row(&points(5), i);
            let found = data.posterior_mean_divergence(&x, level).unwrap();
            let expected = by_differences(&data, &x, level);
            assert!((found - expected).abs() < 2e-7, "{found} for {expected}");
        }
    }
    let point = GaussianMixture::point(&[1.0]).unwrap();
    let clean = point.posterior_mean_divergence(&[1.0], NoiseLevel::CLEAN);
    assert_eq!(clean.unwrap(), 0.0);
}

/// Runs the check on a schedule whose noise end leaves less than 1e-7 nats of the data.
fn check_density<S: NoiseSchedule>(name: &str, schedule: &S, ends: (S::Time, S::Time)) {
    let (mut data, x) = (data(), points(12));
    let cleanest = schedule.level(ends.1).unwrap();
    let flow = ProbabilityFlow::between(schedule, ends.0, ends.1).unwrap();
    let found = flow.log_density(&x, &mut data).unwrap();
    let mut worst = (0.0_f64, 0.0_f64);
    for (i, estimate) in found.log_density.iter().enumerate() {
        let exact = data.log_density(&row(&x, i), cleanest).unwrap();
        let off = (estimate.value.nats().get() - exact).abs();
        let reported = found.integration_error[i].get();
        worst = (worst.0.max(off), worst.1.max(reported));
        assert!(off < 1e-6, "{name}: off by {off:e}");
        assert!(
            off < reported + 1e-7,
            "{name}: {off:e} reported as {reported:e}"
        );
        assert_eq!(estimate.standard_error.get(), 0.0);
    }
    // Errors belong to their items: of the same batch turned round they are the same, turned round. Sums of steps
    // round, by the order in which an error of all items is found.
    let last = x.nrows() - 1;
    let turned = Array2::from_shape_fn(x.dim(), |(i, k)| x[[last - i, k]]);
    let turned = flow.log_density(&turned, &mut data).unwrap();
    for (a, b) in found
        .integration_error
        .iter()
        .zip(turned.integration_error.iter().rev())
    {
        assert!(
            (a.get() - b.get()).abs() <= 1e-6 * b.get(),
            "{name}: {a:?} {b:?}"
        );
    }
    println!(
        "{name}: off {:e}, reported {:e}, {} evaluations",
        worst.0, worst.1, found.evaluations
    );
}

#[test]
fn the_flow_carries_the_log_density_of_a_mixture_to_1e_6() {
    check_density("rectified flow", &RectifiedFlow, (time(1.0), time(1e-4)));
    check_density("cosine", &Cosine, (time(1.0), time(1e-4)));
    let linear = LogSnrLinear::new(snr(-36.0), snr(15.0)).unwrap();
    check_density("log-SNR linear", &linear, linear.ends());
    let shifted = Shifted::flow(3.0).unwrap();
    check_density("shifted flow", &shifted, (time(1.0), time(1e-4)));
    let discrete = Discrete::stable_diffusion()
        .unwrap()
        .zero_terminal_snr()
        .unwrap();
    check_density("zero terminal SNR", &discrete, discrete.ends());
}

/// Gaussian data is stretched by the flow: a closed form with any prior and any end.
#[test]
fn gaussian_data_has_its_closed_form_on_a_schedule_that_leaves_some_signal() {
    let v = 4.0;
    let mut data = GaussianMixture::isotropic(&[(1.0, &[0.0, 0.0][..], v)]).unwrap();
    let x = array![[1.0, -2.0], [0.0, 5.0]];
    let edm = Edm::default();
    let vp = VpLinear::new(0.1, 20.0).unwrap();
    let run = |noisiest: NoiseLevel, cleanest: NoiseLevel, found: f64, x: &[f64]| {
        let std = |level: NoiseLevel| (level.alpha() * v.sqrt()).hypot(level.sigma());
        let stretch = std(noisiest) / std(cleanest);
        let prior = noisiest.alpha().hypot(noisiest.sigma());
        let expected: f64 = x
            .iter()
            .map(|x| {
                let z = x * stretch / prior;
                -0.5 * z * z - 0.5 * TAU.ln() - prior.ln() + stretch.ln()
            })
            .sum();
        assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
    };
    let vp_flow = ProbabilityFlow::between(&vp, time(1.0), time(1e-3)).unwrap();
    let edm_flow = ProbabilityFlow::new(&edm).unwrap();
    let (on_vp, on_edm) = (
        vp_flow.log_density(&x, &mut data).unwrap(),
        edm_flow.log_density(&x, &mut data).unwrap(),
    );
    for i in 0..2 {
        let ends = (vp.level(time(1.0)).unwrap(), vp.level(time(1e-3)).unwrap());
        run(
            ends.0,
            ends.1,
            on_vp.log_density[i].value.nats().get(),
            &row(&x, i),
        );
        let (noisiest, cleanest) = edm.ends();
        let ends = (edm.level(noisiest).unwrap(), edm.level(cleanest).unwrap());
        run(
            ends.0,
            ends.1,
            on_edm.log_density[i].value.nats().get(),
            &row(&x, i),
        );
    }
    // The latent is the stretched data.
    let latent = edm_flow.encode(&x, &mut data).unwrap();
    let stretch = (v + 6400.0_f64).sqrt() / (v + 4e-6_f64).sqrt();
    for (z, x) in latent.value.iter().zip(&x) {
        assert!(
            (z - x * stretch).abs() < latent.error.max(1e-9),
            "{z} {x} {}",
            latent.error
        );
    }
}

/// Any parameterization, by a closure: the prediction and its trace are mapped to the flow.
#[test]
fn the_terms_of_a_prediction_do_not_matter() {
    let (mut data, x) = (data(), points(3));
    let flow = ProbabilityFlow::between(&Cosine, time(0.999), time(1e-3)).unwrap();
    let expected = flow.log_density(&x, &mut data).unwrap();
    for parameterization in [
        Parameterization::Noise,
        Parameterization::Velocity,
        Parameterization::Score,
        Parameterization::Flow,
    ] {
        let data = data.clone();
        let mut net = Exact(|x: &Array2<f64>, at: Point<Time>| {
            let prediction = data
                .clone()
                .predict(x, at)?
                .to(parameterization, x, at.level)?;
            let map = Parameterization::X0.to(parameterization, at.level)?;
            let trace = x.outer_iter().map(|row| {
                let inner = data.posterior_mean_divergence(&row.to_vec(), at.level)?;
                Ok(map.state * 3.0 + map.prediction * inner)
            });
            Ok((prediction, trace.collect::<Result<_, Error>>()?))
        });
        let found = flow.log_density(&x, &mut net).unwrap();
        for (a, b) in found.log_density.iter().zip(&expected.log_density) {
            let off = (a.value.nats() - b.value.nats()).get().abs();
            assert!(off < 1e-6, "{parameterization:?}: {off:e}");
        }
    }
}

type Answer = (Prediction<Array2<f64>>, Vec<Array2<f64>>);

/// Predicts the data; products with the symmetric Jacobian by central differences.
fn with_products(
    x: &Array2<f64>,
    at: Point<Time>,
    probes: &[Array2<f64>],
) -> Result<Answer, Error> {
    let h = 1e-5;
    let mut data = data();
    let mut mean = |x: &Array2<f64>| Ok::<_, Error>(data.predict(x, at)?.value);
    let mut products = Vec::new();
    for probe in probes {
        let (ahead, behind) = (mean(&(x + &(probe * h)))?, mean(&(x - &(probe * h)))?);
        products.push((ahead - behind) / (2.0 * h));
    }
    Ok((Prediction::x0(mean(x)?), products))
}

#[test]
fn hutchinson_meets_the_density_within_its_reported_error() {
    let x = points(20);
    let flow = ProbabilityFlow::between(&RectifiedFlow, time(1.0), time(1e-3))
        .unwrap()
        .with_tolerance(1e-6)
        .unwrap();
    let level = NoiseLevel::new(0.999, 1e-3).unwrap();
    let mut noise = SeededNoise::new(18);
    let rademacher = Hutchinson::rademacher(&x, 50, &mut noise, with_products).unwrap();
    let gaussian = Hutchinson::gaussian(&x, 50, &mut noise, with_products).unwrap();
    let mut mean_errors = Vec::new();
    for (name, mut net) in [("Rademacher", rademacher), ("Gaussian", gaussian)] {
        let found = flow.log_density(&x, &mut net).unwrap();
        let (mut squares, mut errors) = (0.0, 0.0);
        for (i, estimate) in found.log_density.iter().enumerate() {
            let exact = data().log_density(&row(&x, i), level).unwrap();
            let error = estimate.standard_error.get();
            let off = (estimate.value.nats().get() - exact) / error;
            // Student's t of 49 degrees beyond 5: p < 1e-5.
            assert!(
                error > 0.0 && off.abs() < 5.0,
                "{name} {i}: {off} deviations"
            );
            squares += off * off / 20.0;
            errors += error / 20.0;
        }
        println!("{name}: mean error {errors}, mean square {squares}");
        // Chi-squared of 20 (widened by t of 49) over 20: inside with p > 0.9999.
        assert!((0.2..2.8).contains(&squares), "{name}: {squares}");
        mean_errors.push(errors);
    }
    assert!(
        mean_errors[0] < mean_errors[1],
        "Rademacher probes vary less"
    );
    let mut single = Hutchinson::rademacher(&x, 1, &mut noise, with_products).unwrap();
    let found = flow.log_density(&x, &mut single).unwrap();
    assert_eq!(found.log_density[0].standard_error.get(), f64::INFINITY);
}

#[test]
fn decoding_returns_what_was_encoded() {
    let (mut data, x) = (data(), points(40));
    let flow = ProbabilityFlow::between(&Cosine, time(1.0), time(1e-4)).unwrap();
    let latent = flow.encode(&x, &mut data).unwrap();
    let back = flow.decode(&latent.value, &mut data).unwrap();
    let off = (&back.value - &x)
        .mapv(f64::abs)
        .fold(0.0_f64, |m, x| m.max(*x));
    println!(
        "round trip off by {off:e}, {} evaluations",
        latent.evaluations
    );
    assert!(off < 1e-6, "{off:e}");
    assert!(latent.error > 0.0 && latent.error < 1e-5);
    // The same latent as the likelihood's.
    let density = flow.log_density(&x, &mut data).unwrap();
    let off = (&density.latent - &latent.value)
        .mapv(f64::abs)
        .fold(0.0_f64, |m, x| m.max(*x));
    assert!(off < 1e-6, "{off:e}");
    // In one dimension the flow is monotone, so that quantiles stay: Phi(z) = F(x).
    let mut modes =
        GaussianMixture::isotropic(&[(0.3, &[-1.0][..], 0.05), (0.7, &[0.8][..], 0.2)]).unwrap();
    let x = array![[-1.3], [-0.2], [0.1], [0.9], [2.0]];
    let latent = flow.encode(&x, &mut modes).unwrap();
    let phi = |z: f64| 0.5 * libm::erfc(-z / 2.0_f64.sqrt());
    for (x, z) in x.iter().zip(&latent.value) {
        let below = 0.3 * phi((x + 1.0) / 0.05_f64.sqrt()) + 0.7 * phi((x - 0.8) / 0.2_f64.sqrt());
        assert!((phi(*z) - below).abs() < 1e-6, "{x} -> {z}: {below}");
    }
}

/// One item's step sizes are those of the hardest of the batch: its error is no larger than alone.
#[test]
fn batches_of_every_size_shape_and_type() {
    let (mut data, x) = (data(), points(6));
    let flow = ProbabilityFlow::between(&RectifiedFlow, time(1.0), time(1e-3)).unwrap();
    let whole = flow.log_density(&x, &mut data).unwrap();
    let one = x.slice_axis(Axis(0), ndarray::Slice::from(2..3)).to_owned();
    let alone = flow.log_density(&one, &mut data).unwrap();
    let off = alone.log_density[0].value.nats() - whole.log_density[2].value.nats();
    assert!(off.get().abs() < 1e-6);

    let empty = flow
        .log_density(&Array2::<f64>::zeros((0, 3)), &mut data)
        .unwrap();
    assert!(empty.log_density.is_empty() && empty.integration_error.is_empty());
    let none = flow
        .encode(&Array2::<f64>::zeros((0, 3)), &mut data)
        .unwrap();
    assert_eq!(none.value.dim(), (0, 3));

    let tall = ArrayD::from_shape_fn(IxDyn(&[6, 3, 1]), |i| x[[i[0], i[1]]] as f32);
    let flow = flow.with_tolerance(1e-5).unwrap();
    let single = flow.log_density(&tall, &mut data).unwrap();
    assert_eq!(single.latent.shape(), [6, 3, 1]);
    for (a, b) in single.log_density.iter().zip(&whole.log_density) {
        let off = (a.value.nats() - b.value.nats()).get().abs();
        assert!(off < 2e-3, "{off}");
    }
}

#[test]
fn a_discrete_schedule_tells_its_network_steps() {
    let schedule = Discrete::cosine(100).unwrap();
    let flow = ProbabilityFlow::new(&schedule).unwrap();
    let mut times = Vec::new();
    let mut net = predicts::x0(|x: &Array2<f64>, at: Point<Step>| {
        times.push(at.time.get());
        x.mapv(|_| 0.5)
    });
    let latent = flow.encode(&array![[0.5]], &mut net).unwrap();
    assert_eq!(times.first(), Some(&0.0));
    assert_eq!(times.last(), Some(&99.0));
    assert!(times.iter().all(|t| (0.0..=99.0).contains(t)));
    // A point moves on a straight line: x = alpha x_0 + sigma eps with the eps it started with.
    let (first, last) = (schedule.levels()[0], schedule.levels()[99]);
    let eps = (0.5 - first.alpha() * 0.5) / first.sigma();
    let expected = last.alpha() * 0.5 + last.sigma() * eps;
    assert!((latent.value[[0, 0]] - expected).abs() < 1e-12);
}

#[test]
fn what_a_flow_refuses() {
    let text = |error: Error| error.to_string();
    let backward = ProbabilityFlow::between(&Cosine, time(0.1), time(0.9)).unwrap_err();
    assert!(text(backward).starts_with("ends of the flow[1] has log-SNR"));
    let flow = ProbabilityFlow::new(&Cosine).unwrap();
    let shown = format!("{flow:?}");
    assert!(
        shown.starts_with("ProbabilityFlow { noisiest: NoiseLevel"),
        "{shown}"
    );
    assert_eq!(
        text(flow.with_tolerance(0.0).unwrap_err()),
        "tolerance is 0, allowed: 1e-13 to 1"
    );
    // A prediction of the data at a clean end, of the noise at zero SNR.
    let flow = ProbabilityFlow::new(&RectifiedFlow).unwrap();
    let clean = flow.log_density(&points(1), &mut data()).unwrap_err();
    assert_eq!(
        text(clean),
        "a conversion of an x0 prediction has no value at alpha = 1, sigma = 0"
    );
    let flow = ProbabilityFlow::between(&RectifiedFlow, time(0.9), time(0.1)).unwrap();
    let x = points(2);
    let mut short = Exact(|x: &Array2<f64>, _: Point<Time>| {
        Ok::<_, Error>((Prediction::x0(x.clone()), vec![3.0]))
    });
    assert_eq!(
        text(flow.log_density(&x, &mut short).unwrap_err()),
        "divergence has 1 entries for a batch of 2"
    );
    let mut nan = predicts::x0(|x: &Array2<f64>, _: Point<Time>| x * f64::NAN);
    let found = text(flow.encode(&x, &mut nan).unwrap_err());
    assert!(
        found.starts_with("the probability flow holds a NaN"),
        "{found}"
    );
    let mut wide = predicts::x0(|_: &Array2<f64>, _: Point<Time>| Array2::zeros((2, 4)));
    assert_eq!(
        text(flow.encode(&x, &mut wide).unwrap_err()),
        "prediction has shape [2, 4], expected [2, 3]"
    );
    let mut noise = SeededNoise::new(0);
    assert_eq!(
        text(Hutchinson::gaussian(&x, 0, &mut noise, with_products).unwrap_err()),
        "number of probes is 0, allowed: 1 to 16777216"
    );
    let few = |x: &Array2<f64>, _: Point<Time>, _: &[Array2<f64>]| {
        Ok::<_, Error>((Prediction::x0(x.clone()), vec![x.clone()]))
    };
    let mut few = Hutchinson::gaussian(&x, 2, &mut noise, few).unwrap();
    assert!(format!("{few:?}").starts_with("Hutchinson"));
    assert_eq!(
        text(flow.log_density(&x, &mut few).unwrap_err()),
        "products with the Jacobian has 1 entries for a batch of 2"
    );
    let mut other = Hutchinson::gaussian(&points(3), 2, &mut noise, with_products).unwrap();
    assert_eq!(
        text(flow.log_density(&x, &mut other).unwrap_err()),
        "probe has shape [3, 3], expected [2, 3]"
    );
}

fn learned_net() -> impl Denoiser<Array2<f64>, Step> {
    predicts::with(|x: &Array2<f64>, at: Point<Step>| {
        let answer = Prediction::noise(x.mapv(|x| (x + 0.01 * at.time.get()).tanh()));
        Ok(answer.with_variance(x.mapv(|x| 0.3 * (x + 0.5).sin())))
    })
}

#[test]
fn the_density_of_a_step_is_that_of_its_gaussian() {
    let schedule = Discrete::cosine(100).unwrap();
    let grid = Grid::trailing(&schedule, 5).unwrap();
    let range = Plan::new(&schedule, &grid, &Ddpm::new(ModelVariance::LearnedRange)).unwrap();
    let learned = Plan::new(&schedule, &grid, &Ddpm::new(ModelVariance::Learned)).unwrap();
    let small = Plan::new(&schedule, &grid, &Ddpm::default()).unwrap();
    let ddim = Plan::new(&schedule, &grid, &Ddim::new(0.7).unwrap()).unwrap();
    for plan in [&range, &learned, &small, &ddim] {
        let mut noise = SeededNoise::new(20);
        let mut run = plan
            .start_from(plan.prior((2, 3), &mut noise).unwrap(), &mut noise)
            .unwrap();
        let mut seen = 0;
        for planned in plan.stages() {
            let (before, at) = run.pending().map(|(x, at)| (x.clone(), at)).unwrap();
            let answer = learned_net().predict(&before, at).unwrap();
            run.supply(answer.clone(), &mut noise).unwrap();
            let after = run.state();
            let found = step_log_density(planned, &before, &answer, after).unwrap();
            if at.to.is_clean() {
                assert_eq!(found, None);
                continue;
            }
            // By hand: the posterior of these two levels at the predicted data.
            let (a, s) = (at.level.alpha(), at.level.sigma());
            let (b, r) = (at.to.alpha(), at.to.sigma());
            let beta = s * s - (a / b).powi(2) * r * r;
            let tilde = beta * r * r / (s * s);
            for (i, found) in found.unwrap().iter().enumerate() {
                let mut expected = 0.0;
                for j in 0..3 {
                    let (x, eps) = (before[[i, j]], answer.value[[i, j]]);
                    let v = answer.variance.as_ref().unwrap()[[i, j]];
                    let x0 = (x - s * eps) / a;
                    let variance = match plan.name() {
                        "DDPM" => tilde,
                        "DDPM, learned variance" => v.exp(),
                        "DDIM, stochastic" => 0.49 * tilde,
                        _ => (0.5 * ((1.0 + v) * beta.ln() + (1.0 - v) * tilde.ln())).exp(),
                    };
                    let mean = match plan.name() {
                        "DDIM, stochastic" => b * x0 + (r * r - variance).sqrt() * eps,
                        _ => a / b * r * r / (s * s) * x + b * beta / (s * s) * x0,
                    };
                    let d = after[[i, j]] - mean;
                    expected -= 0.5 * (d * d / variance + (TAU * variance).ln());
                }
                let found = found.nats().get();
                assert!(
                    (found - expected).abs() < 1e-9 * expected.abs().max(1.0),
                    "{}: {found} for {expected}",
                    plan.name()
                );
                seen += 1;
            }
        }
        assert_eq!(seen, 8);
    }
}

#[test]
fn steps_without_a_density_and_what_a_step_refuses() {
    let schedule = Discrete::cosine(100).unwrap();
    let grid = Grid::trailing(&schedule, 3).unwrap();
    let x = array![[0.1, 0.2]];
    let answer = Prediction::noise(x.clone());
    let ddim = Plan::new(&schedule, &grid, &Ddim::default()).unwrap();
    for planned in ddim.stages() {
        assert_eq!(step_log_density(planned, &x, &answer, &x).unwrap(), None);
    }
    let learned = Plan::new(&schedule, &grid, &Ddpm::new(ModelVariance::Learned)).unwrap();
    let planned = &learned.stages()[0];
    let text = |found: Result<_, Error>| found.map(|_: Option<_>| ()).unwrap_err().to_string();
    assert_eq!(
        text(step_log_density(planned, &x, &answer, &x)),
        "the variance of a prediction is missing, a likelihood with a learned variance needs it"
    );
    let wide = array![[0.1, 0.2, 0.3]];
    assert_eq!(
        text(step_log_density(planned, &x, &answer, &wide)),
        "state after the step has shape [1, 3], expected [1, 2]"
    );
    let ddpm = Plan::new(&schedule, &grid, &Ddpm::default()).unwrap();
    let mut planned = ddpm.stages()[0].clone();
    let nan = array![[f64::NAN, 0.2]];
    assert_eq!(
        text(step_log_density(&planned, &x, &answer, &nan)),
        "a state or the prediction holds a NaN or an infinity at step 0"
    );
    let none = Array2::<f64>::zeros((0, 2));
    let found = step_log_density(&planned, &none, &Prediction::noise(none.clone()), &none);
    assert_eq!(found.unwrap(), Some(vec![]));
    planned.stage.trial = planned.stage.commit.clone();
    assert_eq!(
        text(step_log_density(&planned, &x, &answer, &x)),
        "a step that is one Gaussian given one prediction is missing, its log-density needs it"
    );
}

#[test]
fn units_convert_exactly_and_refuse_what_has_no_meaning() {
    let nats = Nats::new(-12.0).unwrap();
    assert_eq!(nats.per_dim(3).unwrap().get(), -12.0 / (3.0 * LN_2));
    assert_eq!(nats.per_dim(3).unwrap().nats(3).unwrap(), nats);
    assert_eq!(format!("{:.1}", nats), "-12.0 nats");
    assert_eq!(
        format!("{:.2}", BitsPerDim::new(3.456).unwrap()),
        "3.46 bits/dim"
    );
    let text = |error: Error| error.to_string();
    assert_eq!(
        text(Nats::new(f64::NAN).unwrap_err()),
        "nats is NaN, allowed: any number, also infinite"
    );
    assert_eq!(
        text(LogProbability::new(0.1).unwrap_err()),
        "log-probability is 0.1, allowed: up to 0"
    );
    assert_eq!(
        text(nats.per_dim(0).unwrap_err()),
        "dimensions is 0, allowed: 1 or more"
    );
    // A density per metre is a thousandth per millimetre.
    let density = LogDensity::new(0.0).unwrap();
    let scaled = density.scaled(1000.0, 1).unwrap().nats().get();
    assert!((scaled + 1000.0_f64.ln()).abs() < 1e-15);
    assert_eq!(
        text(density.dequantized(0.0, 1).unwrap_err()),
        "bin width is 0, allowed: a finite number above 0"
    );
    let p = LogProbability::new(-8.0 * LN_2).unwrap();
    assert_eq!(p.bits_per_dim(4).unwrap().get(), 2.0);
    let estimate = Estimate::of(&[p, p]).unwrap();
    assert_eq!((estimate.value, estimate.standard_error.get()), (p, 0.0));
}

/// Uniform noise on a bin: the mean log-density is at most the log-probability, and near it where
/// the density is flat.
#[test]
fn dequantized_densities_bound_the_probability_of_a_bin() {
    let data = GaussianMixture::isotropic(&[(1.0, &[0.0][..], 0.09)]).unwrap();
    let width = 2.0 / 255.0;
    let phi = |z: f64| 0.5 * libm::erfc(-z / 2.0_f64.sqrt());
    for centre in [0.0, 0.2, 0.7] {
        let count = 2000;
        let sum: f64 = (0..count)
            .map(|i| {
                let x = centre + width * ((f64::from(i) + 0.5) / f64::from(count) - 0.5);
                let density = data.log_density(&[x], NoiseLevel::CLEAN).unwrap();
                let density = LogDensity::new(density).unwrap();
                density.dequantized(width, 1).unwrap().nats().get()
            })
            .sum();
        let mean = sum / f64::from(count);
        let at = |side: f64| phi((centre + side * width / 2.0) / 0.3);
        let exact = (at(1.0) - at(-1.0)).ln();
        assert!(
            mean <= exact + 1e-12 && mean > exact - 1e-2,
            "{mean} {exact}"
        );
    }
}
