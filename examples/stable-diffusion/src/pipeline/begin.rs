//! What a run begins with, drawn in the order of diffusers.

use candle_core::Tensor;
use gaussian_diffusion::NoiseLevel;
use ndarray::{Axis, concatenate};

use super::{Paste, Program, Request, to_array, to_tensor};
use crate::{
    Outcome,
    model::Model,
    picture::{Mask, Picture},
    seeds::{Batch, Seeds},
};

/// The first latents, and what goes along with a run that paints over.
#[derive(Debug, Clone)]
pub struct Begin {
    pub x: Option<Batch>,
    /// For U-Nets that know of no mask.
    pub paste: Option<Paste>,
    /// For those that are shown it: mask and masked picture.
    pub masked: Option<Batch>,
}

impl Begin {
    /// From noise alone; from a picture: noise of the encoder, then that of the start; with a mask, noise of the
    /// encoder for the masked picture after both.
    pub fn new(
        model: &Model,
        request: &Request,
        program: &Program,
        seeds: &mut Seeds,
    ) -> Outcome<Self> {
        let given = request.image.as_deref().map(Picture::open).transpose()?;
        let (width, height) = request.size(model, given.as_ref())?;
        let scale = model.vae.config.scale();
        let shape = [
            request.count,
            model.vae.config.latent_channels,
            height / scale,
            width / scale,
        ];
        let Some(picture) = given.map(|picture| picture.resized((width, height))) else {
            let std = program.start_std(model, request)? as f32;
            let noise = seeds.draw(shape)?;
            return Ok(Self {
                x: Some(noise * std),
                paste: None,
                masked: None,
            });
        };
        let mask = request.mask.as_deref().map(Mask::open).transpose()?;
        let mask = mask.map(|mask| mask.resized((width, height)));
        let is_shown_mask = model.unet.config.in_channels > model.vae.config.latent_channels;
        // Nothing is left of the picture in the first latents of a mask at strength 1.
        let is_all_noise = mask.is_some() && request.strength == 1.0;

        let known = match is_shown_mask && is_all_noise {
            true => None,
            false => Some(encoded(
                model,
                &picture.signed(&model.device)?,
                request.count,
                seeds,
            )?),
        };
        let noise = seeds.draw(shape)?;
        let x = match (&known, is_all_noise) {
            (Some(known), false) => {
                let level = program.first_level();
                let (alpha, sigma) = (level.alpha() as f32, level.sigma() as f32);
                known * alpha + &noise * sigma
            }
            _ => &noise * program.start_std(model, request)? as f32,
        };
        let Some(mask) = mask else {
            return Ok(Self {
                x: Some(x),
                paste: None,
                masked: None,
            });
        };
        let rest = picture
            .signed(&model.device)?
            .broadcast_mul(&mask.kept(&model.device)?)?;
        let rest = encoded(model, &rest, request.count, seeds)?;
        let mask = mask.latent(scale, request.count);
        Ok(match (is_shown_mask, known) {
            (false, Some(known)) => Self {
                x: Some(x),
                paste: Some(Paste {
                    mask: mask
                        .broadcast(known.dim())
                        .ok_or("mask and latents differ in size")?
                        .to_owned(),
                    known,
                    noise,
                }),
                masked: None,
            },
            _ => Self {
                x: Some(x),
                paste: None,
                masked: Some(concatenate(Axis(1), &[mask.view(), rest.view()])?),
            },
        })
    }
}

impl Program {
    /// The level at which the run starts.
    fn first_level(&self) -> NoiseLevel {
        let levels = match self {
            Self::File(plan) => plan.levels(),
            Self::Named { plan, .. } | Self::Adaptive { start: plan, .. } => plan.levels(),
        };
        levels.first().copied().unwrap_or(NoiseLevel::NOISE)
    }
}

/// Latents of a picture for a batch: drawn once, or for each picture where these have noise of their own.
fn encoded(model: &Model, picture: &Tensor, count: usize, seeds: &mut Seeds) -> Outcome<Batch> {
    let moments = model.vae.encode(picture)?;
    let (_, channels, height, width) = moments.mean.dims4()?;
    let drawn = if seeds.is_per_picture() { count } else { 1 };
    let noise = to_tensor(
        &seeds.draw([drawn, channels, height, width])?,
        &model.device,
    )?;
    let latents = moments
        .mean
        .broadcast_add(&noise.broadcast_mul(&moments.std)?)?;
    let latents = (latents * model.vae.config.scaling_factor)?;
    Ok(to_array(&latents.repeat((count / drawn, 1, 1, 1))?)?)
}
