//! Single files with a whole model, and the names that their tensors have: those of the authors of Stable
//! Diffusion and of OpenCLIP.

mod text;
mod unet;
mod vae;

use crate::{Outcome, weights::Weights};
use text::text;
use unet::{control, unet};
use vae::vae;

pub use unet::unet_in_file;

/// The parts of a model in a single file, under the names of diffusers.
#[derive(Debug)]
pub struct Parts {
    pub unet: Weights,
    pub vae: Weights,
    pub texts: Vec<Weights>,
}

/// Where the text models of the families begin, and whether they are OpenCLIP's.
const TEXTS: &[(&str, bool)] = &[
    ("cond_stage_model.transformer.", false),
    ("cond_stage_model.model.", true),
    ("conditioner.embedders.0.transformer.", false),
    ("conditioner.embedders.1.model.", true),
];

impl Parts {
    /// The parts of a file, for networks with so many blocks in a level of the U-Net, and levels of the
    /// autoencoder.
    pub fn of(file: &Weights, layers: usize, vae_levels: usize) -> Outcome<Self> {
        let path = file.path().display();
        let has = |prefix: &str| file.names().any(|(name, _)| name.starts_with(prefix));
        for (prefix, what) in [(UNET, "U-Net"), (VAE, "autoencoder")] {
            if !has(prefix) {
                return Err(format!(
                    "{path}: there is no {what}, no tensor whose name begins with {prefix:?}"
                )
                .into());
            }
        }
        let mut texts = Vec::new();
        for (prefix, is_open) in TEXTS.iter().filter(|(prefix, _)| has(prefix)) {
            texts.push(text(file, prefix, *is_open)?);
        }
        if texts.is_empty() {
            let prefixes: Vec<_> = TEXTS.iter().map(|(prefix, _)| prefix).collect();
            return Err(format!("{path}: there is no text model, no tensor whose name begins with one of {prefixes:?}").into());
        }
        Ok(Self {
            unet: file.renamed(|name| unet(name.strip_prefix(UNET)?, layers)),
            vae: vae_of(file, vae_levels),
            texts,
        })
    }
}

const UNET: &str = "model.diffusion_model.";
const VAE: &str = "first_stage_model.";

/// An autoencoder of a file: of a whole model, of its own under either names.
pub fn vae_of(file: &Weights, levels: usize) -> Weights {
    let has = |part: &str| file.names().any(|(name, _)| name.starts_with(part));
    if has(VAE) {
        return file.renamed(|name| Some(vae(name.strip_prefix(VAE)?, levels)));
    }
    match has("decoder.up.") {
        true => file.renamed(|name| Some(vae(name, levels))),
        false => file.clone(),
    }
}

/// A ControlNet of a file, under either names.
pub fn control_of(file: &Weights, layers: usize) -> Weights {
    const CONTROL: &str = "control_model.";
    match file.names().any(|(name, _)| name.starts_with(CONTROL)) {
        true => file.renamed(|name| {
            let name = name.strip_prefix(CONTROL)?;
            control(name).or_else(|| unet(name, layers))
        }),
        false => file.clone(),
    }
}

/// `name` with another beginning, if it begins with one of these: whole parts of it.
fn replaced(name: &str, table: &[(&str, &str)]) -> Option<String> {
    table.iter().find_map(|(from, to)| {
        let rest = name.strip_prefix(from)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("{to}{rest}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of Stable Diffusion 1.5 as both programs have them.
    #[test]
    fn names_of_stable_diffusion() {
        let pairs = [
            ("input_blocks.0.0.weight", "conv_in.weight"),
            (
                "input_blocks.1.0.in_layers.0.weight",
                "down_blocks.0.resnets.0.norm1.weight",
            ),
            (
                "input_blocks.2.1.proj_in.weight",
                "down_blocks.0.attentions.1.proj_in.weight",
            ),
            (
                "input_blocks.3.0.op.bias",
                "down_blocks.0.downsamplers.0.conv.bias",
            ),
            (
                "input_blocks.4.0.skip_connection.bias",
                "down_blocks.1.resnets.0.conv_shortcut.bias",
            ),
            (
                "input_blocks.11.0.out_layers.3.bias",
                "down_blocks.3.resnets.1.conv2.bias",
            ),
            (
                "middle_block.1.transformer_blocks.0.attn1.to_out.0.bias",
                "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0.bias",
            ),
            (
                "middle_block.2.emb_layers.1.weight",
                "mid_block.resnets.1.time_emb_proj.weight",
            ),
            (
                "output_blocks.2.1.conv.weight",
                "up_blocks.0.upsamplers.0.conv.weight",
            ),
            (
                "output_blocks.5.2.conv.weight",
                "up_blocks.1.upsamplers.0.conv.weight",
            ),
            (
                "output_blocks.11.1.norm.weight",
                "up_blocks.3.attentions.2.norm.weight",
            ),
            ("time_embed.2.weight", "time_embedding.linear_2.weight"),
            ("out.0.bias", "conv_norm_out.bias"),
        ];
        for (theirs, own) in pairs {
            assert_eq!(unet(theirs, 2).as_deref(), Some(own));
        }
        let pairs = [
            (
                "decoder.up.3.block.0.norm1.weight",
                "decoder.up_blocks.0.resnets.0.norm1.weight",
            ),
            (
                "decoder.up.1.upsample.conv.weight",
                "decoder.up_blocks.2.upsamplers.0.conv.weight",
            ),
            (
                "encoder.down.1.block.0.nin_shortcut.bias",
                "encoder.down_blocks.1.resnets.0.conv_shortcut.bias",
            ),
            (
                "encoder.down.0.downsample.conv.bias",
                "encoder.down_blocks.0.downsamplers.0.conv.bias",
            ),
            (
                "encoder.mid.attn_1.q.weight",
                "encoder.mid_block.attentions.0.to_q.weight",
            ),
            ("quant_conv.weight", "quant_conv.weight"),
        ];
        for (theirs, own) in pairs {
            assert_eq!(vae(theirs, 4), own);
        }
    }

    #[test]
    fn names_of_layers_go_back() {
        for name in [
            "down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_k",
            "up_blocks.0.attentions.2.proj_out",
            "mid_block.attentions.0.proj_in",
            "down_blocks.2.resnets.1.conv1",
            "up_blocks.1.resnets.2.time_emb_proj",
            "time_embedding.linear_1",
        ] {
            let file = unet_in_file(name, 2).unwrap();
            assert_eq!(
                unet(&format!("{file}.weight"), 2),
                Some(format!("{name}.weight"))
            );
        }
    }
}
