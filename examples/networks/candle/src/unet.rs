//! A U-Net of candle, which is told a time and a class.

use candle_core::{Module, Result, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, Embedding, Linear, VarBuilder, conv2d, embedding, linear};

/// Two resolutions, and a bridge between them.
#[derive(Debug, Clone)]
pub struct UNet {
    enter: Conv2d,
    down: Conv2d,
    middle: Conv2d,
    up: Conv2d,
    leave: Conv2d,
    time: Linear,
    class: Embedding,
}

impl UNet {
    /// Of pictures with 3 channels, with these classes.
    pub fn new(classes: usize, weights: VarBuilder) -> Result<Self> {
        let conv = |from, to, stride, name| {
            let config = Conv2dConfig {
                padding: 1,
                stride,
                ..Conv2dConfig::default()
            };
            conv2d(from, to, 3, config, weights.pp(name))
        };
        Ok(Self {
            enter: conv(3, 16, 1, "enter")?,
            down: conv(16, 32, 2, "down")?,
            middle: conv(32, 32, 1, "middle")?,
            up: conv(48, 16, 1, "up")?,
            leave: conv(16, 3, 1, "leave")?,
            time: linear(16, 32, weights.pp("time"))?,
            class: embedding(classes, 32, weights.pp("class"))?,
        })
    }

    /// What it says of each picture, all at one time, each with its class.
    pub fn forward(&self, x: &Tensor, time: f64, classes: &[u32]) -> Result<Tensor> {
        let angle = |i| time / 10_000_f64.powf(f64::from(i) / 8.0);
        let angles = (0..8).flat_map(|i| [angle(i).sin() as f32, angle(i).cos() as f32]);
        let time = Tensor::from_iter(angles, x.device())?.unsqueeze(0)?;
        let classes = self.class.forward(&Tensor::new(classes, x.device())?)?;
        let told = self.time.forward(&time)?.broadcast_add(&classes)?;

        let fine = self.enter.forward(x)?.silu()?;
        let coarse = self.down.forward(&fine)?;
        let coarse = coarse
            .broadcast_add(&told.unsqueeze(2)?.unsqueeze(3)?)?
            .silu()?;
        let coarse = self.middle.forward(&coarse)?.silu()?;
        let (_, _, height, width) = fine.dims4()?;
        let both = Tensor::cat(&[&coarse.upsample_nearest2d(height, width)?, &fine], 1)?;
        self.leave.forward(&self.up.forward(&both)?.silu()?)
    }
}
