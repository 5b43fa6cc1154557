//! The least there can be: a network on arrays.
use crate::{Clock, Fallible, Shape};
use gaussian_diffusion::{Plan, Point, SeededNoise, Step, predicts};
use ndarray::Array4;

pub fn sample(plan: &Plan<Step>, shape: Shape, clock: &Clock) -> Fallible<()> {
    let mut net = predicts::noise(|x: &Array4<f32>, _: Point<Step>| clock.time(|| x * 0.1));
    let mut noise = SeededNoise::new(42);
    plan.sample(plan.prior(shape, &mut noise)?, &mut net, &mut noise)?;
    Ok(())
}
