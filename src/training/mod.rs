//! What a training loop needs besides the network.
//!
//! | to | use |
//! |---|---|
//! | draw the times of a batch | [`times`] |
//! | noise the data | [`ForwardProcess::draw_jump`](crate::ForwardProcess::draw_jump), [`OffsetNoise`], [`InputPerturbation`] |
//! | know what the network should say | [`ForwardProcess::target`](crate::ForwardProcess::target) |
//! | measure the distance to it, per item | [`squared_error`], [`absolute_error`], [`huber_error`] |
//! | weigh it by noise level | [`Weight`], [`weighted_mean`] |
//! | average parameters | [`Ema`], [`EmaRule`], [`PowerProfile`] |
//!
//! A whole training step is in the [training guide](crate::docs::training).

mod ema;
mod form;
mod input_perturbation;
mod learned_variance;
mod loss;
mod offset_noise;
mod post_hoc;
mod power_profile;
pub mod times;
mod weight;

pub use ema::{Ema, EmaRule};
pub use input_perturbation::InputPerturbation;
pub use learned_variance::{HybridLoss, HybridTerms};
#[cfg(any(feature = "candle", feature = "burn"))]
pub(crate) use loss::check_weights;
pub use loss::{
    Distance, Losses, PerItem, absolute_error, huber_error, squared_error, weighted_mean,
};
pub use offset_noise::OffsetNoise;
pub use post_hoc::PostHoc;
pub use power_profile::PowerProfile;
pub use weight::Weight;
