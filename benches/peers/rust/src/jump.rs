//! The jump of a training step, a time per item.

use std::hint::black_box;

use gaussian_diffusion::{ForwardProcess, SeededNoise, Step, schedule::Discrete};

use crate::{Fallible, Row, Shape, timed, values};

fn times(items: usize) -> Vec<Step> {
    (0..items).map(|i| Step::new(i * 7 % 1000)).collect()
}

pub fn row(shape: Shape) -> Fallible<Row> {
    let schedule = Discrete::stable_diffusion()?;
    let (x0, times) = (values(shape, 0), times(shape.0));
    let mut noise = SeededNoise::new(1);
    Ok(timed(move || {
        black_box(schedule.draw_jump(&x0, &times, &mut noise)?);
        Ok(())
    }))
}

pub fn into_kept_arrays(shape: Shape) -> Fallible<Row> {
    let schedule = Discrete::stable_diffusion()?;
    let (x0, times) = (values(shape, 0), times(shape.0));
    let (mut x_t, mut eps) = (x0.clone(), x0.clone());
    let mut noise = SeededNoise::new(1);
    Ok(timed(move || {
        schedule.draw_jump_into(&x0, &times, &mut noise, &mut x_t, &mut eps)?;
        Ok(())
    }))
}

pub fn probe(shape: Shape) -> Fallible<Vec<f32>> {
    let schedule = Discrete::stable_diffusion()?;
    let x = schedule.jump(&values(shape, 0), &times(shape.0), &values(shape, 1))?;
    Ok(x.into_raw_vec_and_offset().0)
}
