//! Low-rank changes of weights, added when a model is read.
//!
//! Source: LoRA: Low-Rank Adaptation of Large Language Models, Hu et al., 2021.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Outcome, ldm,
    weights::{LowRank, Weights},
};

/// A file and how strongly its changes count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoraFile {
    pub path: PathBuf,
    pub scale: f64,
}

/// Parts of names that tell another form than a product of two matrices.
const OTHER_FORMS: &[(&str, &str)] = &[
    ("hada_w", "LoHa of LyCORIS"),
    ("lokr_w", "LoKr of LyCORIS"),
    ("lora_mid", "LoCon with a middle of LyCORIS"),
    ("oft_", "OFT"),
    ("boft_", "BOFT"),
    ("dora_scale", "DoRA"),
    ("lora_magnitude_vector", "DoRA"),
    ("on_input", "IA3 of LyCORIS"),
    ("w_norm", "norms of LyCORIS"),
    ("b_norm", "norms of LyCORIS"),
    (".diff", "whole differences of LyCORIS"),
    (".a1.", "GLoRA of LyCORIS"),
    ("lora_B.bias", "biases of peft"),
];

/// What the ends of names say, those of kohya and of peft, and of diffusers before it had peft.
const DOWN: &[&str] = &[
    ".lora_down.weight",
    ".lora_A.weight",
    ".lora_A.default.weight",
    ".lora.down.weight",
    "_lora.down.weight",
    ".lora_linear_layer.down.weight",
];
const UP: &[&str] = &[
    ".lora_up.weight",
    ".lora_B.weight",
    ".lora_B.default.weight",
    ".lora.up.weight",
    "_lora.up.weight",
    ".lora_linear_layer.up.weight",
];

/// The parts of a model that a file may change, and how their names begin in files.
#[derive(Debug)]
pub struct Targets<'a> {
    pub unet: &'a mut Weights,
    pub texts: &'a mut [Weights],
    /// How many blocks a level of the U-Net has: kohya's names for XL are those of single files.
    pub layers: usize,
}

#[derive(Debug, Default)]
struct Change {
    down: Option<Tensor>,
    up: Option<Tensor>,
    alpha: Option<f64>,
    name: String,
}

impl LoraFile {
    /// Adds what the file has to the weights.
    pub fn add_to(&self, targets: &mut Targets<'_>) -> Outcome<()> {
        let weights = Weights::open(&self.path)?;
        let path = self.path.display();
        let mut changes: BTreeMap<String, Change> = BTreeMap::new();
        for (name, _) in weights.names() {
            if let Some((_, form)) = OTHER_FORMS.iter().find(|(part, _)| name.contains(part)) {
                return Err(format!(
                    "{path}: {name:?} is of {form}, which is missing here: allowed is LoRA"
                )
                .into());
            }
            let cut = |ends: &[&str]| ends.iter().find_map(|end| name.strip_suffix(end)).map(flat);
            if let Some(target) = cut(DOWN) {
                let change = changes.entry(target).or_default();
                (change.down, change.name) = (Some(weights.any(name)?), name.to_owned());
            } else if let Some(target) = cut(UP) {
                let change = changes.entry(target).or_default();
                (change.up, change.name) = (Some(weights.any(name)?), name.to_owned());
            } else if let Some(target) = cut(&[".alpha"]) {
                let alpha = weights.any(name)?.flatten_all()?.to_vec1::<f32>()?;
                changes.entry(target).or_default().alpha = alpha.first().copied().map(f64::from);
            } else {
                return Err(format!("{path}: {name:?} is no name of a LoRA").into());
            }
        }
        let settings = Settings::of(&weights)?;
        let places = Places::new(targets);
        for (target, change) in changes {
            let name = &change.name;
            let (Some(up), Some(down)) = (change.up, change.down) else {
                return Err(format!(
                    "{path}: of {target:?} there is only one of lora_up and lora_down"
                )
                .into());
            };
            let (part, own) = places
                .find(&target)
                .ok_or_else(|| format!("{path}: the model has no layer for {name:?}"))?;
            // A file without an alpha means its rank.
            let rank = down.dim(0)? as f64;
            let alpha = change.alpha.or_else(|| settings.alpha(part));
            let scale = self.scale * alpha.map_or(1.0, |alpha| alpha / rank);
            let weights = match part {
                0 => &mut *targets.unet,
                text => &mut targets.texts[text - 1],
            };
            let change = LowRank { up, down, scale };
            weights
                .add(own, change)
                .map_err(|error| format!("{path}: {name:?}: {error}"))?;
        }
        Ok(())
    }
}

/// What diffusers writes beside the tensors where peft's settings are not the plain ones: numbers by the part.
struct Settings(Value);

impl Settings {
    fn of(weights: &Weights) -> Outcome<Self> {
        let path = weights.path().display();
        let Some(text) = weights.remark("lora_adapter_metadata") else {
            return Ok(Self(Value::Null));
        };
        let settings: Value = serde_json::from_str(text)
            .map_err(|error| format!("{path}: lora_adapter_metadata: {error}"))?;
        for (key, value) in settings.as_object().into_iter().flatten() {
            const OTHER: [&str; 4] = ["alpha_pattern", "use_rslora", "use_dora", "lora_bias"];
            let is_other = OTHER.iter().any(|other| key.ends_with(other));
            let is_plain = match value {
                Value::Object(map) => map.is_empty(),
                other => matches!(other, Value::Null | Value::Bool(false)),
            };
            if is_other && !is_plain {
                return Err(format!("{path}: {key} is {value}, which is missing here").into());
            }
        }
        Ok(Self(settings))
    }

    /// The alpha of a part of the model.
    fn alpha(&self, part: usize) -> Option<f64> {
        let name = match part {
            0 => "unet".to_owned(),
            1 => "text_encoder".to_owned(),
            more => format!("text_encoder_{more}"),
        };
        self.0.get(format!("{name}.lora_alpha"))?.as_f64()
    }
}

/// A name of a module as one word, without what different programs put in between.
fn flat(name: &str) -> String {
    let name = name.strip_prefix("base_model.model.").unwrap_or(name);
    let name = name.replace(".processor.", ".").replace('.', "_");
    // The old names of diffusers leave out the number of the first layer of an output.
    match name.ends_with("_to_out") {
        true => format!("{name}_0"),
        false => name,
    }
}

/// The layers of a model by their flat names: the part, 0 for the U-Net, and the name of the weight.
struct Places(HashMap<String, (usize, String)>);

impl Places {
    fn new(targets: &Targets<'_>) -> Self {
        let mut all = HashMap::new();
        let weight = |name: &str| name.strip_suffix(".weight").map(str::to_owned);
        for (name, _) in targets.unet.names() {
            let Some(layer) = weight(name) else { continue };
            let other = ldm::unet_in_file(&layer, targets.layers);
            for spelling in [Some(layer.as_str()), other.as_deref()]
                .into_iter()
                .flatten()
            {
                for start in ["lora_unet_", "unet_"] {
                    all.insert(format!("{start}{}", flat(spelling)), (0, name.to_owned()));
                }
            }
        }
        for (i, text) in targets.texts.iter().enumerate() {
            let starts: &[&str] = match i {
                0 => &["lora_te_", "lora_te1_", "text_encoder_"],
                _ => &["lora_te2_", "text_encoder_2_"],
            };
            for (name, _) in text.names() {
                let Some(layer) = weight(name) else { continue };
                let inside = layer
                    .strip_prefix("text_model.")
                    .unwrap_or(&layer)
                    .to_owned();
                for start in starts {
                    // With and without the name of the model inside the model.
                    for spelling in [format!("text_model.{inside}"), inside.clone()] {
                        all.insert(
                            format!("{start}{}", flat(&spelling)),
                            (i + 1, name.to_owned()),
                        );
                    }
                }
            }
        }
        Self(all)
    }

    fn find(&self, target: &str) -> Option<(usize, &str)> {
        // The old names of diffusers call the layers of the text's attention like those of the U-Net.
        let old = target
            .replace("self_attn_to_out_0", "self_attn_out_proj")
            .replace("self_attn_to_", "self_attn_");
        let old = ["q", "k", "v"].iter().fold(old, |old, letter| {
            match old.ends_with(&format!("self_attn_{letter}")) {
                true => format!("{old}_proj"),
                false => old,
            }
        });
        let found = self.0.get(target).or_else(|| self.0.get(&old));
        found.map(|(part, name)| (*part, name.as_str()))
    }
}

impl std::str::FromStr for LoraFile {
    type Err = String;

    /// `FILE`, or `FILE:SCALE`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A drive of Windows ends with a colon as well.
        let scaled = text
            .rsplit_once(':')
            .and_then(|(path, scale)| Some((path, scale.parse().ok()?)));
        let (path, scale) = scaled.unwrap_or((text, 1.0));
        if !f64::is_finite(scale) {
            return Err(format!(
                "scale of a LoRA is {scale}, allowed: a finite number"
            ));
        }
        let path = Path::new(path).to_owned();
        Ok(Self { path, scale })
    }
}
