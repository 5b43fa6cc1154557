//! The numbers of a U-Net.

use serde::{Deserialize, Serialize};

use crate::{
    Outcome,
    blocks::{ResNetSize, TransformerSize},
    settings::{Each, Fixed},
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

    pub(super) fn levels(&self) -> usize {
        self.block_out_channels.len()
    }

    /// The width of the embedded time.
    pub(super) fn time(&self) -> usize {
        4 * self.block_out_channels.first().copied().unwrap_or_default()
    }

    pub(super) fn channels(&self, level: usize) -> Outcome<usize> {
        let found = self.block_out_channels.get(level).copied();
        Ok(found.ok_or("block_out_channels is shorter than the list of blocks")?)
    }

    pub(super) fn resnet(&self) -> ResNetSize {
        ResNetSize {
            groups: self.norm_num_groups,
            eps: self.norm_eps,
            time: Some(self.time()),
        }
    }

    pub(super) fn transformer(&self, level: usize) -> Outcome<TransformerSize> {
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
    pub(super) fn attends(name: &str) -> Outcome<bool> {
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
