//! What a run begins with, drawn in the order of diffusers.

use candle_core::Tensor;
use gaussian_diffusion::editing::{Inpaint, Known};
use ndarray::{Array4, Axis, concatenate};

use super::{Program, Request, to_array, to_tensor};
use crate::{
    Outcome,
    model::Model,
    picture::{Mask, Picture},
    seeds::{Batch, Seeds},
};

/// Keeps what a mask does not cover, between the steps.
pub type Paste = Inpaint<Array4<f32>, Seeds>;

/// The first latents, and what goes along with a run that paints over.
#[derive(Debug, Clone, Default)]
pub struct Begin {
    pub x: Option<Batch>,
    /// For U-Nets that know of no mask.
    pub paste: Option<Paste>,
    /// For those that are shown it: mask and masked picture.
    pub masked: Option<Batch>,
}

impl Begin {
    /// From noise alone; from a picture: noise of the encoder, then that of the start; with a mask, noise of
    /// the encoder for the masked picture after both.
    pub fn new(
        model: &Model,
        request: &Request,
        program: &Program,
        seeds: &mut Seeds,
    ) -> Outcome<Self> {
        let given = request.image.as_deref().map(Picture::open).transpose()?;
        let size = request.size(model, given.as_ref())?;
        let scale = model.vae.config.scale();
        let channels = model.vae.config.latent_channels;
        let shape = (request.count, channels, size.1 / scale, size.0 / scale);
        let Some(picture) = given else {
            let x = Some(program.start(model, request, shape, seeds)?);
            return Ok(Self {
                x,
                ..Self::default()
            });
        };
        let picture = picture.resized(size).signed(&model.device)?;
        let Some(mask) = &request.mask else {
            let known = encoded(model, &picture, request.count, seeds)?;
            let x = Some(program.noised(&known, seeds)?);
            return Ok(Self {
                x,
                ..Self::default()
            });
        };
        let mask = Mask::open(mask)?.resized(size);
        // At a strength of 1 nothing of the picture is in the first latents.
        let is_all_noise = request.strength == 1.0;
        let is_shown_mask = model.unet.config.in_channels > channels;
        let known = match is_shown_mask && is_all_noise {
            true => None,
            false => Some(encoded(model, &picture, request.count, seeds)?),
        };
        // What is kept has the noise of the start.
        let before = seeds.clone();
        let x = match &known {
            Some(known) if !is_all_noise => program.noised(known, seeds)?,
            _ => program.start(model, request, shape, seeds)?,
        };
        let rest = picture.broadcast_mul(&mask.kept(&model.device)?)?;
        let rest = encoded(model, &rest, request.count, seeds)?;
        let covered = mask.latent(scale, request.count);
        let mut begin = Self {
            x: Some(x),
            ..Self::default()
        };
        match known.filter(|_| !is_shown_mask) {
            Some(known) => {
                let kept = covered.mapv(|covered| 1.0 - covered);
                let kept = kept
                    .broadcast(known.dim())
                    .ok_or("mask and latents differ in size")?;
                let known = Known::new(known.clone(), kept.to_owned())?;
                let paste = Inpaint::new(known, before).with_held_noise();
                begin.paste = Some(paste.with_free_start().with_data_at_end());
            }
            None => begin.masked = Some(concatenate(Axis(1), &[covered.view(), rest.view()])?),
        }
        Ok(begin)
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
