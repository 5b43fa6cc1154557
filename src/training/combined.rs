//! Sums of states with coefficients of each item's time.

use crate::{
    Error,
    forward::{PerItem, per_item},
    state::State,
};

/// `own * first + sum of coefficient * other`, the coefficients those of each item's `t`.
pub(super) fn combined<'t, T: Copy + 't, V: State, const N: usize>(
    first: &V,
    others: [(&'static str, &V); N],
    t: impl Into<PerItem<'t, T>>,
    coefficients: impl Fn(T) -> Result<(f64, [f64; N]), Error>,
) -> Result<V, Error> {
    let each = per_item(t.into(), first.items(), coefficients)?;
    for (name, other) in others {
        first.fits(other).map_err(|error| error.naming(name))?;
    }
    let own: Vec<f64> = each.iter().map(|(own, _)| *own).collect();
    let lists: [Vec<f64>; N] =
        std::array::from_fn(|k| each.iter().map(|(_, others)| others[k]).collect());
    let terms: [(&[f64], &V); N] = std::array::from_fn(|k| (lists[k].as_slice(), others[k].1));
    let mut sum = first.clone();
    sum.combine_items(&own, &terms)?;
    Ok(sum)
}
