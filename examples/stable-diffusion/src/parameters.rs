//! The text of a picture, as the WebUI writes and reads it.

use std::fmt::Write;

use crate::{
    model::Model,
    picture::Picture,
    pipeline::{Made, Request},
    seeds::Numbers,
};

/// Prompt, negative prompt, and a line of settings.
pub fn text(
    model: &Model,
    request: &Request,
    made: &Made,
    picture: &Picture,
    item: usize,
) -> String {
    let mut text = request.prompt.clone();
    if let Some(negative) = request
        .negative
        .as_deref()
        .filter(|negative| !negative.is_empty())
    {
        text += &format!("\nNegative prompt: {negative}");
    }
    let numbers = match request.numbers {
        Numbers::Torch => "CPU",
        Numbers::TorchOnDevice => "NV",
        Numbers::Own => "gaussian-diffusion",
    };
    // Of the crate's own seeds, each picture has one.
    let seed = match request.numbers {
        Numbers::Own => request.seed.wrapping_add(item as u64),
        _ => request.seed,
    };
    let mut pairs = vec![
        ("Steps", request.steps.to_string()),
        ("Sampler", made.sampler.clone()),
        ("CFG scale", request.guidance.to_string()),
        ("Seed", seed.to_string()),
        ("Size", format!("{}x{}", picture.width, picture.height)),
        ("Model", model.name.clone()),
    ];
    if request.image.is_some() {
        pairs.push(("Denoising strength", request.strength.to_string()));
    }
    if request.clip_skip > 0 {
        pairs.push(("Clip skip", (request.clip_skip + 1).to_string()));
    }
    if request.eta != 0.0 {
        pairs.push(("Eta", request.eta.to_string()));
    }
    if request.rescale != 0.0 {
        pairs.push(("CFG rescale", request.rescale.to_string()));
    }
    if request.count > 1 && request.numbers != Numbers::Own {
        pairs.push(("Batch size", request.count.to_string()));
        pairs.push(("Batch pos", item.to_string()));
    }
    pairs.push(("RNG", numbers.to_owned()));
    pairs.push((
        "Version",
        format!("gaussian-diffusion {}", env!("CARGO_PKG_VERSION")),
    ));
    let mut line = String::new();
    for (key, value) in pairs {
        let comma = if line.is_empty() { "" } else { ", " };
        // Values that could be taken for several are quoted.
        let value = match value.contains([',', '\n', ':']) {
            true => format!("{value:?}"),
            false => value,
        };
        // Writing to a string cannot fail.
        let _ = write!(line, "{comma}{key}: {value}");
    }
    format!("{text}\n{line}")
}
