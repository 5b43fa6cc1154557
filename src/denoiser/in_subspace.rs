//! A network on the coordinates of a subspace.

use super::{Denoiser, Differentiable, Point, Prediction, memory_of};
use crate::{Error, state::Subspace};

/// A network that is shown the states of a [`Subspace`], for a run on their coordinates.
///
/// What the network answers beside the subspace is projected away, so that any network serves. A network that
/// remembers something keeps it in its own space.
///
/// [`ZeroMean`](crate::state::ZeroMean) has an example.
#[doc(alias("equivariant diffusion", "EDM for molecules"))]
#[derive(Debug, Clone)]
pub struct InSubspace<D, S> {
    inner: D,
    space: S,
}

impl<D, S> InSubspace<D, S> {
    /// This network on the states of this subspace.
    pub fn new(inner: D, space: S) -> Self {
        Self { inner, space }
    }
}

impl<V, T, D, S> Denoiser<V, T> for InSubspace<D, S>
where
    D: Denoiser<V, T>,
    S: Subspace<V>,
{
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        let answer = self.inner.predict(&self.space.embed(x)?, at)?;
        if answer.variance.is_some() {
            // Of each element, which the coordinates are not.
            return Err(Error::Missing {
                what: "a variance for each coordinate of a subspace",
                needed_by: "a network that gives one for each element",
            });
        }
        let of = |part: Option<V>| part.map(|part| self.space.coordinates(&part)).transpose();
        let value = self.space.coordinates(&answer.value)?;
        let mut found = Prediction::new(value, answer.parameterization);
        found.shift = of(answer.shift)?;
        found.data = of(answer.data)?;
        Ok(found)
    }

    memory_of!(inner);
}

impl<V, T, D, S> Differentiable<V, T> for InSubspace<D, S>
where
    D: Differentiable<V, T>,
    S: Subspace<V>,
{
    fn vjp(&mut self, x: &V, at: Point<T>, v: &V) -> Result<V, Error> {
        let (x, v) = (self.space.embed(x)?, self.space.embed(v)?);
        self.space.coordinates(&self.inner.vjp(&x, at, &v)?)
    }
}
