//! Numbers that other programs gave: the files of tests/reference.
#![allow(dead_code)] // Each test takes what it needs.

use serde_json::Value;

/// A file by its name. Python writes what JSON does not know: NaN is read as null, `-Infinity` as `"-inf"`.
pub fn reference(name: &str) -> Value {
    let path = format!("{}/tests/reference/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.replace("NaN", "null").replace("-Infinity", "\"-inf\"");
    serde_json::from_str(&text).unwrap()
}

pub fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap();
    list.iter().map(|x| x.as_f64().unwrap()).collect()
}
