//! What is known, and edits that remember, as they are written: what is read back is checked.

use ndarray::{Array, Dimension};
use serde::Deserialize;

use super::{Inpaint, Known};
use crate::{Error, state::Real};

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    bound = "A: Deserialize<'de>, D: Dimension + Deserialize<'de>"
)]
pub(super) struct StoredKnown<A, D: Dimension> {
    values: Array<A, D>,
    weights: Array<A, D>,
}

impl<A: Real, D: Dimension> TryFrom<StoredKnown<A, D>> for Known<A, D> {
    type Error = Error;

    fn try_from(stored: StoredKnown<A, D>) -> Result<Self, Error> {
        Self::new(stored.values, stored.weights)
    }
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    bound = "A: Real + Deserialize<'de>, D: Dimension + Deserialize<'de>, N: Deserialize<'de>"
)]
pub(super) struct StoredInpaint<A, D: Dimension, N> {
    known: Known<A, D>,
    noise: N,
    hold: bool,
    #[serde(default)]
    free_start: bool,
    #[serde(default)]
    data_at_end: bool,
    first: Option<Array<A, D>>,
}

impl<A: Real, D: Dimension, N> TryFrom<StoredInpaint<A, D, N>> for Inpaint<A, D, N> {
    type Error = Error;

    fn try_from(stored: StoredInpaint<A, D, N>) -> Result<Self, Error> {
        let StoredInpaint {
            known,
            noise,
            hold,
            free_start,
            data_at_end,
            first,
        } = stored;
        if let Some(first) = &first {
            known.check(first)?;
        }
        Ok(Self {
            known,
            noise,
            hold,
            free_start,
            data_at_end,
            first,
            fresh: None,
        })
    }
}
