//! Bands of frequencies of an image.

use ndarray::{ArrayD, Axis, IxDyn, Zip};

use super::Bands;
use crate::{
    Error,
    state::{Elements, check_size},
};

/// The Laplacian pyramid: an image less what is left of it at half its resolution, that less what is left at a
/// quarter, and so on; the last band is the coarsest image itself.
///
/// The first axis counts the items and the second the channels; all others are space: lines, images, volumes. An image
/// is halved by a blur of the weights 1, 4, 6, 4, 1 (of 16), mirrored at its ends, and the mean of every two
/// numbers; it is doubled by linear interpolation and the same blur. An image whose sides cannot be halved so
/// often, or none of whose sides is a power of two, is first mirrored up to powers of two, which is undone in the end.
/// These are the pyramids of kornia, which diffusers takes and which leaves its images mirrored. A tensor on a device is
/// read back to the host for it.
///
/// [Source](crate::docs::papers#the-laplacian-pyramid-as-a-compact): The Laplacian Pyramid as a Compact Image Code, Burt, Adelson, 1983.
///
/// ```
/// use gaussian_diffusion::guidance::{Bands, LaplacianPyramid};
/// use ndarray::Array4;
/// let image = Array4::from_shape_fn((1, 3, 8, 12), |(_, c, i, j)| (c as f64 - (i * j) as f64).sin());
/// let pyramid = LaplacianPyramid::new(3)?;
/// let bands = pyramid.split(&image)?;
/// assert_eq!(bands[1].dim(), (1, 3, 4, 6));
/// assert!((pyramid.join(&bands, &image)? - image).iter().all(|d| d.abs() < 1e-15));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("build_laplacian_pyramid", "frequency decomposition"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaplacianPyramid {
    bands: usize,
}

impl LaplacianPyramid {
    /// So many bands; one is the image as it is.
    ///
    /// # Errors
    ///
    /// If there are none, or more than 32.
    pub fn new(bands: usize) -> Result<Self, Error> {
        if !(1..=32).contains(&bands) {
            return Err(Error::range("number of bands", bands as f64, "1 to 32"));
        }
        Ok(Self { bands })
    }

    /// The shape that an image is mirrored up to.
    fn padded(self, shape: &[usize]) -> Result<Vec<usize>, Error> {
        let space = shape.get(2..).unwrap_or_default();
        if self.bands > 1 && space.is_empty() {
            return Err(Error::Missing {
                what: "an axis after items and channels",
                needed_by: "a Laplacian pyramid",
            });
        }
        let stride = 1_usize << (self.bands - 1);
        let halves = |side: &usize| side.is_multiple_of(stride);
        let mut padded = shape.to_vec();
        let fits = self.bands == 1
            || space.iter().all(halves) && space.iter().any(|side| side.is_power_of_two());
        if fits {
            return Ok(padded);
        }
        for side in padded.iter_mut().skip(2) {
            let allowed = format!("more than {} for {} bands", stride / 2, self.bands);
            let error = Error::range("side of an image", *side as f64, allowed);
            *side = side
                .checked_next_power_of_two()
                .ok_or_else(|| error.clone())?;
            if !halves(side) {
                return Err(error);
            }
        }
        check_size::<f64>(&padded)?;
        Ok(padded)
    }
}

impl<V: Elements> Bands<V> for LaplacianPyramid {
    fn split(&self, x: &V) -> Result<Vec<V>, Error> {
        let shape = x.shape();
        if shape.contains(&0) {
            return Ok(vec![x.clone(); self.bands]);
        }
        let padded = self.padded(&shape)?;
        let mut image = image_of(x)?;
        for (axis, side) in padded.into_iter().enumerate().skip(2) {
            if side != image.len_of(Axis(axis)) {
                image = along(&image, axis, side, |from, at| {
                    from[mirrored(at, from.len())]
                });
            }
        }
        let mut bands = Vec::with_capacity(self.bands);
        for _ in 1..self.bands {
            let coarse = halved(&image);
            bands.push(like(x, image - doubled(&coarse))?);
            image = coarse;
        }
        bands.push(like(x, image)?);
        Ok(bands)
    }

    fn join(&self, bands: &[V], other: &V) -> Result<V, Error> {
        if bands.len() != self.bands {
            let (found, allowed) = (bands.len() as f64, self.bands);
            return Err(Error::range("number of bands", found, allowed.to_string()));
        }
        let shape = other.shape();
        if shape.contains(&0) {
            return Ok(other.clone());
        }
        let mut bands = bands.iter().rev();
        let mut image = image_of(bands.next().unwrap_or(other))?;
        for band in bands {
            let (doubled, band) = (doubled(&image), image_of(band)?);
            if doubled.shape() != band.shape() {
                return Err(shape_error(doubled.shape(), band.shape()));
            }
            image = band + doubled;
        }
        let fits =
            image.ndim() == shape.len() && image.shape().iter().zip(&shape).all(|(a, b)| a >= b);
        if !fits {
            return Err(shape_error(&shape, image.shape()));
        }
        for (axis, side) in shape.into_iter().enumerate() {
            image.slice_axis_inplace(Axis(axis), (..side).into());
        }
        like(other, image)
    }
}

/// The numbers of a state in their shape.
fn image_of<V: Elements>(x: &V) -> Result<ArrayD<f64>, Error> {
    let (shape, numbers) = (x.shape(), x.numbers()?);
    let found = [numbers.len()];
    let image = ArrayD::from_shape_vec(IxDyn(&shape), numbers);
    image.map_err(|_| shape_error(&shape, &found))
}

/// A state of these numbers, of the type of another.
fn like<V: Elements>(x: &V, image: ArrayD<f64>) -> Result<V, Error> {
    let shape = image.shape().to_vec();
    let numbers: Vec<_> = image.into_iter().collect();
    x.of_numbers(&shape, &numbers)
}

fn shape_error(expected: &[usize], found: &[usize]) -> Error {
    Error::Shape {
        what: "band of a Laplacian pyramid",
        expected: expected.to_vec(),
        found: found.to_vec(),
    }
}

/// Every line along an axis made one of this length.
fn along(
    x: &ArrayD<f64>,
    axis: usize,
    length: usize,
    number: impl Fn(&[f64], usize) -> f64,
) -> ArrayD<f64> {
    let mut shape = x.shape().to_vec();
    shape[axis] = length;
    let mut made = ArrayD::zeros(IxDyn(&shape));
    let mut line = Vec::new();
    Zip::from(x.lanes(Axis(axis)))
        .and(made.lanes_mut(Axis(axis)))
        .for_each(|from, mut to| {
            line.clear();
            line.extend(&from);
            for (at, to) in to.iter_mut().enumerate() {
                *to = number(&line, at);
            }
        });
    made
}

/// The place of an index on a line of two numbers or more that goes on mirrored beyond its end, its last number being
/// the mirror.
fn mirrored(at: usize, length: usize) -> usize {
    let period = 2 * (length - 1).max(1);
    let at = at % period;
    at.min(period - at)
}

/// The blur at a place.
fn blurred(line: &[f64], at: usize) -> f64 {
    let period = 2 * (line.len() - 1).max(1);
    [1.0, 4.0, 6.0, 4.0, 1.0]
        .into_iter()
        .enumerate()
        // Two periods on, so that the places before the first one are not negative.
        .map(|(k, weight)| weight / 16.0 * line[mirrored(at + 2 * period + k - 2, line.len())])
        .sum()
}

/// Half the resolution, in every axis of space.
fn halved(x: &ArrayD<f64>) -> ArrayD<f64> {
    (2..x.ndim()).fold(x.clone(), |x, axis| {
        let length = x.len_of(Axis(axis));
        let x = along(&x, axis, length, blurred);
        along(&x, axis, length / 2, |line, at| {
            0.5 * (line[2 * at] + line[2 * at + 1])
        })
    })
}

/// Twice the resolution.
fn doubled(x: &ArrayD<f64>) -> ArrayD<f64> {
    (2..x.ndim()).fold(x.clone(), |x, axis| {
        let length = 2 * x.len_of(Axis(axis));
        let x = along(&x, axis, length, |line, at| {
            let (own, last) = (at / 2, line.len() - 1);
            let other = if at % 2 == 0 {
                own.saturating_sub(1)
            } else {
                (own + 1).min(last)
            };
            0.75 * line[own] + 0.25 * line[other]
        });
        along(&x, axis, length, blurred)
    })
}
