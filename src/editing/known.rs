//! What is known of the data, element by element.

use crate::{Error, Point, denoiser::Correction, state::Elements};

/// Known data with a mask: weight 1 where it holds, 0 where nothing is known, in between where it is known
/// in part.
///
/// As a [`Correction`] it replaces the predicted data. The run then follows the known data at every
/// level, with whatever solver, and the noise of its own start: with exact predictions every solver
/// keeps mean and standard deviation (see [`ReverseStep`](crate::ReverseStep)), whatever the weight. That is the
/// soft mask of the WebUI, whose samplers blend the prediction too, without its correction of
/// magnitudes: the noise is not touched. [`Inpaint`](super::Inpaint) replaces the state instead, and
/// reads a weight as the share of the run for which it does so.
///
/// ```
/// use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Step, editing::Known, predicts};
/// use ndarray::{Array2, array};
/// let known = Known::new(array![[5.0, 0.0]], array![[1.0, 0.0]])?;
/// let net = predicts::x0(|_: &Array2<f64>, _: Point<Step>| array![[1.0, 2.0]]);
/// let mut net = Denoiser::<Array2<f64>, Step>::corrected(net, known);
/// let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
/// assert_eq!(net.predict(&array![[0.1, 0.1]], at)?.value, array![[5.0, 2.0]]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("mask"))]
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        try_from = "super::stored::StoredKnown<V>",
        bound(
            serialize = "V: serde::Serialize",
            deserialize = "V: Elements + serde::Deserialize<'de>"
        )
    )
)]
pub struct Known<V> {
    values: V,
    weights: V,
    /// Whether all weights are 0 or 1.
    #[cfg_attr(feature = "serde", serde(skip_serializing))]
    pub(super) is_binary: bool,
}

impl<V: Elements> Known<V> {
    /// These values with these weights.
    ///
    /// # Errors
    ///
    /// If the shapes differ, a weight is not in 0 to 1, or a value is not finite.
    pub fn new(values: V, weights: V) -> Result<Self, Error> {
        values
            .fits(&weights)
            .map_err(|error| error.naming("mask"))?;
        let numbers = weights.numbers()?;
        let wrong = |w: &f64| !(0.0..=1.0).contains(w);
        if let Some(i) = numbers.iter().position(wrong) {
            let bad = numbers[i];
            return Err(Error::element("weights of the mask", i, bad, "0 to 1"));
        }
        if !values.is_finite() {
            let what = "the known data";
            return Err(Error::NotFinite { what, step: 0 });
        }
        let is_binary = numbers.iter().all(|w| *w == 0.0 || *w == 1.0);
        Ok(Self {
            values,
            weights,
            is_binary,
        })
    }

    pub(super) fn values(&self) -> &V {
        &self.values
    }

    pub(super) fn weights(&self) -> &V {
        &self.weights
    }

    /// Refuses a state of another shape.
    pub(super) fn check(&self, x: &V) -> Result<(), Error> {
        x.fits(&self.weights)
            .map_err(|error| error.naming("known data"))
    }
}

/// Blends the known data into the predicted; to the last bit where the weight is 1.
impl<V: Elements, T> Correction<V, T> for Known<V> {
    fn correct(&mut self, x0: &mut V, _: Point<T>) -> Result<(), Error> {
        self.check(x0)?;
        x0.blend(&self.weights, &self.values)
    }
}
