//! A model with all its parts, from the files that people have.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use gaussian_diffusion::config::SchedulerConfig;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Outcome,
    clip::{Clip, ClipConfig},
    controlnet::ControlNet,
    ldm,
    lora::{LoraFile, Targets},
    settings,
    tokens::Tokens,
    unet::{UNet, UNetConfig},
    vae::{Vae, VaeConfig},
    weights::{Weights, read_json},
    words::{Word, WordFile},
};

/// The files of a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelFiles {
    /// A diffusers folder, or a single file.
    pub model: PathBuf,
    /// Beside a single file: a diffusers folder with its configurations and tokenizer.
    pub config: Option<PathBuf>,
    /// An autoencoder of one's own: a folder of diffusers or a file.
    pub vae: Option<PathBuf>,
    pub loras: Vec<LoraFile>,
    pub words: Vec<WordFile>,
    pub controls: Vec<PathBuf>,
    pub control_config: Option<PathBuf>,
    /// What U-Net and ControlNets compute in; all else is in `f32`.
    pub half: Option<Half>,
}

/// Half precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Half {
    F16,
    BF16,
}

impl ModelFiles {
    /// This folder or file and nothing else.
    pub fn of(model: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            ..Self::default()
        }
    }
}

/// The configurations of a model.
#[derive(Debug, Clone)]
pub struct Settings {
    pub unet: UNetConfig,
    pub vae: VaeConfig,
    pub texts: Vec<ClipConfig>,
    pub scheduler: SchedulerConfig,
    /// Whether a negative prompt that is not given is a text of zeros (XL), rather than an empty one.
    pub zeros_for_none: bool,
}

impl Settings {
    fn read(folder: &Path) -> Outcome<Self> {
        let index = folder.join("model_index.json");
        let index: Value = match index.exists() {
            true => read_json(&index)?,
            false => Value::Null,
        };
        let shown = folder.display();
        if let Some(class) = index.get("_class_name").and_then(Value::as_str) {
            const KNOWN: [&str; 8] = [
                "StableDiffusionPipeline",
                "StableDiffusionImg2ImgPipeline",
                "StableDiffusionInpaintPipeline",
                "StableDiffusionControlNetPipeline",
                "StableDiffusionXLPipeline",
                "StableDiffusionXLImg2ImgPipeline",
                "StableDiffusionXLInpaintPipeline",
                "LatentConsistencyModelPipeline",
            ];
            if !KNOWN.contains(&class) {
                let known = KNOWN.join(", ");
                return Err(format!("{shown}: it is a model for {class}, allowed: {known}").into());
            }
        }
        let part = |name: &str| folder.join(name).join("config.json");
        let mut texts = vec![settings::read(&part("text_encoder"), ClipConfig::FIXED)?];
        if part("text_encoder_2").exists() {
            texts.push(settings::read(&part("text_encoder_2"), ClipConfig::FIXED)?);
        }
        let path = folder.join("scheduler/scheduler_config.json");
        let scheduler = std::fs::read_to_string(&path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self {
            unet: settings::read(&part("unet"), UNetConfig::FIXED)?,
            vae: settings::read(&part("vae"), VaeConfig::FIXED)?,
            texts,
            scheduler: SchedulerConfig::from_json(&scheduler)
                .map_err(|error| format!("{}: {error}", path.display()))?,
            zeros_for_none: index.get("force_zeros_for_empty_prompt") == Some(&Value::Bool(true)),
        })
    }
}

/// A model that can be asked.
#[derive(Debug, Clone)]
pub struct Model {
    /// The name of its folder or file.
    pub name: String,
    pub tokens: Vec<Tokens>,
    pub texts: Vec<Clip>,
    pub unet: UNet,
    pub vae: Vae,
    pub controls: Vec<ControlNet>,
    pub scheduler: SchedulerConfig,
    pub zeros_for_none: bool,
    pub device: Device,
}

/// A text as the U-Net is told it: (1, place, width), and the whole of it as one vector (1, width) for XL.
pub type Text = (Tensor, Option<Tensor>);

impl Model {
    /// Reads all parts.
    pub fn open(files: &ModelFiles, device: &Device) -> Outcome<Self> {
        let shown = files.model.display();
        let is_folder = files.model.is_dir();
        let folder = match (is_folder, &files.config) {
            (_, Some(config)) => config,
            (true, None) => &files.model,
            (false, None) if !files.model.exists() => {
                return Err(format!("{shown}: there is no such folder or file").into());
            }
            (false, None) => {
                return Err(format!(
                    "{shown}: a single file says neither how its words are counted nor which heads and times its \
                     networks have. --config names a diffusers folder of a model of the same family; \
                     its .json and .txt files are enough"
                )
                .into());
            }
        };
        let settings = Settings::read(folder)?;
        let layers = settings.unet.layers_per_block;
        let levels = settings.vae.block_out_channels.len();
        let part = |name: &str, stem: &str| Weights::open_part(&files.model.join(name), stem);
        const NETWORK: &str = "diffusion_pytorch_model";
        let (mut unet, mut vae, mut texts) = match is_folder {
            true => {
                let names = ["text_encoder", "text_encoder_2"];
                let some = names.iter().take(settings.texts.len());
                let texts = some
                    .map(|name| part(name, "model"))
                    .collect::<Outcome<Vec<_>>>()?;
                let own = files
                    .vae
                    .is_none()
                    .then(|| part("vae", NETWORK))
                    .transpose()?;
                (part("unet", NETWORK)?, own, texts)
            }
            false => {
                let parts = ldm::Parts::of(&Weights::open(&files.model)?, layers, levels)?;
                (parts.unet, Some(parts.vae), parts.texts)
            }
        };
        if texts.len() != settings.texts.len() {
            let (found, needed) = (texts.len(), settings.texts.len());
            return Err(format!(
                "{shown}: it has {found} text models, the configuration needs {needed}"
            )
            .into());
        }
        let mut vae_config = settings.vae.clone();
        if let Some(path) = &files.vae {
            let own = path.join("config.json");
            if own.exists() {
                // Its own structure; what its latents are multiplied by, too.
                vae_config = settings::read(&own, VaeConfig::FIXED)?;
            }
            vae = Some(match path.is_dir() {
                true => Weights::open_part(path, NETWORK)?,
                false => ldm::vae_of(&Weights::open(path)?, levels),
            });
        }
        let mut targets = Targets {
            unet: &mut unet,
            texts: &mut texts,
            layers,
        };
        for lora in &files.loras {
            lora.add_to(&mut targets)?;
        }

        let dtype = match files.half {
            None => DType::F32,
            Some(Half::F16) => DType::F16,
            Some(Half::BF16) if device.is_cpu() => {
                return Err(
                    "bf16 needs a device: the tensor library has no products of it on a CPU".into(),
                );
            }
            Some(Half::BF16) => DType::BF16,
        };
        let widths: Vec<usize> = settings.texts.iter().map(|text| text.hidden_size).collect();
        let mut words: Vec<Word> = Vec::new();
        for file in &files.words {
            words.extend(file.read(&widths)?);
        }
        let mut tokens = Vec::new();
        let mut models = Vec::new();
        for (i, (weights, config)) in texts.into_iter().zip(&settings.texts).enumerate() {
            let name = if i == 0 { "tokenizer" } else { "tokenizer_2" };
            let mut own = Tokens::open(&folder.join(name))?;
            let counts: Vec<_> = words
                .iter()
                .map(|word| Ok((word.word.clone(), word.vectors[i].dim(0)?)))
                .collect::<candle_core::Result<_>>()?;
            own.add_words(config.vocab_size, &counts)?;
            tokens.push(own);
            let vectors = words.iter().map(|word| word.vectors[i].to_device(device));
            let vectors = vectors.collect::<candle_core::Result<Vec<_>>>()?;
            let weights = weights.to(DType::F32, device);
            models.push(Clip::load(&weights.root(), config, &vectors)?);
        }
        let unet = unet.to(dtype, device);
        let network = UNet::load(&unet.root(), &settings.unet, dtype)
            .map_err(|error| naming(&unet, &error.to_string()))?;
        unet.check_all_used()?;
        let vae = vae.ok_or("there is no autoencoder")?.to(DType::F32, device);
        let control =
            |path: &PathBuf| ControlNet::open(path, files.control_config.as_deref(), dtype, device);
        let name = files.model.file_stem().unwrap_or_default();
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            tokens,
            texts: models,
            unet: network,
            vae: Vae::load(&vae.root(), &vae_config)?,
            controls: files.controls.iter().map(control).collect::<Outcome<_>>()?,
            scheduler: settings.scheduler,
            zeros_for_none: settings.zeros_for_none,
            device: device.clone(),
        })
    }

    /// What the U-Net is told of a text, and what of it did not fit. Of the layers of the text models, so many
    /// more than usual are left out.
    pub fn text(&self, text: &str, skipped: usize) -> Outcome<(Text, Option<String>)> {
        let mut parts = Vec::new();
        let (mut pooled, mut left_out) = (None, None);
        for (tokens, model) in self.tokens.iter().zip(&self.texts) {
            let ids = tokens.encode(text)?;
            left_out = left_out.or(ids.left_out);
            let encoded = model.forward(&ids.ids)?;
            parts.push(match (self.texts.len(), skipped) {
                (1, 0) => encoded.last,
                (1, skipped) => model.normed(encoded.before_last(skipped)?)?,
                // XL takes what comes before the last layer, as it is.
                (_, skipped) => encoded.before_last(1 + skipped)?.clone(),
            });
            pooled = encoded.pooled;
        }
        let text = Tensor::cat(&parts, 2)?.to_dtype(self.dtype())?;
        let pooled = pooled.filter(|_| self.is_xl());
        let pooled = pooled
            .map(|pooled| pooled.to_dtype(self.dtype()))
            .transpose()?;
        Ok(((text, pooled), left_out))
    }

    /// Whether the U-Net is told sizes and the whole text.
    pub fn is_xl(&self) -> bool {
        self.unet.config.addition_embed_type.is_some()
    }

    /// What the U-Net computes in.
    pub fn dtype(&self) -> DType {
        self.unet.dtype()
    }
}

/// An error about numbers of a configuration, with the file.
fn naming(weights: &Weights, error: &str) -> String {
    let path = weights.path().display().to_string();
    match error.starts_with(&path) {
        true => error.to_owned(),
        false => format!("{path}: {error}"),
    }
}
