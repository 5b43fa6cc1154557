//! The mathematics of Gaussian diffusion models: noise schedules, the forward process, posteriors,
//! samplers, training targets. The network is yours.
//!
#![doc = include_str!("../docs/links.md")]
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

// The layers, each resting on those above it.

// Plain numbers: times, noise levels, errors, quantiles, small systems, and loops over many.
mod dense;
mod error;
mod level;
mod monomial;
mod per_item;
mod point;
mod quantile;
#[cfg(feature = "serde")]
mod serialized;
mod simd;
mod time;

// Formulas of levels: what a prediction means, the posterior, its variance.
mod gaussian;
mod model_variance;
mod parameterization;
mod posterior;
mod variance;

// Which noise level belongs to which time, and which of them a run visits.
pub mod grid;
pub mod schedule;

// From levels to coefficients, and the sampler as a table of them.
pub mod plan;
pub mod solver;

// Tensors, and noise for them.
pub mod noise;
pub mod state;

// The network's side, and the loop between it and a plan.
pub mod denoiser;
mod edit;
pub mod guidance;
pub mod predicts;
mod run;

// What users call.
pub mod editing;
pub mod forward;
pub mod likelihood;
mod mixture;
pub mod sampler;
pub mod training;

// A plan made from a network.
pub mod fit;

#[cfg(feature = "serde")]
pub mod config;

// Tensors of other libraries.
#[cfg(feature = "burn")]
pub mod burn;
#[cfg(feature = "candle")]
pub mod candle;

#[cfg(feature = "laws")]
pub mod laws;

/// Longer texts: guides, figures and papers. Their examples are tests.
// What a page refers to, a picture or another page, is defined at its end as a file, for readers of the
// repository. Here `docs/images/NAME.md` defines the picture as data and `docs/links.md` the pages as modules;
// the first definition counts.
pub mod docs {
    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/guide/index.md")]
    pub mod guide {
        #[doc = include_str!("../docs/links.md")]
        #[doc = include_str!("../docs/images/digits.md")]
        #[doc = include_str!("../docs/images/mixture.md")]
        #[doc = include_str!("../docs/guide/forward.md")]
        pub mod forward {}
        #[doc = include_str!("../docs/links.md")]
        #[doc = include_str!("../docs/images/schedules.md")]
        #[doc = include_str!("../docs/images/log_snr.md")]
        #[doc = include_str!("../docs/guide/schedules.md")]
        pub mod schedules {}
        #[doc = include_str!("../docs/links.md")]
        #[doc = include_str!("../docs/guide/posterior.md")]
        pub mod posterior {}
        #[doc = include_str!("../docs/links.md")]
        #[doc = include_str!("../docs/guide/bound.md")]
        pub mod bound {}
        #[doc = include_str!("../docs/links.md")]
        #[doc = include_str!("../docs/guide/mean.md")]
        pub mod mean {}
        #[doc = include_str!("../docs/links.md")]
        #[doc = include_str!("../docs/images/weights.md")]
        #[doc = include_str!("../docs/guide/training.md")]
        pub mod training {}
        #[doc = include_str!("../docs/links.md")]
        #[doc = include_str!("../docs/images/digits.md")]
        #[doc = include_str!("../docs/images/paths.md")]
        #[doc = include_str!("../docs/guide/sampling.md")]
        pub mod sampling {}
        #[doc = include_str!("../docs/links.md")]
        #[doc = include_str!("../docs/guide/equations.md")]
        pub mod equations {}
        #[doc = include_str!("../docs/links.md")]
        #[doc = include_str!("../docs/images/grids.md")]
        #[doc = include_str!("../docs/guide/solvers.md")]
        pub mod solvers {}
        #[doc = include_str!("../docs/links.md")]
        #[doc = include_str!("../docs/images/guidance.md")]
        #[doc = include_str!("../docs/guide/guidance.md")]
        pub mod guidance {}
        #[doc = include_str!("../docs/links.md")]
        #[doc = include_str!("../docs/guide/flow_matching.md")]
        pub mod flow_matching {}
        #[doc = include_str!("../docs/links.md")]
        #[doc = include_str!("../docs/guide/elsewhere.md")]
        pub mod elsewhere {}
    }
    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/images/why.md")]
    #[doc = include_str!("../docs/images/why_fields.md")]
    #[doc = include_str!("../docs/images/why_pixels.md")]
    #[doc = include_str!("../docs/images/digits_ways.md")]
    #[doc = include_str!("../docs/images/digits_noise.md")]
    #[doc = include_str!("../docs/images/digits_quality.md")]
    #[doc = include_str!("../docs/why.md")]
    pub mod why {}
    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/images/errors.md")]
    #[doc = include_str!("../docs/images/errors_stochastic.md")]
    #[doc = include_str!("../docs/images/grids.md")]
    #[doc = include_str!("../docs/samplers.md")]
    pub mod samplers {}
    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/images/digits_fitted.md")]
    #[doc = include_str!("../docs/images/digits_few.md")]
    #[doc = include_str!("../docs/fitting.md")]
    pub mod fitting {}
    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/names.md")]
    pub mod names {}
    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/images/weights.md")]
    #[doc = include_str!("../docs/training.md")]
    pub mod training {}
    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/likelihood.md")]
    pub mod likelihood {}
    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/images/guidance.md")]
    #[doc = include_str!("../docs/guidance.md")]
    pub mod guidance {}
    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/stable_diffusion.md")]
    pub mod stable_diffusion {}
    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/comparison.md")]
    pub mod comparison {}
    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/faq.md")]
    pub mod faq {}
    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/networks.md")]
    pub mod networks {}
    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/precision.md")]
    pub mod precision {}
    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/speed.md")]
    pub mod speed {}
    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/scaling.md")]
    pub mod scaling {}
    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/design.md")]
    pub mod design {}
    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/papers.md")]
    pub mod papers {}
}

pub use ndarray_rand::rand;
pub use rand_distr;

#[doc(inline)]
pub use denoiser::{Denoiser, Prediction};
pub use error::Error;
#[doc(inline)]
pub use forward::ForwardProcess;
pub use gaussian::gaussian_kl;
#[doc(inline)]
pub use grid::Grid;
pub use level::{LogSnr, NoiseLevel};
pub use mixture::{FittedMixture, GaussianMixture, MixtureCovariance, MixtureFit};
pub use model_variance::{DenoisingVariance, ModelVariance, ReverseVariance};
#[doc(inline)]
pub use noise::SeededNoise;
pub use parameterization::{LinearMap, Parameterization, PathRates, SigmaData};
#[doc(inline)]
pub use plan::Plan;
pub use point::Point;
pub use posterior::{Markov, NonMarkovian, Posterior, PosteriorCoefficients};
pub use run::{Checks, ParallelRun, Run, SavedRun};
#[doc(inline)]
pub use sampler::Sampler;
#[doc(inline)]
pub use schedule::NoiseSchedule;
#[doc(inline)]
pub use solver::ReverseStep;
#[doc(inline)]
pub use state::State;
pub use time::{Clock, Sigma, Step, Time};
pub use variance::{LogVariance, UpdateNoise, Variance};
