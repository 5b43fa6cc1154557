//! The first half of a U-Net.

use candle_core::{DType, Result, Tensor};
use candle_nn::{Conv2d, Module};

use super::{Told, UNetConfig, told::Times};
use crate::{
    Outcome,
    blocks::{ResNet, Transformer},
    weights::Scope,
};

/// Blocks of one resolution: ResNets, with a transformer behind each of them where they attend.
#[derive(Debug, Clone)]
pub(super) struct Level {
    pub(super) resnets: Vec<ResNet>,
    pub(super) transformers: Vec<Transformer>,
    /// To the next resolution, if there is one.
    pub(super) resample: Option<Conv2d>,
}

/// The first half, down to the smallest resolution, and its middle: what a ControlNet copies.
#[derive(Debug, Clone)]
pub struct Encoder {
    times: Times,
    enter: Conv2d,
    levels: Vec<Level>,
    middle: (ResNet, Transformer, ResNet),
}

/// What the first half gives to the second.
#[derive(Debug, Clone)]
pub struct Encoded {
    pub time: Tensor,
    /// One for each way across, from the largest resolution on.
    pub across: Vec<Tensor>,
    pub middle: Tensor,
}

impl Encoder {
    pub fn load(at: &Scope<'_>, config: &UNetConfig, dtype: DType) -> Outcome<Self> {
        let (size, count) = (config.resnet(), config.levels());
        if config.down_block_types.len() != count || count == 0 {
            let blocks = config.down_block_types.len();
            return Err(format!("{blocks} down_block_types for {count} block_out_channels").into());
        }
        let mut levels = Vec::new();
        let mut inputs = config.channels(0)?;
        for (i, name) in config.down_block_types.iter().enumerate() {
            let (at, outputs) = (at.at("down_blocks").at(i), config.channels(i)?);
            let mut level = Level {
                resnets: Vec::new(),
                transformers: Vec::new(),
                resample: None,
            };
            for j in 0..config.layers_per_block {
                let resnet = ResNet::load(&at.at("resnets").at(j), inputs, outputs, size)?;
                level.resnets.push(resnet);
                inputs = outputs;
                if UNetConfig::attends(name)? {
                    let at = at.at("attentions").at(j);
                    let transformer = Transformer::load(&at, outputs, config.transformer(i)?)?;
                    level.transformers.push(transformer);
                }
            }
            if i + 1 < count {
                let at = at.at("downsamplers.0.conv");
                level.resample = Some(at.conv(outputs, outputs, 3, 2)?);
            }
            levels.push(level);
        }
        let (middle, last) = (at.at("mid_block"), config.channels(count - 1)?);
        let transformer = config.transformer(count - 1)?;
        Ok(Self {
            times: Times::load(at, config, dtype)?,
            enter: at
                .at("conv_in")
                .conv(config.in_channels, config.channels(0)?, 3, 1)?,
            levels,
            middle: (
                ResNet::load(&middle.at("resnets.0"), last, last, size)?,
                Transformer::load(&middle.at("attentions.0"), last, transformer)?,
                ResNet::load(&middle.at("resnets.1"), last, last, size)?,
            ),
        })
    }

    /// Of a picture (batch, channel, row, column), with what is added to it where it has entered.
    pub fn forward(
        &self,
        x: &Tensor,
        time: f64,
        told: &Told,
        hint: Option<&Tensor>,
    ) -> Result<Encoded> {
        let time = self.times.forward(time, told)?;
        let mut x = self.enter.forward(x)?;
        if let Some(hint) = hint {
            x = x.broadcast_add(hint)?;
        }
        let mut across = vec![x.clone()];
        for level in &self.levels {
            for (i, resnet) in level.resnets.iter().enumerate() {
                x = resnet.forward(&x, Some(&time))?;
                if let Some(transformer) = level.transformers.get(i) {
                    x = transformer.forward(&x, &told.text)?;
                }
                across.push(x.clone());
            }
            if let Some(conv) = &level.resample {
                x = conv.forward(&x)?;
                across.push(x.clone());
            }
        }
        let (first, transformer, second) = &self.middle;
        let x = first.forward(&x, Some(&time))?;
        let x = transformer.forward(&x, &told.text)?;
        let middle = second.forward(&x, Some(&time))?;
        Ok(Encoded {
            time,
            across,
            middle,
        })
    }
}
