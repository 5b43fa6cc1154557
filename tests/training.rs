//! Losses, weights and training noise against formulas written out here.

use gaussian_diffusion::{
    ForwardProcess, GaussianMixture, LogSnr, NoiseLevel, Parameterization,
    Parameterization::{Edm, Flow, Score, Velocity, X0},
    Prediction, SeededNoise, Sigma, SigmaData, Time,
    noise::{NoiseSource, Scale, TorchCpu},
    rand::{SeedableRng, rngs::StdRng},
    schedule::{ContinuousSchedule, Cosine, LogSnrLinear, NoiseSchedule, RectifiedFlow, VpLinear},
    training::{
        InputPerturbation, OffsetNoise, Weight, absolute_error, huber_error, squared_error,
        weighted_mean,
    },
};
use ndarray::{Array1, Array2, Array3, Array4, array};

const EPS: Parameterization = Parameterization::Noise;

fn edm(data: f64) -> Parameterization {
    Edm(SigmaData::new(data).unwrap())
}

fn spaces() -> Vec<Parameterization> {
    vec![EPS, X0, Velocity, Score, Flow, edm(0.5)]
}

fn weights() -> Vec<(&'static str, Weight)> {
    let mut all = vec![
        ("truncated SNR", Weight::truncated_snr()),
        ("min-SNR", Weight::min_snr(5.0).unwrap()),
        ("soft min-SNR", Weight::soft_min_snr(4.0).unwrap()),
        ("P2", Weight::p2(1.0, 1.0).unwrap()),
        ("P2 half", Weight::p2(2.0, 0.5).unwrap()),
        ("EDM", Weight::edm(SigmaData::EDM)),
        ("sigmoid", Weight::sigmoid(-1.0).unwrap()),
        ("likelihood", Weight::likelihood()),
        ("Laplace", Weight::laplace(0.3, 0.5).unwrap()),
        ("Laplace, wide", Weight::laplace(-0.3, 2.0).unwrap()),
        ("sigma sqrt on x0", Weight::sigma_sqrt(X0)),
        ("sigma sqrt on flow", Weight::sigma_sqrt(Flow)),
        ("cosmap on x0", Weight::cosmap(X0)),
        ("cosmap on flow", Weight::cosmap(Flow)),
    ];
    all.extend(
        spaces()
            .into_iter()
            .map(|p| ("uniform", Weight::uniform(p))),
    );
    all
}

fn vp(snr: f64) -> NoiseLevel {
    NoiseLevel::variance_preserving(LogSnr::new(snr).unwrap()).unwrap()
}

fn inner_levels() -> Vec<NoiseLevel> {
    let mut levels: Vec<_> = [-12.0, -3.0, 0.4, 2.0, 9.0].map(vp).to_vec();
    levels.extend(
        [1e-3, 0.5, 40.0].map(|s| NoiseLevel::variance_exploding(Sigma::new(s).unwrap()).unwrap()),
    );
    levels.extend([0.05, 0.5, 0.97].map(|t| NoiseLevel::new(1.0 - t, t).unwrap()));
    levels
}

fn close(found: f64, wanted: f64, tolerance: f64) -> bool {
    (found - wanted).abs() <= tolerance * wanted.abs().max(1e-300)
}

/// The expected loss of an imperfect network on a mixture, by the trapezoid rule over data and noise,
/// with every target and prediction written out in (x0, eps).
#[test]
fn expected_loss_is_one_number_in_every_parameterization() {
    let mixture =
        GaussianMixture::isotropic(&[(0.3, &[-1.0][..], 0.05), (0.7, &[0.8][..], 0.2)]).unwrap();
    let normal = |x: f64, m: f64, v: f64| {
        (-0.5 * (x - m).powi(2) / v).exp() / (v.sqrt() * 2.5066282746310002)
    };
    let density = |x: f64| 0.3 * normal(x, -1.0, 0.05) + 0.7 * normal(x, 0.8, 0.2);
    for level in [vp(-2.0), vp(1.0), NoiseLevel::new(1.0, 0.7).unwrap()] {
        let (alpha, sigma) = (level.alpha(), level.sigma());
        let data = 0.5_f64;
        let norm = (sigma * sigma + alpha * alpha * data * data).sqrt();
        let table = [
            (EPS, 0.0, 1.0),
            (X0, 1.0, 0.0),
            (Velocity, -sigma, alpha),
            (Score, 0.0, -1.0 / sigma),
            (Flow, -1.0, 1.0),
            (edm(data), sigma / (data * norm), -alpha * data / norm),
        ];
        let mut errors = [0.0; 6];
        let steps = 240;
        for i in 0..=steps {
            let x0 = -4.0 + 8.0 * f64::from(i) / f64::from(steps);
            for j in 0..=steps {
                let eps = -7.0 + 14.0 * f64::from(j) / f64::from(steps);
                let mass =
                    density(x0) * normal(eps, 0.0, 1.0) * (8.0 * 14.0) / f64::from(steps * steps);
                if mass < 1e-12 {
                    continue;
                }
                let x = alpha * x0 + sigma * eps;
                let guess = mixture.posterior_mean(&[x], level).unwrap()[0] + 0.1 * x.sin();
                let guess_eps = (x - alpha * guess) / sigma;
                for (error, (_, a, b)) in errors.iter_mut().zip(&table) {
                    *error += mass * (a * (x0 - guess) + b * (eps - guess_eps)).powi(2);
                }
            }
        }
        for (name, weight) in weights() {
            let wanted = weight.in_terms_of(X0, level).unwrap() * errors[1];
            assert!(wanted > 0.0, "{name}");
            for (error, (space, ..)) in errors.iter().zip(&table) {
                let found = weight.in_terms_of(*space, level).unwrap() * error;
                assert!(
                    close(found, wanted, 1e-11),
                    "{name}, {space:?}: {found}, {wanted}"
                );
            }
        }
    }
}

/// The same through the crate's own targets, conversions and losses, item by item.
#[test]
fn weighted_losses_of_a_batch_agree() {
    let times: Vec<_> = [0.05, 0.3, 0.6, 0.95]
        .map(|t| Time::new(t).unwrap())
        .to_vec();
    let schedule = VpLinear::new(0.1, 20.0).unwrap();
    let levels: Vec<_> = times.iter().map(|&t| schedule.level(t).unwrap()).collect();
    let x0 = Array2::from_shape_fn((4, 3), |(i, j)| ((i * 3 + j) as f64).sin());
    let (xt, eps) = schedule
        .draw_jump(&x0, &times, &mut SeededNoise::new(4))
        .unwrap();
    let guess = x0.mapv(|x| 0.8 * x + 0.1);
    let losses = |space| {
        let mut said = Array2::zeros((4, 3));
        for (i, &level) in levels.iter().enumerate() {
            let row = |a: &Array2<f64>| a.row(i).to_owned();
            let prediction = Prediction::x0(row(&guess))
                .to(space, &row(&xt), level)
                .unwrap();
            said.row_mut(i).assign(&prediction.value);
        }
        let target = schedule.target(space, &x0, &times, &eps).unwrap();
        squared_error(&said, &target).unwrap()
    };
    for (name, weight) in weights() {
        let wanted = &losses(X0) * &Array1::from(weight.each(X0, &levels).unwrap());
        for space in spaces() {
            let found = &losses(space) * &Array1::from(weight.each(space, &levels).unwrap());
            for (found, wanted) in found.iter().zip(&wanted) {
                // A loss in another space loses the digits of the conversion at the ends.
                assert!(
                    close(*found, *wanted, 1e-8),
                    "{name}, {space:?}: {found}, {wanted}"
                );
            }
        }
    }
}

/// Each weight in the terms and the letters of its own source.
#[test]
fn weights_are_the_published_formulas() {
    for level in inner_levels() {
        let (alpha, sigma) = (level.alpha(), level.sigma());
        let snr = alpha * alpha / (sigma * sigma);
        let s = sigma / (alpha + sigma);
        let at = |weight: Weight, space| weight.in_terms_of(space, level).unwrap();
        let check = |name: &str, found: f64, wanted: f64| {
            assert!(
                close(found, wanted, 2e-14),
                "{name} at {level:?}: {found}, {wanted}"
            );
        };
        for space in spaces() {
            check("uniform", at(Weight::uniform(space), space), 1.0);
        }
        let min = Weight::min_snr(5.0).unwrap();
        check("min-SNR, noise", at(min.clone(), EPS), snr.min(5.0) / snr);
        check("min-SNR, x0", at(min.clone(), X0), snr.min(5.0));
        let truncated = Weight::truncated_snr();
        check("truncated", at(truncated, X0), snr.max(1.0));
        if (alpha * alpha + sigma * sigma - 1.0).abs() < 1e-14 {
            // The one from diffusers for v-prediction, where variance is preserved.
            check(
                "min-SNR, v",
                at(min.clone(), Velocity),
                snr.min(5.0) / (snr + 1.0),
            );
            check("SNR + 1", at(Weight::uniform(Velocity), X0), snr + 1.0);
        }
        // k-diffusion's on the raw output, with gamma = 1 / sigma_data^2.
        let (r, d) = (sigma / alpha, 0.5);
        let soft = at(Weight::soft_min_snr(4.0).unwrap(), edm(d));
        check("soft min-SNR", soft, (r * d / (r * r + d * d)).powi(2));
        let raw = at(Weight::uniform(EPS), edm(d));
        check("SNR, raw", raw, d * d / (r * r + d * d));
        let published = (r * r + d * d) / (r * d).powi(2);
        check("EDM", at(Weight::edm(SigmaData::EDM), X0), published);
        check(
            "P2",
            at(Weight::p2(1.5, 0.7).unwrap(), EPS),
            (1.5 + snr).powf(-0.7),
        );
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let sid = Weight::sigmoid(-3.0).unwrap();
        check("sigmoid", at(sid.clone(), EPS), sigmoid(-3.0 - snr.ln()));
        check(
            "sigmoid, x0",
            at(sid.clone(), X0),
            (-3.0_f64).exp() * sigmoid(snr.ln() + 3.0),
        );
        let laplace = (-(snr.ln() - 0.3).abs() / 0.5).exp() / (2.0 * 0.5);
        assert!(close(
            at(Weight::laplace(0.3, 0.5).unwrap(), EPS),
            laplace,
            1e-12
        ));
        check("sigma sqrt", at(Weight::sigma_sqrt(X0), X0), 1.0 / (s * s));
        check("sigma sqrt = flow", at(Weight::sigma_sqrt(X0), Flow), 1.0);
        let cosmap = 2.0 / (std::f64::consts::PI * (1.0 - 2.0 * s + 2.0 * s * s));
        check("cosmap", at(Weight::cosmap(Flow), Flow), cosmap);
        check("likelihood", at(Weight::likelihood(), X0), 0.5 * snr);
    }
}

/// At an end, a weight is what it tends to: its value next to the end, or an error where that grows
/// without bound.
#[test]
fn ends_are_limits() {
    let ends = [
        (NoiseLevel::CLEAN, NoiseLevel::new(1.0, 1e-35).unwrap()),
        (NoiseLevel::NOISE, NoiseLevel::new(1e-35, 1.0).unwrap()),
        // Of another size, as a sub-variance-preserving level may be.
        (
            NoiseLevel::new(0.5, 0.0).unwrap(),
            NoiseLevel::new(0.5, 1e-35).unwrap(),
        ),
        (
            NoiseLevel::new(0.0, 80.0).unwrap(),
            NoiseLevel::new(1e-35, 80.0).unwrap(),
        ),
    ];
    let (mut zero, mut between, mut infinite) = (0, 0, 0);
    for (end, near) in ends {
        for (name, weight) in weights() {
            for space in spaces() {
                let near = weight.in_terms_of(space, near).unwrap();
                match weight.in_terms_of(space, end) {
                    Ok(limit) => {
                        let off = (limit - near).abs();
                        assert!(
                            off <= 1e-13 * limit + 1e-15,
                            "{name} {space:?} {end:?}: {limit}, {near}"
                        );
                        if limit == 0.0 {
                            zero += 1
                        } else {
                            between += 1
                        }
                    }
                    Err(error) => {
                        assert!(near > 1e15, "{name} {space:?} {end:?}: {near}");
                        assert!(
                            error
                                .to_string()
                                .starts_with("a loss weight has no value at alpha =")
                        );
                        infinite += 1;
                    }
                }
            }
        }
    }
    // Every kind of limit occurs.
    assert!(
        zero > 50 && between > 100 && infinite > 50,
        "{zero} {between} {infinite}"
    );
    let min = Weight::min_snr(5.0).unwrap();
    let at = |w: Weight, space, end| w.in_terms_of(space, end).unwrap();
    assert_eq!(at(min.clone(), X0, NoiseLevel::CLEAN), 5.0);
    assert_eq!(at(min.clone(), X0, NoiseLevel::NOISE), 0.0);
    assert_eq!(at(min.clone(), Velocity, NoiseLevel::NOISE), 0.0);
    assert_eq!(
        at(Weight::truncated_snr(), Velocity, NoiseLevel::NOISE),
        1.0
    );
    assert_eq!(at(Weight::truncated_snr(), EPS, NoiseLevel::CLEAN), 1.0);
    assert_eq!(at(Weight::uniform(Velocity), EPS, NoiseLevel::CLEAN), 1.0);
    assert_eq!(at(Weight::edm(SigmaData::EDM), X0, NoiseLevel::NOISE), 4.0);
    assert_eq!(
        at(Weight::sigmoid(0.0).unwrap(), EPS, NoiseLevel::NOISE),
        1.0
    );
    let error = Weight::uniform(X0)
        .in_terms_of(EPS, NoiseLevel::NOISE)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a loss weight has no value at alpha = 0, sigma = 1"
    );
}

/// `over_time` is the weight times the fall of the log-SNR, by central differences.
#[test]
fn weights_over_time_use_the_fall_of_the_log_snr() {
    fn check<S: ContinuousSchedule<Time = Time>>(schedule: &S) {
        for t in [0.1, 0.5, 0.9] {
            let at = |t| schedule.level(Time::new(t).unwrap()).unwrap();
            let h = 1e-5;
            let snr = |t| (at(t).alpha() / at(t).sigma()).powi(2);
            let fall = (snr(t - h).ln() - snr(t + h).ln()) / (2.0 * h);
            let time = Time::new(t).unwrap();
            for (name, weight) in weights() {
                let found = weight.over_time(Velocity, schedule, time).unwrap();
                let wanted = weight.in_terms_of(Velocity, at(t)).unwrap() * fall;
                assert!(
                    close(found, wanted, 1e-7),
                    "{name} at {t}: {found}, {wanted}"
                );
            }
            // The bound: half the fall of the SNR, and half the squared diffusion on the score.
            let found = Weight::likelihood().over_time(X0, schedule, time).unwrap();
            assert!(close(found, (snr(t - h) - snr(t + h)) / (4.0 * h), 1e-7));
            let score = Weight::likelihood()
                .over_time(Score, schedule, time)
                .unwrap();
            let diffusion = schedule.sde(time).unwrap().diffusion;
            assert!(close(score, 0.5 * diffusion * diffusion, 1e-13));
        }
    }
    check(&Cosine);
    check(&RectifiedFlow);
    check(&VpLinear::new(0.1, 20.0).unwrap());
    let snr = |x| LogSnr::new(x).unwrap();
    check(&LogSnrLinear::new(snr(-5.0), snr(13.3)).unwrap());
    // Where the SNR falls without bound, there is none; where no noise is left, its limit.
    let one = Time::new(1.0).unwrap();
    assert!(Weight::likelihood().over_time(EPS, &Cosine, one).is_err());
    let clean = Weight::sigmoid(0.0)
        .unwrap()
        .over_time(EPS, &Cosine, Time::new(0.0).unwrap());
    assert_eq!(clean.unwrap(), 0.0);
}

#[test]
fn weights_refuse_what_is_out_of_range() {
    let message =
        |weight: Result<Weight, gaussian_diffusion::Error>| weight.unwrap_err().to_string();
    assert_eq!(
        message(Weight::min_snr(0.0)),
        "gamma is 0, allowed: 1e-100 to 1e100"
    );
    assert_eq!(
        message(Weight::soft_min_snr(f64::NAN)),
        "gamma is NaN, allowed: 1e-100 to 1e100"
    );
    assert_eq!(
        message(Weight::p2(0.0, 1.0)),
        "k is 0, allowed: 1e-100 to 1e100"
    );
    assert_eq!(
        message(Weight::p2(1.0, -1.0)),
        "gamma is -1, allowed: 0 to 10"
    );
    assert_eq!(
        message(Weight::sigmoid(201.0)),
        "bias is 201, allowed: -200 to 200"
    );
    assert_eq!(
        message(Weight::laplace(51.0, 1.0)),
        "mean is 51, allowed: -50 to 50"
    );
    assert_eq!(
        message(Weight::laplace(0.0, 0.0)),
        "scale is 0, allowed: 0.1 to 100"
    );
    let data = SigmaData::new(0.0).unwrap_err().to_string();
    assert_eq!(data, "sigma_data is 0, allowed: 1e-6 to 1e6");
}

#[test]
fn errors_are_means_over_the_elements_of_an_item() {
    let a = Array3::from_shape_fn((3, 2, 4), |(i, j, k)| {
        ((i * 8 + j * 4 + k) as f32).sin() * 3.0
    });
    let b = Array3::from_shape_fn((3, 2, 4), |(i, j, k)| ((i + 5 * j + k) as f32).cos());
    let found = [
        squared_error(&a, &b).unwrap(),
        absolute_error(&a, &b).unwrap(),
        huber_error(&a, &b, 0.7).unwrap(),
    ];
    let functions: [fn(f64) -> f64; 3] = [
        |d| d * d,
        f64::abs,
        |d| {
            if d.abs() < 0.7 {
                d * d / 2.0
            } else {
                0.7 * d.abs() - 0.245
            }
        },
    ];
    for (found, function) in found.iter().zip(functions) {
        for i in 0..3 {
            let mut sum = 0.0;
            for j in 0..2 {
                for k in 0..4 {
                    sum += function(f64::from(a[[i, j, k]]) - f64::from(b[[i, j, k]]));
                }
            }
            assert!((found[i] - sum / 8.0).abs() < 1e-14);
        }
    }
    // Layout does not matter; empty batches, empty items and single numbers do not fail.
    let turned = a.clone().reversed_axes();
    let back = turned.reversed_axes();
    assert_eq!(absolute_error(&back, &b).unwrap(), found[1]);
    let none = Array2::<f64>::zeros((0, 3));
    assert_eq!(huber_error(&none, &none, 1.0).unwrap().len(), 0);
    let empty = Array2::<f64>::zeros((2, 0));
    assert_eq!(absolute_error(&empty, &empty).unwrap(), array![0.0, 0.0]);
    let one = ndarray::arr0(2.0);
    assert_eq!(
        absolute_error(&one, &ndarray::arr0(-1.0)).unwrap(),
        array![3.0]
    );
    // A NaN is not hidden.
    assert!(huber_error(&array![f64::NAN], &array![0.0], 1.0).unwrap()[0].is_nan());

    let error = absolute_error(&array![[1.0]], &array![[1.0, 2.0]]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "target has shape [1, 2], expected [1, 1]"
    );
    let error = huber_error(&array![1.0], &array![1.0], 0.0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "delta is 0, allowed: a finite number above 0"
    );
}

#[test]
fn weighted_means() {
    let losses = array![1.0, 2.0, 4.0];
    assert_eq!(weighted_mean(&losses, &[]).unwrap(), 7.0 / 3.0);
    assert_eq!(weighted_mean(&losses, &[&[1.0, 0.0, 2.0]]).unwrap(), 3.0);
    assert_eq!(weighted_mean(&Array1::zeros(0), &[&[]]).unwrap(), 0.0);
    let error = weighted_mean(&losses, &[&[1.0; 3], &[1.0; 2]]).unwrap_err();
    assert_eq!(error.to_string(), "weights has 2 entries for a batch of 3");
}

/// Covariances of offset noise: 1 + s^2 on the diagonal, s^2 within a channel, 0 elsewhere; each
/// within 4.5 deviations of its estimate (12 numbers: significance below 1e-4).
#[test]
fn offset_noise_moves_channels_together() {
    let (n, s) = (40_000, 0.5);
    let mut source = OffsetNoise::new(SeededNoise::new(9), s).unwrap();
    let mut x = Array4::<f64>::zeros((n, 2, 2, 1));
    source.add(&mut x, Scale::Same(2.0), None).unwrap();
    let flat = x.into_shape_with_order((n, 4)).unwrap();
    for i in 0..4 {
        for j in i..4 {
            let products = &flat.column(i) * &flat.column(j) / 4.0;
            let mean = products.mean().unwrap();
            let wanted = match (i == j, i / 2 == j / 2) {
                (true, _) => 1.0 + s * s,
                (_, true) => s * s,
                _ => 0.0,
            };
            let bound = 4.5 * (products.var(1.0) / n as f64).sqrt();
            assert!(
                (mean - wanted).abs() < bound,
                "{i} {j}: {mean}, {wanted} +- {bound}"
            );
        }
    }
}

#[test]
fn offset_noise_takes_every_scale_and_shape() {
    let drawn = |scale: Scale<'_, Array3<f64>>| {
        let mut x = Array3::ones((2, 3, 2));
        let mut source = OffsetNoise::new(SeededNoise::new(1), 0.3).unwrap();
        source.add(&mut x, scale, None).unwrap();
        assert_eq!(source.into_inner().draws(), 2);
        x
    };
    let same = drawn(Scale::Same(0.7));
    assert_eq!(same, drawn(Scale::PerItem(&[0.7, 0.7])));
    let each = drawn(Scale::PerElement(&Array3::from_elem((2, 3, 2), 0.7)));
    assert!((&same - &each).iter().all(|d| d.abs() < 1e-15));
    // An item does not depend on the batch.
    let mut alone = Array3::<f64>::ones((1, 3, 2));
    let mut source = OffsetNoise::new(SeededNoise::new(1), 0.3).unwrap();
    source.add(&mut alone, Scale::Same(0.7), None).unwrap();
    assert_eq!(
        alone.index_axis(ndarray::Axis(0), 0),
        same.index_axis(ndarray::Axis(0), 0)
    );
    // A draw that is left out is one that was made, its offsets too.
    for shape in [(2, 3, 2), (0, 3, 2), (2, 3, 0)] {
        let torch = || OffsetNoise::new(TorchCpu::new(5), 0.3).unwrap();
        let (mut one, mut other, none) = (torch(), torch(), Array3::<f64>::zeros(shape));
        one.discard(&none).unwrap();
        other
            .add(&mut none.clone(), Scale::Same(1.0), None)
            .unwrap();
        let [mut x, mut y] = [(); 2].map(|()| Array3::<f64>::zeros((2, 3, 2)));
        one.add(&mut x, Scale::Same(1.0), None).unwrap();
        other.add(&mut y, Scale::Same(1.0), None).unwrap();
        assert_eq!(x, y, "{shape:?}");
    }
    // Strength 0 is the inner source; arrays with fewer axes and without elements work.
    let mut x = Array1::<f32>::zeros(4);
    OffsetNoise::new(SeededNoise::new(2), 0.0)
        .unwrap()
        .add(&mut x, Scale::Same(1.0), None)
        .unwrap();
    let mut y = Array1::<f32>::zeros(4);
    SeededNoise::new(2)
        .add(&mut y, Scale::Same(1.0), None)
        .unwrap();
    assert_eq!(x, y);
    let mut none = Array3::<f64>::zeros((0, 3, 0));
    OffsetNoise::new(SeededNoise::new(2), 1.0)
        .unwrap()
        .add(&mut none, Scale::Same(1.0), None)
        .unwrap();
    let mut scalar = ndarray::arr0(0.0_f64);
    OffsetNoise::new(StdRng::seed_from_u64(0), 1.0)
        .unwrap()
        .add(&mut scalar, Scale::Same(1.0), None)
        .unwrap();
    let error = OffsetNoise::new(SeededNoise::new(2), -0.1).unwrap_err();
    assert_eq!(error.to_string(), "strength is -0.1, allowed: 0 to 10");
    let error = OffsetNoise::new(SeededNoise::new(1), 0.3)
        .unwrap()
        .add(
            &mut Array3::<f64>::ones((2, 3, 2)),
            Scale::PerItem(&[1.0]),
            None,
        )
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "noise scales has 1 entries for a batch of 2"
    );
}

/// The perturbed state is the jump with the noise eps + gamma xi, of the same two draws.
#[test]
fn input_perturbation_keeps_the_target() {
    let x0 = Array2::from_shape_fn((3, 4), |(i, j)| i as f64 - 0.5 * j as f64);
    let times = [0.1, 0.5, 1.0].map(|t| Time::new(t).unwrap());
    let perturbed = InputPerturbation::new(0.1).unwrap();
    let mut source = SeededNoise::new(5);
    let (xt, eps) = perturbed
        .draw_jump(&Cosine, &x0, &times, &mut source)
        .unwrap();
    let mut source = SeededNoise::new(5);
    let mut drawn = [Array2::<f64>::zeros((3, 4)), Array2::zeros((3, 4))];
    for draw in &mut drawn {
        source.add(draw, Scale::Same(1.0), None).unwrap();
    }
    assert_eq!(eps, drawn[0]);
    let wanted = Cosine
        .jump(&x0, &times, &(&drawn[0] + 0.1 * &drawn[1]))
        .unwrap();
    assert!((xt - wanted).iter().all(|d| d.abs() < 1e-15));
    assert!(format!("{perturbed:?}").contains("0.1"));
    let error = InputPerturbation::new(f64::NAN).unwrap_err();
    assert_eq!(error.to_string(), "strength is NaN, allowed: 0 to 10");
    let short = perturbed
        .draw_jump(&Cosine, &x0, &times[..2], &mut source)
        .unwrap_err();
    assert_eq!(short.to_string(), "times has 2 entries for a batch of 3");
}
