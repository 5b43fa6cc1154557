//! What the program is asked to do.

use std::path::PathBuf;

use clap::{Parser, value_parser};

use crate::{
    Outcome,
    network::Network,
    part::{Items, Part},
    recipe::Recipe,
    weights::Weights,
};

/// Train a small network on 8x8 handwritten digits, draw new ones by DDPM and by DDIM, and measure
/// how good they are.
///
/// Training takes about a minute. Its weights are saved as weights.safetensors, and the
/// pictures are
///
///   digits.svg      a digit on its way to noise, and noise on its way to digits by DDPM and DDIM:
///                   a row of states, a row of the digits expected to come of them
///   ddpm.svg        digits drawn by DDPM, a row for each class
///   ddim.svg        the same by DDIM, from the same noise
///
/// and with the options for further reports
///
///   bound.svg       --bound: the variational bound, step by step
///   guided.svg      --guidance-sweep: the same noise at several scales of guidance, a row each
///   guidance.svg    --guidance-sweep: what guidance gains, and what it costs
///   inpaint.svg     --inpaint: held-out digits, their upper halves, and completions
///   digits_fitted.svg  --fit: distance from the exact flow against evaluations
///   digits_few.svg  --fit: ten digits in 4 evaluations, by the best named sampler and by a fitted one
///   mixture.svg     --mixture: digits drawn from a mixture of Gaussians
///   digits_*.svg    --why: digits by regression, autoregression and diffusion
///
/// On a machine that is busy with other things CANDLE_NUM_THREADS=1 in the environment is several times
/// as fast: threads of candle wait for each other.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
pub struct Options {
    /// Folder for the pictures and the weights
    #[arg(long, default_value = "out", value_name = "FOLDER")]
    pub out: PathBuf,
    /// Digits: gzipped lines of 64 pixels of 0 to 16 and the label [default: those of the example]
    #[arg(
        long,
        value_name = "FILE",
        default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/data/digits.csv.gz"),
        hide_default_value = true
    )]
    pub data: PathBuf,
    /// Fixes all that is random: which digits are held out, the first weights, training and samples
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,

    /// Weights of an earlier run with the same seed, and those of --why and --fit beside them, instead of training
    #[arg(long, value_name = "FILE", help_heading = "Training")]
    pub weights: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Training")]
    pub recipe: Recipe,

    /// Steps of DDPM, at most 1000
    #[arg(
        long,
        default_value_t = 1000,
        value_name = "N",
        help_heading = "Drawing"
    )]
    pub ddpm_steps: usize,
    /// Steps of DDIM, at most 1000
    #[arg(long, default_value_t = 25, value_name = "N", help_heading = "Drawing")]
    pub ddim_steps: usize,
    /// Scale of guidance towards the class: 0 leaves the class out, 1 does not guide
    #[arg(
        long,
        default_value_t = 1.0,
        value_name = "SCALE",
        allow_negative_numbers = true,
        help_heading = "Drawing"
    )]
    pub guidance: f64,
    /// Digits of each class in a picture
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = value_parser!(u16).range(1..=100), help_heading = "Drawing")]
    pub per_class: u16,
    /// Digits to draw and measure, if more than those of the picture
    #[arg(
        long,
        default_value_t = 360,
        value_name = "N",
        help_heading = "Drawing"
    )]
    pub measure: u16,

    /// Draw these items of a large batch by DDPM, and nothing else: 0..1250 are the first. An item is the
    /// same, to the bit, in whatever part it is drawn
    #[arg(
        long,
        value_name = "FIRST..END",
        requires_all = ["samples", "weights"],
        help_heading = "Part of a large batch"
    )]
    pub items: Option<Items>,
    /// File for them: 64 numbers an item, 4 bytes each, little-endian. It is there when it is whole
    #[arg(
        long,
        value_name = "FILE",
        requires = "items",
        help_heading = "Part of a large batch"
    )]
    pub samples: Option<PathBuf>,

    /// How likely the network finds held-out digits: the variational bound and the probability flow
    #[arg(long, help_heading = "Further reports")]
    pub bound: bool,
    /// Class and diversity of digits by the scale of guidance
    #[arg(long, help_heading = "Further reports")]
    pub guidance_sweep: bool,
    /// Completions of the upper halves of held-out digits
    #[arg(long, help_heading = "Further reports")]
    pub inpaint: bool,
    /// Why diffusion: three more networks, trained alike, that draw digits at once or pixel by pixel
    #[arg(long, help_heading = "Further reports")]
    pub why: bool,
    /// Samplers fitted to the network beside every named one; trains a second network to see if they suit it
    #[arg(long, help_heading = "Further reports")]
    pub fit: bool,
    /// Instead of a network: mixtures of Gaussians fitted to the digits, whose denoisers are exact
    #[arg(long, help_heading = "Further reports")]
    pub mixture: bool,
}

impl Options {
    /// The part of a large batch that is asked for, if one is.
    pub fn part(&self) -> Outcome<Option<Part>> {
        let (Some(items), Some(path), Some(weights)) = (&self.items, &self.samples, &self.weights)
        else {
            return Ok(None);
        };
        Ok(Some(Part {
            network: Network::new(Weights::load(&Network::of_diffusion(), weights)?)?,
            items: items.clone(),
            path: path.clone(),
        }))
    }
}
