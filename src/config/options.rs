//! What a file does not say.

use super::Timestep;
use crate::{Error, Plan, Sigma};

/// What diffusers is given at call time rather than by a file.
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
    /// The length of the sequence, from which `mu` follows.
    pub length: Option<usize>,
    /// Sigmas in place of the class's own, before they are shifted: pipelines of FLUX give
    /// `1, .., 1/n`. `LTXEulerAncestralRFScheduler` and `MiniMaxH3Scheduler` take them as they are.
    pub sigmas: Option<Vec<f64>>,
    /// How `RePaintScheduler` goes back.
    pub jumps: Jumps,
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

impl Default for Options {
    fn default() -> Self {
        Self {
            eta: None,
            churn: 0.0,
            churn_range: None,
            noise_factor: 1.0,
            mu: None,
            length: None,
            sigmas: None,
            jumps: Jumps::default(),
        }
    }
}
