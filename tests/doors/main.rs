//! What users bring of their own, and the rules of peers that came with it: against the peers' own numbers, closed
//! forms and slow loops.

mod guidance;
mod measurement;
mod policy;
mod spaces;
mod training;

use std::fmt::Debug;

use serde_json::Value;

/// A file of `tests/reference`.
fn reference(name: &str) -> Value {
    let path = format!("{}/tests/reference/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list(value: &Value) -> Vec<f64> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|x| x.as_f64().unwrap()).collect()
}

fn close(found: f64, expected: f64, tolerance: f64, what: impl Debug) {
    let size = expected.abs().max(1.0);
    assert!(
        (found - expected).abs() <= tolerance * size,
        "{what:?}: {found} for {expected}"
    );
}
