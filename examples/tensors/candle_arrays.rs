//! A network in candle, the state an array.
use crate::{Clock, Fallible, Shape};
use candle_core::{DType, Device, Tensor};
use gaussian_diffusion::{Plan, Point, SeededNoise, Step, candle, predicts};
use ndarray::Array4;

pub fn sample(plan: &Plan<Step>, shape: Shape, clock: &Clock) -> Fallible<()> {
    let net = predicts::noise(|x: &Tensor, _: Point<Step>| clock.time(|| x * 0.1));
    let mut net = candle::network(net, &Device::Cpu, DType::F32);
    let mut noise = SeededNoise::new(42);
    let start: Array4<f32> = plan.prior(shape, &mut noise)?;
    plan.sample(start, &mut net, &mut noise)?;
    Ok(())
}
