//! The hybrid loss: its values against the bound, its gradients against finite differences.

use std::f64::consts::LN_2;

use gaussian_diffusion::{
    Error, ForwardProcess, Grid, ModelVariance, NoiseLevel, NoiseSchedule, Parameterization,
    Prediction, Step, UpdateNoise,
    likelihood::{Continuous, Decoder, Discretized, VariationalBound},
    schedule::{Discrete, Respacing},
    training::{HybridLoss, HybridTerms},
};
use ndarray::{Array2, Ix2, array};

const PARAMETERIZATIONS: [Parameterization; 5] = [
    Parameterization::Noise,
    Parameterization::X0,
    Parameterization::Velocity,
    Parameterization::Score,
    Parameterization::Flow,
];

/// Four items of three pixels, at steps that include the first two and the last.
struct Case {
    schedule: Discrete,
    x_0: Array2<f64>,
    eps: Array2<f64>,
    steps: [Step; 4],
    value: Array2<f64>,
    variance: Array2<f64>,
}

fn case() -> Case {
    let level = |i: usize| 2.0 * ((i * 53) % 256) as f64 / 255.0 - 1.0;
    let shape = (4, 3);
    Case {
        schedule: Discrete::cosine(50).unwrap(),
        // Items 0 and 1 hold both end levels.
        x_0: Array2::from_shape_fn(shape, |(i, j)| match (i, j) {
            (0, 0) => -1.0,
            (0, 1) | (1, 0) => 1.0,
            _ => level(3 * i + j),
        }),
        eps: Array2::from_shape_fn(shape, |(i, j)| {
            (1.7 * i as f64 + 0.9 * j as f64).sin() * 1.4
        }),
        steps: [0, 1, 20, 48].map(Step::new),
        value: Array2::from_shape_fn(shape, |(i, j)| (0.4 + i as f64 - 0.7 * j as f64).cos()),
        variance: Array2::from_shape_fn(shape, |(i, j)| 0.6 * (2.0 * i as f64 + j as f64).sin()),
    }
}

impl Case {
    /// The same with a value near the target, in these terms, so that nothing is out of scale.
    fn near(mut self, parameterization: Parameterization) -> Self {
        let target = self
            .schedule
            .target(parameterization, &self.x_0, &self.steps, &self.eps)
            .unwrap();
        self.value = target + &self.value * 0.1;
        self
    }

    fn evaluate<C: Decoder + Copy>(
        &self,
        loss: HybridLoss<C>,
        parameterization: Parameterization,
        value: &Array2<f64>,
        variance: &Array2<f64>,
    ) -> HybridTerms<f64, Ix2> {
        let answer = Prediction::new(value.clone(), parameterization);
        let answer = answer.with_variance(variance.clone());
        loss.evaluate(&self.schedule, &self.x_0, &self.steps, &self.eps, &answer)
            .unwrap()
    }
}

fn check_gradients<C: Decoder + Copy>(choice: ModelVariance, decoder: C, p: Parameterization) {
    let case = case().near(p);
    let weight = 0.7;
    let loss = HybridLoss::new(choice, weight, decoder).unwrap();
    let found = case.evaluate(loss, p, &case.value, &case.variance);
    let variance_gradient = found.variance_gradient.clone().unwrap();
    for i in 0..4 {
        for j in 0..3 {
            // The mean is held fixed in the bound: the value learns from the squared error alone.
            let h = 1e-6 * case.value[[i, j]].abs().max(1.0);
            let simple = |sign: f64| {
                let mut value = case.value.clone();
                value[[i, j]] += sign * h;
                case.evaluate(loss, p, &value, &case.variance).simple[i]
            };
            let expected = (simple(1.0) - simple(-1.0)) / (2.0 * h);
            let gradient = found.value_gradient[[i, j]];
            let off = (gradient - expected).abs() / expected.abs().max(1.0);
            assert!(off < 1e-7, "{p:?} value {i} {j}: {gradient} for {expected}");

            let h = 1e-5;
            let total = |sign: f64| {
                let mut variance = case.variance.clone();
                variance[[i, j]] += sign * h;
                case.evaluate(loss, p, &case.value, &variance).total()[i]
            };
            let expected = (total(1.0) - total(-1.0)) / (2.0 * h);
            let gradient = variance_gradient[[i, j]];
            let off = (gradient - expected).abs() / expected.abs().max(1.0);
            assert!(
                off < 1e-7,
                "{choice:?} {p:?} variance {i} {j}: {gradient} for {expected}"
            );
        }
    }
}

#[test]
fn gradients_are_finite_differences() {
    for p in PARAMETERIZATIONS {
        for choice in [ModelVariance::Learned, ModelVariance::LearnedRange] {
            check_gradients(choice, Discretized::images(), p);
            check_gradients(choice, Continuous, p);
        }
    }
}

#[test]
fn values_are_the_squared_error_and_the_terms_of_the_bound() {
    let grid_of = |schedule: &Discrete| Grid::every(schedule).unwrap();
    let respacing = Respacing::parse("10,10", 1000).unwrap();
    let short = Discrete::ddpm(1000).unwrap().respaced(&respacing).unwrap();
    for p in PARAMETERIZATIONS {
        for (choice, schedule) in [
            (ModelVariance::LearnedRange, Discrete::cosine(50).unwrap()),
            (ModelVariance::Learned, Discrete::cosine(50).unwrap()),
            (ModelVariance::FixedSmall, Discrete::cosine(50).unwrap()),
            (ModelVariance::FixedLarge, short.clone()),
        ] {
            let last = schedule.len() - 1;
            let case = Case {
                schedule,
                steps: [0, 1, 10, last].map(Step::new),
                ..case()
            };
            let case = case.near(p);
            let (schedule, steps) = (&case.schedule, &case.steps);
            let pixels = Discretized::images();
            let loss = HybridLoss::new(choice, 0.5, pixels).unwrap();
            let found = case.evaluate(loss, p, &case.value, &case.variance);
            assert_eq!(found.variance_gradient.is_some(), {
                matches!(choice, ModelVariance::Learned | ModelVariance::LearnedRange)
            });
            let target = schedule.target(p, &case.x_0, steps, &case.eps).unwrap();
            let bound = VariationalBound::new(&grid_of(schedule), choice, pixels).unwrap();
            let x_t = schedule.jump(&case.x_0, steps, &case.eps).unwrap();
            let answer = Prediction::new(case.value.clone(), p);
            let answer = answer.with_variance(case.variance.clone());
            for (i, step) in steps.iter().enumerate() {
                let simple: f64 = (0..3)
                    .map(|j| (case.value[[i, j]] - target[[i, j]]).powi(2) / 3.0)
                    .sum();
                assert!((found.simple[i] - simple).abs() < 1e-12 * simple.max(1.0));
                // All items at this one step of the bound; the item's own number counts.
                let nats = match last - step.index().unwrap() {
                    at if at == last => {
                        let last = bound.last();
                        let all = last.reconstruction(&case.x_0, &x_t, &answer, &pixels);
                        all.unwrap()[i].bits_per_dim(3).unwrap().get()
                    }
                    at => {
                        let all = bound.steps()[at].divergence(&case.x_0, &x_t, &answer);
                        all.unwrap()[i].per_dim(3).unwrap().get()
                    }
                };
                let vlb = found.vlb[i].get();
                assert!(
                    (vlb - nats).abs() < 1e-9 * nats.abs().max(1.0),
                    "{p:?} {choice:?} step {step:?}: {vlb} for {nats}"
                );
                let total = found.total()[i];
                assert!((total - (simple + 0.5 * vlb)).abs() < 1e-12 * total.abs().max(1.0));
            }
        }
    }
}

/// One number by the definitions alone.
/// The step to the data has the variance of the step before it, whichever of the fixed ones is chosen, and alone that of
/// the forward step.
#[test]
fn the_last_step_has_the_variance_before_it() {
    let schedule = Discrete::cosine(100).unwrap();
    let [from, to] = [40, 12].map(|step| schedule.level_at_step(step).unwrap());
    let beta = from.sigma().powi(2) - (from.alpha() * to.sigma() / to.alpha()).powi(2);
    let small = (beta * to.sigma().powi(2) / from.sigma().powi(2)).sqrt();
    let near = |found: Result<UpdateNoise, Error>, wanted: f64| match found.unwrap() {
        UpdateNoise::Std(found) => assert!((found - wanted).abs() < 1e-14, "{found} {wanted}"),
        other => panic!("{other:?}"),
    };
    for (choice, own) in [
        (ModelVariance::FixedSmall, small),
        (ModelVariance::FixedLarge, beta.sqrt()),
    ] {
        near(choice.update_noise(from, to, None), own);
        near(
            choice.update_noise(to, NoiseLevel::CLEAN, Some((from, to))),
            small,
        );
        near(
            choice.update_noise(from, NoiseLevel::CLEAN, None),
            from.sigma(),
        );
    }
}

#[test]
fn one_element_by_hand() {
    let schedule = Discrete::from_betas([0.1, 0.2]).unwrap();
    let loss = HybridLoss::new(ModelVariance::LearnedRange, 2.0, Continuous).unwrap();
    let answer = Prediction::noise(array![[0.25]]).with_variance(array![[0.4]]);
    let (x_0, eps) = (array![[0.5]], array![[-1.0]]);
    let found = loss
        .evaluate(&schedule, &x_0, Step::new(1), &eps, &answer)
        .unwrap();
    let (bar_1, bar_2) = (0.9_f64, 0.72_f64);
    let tilde = 0.2 * (1.0 - bar_1) / (1.0 - bar_2);
    let log = 0.7 * 0.2_f64.ln() + 0.3 * f64::ln(tilde);
    // The means differ by beta / (sqrt(alpha) sqrt(1 - alpha_bar)) times the error of the noise.
    let distance = 0.2 / (0.8_f64.sqrt() * (1.0 - bar_2).sqrt()) * 1.25;
    let kl = 0.5 * (log - tilde.ln() - 1.0 + (tilde + distance * distance) / log.exp());
    assert!((found.simple[0] - 1.5625).abs() < 1e-15);
    assert!((found.vlb[0].get() - kl / LN_2).abs() < 1e-13);
    let slope = 0.5 * (1.0 - (tilde + distance * distance) / log.exp());
    let slope = slope * 0.5 * (0.2_f64.ln() - tilde.ln()) * 2.0 / LN_2;
    let gradient = found.variance_gradient.unwrap()[[0, 0]];
    assert!((gradient - slope).abs() < 1e-13, "{gradient} {slope}");
    assert_eq!(found.value_gradient, array![[2.5]]);
}

#[test]
fn empty_batches_one_step_and_f32() {
    let schedule = Discrete::cosine(1).unwrap();
    let loss = HybridLoss::new(ModelVariance::LearnedRange, 1.0, Continuous).unwrap();
    let none = Array2::<f32>::zeros((0, 3));
    let answer = Prediction::noise(none.clone()).with_variance(none.clone());
    let found = loss
        .evaluate(&schedule, &none, &[], &none, &answer)
        .unwrap();
    assert!(found.total().is_empty());
    let one = array![[0.5_f32, -0.5]];
    let answer = Prediction::x0(one.clone()).with_variance(one.clone());
    let found = loss.evaluate(&schedule, &one, Step::new(0), &one, &answer);
    assert_eq!(found.unwrap().simple[0], 0.0);

    let case = case().near(Parameterization::Noise);
    let loss = HybridLoss::new(ModelVariance::LearnedRange, 1.0, Discretized::images()).unwrap();
    let double = case.evaluate(loss, Parameterization::Noise, &case.value, &case.variance);
    let to32 = |x: &Array2<f64>| x.mapv(|x| x as f32);
    let answer = Prediction::noise(to32(&case.value)).with_variance(to32(&case.variance));
    let (x_0, eps) = (to32(&case.x_0), to32(&case.eps));
    let single = loss
        .evaluate(&case.schedule, &x_0, &case.steps, &eps, &answer)
        .unwrap();
    for (a, b) in single.total().iter().zip(&double.total()) {
        assert!((a - b).abs() < 1e-4 * b.abs().max(1.0), "{a} {b}");
    }
}

#[test]
fn what_the_hybrid_loss_refuses() {
    let text = |error: Error| error.to_string();
    let negative = HybridLoss::new(ModelVariance::Learned, -1.0, Continuous).unwrap_err();
    assert_eq!(
        text(negative),
        "weight of the bound is -1, allowed: a finite number from 0 on"
    );
    let case = case();
    let loss = HybridLoss::new(ModelVariance::Learned, 1.0, Discretized::images()).unwrap();
    let run = |steps: &[Step], x_0: &Array2<f64>, answer: &Prediction<Array2<f64>>| {
        let found = loss.evaluate(&case.schedule, x_0, steps, &case.eps, answer);
        text(found.unwrap_err())
    };
    let plain = Prediction::noise(case.value.clone());
    let full = plain.clone().with_variance(case.variance.clone());
    assert_eq!(
        run(&case.steps, &case.x_0, &plain),
        "the variance of a prediction is missing, a likelihood with a learned variance needs it"
    );
    assert_eq!(
        run(&case.steps[..2], &case.x_0, &full),
        "times has 2 entries for a batch of 4"
    );
    let beyond = [50, 1, 2, 3].map(Step::new);
    assert_eq!(
        run(&beyond, &case.x_0, &full),
        "step is 50, allowed: 0 to 49"
    );
    assert_eq!(
        run(&case.steps, &array![[0.0, 0.0]], &full),
        "noise has shape [4, 3], expected [1, 2]"
    );
    let off_level = Array2::from_elem((4, 3), 0.5);
    assert_eq!(
        run(&case.steps, &off_level, &full),
        "x_0 is 0.5, allowed: one of 256 levels from -1 to 1"
    );
    let infinite = Array2::from_elem((4, 3), f64::INFINITY);
    let infinite = plain.clone().with_variance(infinite);
    assert_eq!(
        run(&case.steps, &case.x_0, &infinite),
        "the learned variance holds a NaN or an infinity at step 0"
    );
    let nan = Prediction::noise(case.value.mapv(|_| f64::NAN)).with_variance(case.variance.clone());
    let later = [1, 1, 2, 3].map(Step::new);
    assert_eq!(
        run(&later, &case.x_0, &nan),
        "the hybrid loss holds a NaN or an infinity at step 1"
    );
    // Two steps in one batch have two posteriors, a mean prediction one.
    let level = case.schedule.level(Step::new(1)).unwrap();
    let q = gaussian_diffusion::Posterior::coefficients(
        &gaussian_diffusion::Markov,
        level,
        case.schedule.level(Step::new(0)).unwrap(),
    );
    let mean = Parameterization::Mean(q.unwrap());
    let mean = Prediction::new(case.value.clone(), mean).with_variance(case.variance.clone());
    assert_eq!(
        run(&case.steps, &case.x_0, &mean),
        "one time for the batch is missing, the target of a mean under one posterior needs it"
    );
}
