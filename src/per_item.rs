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
        PerItem::Each(times) => {
            Error::check_length("times", items, times.len())?;
            times.iter().map(|&t| f(t)).collect()
        }
    }
}

/// The same, kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Each {
    Same(f64),
    Items(Vec<f64>),
}

impl Each {
    /// Numbers all of which are allowed.
    pub(crate) fn checked(
        what: &'static str,
        values: PerItem<'_, f64>,
        allowed: &'static str,
        holds: impl Fn(f64) -> bool,
    ) -> Result<Self, Error> {
        match values {
            PerItem::Same(value) if holds(value) => Ok(Self::Same(value)),
            PerItem::Same(value) => Err(Error::range(what, value, allowed)),
            PerItem::Each(values) => match values.iter().position(|value| !holds(*value)) {
                Some(index) => Err(Error::element(what, index, values[index], allowed)),
                None => Ok(Self::Items(values.to_vec())),
            },
        }
    }

    /// That of an item.
    pub(crate) fn get(&self, item: usize) -> f64 {
        match self {
            Self::Same(value) => *value,
            Self::Items(values) => values.get(item).copied().unwrap_or(f64::NAN),
        }
    }

    /// Every number that there is, with the first item that has it.
    pub(crate) fn distinct(&self) -> Vec<(usize, f64)> {
        match self {
            Self::Same(value) => vec![(0, *value)],
            Self::Items(values) => {
                let mut found: Vec<(usize, f64)> = Vec::new();
                for (i, value) in values.iter().enumerate() {
                    if found.iter().all(|(_, other)| other != value) {
                        found.push((i, *value));
                    }
                }
                found
            }
        }
    }

    /// Refuses a batch of another length.
    pub(crate) fn check_items(&self, what: &'static str, items: usize) -> Result<(), Error> {
        match self {
            Self::Items(values) => Error::check_length(what, items, values.len()),
            Self::Same(_) => Ok(()),
        }
    }
}
