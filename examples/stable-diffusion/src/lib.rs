//! Stable Diffusion 1, 2 and XL, from a prompt to a picture, as `cargo run --release -p stable-diffusion`.
//!
//! The samplers, their noise, the rules of guidance and the scheduler files are those of gaussian-diffusion;
//! here are the networks ([`clip`], [`unet`], [`vae`], [`controlnet`], made of [`blocks`]), the files that people
//! have ([`weights`], [`ldm`], [`lora`], [`words`], [`model`]), and what one does with them ([`pipeline`]).

// No panic on any data; tests may.
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod blocks;
pub mod cases;
pub mod clip;
pub mod controlnet;
pub mod job;
pub mod ldm;
pub mod lora;
pub mod model;
pub mod options;
pub mod parameters;
pub mod picture;
pub mod pipeline;
pub mod random;
pub mod seeds;
pub mod settings;
pub mod sheet;
pub mod tokens;
pub mod unet;
pub mod vae;
pub mod weights;
pub mod words;

/// What can go wrong, in words.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
