//! Networks of the published sizes with random weights: what a step takes.

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use clap::ValueEnum;
use gaussian_diffusion::config::SchedulerConfig;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    Outcome,
    clip::Clip,
    model::Model,
    pipeline::{self, Made, Request, Watch},
    unet::{Told, UNet},
    vae::Vae,
    weights::Weights,
};

/// Whose size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Size {
    /// Stable Diffusion 1.5
    Sd15,
    /// Stable Diffusion 2.1
    Sd21,
    /// Stable Diffusion XL
    Sdxl,
}

impl Size {
    /// The numbers of its networks: U-Net, text models, and the scale of its latents.
    fn numbers(self) -> (Value, Vec<Value>, f64) {
        const DOWN: [&str; 4] = [
            "CrossAttnDownBlock2D",
            "CrossAttnDownBlock2D",
            "CrossAttnDownBlock2D",
            "DownBlock2D",
        ];
        const UP: [&str; 4] = [
            "UpBlock2D",
            "CrossAttnUpBlock2D",
            "CrossAttnUpBlock2D",
            "CrossAttnUpBlock2D",
        ];
        let clip = |width: usize, layers: usize, heads: usize, act: &str| {
            json!({"vocab_size": 49408, "hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers,
                   "num_attention_heads": heads, "hidden_act": act})
        };
        let open_clip = json!({"vocab_size": 49408, "hidden_size": 1280, "intermediate_size": 5120,
            "num_hidden_layers": 32, "num_attention_heads": 20, "hidden_act": "gelu", "projection_dim": 1280,
            "eos_token_id": 49407, "architectures": ["CLIPTextModelWithProjection"]});
        let unet = |heads: Value, context: usize, is_linear: bool| {
            json!({"in_channels": 4, "sample_size": 64, "block_out_channels": [320, 640, 1280, 1280],
                   "down_block_types": DOWN, "up_block_types": UP, "layers_per_block": 2,
                   "attention_head_dim": heads, "cross_attention_dim": context,
                   "use_linear_projection": is_linear})
        };
        match self {
            Self::Sd15 => (
                unet(json!(8), 768, false),
                vec![clip(768, 12, 12, "quick_gelu")],
                0.18215,
            ),
            Self::Sd21 => (
                unet(json!([5, 10, 20, 20]), 1024, true),
                vec![clip(1024, 23, 16, "gelu")],
                0.18215,
            ),
            Self::Sdxl => (
                json!({"in_channels": 4, "sample_size": 128, "block_out_channels": [320, 640, 1280],
                       "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
                       "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
                       "layers_per_block": 2, "attention_head_dim": [5, 10, 20], "cross_attention_dim": 2048,
                       "transformer_layers_per_block": [1, 2, 10], "use_linear_projection": true,
                       "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
                       "projection_class_embeddings_input_dim": 2816}),
                vec![clip(768, 12, 12, "quick_gelu"), open_clip],
                0.13025,
            ),
        }
    }

    /// A model of this size.
    pub fn model(self, dtype: DType, device: &Device) -> Outcome<Model> {
        let (unet, texts, scaling) = self.numbers();
        let vae = json!({"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "latent_channels": 4,
                         "scaling_factor": scaling});
        let weights = |seed| Weights::random(seed).to(DType::F32, device);
        let text = |(i, config): (usize, Value)| {
            Clip::load(&weights(i as u64).root(), &read(config)?, &[])
        };
        let network = Weights::random(9).to(dtype, device);
        Ok(Model {
            name: format!("{self:?}, random").to_lowercase(),
            tokens: Vec::new(),
            texts: texts
                .into_iter()
                .enumerate()
                .map(text)
                .collect::<Outcome<_>>()?,
            unet: UNet::load(&network.root(), &read(unet)?, dtype)?,
            vae: Vae::load(&weights(8).root(), &read(vae)?)?,
            controls: Vec::new(),
            scheduler: SchedulerConfig::from_json(
                r#"{"_class_name": "DPMSolverMultistepScheduler", "beta_schedule": "scaled_linear",
                    "beta_start": 0.00085, "beta_end": 0.012, "use_karras_sigmas": true}"#,
            )?,
            zeros_for_none: false,
            device: device.clone(),
        })
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Outcome<T> {
    Ok(serde_json::from_value(value)?)
}

/// Prints what the parts of a run take.
pub fn measure(
    size: Size,
    request: &Request,
    dtype: DType,
    device: &Device,
    watch: &mut dyn Watch,
) -> Outcome<Made> {
    let now = Instant::now();
    let model = size.model(dtype, device)?;
    println!(
        "{}: weights made in {:.1} s",
        model.name,
        now.elapsed().as_secs_f64()
    );
    let (width, height) = request.size(&model, None)?;
    let request = Request {
        width: Some(width),
        height: Some(height),
        ..request.clone()
    };
    let now = Instant::now();
    let ids: Vec<u32> = std::iter::once(49406).chain(vec![49407; 76]).collect();
    let mut texts = Vec::new();
    let mut pooled = None;
    for text in &model.texts {
        let encoded = text.forward(&ids)?;
        texts.push(encoded.last);
        pooled = encoded.pooled;
    }
    let rows = |x: &Tensor| -> candle_core::Result<Tensor> {
        let mut shape = vec![1; x.rank()];
        shape[0] = request.count;
        x.repeat(shape.as_slice())?.to_dtype(dtype)
    };
    let sizes = Tensor::new(
        &[[height, width, 0, 0, height, width].map(|side| side as f64)],
        device,
    )?;
    let told = Told {
        text: rows(&Tensor::cat(&texts, 2)?)?,
        added: match pooled.filter(|_| model.is_xl()) {
            Some(pooled) => Some((rows(&pooled)?, sizes.repeat((request.count, 1))?)),
            None => None,
        },
        scale: None,
        classes: None,
    };
    println!("text: {:.2} s", now.elapsed().as_secs_f64());
    let made = pipeline::run_told(&model, &request, [told.clone(), told], None, watch)?;
    let (took, networks) = (made.took.as_secs_f64(), made.networks.as_secs_f64());
    println!(
        "{width}x{height}, {} pictures, {} steps of {}: {:.2} s an evaluation of the U-Net ({})",
        request.count,
        request.steps,
        made.sampler,
        networks / made.evaluations as f64,
        if request.guidance == 1.0 {
            "one prompt"
        } else {
            "both prompts at once"
        },
    );
    println!(
        "sampler, noise and guidance: {:.2} ms a step, {:.4} % of the run",
        1e3 * (took - networks) / made.evaluations as f64,
        100.0 * (took - networks) / took
    );
    if let Some(latents) = &made.latents {
        let now = Instant::now();
        pipeline::decode(&model, latents)?;
        println!("decoding: {:.1} s", now.elapsed().as_secs_f64());
    }
    if let Some(memory) = peak_memory() {
        println!("peak memory: {:.1} GB", memory / 1e9);
    }
    Ok(made)
}

/// Bytes, where the system says so.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024.0 * kilobytes)
}
