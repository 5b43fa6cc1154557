//! Classifier-free guidance whose coefficients each item finds for itself.

use super::Predictions;
use crate::{Error, state::State};

/// The inner products of the conditional prediction `c` and the unconditional `u` of an item.
pub(super) struct Gram {
    pub cc: f64,
    pub cu: f64,
    pub uu: f64,
    /// Of the difference with itself.
    pub dd: f64,
}

/// The combination of `c` and `u` with the coefficients that `rule` makes of the inner products of
/// every item.
pub(super) fn combine<V: State>(
    mut predictions: Predictions<V>,
    rule: impl Fn(&Gram) -> (f64, f64),
) -> Result<V, Error> {
    let (mut c, u) = (predictions.take(0)?, predictions.take(1)?);
    let (cc, cu, uu) = (c.dot_items(&c)?, c.dot_items(&u)?, u.dot_items(&u)?);
    let mut difference = c.clone();
    difference.combine(1.0, &[(-1.0, &u)])?;
    let dd = difference.dot_items(&difference)?;
    let grams = cc.into_iter().zip(cu).zip(uu).zip(dd);
    let (of_c, of_u): (Vec<_>, Vec<_>) = grams
        .map(|(((cc, cu), uu), dd)| rule(&Gram { cc, cu, uu, dd }))
        .unzip();
    c.combine_items(&of_c, &[(&of_u, &u)])?;
    Ok(c)
}
