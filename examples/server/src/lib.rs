//! A server that draws digits for many clients at once: `cargo run --release -p server`.
//!
//! Jobs come at any time, each with a sampler, a seed and a number of steps of its own. A run asks
//! ([`Run::pending`]), the [`batch`] of all that ask is one call of the network, and each is answered
//! ([`Run::supply`]). What a [`job`] gets is, to the bit, what it would get alone.
//!
//! [`Run::pending`]: gaussian_diffusion::Run::pending
//! [`Run::supply`]: gaussian_diffusion::Run::supply

// No panic on any data; tests may.
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod batch;
pub mod engine;
pub mod events;
pub mod job;
pub mod progress;
pub mod register;
pub mod routes;
pub mod service;
pub mod store;

/// One picture or several, a row each.
pub type Pictures = ndarray::Array2<f32>;
