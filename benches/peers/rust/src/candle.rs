//! candle-transformers' DDPM.

use std::hint::black_box;

use candle_core::{Device, Tensor};
use candle_transformers::models::stable_diffusion::ddpm::{DDPMScheduler, DDPMSchedulerConfig};

use crate::{Fallible, Row, Shape, steps, timed, values};

// Its default is the one of schedulers.json: scaled-linear betas, fixed small variance, no clipping.
fn scheduler() -> Fallible<DDPMScheduler> {
    Ok(DDPMScheduler::new(50, DDPMSchedulerConfig::default())?)
}

fn tensor(numbers: Vec<f32>, shape: Shape) -> Fallible<Tensor> {
    Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
}

fn tensor_of(shape: Shape, which: usize) -> Fallible<Tensor> {
    tensor(values(shape, which).into_raw_vec_and_offset().0, shape)
}

/// A step in the middle of a run.
pub fn ddpm(shape: Shape) -> Fallible<Row> {
    let (scheduler, x, answer) = (scheduler()?, tensor_of(shape, 0)?, tensor_of(shape, 1)?);
    let step = scheduler.timesteps()[25];
    Ok(timed(move || {
        black_box(scheduler.step(&answer, step, &x)?);
        Ok(())
    }))
}

/// The only step without noise, from where this crate's last step starts.
pub fn last_step(shape: Shape) -> Fallible<Vec<f32>> {
    let mut x = steps::end(shape)?;
    x.truncate(x.len() / 2);
    let x = scheduler()?.step(&tensor_of(shape, 1)?, 0, &tensor(x, shape)?)?;
    Ok(x.flatten_all()?.to_vec1()?)
}
