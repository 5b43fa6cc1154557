//! One value for a batch, or one per item.

use crate::Error;

/// One value for the whole batch, or one per item.
///
/// Made from a value, a slice or a vector, so that `schedule.jump(&x0, t, &eps)` and
/// `schedule.jump(&x0, &times, &eps)` both work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PerItem<'a, T> {
    /// The same for all.
    Same(T),
    /// One for each item, in order.
    Each(&'a [T]),
}

impl<T> From<T> for PerItem<'_, T> {
    fn from(value: T) -> Self {
        Self::Same(value)
    }
}

impl<'a, T> From<&'a [T]> for PerItem<'a, T> {
    fn from(values: &'a [T]) -> Self {
        Self::Each(values)
    }
}

impl<'a, T> From<&'a Vec<T>> for PerItem<'a, T> {
    fn from(values: &'a Vec<T>) -> Self {
        Self::Each(values)
    }
}

impl<'a, T, const N: usize> From<&'a [T; N]> for PerItem<'a, T> {
    fn from(values: &'a [T; N]) -> Self {
        Self::Each(values)
    }
}

pub(crate) fn per_item<T: Copy, U: Clone>(
    t: PerItem<'_, T>,
    items: usize,
    f: impl Fn(T) -> Result<U, Error>,
) -> Result<Vec<U>, Error> {
    match t {
        PerItem::Same(t) => Ok(vec![f(t)?; items]),
        PerItem::Each(times) if times.len() == items => times.iter().map(|&t| f(t)).collect(),
        PerItem::Each(times) => Err(Error::BatchLength {
            what: "times",
            expected: items,
            found: times.len(),
        }),
    }
}
