//! Schedules: how signal and noise change over time.

use gaussian_diffusion::{
    NoiseLevel, NoiseSchedule, Step, Time,
    schedule::{Discrete, RectifiedFlow},
};

use super::chart::{Axis, Chart, Curve, Outcome, Stroke};

const POINTS: usize = 120;

/// From 0 to 1, closer at both ends, where the log-SNR is steep.
fn share(i: usize) -> f64 {
    let even = i as f64 / POINTS as f64;
    even * even * (3.0 - 2.0 * even)
}

/// A schedule by its name: time and level.
type Named = (&'static str, Vec<(f64, NoiseLevel)>);

/// The levels of each schedule, by the share of its time.
fn schedules() -> Outcome<Vec<Named>> {
    let on_steps = |schedule: Discrete| {
        let last = (schedule.len() - 1) as f64;
        let level = |i| {
            let step = Step::fractional((share(i) * last).round())?;
            Ok((share(i), schedule.level(step)?))
        };
        (0..=POINTS)
            .map(level)
            .collect::<Result<Vec<_>, gaussian_diffusion::Error>>()
    };
    let flow = (0..=POINTS).map(|i| {
        let t = share(i);
        Ok((t, RectifiedFlow.level(Time::new(t)?)?))
    });
    Ok(vec![
        ("DDPM (linear)", on_steps(Discrete::ddpm(1000)?)?),
        ("cosine", on_steps(Discrete::cosine(1000)?)?),
        ("Stable Diffusion", on_steps(Discrete::stable_diffusion()?)?),
        (
            "rectified flow",
            flow.collect::<Result<_, gaussian_diffusion::Error>>()?,
        ),
    ])
}

/// `alpha` and `sigma`.
pub fn scales() -> Outcome<String> {
    let mut curves = Vec::new();
    for (i, (name, levels)) in schedules()?.into_iter().enumerate() {
        let alphas = levels
            .iter()
            .map(|(t, level)| (*t, level.alpha()))
            .collect();
        let sigmas = levels
            .iter()
            .map(|(t, level)| (*t, level.sigma()))
            .collect();
        curves.push(Curve::new(name, i, Stroke::Line, alphas));
        let mut thin = Curve::new("", i, Stroke::Line, sigmas);
        thin.width = 1.25;
        curves.push(thin);
    }
    let chart = Chart {
        title: "Signal (thick) falls, noise (thin) rises".to_owned(),
        x: Axis::linear("time: 0 the data, 1 the last training step", 0.0, 1.0, 6),
        y: Axis::linear("alpha, sigma", 0.0, 1.0, 6),
        curves,
        left: 62,
    };
    chart.svg(400)
}

/// The log-SNR.
pub fn log_snr() -> Outcome<String> {
    let mut curves = Vec::new();
    for (i, (name, levels)) in schedules()?.into_iter().enumerate() {
        let points = levels
            .iter()
            .map(|(t, level)| (*t, level.log_snr().get()))
            .collect();
        curves.push(Curve::new(name, i, Stroke::Line, points));
    }
    let chart = Chart {
        title: "The log-SNR falls with time".to_owned(),
        x: Axis::linear("time: 0 the data, 1 the last training step", 0.0, 1.0, 6),
        y: Axis::linear("log-SNR, nats", -12.0, 12.0, 7),
        curves,
        left: 62,
    };
    chart.svg(400)
}
