//! Closures as denoisers, named by what they predict.
//!
//! ```
//! use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Step, predicts};
//! use ndarray::Array1;
//! let mut net = predicts::noise(|x: &Array1<f32>, at: Point<Step>| x * at.time.get() as f32);
//! let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
//! assert_eq!(net.predict(&Array1::ones(2), at)?.value, Array1::from_elem(2, 3.0));
//! # Ok::<(), gaussian_diffusion::Error>(())
//! ```

use crate::{Denoiser, Error, Parameterization, Point, Posterior, Prediction};

/// A closure that predicts always the same thing.
#[derive(Debug, Clone, Copy)]
pub struct Predicts<F> {
    network: F,
    parameterization: Parameterization,
}

impl<V, T, F: FnMut(&V, Point<T>) -> V> Denoiser<V, T> for Predicts<F> {
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        Ok(Prediction::new(
            (self.network)(x, at),
            self.parameterization,
        ))
    }
}

macro_rules! predicts {
    ($($(#[$doc:meta])* $name:ident => $parameterization:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name<V, T, F: FnMut(&V, Point<T>) -> V>(network: F) -> Predicts<F> {
            Predicts { network, parameterization: Parameterization::$parameterization }
        }
    )*};
}

predicts! {
    /// A network that predicts the noise `eps`.
    #[doc(alias("epsilon"))]
    noise => Noise;
    /// A network that predicts the data `x_0`.
    #[doc(alias("sample"))]
    x0 => X0;
    /// A network that predicts `v = alpha eps - sigma x_0`.
    #[doc(alias("v_prediction"))]
    velocity => Velocity;
    /// A network that predicts the score `-eps / sigma`.
    score => Score;
    /// A network that predicts the flow velocity `eps - x_0`.
    flow => Flow;
}

/// A network that predicts the mean of the next, less noisy state under this posterior.
///
/// The level the mean belongs to is where the step goes, so that the network must have been trained
/// on the steps of the grid.
///
/// [Source](crate::docs::papers): Denoising Diffusion Probabilistic Models, Ho, Jain, Abbeel, 2020, section
/// 3.2.
///
/// ```
/// use gaussian_diffusion::{Denoiser, Markov, NoiseLevel, Parameterization, Point, Step, predicts};
/// use ndarray::{Array1, array};
/// let mut net = predicts::mean(Markov, |x: &Array1<f64>, _: Point<Step>| x * 0.9);
/// let (from, to) = (NoiseLevel::new(0.6, 0.8)?, NoiseLevel::new(0.8, 0.6)?);
/// let answer = net.predict(&array![1.0], Point::new(Step::new(3), from, to))?;
/// assert!(matches!(answer.parameterization, Parameterization::Mean(_)));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("previous_x"))]
pub fn mean<V, T, P: Posterior, F: FnMut(&V, Point<T>) -> V>(
    posterior: P,
    network: F,
) -> Mean<P, F> {
    Mean { posterior, network }
}

/// A closure that predicts the mean of the next state.
#[derive(Debug, Clone, Copy)]
pub struct Mean<P, F> {
    posterior: P,
    network: F,
}

impl<V, T, P: Posterior, F: FnMut(&V, Point<T>) -> V> Denoiser<V, T> for Mean<P, F> {
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        let q = self.posterior.coefficients(at.level, at.to)?;
        Ok(Prediction::new(
            (self.network)(x, at),
            Parameterization::Mean(q),
        ))
    }
}

/// A network that says itself what it predicts, or that gives a variance, or that can fail.
///
/// ```
/// use gaussian_diffusion::{Error, Point, Prediction, Step, predicts};
/// use ndarray::Array1;
/// let net = predicts::with(|x: &Array1<f32>, at: Point<Step>| {
///     let answer = std::fs::read("no such file").map_err(Error::network)?;
///     Ok(Prediction::noise(x * answer.len() as f32).with_variance(x.clone()))
/// });
/// # let _ = net;
/// ```
pub fn with<V, T, F>(network: F) -> With<F>
where
    F: FnMut(&V, Point<T>) -> Result<Prediction<V>, Error>,
{
    With { network }
}

/// A closure that returns a [`Prediction`] or an error.
#[derive(Debug, Clone, Copy)]
pub struct With<F> {
    network: F,
}

impl<V, T, F> Denoiser<V, T> for With<F>
where
    F: FnMut(&V, Point<T>) -> Result<Prediction<V>, Error>,
{
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        (self.network)(x, at)
    }
}
