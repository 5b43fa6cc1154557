//! Keeping the predicted data within its range.

use super::{Denoiser, Point, Prediction};
use crate::{Error, Parameterization, Posterior, state::State};

/// A denoiser whose prediction of the data is clipped to `low..high`.
///
/// The answer becomes an x0-prediction, so that the noise is derived again from the clipped data, as
/// in the code of DDPM and Improved DDPM.
///
/// Source: Denoising Diffusion Probabilistic Models, Ho, Jain, Abbeel, 2020 (its code).
///
/// ```
/// use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Step, predicts};
/// use ndarray::{Array1, array};
/// let net = predicts::x0(|x: &Array1<f32>, _: Point<Step>| x * 2.0);
/// let mut net = Denoiser::<Array1<f32>, Step>::clipped(net, -1.0, 1.0)?;
/// let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
/// assert_eq!(net.predict(&array![-3.0, 0.2], at)?.value, array![-1.0, 0.4]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("clip_sample", "clip_denoised", "static thresholding"))]
#[derive(Debug, Clone)]
pub struct Clip<D> {
    inner: D,
    low: f64,
    high: f64,
}

impl<D> Clip<D> {
    /// # Errors
    ///
    /// If a bound is NaN or `low` is not below `high`.
    pub fn new(inner: D, low: f64, high: f64) -> Result<Self, Error> {
        if low.is_nan() {
            let allowed = "any number, also infinite";
            return Err(Error::range("lower bound of the clip", low, allowed));
        }
        if !(low < high) {
            return Err(Error::range(
                "upper bound of the clip",
                high,
                format!("above {low}"),
            ));
        }
        Ok(Self { inner, low, high })
    }

    /// Clips the data and leaves the predicted noise as it was, for steps of this posterior.
    ///
    /// The step is then `alpha_s clip(x0) + sqrt(sigma_s^2 - std^2) eps + std z` with the raw `eps`.
    #[doc(alias("use_clipped_model_output"))]
    pub fn keeping_noise<P: Posterior>(self, posterior: P) -> ClipKeepingNoise<D, P> {
        ClipKeepingNoise {
            clip: self,
            posterior,
        }
    }
}

impl<V: State, T, D: Denoiser<V, T>> Denoiser<V, T> for Clip<D> {
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        let level = at.level;
        let mut prediction = self
            .inner
            .predict(x, at)?
            .to(Parameterization::X0, x, level)?;
        prediction.value.clamp(self.low, self.high)?;
        Ok(prediction)
    }
}

/// [`Clip`] with the predicted noise left as it was: made by [`Clip::keeping_noise`].
#[derive(Debug, Clone)]
pub struct ClipKeepingNoise<D, P> {
    clip: Clip<D>,
    posterior: P,
}

impl<V: State, T, D: Denoiser<V, T>, P: Posterior> Denoiser<V, T> for ClipKeepingNoise<D, P> {
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        let (level, to) = (at.level, at.to);
        let raw = self
            .clip
            .inner
            .predict(x, at)?
            .to(Parameterization::X0, x, level)?;
        let mut clipped = raw.clone();
        clipped.value.clamp(self.clip.low, self.clip.high)?;
        // The x0 for which the step of the posterior, state x + clean x0, has the raw noise in it:
        // state alpha_t of the step's alpha_s comes from x and has to be moved to the clipped data.
        let bridge = self.posterior.bridge(level, to)?;
        let moved = bridge.state * level.alpha() / bridge.clean;
        clipped
            .value
            .combine(1.0 + moved, &[(-moved, &raw.value)])?;
        Ok(clipped)
    }
}
