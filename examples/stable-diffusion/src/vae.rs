//! The autoencoder: pictures to latents and back.

use candle_core::{Result, Tensor};
use candle_nn::{Conv2d, GroupNorm, Module};
use serde::{Deserialize, Serialize};

use crate::{
    Outcome,
    blocks::{Attention, ResNet, ResNetSize, to_picture, to_places, upsample},
    settings::Fixed,
    weights::Scope,
};

/// `vae/config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VaeConfig {
    #[serde(default = "three")]
    pub in_channels: usize,
    #[serde(default = "three")]
    pub out_channels: usize,
    pub block_out_channels: Vec<usize>,
    pub layers_per_block: usize,
    pub latent_channels: usize,
    #[serde(default = "thirty_two")]
    pub norm_num_groups: usize,
    /// Latents times this have about deviation 1.
    #[serde(default = "of_the_first")]
    pub scaling_factor: f64,
    #[serde(default = "yes")]
    pub use_quant_conv: bool,
    #[serde(default = "yes")]
    pub use_post_quant_conv: bool,
}

fn three() -> usize {
    3
}
fn thirty_two() -> usize {
    32
}
fn of_the_first() -> f64 {
    0.18215
}
fn yes() -> bool {
    true
}

impl VaeConfig {
    /// Keys of the file that have one value in Stable Diffusion.
    pub const FIXED: &'static [Fixed] = &[
        ("act_fn", &["\"silu\""]),
        ("latents_mean", &["null"]),
        ("latents_std", &["null"]),
        ("mid_block_add_attention", &["true"]),
        ("shift_factor", &["null"]),
    ];

    /// Pixels of a latent, along one side.
    pub fn scale(&self) -> usize {
        1 << self.block_out_channels.len().saturating_sub(1)
    }
}

const SMALL: f64 = 1e-6;

/// ResNets of one resolution, and the way to the next.
#[derive(Debug, Clone)]
struct Level {
    resnets: Vec<ResNet>,
    resample: Option<Conv2d>,
}

/// One half of the autoencoder. They are mirror images but for the order of levels and middle.
#[derive(Debug, Clone)]
struct Half {
    enter: Conv2d,
    levels: Vec<Level>,
    middle: Middle,
    norm: GroupNorm,
    leave: Conv2d,
}

#[derive(Debug, Clone)]
struct Middle {
    first: ResNet,
    norm: GroupNorm,
    attention: Attention,
    second: ResNet,
}

impl Middle {
    fn load(at: &Scope<'_>, width: usize, size: ResNetSize) -> Outcome<Self> {
        let own = at.at("attentions.0");
        // The names of diffusers before 0.17, which some files still have.
        let new = ["to_q", "to_k", "to_v", "to_out.0", "group_norm"];
        let old = ["query", "key", "value", "proj_attn", "group_norm"];
        let [query, key, value, out, norm] =
            match own.has("query.weight") && !own.has("to_q.weight") {
                true => old,
                false => new,
            };
        let linear = |name: &str| own.at(name).linear(width, width);
        Ok(Self {
            first: ResNet::load(&at.at("resnets.0"), width, width, size)?,
            norm: own.at(norm).group_norm(size.groups, width, size.eps)?,
            attention: Attention {
                query: linear(query)?,
                key: linear(key)?,
                value: linear(value)?,
                out: linear(out)?,
                heads: 1,
            },
            second: ResNet::load(&at.at("resnets.1"), width, width, size)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.first.forward(x, None)?;
        let places = to_places(&self.norm.forward(&x)?)?;
        let seen = self.attention.forward(&places, &places, None)?;
        let x = (&x + to_picture(&seen, x.dim(2)?, x.dim(3)?)?)?;
        self.second.forward(&x, None)
    }
}

/// The autoencoder.
#[derive(Debug, Clone)]
pub struct Vae {
    pub config: VaeConfig,
    encoder: Half,
    quant: Option<Conv2d>,
    decoder: Half,
    post_quant: Option<Conv2d>,
}

/// What the encoder says of the latents: a mean and a deviation for each.
#[derive(Debug, Clone)]
pub struct Moments {
    pub mean: Tensor,
    pub std: Tensor,
}

impl Vae {
    pub fn load(at: &Scope<'_>, config: &VaeConfig) -> Outcome<Self> {
        let size = ResNetSize {
            groups: config.norm_num_groups,
            eps: SMALL,
            time: None,
        };
        let widths = &config.block_out_channels;
        let (Some(&first), Some(&last)) = (widths.first(), widths.last()) else {
            return Err("block_out_channels is empty".into());
        };
        let latent = config.latent_channels;
        let half = |at: Scope<'_>, is_encoder: bool| -> Outcome<Half> {
            let (order, blocks, layers, sampler, stride): (Vec<usize>, _, _, _, _) =
                match is_encoder {
                    true => (widths.clone(), "down_blocks", 0, "downsamplers.0.conv", 2),
                    false => (
                        widths.iter().rev().copied().collect(),
                        "up_blocks",
                        1,
                        "upsamplers.0.conv",
                        1,
                    ),
                };
            let mut levels = Vec::new();
            let mut inputs = order[0];
            for (i, &outputs) in order.iter().enumerate() {
                let at = at.at(blocks).at(i);
                let mut resnets = Vec::new();
                for j in 0..config.layers_per_block + layers {
                    resnets.push(ResNet::load(
                        &at.at("resnets").at(j),
                        inputs,
                        outputs,
                        size,
                    )?);
                    inputs = outputs;
                }
                // Downwards, the picture is padded on two sides before.
                let padding = 2 - stride;
                let resample = (i + 1 < order.len()).then(|| {
                    at.at(sampler)
                        .padded_conv(outputs, outputs, 3, stride, padding)
                });
                levels.push(Level {
                    resnets,
                    resample: resample.transpose()?,
                });
            }
            let (from, to) = match is_encoder {
                true => (config.in_channels, 2 * latent),
                false => (latent, config.out_channels),
            };
            Ok(Half {
                enter: at.at("conv_in").conv(from, order[0], 3, 1)?,
                levels,
                middle: Middle::load(&at.at("mid_block"), last, size)?,
                norm: at.at("conv_norm_out").group_norm(
                    size.groups,
                    if is_encoder { last } else { first },
                    SMALL,
                )?,
                leave: at
                    .at("conv_out")
                    .conv(if is_encoder { last } else { first }, to, 3, 1)?,
            })
        };
        let quant = |name: &str, width: usize| at.at(name).conv(width, width, 1, 1);
        Ok(Self {
            encoder: half(at.at("encoder"), true)?,
            quant: config
                .use_quant_conv
                .then(|| quant("quant_conv", 2 * latent))
                .transpose()?,
            decoder: half(at.at("decoder"), false)?,
            post_quant: config
                .use_post_quant_conv
                .then(|| quant("post_quant_conv", latent))
                .transpose()?,
            config: config.clone(),
        })
    }

    /// What a picture (batch, 3, row, column) in -1 to 1 is as latents, before they are scaled: means and
    /// log-variances, one after the other.
    pub fn parameters(&self, picture: &Tensor) -> Result<Tensor> {
        let half = &self.encoder;
        let mut x = half.enter.forward(picture)?;
        for level in &half.levels {
            for resnet in &level.resnets {
                x = resnet.forward(&x, None)?;
            }
            if let Some(conv) = &level.resample {
                x = conv.forward(&x.pad_with_zeros(2, 0, 1)?.pad_with_zeros(3, 0, 1)?)?;
            }
        }
        let x = half.norm.forward(&half.middle.forward(&x)?)?.silu()?;
        let x = half.leave.forward(&x)?;
        self.quant.iter().try_fold(x, |x, layer| layer.forward(&x))
    }

    /// The same as a mean and a deviation.
    pub fn encode(&self, picture: &Tensor) -> Result<Moments> {
        let both = self.parameters(picture)?.chunk(2, 1)?;
        let std = (both[1].clamp(-30.0, 20.0)? * 0.5)?.exp()?;
        let mean = both[0].contiguous()?;
        Ok(Moments { mean, std })
    }

    /// The picture of latents that are not scaled, about in -1 to 1.
    pub fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let half = &self.decoder;
        let x = latents.clone();
        let x = self
            .post_quant
            .iter()
            .try_fold(x, |x, layer| layer.forward(&x))?;
        let mut x = half.middle.forward(&half.enter.forward(&x)?)?;
        for level in &half.levels {
            for resnet in &level.resnets {
                x = resnet.forward(&x, None)?;
            }
            if let Some(conv) = &level.resample {
                x = upsample(&x, conv, None)?;
            }
        }
        half.leave.forward(&half.norm.forward(&x)?.silu()?)
    }
}
