//! The text of a scheduler file.

use serde_json::{Map, Value};

use crate::Error;

/// That a text is no scheduler file.
fn refused(text: String) -> Error {
    Error::Parse {
        what: "scheduler configuration",
        text,
        allowed: "a JSON object with the key _class_name",
    }
}

/// The object that a file holds.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, Error> {
    // Some editors put a byte-order mark first.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file: Value =
        serde_json::from_str(&quote_constants(text)).map_err(|error| refused(error.to_string()))?;
    match file {
        Value::Object(file) => Ok(file),
        other => Err(refused(brief(&other))),
    }
}

/// The class that a file names.
pub(super) fn class(file: &Map<String, Value>) -> Result<&str, Error> {
    match file.get("_class_name") {
        Some(Value::String(class)) => Ok(class),
        Some(other) => Err(refused(other.to_string())),
        None => Err(refused("no _class_name".to_owned())),
    }
}

/// Puts Python's `Infinity`, `-Infinity` and `NaN`, which JSON does not know, in quotes.
fn quote_constants(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut is_string) = (text, false);
    // Up to the next quote, or the next escape of a string.
    while let Some(at) = rest.find(|c| c == '"' || c == '\\' && is_string) {
        let (part, tail) = rest.split_at(at);
        push_quoted(&mut out, part, is_string);
        let mut marks = tail.chars();
        let mark = marks.next();
        out.extend(mark);
        match mark {
            Some('\\') => out.extend(marks.next()),
            _ => is_string = !is_string,
        }
        rest = marks.as_str();
    }
    push_quoted(&mut out, rest, is_string);
    out
}

fn push_quoted(out: &mut String, part: &str, is_string: bool) {
    match is_string {
        true => out.push_str(part),
        false => out.push_str(
            &part
                .replace("-Infinity", "\"-inf\"")
                .replace("Infinity", "\"inf\"")
                .replace("NaN", "\"nan\""),
        ),
    }
}

/// A value in a message: whole, if it is short.
pub(super) fn brief(value: &Value) -> String {
    const MOST: usize = 60;
    let text = match value.as_f64() {
        Some(number) if value.is_f64() => format!("{number:?}"),
        _ => value.to_string(),
    };
    match text.char_indices().nth(MOST) {
        None => text,
        Some((end, _)) => format!("{}..", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A word of a file may look like a constant, and hold quotes.
    #[test]
    fn only_constants_outside_of_strings_are_quoted() {
        let text =
            r#"{"a\"NaN": NaN, "b": "Infinity \\", "c": -Infinity, "d": ["\\\"", Infinity]}"#;
        let file = object(text).unwrap();
        assert_eq!(file["a\"NaN"], "nan");
        assert_eq!(file["b"], "Infinity \\");
        assert_eq!(file["c"], "-inf");
        assert_eq!(file["d"][0], "\\\"");
        assert_eq!(file["d"][1], "inf");
    }
}
