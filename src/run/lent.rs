//! The plan of a run, borrowed or shared.

use std::{ops::Deref, sync::Arc};

use crate::Plan;

/// A plan that outlives a run.
#[derive(Debug, Clone)]
pub(super) enum Lent<'p, T> {
    Borrowed(&'p Plan<T>),
    Shared(Arc<Plan<T>>),
}

impl<T> Deref for Lent<'_, T> {
    type Target = Plan<T>;

    fn deref(&self) -> &Plan<T> {
        match self {
            Self::Borrowed(plan) => plan,
            Self::Shared(plan) => plan,
        }
    }
}
