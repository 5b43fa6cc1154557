//! The network that is asked at every step: the U-Net of Stable Diffusion 1, 2 and XL.

mod config;
mod encoder;
mod told;

use candle_core::{DType, Result, Tensor};
use candle_nn::{Conv2d, GroupNorm, Module};

use crate::{
    Outcome,
    blocks::{ResNet, Transformer, upsample},
    weights::Scope,
};

pub use config::UNetConfig;
pub use encoder::{Encoded, Encoder};
pub use told::Told;

use encoder::Level;

/// The whole network.
#[derive(Debug, Clone)]
pub struct UNet {
    pub config: UNetConfig,
    encoder: Encoder,
    levels: Vec<Level>,
    norm: GroupNorm,
    leave: Conv2d,
    dtype: DType,
}

impl UNet {
    pub fn load(at: &Scope<'_>, config: &UNetConfig, dtype: DType) -> Outcome<Self> {
        let (size, count) = (config.resnet(), config.levels());
        if config.up_block_types.len() != count {
            let blocks = config.up_block_types.len();
            return Err(format!("{blocks} up_block_types for {count} block_out_channels").into());
        }
        let encoder = Encoder::load(at, config, dtype)?;
        // The channels of the ways across, of which the last is the first to be used.
        let mut across = vec![config.channels(0)?];
        for i in 0..count {
            let ways = config.layers_per_block + usize::from(i + 1 < count);
            across.extend(vec![config.channels(i)?; ways]);
        }
        let mut levels = Vec::new();
        let mut inputs = config.channels(count - 1)?;
        for (i, name) in config.up_block_types.iter().enumerate() {
            let at = at.at("up_blocks").at(i);
            let own = count - 1 - i;
            let outputs = config.channels(own)?;
            let mut level = Level {
                resnets: Vec::new(),
                transformers: Vec::new(),
                resample: None,
            };
            for j in 0..config.layers_per_block + 1 {
                let both = inputs + across.pop().unwrap_or_default();
                let resnet = ResNet::load(&at.at("resnets").at(j), both, outputs, size)?;
                level.resnets.push(resnet);
                inputs = outputs;
                if UNetConfig::attends(name)? {
                    let at = at.at("attentions").at(j);
                    let transformer = Transformer::load(&at, outputs, config.transformer(own)?)?;
                    level.transformers.push(transformer);
                }
            }
            if i + 1 < count {
                let at = at.at("upsamplers.0.conv");
                level.resample = Some(at.conv(outputs, outputs, 3, 1)?);
            }
            levels.push(level);
        }
        Ok(Self {
            encoder,
            levels,
            norm: at.at("conv_norm_out").group_norm(
                config.norm_num_groups,
                inputs,
                config.norm_eps,
            )?,
            leave: at.at("conv_out").conv(inputs, config.out_channels, 3, 1)?,
            config: config.clone(),
            dtype,
        })
    }

    /// What it computes in.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The answer to a picture (batch, channel, row, column), with what ControlNets add to the ways across.
    pub fn forward(
        &self,
        x: &Tensor,
        time: f64,
        told: &Told,
        control: &[Encoded],
    ) -> Result<Tensor> {
        let x = x.to_dtype(self.dtype)?;
        let Encoded {
            time,
            mut across,
            middle: mut x,
        } = self.encoder.forward(&x, time, told, None)?;
        for add in control {
            for (way, add) in across.iter_mut().zip(&add.across) {
                *way = (&*way + add)?;
            }
            x = (x + &add.middle)?;
        }
        for level in &self.levels {
            for (i, resnet) in level.resnets.iter().enumerate() {
                let Some(way) = across.pop() else {
                    candle_core::bail!("fewer ways across than blocks")
                };
                x = resnet.forward(&Tensor::cat(&[&x, &way], 1)?, Some(&time))?;
                if let Some(transformer) = level.transformers.get(i) {
                    x = transformer.forward(&x, &told.text)?;
                }
            }
            if let Some(conv) = &level.resample {
                // That of the way across, which is not always twice as large.
                let size = across.last().map(|way| (way.dims()[2], way.dims()[3]));
                x = upsample(&x, conv, size)?;
            }
        }
        self.leave
            .forward(&self.norm.forward(&x)?.silu()?)?
            .to_dtype(DType::F32)
    }
}
