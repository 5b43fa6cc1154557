//! Names of the U-Net and of ControlNets.

use super::replaced;

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
pub(super) fn control(name: &str) -> Option<String> {
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
