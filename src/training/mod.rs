//! What a training loop needs besides the network.
//!
//! The target of a network is [`ForwardProcess::target`](crate::ForwardProcess::target); this is the
//! distance to it.

mod learned_variance;
mod loss;

pub use learned_variance::{HybridLoss, HybridTerms};
pub use loss::squared_error;
