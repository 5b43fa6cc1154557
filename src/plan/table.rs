//! A plan printed as a table.

use std::fmt;

use super::Plan;
use crate::{UpdateNoise, solver::Update};

/// `{}` is one line; `{:#}` is the whole table, one row per evaluation.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Discrete, solver::Ddim};
/// let schedule = Discrete::cosine(1000)?;
/// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 2)?, &Ddim::default())?;
/// assert_eq!(plan.to_string(), "DDIM: 2 steps, 2 evaluations, log-SNR -19.84 to inf");
/// assert_eq!(format!("{plan:#}").lines().count(), 4);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
impl<T: fmt::Debug> fmt::Display for Plan<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (steps, evaluations) = (self.levels.len() - 1, self.stages.len());
        write!(f, "{}: {steps} steps, {evaluations} evaluations", self.name)?;
        if let (Some(first), Some(last)) = (self.levels.first(), self.levels.last()) {
            write!(
                f,
                ", log-SNR {:.2} to {:.2}",
                first.log_snr().get(),
                last.log_snr().get()
            )?;
        }
        if !f.alternate() {
            return Ok(());
        }
        write!(
            f,
            "\n step          time      alpha      sigma   log-SNR  update"
        )?;
        for planned in &self.stages {
            let (point, stage) = (&planned.point, &planned.stage);
            write!(
                f,
                "\n{:>5}  {:>12}  {:>9.6}  {:>9.6}  {:>8.3}  ",
                point.step,
                format!("{:.2?}", point.time),
                point.level.alpha(),
                point.level.sigma(),
                point.level.log_snr().get(),
            )?;
            let basis = format!("{:?}", stage.basis).to_lowercase();
            let updates = [
                ("before: x", &stage.renoise),
                ("x", &stage.commit),
                ("trial", &stage.trial),
            ];
            let mut separator = "";
            if stage.discards {
                write!(f, "a draw thrown away")?;
                separator = "; ";
            }
            for (target, update) in updates {
                if let Some(update) = update {
                    write!(f, "{separator}{target} <- ")?;
                    write_update(f, update, &basis)?;
                    separator = "; ";
                }
            }
        }
        Ok(())
    }
}

fn write_update(f: &mut fmt::Formatter<'_>, update: &Update, basis: &str) -> fmt::Result {
    write!(f, "{:.6} x", update.state)?;
    for (age, coefficient) in update.model.iter().enumerate() {
        let sign = if *coefficient < 0.0 { '-' } else { '+' };
        write!(f, " {sign} {:.6} {basis}", coefficient.abs())?;
        if age > 0 {
            write!(f, "[-{age}]")?;
        }
    }
    if let Some(shift) = update.shift {
        let sign = if shift < 0.0 { '-' } else { '+' };
        write!(f, " {sign} {:.6} shift", shift.abs())?;
    }
    match update.noise {
        UpdateNoise::Std(0.0) => Ok(()),
        UpdateNoise::Std(std) => write!(f, " + {std:.6} z"),
        UpdateNoise::Learned => write!(f, " + learned z"),
        UpdateNoise::LearnedRange { min, max } => {
            write!(f, " + ({:.6} to {:.6}) z", min.std(), max.std())
        }
    }
}
