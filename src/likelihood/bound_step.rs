//! One step of the variational bound.

use ndarray::{Array, Dimension};

use super::{
    Decoder, InNats, Nats,
    elements::{Element, noised, per_item},
};
use crate::{
    Denoiser, Error, Markov, NoiseLevel, Point, Posterior, PosteriorCoefficients, Prediction,
    ReverseVariance, UpdateNoise, gaussian_kl, noise::NoiseSource, state::Real,
};

/// A step of the bound: two Gaussians, and where the network is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BoundStep<T> {
    /// What the network is asked about.
    pub point: Point<T>,
    /// `q(x_s | x_t, x_0)`.
    pub posterior: PosteriorCoefficients,
    /// The standard deviation of `p(x_s | x_t)`, or where the network says it.
    pub noise: UpdateNoise,
}

impl<T> BoundStep<T> {
    pub(super) fn new(
        point: Point<T>,
        previous: Option<(NoiseLevel, NoiseLevel)>,
        variance: &impl ReverseVariance,
    ) -> Result<Self, Error> {
        let (from, to) = (point.from, point.to);
        Ok(Self {
            posterior: Markov.coefficients(from, to)?,
            noise: variance.update_noise(from, to, previous)?,
            point,
        })
    }

    /// `KL(q(x_s | x_t, x_0) || p(x_s | x_t))` of each item of an array, in nats, for an `x_t` and an answer of
    /// your own.
    ///
    /// Infinite for the step to the data, whose posterior is a point.
    ///
    /// # Errors
    ///
    /// If a shape differs, a needed variance is missing, the prediction does not determine the data,
    /// or holds a NaN.
    pub fn divergence<A: Real, D: Dimension>(
        &self,
        x_0: &Array<A, D>,
        x_t: &Array<A, D>,
        prediction: &Prediction<Array<A, D>>,
    ) -> Result<Vec<Nats>, Error> {
        let sums = self.sum(x_0, x_t, prediction, |element| Ok(self.element(element)))?;
        Ok(sums.into_iter().map(Nats::of).collect())
    }

    /// `log p(x_0 | x_1)` of each item of an array under a decoder, for the step to the data.
    ///
    /// # Errors
    ///
    /// As [`divergence`](Self::divergence), or if the decoder refuses the data.
    pub fn reconstruction<A: Real, D: Dimension, C: Decoder>(
        &self,
        x_0: &Array<A, D>,
        x_t: &Array<A, D>,
        prediction: &Prediction<Array<A, D>>,
        decoder: &C,
    ) -> Result<Vec<C::Likelihood>, Error> {
        let sums = self.sum(x_0, x_t, prediction, |element| {
            let Element {
                x_0,
                predicted,
                log_variance,
            } = element;
            Ok(decoder.log_likelihood(x_0, predicted, log_variance)?.get())
        })?;
        let likelihood = |sum| C::Likelihood::of_nats(Nats::of(sum));
        Ok(sums.into_iter().map(likelihood).collect())
    }

    /// The divergence of each item for an `x_t` that is drawn.
    pub(super) fn draw<A, D, N, S>(
        &self,
        x_0: &Array<A, D>,
        network: &mut N,
        noise: &mut S,
    ) -> Result<Vec<Nats>, Error>
    where
        T: Copy,
        A: Real,
        D: Dimension,
        N: Denoiser<Array<A, D>, T> + ?Sized,
        S: NoiseSource<Array<A, D>> + ?Sized,
    {
        let x_t = noised(x_0, self.point.level, noise)?;
        let prediction = network.predict(&x_t, self.point)?;
        self.divergence(x_0, &x_t, &prediction)
    }

    fn sum<A: Real, D: Dimension>(
        &self,
        x_0: &Array<A, D>,
        x_t: &Array<A, D>,
        prediction: &Prediction<Array<A, D>>,
        f: impl Fn(Element) -> Result<f64, Error>,
    ) -> Result<Vec<f64>, Error> {
        let Point { level, step, .. } = self.point;
        per_item(x_0, x_t, prediction, level, self.noise, step, f)
    }

    /// The means differ only by what they say of `x_0`.
    fn element(&self, element: Element) -> f64 {
        let distance = self.posterior.clean * (element.x_0 - element.predicted);
        let model = element.log_variance.exp();
        gaussian_kl(distance, self.posterior.variance(), 0.0, model)
    }
}
