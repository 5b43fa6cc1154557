//! A network in candle, the state a tensor.
use crate::{Clock, Fallible, Shape};
use candle_core::{DType, Device, Tensor};
use gaussian_diffusion::{Plan, Point, SeededNoise, Step, predicts};

pub fn sample(plan: &Plan<Step>, shape: Shape, clock: &Clock) -> Fallible<()> {
    let mut net = predicts::noise(|x: &Tensor, _: Point<Step>| clock.time(|| x * 0.1));
    let mut noise = SeededNoise::new(42);
    let like = Tensor::zeros(shape, DType::F32, &Device::Cpu)?;
    plan.sample(plan.prior_like(&like, &mut noise)?, &mut net, &mut noise)?;
    Ok(())
}
