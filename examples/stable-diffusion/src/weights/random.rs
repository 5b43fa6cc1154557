//! Weights that nobody trained.

use candle_core::{Device, Tensor};
use gaussian_diffusion::{SeededNoise, noise::NoiseSource};
use ndarray::Array2;

use crate::Outcome;

/// Normal numbers of deviation `1 / sqrt(inputs)`; norms scale by 1.
pub(super) fn random(seed: u64, name: &str, shape: &[usize]) -> Outcome<Tensor> {
    if shape.len() == 1 {
        let value = if name.ends_with("bias") { 0.0_f32 } else { 1.0 };
        return Ok(Tensor::full(value, shape, &Device::Cpu)?);
    }
    // A name is a key of its own (FNV-1a).
    let key = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut numbers = Array2::<f32>::zeros((1, shape.iter().product::<usize>()));
    SeededNoise::new(seed ^ key).fill(&mut numbers)?;
    let inputs = shape.iter().skip(1).product::<usize>() as f64;
    let tensor = Tensor::from_vec(numbers.into_raw_vec_and_offset().0, shape, &Device::Cpu)?;
    Ok((tensor * inputs.sqrt().recip())?)
}
