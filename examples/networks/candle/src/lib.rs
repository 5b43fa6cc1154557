//! A network of candle as a denoiser: guided towards classes by "DPM++ 2M Karras", the predictions with and
//! without a class in one batch.

pub mod unet;

use candle_core::{Device, Error as CandleError, Tensor};
use gaussian_diffusion::{
    Denoiser, Error, Plan, Point, Sampler, SeededNoise, Step,
    guidance::{Combination, Guided, Together},
    predicts,
    schedule::Discrete,
};
use ndarray::Array4;
use unet::UNet;

pub type Pictures = Array4<f32>;

/// A network that predicts the noise in pictures of these classes, at one time, as a denoiser of arrays.
pub fn denoiser(net: &UNet, classes: Vec<u32>) -> impl Denoiser<Pictures, Step> {
    predicts::noise(move |x: &Pictures, at: Point<Step>| {
        array(&net.forward(&tensor(x)?, at.time.get(), &classes)?)
    })
}

/// Draws a picture of each class, guided by this scale; the network knows `none` as no class.
pub fn sample(net: &UNet, classes: &[u32], none: u32, scale: f64) -> Result<Pictures, Error> {
    let both = [classes, &vec![none; classes.len()]].concat();
    let together = Together::new(denoiser(net, both), 2)?;
    let mut guided = Guided::new(together, Combination::classifier_free(scale)?);

    let plan = plan()?;
    let mut noise = SeededNoise::new(42);
    let start = plan.prior((classes.len(), 3, 16, 16), &mut noise)?;
    plan.sample(start, &mut guided, &mut noise)
}

pub fn plan() -> Result<Plan<Step>, Error> {
    Sampler::from_name("DPM++ 2M Karras")?.plan(&Discrete::stable_diffusion()?, 20)
}

pub fn tensor(x: &Pictures) -> Result<Tensor, CandleError> {
    Tensor::from_iter(x.iter().copied(), &Device::Cpu)?.reshape(x.dim())
}

pub fn array(x: &Tensor) -> Result<Pictures, CandleError> {
    let numbers = x.flatten_all()?.to_vec1()?;
    Array4::from_shape_vec(x.dims4()?, numbers).map_err(CandleError::wrap)
}
