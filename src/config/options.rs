//! What a file does not say.

use super::{Timestep, facts::Argument, keys::Keys, sequence::SequenceLength};
use crate::{Error, Plan, Sigma};

/// What diffusers is given at call time rather than by a file.
///
/// A class reads some of these;
/// [`ignored_options`](super::SchedulerConfig::ignored_options) lists those that are set and idle.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Options {
    /// Of DDIM (0 unless set) and TCD (0.3 unless set).
    pub eta: Option<f64>,
    /// `s_churn` of Euler.
    pub churn: f64,
    /// `s_tmin` and `s_tmax` of Euler.
    pub churn_range: Option<(Sigma, Sigma)>,
    /// `s_noise` of the classes that have it as an argument.
    pub noise_factor: f64,
    /// The shift `mu` of `use_dynamic_shifting`.
    pub mu: Option<f64>,
    /// The length of the sequence, from which `mu` follows where it is not given.
    pub sequence: Option<SequenceLength>,
    /// Sigmas in place of the class's own, before they are shifted: pipelines of FLUX give
    /// `1, .., 1/n`. `LTXEulerAncestralRFScheduler` and `MiniMaxH3Scheduler` take them as they are.
    pub sigmas: Option<Vec<f64>>,
    /// Training steps in place of the class's own, in falling order.
    pub timesteps: Option<Vec<f64>>,
    /// The share of the original steps that LCM and TCD take theirs from (1 unless set).
    pub strength: Option<f64>,
    /// How `RePaintScheduler` goes back.
    pub jumps: Jumps,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            eta: None,
            churn: 0.0,
            churn_range: None,
            noise_factor: 1.0,
            mu: None,
            sequence: None,
            sigmas: None,
            timesteps: None,
            strength: None,
            jumps: Jumps::default(),
        }
    }
}

impl Options {
    /// The names of those that are set and that the class does not read.
    pub(super) fn ignored(&self, keys: &Keys) -> Result<Vec<&'static str>, Error> {
        let plain = Self::default();
        let is_shifted = keys.flag("use_dynamic_shifting")?
            && (keys.get("use_flow_sigmas").is_none() || keys.is_flow()?);
        let reads = |argument| match argument {
            Argument::Mu => keys.class.reads(argument) && is_shifted,
            Argument::Sigmas if keys.is_multistep() => {
                keys.class.reads(argument) && keys.is_flow().unwrap_or(false)
            }
            _ => keys.class.reads(argument),
        };
        let all = [
            ("eta", self.eta != plain.eta, Argument::Eta),
            ("churn", self.churn != plain.churn, Argument::Churn),
            (
                "churn_range",
                self.churn_range != plain.churn_range,
                Argument::Churn,
            ),
            (
                "noise_factor",
                self.noise_factor != plain.noise_factor,
                Argument::NoiseFactor,
            ),
            ("mu", self.mu != plain.mu, Argument::Mu),
            ("sequence", self.sequence != plain.sequence, Argument::Mu),
            ("sigmas", self.sigmas != plain.sigmas, Argument::Sigmas),
            (
                "timesteps",
                self.timesteps != plain.timesteps,
                Argument::Timesteps,
            ),
            (
                "strength",
                self.strength != plain.strength,
                Argument::Strength,
            ),
            ("jumps", self.jumps != plain.jumps, Argument::Jumps),
        ];
        let idle = all
            .into_iter()
            .filter(|(_, is_set, argument)| *is_set && !reads(*argument));
        Ok(idle.map(|(name, ..)| name).collect())
    }
}

/// `jump_length` and `jump_n_sample` of RePaint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jumps {
    /// Steps of a jump back.
    #[doc(alias("jump_length"))]
    pub length: usize,
    /// How often these steps are gone.
    #[doc(alias("jump_n_sample"))]
    pub passes: usize,
}

impl Default for Jumps {
    fn default() -> Self {
        Self {
            length: 10,
            passes: 10,
        }
    }
}

impl Jumps {
    /// The plan with its jumps: whole stretches counted from the end, but for the first one.
    pub(super) fn apply(self, plan: &Plan<Timestep>) -> Result<Plan<Timestep>, Error> {
        let steps = plan.steps();
        let inner = steps.saturating_sub(self.length);
        let stretches = inner.div_ceil(self.length.max(1));
        let first = steps.saturating_sub(stretches.saturating_mul(self.length));
        plan.resampled_within(first..steps, self.length, self.passes)
    }
}
