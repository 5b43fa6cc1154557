//! Posteriors, model means, variances and divergences against guided-diffusion.

mod common {
    pub mod reference;
}

use std::f64::consts::LN_2;

use common::reference::{numbers, reference};
use gaussian_diffusion::{
    Denoiser, ForwardProcess, Grid, LogVariance, Markov, ModelVariance, NoiseSchedule,
    Parameterization, Point, Posterior, Prediction, Step, UpdateNoise, Variance, gaussian_kl,
    likelihood::{Continuous, VariationalBound},
    predicts,
    schedule::{Discrete, Respacing},
};
use ndarray::Array2;
use serde_json::Value;

/// Numbers of the file, nested or flat, as two items of eight.
fn batch(value: &Value) -> Array2<f64> {
    fn flatten(value: &Value, into: &mut Vec<f64>) {
        match value.as_array() {
            Some(inner) => inner.iter().for_each(|value| flatten(value, into)),
            None => into.push(value.as_f64().unwrap()),
        }
    }
    let mut numbers = Vec::new();
    flatten(value, &mut numbers);
    Array2::from_shape_vec((2, numbers.len() / 2), numbers).unwrap()
}

fn check(what: &str, found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        "{what}: {found} for {expected}"
    );
}

fn check_all(what: &str, found: &Array2<f64>, expected: &Value) {
    let expected = batch(expected);
    assert_eq!(found.dim(), expected.dim(), "{what}");
    for (found, expected) in found.iter().zip(&expected) {
        check(what, *found, *expected);
    }
}

#[test]
fn respaced_steps_are_those_of_the_reference() {
    let reference = reference("guided_diffusion.json");
    let all = reference["respacing"].as_object().unwrap();
    assert_eq!(all.len(), 6);
    for (name, expected) in all {
        let (total, text) = name.split_once('/').unwrap();
        let respacing = Respacing::parse(text, total.parse().unwrap()).unwrap();
        let steps: Vec<f64> = respacing.steps().iter().map(|&step| step as f64).collect();
        assert_eq!(steps, numbers(expected), "{name}");
    }
}

fn schedule(case: &Value) -> Discrete {
    let steps = case["T"].as_u64().unwrap() as usize;
    let full = match case["schedule"].as_str().unwrap() {
        "linear" => Discrete::ddpm(steps),
        _ => Discrete::cosine(steps),
    }
    .unwrap();
    match case["respacing"].as_str().unwrap() {
        "" => full,
        text => full
            .respaced(&Respacing::parse(text, steps).unwrap())
            .unwrap(),
    }
}

type Net = Box<dyn Denoiser<Array2<f64>, Step>>;

fn network(case: &Value, clip: bool) -> Net {
    let answer = |x: &Array2<f64>, at: Point<Step>| {
        x.mapv(|x| 0.8 * x.tanh() + 0.2 * (2.0 * x + at.time.get() / 1000.0).cos())
    };
    let net: Net = match case["mean"].as_str().unwrap() {
        "EPSILON" => Box::new(predicts::noise(answer)),
        "START_X" => Box::new(predicts::x0(answer)),
        "PREVIOUS_X" => Box::new(predicts::mean(Markov, answer)),
        other => panic!("mean {other}"),
    };
    if clip {
        Box::new(net.clipped(-1.0, 1.0).unwrap())
    } else {
        net
    }
}

/// The log-variance of every element.
fn log_variance(spread: UpdateNoise, x: &Array2<f64>) -> Array2<f64> {
    let v = x.mapv(|x| 0.3 * (x + 0.5).sin());
    match spread {
        UpdateNoise::Std(std) => v.mapv(|_| 2.0 * std.ln()),
        UpdateNoise::LearnedRange { min, max } => {
            let (min, max): (LogVariance, LogVariance) = (min, max);
            v.mapv(|v| {
                let share = (v + 1.0) / 2.0;
                share * max.get() + (1.0 - share) * min.get()
            })
        }
        other => panic!("spread {other:?}"),
    }
}

fn bound(schedule: &Discrete, choice: ModelVariance) -> VariationalBound<Step, Continuous> {
    let grid = Grid::every(schedule).unwrap();
    VariationalBound::new(&grid, choice, Continuous).unwrap()
}

/// How many divergences of the file belong to steps to the data.
fn first_steps(reference: &Value) -> usize {
    let cases = reference["cases"].as_array().unwrap().iter();
    let rows = cases.flat_map(|case| case["steps"].as_array().unwrap());
    2 * rows.filter(|row| row["index"] == 0).count()
}

#[test]
fn posteriors_models_and_divergences_agree_to_1e_9() {
    let reference = reference("guided_diffusion.json");
    let x0 = batch(&reference["levels"]).mapv(|level| 2.0 * level / 255.0 - 1.0);
    let (mut steps, mut divergences, mut priors, mut terms) = (0, 0, 0, 0);
    for case in reference["cases"].as_array().unwrap() {
        let schedule = schedule(case);
        let times: Vec<f64> = (0..schedule.len())
            .map(|i| schedule.network_time(Step::new(i)).get())
            .collect();
        assert_eq!(times, numbers(&case["timesteps"]));
        for row in case["steps"].as_array().unwrap() {
            let index = row["index"].as_u64().unwrap() as usize;
            let name = format!(
                "{} {} {} {}, index {index}, clip {}",
                case["schedule"], case["respacing"], case["mean"], case["variance"], row["clip"]
            );
            let t = Step::new(index);
            let x = schedule.jump(&x0, t, &batch(&row["noise"])).unwrap();
            check_all(&format!("{name}: x_t"), &x, &row["x_t"]);

            let (from, to) = (
                schedule.level(t).unwrap(),
                schedule.level_before(t).unwrap(),
            );
            let q = Markov.coefficients(from, to).unwrap();
            let posterior_mean = q.mean(&x, &x0).unwrap();
            check_all(
                &format!("{name}: posterior mean"),
                &posterior_mean,
                &row["posterior_mean"],
            );
            let variance = schedule.posterior_variance(t).unwrap().get();
            check(
                &format!("{name}: variance"),
                variance,
                row["posterior_variance"].as_f64().unwrap(),
            );
            let small = schedule
                .model_variance(ModelVariance::FixedSmall, t)
                .unwrap();
            let small = log_variance(small, &x)[[0, 0]];
            let expected = row["posterior_log_variance_clipped"].as_f64().unwrap();
            check(&format!("{name}: clipped log-variance"), small, expected);

            let choice = match case["variance"].as_str().unwrap() {
                "FIXED_SMALL" => ModelVariance::FixedSmall,
                "FIXED_LARGE" => ModelVariance::FixedLarge,
                _ => ModelVariance::LearnedRange,
            };
            let model = log_variance(schedule.model_variance(choice, t).unwrap(), &x);
            check_all(
                &format!("{name}: model log-variance"),
                &model,
                &row["model_log_variance"],
            );

            let mut net = network(case, row["clip"] == true);
            let point = Point::new(schedule.network_time(t), from, to);
            let answer = net.predict(&x, point).unwrap();
            let predicted: Prediction<_> = answer.to(Parameterization::X0, &x, from).unwrap();
            check_all(&format!("{name}: x0"), &predicted.value, &row["pred_x0"]);
            // The reference clips the x0 that a predicted mean implies, and steps to the mean as it is.
            let mean = match case["mean"].as_str().unwrap() {
                "PREVIOUS_X" => network(case, false).predict(&x, point).unwrap().value,
                _ => q.mean(&x, &predicted.value).unwrap(),
            };
            check_all(&format!("{name}: model mean"), &mean, &row["model_mean"]);

            // At index 0, where the posterior is a point, the reference takes its clipped variance.
            let q_variance = LogVariance::new(small).unwrap().exp();
            let expected = numbers(&row["kl_bits_per_dim"]);
            assert_eq!(expected.len(), x.nrows(), "{name}: divergences");
            for (item, expected) in expected.into_iter().enumerate() {
                let mut sum = 0.0;
                for j in 0..x.ncols() {
                    let at = [item, j];
                    let p_variance = Variance::new(model[at].exp()).unwrap();
                    sum += gaussian_kl(posterior_mean[at], q_variance, mean[at], p_variance);
                }
                let bits = sum / x.ncols() as f64 / LN_2;
                check(&format!("{name}: divergence"), bits, expected);
                divergences += 1;
            }
            // The same by the bound, whose last step is the decoder's. Where the reference clips, it
            // clips the x0 that a predicted mean implies and not the mean.
            if index > 0 {
                let bound = bound(&schedule, choice);
                let step = &bound.steps()[schedule.len() - 1 - index];
                let clip = row["clip"] == true && case["mean"] != "PREVIOUS_X";
                let mut answer = network(case, clip).predict(&x, point).unwrap();
                answer.variance = Some(x.mapv(|x| 0.3 * (x + 0.5).sin()));
                let found = step.divergence(&x0, &x, &answer).unwrap();
                for (found, expected) in found.iter().zip(numbers(&row["kl_bits_per_dim"])) {
                    let bits = found.per_dim(x.ncols()).unwrap().get();
                    check(&format!("{name}: term of the bound"), bits, expected);
                    terms += 1;
                }
            }
            steps += 1;
        }
        let last = schedule.level(schedule.ends().0).unwrap();
        let prior = numbers(&case["prior_bits_per_dim"]);
        let of_bound = bound(&schedule, ModelVariance::FixedSmall)
            .prior(&x0)
            .unwrap();
        for ((row, expected), found) in x0.rows().into_iter().zip(prior).zip(of_bound) {
            let bits = found.per_dim(row.len()).unwrap().get();
            check("prior of the bound", bits, expected);
            let sigma2 = Variance::new(last.sigma().powi(2)).unwrap();
            let one = Variance::new(1.0).unwrap();
            let sum: f64 = row
                .iter()
                .map(|x| gaussian_kl(last.alpha() * x, sigma2, 0.0, one))
                .sum();
            check("prior", sum / row.len() as f64 / LN_2, expected);
            priors += 1;
        }
    }
    assert_eq!((steps, divergences, priors), (120, 240, 30));
    assert_eq!(terms, 240 - first_steps(&reference));
}
