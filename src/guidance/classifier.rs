//! Classifier guidance.

use crate::{
    Denoiser, Error, Parameterization, Point, Posterior, Prediction, denoiser::memory_of,
    state::State,
};

/// A denoiser steered by the gradient of a classifier, `grad log p(y | x_t)` at the noisy state.
///
/// Score form: `eps <- eps - w sigma grad`, so that the score becomes that of `p(x_t) p(y | x_t)^w`.
///
/// $$\tilde\varepsilon=\hat\varepsilon-w\thinspace\sigma_t\thinspace\nabla_{x_t}\log p(y\mid x_t)$$
///
/// The gradient is a closure `(x, at) -> V`. The answer is a noise prediction; where there is no noise
/// it is left as it was.
///
/// [Source](crate::docs::papers#arxiv-2105.05233): Diffusion Models Beat GANs on Image Synthesis, Dhariwal, Nichol, 2021,
/// algorithms 1 and 2.
///
/// ```
/// use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Step, guidance::Classifier, predicts};
/// use ndarray::{Array1, array};
/// let net = predicts::noise(|x: &Array1<f64>, _: Point<Step>| x * 0.0);
/// let up = |x: &Array1<f64>, _: Point<Step>| Ok(Array1::ones(x.len()));
/// let mut net = Classifier::new(net, up, 2.0)?;
/// let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
/// assert_eq!(net.predict(&array![0.5], at)?.value, array![-1.6]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("classifier_scale", "condition_score", "cond_fn"))]
#[derive(Debug, Clone)]
pub struct Classifier<D, G> {
    inner: D,
    gradient: G,
    scale: f64,
}

impl<D, G> Classifier<D, G> {
    /// These predictions moved by `scale` times the gradient of a log-probability.
    ///
    /// # Errors
    ///
    /// If the scale is not finite.
    pub fn new(inner: D, gradient: G, scale: f64) -> Result<Self, Error> {
        if !scale.is_finite() {
            let what = "scale of the classifier";
            return Err(Error::range(what, scale, "a finite number"));
        }
        Ok(Self {
            inner,
            gradient,
            scale,
        })
    }

    /// Mean form: the mean of each step moves by `w std^2 grad`, for steps of this posterior.
    ///
    /// For steps that draw; the [score form](Classifier) serves those that do not.
    #[doc(alias("condition_mean"))]
    pub fn moving_the_mean<P: Posterior>(self, posterior: P) -> MeanClassifier<D, G, P> {
        MeanClassifier {
            classifier: self,
            posterior,
        }
    }
}

impl<V, T, D, G> Denoiser<V, T> for Classifier<D, G>
where
    V: State,
    T: Copy,
    D: Denoiser<V, T>,
    G: FnMut(&V, Point<T>) -> Result<V, Error>,
{
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        let answer = self.inner.predict(x, at)?;
        if at.level.is_clean() || self.scale == 0.0 {
            return Ok(answer);
        }
        let mut answer = answer.to(Parameterization::Noise, x, at.level)?;
        let gradient = (self.gradient)(x, at)?;
        let scale = -self.scale * at.level.sigma();
        answer.value.combine(1.0, &[(scale, &gradient)])?;
        answer.data = None;
        Ok(answer)
    }

    memory_of!(inner);
}

/// [`Classifier`] guidance of the mean: made by [`Classifier::moving_the_mean`].
#[derive(Debug, Clone)]
pub struct MeanClassifier<D, G, P> {
    classifier: Classifier<D, G>,
    posterior: P,
}

impl<V, T, D, G, P> Denoiser<V, T> for MeanClassifier<D, G, P>
where
    V: State,
    T: Copy,
    D: Denoiser<V, T>,
    G: FnMut(&V, Point<T>) -> Result<V, Error>,
    P: Posterior,
{
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        let Classifier {
            inner,
            gradient,
            scale,
        } = &mut self.classifier;
        let mut answer = inner.predict(x, at)?;
        let std = self.posterior.coefficients(at.level, at.to)?.std;
        let weight = *scale * std * std / at.to.alpha();
        if weight != 0.0 {
            let mut gradient = gradient(x, at)?;
            gradient.combine(weight, &[])?;
            answer.add_shift(gradient)?;
        }
        Ok(answer)
    }

    memory_of!(classifier.inner);
}
