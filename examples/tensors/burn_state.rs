//! A network in burn, the state a tensor.
use crate::{Clock, Fallible, Shape};
use burn_tensor::{Device, Tensor};
use gaussian_diffusion::{Plan, Point, SeededNoise, Step, predicts};

pub fn sample(plan: &Plan<Step>, shape: Shape, clock: &Clock) -> Fallible<()> {
    let mut net = predicts::noise(|x: &Tensor<4>, _: Point<Step>| clock.time(|| x.clone() * 0.1));
    let mut noise = SeededNoise::new(42);
    let like = Tensor::<4>::zeros(<[usize; 4]>::from(shape), &Device::flex());
    plan.sample(plan.prior_like(&like, &mut noise)?, &mut net, &mut noise)?;
    Ok(())
}
