//! What a training loop needs besides the network.
//!
//! | to | use |
//! |---|---|
//! | draw the times of a batch | [`times`] |
//! | noise the data | [`ForwardProcess::draw_jump`](crate::ForwardProcess::draw_jump), [`OffsetNoise`], [`InputPerturbation`] |
//! | know what the network should say | [`ForwardProcess::target`](crate::ForwardProcess::target) |
//! | measure the distance to it, per item | [`squared_error`], [`absolute_error`], [`huber_error`], [`pseudo_huber_error`], [`pseudo_huber_norm`] |
//! | measure it element by element, or where a mask says | [`element_error`], [`masked_error`], [`mask_weights`] |
//! | weigh it by noise level | [`Weight`], [`weighted_mean`] |
//! | let it weigh itself by noise level | [`Uncertainty`], [`magnitude`] |
//! | choose which noise goes with which data | [`coupling`], [`BrownianBridge`] |
//! | train a network of few steps | [`consistency`], [`flow_map`], [`progressive_target`], [`distribution_matching_target`] |
//! | average parameters | [`Ema`], [`EmaRule`], [`PowerProfile`] |
//!
//! A whole training step is in the [training guide](crate::docs::training).

mod brownian_bridge;
mod combined;
pub mod consistency;
pub mod coupling;
mod distillation;
mod ema;
pub mod flow_map;
mod form;
mod input_perturbation;
mod learned_variance;
mod loss;
pub mod magnitude;
mod offset_noise;
mod post_hoc;
mod power_profile;
pub mod times;
mod uncertainty;
mod weight;

pub use brownian_bridge::BrownianBridge;
pub use distillation::{distribution_matching_target, progressive_target};
pub use ema::{Ema, EmaRule};
pub use input_perturbation::InputPerturbation;
pub use learned_variance::{HybridLoss, HybridTerms};
pub use loss::{
    Distance, ItemLosses, Losses, absolute_error, element_error, huber_error, mask_weights,
    masked_error, pseudo_huber_error, pseudo_huber_norm, squared_error, weighted_mean,
};
#[cfg(any(feature = "candle", feature = "burn"))]
pub(crate) use loss::{check_mask, check_weights, thresholds};
pub use offset_noise::OffsetNoise;
pub use post_hoc::PostHoc;
pub use power_profile::PowerProfile;
pub use uncertainty::{Uncertainty, UncertaintyTerms, uncertainty_loss};
pub use weight::Weight;
