//! Standard normal numbers into an array that is there already.

use gaussian_diffusion::{
    SeededNoise,
    noise::NoiseSource,
    rand::{Rng, SeedableRng, rngs::StdRng},
    rand_distr::StandardNormal,
};

use crate::{Fallible, Row, Shape, Tensor, timed};

/// This crate's.
pub fn seeded(shape: Shape) -> Fallible<Row> {
    let (mut x, mut noise) = (Tensor::zeros(shape), SeededNoise::new(1));
    Ok(timed(move || Ok(noise.fill(&mut x)?)))
}

/// This crate's, from a generator of the user's.
pub fn from_rng(shape: Shape) -> Fallible<Row> {
    let (mut x, mut rng) = (Tensor::zeros(shape), StdRng::seed_from_u64(1));
    Ok(timed(move || Ok(NoiseSource::fill(&mut rng, &mut x)?)))
}

/// The usual way in Rust.
pub fn rand_distr(shape: Shape) -> Fallible<Row> {
    let (mut x, mut rng) = (Tensor::zeros(shape), StdRng::seed_from_u64(1));
    Ok(timed(move || {
        x.iter_mut().for_each(|x| *x = rng.sample(StandardNormal));
        Ok(())
    }))
}
