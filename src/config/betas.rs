//! The betas of a configuration.

use super::{keys::Keys, table::Table, words::BetaSchedule};
use crate::{Error, NoiseLevel, schedule::Discrete, time::MOST_STEPS};

/// What classes that count in sigma leave of the signal at zero terminal SNR.
const TRACE: f64 = 1.0 / 16_777_216.0;

/// The betas, and the changes of the schedule that a configuration may ask for.
pub(super) fn table(keys: &Keys) -> Result<Table, Error> {
    let schedule = shifted(keys, betas(keys)?)?;
    if !keys.flag("rescale_betas_zero_snr")? {
        return Ok(schedule.into());
    }
    let key = "rescale_betas_zero_snr";
    let schedule = keys.blame(key, schedule.zero_terminal_snr())?;
    if !keys.class.quirks.leaves_a_trace {
        return Ok(schedule.into());
    }
    let mut alpha_bars = alpha_bars(&schedule);
    if let Some(last) = alpha_bars.last_mut() {
        *last = TRACE;
    }
    // Betas that leave less than the trace before the last step give sigmas that go down at the end.
    Ok(match Discrete::from_alpha_bars(&alpha_bars) {
        Ok(schedule) => schedule.into(),
        Err(_) => Table::ending_at(schedule, NoiseLevel::from_alpha_bar(TRACE)?),
    })
}

fn betas(keys: &Keys) -> Result<Discrete, Error> {
    let steps = keys.count_in("num_train_timesteps", 1..=MOST_STEPS)?;
    let trained = "trained_betas";
    let number = serde_json::Value::as_f64;
    if let Some(betas) = keys.optional_list(trained, number, "null or a list of numbers")? {
        if betas.is_empty() {
            return Err(keys.refuse(trained, "null or a list of numbers"));
        }
        return keys.blame(trained, Discrete::from_betas(betas));
    }
    let end = |key| {
        let holds = |beta| (1e-300..1.0).contains(&beta);
        keys.number_if(key, holds, "1e-300 to below 1")
    };
    let run = |between: fn(usize, f64, f64) -> Result<Discrete, Error>| {
        let (start, end) = (end("beta_start")?, end("beta_end")?);
        let (small, large) = match start < end {
            true => ("beta_start", "beta_end"),
            false => ("beta_end", "beta_start"),
        };
        between(steps, start, end).or_else(|error| {
            // Steps that are too small to differ, or leave no signal.
            let is_small = matches!(error, Error::NotMonotone { .. });
            keys.blame(if is_small { small } else { large }, Err(error))
        })
    };
    let long = |schedule| keys.blame("num_train_timesteps", schedule);
    match keys.word("beta_schedule", keys.class.betas)? {
        BetaSchedule::Linear => run(Discrete::linear),
        BetaSchedule::ScaledLinear => run(Discrete::scaled_linear),
        BetaSchedule::Sigmoid => run(Discrete::sigmoid),
        BetaSchedule::Cosine => long(Discrete::cosine(steps)),
        BetaSchedule::Exponential => long(Discrete::exponential(steps, 12.0)),
        BetaSchedule::Laplace => {
            // The roots of the alpha bars of the paper, in the place of these.
            let betas = long(Discrete::laplace(steps, 0.0, 0.5))?;
            let rooted = |&beta: &f64| beta / (1.0 + (1.0 - beta).sqrt());
            let betas = betas.betas().iter().map(rooted);
            long(Discrete::from_betas(betas.collect::<Vec<_>>()))
        }
    }
}

fn alpha_bars(schedule: &Discrete) -> Vec<f64> {
    let levels = schedule.levels().iter();
    levels.map(|level| level.alpha().powi(2)).collect()
}

/// The schedule with the SNR of each step divided by `snr_shift_scale`.
fn shifted(keys: &Keys, schedule: Discrete) -> Result<Discrete, Error> {
    let key = "snr_shift_scale";
    if keys.get(key).is_none() {
        return Ok(schedule);
    }
    let k = keys.number_if(key, |k| k > 0.0, "above 0")?;
    let shift = |a: f64| a / (k + (1.0 - k) * a);
    let shifted: Vec<_> = alpha_bars(&schedule).into_iter().map(shift).collect();
    keys.blame(key, Discrete::from_alpha_bars(&shifted))
}
