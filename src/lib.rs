//! The mathematics of Gaussian diffusion models: noise schedules, the forward process, posteriors,
//! samplers, training targets. The network is yours.
//!
#![doc = include_str!("../docs/tour.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
// No panic on any data; tests may.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::todo,
        clippy::unimplemented,
        clippy::unreachable,
        clippy::dbg_macro,
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

mod box_muller;
mod error;
mod simd;
mod time;

mod level;

mod gaussian;
mod posterior;
mod variance;

mod monomial;
mod parameterization;

pub mod schedule;

pub mod grid;

pub mod solver;

pub mod plan;

pub mod state;

pub mod noise;

pub mod denoiser;
mod dpm_adaptive;
mod edit;
pub mod editing;
pub mod forward;
pub mod guidance;
pub mod likelihood;
mod mixture;
mod run;
pub mod sampler;
pub mod training;

#[cfg(feature = "serde")]
mod serialized;

#[cfg(feature = "serde")]
pub mod config;

#[cfg(feature = "laws")]
pub mod laws;

#[doc = include_str!("../docs/guide.md")]
pub mod guide {}
#[doc = include_str!("../docs/samplers.md")]
pub mod which_sampler {}
#[doc = include_str!("../docs/training.md")]
pub mod training_guide {}
#[doc = include_str!("../docs/likelihood.md")]
pub mod likelihood_guide {}
#[doc = include_str!("../docs/guidance.md")]
pub mod steering {}
#[doc = include_str!("../docs/precision.md")]
pub mod precision {}
#[doc = include_str!("../docs/speed.md")]
pub mod speed {}
#[doc = include_str!("../docs/papers.md")]
pub mod papers {}

pub use ndarray_rand::{rand, rand_distr};

pub use denoiser::{Denoiser, Point, Prediction, predicts};
pub use dpm_adaptive::{DpmAdaptive, DpmAdaptiveReport};
pub use edit::{Edit, StepEnd};
pub use error::Error;
pub use forward::ForwardProcess;
pub use gaussian::gaussian_kl;
pub use grid::Grid;
pub use level::{LogSnr, NoiseLevel};
pub use mixture::GaussianMixture;
pub use noise::SeededNoise;
pub use parameterization::{LinearMap, Parameterization, SigmaData};
pub use plan::Plan;
pub use posterior::{PosteriorCoefficients, NonMarkovian, Markov, Posterior};
pub use run::Run;
pub use sampler::Sampler;
pub use schedule::NoiseSchedule;
pub use solver::ReverseStep;
pub use state::State;
pub use time::{Clock, Sigma, Step, Time};
pub use variance::{LogVariance, ModelVariance, UpdateNoise, Variance};
