//! Places in the names of a network.

use std::fmt::Display;

use candle_core::Tensor;

use super::Weights;
use crate::Outcome;

/// A place in the names of a network.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    pub(super) weights: &'a Weights,
    pub(super) prefix: String,
}

impl Scope<'_> {
    /// A place further in.
    #[must_use]
    pub fn at(&self, name: impl Display) -> Self {
        let prefix = match self.prefix.is_empty() {
            true => name.to_string(),
            false => format!("{}.{name}", self.prefix),
        };
        Self { prefix, ..*self }
    }

    /// The tensor of this name here.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Outcome<Tensor> {
        self.weights.tensor(&self.at(name).prefix, shape)
    }

    /// Whether there is one.
    pub fn has(&self, name: &str) -> bool {
        self.weights.has(&self.at(name).prefix)
    }
}
