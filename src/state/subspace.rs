//! States that lie in a part of their space.

use super::{Elements, elements::misshapen};
use crate::Error;

/// A linear subspace of the states, by coordinates: as many numbers as it has dimensions, and with the same lengths and
/// angles.
///
/// In its coordinates nothing else has to know of it: noise, the prior, losses, steps, likelihoods and bits per dimension are
/// those of a space of its dimension. [`InSubspace`](crate::denoiser::InSubspace) shows a network the states themselves, and
/// [`ProjectedNoise`](crate::noise::ProjectedNoise) is for runs on these. [`ZeroMean`] is one; here is another.
///
/// Laws: `coordinates(embed(c))` is `c`, and `embed` keeps inner products.
///
/// ```
/// use gaussian_diffusion::{Error, state::Subspace};
/// use ndarray::{Array2, array};
///
/// /// The span of the rows of a matrix, which are orthonormal.
/// struct Span(Array2<f64>);
///
/// impl Subspace<Array2<f64>> for Span {
///     fn coordinates(&self, x: &Array2<f64>) -> Result<Array2<f64>, Error> {
///         Ok(x.dot(&self.0.t()))
///     }
///     fn embed(&self, c: &Array2<f64>) -> Result<Array2<f64>, Error> {
///         Ok(c.dot(&self.0))
///     }
/// }
///
/// let plane = Span(array![[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]);
/// let found = plane.project(&array![[1.0, 1.0, 5.0]])?;
/// assert!((found - array![[0.84, 1.12, 5.0]]).iter().all(|d| d.abs() < 1e-15));
/// # Ok::<(), Error>(())
/// ```
pub trait Subspace<V> {
    /// The coordinates of the nearest state of the subspace.
    ///
    /// # Errors
    ///
    /// If states of this shape have no such subspace.
    fn coordinates(&self, x: &V) -> Result<V, Error>;

    /// The state that has these coordinates.
    ///
    /// # Errors
    ///
    /// As [`coordinates`](Self::coordinates).
    fn embed(&self, coordinates: &V) -> Result<V, Error>;

    /// The nearest state of the subspace.
    ///
    /// # Errors
    ///
    /// As [`coordinates`](Self::coordinates).
    #[doc(alias("remove_mean"))]
    fn project(&self, x: &V) -> Result<V, Error> {
        self.embed(&self.coordinates(x)?)
    }
}

impl<V, S: Subspace<V> + ?Sized> Subspace<V> for &S {
    fn coordinates(&self, x: &V) -> Result<V, Error> {
        (**self).coordinates(x)
    }

    fn embed(&self, coordinates: &V) -> Result<V, Error> {
        (**self).embed(coordinates)
    }
}

/// States whose mean along an axis is 0: points whose centre of mass is at the origin.
///
/// The coordinates are one fewer along that axis: `c_j = (y_1 + .. + y_j - j y_{j+1}) / sqrt(j (j + 1))`, the rows of
/// Helmert's matrix. What is rotated or mirrored along the other axes is so in the coordinates too, so that equivariant networks
/// and rotation-invariant densities stay so. Items with fewer points than the axis is long are batches of their own. A
/// tensor on a device is read back to the host for it.
///
/// [Source](crate::docs::papers#arxiv-2203.17003): Equivariant Diffusion for Molecule Generation in 3D, Hoogeboom, Satorras,
/// Vignac, Welling, 2022 (the subspace and its densities).
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, Point, SeededNoise, Time, denoiser::InSubspace, predicts, schedule::Cosine, solver::Ddpm};
/// use gaussian_diffusion::state::{Subspace, ZeroMean};
/// use ndarray::{Array3, Axis};
/// // Molecules of 5 atoms: the network sees points in space, the run has 4 times 3 coordinates.
/// let space = ZeroMean::along(1);
/// let net = predicts::x0(|x: &Array3<f64>, _: Point<Time>| x.mapv(|x| 0.5 * x));
/// let mut net = InSubspace::new(net, space);
/// let plan = Plan::new(&Cosine, &Grid::uniform_time(&Cosine, 10)?, &Ddpm::default())?;
/// let mut noise = SeededNoise::new(1);
/// let c = plan.sample(plan.prior((2, 4, 3), &mut noise)?, &mut net, &mut noise)?;
/// let molecules = space.embed(&c)?;
/// assert_eq!(molecules.dim(), (2, 5, 3));
/// assert!(molecules.sum_axis(Axis(1)).iter().all(|x| x.abs() < 1e-14));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "zero centre of mass",
    "zero center of gravity",
    "translation invariance",
    "Helmert"
))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZeroMean {
    axis: usize,
}

impl ZeroMean {
    /// Along this axis, counted from 0; the axis of the batch items is 0.
    pub const fn along(axis: usize) -> Self {
        Self { axis }
    }

    /// Every line along the axis made one of another length, by the rule.
    fn lines<V: Elements>(
        self,
        x: &V,
        lengths: impl Fn(usize) -> Option<usize>,
        rule: impl Fn(&[f64], &mut [f64]),
    ) -> Result<V, Error> {
        let mut shape = x.shape();
        let numbers = x.numbers()?;
        let length = shape.get(self.axis).copied();
        let Some((length, made)) = length.and_then(|n| Some((n, lengths(n)?))) else {
            let allowed = format!("an axis {} of points", self.axis);
            return Err(Error::range("number of axes", shape.len() as f64, allowed));
        };
        let product = |axes: &[usize]| {
            axes.iter()
                .try_fold(1_usize, |n, axis| n.checked_mul(*axis))
        };
        let (outer, inner) = (
            product(&shape[..self.axis]),
            product(&shape[self.axis + 1..]),
        );
        shape[self.axis] = made;
        // What is made of nothing may be more than memory holds.
        let most = numbers.len().saturating_mul(2).max(MOST_MADE);
        let size = product(&shape).filter(|size| *size <= most);
        let (Some(outer), Some(inner), Some(size)) = (outer, inner, size) else {
            return Err(misshapen("coordinates", shape, x.shape()));
        };
        let mut result = vec![0.0; size];
        let (mut from, mut to) = (vec![0.0; length], vec![0.0; made]);
        for line in 0..outer * inner {
            let (block, place) = (line / inner, line % inner);
            for (i, from) in from.iter_mut().enumerate() {
                let at = (block * length + i) * inner + place;
                *from = numbers.get(at).copied().unwrap_or_default();
            }
            rule(&from, &mut to);
            for (i, to) in to.iter().enumerate() {
                result[(block * made + i) * inner + place] = *to;
            }
        }
        x.of_numbers(&shape, &result)
    }
}

/// As many numbers as are made of states without any.
const MOST_MADE: usize = 1 << 20;

/// `1 / sqrt(j (j + 1))`.
fn unit(j: usize) -> f64 {
    let j = j as f64;
    (j * (j + 1.0)).sqrt().recip()
}

impl<V: Elements> Subspace<V> for ZeroMean {
    fn coordinates(&self, x: &V) -> Result<V, Error> {
        let fewer = |n: usize| n.checked_sub(1);
        self.lines(x, fewer, |y, c| {
            let mut sum = 0.0;
            for (j, (c, pair)) in c.iter_mut().zip(y.windows(2)).enumerate() {
                let j = j + 1;
                sum += pair[0];
                *c = (sum - j as f64 * pair[1]) * unit(j);
            }
        })
    }

    fn embed(&self, coordinates: &V) -> Result<V, Error> {
        let more = |n: usize| n.checked_add(1);
        self.lines(coordinates, more, |c, y| {
            let mut sum = 0.0;
            // From the last point, of which only the last coordinate knows.
            for (i, y) in y.iter_mut().enumerate().rev() {
                let own = match i.checked_sub(1).and_then(|before| c.get(before)) {
                    Some(c) => c * unit(i),
                    None => 0.0,
                };
                *y = sum - i as f64 * own;
                sum += own;
            }
        })
    }
}
