//! Single files with a whole model, and the names that their tensors have: those of the authors of Stable
//! Diffusion and of OpenCLIP.

use crate::{Outcome, weights::Weights};

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

/// The layers of a ResNet: theirs, and those of diffusers.
const RESNET: &[(&str, &str)] = &[
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
];

/// The layers of the U-Net that are in no block.
const UNET_LAYERS: &[(&str, &str)] = &[
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("time_embed.cond_proj", "time_embedding.cond_proj"),
    ("label_emb.0.0", "add_embedding.linear_1"),
    ("label_emb.0.2", "add_embedding.linear_2"),
    ("input_blocks.0.0", "conv_in"),
    ("middle_block.0", "mid_block.resnets.0"),
    ("middle_block.1", "mid_block.attentions.0"),
    ("middle_block.2", "mid_block.resnets.1"),
    ("out.0", "conv_norm_out"),
    ("out.2", "conv_out"),
];

/// `name` with another beginning, if it begins with one of these: whole parts of it.
fn replaced(name: &str, table: &[(&str, &str)]) -> Option<String> {
    table.iter().find_map(|(from, to)| {
        let rest = name.strip_prefix(from)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("{to}{rest}"))
    })
}

/// A layer of a ResNet, wherever in a name.
fn with_resnet(name: &str, table: &[(&str, &str)]) -> String {
    let found = table.iter().find_map(|(from, to)| {
        let (before, after) = name.split_once(&format!(".{from}"))?;
        (after.is_empty() || after.starts_with('.')).then(|| format!("{before}.{to}{after}"))
    });
    found.unwrap_or_else(|| name.to_owned())
}

/// A name of the U-Net in diffusers, with so many blocks in a level.
pub fn unet(name: &str, layers: usize) -> Option<String> {
    if let Some(name) = replaced(name, UNET_LAYERS) {
        return Some(with_resnet(&name, RESNET));
    }
    let (half, rest) = name.split_once('.')?;
    let (block, rest) = rest.split_once('.')?;
    let (part, rest) = rest.split_once('.')?;
    let block: usize = block.parse().ok()?;
    // The first block is the layer that enters, and each level ends with the way to the next.
    let (level, place, blocks, sampler) = match half {
        "input_blocks" => {
            let block = block.checked_sub(1)?;
            (
                block / (layers + 1),
                block % (layers + 1),
                "down_blocks",
                "downsamplers.0.conv",
            )
        }
        "output_blocks" => (
            block / (layers + 1),
            block % (layers + 1),
            "up_blocks",
            "upsamplers.0.conv",
        ),
        _ => return None,
    };
    let sampled = ["op.", "conv."]
        .iter()
        .find_map(|start| rest.strip_prefix(start));
    Some(match (sampled, part) {
        (Some(rest), _) => format!("{blocks}.{level}.{sampler}.{rest}"),
        (None, "0") => with_resnet(&format!("{blocks}.{level}.resnets.{place}.{rest}"), RESNET),
        (None, _) => format!("{blocks}.{level}.attentions.{place}.{rest}"),
    })
}

/// The way back, of a layer inside a block: what LoRA files for XL write.
pub fn unet_in_file(name: &str, layers: usize) -> Option<String> {
    let turned = |table: &[(&'static str, &'static str)]| -> Vec<(&'static str, &'static str)> {
        table.iter().map(|(a, b)| (*b, *a)).collect()
    };
    let resnet = turned(RESNET);
    let name = with_resnet(name, &resnet);
    if let Some(name) = replaced(&name, &turned(UNET_LAYERS)) {
        return Some(name);
    }
    let parts: Vec<&str> = name.splitn(5, '.').collect();
    let [half, level, kind, place, rest] = parts[..] else {
        return None;
    };
    let (level, place): (usize, usize) = (level.parse().ok()?, place.parse().ok()?);
    let first = level * (layers + 1);
    Some(match (half, kind) {
        ("down_blocks", "resnets") => format!("input_blocks.{}.0.{rest}", first + place + 1),
        ("down_blocks", "attentions") => format!("input_blocks.{}.1.{rest}", first + place + 1),
        ("down_blocks", "downsamplers") => format!("input_blocks.{}.0.op", first + layers + 1),
        ("up_blocks", "resnets") => format!("output_blocks.{}.0.{rest}", first + place),
        ("up_blocks", "attentions") => format!("output_blocks.{}.1.{rest}", first + place),
        // Behind a transformer where the level has one, which the name alone does not tell.
        ("up_blocks", "upsamplers") => format!("output_blocks.{}.2.{rest}", first + layers),
        _ => return None,
    })
}

/// What a ControlNet has beside its half of a U-Net.
fn control(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("zero_convs.") {
        let (place, rest) = rest.split_once('.')?;
        return Some(format!(
            "controlnet_down_blocks.{place}.{}",
            rest.strip_prefix("0.")?
        ));
    }
    if let Some(rest) = name.strip_prefix("middle_block_out.0.") {
        return Some(format!("controlnet_mid_block.{rest}"));
    }
    // Every other of these layers is a bend, and the first and the last have names of their own.
    let (place, rest) = name.strip_prefix("input_hint_block.")?.split_once('.')?;
    Some(match place.parse::<usize>().ok()? / 2 {
        0 => format!("controlnet_cond_embedding.conv_in.{rest}"),
        7 => format!("controlnet_cond_embedding.conv_out.{rest}"),
        place => format!("controlnet_cond_embedding.blocks.{}.{rest}", place - 1),
    })
}

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

/// The layers of OpenCLIP's text model, and those of transformers.
const OPEN: &[(&str, &str)] = &[
    (
        "positional_embedding",
        "text_model.embeddings.position_embedding.weight",
    ),
    ("token_embedding", "text_model.embeddings.token_embedding"),
    ("ln_final", "text_model.final_layer_norm"),
    ("text_projection", "text_projection.weight"),
];

const OPEN_LAYER: &[(&str, &str)] = &[
    ("ln_1", "layer_norm1"),
    ("ln_2", "layer_norm2"),
    ("attn.out_proj", "self_attn.out_proj"),
    ("attn.in_proj_weight", "self_attn.in_proj_weight"),
    ("attn.in_proj_bias", "self_attn.in_proj_bias"),
    ("mlp.c_fc", "mlp.fc1"),
    ("mlp.c_proj", "mlp.fc2"),
];

/// A text model of a file.
fn text(file: &Weights, prefix: &str, is_open: bool) -> Outcome<Weights> {
    if !is_open {
        return Ok(file.renamed(|name| name.strip_prefix(prefix).map(str::to_owned)));
    }
    let mut weights = file.renamed(|name| {
        let name = name.strip_prefix(prefix)?;
        if let Some(name) = replaced(name, OPEN) {
            return Some(name);
        }
        let (layer, rest) = name
            .strip_prefix("transformer.resblocks.")?
            .split_once('.')?;
        let rest = replaced(rest, OPEN_LAYER)?;
        Some(format!("text_model.encoder.layers.{layer}.{rest}"))
    });
    weights.transpose("text_projection.weight");
    // Queries, keys and values are one matrix.
    let names: Vec<String> = weights.names().map(|(name, _)| name.to_owned()).collect();
    for name in names {
        for kind in ["weight", "bias"] {
            if let Some(layer) = name.strip_suffix(&format!("in_proj_{kind}")) {
                let parts = ["q", "k", "v"].map(|letter| format!("{layer}{letter}_proj.{kind}"));
                weights.split(&name, &parts)?;
            }
        }
    }
    Ok(weights)
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
