//! Networks and states in burn (feature `burn`).
//!
//! **A network in burn, the state an array.** [`network`] puts a closure over [`burn_tensor::Tensor`] (which is
//! `burn::tensor::Tensor`) behind arrays of ndarray, with one copy each way:
//!
//! ```
//! use burn_tensor::{Device, FloatDType, Tensor};
//! use gaussian_diffusion::{Point, Sampler, SeededNoise, Step, burn, predicts, schedule::Discrete};
//! use ndarray::Array4;
//!
//! # fn unet(x: Tensor<4>, _: f64) -> Tensor<4> { x * 0.1 }
//! let plan = Sampler::from_name("DPM++ 2M Karras")?.plan(&Discrete::stable_diffusion()?, 20)?;
//! let net = predicts::noise(|x: &Tensor<4>, at: Point<Step>| unet(x.clone(), at.time.get()));
//! let mut net = burn::network(net, &Device::flex(), FloatDType::F32);
//! let mut noise = SeededNoise::new(42);
//! let start: Array4<f32> = plan.prior((2, 4, 8, 8), &mut noise)?;
//! let x0 = plan.sample(start, &mut net, &mut noise)?;
//! # Ok::<(), gaussian_diffusion::Error>(())
//! ```
//!
//! **The state a tensor.** [`Tensor`](burn_tensor::Tensor) is a [`State`](crate::State) itself, with an
//! [`ErrorNorm`](crate::state::ErrorNorm) and noise from every source of this crate. On a GPU nothing but the checks
//! for NaN comes back to the host during a run, and when those are made is [your choice](crate::Run::with_checks):
//!
//! ```
//! use burn_tensor::{Device, Tensor};
//! use gaussian_diffusion::{Checks, Point, Sampler, SeededNoise, Step, predicts, schedule::Discrete};
//!
//! # fn unet(x: Tensor<4>, _: f64) -> Tensor<4> { x * 0.1 }
//! let plan = Sampler::from_name("DPM++ 2M Karras")?.plan(&Discrete::stable_diffusion()?, 20)?;
//! let mut net = predicts::noise(|x: &Tensor<4>, at: Point<Step>| unet(x.clone(), at.time.get()));
//! let mut noise = SeededNoise::new(42);
//! let like = Tensor::<4>::zeros([2, 4, 8, 8], &Device::flex());
//! let run = plan.start_from(plan.prior_like(&like, &mut noise)?, &mut noise)?;
//! let x0 = run.with_checks(Checks::AtTheEnd).sample(&mut net, &mut noise)?;
//! # Ok::<(), gaussian_diffusion::Error>(())
//! ```
//!
//! # What is where
//!
//! | tensors | sums | noise |
//! |---|---|---|
//! | of the backend Flex, on the CPU | the kernel of this crate, with the bits of arrays | made in the same pass |
//! | of another backend | multiply-adds of burn | made on the host, with the bits of arrays, and copied: 4 bytes a number |
//! | with autodiff | operations of burn, which keep the graph | |
//!
//! - Tensors share their memory with their clones. One that somebody else holds is copied before it is written to, so
//!   that what you kept, be it the start, an answer or a preview, does not change under a run.
//! - Halves (`f16`, `bf16`) are [kept](crate::state::Wider) as `f32` in a run, and an answer of less precision than the
//!   state is widened; of more it is refused. A network in half precision on a state in `f32` casts what it is shown.
//! - A run keeps no graph: what it keeps is without autodiff. The [forward process](crate::ForwardProcess), targets,
//!   conversions of predictions and [losses](crate::training::squared_error) keep it.
//! - The feature brings in burn's backend Flex, without its threads and SIMD: your own dependency on burn turns those on.
//! - burn panics where candle returns an error, out of memory for one. Shapes and types of numbers are checked here first.

mod elements;
mod host;
mod loss;
mod network;
mod operations;
mod state;

pub use network::{Network, network};
