//! What the program is asked to do.

use std::path::PathBuf;

use candle_core::Device;
use clap::{Parser, ValueEnum};

use crate::{
    Outcome,
    lora::LoraFile,
    model::{Half, ModelFiles},
    pipeline::{ControlPicture, GuidanceRule, Request},
    seeds::Numbers,
    words::WordFile,
};

/// Draw pictures with Stable Diffusion 1, 2 or XL.
///
///   stable-diffusion --model FOLDER --prompt "a red horse on the river"
///   stable-diffusion --model FOLDER --prompt "..." --sampler "DPM++ 2M Karras" --steps 20 --count 4
///   stable-diffusion --model FOLDER --prompt "..." --image photo.png --strength 0.6
///   stable-diffusion --model FOLDER --prompt "..." --image photo.png --mask mask.png
///
/// The same folder, prompt, size, steps, guidance and seed give the picture that diffusers
/// gives in Python with torch.Generator().manual_seed(SEED), in single precision on a CPU.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment, name = "stable-diffusion")]
pub struct Options {
    #[command(flatten, next_help_heading = "Model")]
    pub model: ModelOptions,
    #[command(flatten, next_help_heading = "Picture")]
    pub picture: PictureOptions,
    #[command(flatten, next_help_heading = "Sampler")]
    pub sampler: SamplerOptions,
    #[command(flatten, next_help_heading = "From a picture")]
    pub from: FromOptions,
    #[command(flatten, next_help_heading = "Output")]
    pub output: OutputOptions,
    #[command(flatten, next_help_heading = "Instead of a picture")]
    pub other: OtherOptions,
}

#[derive(Debug, clap::Args)]
pub struct ModelOptions {
    /// Folder in the format of diffusers, or a single .safetensors file
    #[arg(short, long, value_name = "PATH")]
    pub model: Option<PathBuf>,
    /// Beside a single file: folder of diffusers with configurations and tokenizer of its family
    #[arg(long, value_name = "FOLDER")]
    pub config: Option<PathBuf>,
    /// Autoencoder of your own: folder of diffusers or file
    #[arg(long, value_name = "PATH")]
    pub vae: Option<PathBuf>,
    /// Low-rank changes of the weights, with their scale; several are added
    #[arg(long, value_name = "FILE[:SCALE]")]
    pub lora: Vec<LoraFile>,
    /// New words (textual inversion), for the prompt
    #[arg(long, value_name = "[WORD=]FILE")]
    pub words: Vec<WordFile>,
    /// ControlNet: folder of diffusers or file; one --follow for each
    #[arg(long, value_name = "PATH")]
    pub control: Vec<PathBuf>,
    /// Beside a ControlNet in a single file: folder with its config.json
    #[arg(long, value_name = "FOLDER")]
    pub control_config: Option<PathBuf>,
    /// U-Net and ControlNets in half precision, for devices
    #[arg(long, value_name = "TYPE", value_enum)]
    pub half: Option<HalfName>,
    /// Where to compute
    #[arg(long, value_name = "DEVICE", value_enum, default_value = "cpu")]
    pub device: DeviceName,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum HalfName {
    F16,
    Bf16,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DeviceName {
    Cpu,
    /// Build with --features candle-core/cuda,candle-nn/cuda
    Cuda,
    /// Build with --features candle-core/metal,candle-nn/metal
    Metal,
}

#[derive(Debug, clap::Args)]
pub struct PictureOptions {
    /// What is to be seen
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    pub prompt: String,
    /// What is not
    #[arg(short, long, value_name = "TEXT")]
    pub negative: Option<String>,
    /// Pixels [default: those of the model's training, or of the picture given]
    #[arg(long, value_name = "N")]
    pub width: Option<usize>,
    /// Pixels, likewise
    #[arg(long, value_name = "N")]
    pub height: Option<usize>,
    /// Pictures at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub count: usize,
    /// Fixes all noise
    #[arg(short, long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Seeds of torch on a GPU, rather than on a CPU
    #[arg(long, conflicts_with = "own_seed")]
    pub device_seed: bool,
    /// Seeds of gaussian-diffusion: picture i is that of seed SEED + i alone, however many there are
    #[arg(long)]
    pub own_seed: bool,
    /// Last layers of the text model to leave out
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub clip_skip: usize,
}

#[derive(Debug, clap::Args)]
pub struct SamplerOptions {
    /// By its name in the WebUI, ComfyUI or stable-diffusion.cpp [default: the scheduler file of the model]
    #[arg(long, value_name = "NAME")]
    pub sampler: Option<String>,
    #[arg(long, value_name = "N", default_value_t = 30, help = "Steps")]
    pub steps: usize,
    /// Scale of guidance: 1 or less is none; 0 to 1 with plus-plus
    #[arg(short, long, value_name = "SCALE", default_value_t = 7.5)]
    pub guidance: f64,
    /// How the answers to both prompts become one
    #[arg(long, value_name = "RULE", value_enum, default_value = "cfg")]
    pub rule: GuidanceRule,
    /// Share by which guidance is brought back to the deviation that it started from
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub rescale: f64,
    /// Guidance in this part of the steps alone, such as 0.2..0.8
    #[arg(long, value_name = "FROM..TO", value_parser = interval)]
    pub guided: Option<(f64, f64)>,
    /// Of DDIM and TCD, where the scheduler file is one of theirs
    #[arg(long, value_name = "ETA", default_value_t = 0.0)]
    pub eta: f64,
}

#[derive(Debug, clap::Args)]
pub struct FromOptions {
    /// A picture to start from
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// What is bright in it is painted over, the rest is kept
    #[arg(long, value_name = "FILE", requires = "image")]
    pub mask: Option<PathBuf>,
    /// How much of the picture is to change, up to 1 [default: 0.8, with a mask 1]
    #[arg(long, value_name = "SHARE", requires = "image")]
    pub strength: Option<f64>,
    /// A picture for a ControlNet to follow, with its scale
    #[arg(long, value_name = "FILE[:SCALE]", value_parser = follow)]
    pub follow: Vec<ControlPicture>,
}

#[derive(Debug, clap::Args)]
pub struct OutputOptions {
    /// PNG file; of several pictures, each with its number
    #[arg(short, long, value_name = "FILE", default_value = "picture.png")]
    pub out: PathBuf,
    /// Folder for a small picture after every step
    #[arg(long, value_name = "FOLDER")]
    pub previews: Option<PathBuf>,
    /// File that holds the run after every step, for --resume
    #[arg(long, value_name = "FILE")]
    pub keep: Option<PathBuf>,
    /// Stop after so many steps
    #[arg(long, value_name = "N", requires = "keep")]
    pub stop_after: Option<usize>,
    /// Go on with a run that was kept; all else is as it was asked for then
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub resume: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct OtherOptions {
    /// One picture of these samplers, separated by commas, in --sheet-steps
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub sheet: Vec<String>,
    /// The columns of the sheet
    #[arg(
        long,
        value_name = "STEPS",
        value_delimiter = ',',
        default_value = "5,10,20",
        requires = "sheet"
    )]
    pub sheet_steps: Vec<usize>,
    /// Print the names of samplers
    #[arg(long)]
    pub samplers: bool,
    /// Time and memory of a network of this size, with random weights
    #[arg(long, value_name = "SIZE", value_enum)]
    pub random: Option<crate::random::Size>,
    /// Compare with what diffusers makes of tiny models [default: those of the project]
    #[arg(long, value_name = "FOLDER", num_args = 0..=1)]
    pub cases: Option<Option<PathBuf>>,
}

/// `0.2..0.8`
fn interval(text: &str) -> Result<(f64, f64), String> {
    let parts = text.split_once("..").ok_or("allowed: FROM..TO")?;
    let number = |part: &str| {
        part.parse::<f64>()
            .map_err(|error| format!("{part:?}: {error}"))
    };
    Ok((number(parts.0)?, number(parts.1)?))
}

/// `FILE[:SCALE]`
fn follow(text: &str) -> Result<ControlPicture, String> {
    let LoraFile { path, scale } = text.parse()?;
    Ok(ControlPicture { path, scale })
}

impl Options {
    /// The files of the model.
    pub fn files(&self) -> Outcome<ModelFiles> {
        let options = &self.model;
        Ok(ModelFiles {
            model: options
                .model
                .clone()
                .ok_or("which model? --model names its folder or file; --help says more")?,
            config: options.config.clone(),
            vae: options.vae.clone(),
            loras: options.lora.clone(),
            words: options.words.clone(),
            controls: options.control.clone(),
            control_config: options.control_config.clone(),
            half: options.half.map(|half| match half {
                HalfName::F16 => Half::F16,
                HalfName::Bf16 => Half::BF16,
            }),
        })
    }

    /// What is asked of it.
    pub fn request(&self) -> Request {
        let (picture, sampler, from) = (&self.picture, &self.sampler, &self.from);
        let strength = if from.mask.is_some() { 1.0 } else { 0.8 };
        Request {
            prompt: picture.prompt.clone(),
            negative: picture.negative.clone(),
            width: picture.width,
            height: picture.height,
            count: picture.count,
            seed: picture.seed,
            numbers: match (picture.device_seed, picture.own_seed) {
                (true, _) => Numbers::TorchOnDevice,
                (_, true) => Numbers::Own,
                _ => Numbers::Torch,
            },
            sampler: sampler.sampler.clone(),
            steps: sampler.steps,
            eta: sampler.eta,
            guidance: sampler.guidance,
            rule: sampler.rule,
            rescale: sampler.rescale,
            interval: sampler.guided,
            clip_skip: picture.clip_skip,
            image: from.image.clone(),
            mask: from.mask.clone(),
            strength: from.strength.unwrap_or(strength),
            controls: from.follow.clone(),
        }
    }

    /// The device.
    pub fn device(&self) -> Outcome<Device> {
        let built = |name: &str| {
            format!(
                "the program was built without {name}: --features candle-core/{name},candle-nn/{name}"
            )
        };
        Ok(match self.model.device {
            DeviceName::Cpu => Device::Cpu,
            DeviceName::Cuda => Device::new_cuda(0).map_err(|_| built("cuda"))?,
            DeviceName::Metal => Device::new_metal(0).map_err(|_| built("metal"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_consistent() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }

    #[test]
    fn options_become_a_request() {
        let asked = |arguments: &[&str]| Options::try_parse_from([&["x"], arguments].concat());
        let options = asked(&[
            "-m",
            "m",
            "-p",
            "cat",
            "--lora",
            "a.safetensors:0.7",
            "--lora",
            "b",
            "--guided",
            "0.2..0.8",
            "--image",
            "i.png",
            "--mask",
            "k.png",
            "--own-seed",
            "--words",
            "<x>=w.safetensors",
        ])
        .unwrap();
        let (files, request) = (options.files().unwrap(), options.request());
        assert_eq!((files.loras[0].scale, files.loras[1].scale), (0.7, 1.0));
        assert_eq!(files.words[0].word.as_deref(), Some("<x>"));
        assert_eq!(
            (request.strength, request.interval),
            (1.0, Some((0.2, 0.8)))
        );
        assert_eq!(request.numbers, Numbers::Own);
        for wrong in [
            &["--mask", "k.png"][..],
            &["--device-seed", "--own-seed"],
            &["--guided", "0.2"],
            &["--lora", "a:nan"],
            &["--stop-after", "3"],
        ] {
            assert!(asked(wrong).is_err(), "{wrong:?}");
        }
        assert!(asked(&[]).unwrap().files().is_err());
    }
}
