//! How far a network in half precision leads from one in f64, by the type of the state.
use crate::{Fallible, by_hand::Own};
use candle_core::{DType, Device, Tensor};
use gaussian_diffusion::{
    Plan, Point, SeededNoise, Step, noise::NoiseSource, predicts, state::Elements,
};

const VARIANCE: f64 = 0.25;

/// The exact answer for Gaussian data, multiplied in this type.
fn noise_in(x: &Tensor, at: Point<Step>, dtype: DType) -> candle_core::Result<Tensor> {
    let (alpha, sigma) = (at.level.alpha(), at.level.sigma());
    x.to_dtype(dtype)? * (sigma / (alpha * alpha * VARIANCE + sigma * sigma))
}

/// A run whose state is of the one type and whose network is of the other.
fn sample(plan: &Plan<Step>, start: &Tensor, state: DType, network: DType) -> Fallible<Vec<f64>> {
    let mut net = predicts::noise(|x: &Tensor, at: Point<Step>| noise_in(x, at, network));
    let start = start.to_dtype(state)?;
    Ok(plan
        .sample(start, &mut net, &mut SeededNoise::new(1))?
        .numbers()?)
}

/// The same with every sum rounded to the type, as a type by hand does it.
fn sample_by_hand(plan: &Plan<Step>, start: &Tensor, dtype: DType) -> Fallible<Vec<f64>> {
    let network = |x: &Own, at: Point<Step>| noise_in(&x.0, at, dtype).map(Own);
    let start = Own(start.to_dtype(dtype)?);
    Ok(plan
        .sample(
            start,
            &mut predicts::noise(network),
            &mut SeededNoise::new(1),
        )?
        .numbers()?)
}

/// Errors relative to the samples, root mean square.
pub fn table(plan: &Plan<Step>) -> Fallible<Vec<String>> {
    let mut start = Tensor::zeros((16, 4096), DType::F32, &Device::Cpu)?;
    SeededNoise::new(42).fill(&mut start)?;
    let row = |(name, dtype): (&str, DType)| {
        // All start from the same numbers.
        let start = start.to_dtype(dtype)?;
        let exact = sample(plan, &start, DType::F64, DType::F64)?;
        let off = |drawn: Fallible<Vec<f64>>| -> Fallible<String> {
            let squares = drawn?
                .iter()
                .zip(&exact)
                .map(|(a, b)| (a - b).powi(2))
                .sum::<f64>();
            let size = exact.iter().map(|x| x * x).sum::<f64>();
            Ok(format!("{:.1e}", (squares / size).sqrt()))
        };
        let wide = off(sample(plan, &start, DType::F32, dtype))?;
        let own = off(sample(plan, &start, dtype, dtype))?;
        let by_hand = off(sample_by_hand(plan, &start, dtype))?;
        Ok(format!("| {name} | {wide} | {own} | {by_hand} |"))
    };
    [("`f16`", DType::F16), ("`bf16`", DType::BF16)]
        .map(row)
        .into_iter()
        .collect()
}
