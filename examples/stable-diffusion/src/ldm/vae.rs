//! Names of the autoencoder.

use super::replaced;

/// The layers of the autoencoder: theirs, and those of diffusers.
const VAE_LAYERS: &[(&str, &str)] = &[
    ("norm_out", "conv_norm_out"),
    ("mid.block_1", "mid_block.resnets.0"),
    ("mid.block_2", "mid_block.resnets.1"),
    ("mid.attn_1.norm", "mid_block.attentions.0.group_norm"),
    ("mid.attn_1.q", "mid_block.attentions.0.to_q"),
    ("mid.attn_1.k", "mid_block.attentions.0.to_k"),
    ("mid.attn_1.v", "mid_block.attentions.0.to_v"),
    ("mid.attn_1.proj_out", "mid_block.attentions.0.to_out.0"),
];

/// A name of the autoencoder in diffusers, with so many levels.
pub fn vae(name: &str, levels: usize) -> String {
    let renamed = || -> Option<String> {
        let (half, rest) = name.split_once('.')?;
        if !["encoder", "decoder"].contains(&half) {
            return None;
        }
        if let Some(rest) = replaced(rest, VAE_LAYERS) {
            return Some(format!("{half}.{rest}"));
        }
        let (way, rest) = rest.split_once('.')?;
        let (level, rest) = rest.split_once('.')?;
        let level: usize = level.parse().ok()?;
        let level = match way {
            "down" => level,
            // Theirs are counted from the picture, and those of diffusers from the latents.
            "up" => levels.checked_sub(1 + level)?,
            _ => return None,
        };
        let inside = match rest.split_once('.')? {
            ("block", rest) => format!(
                "resnets.{}",
                rest.replacen("nin_shortcut", "conv_shortcut", 1)
            ),
            (sampler, rest) => format!("{sampler}rs.0.{rest}"),
        };
        Some(format!("{half}.{way}_blocks.{level}.{inside}"))
    };
    renamed().unwrap_or_else(|| name.to_owned())
}
