//! Sums by the operations of burn: on every backend, and with the graph of a differentiation.

use burn_tensor::{Bool, DType, Tensor, TensorCreationOptions, TensorData};

use crate::Error;

/// `own * x + sum of coefficient * term`.
pub(super) fn combined<const D: usize>(
    x: &Tensor<D>,
    own: f64,
    terms: &[(f64, &Tensor<D>)],
) -> Tensor<D> {
    let first = (own != 0.0).then(|| scaled(x, own));
    let sum = terms.iter().fold(first, |sum, (coefficient, term)| {
        let term = scaled(term, *coefficient);
        Some(match sum {
            Some(sum) => sum + term,
            None => term,
        })
    });
    sum.unwrap_or_else(|| x.zeros_like())
}

fn scaled<const D: usize>(x: &Tensor<D>, by: f64) -> Tensor<D> {
    match by {
        1.0 => x.clone(),
        _ => x.clone().mul_scalar(by),
    }
}

/// The same with a coefficient for each item.
pub(super) fn combined_items<const D: usize>(
    x: &Tensor<D>,
    own: &[f64],
    terms: &[(&[f64], &Tensor<D>)],
) -> Tensor<D> {
    let first = own.iter().any(|own| *own != 0.0).then(|| {
        let coefficients = of_items(x, own);
        // 0 times a NaN would be one.
        let forgotten: Tensor<D, Bool> = coefficients.clone().equal_elem(0.0);
        let sum = x.clone() * coefficients;
        match own.contains(&0.0) {
            true => sum.mask_fill(forgotten.expand(x.dims()), 0.0),
            false => sum,
        }
    });
    let sum = terms.iter().fold(first, |sum, (list, term)| {
        let term = (*term).clone() * of_items(x, list);
        Some(match sum {
            Some(sum) => sum + term,
            None => term,
        })
    });
    sum.unwrap_or_else(|| x.zeros_like())
}

/// A number for each item, as a tensor that is broadcast to `x`.
pub(super) fn of_items<const D: usize>(x: &Tensor<D>, numbers: &[f64]) -> Tensor<D> {
    let mut shape = [1; D];
    if let Some(axis) = shape.first_mut() {
        *axis = numbers.len();
    }
    made(x, TensorData::new(numbers.to_vec(), shape))
}

/// A tensor of these numbers, of the type and on the device of this one.
pub(super) fn made<const D: usize, const E: usize>(x: &Tensor<D>, data: TensorData) -> Tensor<E> {
    let options = TensorCreationOptions::new(x.device().without_autodiff()).with_dtype(x.dtype());
    Tensor::from_data(data, options)
}

/// Within these bounds; NaN stays NaN, which the library's own clamp does not promise.
pub(super) fn clamped<const D: usize>(x: &Tensor<D>, low: f64, high: f64) -> Tensor<D> {
    let below = x.clone().lower_elem(low);
    let raised = x.clone().mask_fill(below, low);
    let above = raised.clone().greater_elem(high);
    raised.mask_fill(above, high)
}

/// Whether all numbers are finite: one number comes back from the device.
pub(super) fn is_finite<const D: usize>(x: &Tensor<D>) -> Result<bool, Error> {
    // 0 times a NaN or an infinity is a NaN.
    let zero = x.clone().without_autodiff().mul_scalar(0.0).sum();
    Ok(numbers(&zero)?.iter().all(|zero| *zero == 0.0))
}

/// In the widest type that the device has.
pub(super) fn widest<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    match x.device().supports_dtype(DType::F64) {
        false if x.dtype() != DType::F64 => x.clone().cast(DType::F32),
        _ => x.clone().cast(DType::F64),
    }
}

/// The sum over the elements of each item, on the host.
pub(super) fn sums_of_items<const D: usize>(x: Tensor<D>) -> Result<Vec<f64>, Error> {
    let axes: Vec<usize> = (1..D).collect();
    match axes.is_empty() {
        true => numbers(&x),
        false => numbers(&x.sum_dims(&axes)),
    }
}

/// The numbers on the host, in order.
pub(super) fn numbers<const D: usize>(x: &Tensor<D>) -> Result<Vec<f64>, Error> {
    let data = x.clone().without_autodiff().try_into_data();
    let numbers = data.map_err(|error| Error::tensor(error.to_string()))?;
    let numbers = numbers.try_to_vec_as::<f64>();
    numbers.map_err(|error| Error::tensor(error.to_string()))
}
