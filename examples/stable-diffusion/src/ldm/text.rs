//! Names of the text models: those of transformers inside others, and those of OpenCLIP.

use super::replaced;
use crate::{Outcome, weights::Weights};

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
pub(super) fn text(file: &Weights, prefix: &str, is_open: bool) -> Outcome<Weights> {
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
