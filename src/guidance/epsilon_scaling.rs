//! Predictions made smaller, against the errors that a sampler gathers.

use super::Strength;
use crate::{
    Denoiser, Error, Parameterization, Point, Prediction, denoiser::memory_of, state::State,
};

/// Epsilon scaling: the predicted noise divided by a number a little above 1.
///
/// A sampler shows a network states that are a little noisier than those it was trained on, and is answered with
/// a little too much noise. What the data is taken to be follows from the smaller noise:
///
/// ```text
/// eps / scale,   x0 = (x - sigma eps / scale) / alpha
/// ```
///
/// $$\hat\varepsilon\leftarrow\hat\varepsilon/\lambda_t$$
///
/// The paper's scale is one number, such as 1.005, or grows from the first step to the last: a list, or a function of
/// the level. Around a [guided](super::Guided) network it scales what was guided. A scale of 1 changes nothing. At zero SNR the data
/// does not follow from the noise, and the prediction is left as it was.
///
/// ComfyUI's node scales `x - denoised`: on schedules of `alpha = 1`, as it has them, that is this, on flows it is
/// the velocity, which [`with_parameterization`](Self::with_parameterization) of [`Flow`](Parameterization::Flow) is.
///
/// [Source](crate::docs::papers#arxiv-2308.15321): Elucidating the Exposure Bias in Diffusion Models, Ning, Li, Su, Salah, Ertugrul,
/// 2024.
///
/// ```
/// use gaussian_diffusion::{Denoiser, NoiseLevel, Parameterization, Point, Step, guidance::EpsilonScaling, predicts};
/// use ndarray::{Array1, array};
/// let net = predicts::noise(|x: &Array1<f64>, _: Point<Step>| x * 2.0);
/// let mut net = EpsilonScaling::new(net, 1.25)?;
/// let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
/// assert_eq!(net.predict(&array![1.0], at)?.value, array![1.6]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("exposure bias", "scaling_factor"))]
#[derive(Debug, Clone)]
pub struct EpsilonScaling<D> {
    inner: D,
    scale: Strength,
    terms: Parameterization,
}

impl<D> EpsilonScaling<D> {
    /// This denoiser with its noise divided by this scale.
    ///
    /// # Errors
    ///
    /// If a scale is not finite or is 0.
    pub fn new(inner: D, scale: impl Into<Strength>) -> Result<Self, Error> {
        let scale = scale.into().checked()?;
        if let Some(zero) = scale.numbers().find(|scale| **scale == 0.0) {
            return Err(not_zero(*zero));
        }
        let terms = Parameterization::Noise;
        Ok(Self {
            inner,
            scale,
            terms,
        })
    }

    /// The same, dividing what is predicted in these terms.
    #[must_use]
    pub fn with_parameterization(self, terms: Parameterization) -> Self {
        Self { terms, ..self }
    }
}

fn not_zero(scale: f64) -> Error {
    Error::range("scale of a prediction", scale, "a finite number but 0")
}

impl<V: State, T: Copy, D: Denoiser<V, T>> Denoiser<V, T> for EpsilonScaling<D> {
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        let scale = self.scale.at(&at)?;
        if scale == 0.0 {
            return Err(not_zero(scale));
        }
        let answer = self.inner.predict(x, at)?;
        if scale == 1.0 || self.terms.to(Parameterization::X0, at.level).is_err() {
            return Ok(answer);
        }
        let mut answer = answer.to(self.terms, x, at.level)?;
        answer.value.combine(scale.recip(), &[])?;
        answer.data = None;
        Ok(answer)
    }

    memory_of!(inner);
}
