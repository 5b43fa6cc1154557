//! `cargo run --release -p with-candle`: a U-Net of candle with random weights, guided towards classes by
//! "DPM++ 2M Karras", what it predicts with and without a class in one batch. On a GPU with `--features candle-nn/cuda`.

#[cfg(test)]
mod tests;

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, Embedding, Linear, VarBuilder, VarMap};
use gaussian_diffusion::guidance::{Combination, Guided, Together};
use gaussian_diffusion::{Error, Point, Sampler, SeededNoise, Step};
use gaussian_diffusion::{candle, predicts, schedule::Discrete};
use ndarray::Array4;

/// Two resolutions, of pictures with 3 channels.
struct UNet {
    convolutions: [Conv2d; 5],
    time: Linear,
    class: Embedding,
}

impl UNet {
    fn new(classes: usize, weights: &VarBuilder) -> candle_core::Result<Self> {
        let convolution = |from, to, stride, name| {
            let mut config = Conv2dConfig::default();
            (config.stride, config.padding) = (stride, 1);
            candle_nn::conv2d(from, to, 3, config, weights.pp(name))
        };
        let enter = convolution(3, 16, 1, "enter")?;
        let down = convolution(16, 32, 2, "down")?;
        let middle = convolution(32, 32, 1, "middle")?;
        let up = convolution(48, 16, 1, "up")?;
        let leave = convolution(16, 3, 1, "leave")?;
        Ok(Self {
            convolutions: [enter, down, middle, up, leave],
            time: candle_nn::linear(16, 32, weights.pp("time"))?,
            class: candle_nn::embedding(classes, 32, weights.pp("class"))?,
        })
    }

    /// All pictures at one time, each with its class.
    fn forward(&self, x: &Tensor, time: f64, classes: &[u32]) -> candle_core::Result<Tensor> {
        let angles = (0..8).map(|i| time / 10_000_f64.powf(f64::from(i) / 8.0));
        let waves = angles.flat_map(|a| [a.sin() as f32, a.cos() as f32]);
        let waves = Tensor::from_iter(waves, x.device())?.unsqueeze(0)?;
        let class = self.class.forward(&Tensor::new(classes, x.device())?)?;
        let told = class.broadcast_add(&self.time.forward(&waves)?)?;
        let told = told.unsqueeze(2)?.unsqueeze(3)?;

        let [enter, down, middle, up, leave] = &self.convolutions;
        let fine = enter.forward(x)?.silu()?;
        let coarse = down.forward(&fine)?.broadcast_add(&told)?.silu()?;
        let coarse = middle.forward(&coarse)?.silu()?;
        let (_, _, height, width) = fine.dims4()?;
        let both = Tensor::cat(&[&coarse.upsample_nearest2d(height, width)?, &fine], 1)?;
        leave.forward(&up.forward(&both)?.silu()?)
    }
}

/// Draws a picture of each class; `none` is the class that stands for no class.
fn sample(net: &UNet, classes: &[u32], none: u32) -> Result<Array4<f32>, Error> {
    let both = [classes, &vec![none; classes.len()]].concat();
    let device = net.class.embeddings().device();
    let net = predicts::noise(|x: &Tensor, at: Point<Step>| net.forward(x, at.time.get(), &both));
    let net = candle::network(net, device, DType::F32);
    let mut net = Guided::new(Together::new(net, 2)?, Combination::classifier_free(7.5)?);
    let plan = Sampler::from_name("DPM++ 2M Karras")?.plan(&Discrete::stable_diffusion()?, 20)?;
    let mut noise = SeededNoise::new(42);
    let start = plan.prior((classes.len(), 3, 16, 16), &mut noise)?;
    plan.sample(start, &mut net, &mut noise)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::cuda_if_available(0)?;
    let weights = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &device);
    let pictures = sample(&UNet::new(11, &weights)?, &[3, 1, 4], 10)?;
    println!("{:?}, mean {:?}", pictures.dim(), pictures.mean());
    Ok(())
}
