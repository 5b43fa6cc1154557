//! The network that is asked at every step: the U-Net of Stable Diffusion 1, 2 and XL.

use std::f64::consts::LN_10;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Conv2d, Embedding, GroupNorm, Linear, Module};
use serde::{Deserialize, Serialize};

use crate::{
    Outcome,
    blocks::{Perceptron, ResNet, ResNetSize, Transformer, TransformerSize, upsample},
    settings::{Each, Fixed},
    weights::Scope,
};

/// `unet/config.json`, of which a ControlNet's has a part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UNetConfig {
    #[serde(default)]
    pub sample_size: Option<usize>,
    pub in_channels: usize,
    #[serde(default = "four")]
    pub out_channels: usize,
    pub block_out_channels: Vec<usize>,
    pub down_block_types: Vec<String>,
    #[serde(default)]
    pub up_block_types: Vec<String>,
    pub layers_per_block: usize,
    /// The number of heads, in spite of its name.
    #[serde(default = "eight")]
    pub attention_head_dim: Each<usize>,
    #[serde(default)]
    pub num_attention_heads: Option<Each<usize>>,
    pub cross_attention_dim: usize,
    #[serde(default = "one")]
    pub transformer_layers_per_block: Each<usize>,
    #[serde(default)]
    pub use_linear_projection: bool,
    #[serde(default = "thirty_two")]
    pub norm_num_groups: usize,
    #[serde(default = "small")]
    pub norm_eps: f64,
    #[serde(default = "yes")]
    pub flip_sin_to_cos: bool,
    #[serde(default)]
    pub freq_shift: f64,
    #[serde(default)]
    pub class_embed_type: Option<String>,
    #[serde(default)]
    pub num_class_embeds: Option<usize>,
    #[serde(default)]
    pub addition_embed_type: Option<String>,
    #[serde(default)]
    pub addition_time_embed_dim: Option<usize>,
    #[serde(default)]
    pub projection_class_embeddings_input_dim: Option<usize>,
    #[serde(default)]
    pub time_cond_proj_dim: Option<usize>,
}

fn four() -> usize {
    4
}
fn eight() -> Each<usize> {
    Each::Same(8)
}
fn one() -> Each<usize> {
    Each::Same(1)
}
fn thirty_two() -> usize {
    32
}
fn small() -> f64 {
    1e-5
}
fn yes() -> bool {
    true
}

impl UNetConfig {
    /// Keys of the file that have one value in Stable Diffusion.
    pub const FIXED: &'static [Fixed] = &[
        ("act_fn", &["\"silu\""]),
        ("attention_type", &["\"default\""]),
        ("center_input_sample", &["false"]),
        ("class_embeddings_concat", &["false"]),
        ("conv_in_kernel", &["3"]),
        ("conv_out_kernel", &["3"]),
        ("cross_attention_norm", &["null"]),
        ("downsample_padding", &["1"]),
        ("dual_cross_attention", &["false"]),
        ("encoder_hid_dim", &["null"]),
        ("encoder_hid_dim_type", &["null"]),
        ("mid_block_only_cross_attention", &["null", "false"]),
        ("mid_block_scale_factor", &["1", "1.0"]),
        ("mid_block_type", &["\"UNetMidBlock2DCrossAttn\""]),
        ("only_cross_attention", &["false"]),
        ("resnet_out_scale_factor", &["1", "1.0"]),
        ("resnet_skip_time_act", &["false"]),
        ("resnet_time_scale_shift", &["\"default\""]),
        ("reverse_transformer_layers_per_block", &["null"]),
        ("time_embedding_act_fn", &["null"]),
        ("time_embedding_dim", &["null"]),
        ("time_embedding_type", &["\"positional\""]),
        ("timestep_post_act", &["null"]),
    ];

    fn levels(&self) -> usize {
        self.block_out_channels.len()
    }

    /// The width of the embedded time.
    fn time(&self) -> usize {
        4 * self.block_out_channels.first().copied().unwrap_or_default()
    }

    fn channels(&self, level: usize) -> Outcome<usize> {
        let found = self.block_out_channels.get(level).copied();
        Ok(found.ok_or("block_out_channels is shorter than the list of blocks")?)
    }

    fn resnet(&self) -> ResNetSize {
        ResNetSize {
            groups: self.norm_num_groups,
            eps: self.norm_eps,
            time: Some(self.time()),
        }
    }

    fn transformer(&self, level: usize) -> Outcome<TransformerSize> {
        let heads = self
            .num_attention_heads
            .as_ref()
            .unwrap_or(&self.attention_head_dim);
        let missing = |key: &str| format!("{key} has no number for level {level}");
        Ok(TransformerSize {
            heads: heads
                .at(level)
                .ok_or_else(|| missing("attention_head_dim"))?,
            depth: self
                .transformer_layers_per_block
                .at(level)
                .ok_or_else(|| missing("transformer_layers_per_block"))?,
            context: self.cross_attention_dim,
            groups: self.norm_num_groups,
            is_linear: self.use_linear_projection,
        })
    }

    /// Whether a block has attention to the text.
    fn attends(name: &str) -> Outcome<bool> {
        match name {
            "CrossAttnDownBlock2D" | "CrossAttnUpBlock2D" => Ok(true),
            "DownBlock2D" | "UpBlock2D" => Ok(false),
            other => Err(format!(
                "block type {other:?} is unknown, allowed: CrossAttnDownBlock2D, DownBlock2D, CrossAttnUpBlock2D, UpBlock2D"
            )
            .into()),
        }
    }
}

/// What a network is told beside the picture and the time; each tensor has a row for each item.
#[derive(Debug, Clone)]
pub struct Told {
    /// The text, (batch, place, width).
    pub text: Tensor,
    /// Of XL: the whole text as one vector, and six sizes.
    pub added: Option<(Tensor, Tensor)>,
    /// The scale of guidance, for networks that are told it: those distilled to consistency.
    pub scale: Option<f64>,
    /// A number of a class for each item.
    pub classes: Option<Tensor>,
}

impl Told {
    /// One after the other, along the batch.
    pub fn cat(parts: &[&Self]) -> Result<Self> {
        let all = |of: &dyn Fn(&Self) -> Option<Tensor>| -> Result<Option<Tensor>> {
            let some: Vec<_> = parts.iter().filter_map(|part| of(part)).collect();
            match some.len() == parts.len() && !some.is_empty() {
                true => Tensor::cat(&some, 0).map(Some),
                false => Ok(None),
            }
        };
        let texts: Vec<_> = parts.iter().map(|part| &part.text).collect();
        let pooled = all(&|part| part.added.as_ref().map(|(pooled, _)| pooled.clone()))?;
        let sizes = all(&|part| part.added.as_ref().map(|(_, sizes)| sizes.clone()))?;
        Ok(Self {
            text: Tensor::cat(&texts, 0)?,
            added: pooled.zip(sizes),
            scale: parts.first().and_then(|part| part.scale),
            classes: all(&|part| part.classes.clone())?,
        })
    }
}

/// The time and all else that is one vector, as the vector that every block is given.
#[derive(Debug, Clone)]
struct Times {
    waves: Waves,
    perceptron: Perceptron,
    scale: Option<(Linear, usize)>,
    class: Option<Class>,
    added: Option<(Waves, Perceptron)>,
    dtype: DType,
}

#[derive(Debug, Clone)]
enum Class {
    Table(Embedding),
    Waves(Waves, Perceptron),
}

impl Times {
    fn load(at: &Scope<'_>, config: &UNetConfig, dtype: DType) -> Outcome<Self> {
        let (width, time) = (config.channels(0)?, config.time());
        let waves = |width| Waves {
            width,
            flip: config.flip_sin_to_cos,
            shift: config.freq_shift,
        };
        let scale = config.time_cond_proj_dim.map(|dim| {
            let layer = at
                .at("time_embedding.cond_proj")
                .linear_without_bias(dim, width)?;
            Outcome::Ok((layer, dim))
        });
        let class = match (config.class_embed_type.as_deref(), config.num_class_embeds) {
            (None, None) => None,
            (None, Some(count)) => {
                let table = at.tensor("class_embedding.weight", &[count, time])?;
                Some(Class::Table(Embedding::new(table, time)))
            }
            (Some("timestep"), _) => {
                let perceptron = Perceptron::load(&at.at("class_embedding"), width, time)?;
                Some(Class::Waves(waves(width), perceptron))
            }
            (Some(other), _) => {
                return Err(
                    format!("class_embed_type is {other:?}, allowed: null, \"timestep\"").into(),
                );
            }
        };
        let added = match config.addition_embed_type.as_deref() {
            None => None,
            Some("text_time") => {
                let (Some(each), Some(inputs)) = (
                    config.addition_time_embed_dim,
                    config.projection_class_embeddings_input_dim,
                ) else {
                    return Err(
                        "addition_embed_type text_time needs addition_time_embed_dim and \
                                projection_class_embeddings_input_dim"
                            .into(),
                    );
                };
                let perceptron = Perceptron::load(&at.at("add_embedding"), inputs, time)?;
                Some((waves(each), perceptron))
            }
            Some(other) => {
                return Err(format!(
                    "addition_embed_type is {other:?}, allowed: null, \"text_time\""
                )
                .into());
            }
        };
        Ok(Self {
            waves: waves(width),
            perceptron: Perceptron::load(&at.at("time_embedding"), width, time)?,
            scale: scale.transpose()?,
            class,
            added,
            dtype,
        })
    }

    fn forward(&self, time: f64, told: &Told) -> Result<Tensor> {
        let device = told.text.device();
        let batch = told.text.dim(0)?;
        let mut waves = self.waves.of(&[time], device)?.to_dtype(self.dtype)?;
        if let (Some((layer, width)), Some(scale)) = (&self.scale, told.scale) {
            let angles = Waves::of_scale(*width, scale, device)?.to_dtype(self.dtype)?;
            waves = (waves + layer.forward(&angles)?)?;
        }
        let mut vector = self.perceptron.forward(&waves)?.repeat((batch, 1))?;
        match (&self.class, &told.classes) {
            (None, _) => {}
            (Some(_), None) => candle_core::bail!("the network needs a class for each picture"),
            (Some(Class::Table(table)), Some(classes)) => {
                vector = (vector + table.forward(&classes.to_dtype(DType::U32)?)?)?;
            }
            (Some(Class::Waves(waves, perceptron)), Some(classes)) => {
                let numbers: Vec<f64> = classes.to_dtype(DType::F64)?.to_vec1()?;
                let waves = waves.of(&numbers, device)?.to_dtype(self.dtype)?;
                vector = (vector + perceptron.forward(&waves)?)?;
            }
        }
        if let Some((waves, perceptron)) = &self.added {
            let Some((pooled, sizes)) = &told.added else {
                candle_core::bail!("the network needs the whole text as a vector, and sizes");
            };
            let numbers: Vec<f64> = sizes.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
            let sizes = waves
                .of(&numbers, device)?
                .reshape((batch, ()))?
                .to_dtype(self.dtype)?;
            vector = (vector + perceptron.forward(&Tensor::cat(&[pooled, &sizes], 1)?)?)?;
        }
        Ok(vector)
    }
}

/// A number as cosines and sines of it, at frequencies from 1 to 1/10000.
///
/// Rounded at every step as torch does it, for large numbers turn a rounding into an angle.
#[derive(Debug, Clone, Copy)]
struct Waves {
    width: usize,
    flip: bool,
    shift: f64,
}

impl Waves {
    fn of(self, numbers: &[f64], device: &Device) -> Result<Tensor> {
        let half = self.width / 2;
        let (fall, steps) = ((-4.0 * LN_10) as f32, (half as f64 - self.shift) as f32);
        let mut rows = Vec::with_capacity(numbers.len() * self.width);
        for number in numbers {
            let angle = |i: usize| {
                let exponent = fall * i as f32 / steps;
                f64::from(*number as f32 * f64::from(exponent).exp() as f32)
            };
            let sines = (0..half).map(|i| angle(i).sin() as f32);
            let cosines = (0..half).map(|i| angle(i).cos() as f32);
            match self.flip {
                true => rows.extend(cosines.chain(sines)),
                false => rows.extend(sines.chain(cosines)),
            }
            rows.resize(rows.len().next_multiple_of(self.width), 0.0);
        }
        Tensor::from_vec(rows, (numbers.len(), self.width), device)
    }

    /// The scale of guidance less 1, a thousandfold, with the sines first.
    fn of_scale(width: usize, scale: f64, device: &Device) -> Result<Tensor> {
        let waves = Self {
            width,
            flip: false,
            shift: 1.0,
        };
        waves.of(&[(scale - 1.0) * 1000.0], device)
    }
}

/// Blocks of one resolution: ResNets, with a transformer behind each of them where they attend.
#[derive(Debug, Clone)]
struct Level {
    resnets: Vec<ResNet>,
    transformers: Vec<Transformer>,
    /// To the next resolution, if there is one.
    resample: Option<Conv2d>,
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
