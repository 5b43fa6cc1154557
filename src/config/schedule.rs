//! One schedule for all classes, on one clock: what the network is given.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

use super::{
    betas,
    keys::Keys,
    table::Table,
    words::{BetaSchedule, Curve},
};
use crate::{
    Clock, Error, LogSnr, NoiseLevel, Sigma, Step, Time,
    schedule::{Cosine, NoiseSchedule, RectifiedFlow},
    time::MOST_STEPS,
};

/// What the network of a configured class is given, in the class's own units.
///
/// A training step, possibly fractional; `1000 t` of a flow, or `1 - t`; `ln(sigma) / 4` for EDM; `250 ln
/// sigma` for consistency models; `(2 / pi) atan(sigma)` for the cosine classes; an angle for sCM; sigma
/// or a time from 0 to 1.
#[doc(alias("timestep"))]
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[serde(transparent)]
pub struct Timestep(pub f64);

impl Clock for Timestep {
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
pub struct Schedule {
    pub(super) kind: Kind,
    whole: Whole,
}

/// Which whole number the network is given, if it is given whole ones.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Whole {
    Never,
    Nearest,
    /// One that is missed by no more than rounding errors is that one.
    Below,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A table of betas, given steps.
    Steps(Table),
    /// Variance preserving, given `ln(rho) / 4`.
    Continuous,
    /// A flow, given these numbers at its ends and evenly between them.
    Flow { at_data: f64, at_noise: f64 },
    /// `alpha = 1`, given sigma.
    Sigma { max: f64, min: f64 },
    /// `alpha = 1`, given this many times `ln sigma`.
    LogSigma { factor: f64, max: f64, min: f64 },
    /// `alpha = 1`, given `(2 / pi) atan(sigma)`.
    Atan { max: f64, min: f64 },
    /// A quarter turn, given the fraction of it.
    Quarter,
    /// `cos t`, `sigma_data sin t`, given `t`.
    Trig { data: f64 },
    /// A quarter turn with an offset, at a pace, between alpha bars of 1e-4 and 1 - 1e-4.
    Wuerstchen { pace: f64, offset: f64 },
}

impl Schedule {
    /// The levels of a class, by its rule.
    pub(super) fn of(keys: &Keys, rule: fn(&Keys) -> Result<Kind, Error>) -> Result<Self, Error> {
        let whole = match keys.is_multistep() {
            false => Whole::Never,
            true if is_rounded(keys)? => Whole::Nearest,
            true => Whole::Below,
        };
        let kind = rule(keys)?;
        Ok(Self { kind, whole })
    }

    /// The log-SNRs, noisiest first, between which the network is given numbers from `low` to `high`.
    pub(super) fn levels_time(
        &self,
        low: f64,
        high: f64,
    ) -> Result<Option<(LogSnr, LogSnr)>, Error> {
        const BARELY: f64 = 1e-9;
        let (low, high) = match self.whole {
            Whole::Never => (low, high),
            Whole::Nearest => (low - 0.5, high + 0.5),
            Whole::Below => (low - BARELY, high + 1.0 - 2.0 * BARELY),
        };
        let (Timestep(most), Timestep(least)) = self.ends();
        if low > most || high < least {
            return Ok(None);
        }
        let at = |time| Ok::<_, Error>(self.level(Timestep(time))?.log_snr());
        // What lies beyond an end is given that end, rounded or not.
        Ok(Some((
            if high < most {
                at(high)?
            } else {
                NoiseLevel::NOISE.log_snr()
            },
            if low > least {
                at(low)?
            } else {
                NoiseLevel::CLEAN.log_snr()
            },
        )))
    }

    /// The table of betas, for the classes that have one here.
    pub(super) fn table(&self) -> Option<&Table> {
        match &self.kind {
            Kind::Steps(table) => Some(table),
            _ => None,
        }
    }
}

/// Whether what the network is given is the nearest whole step, rather than the one below.
fn is_rounded(keys: &Keys) -> Result<bool, Error> {
    // Where it does not round, the list is truncated like all others.
    let is_truncated = keys.class.quirks.truncates_cosine
        && keys
            .choice("beta_schedule", keys.class.betas)
            .ok()
            .flatten()
            == Some(BetaSchedule::Cosine);
    let rounds = matches!(keys.curve()?, Some(Curve::Karras | Curve::Lu));
    Ok(rounds && !is_truncated && !keys.is_flow()?)
}

impl Kind {
    /// Steps of a table of betas.
    pub fn steps(keys: &Keys) -> Result<Self, Error> {
        Ok(Self::Steps(betas::table(keys)?))
    }

    /// The same, or a flow with `use_flow_sigmas`; the betas are made in any case.
    pub fn steps_or_flow(keys: &Keys) -> Result<Self, Error> {
        let steps = Self::steps(keys)?;
        match keys.is_flow()? {
            true => Self::flow(keys),
            false => Ok(steps),
        }
    }

    /// A flow, time so many times the time, or one less it.
    pub fn flow(keys: &Keys) -> Result<Self, Error> {
        let scale = keys.count_in("num_train_timesteps", 1..=MOST_STEPS)? as f64;
        Ok(match keys.flag("invert_sigmas")? {
            true => Self::Flow {
                at_data: scale,
                at_noise: 0.0,
            },
            false => Self::Flow {
                at_data: 0.0,
                at_noise: scale,
            },
        })
    }

    /// The sigmas between those of the keys.
    pub fn ends(keys: &Keys) -> Result<(f64, f64), Error> {
        let holds = |sigma| (1e-150..=1e150).contains(&sigma);
        let min = keys.number_if("sigma_min", holds, "1e-150 to 1e150")?;
        let max = keys.number("sigma_max")?;
        if max > min && max <= 1e150 {
            return Ok((max, min));
        }
        Err(match keys.has("sigma_min") && !keys.has("sigma_max") {
            true => keys.refuse("sigma_min", format!("below {max:?}, the sigma_max")),
            false => keys.refuse("sigma_max", format!("above {min:?} and up to 1e150")),
        })
    }

    pub fn log_sigma(keys: &Keys, factor: f64) -> Result<Self, Error> {
        let (max, min) = Self::ends(keys)?;
        Ok(Self::LogSigma { factor, max, min })
    }
}

impl NoiseSchedule for Schedule {
    type Time = Timestep;

    fn network_time(&self, Timestep(t): Timestep) -> Timestep {
        Timestep(match self.whole {
            Whole::Never => t,
            Whole::Nearest => t.round_ties_even(),
            Whole::Below => (t + 1e-9).floor(),
        })
    }

    fn level(&self, Timestep(t): Timestep) -> Result<NoiseLevel, Error> {
        match &self.kind {
            Kind::Steps(schedule) => schedule.level(Step::fractional(t)?),
            Kind::Continuous => {
                NoiseLevel::variance_preserving(LogSnr::from_sigma(Sigma::new((4.0 * t).exp())?))
            }
            Kind::Flow { at_data, at_noise } => {
                RectifiedFlow.level(Time::new((t - at_data) / (at_noise - at_data))?)
            }
            Kind::Sigma { .. } => NoiseLevel::new(1.0, t),
            Kind::Wuerstchen { pace, offset } => {
                let turned = match *pace > 1.0 {
                    true => 1.0 - (1.0 - t).powf(*pace),
                    false => t.powf(*pace),
                };
                let angle = |t: f64| ((t + offset) / (1.0 + offset) * FRAC_PI_2).cos();
                let alpha_bar = (angle(turned) / angle(0.0)).powi(2);
                NoiseLevel::from_alpha_bar(alpha_bar.clamp(1e-4, 1.0 - 1e-4))
            }
            Kind::LogSigma { factor, .. } => NoiseLevel::new(1.0, (t / factor).exp()),
            Kind::Atan { .. } => NoiseLevel::new(1.0, (t * FRAC_PI_2).tan()),
            Kind::Quarter => Cosine.level(Time::new(t)?),
            Kind::Trig { data } => {
                let turned = Cosine.level(Time::new(t * FRAC_2_PI)?)?;
                NoiseLevel::new(turned.alpha(), turned.sigma() * data)
            }
        }
    }

    fn time_at(&self, snr: LogSnr) -> Result<Timestep, Error> {
        let ln_sigma = -0.5 * snr.get();
        Ok(Timestep(match &self.kind {
            Kind::Steps(schedule) => schedule.time_at(snr)?.get(),
            Kind::Continuous => 0.25 * ln_sigma,
            Kind::Flow { at_data, at_noise } => {
                at_data + (at_noise - at_data) * RectifiedFlow.time_at(snr)?.get()
            }
            Kind::Sigma { .. } => ln_sigma.exp(),
            Kind::Wuerstchen { pace, offset } => {
                let alpha = NoiseLevel::variance_preserving(snr)?.alpha();
                let first = (offset / (1.0 + offset) * FRAC_PI_2).cos();
                let angle = (alpha * first).min(1.0).acos();
                let turned = (FRAC_2_PI * angle * (1.0 + offset) - offset).clamp(0.0, 1.0);
                match *pace > 1.0 {
                    true => 1.0 - (1.0 - turned).powf(pace.recip()),
                    false => turned.powf(pace.recip()),
                }
            }
            Kind::LogSigma { factor, .. } => factor * ln_sigma,
            Kind::Atan { .. } => FRAC_2_PI * ln_sigma.exp().atan(),
            Kind::Quarter => Cosine.time_at(snr)?.get(),
            Kind::Trig { data } => (ln_sigma.exp() / data).atan(),
        }))
    }

    fn ends(&self) -> (Timestep, Timestep) {
        match &self.kind {
            Kind::Steps(schedule) => {
                let (noisiest, cleanest) = schedule.ends();
                (Timestep(noisiest.get()), Timestep(cleanest.get()))
            }
            // The range of sigmas that EDM's grids span.
            Kind::Continuous => (
                Timestep(0.25 * 700_f64.ln()),
                Timestep(0.25 * 0.002_f64.ln()),
            ),
            Kind::Flow { at_data, at_noise } => (Timestep(*at_noise), Timestep(*at_data)),
            Kind::Sigma { max, min } => (Timestep(*max), Timestep(*min)),
            Kind::Wuerstchen { .. } => (Timestep(1.0), Timestep(0.0)),
            Kind::LogSigma { factor, max, min } => {
                (Timestep(factor * max.ln()), Timestep(factor * min.ln()))
            }
            Kind::Atan { max, min } => (
                Timestep(FRAC_2_PI * max.atan()),
                Timestep(FRAC_2_PI * min.atan()),
            ),
            Kind::Quarter => (Timestep(1.0), Timestep(0.0)),
            Kind::Trig { .. } => (Timestep(FRAC_PI_2), Timestep(0.0)),
        }
    }

    fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
        match &self.kind {
            Kind::Steps(_) | Kind::Continuous | Kind::Quarter | Kind::Wuerstchen { .. } => {
                NoiseLevel::variance_preserving(snr)
            }
            Kind::Flow { .. } => NoiseLevel::rectified_flow(snr),
            Kind::LogSigma { .. } | Kind::Atan { .. } | Kind::Sigma { .. } => {
                NoiseLevel::new(1.0, (-0.5 * snr.get()).exp())
            }
            Kind::Trig { .. } => self.level(self.time_at(snr)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::SchedulerConfig, schedule::Discrete};

    /// What is rounded to the nearest number is given it from half before to half beyond, and what is truncated to
    /// just below the next.
    #[test]
    fn levels_of_a_range_of_times() {
        let table = Discrete::linear(1000, 1e-4, 0.02).unwrap();
        let snr = |t: f64| {
            table
                .level(Step::fractional(t).unwrap())
                .unwrap()
                .log_snr()
                .get()
        };
        for (keys, low, high) in [
            ("", 199.999_999_999, 801.0 - 2e-9),
            (", \"use_karras_sigmas\": true", 199.5, 800.5),
        ] {
            let text = format!("{{\"_class_name\": \"SASolverScheduler\"{keys}}}");
            let config = SchedulerConfig::from_json(&text).unwrap();
            let found = config
                .schedule()
                .levels_time(200.0, 800.0)
                .unwrap()
                .unwrap();
            let off = |found: LogSnr, t: f64| (found.get() - snr(t)).abs();
            assert!(
                off(found.0, high) < 1e-7 && off(found.1, low) < 1e-7,
                "{found:?}"
            );
            // Beyond the ends there is all or nothing.
            let whole = config
                .schedule()
                .levels_time(-5.0, 2000.0)
                .unwrap()
                .unwrap();
            assert_eq!(
                (whole.0.get(), whole.1.get()),
                (f64::NEG_INFINITY, f64::INFINITY)
            );
            assert!(
                config
                    .schedule()
                    .levels_time(1001.0, 1002.0)
                    .unwrap()
                    .is_none()
            );
        }
        let text = r#"{"_class_name": "DDPMScheduler"}"#;
        let config = SchedulerConfig::from_json(text).unwrap();
        let found = config
            .schedule()
            .levels_time(200.0, 800.0)
            .unwrap()
            .unwrap();
        assert_eq!((found.0.get(), found.1.get()), (snr(800.0), snr(200.0)));
    }
}
