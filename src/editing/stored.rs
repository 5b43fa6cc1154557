//! What is known, and edits that remember, as they are written: what is read back is checked.

use serde::Deserialize;

use super::{Inpaint, Known};
use crate::{Error, state::Elements};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredKnown<V> {
    values: V,
    weights: V,
}

impl<V: Elements> TryFrom<StoredKnown<V>> for Known<V> {
    type Error = Error;

    fn try_from(stored: StoredKnown<V>) -> Result<Self, Error> {
        Self::new(stored.values, stored.weights)
    }
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    bound = "V: Elements + Deserialize<'de>, N: Deserialize<'de>"
)]
pub(super) struct StoredInpaint<V, N> {
    known: Known<V>,
    noise: N,
    hold: bool,
    #[serde(default)]
    free_start: bool,
    #[serde(default)]
    data_at_end: bool,
    first: Option<V>,
}

impl<V: Elements, N> TryFrom<StoredInpaint<V, N>> for Inpaint<V, N> {
    type Error = Error;

    fn try_from(stored: StoredInpaint<V, N>) -> Result<Self, Error> {
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
        let mut inpaint = Self::new(known, noise);
        (inpaint.hold, inpaint.first) = (hold, first);
        (inpaint.free_start, inpaint.data_at_end) = (free_start, data_at_end);
        Ok(inpaint)
    }
}
