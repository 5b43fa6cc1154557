//! Distances between what a network said and what it should have said.

use ndarray::{Array, Array1, Dimension};

use crate::{
    Error,
    state::{Real, State, item_len, items},
};

/// How the distance of one number from another is counted.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Distance {
    /// `d^2`.
    Squared,
    /// `|d|`.
    Absolute,
    /// `d^2 / 2` where `|d| <= delta`, else `delta (|d| - delta / 2)`.
    Huber(f64),
}

/// A state that can be compared with what it should be, item by item.
///
/// Arrays give numbers; tensors of candle and burn give tensors, which a gradient flows through.
pub trait Losses: State {
    /// One number for each item.
    type PerItem: PerItem;

    /// The mean over each item's elements of the distance from `target`; 0 for an item without elements.
    ///
    /// # Errors
    ///
    /// If the target has another shape.
    fn losses(&self, target: &Self, distance: Distance) -> Result<Self::PerItem, Error>;
}

/// A number for each item of a batch.
pub trait PerItem {
    /// A number for the batch.
    type Mean;

    /// `sum of number_i w_i v_i / n`, for any number of lists of weights.
    ///
    /// # Errors
    ///
    /// If a list of weights has another length.
    fn weighted_mean(&self, weights: &[&[f64]]) -> Result<Self::Mean, Error>;
}

/// The product of these lists of weights.
pub(crate) fn check_weights(items: usize, weights: &[&[f64]]) -> Result<Vec<f64>, Error> {
    let mut product = vec![1.0; items];
    for list in weights {
        if list.len() != items {
            return Err(Error::BatchLength {
                what: "weights",
                expected: items,
                found: list.len(),
            });
        }
        product.iter_mut().zip(*list).for_each(|(w, v)| *w *= v);
    }
    Ok(product)
}

/// Mean squared error of each batch item, over its elements.
///
/// $$\ell_i=\frac1d\sum_{j=1}^d (p_{ij}-q_{ij})^2$$
///
/// One number per item, for a batch of any dimension; an item without elements has error 0. Of arrays a number in
/// f64; of tensors of candle and burn a tensor, which a gradient flows through.
///
/// # Errors
///
/// If the shapes differ.
///
/// ```
/// use gaussian_diffusion::training::squared_error;
/// use ndarray::array;
/// let loss = squared_error(&array![[1.0, 2.0], [0.0, 0.0]], &array![[1.0, 0.0], [0.0, 1.0]])?;
/// assert_eq!(loss, array![2.0, 0.5]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("mse", "training_losses", "p_losses"))]
pub fn squared_error<V: Losses>(prediction: &V, target: &V) -> Result<V::PerItem, Error> {
    prediction.losses(target, Distance::Squared)
}

/// Mean absolute error of each batch item, over its elements.
///
/// $$\ell_i=\frac1d\sum_{j=1}^d |p_{ij}-q_{ij}|$$
///
/// # Errors
///
/// If the shapes differ.
///
/// ```
/// use gaussian_diffusion::training::absolute_error;
/// use ndarray::array;
/// let loss = absolute_error(&array![[1.0, 2.0], [0.0, 0.0]], &array![[1.0, 0.0], [0.0, 1.0]])?;
/// assert_eq!(loss, array![1.0, 0.5]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("l1", "mae"))]
pub fn absolute_error<V: Losses>(prediction: &V, target: &V) -> Result<V::PerItem, Error> {
    prediction.losses(target, Distance::Absolute)
}

/// Mean Huber error of each batch item: half the square up to `delta`, linear beyond.
///
/// `d^2 / 2` where `|d| <= delta`, else `delta (|d| - delta / 2)`, for each difference `d`.
///
/// $$\ell_i=\frac1d\sum_{j=1}^d h_\delta(p_{ij}-q_{ij}),\qquad
///   h_\delta(d)=\begin{cases}d^2/2&|d|\le\delta\cr \delta(|d|-\delta/2)&|d|>\delta\end{cases}$$
///
/// # Errors
///
/// If the shapes differ, or `delta` is not positive and finite.
///
/// [Source](crate::docs::papers#robust-estimation-of-a-location-parameter): Robust Estimation of a Location Parameter, Huber, 1964.
///
/// ```
/// use gaussian_diffusion::training::huber_error;
/// use ndarray::array;
/// let loss = huber_error(&array![[1.0, 3.0]], &array![[0.0, 0.0]], 1.0)?;
/// assert_eq!(loss, array![0.5 * (0.5 + 2.5)]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("smooth_l1"))]
pub fn huber_error<V: Losses>(prediction: &V, target: &V, delta: f64) -> Result<V::PerItem, Error> {
    if !(delta > 0.0 && delta.is_finite()) {
        return Err(Error::range("delta", delta, "a finite number above 0"));
    }
    prediction.losses(target, Distance::Huber(delta))
}

/// The mean of a batch's losses, each times its weights: what is minimised.
///
/// `sum of loss_i w_i v_i / n`, for any number of lists of weights: those of the noise levels, those
/// that make up for how times were drawn.
///
/// The empty batch has 0.
///
/// # Errors
///
/// If a list of weights has another length than the losses.
///
/// ```
/// use gaussian_diffusion::training::weighted_mean;
/// let losses = ndarray::array![1.0, 2.0];
/// assert_eq!(weighted_mean(&losses, &[&[3.0, 1.0], &[1.0, 2.0]])?, 3.5);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
pub fn weighted_mean<L: PerItem>(losses: &L, weights: &[&[f64]]) -> Result<L::Mean, Error> {
    losses.weighted_mean(weights)
}

impl PerItem for Array1<f64> {
    type Mean = f64;

    fn weighted_mean(&self, weights: &[&[f64]]) -> Result<f64, Error> {
        check_weights(self.len(), weights)?;
        let mut weighted = self.clone();
        for list in weights {
            weighted
                .iter_mut()
                .zip(*list)
                .for_each(|(loss, weight)| *loss *= weight);
        }
        Ok(weighted.sum() / self.len().max(1) as f64)
    }
}

impl<A: Real, D: Dimension> Losses for Array<A, D> {
    type PerItem = Array1<f64>;

    fn losses(&self, target: &Self, distance: Distance) -> Result<Array1<f64>, Error> {
        self.fits(target).map_err(|error| error.naming("target"))?;
        let error_of = |d: f64| match distance {
            Distance::Squared => d * d,
            Distance::Absolute => d.abs(),
            Distance::Huber(delta) if d.abs() <= delta => 0.5 * d * d,
            Distance::Huber(delta) => delta * (d.abs() - 0.5 * delta),
        };
        let length = item_len(self);
        let mut errors = Array1::zeros(items(self.shape()));
        let mut pairs = self.iter().zip(target.iter());
        for error in &mut errors {
            let pairs = pairs.by_ref().take(length);
            let sum: f64 = pairs.map(|(p, q)| error_of(p.get() - q.get())).sum();
            *error = sum / length.max(1) as f64;
        }
        Ok(errors)
    }
}
