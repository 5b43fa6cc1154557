//! Distances between what a network said and what it should have said.

use ndarray::{Array, Array1, Dimension};

use crate::{
    Error,
    state::{Real, item_len},
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
#[doc(alias("mse"))]
pub fn squared_error<A: Real, D: Dimension>(
    prediction: &Array<A, D>,
    target: &Array<A, D>,
) -> Result<Array1<f64>, Error> {
    if prediction.shape() != target.shape() {
        return Err(Error::Shape {
            what: "target",
            expected: prediction.shape().to_vec(),
            found: target.shape().to_vec(),
        });
    }
    let items = prediction.shape().first().copied().unwrap_or(1);
    let length = item_len(prediction);
    let mut errors = Array1::zeros(items);
    let mut pairs = prediction.iter().zip(target.iter());
    for error in &mut errors {
        let sum: f64 = pairs
            .by_ref()
            .take(length)
            .map(|(p, q)| (p.get() - q.get()).powi(2))
            .sum();
        *error = sum / length.max(1) as f64;
    }
    Ok(errors)
}
