//! Denoisers that can be differentiated.

use super::{Denoiser, Point, Prediction, memory_of};
use crate::Error;

/// A denoiser that gives vector-Jacobian products of what it predicts.
///
/// [`GaussianMixture`](crate::GaussianMixture) has them in closed form; [`WithVjp`] adds those of
/// your automatic differentiation to a network.
#[doc(alias("backward", "autograd", "VJP"))]
pub trait Differentiable<V, T>: Denoiser<V, T> {
    /// `(dp/dx)^T v` for the prediction `p` at `x`, in the terms in which it answers there.
    ///
    /// # Errors
    ///
    /// The network's own.
    fn vjp(&mut self, x: &V, at: Point<T>, v: &V) -> Result<V, Error>;
}

impl<V, T, D: Differentiable<V, T> + ?Sized> Differentiable<V, T> for &mut D {
    fn vjp(&mut self, x: &V, at: Point<T>, v: &V) -> Result<V, Error> {
        (**self).vjp(x, at, v)
    }
}

impl<V, T, D: Differentiable<V, T> + ?Sized> Differentiable<V, T> for Box<D> {
    fn vjp(&mut self, x: &V, at: Point<T>, v: &V) -> Result<V, Error> {
        (**self).vjp(x, at, v)
    }
}

/// A denoiser with a closure that gives its vector-Jacobian products.
///
/// ```
/// use gaussian_diffusion::{NoiseLevel, Point, Step, predicts};
/// use gaussian_diffusion::denoiser::{Differentiable, WithVjp};
/// use ndarray::{Array2, array};
/// let net = predicts::noise(|x: &Array2<f32>, _: Point<Step>| x.mapv(f32::tanh));
/// let mut net = WithVjp::new(net, |x: &Array2<f32>, _: Point<Step>, v: &Array2<f32>| {
///     Ok(x.mapv(|x| 1.0 - x.tanh().powi(2)) * v)
/// });
/// let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
/// assert_eq!(net.vjp(&array![[0.0]], at, &array![[2.0]])?, array![[2.0]]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct WithVjp<D, F> {
    inner: D,
    vjp: F,
}

impl<D, F> WithVjp<D, F> {
    /// This denoiser, and `(dp/dx)^T v` as a function of `x`, the point and `v`.
    pub fn new(inner: D, vjp: F) -> Self {
        Self { inner, vjp }
    }
}

impl<V, T, D: Denoiser<V, T>, F> Denoiser<V, T> for WithVjp<D, F> {
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        self.inner.predict(x, at)
    }

    memory_of!(inner);
}

impl<V, T, D, F> Differentiable<V, T> for WithVjp<D, F>
where
    D: Denoiser<V, T>,
    F: FnMut(&V, Point<T>, &V) -> Result<V, Error>,
{
    fn vjp(&mut self, x: &V, at: Point<T>, v: &V) -> Result<V, Error> {
        (self.vjp)(x, at, v)
    }
}
