//! The betas of a configuration.

use super::keys::Keys;
use crate::{Error, schedule::Discrete};

/// The betas, and the changes of the schedule that a configuration may ask for.
pub(super) fn discrete(keys: &Keys, in_sigma_space: bool) -> Result<Discrete, Error> {
    let steps = keys.count("num_train_timesteps")?;
    let ends = || Ok::<_, Error>((keys.number("beta_start")?, keys.number("beta_end")?));
    let class = keys.class.as_str();
    let trained = keys.numbers("trained_betas", serde_json::Value::as_f64)?;
    let schedule = match (trained, keys.word("beta_schedule")?) {
        (Some(betas), _) => Discrete::from_betas(betas)?,
        (_, "linear") => Discrete::linear(steps, ends()?.0, ends()?.1)?,
        (_, "scaled_linear") => Discrete::scaled_linear(steps, ends()?.0, ends()?.1)?,
        (_, "squaredcos_cap_v2") => Discrete::cosine(steps)?,
        (_, "sigmoid") if class.starts_with("DDPM") || class.starts_with("RePaint") => {
            Discrete::sigmoid(steps, ends()?.0, ends()?.1)?
        }
        (_, "laplace") if class.starts_with("DDPM") => {
            // The roots of the alpha bars of the paper, in the place of these.
            let betas = Discrete::laplace(steps, 0.0, 0.5)?;
            let rooted = |&beta: &f64| beta / (1.0 + (1.0 - beta).sqrt());
            Discrete::from_betas(betas.betas().iter().map(rooted).collect::<Vec<_>>())?
        }
        (_, "exp") if class == "HeunDiscreteScheduler" => Discrete::exponential(steps, 12.0)?,
        _ => {
            let allowed = "linear, scaled_linear, squaredcos_cap_v2; sigmoid and laplace for DDPM, \
                           sigmoid for RePaint, exp for Heun";
            return Err(keys.refuse("beta_schedule", allowed));
        }
    };
    let alpha_bars = |schedule: &Discrete| -> Vec<f64> {
        let levels = schedule.levels().iter();
        levels.map(|level| level.alpha().powi(2)).collect()
    };
    let mut schedule = match keys.optional("snr_shift_scale")? {
        None => schedule,
        Some(k) => {
            let shift = |a: f64| a / (k + (1.0 - k) * a);
            let shifted: Vec<_> = alpha_bars(&schedule).into_iter().map(shift).collect();
            Discrete::from_alpha_bars(&shifted)?
        }
    };
    if keys.flag("rescale_betas_zero_snr")? {
        schedule = schedule.zero_terminal_snr()?;
        if in_sigma_space {
            // Classes that count in sigma leave a trace of signal.
            let mut alpha_bars = alpha_bars(&schedule);
            if let [.., before, last] = alpha_bars.as_mut_slice() {
                *last = 2.0_f64.powi(-24);
                if *before <= *last {
                    let allowed = "false for betas that leave less than 2^-24 before the last step";
                    return Err(keys.refuse("rescale_betas_zero_snr", allowed));
                }
            }
            schedule = Discrete::from_alpha_bars(&alpha_bars)?;
        }
    }
    Ok(schedule)
}
