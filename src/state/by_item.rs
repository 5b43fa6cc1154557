//! What is done item by item, on the slices of tensors.

use std::ops::Range;

use smallvec::SmallVec;

use super::Real;

/// `y <- own * y + sum of c * t` with a coefficient for each item.
pub(crate) fn combine_items<A: Real>(y: &mut [A], own: &[f64], terms: &[(&[f64], &[A])]) {
    let length = (y.len() / own.len().max(1)).max(1);
    for (i, (y, own)) in y.chunks_mut(length).zip(own).enumerate() {
        let places: Range<usize> = i * length..i * length + y.len();
        let terms: SmallVec<[_; 6]> = terms
            .iter()
            .filter_map(|(list, array)| Some((*list.get(i)?, array.get(places.clone())?)))
            .collect();
        A::combine(y, *own, &terms, None, false);
    }
}

/// The inner product of every item.
pub(crate) fn dot_items<A: Real>(x: &[A], y: &[A], items: usize) -> Vec<f64> {
    let length = (x.len() / items.max(1)).max(1);
    let mut dots: Vec<f64> = x
        .chunks(length)
        .zip(y.chunks(length))
        .map(|(x, y)| x.iter().zip(y).map(|(x, y)| x.get() * y.get()).sum())
        .collect();
    dots.resize(items, 0.0);
    dots
}

/// As [`ErrorNorm::error_norms`](super::ErrorNorm::error_norms).
pub(crate) fn error_norms<A: Real>(
    [x, other, before]: [&[A]; 3],
    items: usize,
    absolute: f64,
    relative: f64,
) -> Vec<f64> {
    let length = (x.len() / items.max(1)).max(1);
    let each = x
        .chunks(length)
        .zip(other.chunks(length))
        .zip(before.chunks(length));
    let mut norms: Vec<f64> = each
        .map(|((x, other), before)| {
            let off = |((x, other), before): ((&A, &A), &A)| {
                let size = x.get().abs().max(before.get().abs());
                (x.get() - other.get()) / absolute.max(relative * size)
            };
            let each = x.iter().zip(other).zip(before);
            let sum: f64 = each.map(off).map(|off| off * off).sum();
            (sum / x.len().max(1) as f64).sqrt()
        })
        .collect();
    norms.resize(items, 0.0);
    norms
}
