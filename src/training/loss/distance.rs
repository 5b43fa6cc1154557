//! Distances of numbers.

use crate::{
    Error,
    per_item::{Each, PerItem},
};

/// How the distance of one number from another is counted. A threshold is one for the batch or one per item.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Distance<'a> {
    /// `d^2`.
    Squared,
    /// `|d|`.
    Absolute,
    /// `d^2 / 2` where `|d| <= delta`, else `delta (|d| - delta / 2)`.
    Huber(PerItem<'a, f64>),
    /// `delta (sqrt(d^2 + delta^2) - delta)`: Huber's without its corner.
    PseudoHuber(PerItem<'a, f64>),
}

impl Distance<'_> {
    /// Refuses thresholds that are none, or not as many as items.
    pub(crate) fn check(self, items: usize) -> Result<(), Error> {
        match self {
            Self::Squared | Self::Absolute => Ok(()),
            Self::Huber(delta) | Self::PseudoHuber(delta) => {
                thresholds("delta", delta, items).map(|_| ())
            }
        }
    }

    /// That of numbers so far apart, in this item.
    pub(super) fn of(self, d: f64, item: usize) -> f64 {
        let at = |delta: PerItem<'_, f64>| match delta {
            PerItem::Same(delta) => delta,
            PerItem::Each(list) => list.get(item).copied().unwrap_or(f64::NAN),
        };
        match self {
            Self::Squared => d * d,
            Self::Absolute => d.abs(),
            Self::Huber(delta) => {
                let (size, delta) = (d.abs(), at(delta));
                match size <= delta {
                    true => 0.5 * size * size,
                    false => delta * (size - 0.5 * delta),
                }
            }
            Self::PseudoHuber(delta) => {
                let delta = at(delta);
                // Not the difference of two roots, which are nearly one where d is small.
                delta * d * d / (d.hypot(delta) + delta)
            }
        }
    }
}

/// One threshold for each item.
pub(crate) fn thresholds(
    what: &'static str,
    values: PerItem<'_, f64>,
    items: usize,
) -> Result<Vec<f64>, Error> {
    let allowed = "a finite number above 0";
    let holds = |value: f64| value > 0.0 && value.is_finite();
    let values = Each::checked(what, values, allowed, holds)?;
    values.check_items("thresholds", items)?;
    Ok((0..items).map(|item| values.get(item)).collect())
}
