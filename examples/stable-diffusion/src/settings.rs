//! What configuration files of networks have in common.

use std::path::Path;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Outcome, weights::read_json};

/// A number for all levels, or one for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Each<T> {
    Same(T),
    List(Vec<T>),
}

impl<T: Copy> Each<T> {
    /// That of a level; `None` for lists that are too short.
    pub fn at(&self, level: usize) -> Option<T> {
        match self {
            Self::Same(one) => Some(*one),
            Self::List(list) => list.get(level).copied(),
        }
    }
}

/// A key and the values that it may have here, if a file has it at all.
pub type Fixed = (&'static str, &'static [&'static str]);

/// Reads a configuration, and refuses values of keys that the network here does not have.
pub fn read<T: DeserializeOwned>(path: &Path, fixed: &[Fixed]) -> Outcome<T> {
    let value: Value = read_json(path)?;
    let shown = path.display();
    for (key, allowed) in fixed {
        let found = value.get(key).map(Value::to_string);
        if let Some(found) = found.filter(|found| !allowed.contains(&found.as_str())) {
            let allowed = allowed.join(", ");
            return Err(format!("{shown}: {key} is {found}, allowed: {allowed}").into());
        }
    }
    Ok(serde_json::from_value(value).map_err(|error| format!("{shown}: {error}"))?)
}
