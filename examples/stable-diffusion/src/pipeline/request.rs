//! What is asked for.

use std::path::PathBuf;

use candle_core::{DType, Tensor};
use gaussian_diffusion::guidance::{
    CfgZeroStar, Combination, GuidanceInterval, MagnitudeAwareCfg, Projected, Rescaled, Rule,
    TangentialCfg, Within,
};
use serde::{Deserialize, Serialize};

use crate::{
    Outcome,
    model::{Model, Text},
    picture::Picture,
    seeds::{Batch, Numbers},
    unet::Told,
};

/// A picture to be drawn, or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub prompt: String,
    pub negative: Option<String>,
    /// Pixels; those of the picture given, or of the model's training.
    pub width: Option<usize>,
    pub height: Option<usize>,
    /// Pictures at once.
    pub count: usize,
    pub seed: u64,
    pub numbers: Numbers,
    /// The name of a sampler, or else the scheduler file of the model.
    pub sampler: Option<String>,
    pub steps: usize,
    /// Of DDIM and TCD, where the scheduler file is one of theirs.
    pub eta: f64,
    pub guidance: f64,
    pub rule: GuidanceRule,
    pub rescale: f64,
    /// The share of the steps in which there is guidance.
    pub interval: Option<(f64, f64)>,
    /// Layers of the text model to leave out.
    pub clip_skip: usize,
    pub image: Option<PathBuf>,
    pub mask: Option<PathBuf>,
    pub strength: f64,
    pub controls: Vec<ControlPicture>,
}

/// The picture that a ControlNet follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControlPicture {
    pub path: PathBuf,
    pub scale: f64,
}

/// How the answers to prompt and negative prompt become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum GuidanceRule {
    /// Classifier-free guidance
    Cfg,
    /// Adaptive projected guidance, of the data: momentum -0.5, norm 15
    Apg,
    /// CFG-zero*, with the first step left out
    ZeroStar,
    /// Tangential damping
    Tangential,
    /// Magnitude-aware guidance
    Magnitude,
    /// CFG++, for samplers of its name
    PlusPlus,
}

impl Default for Request {
    /// What the pipelines of diffusers take where nothing is said.
    fn default() -> Self {
        Self {
            prompt: String::new(),
            negative: None,
            width: None,
            height: None,
            count: 1,
            seed: 0,
            numbers: Numbers::Torch,
            sampler: None,
            steps: 50,
            eta: 0.0,
            guidance: 7.5,
            rule: GuidanceRule::Cfg,
            rescale: 0.0,
            interval: None,
            clip_skip: 0,
            image: None,
            mask: None,
            strength: 0.8,
            controls: Vec::new(),
        }
    }
}

impl Request {
    /// Refuses what the model cannot do, before anything is computed.
    pub fn check(&self, model: &Model) -> Outcome<()> {
        let channels = model.unet.config.in_channels;
        let latent = model.vae.config.latent_channels;
        let for_masks = 2 * latent + 1;
        if channels == for_masks && (self.image.is_none() || self.mask.is_none()) {
            return Err(format!(
                "the U-Net has {channels} channels: it paints over, and needs a picture and a mask"
            )
            .into());
        }
        if channels != latent && channels != for_masks {
            return Err(format!("the U-Net has {channels} channels, allowed: {latent}, or {for_masks} for painting over").into());
        }
        if self.mask.is_some() && self.image.is_none() {
            return Err("a mask needs a picture to paint over".into());
        }
        if self.count == 0 {
            return Err("number of pictures is 0, allowed: 1 or more".into());
        }
        let (found, needed) = (self.controls.len(), model.controls.len());
        if found != needed {
            return Err(format!("{found} pictures to follow for {needed} ControlNets").into());
        }
        let classes = model.unet.config.num_class_embeds.is_some()
            || model.unet.config.class_embed_type.is_some();
        if classes {
            return Err("the U-Net is told classes, which no prompt gives".into());
        }
        Ok(())
    }

    /// Pixels: width and height.
    pub fn size(&self, model: &Model, given: Option<&Picture>) -> Outcome<(usize, usize)> {
        let scale = model.vae.config.scale();
        let own = model.unet.config.sample_size.map(|side| side * scale);
        // A picture loses what is left over, as in diffusers; a number is meant.
        let side =
            |asked: Option<usize>, of: fn(&Picture) -> usize, what: &str| -> Outcome<usize> {
                let given = given.map(|picture| of(picture) / scale * scale);
                let side = asked.or(given).or(own);
                let side = side
                    .ok_or_else(|| format!("the model does not say its size: {what} is needed"))?;
                match side > 0 && side % scale == 0 {
                    true => Ok(side),
                    false => Err(format!(
                        "{what} is {side}, allowed: multiples of {scale} from {scale} on"
                    )
                    .into()),
                }
            };
        Ok((
            side(self.width, |p| p.width, "width")?,
            side(self.height, |p| p.height, "height")?,
        ))
    }

    /// What the U-Net is told of prompt and negative prompt, a row for each picture; and what did not fit.
    pub fn texts(&self, model: &Model) -> Outcome<([Told; 2], Vec<String>)> {
        let (prompt, cut) = model.text(&self.prompt, self.clip_skip)?;
        let mut left_out: Vec<String> = cut.into_iter().collect();
        let negative = match &self.negative {
            None if model.zeros_for_none => {
                let zeros = |x: &Tensor| x.zeros_like();
                (zeros(&prompt.0)?, prompt.1.as_ref().map(zeros).transpose()?)
            }
            other => {
                // diffusers leaves out layers for the prompt alone.
                let (text, cut) = model.text(other.as_deref().unwrap_or_default(), 0)?;
                left_out.extend(cut);
                text
            }
        };
        let given = self.image.as_deref().map(Picture::open).transpose()?;
        let (width, height) = self.size(model, given.as_ref())?;
        let told = |(text, pooled): Text| -> Outcome<Told> {
            let sizes = [height, width, 0, 0, height, width].map(|side| side as f64);
            let added = pooled.map(|pooled| {
                let sizes = Tensor::new(&[sizes], pooled.device())?.to_dtype(DType::F64)?;
                candle_core::Result::Ok((
                    pooled.repeat((self.count, 1))?,
                    sizes.repeat((self.count, 1))?,
                ))
            });
            Ok(Told {
                text: text.repeat((self.count, 1, 1))?,
                added: added.transpose()?,
                scale: model.unet.config.time_cond_proj_dim.map(|_| self.guidance),
                classes: None,
            })
        };
        Ok(([told(prompt)?, told(negative)?], left_out))
    }

    /// The rule of guidance.
    pub fn guidance(&self, model: &Model) -> Outcome<Box<dyn Rule<Batch>>> {
        let scale = match model.unet.config.time_cond_proj_dim {
            // A network that is told the scale is asked once.
            Some(_) => 1.0,
            // As in diffusers: models that want no guidance are asked with 0.
            None if self.guidance <= 1.0 && self.rule != GuidanceRule::PlusPlus => 1.0,
            None => self.guidance,
        };
        let rule: Box<dyn Rule<Batch>> = match self.rule {
            GuidanceRule::Cfg | GuidanceRule::PlusPlus => {
                Box::new(Combination::classifier_free(scale)?)
            }
            GuidanceRule::Apg => Box::new(
                Projected::new(scale)?
                    .with_momentum(-0.5)?
                    .with_norm(15.0)?,
            ),
            GuidanceRule::ZeroStar => Box::new(CfgZeroStar::new(scale, 1)?),
            GuidanceRule::Tangential => Box::new(TangentialCfg::new(scale)?),
            GuidanceRule::Magnitude => Box::new(MagnitudeAwareCfg::new(scale, 8.0)?),
        };
        let rule: Box<dyn Rule<Batch>> = match self.interval {
            None => rule,
            Some((start, stop)) => Box::new(Within::new(
                rule,
                GuidanceInterval::fraction(start, stop, self.steps)?,
            )),
        };
        Ok(match self.rescale {
            0.0 => rule,
            phi => Box::new(Rescaled::new(rule, phi)?),
        })
    }
}
