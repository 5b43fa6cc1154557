//! Likelihoods of arrays: the variational bound, the exact likelihood by the probability flow, and the
//! probability of a sampler's steps.
//!
//! | wanted | function | unit |
//! |---|---|---|
//! | the three terms of the bound, per item | [`VariationalBound`] | nats |
//! | the bound in continuous time | [`ContinuousBound`] | nats |
//! | the exact log-density, and latents | [`ProbabilityFlow`] | nats |
//! | the same along a plan, with its solver | [`PlannedFlow`] | nats |
//! | `log p(x_s \| x_t)` of a stochastic step | [`step_log_density`] | nats |
//! | bits per dimension | [`LogProbability::bits_per_dim`] | bits / dim |
//!
//! Sums are over the elements of an item, never means. Discrete data has a [`LogProbability`],
//! continuous data a [`LogDensity`]; neither is added to the other, and only the first has bits per
//! dimension. The derivation of the bound is in [the page on likelihoods](crate::docs::likelihood).

mod bound;
mod bound_step;
mod continuous;
mod decoder;
mod divergence;
pub(crate) mod elements;
mod estimate;
mod expected;
mod flow;
mod flow_density;
mod normal;
mod planned_flow;
mod runge_kutta;
mod step;
mod units;

pub use bound::{BoundTerms, VariationalBound};
pub use bound_step::BoundStep;
pub use continuous::{ContinuousBound, ContinuousTerms};
pub use decoder::{Continuous, Decoder, Discretized};
pub use divergence::{Divergence, DivergenceOf, Exact, Hutchinson};
pub use estimate::Estimate;
pub use flow::{Latent, ProbabilityFlow};
pub use flow_density::FlowLikelihood;
pub use planned_flow::{PlannedFlow, PlannedLikelihood};
pub use step::{StepDensity, step_log_density};
pub use units::{BitsPerDim, InNats, LogDensity, LogProbability, Nats};
