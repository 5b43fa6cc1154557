//! Noise in a subspace.

use super::{Interval, NoiseSource, Scale};
use crate::{
    Error,
    state::{State, Subspace},
};

/// The draws of another source, projected on a [`Subspace`]: for runs on the states themselves, all of which then lie in it if the
/// network's answers do.
///
/// The law is that of standard normals in the subspace. Densities count the dimensions of the state that they are given; those of
/// the subspace are had in its coordinates.
///
/// ```
/// use gaussian_diffusion::{SeededNoise, noise::{NoiseSource, ProjectedNoise}, state::ZeroMean};
/// use ndarray::{Array3, Axis};
/// let mut noise = ProjectedNoise::new(SeededNoise::new(1), ZeroMean::along(1));
/// let mut x = Array3::<f64>::zeros((2, 5, 3));
/// noise.fill(&mut x)?;
/// assert!(x.sum_axis(Axis(1)).iter().all(|sum| sum.abs() < 1e-14));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("sample_center_gravity_zero_gaussian"))]
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectedNoise<N, S> {
    inner: N,
    space: S,
}

impl<N, S> ProjectedNoise<N, S> {
    /// This noise in this subspace.
    pub fn new(inner: N, space: S) -> Self {
        Self { inner, space }
    }
}

impl<V, N, S> NoiseSource<V> for ProjectedNoise<N, S>
where
    V: State,
    N: NoiseSource<V>,
    S: Subspace<V>,
{
    fn add(&mut self, x: &mut V, scale: Scale<'_, V>, over: Option<Interval>) -> Result<(), Error> {
        if let Scale::PerElement(_) = scale {
            return Err(Error::Missing {
                what: "one deviation for an item",
                needed_by: "noise in a subspace",
            });
        }
        let mut z = x.clone();
        z.combine(0.0, &[])?;
        self.inner.add(&mut z, scale, over)?;
        x.combine(1.0, &[(1.0, &self.space.project(&z)?)])
    }

    fn discard(&mut self, like: &V) -> Result<(), Error> {
        self.inner.discard(like)
    }
}
