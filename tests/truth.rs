//! Tables of discrete schedules and divergences against 60-digit arithmetic.

mod common {
    pub mod reference;
}

use common::reference::reference;
use gaussian_diffusion::{
    Markov, NoiseSchedule, Parameterization, Posterior, Step, Variance, gaussian_kl,
    schedule::Discrete,
};
use serde_json::Value;

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

/// Relative difference, 0 for equal infinities and zeros.
fn off(found: f64, expected: f64) -> f64 {
    if found == expected {
        0.0
    } else {
        ((found - expected) / expected).abs()
    }
}

fn schedule(name: &str) -> Discrete {
    match name {
        "linear(1e-4, 0.02), T=1000" => Discrete::linear(1000, 1e-4, 0.02),
        "linear(1e-4, 0.02) scaled by 1000/T, T=100" => Discrete::ddpm(100),
        "scaled_linear(0.00085, 0.012), T=1000" => Discrete::scaled_linear(1000, 0.00085, 0.012),
        "cosine(s=0.008, max_beta=0.999), T=1000" => Discrete::cosine(1000),
        "cosine(s=0.008, max_beta=0.999), T=50" => Discrete::cosine(50),
        "sigmoid(1e-4, 0.02), T=1000" => Discrete::sigmoid(1000, 1e-4, 0.02),
        "exp(alpha_bar=exp(-12 t)), T=1000" => Discrete::exponential(1000, 12.0),
        "scaled_linear(0.00085, 0.012) rescaled to zero terminal SNR, T=1000" => {
            Discrete::stable_diffusion().and_then(|schedule| schedule.zero_terminal_snr())
        }
        other => panic!("no schedule for {other}"),
    }
    .unwrap()
}

#[test]
fn discrete_schedules_meet_60_digits_to_1e_13() {
    let truth = reference("truth.json");
    let mut compared = 0;
    for (name, table) in truth["schedules"].as_object().unwrap() {
        let schedule = schedule(name);
        assert_eq!(schedule.len() as u64, table["T"].as_u64().unwrap());
        for (t, row) in table["rows"].as_object().unwrap() {
            let step = Step::new(t.parse::<usize>().unwrap() - 1);
            let level = schedule.level(step).unwrap();
            let q = Markov
                .coefficients(level, schedule.level_before(step).unwrap())
                .unwrap();
            let alpha = 1.0 - number(&row["beta"]);
            assert!((schedule.alpha(step).unwrap() - alpha).abs() < 1e-13, "{t}");
            let mut pairs = vec![
                ("beta", schedule.beta(step).unwrap(), &row["beta"]),
                (
                    "alpha_bar",
                    schedule.alpha_bar(step).unwrap(),
                    &row["alpha_bar"],
                ),
                ("alpha", level.alpha(), &row["sqrt_alpha_bar"]),
                (
                    "root of alpha_bar",
                    schedule.sqrt_alpha_bar(step).unwrap(),
                    &row["sqrt_alpha_bar"],
                ),
                (
                    "root of 1 - alpha_bar",
                    schedule.sqrt_one_minus_alpha_bar(step).unwrap(),
                    &row["sqrt_one_minus_alpha_bar"],
                ),
                (
                    "1 - alpha_bar",
                    schedule.one_minus_alpha_bar(step).unwrap(),
                    &row["one_minus_alpha_bar"],
                ),
                ("sigma", level.sigma(), &row["sqrt_one_minus_alpha_bar"]),
                ("log_snr", level.log_snr().get(), &row["log_snr"]),
                ("clean", q.clean, &row["posterior"]["coef_x0"]),
                ("state", q.state, &row["posterior"]["coef_xt"]),
                (
                    "variance",
                    q.variance().get(),
                    &row["posterior"]["variance"],
                ),
            ];
            match q.mean_from(Parameterization::Noise, level) {
                Ok(form) => pairs.extend([
                    ("noise form, x_t", form.state, &row["noise_form"]["coef_xt"]),
                    (
                        "noise form, eps",
                        -form.prediction,
                        &row["noise_form"]["coef_noise"],
                    ),
                ]),
                // Exact arithmetic says infinity there.
                Err(_) => assert_eq!(number(&row["noise_form"]["coef_xt"]), f64::INFINITY),
            }
            for (what, found, expected) in pairs {
                let expected = number(expected);
                let relative = off(found, expected);
                assert!(
                    relative <= 1e-13,
                    "{name}, t = {t}, {what}: {found} for {expected}, {relative:e}"
                );
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 8 * 9 * 13 - 2);
}

#[test]
fn gaussian_divergences_meet_60_digits() {
    let truth = reference("truth.json");
    let rows = truth["gaussian_kl"].as_array().unwrap();
    assert_eq!(rows.len(), 5);
    for row in rows {
        let variance = |key: &str| Variance::new(number(&row[key])).unwrap();
        let found = gaussian_kl(
            number(&row["m1"]),
            variance("v1"),
            number(&row["m2"]),
            variance("v2"),
        );
        let expected = number(&row["nats"]);
        assert!(off(found, expected) <= 1e-14, "{row}: {found}");
    }
}

/// The variance of the first step, which has none of its own, is that of the second.
#[test]
fn the_first_step_takes_the_variance_of_the_second() {
    use gaussian_diffusion::{ModelVariance, UpdateNoise};
    let table = Discrete::linear(10, 0.01, 0.3).unwrap();
    for (t, of) in [(0, 1), (1, 1), (2, 2), (9, 9)] {
        let found = table.model_variance(ModelVariance::FixedSmall, Step::new(t));
        let UpdateNoise::Std(found) = found.unwrap() else {
            panic!("learned");
        };
        // beta_t (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t)
        let bar = |t: usize| 1.0 - table.levels()[t].sigma().powi(2);
        let expected = table.betas()[of] * (1.0 - bar(of - 1)) / (1.0 - bar(of));
        assert!(off(found * found, expected) < 1e-12, "{t}: {found}");
    }
}

/// A shorter table has the levels that it keeps, and the betas between them.
#[test]
fn betas_of_kept_steps_are_those_between_them() {
    let whole = Discrete::linear(10, 0.01, 0.3).unwrap();
    let kept = [1, 4, 5, 9];
    let short = whole
        .respaced(&gaussian_diffusion::schedule::Respacing::of_steps(10, kept).unwrap())
        .unwrap();
    let mut before = 1.0;
    for (i, step) in kept.into_iter().enumerate() {
        assert_eq!(short.levels()[i], whole.levels()[step]);
        let alpha_bar = whole.levels()[step].alpha().powi(2);
        assert!(
            off(short.betas()[i], 1.0 - alpha_bar / before) < 1e-13,
            "{i}"
        );
        before = alpha_bar;
    }
    // The next step alone is that step, to the bit.
    assert_eq!(short.betas()[2], whole.betas()[5]);
}

/// The tables that no peer's numbers are at hand for, from their definitions.
#[test]
fn tables_have_their_closed_forms() {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    // alpha_bar of the share of the way, from 1 to 0.
    let of_alpha_bars = |steps: usize, alpha_bar: &dyn Fn(f64) -> f64| -> Vec<f64> {
        let at = |i: usize| alpha_bar(i as f64 / steps as f64);
        let beta = |i: usize| (1.0 - at(i + 1) / at(i)).min(0.999);
        (0..steps).map(beta).collect()
    };
    let falling = |start: f64, end: f64, temperature: f64| {
        move |u: f64| {
            let at = |u: f64| sigmoid((start + u * (end - start)) / temperature);
            (at(1.0) - at(u)) / (at(1.0) - at(0.0))
        }
    };
    let laplace = |location: f64, scale: f64| {
        move |u: f64| {
            let side = if u > 0.5 { -1.0 } else { 1.0 };
            let tail = (1.0 - 2.0 * (0.5 - u).abs() + 1e-6).ln();
            sigmoid(location - scale * side * tail)
        }
    };
    let cosine = |offset: f64| {
        let angle =
            move |u: f64| ((u + offset) / (1.0 + offset) * std::f64::consts::FRAC_PI_2).cos();
        move |u: f64| (angle(u) / angle(0.0)).powi(2)
    };
    let cases = [
        (
            "sigmoid_alpha_bar",
            Discrete::sigmoid_alpha_bar(5),
            of_alpha_bars(5, &falling(-3.0, 3.0, 1.0)),
        ),
        (
            "sigmoid_alpha_bar_with",
            Discrete::sigmoid_alpha_bar_with(7, -2.5, 3.5, 1.3),
            of_alpha_bars(7, &falling(-2.5, 3.5, 1.3)),
        ),
        (
            "laplace",
            Discrete::laplace(6, 0.3, 0.7),
            of_alpha_bars(6, &laplace(0.3, 0.7)),
        ),
        (
            "cosine_with",
            Discrete::cosine_with(6, 0.2, 0.999),
            of_alpha_bars(6, &cosine(0.2)),
        ),
        (
            "warm_up",
            Discrete::warm_up(10, 0.1, 0.2, 0.5),
            vec![0.1, 0.125, 0.15, 0.175, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2],
        ),
        (
            "harmonic",
            Discrete::harmonic(4),
            vec![0.25, 1.0 / 3.0, 0.5, 1.0],
        ),
        ("constant", Discrete::constant(3, 0.3), vec![0.3; 3]),
        (
            "exponential",
            Discrete::exponential(3, 6.0),
            vec![1.0 - (-2.0_f64).exp(); 3],
        ),
        (
            "sigmoid",
            Discrete::sigmoid(3, 0.1, 0.3),
            [-6.0, 0.0, 6.0].map(|x| 0.1 + 0.2 * sigmoid(x)).to_vec(),
        ),
        (
            "scaled_linear",
            Discrete::scaled_linear(3, 0.01, 0.09),
            vec![0.01, 0.04, 0.09],
        ),
        ("one step", Discrete::linear(1, 0.2, 0.4), vec![0.2]),
        (
            "two steps without signal at the end",
            Discrete::from_betas([0.2, 0.3]).and_then(|table| table.zero_terminal_snr()),
            vec![0.2, 1.0],
        ),
    ];
    for (name, table, expected) in cases {
        let table = table.unwrap();
        assert_eq!(table.len(), expected.len(), "{name}");
        let mut alpha_bar = 1.0;
        for (i, &beta) in expected.iter().enumerate() {
            assert!(
                off(table.betas()[i], beta) < 1e-12,
                "{name}: {:?}",
                table.betas()
            );
            alpha_bar *= 1.0 - beta;
            let found = table.levels()[i].alpha().powi(2);
            assert!((found - alpha_bar).abs() < 1e-12, "{name}, {i}: {found}");
        }
    }
}
