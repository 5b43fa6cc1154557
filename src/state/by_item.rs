//! What is done item by item, on the slices of tensors.

#[cfg(any(feature = "candle", feature = "burn"))]
use smallvec::SmallVec;

use super::Real;
use crate::{Error, simd::sum};

/// Each list has a coefficient for every item.
///
/// # Errors
///
/// If one has more or fewer.
pub(crate) fn check_lists<'a>(
    lists: impl IntoIterator<Item = &'a [f64]>,
    items: usize,
) -> Result<(), Error> {
    lists
        .into_iter()
        .try_for_each(|list| Error::check_length("coefficients", items, list.len()))
}

/// `y <- own * y + sum of c * t` with a coefficient for each item.
#[cfg(any(feature = "candle", feature = "burn"))]
pub(crate) fn combine_items<A: Real>(y: &mut [A], own: &[f64], terms: &[(&[f64], &[A])]) {
    let length = (y.len() / own.len().max(1)).max(1);
    for (i, (y, own)) in y.chunks_mut(length).zip(own).enumerate() {
        let places = i * length..i * length + y.len();
        let terms: SmallVec<[_; 6]> = terms
            .iter()
            .filter_map(|(list, array)| Some((*list.get(i)?, array.get(places.clone())?)))
            .collect();
        A::combine(y, *own, &terms, None, false);
    }
}

/// The inner product of every item.
pub(crate) fn dot_items<A: Real>(x: &[A], y: &[A], items: usize) -> Vec<f64> {
    each_item([x, y], items, |item| {
        sum(
            item,
            #[inline(always)]
            |[x, y], k| x[k].get() * y[k].get(),
        )
    })
}

/// As [`ErrorNorm::error_norms`](super::ErrorNorm::error_norms).
pub(crate) fn error_norms<A: Real>(
    slices: [&[A]; 3],
    items: usize,
    absolute: f64,
    relative: f64,
) -> Vec<f64> {
    each_item(slices, items, |item| {
        let squares = sum(
            item,
            #[inline(always)]
            move |[x, other, before], k| {
                let (x, other, before) = (x[k].get(), other[k].get(), before[k].get());
                let size = x.abs().max(before.abs());
                let off = (x - other) / absolute.max(relative * size);
                off * off
            },
        );
        (squares / item[0].len().max(1) as f64).sqrt()
    })
}

/// A number for the elements of each item; 0 for an item without elements.
fn each_item<A, const N: usize>(
    slices: [&[A]; N],
    items: usize,
    f: impl Fn([&[A]; N]) -> f64,
) -> Vec<f64> {
    let all = slices.first().map_or(0, |slice| slice.len());
    let length = all / items.max(1);
    let item = |i: usize| slices.map(|slice| &slice[i * length..(i + 1) * length]);
    let count = if length > 0 { items } else { 0 };
    let mut found: Vec<_> = (0..count).map(|i| f(item(i))).collect();
    found.resize(items, 0.0);
    found
}
