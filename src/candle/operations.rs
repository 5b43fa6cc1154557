//! Sums by the operations of candle: on every device, and with the graph of a differentiation.

use candle_core::{DType, Result, Tensor};

/// `own * x + sum of coefficient * term`.
pub(super) fn combined(x: &Tensor, own: f64, terms: &[(f64, &Tensor)]) -> Result<Tensor> {
    let mut sum = match own {
        0.0 => None,
        _ => Some(scaled(x, own)?),
    };
    for (coefficient, term) in terms {
        let term = scaled(term, *coefficient)?;
        sum = Some(match sum {
            Some(sum) => (sum + term)?,
            None => term,
        });
    }
    sum.map_or_else(|| x.zeros_like(), Ok)
}

fn scaled(x: &Tensor, by: f64) -> Result<Tensor> {
    match by {
        1.0 => Ok(x.clone()),
        _ => x.affine(by, 0.0),
    }
}

/// The same with a coefficient for each item.
pub(super) fn combined_items(
    x: &Tensor,
    own: &[f64],
    terms: &[(&[f64], &Tensor)],
) -> Result<Tensor> {
    let mut sum = match own.iter().all(|own| *own == 0.0) {
        true => None,
        false => {
            let scaled = scaled_items(x, own)?;
            // 0 times a NaN would be one.
            Some(match own.contains(&0.0) {
                true => {
                    let kept: Vec<_> = own.iter().map(|own| u8::from(*own != 0.0)).collect();
                    let kept = Tensor::from_vec(kept, per_item(x), x.device())?;
                    let kept = kept.broadcast_as(x.shape())?.contiguous()?;
                    kept.where_cond(&scaled, &x.zeros_like()?)?
                }
                false => scaled,
            })
        }
    };
    for (list, term) in terms {
        let term = scaled_items(term, list)?;
        sum = Some(match sum {
            Some(sum) => (sum + term)?,
            None => term,
        });
    }
    sum.map_or_else(|| x.zeros_like(), Ok)
}

fn scaled_items(x: &Tensor, by: &[f64]) -> Result<Tensor> {
    x.broadcast_mul(&of_items(x, by)?)
}

/// A number for each item, as a tensor that can be broadcast to `x`.
pub(super) fn of_items(x: &Tensor, numbers: &[f64]) -> Result<Tensor> {
    let numbers = Tensor::from_slice(numbers, per_item(x), &candle_core::Device::Cpu)?;
    numbers.to_dtype(x.dtype())?.to_device(x.device())
}

/// The shape with all axes but the first of length 1.
fn per_item(x: &Tensor) -> Vec<usize> {
    let axes = x.dims().iter().enumerate();
    axes.map(|(i, length)| if i == 0 { *length } else { 1 })
        .collect()
}

/// Within these bounds; NaN stays NaN, which the library's own minimum and maximum do not promise.
pub(super) fn clamped(x: &Tensor, low: f64, high: f64) -> Result<Tensor> {
    let bound = |bound: f64| x.zeros_like()?.affine(0.0, bound);
    let raised = x.lt(low)?.where_cond(&bound(low)?, x)?;
    raised.gt(high)?.where_cond(&bound(high)?, &raised)
}

/// Whether all numbers are finite: one number comes back from the device.
pub(super) fn is_finite(x: &Tensor) -> Result<bool> {
    // 0 times a NaN or an infinity is a NaN.
    let zero = x
        .detach()
        .affine(0.0, 0.0)?
        .to_dtype(DType::F32)?
        .sum_all()?;
    Ok(zero.to_scalar::<f32>()? == 0.0)
}

/// In the widest type that the device has.
pub(super) fn widest(x: &Tensor) -> Result<Tensor> {
    match x.device().is_metal() {
        true if x.dtype() != DType::F64 => x.to_dtype(DType::F32),
        _ => x.to_dtype(DType::F64),
    }
}

/// The sum over the elements of each item, on the host.
pub(super) fn sums_of_items(x: &Tensor) -> Result<Vec<f64>> {
    let sums = match x.rank() {
        0 => x.reshape(1)?,
        1 => x.clone(),
        _ => x.flatten_from(1)?.sum(1)?,
    };
    sums.to_device(&candle_core::Device::Cpu)?
        .to_dtype(DType::F64)?
        .to_vec1()
}
