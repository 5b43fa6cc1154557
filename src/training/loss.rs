//! Distances between what a network said and what it should have said.

use ndarray::{Array, Array1, Dimension};

use crate::{
    Error,
    state::{Real, item_len, items},
};

/// Mean squared error of each batch item, over its elements.
///
/// $$\ell_i=\frac1d\sum_{j=1}^d (p_{ij}-q_{ij})^2$$
///
/// Summed in f64. Shape: one number per item, for a batch of any dimension; an item without elements
/// has error 0.
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
pub fn squared_error<A: Real, D: Dimension>(
    prediction: &Array<A, D>,
    target: &Array<A, D>,
) -> Result<Array1<f64>, Error> {
    mean_error(prediction, target, |d| d * d)
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
pub fn absolute_error<A: Real, D: Dimension>(
    prediction: &Array<A, D>,
    target: &Array<A, D>,
) -> Result<Array1<f64>, Error> {
    mean_error(prediction, target, f64::abs)
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
pub fn huber_error<A: Real, D: Dimension>(
    prediction: &Array<A, D>,
    target: &Array<A, D>,
    delta: f64,
) -> Result<Array1<f64>, Error> {
    if !(delta > 0.0 && delta.is_finite()) {
        return Err(Error::range("delta", delta, "a finite number above 0"));
    }
    mean_error(prediction, target, |d| {
        let size = d.abs();
        if size <= delta {
            0.5 * size * size
        } else {
            delta * (size - 0.5 * delta)
        }
    })
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
pub fn weighted_mean(losses: &Array1<f64>, weights: &[&[f64]]) -> Result<f64, Error> {
    let mut weighted = losses.clone();
    for list in weights {
        if list.len() != losses.len() {
            return Err(Error::BatchLength {
                what: "weights",
                expected: losses.len(),
                found: list.len(),
            });
        }
        weighted
            .iter_mut()
            .zip(*list)
            .for_each(|(loss, weight)| *loss *= weight);
    }
    Ok(weighted.sum() / losses.len().max(1) as f64)
}

/// The mean over each item's elements of a function of the difference.
fn mean_error<A: Real, D: Dimension>(
    prediction: &Array<A, D>,
    target: &Array<A, D>,
    error_of: impl Fn(f64) -> f64,
) -> Result<Array1<f64>, Error> {
    if prediction.shape() != target.shape() {
        return Err(Error::Shape {
            what: "target",
            expected: prediction.shape().to_vec(),
            found: target.shape().to_vec(),
        });
    }
    let items = items(prediction.shape());
    let length = item_len(prediction);
    let mut errors = Array1::zeros(items);
    let mut pairs = prediction.iter().zip(target.iter());
    for error in &mut errors {
        let sum: f64 = pairs
            .by_ref()
            .take(length)
            .map(|(p, q)| error_of(p.get() - q.get()))
            .sum();
        *error = sum / length.max(1) as f64;
    }
    Ok(errors)
}
