//! One schedule for all classes, on one clock: what the network is told.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

use super::keys::Keys;
use crate::{
    Clock, Error, LogSnr, NoiseLevel, Sigma, Step, Time,
    schedule::{Cosine, Discrete, NoiseSchedule, RectifiedFlow},
};

/// What the network of a configured class is told, in the class's own units.
///
/// A training step, possibly fractional; `1000 t` of a flow; `ln(sigma) / 4` for EDM; `250 ln sigma` for
/// consistency models; `(2 / pi) atan(sigma)` for the cosine classes; an angle for sCM.
#[doc(alias("timestep"))]
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[serde(transparent)]
pub struct Told(pub f64);

impl Clock for Told {
    fn reading(self) -> f64 {
        self.0
    }

    fn toward(self, other: Self, fraction: f64) -> Self {
        Self(Time::new(self.0).map_or(self.0, |a| {
            Time::new(other.0).map_or(self.0, |b| a.toward(b, fraction).get())
        }))
    }
}

/// The noise schedule of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule(pub(super) Kind);

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A table of betas, told steps.
    Steps(Discrete),
    /// Variance preserving, told `ln(rho) / 4`.
    Continuous,
    /// A flow, told this many times its time.
    Flow(f64),
    /// `alpha = 1`, told this many times `ln sigma`.
    LogSigma { factor: f64, max: f64, min: f64 },
    /// `alpha = 1`, told `(2 / pi) atan(sigma)`.
    Atan { max: f64, min: f64 },
    /// A quarter turn, told the fraction of it.
    Quarter,
    /// `cos t`, `sigma_data sin t`, told `t`.
    Trig { data: f64 },
}

impl Schedule {
    pub(super) fn read(keys: &Keys, n_sigma_space: bool) -> Result<Self, Error> {
        let ends = || Ok::<_, Error>((keys.number("sigma_max")?, keys.number("sigma_min")?));
        Ok(Self(match keys.class.as_str() {
            "EDMEulerScheduler" | "EDMDPMSolverMultistepScheduler" => {
                let ((max, min), factor) = (ends()?, 0.25);
                Kind::LogSigma { factor, max, min }
            }
            "CMStochasticIterativeScheduler" => {
                let ((max, min), factor) = (ends()?, 250.0);
                Kind::LogSigma { factor, max, min }
            }
            "CosineDPMSolverMultistepScheduler" => {
                let (max, min) = ends()?;
                Kind::Atan { max, min }
            }
            "IPNDMScheduler" => {
                keys.unset("trained_betas")?;
                Kind::Quarter
            }
            "SCMScheduler" => Kind::Trig {
                data: crate::SigmaData::new(keys.number("sigma_data")?)?.get(),
            },
            class if class.starts_with("FlowMatch") => {
                Kind::Flow(keys.count("num_train_timesteps")? as f64)
            }
            _ if keys.flag("use_flow_sigmas")? => {
                Kind::Flow(keys.count("num_train_timesteps")? as f64)
            }
            _ if keys.word("timestep_type")? == "continuous"
                && keys.word("prediction_type")? == "v_prediction" =>
            {
                Kind::Continuous
            }
            _ => Kind::Steps(discrete(keys, n_sigma_space)?),
        }))
    }
}

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
        (_, "sigmoid") if class.starts_with("DDPM") => {
            Discrete::sigmoid(steps, ends()?.0, ends()?.1)?
        }
        (_, "exp") if class == "HeunDiscreteScheduler" => Discrete::exponential(steps, 12.0)?,
        _ => {
            let allowed =
                "linear, scaled_linear, squaredcos_cap_v2; sigmoid for DDPM, exp for Heun";
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
            if let Some(last) = alpha_bars.last_mut() {
                *last = 2.0_f64.powi(-24);
            }
            schedule = Discrete::from_alpha_bars(&alpha_bars)?;
        }
    }
    Ok(schedule)
}

impl NoiseSchedule for Schedule {
    type Time = Told;

    fn level(&self, Told(t): Told) -> Result<NoiseLevel, Error> {
        match &self.0 {
            Kind::Steps(schedule) => schedule.level(Step::fractional(t)?),
            Kind::Continuous => {
                NoiseLevel::variance_preserving(LogSnr::from_sigma(Sigma::new((4.0 * t).exp())?))
            }
            Kind::Flow(scale) => RectifiedFlow.level(Time::new(t / scale)?),
            Kind::LogSigma { factor, .. } => NoiseLevel::new(1.0, (t / factor).exp()),
            Kind::Atan { .. } => NoiseLevel::new(1.0, (t * FRAC_PI_2).tan()),
            Kind::Quarter => Cosine.level(Time::new(t)?),
            Kind::Trig { data } => {
                let turned = Cosine.level(Time::new(t * FRAC_2_PI)?)?;
                NoiseLevel::new(turned.alpha(), turned.sigma() * data)
            }
        }
    }

    fn time_at(&self, snr: LogSnr) -> Result<Told, Error> {
        let ln_sigma = -0.5 * snr.get();
        Ok(Told(match &self.0 {
            Kind::Steps(schedule) => schedule.time_at(snr)?.get(),
            Kind::Continuous => 0.25 * ln_sigma,
            Kind::Flow(scale) => scale * RectifiedFlow.time_at(snr)?.get(),
            Kind::LogSigma { factor, .. } => factor * ln_sigma,
            Kind::Atan { .. } => FRAC_2_PI * ln_sigma.exp().atan(),
            Kind::Quarter => Cosine.time_at(snr)?.get(),
            Kind::Trig { data } => (ln_sigma.exp() / data).atan(),
        }))
    }

    fn ends(&self) -> (Told, Told) {
        match &self.0 {
            Kind::Steps(schedule) => {
                let (noisiest, cleanest) = schedule.ends();
                (Told(noisiest.get()), Told(cleanest.get()))
            }
            // The range of sigmas that EDM's grids span.
            Kind::Continuous => (Told(0.25 * 700_f64.ln()), Told(0.25 * 0.002_f64.ln())),
            Kind::Flow(scale) => (Told(*scale), Told(0.0)),
            Kind::LogSigma { factor, max, min } => {
                (Told(factor * max.ln()), Told(factor * min.ln()))
            }
            Kind::Atan { max, min } => (Told(FRAC_2_PI * max.atan()), Told(FRAC_2_PI * min.atan())),
            Kind::Quarter => (Told(1.0), Told(0.0)),
            Kind::Trig { .. } => (Told(FRAC_PI_2), Told(0.0)),
        }
    }

    fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
        match &self.0 {
            Kind::Steps(_) | Kind::Continuous | Kind::Quarter => {
                NoiseLevel::variance_preserving(snr)
            }
            Kind::Flow(_) => NoiseLevel::rectified_flow(snr),
            Kind::LogSigma { .. } | Kind::Atan { .. } => {
                NoiseLevel::new(1.0, (-0.5 * snr.get()).exp())
            }
            Kind::Trig { .. } => self.level(self.time_at(snr)?),
        }
    }
}
