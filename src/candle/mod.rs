//! Networks and states in candle (feature `candle`).
//!
//! **A network in candle, the state an array.** [`network`] puts a closure over
//! [`candle_core::Tensor`] behind arrays of ndarray, with one copy each way. That is the
//! short way, and on a CPU the copies cost nothing beside a network:
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use gaussian_diffusion::{Plan, Point, Sampler, SeededNoise, Step, candle, predicts, schedule::Discrete};
//! use ndarray::Array4;
//!
//! # fn unet(x: &Tensor, _: f64) -> candle_core::Result<Tensor> { x * 0.1 }
//! let plan = Sampler::from_name("DPM++ 2M Karras")?.plan(&Discrete::stable_diffusion()?, 20)?;
//! let net = predicts::noise(|x: &Tensor, at: Point<Step>| unet(x, at.time.get()));
//! let mut net = candle::network(net, &Device::Cpu, DType::F32);
//! let mut noise = SeededNoise::new(42);
//! let start: Array4<f32> = plan.prior((2, 4, 8, 8), &mut noise)?;
//! let x0 = plan.sample(start, &mut net, &mut noise)?;
//! # Ok::<(), gaussian_diffusion::Error>(())
//! ```
//!
//! **The state a tensor.** [`Tensor`](candle_core::Tensor) is a [`State`](crate::State) itself, with an
//! [`ErrorNorm`](crate::state::ErrorNorm) and noise from every source of this crate. On a GPU nothing but the checks
//! for NaN comes back to the host during a run, and when those are made is [your choice](crate::Run::with_checks):
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use gaussian_diffusion::{Checks, Error, Point, Sampler, SeededNoise, Step, predicts, schedule::Discrete};
//!
//! # fn unet(x: &Tensor, _: f64) -> candle_core::Result<Tensor> { x * 0.1 }
//! let plan = Sampler::from_name("DPM++ 2M Karras")?.plan(&Discrete::stable_diffusion()?, 20)?;
//! let mut net = predicts::noise(|x: &Tensor, at: Point<Step>| unet(x, at.time.get()));
//! let mut noise = SeededNoise::new(42);
//! let like = Tensor::zeros((2, 4, 8, 8), DType::F32, &Device::Cpu).map_err(Error::tensor)?;
//! let run = plan.start_from(plan.prior_like(&like, &mut noise)?, &mut noise)?;
//! let x0 = run.with_checks(Checks::AtTheEnd).sample(&mut net, &mut noise)?;
//! # Ok::<(), Error>(())
//! ```
//!
//! # What is where
//!
//! | tensors | sums | noise |
//! |---|---|---|
//! | on the CPU | the kernel of this crate, with the bits of arrays | made in the same pass |
//! | on another device | multiply-adds of candle | made on the host, with the bits of arrays, and copied: 4 bytes a number |
//! | that a gradient is to flow through | operations of candle, which keep the graph | |
//!
//! - Tensors share their memory with their clones, so none is ever written to: a tensor that you kept, be it the
//!   start, an answer or a preview, does not change under a run. Every update makes a new one, which takes the memory
//!   of one that nobody holds any more.
//! - Halves (`f16`, `bf16`) are [kept](crate::state::Wider) as `f32` in a run, and an answer of less precision than the
//!   state is widened; of more it is refused. A network in half precision on a state in `f32` is `net.forward(&x.to_dtype(DType::BF16)?)`.
//! - A run keeps no graph: no gradient flows through it. The [forward process](crate::ForwardProcess), targets,
//!   conversions of predictions and [losses](crate::training::squared_error) keep it.
//! - Where every item has coefficients of its own on another device than the CPU, they are copied there.
//! - [`TorchCuda`](crate::noise::TorchCuda), Brownian paths and any other source are made on the host too.

mod elements;
mod host;
mod loss;
mod network;
mod operations;
mod state;

pub use network::{Network, network};

use crate::Error;

impl From<candle_core::Error> for Error {
    /// A network of candle that fails in a closure whose errors are those of this crate.
    fn from(error: candle_core::Error) -> Self {
        Self::network(error)
    }
}
