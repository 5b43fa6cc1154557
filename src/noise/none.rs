//! A source that refuses to be asked.

use super::{Interval, NoiseSource, Scale};
use crate::Error;

/// No noise, for runs of deterministic samplers: a state of any type will do, and a draw is an error.
///
/// ```
/// use gaussian_diffusion::{Point, Sampler, Step, noise::NoNoise, predicts, schedule::Discrete};
/// use ndarray::array;
/// let schedule = Discrete::stable_diffusion()?;
/// let mut net = predicts::noise(|x: &ndarray::Array1<f64>, _: Point<Step>| x * 0.5);
/// let plan = Sampler::from_name("DDIM")?.plan(&schedule, 4)?;
/// let x0 = plan.sample(array![1.0], &mut net, &mut NoNoise)?;
/// let plan = Sampler::from_name("DDPM")?.plan(&schedule, 4)?;
/// let error = plan.sample(array![1.0], &mut net, &mut NoNoise).unwrap_err();
/// assert_eq!(error.to_string(), "a source of noise is missing, a draw of the sampler needs it");
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("deterministic"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoNoise;

impl<V> NoiseSource<V> for NoNoise {
    fn add(&mut self, _: &mut V, _: Scale<'_, V>, _: Option<Interval>) -> Result<(), Error> {
        Err(Error::Missing {
            what: "a source of noise",
            needed_by: "a draw of the sampler",
        })
    }
}
