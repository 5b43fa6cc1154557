//! What is known of the data, element by element.

use ndarray::{Array, Dimension, Zip};

use crate::{
    Error, Point,
    denoiser::Correction,
    state::{Real, State},
};

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
        try_from = "super::stored::StoredKnown<A, D>",
        bound(
            serialize = "A: serde::Serialize, D: serde::Serialize",
            deserialize = "A: Real + serde::Deserialize<'de>, D: serde::Deserialize<'de>"
        )
    )
)]
pub struct Known<A, D: Dimension> {
    values: Array<A, D>,
    weights: Array<A, D>,
}

impl<A: Real, D: Dimension> Known<A, D> {
    /// These values with these weights.
    ///
    /// # Errors
    ///
    /// If the shapes differ, a weight is not in 0 to 1, or a value is not finite.
    pub fn new(values: Array<A, D>, weights: Array<A, D>) -> Result<Self, Error> {
        if values.shape() != weights.shape() {
            return Err(Error::Shape {
                what: "mask",
                expected: values.shape().to_vec(),
                found: weights.shape().to_vec(),
            });
        }
        let wrong = |w: &f64| !(0.0..=1.0).contains(w);
        let each = weights.iter().map(|w| w.get()).enumerate();
        if let Some((i, bad)) = each.into_iter().find(|(_, w)| wrong(w)) {
            return Err(Error::element("weights of the mask", i, bad, "0 to 1"));
        }
        if !values.is_finite() {
            let what = "the known data";
            return Err(Error::NotFinite { what, step: 0 });
        }
        Ok(Self { values, weights })
    }

    pub(super) fn values(&self) -> &Array<A, D> {
        &self.values
    }

    pub(super) fn weights(&self) -> &Array<A, D> {
        &self.weights
    }

    /// Refuses a state of another shape.
    pub(super) fn check<B>(&self, x: &Array<B, D>) -> Result<(), Error> {
        if x.shape() == self.weights.shape() {
            return Ok(());
        }
        Err(Error::Shape {
            what: "known data",
            expected: x.shape().to_vec(),
            found: self.weights.shape().to_vec(),
        })
    }

    /// Blends the known data into `x`; to the last bit where the weight is 1.
    fn blend(&self, x: &mut Array<A, D>) -> Result<(), Error> {
        self.check(x)?;
        let one = A::of(1.0);
        let blend = |x: &mut A, value: &A, weight: &A| {
            if *weight == one {
                *x = *value;
            } else if *weight != A::of(0.0) {
                let rest = A::Wide::of(1.0 - weight.get());
                *x = A::narrow(weight.widen() * value.widen() + rest * x.widen());
            }
        };
        let parts = Zip::from(x).and(&self.values).and(&self.weights);
        parts.for_each(blend);
        Ok(())
    }
}

impl<A: Real, D: Dimension, T> Correction<Array<A, D>, T> for Known<A, D> {
    fn correct(&mut self, x0: &mut Array<A, D>, _: Point<T>) -> Result<(), Error> {
        self.blend(x0)
    }
}
