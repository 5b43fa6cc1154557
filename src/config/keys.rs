//! A configuration as keys and values, with the defaults of its class.

use serde_json::{Map, Value};

use super::defaults;
use crate::Error;

/// The values of a class: those of the file over its defaults.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Keys {
    pub class: String,
    values: Map<String, Value>,
}

impl Keys {
    /// The values, and the keys of the file that play no part.
    pub fn read(text: &str) -> Result<(Self, Vec<String>), Error> {
        let refused = |text: String| Error::Parse {
            what: "scheduler configuration",
            text,
            allowed: "a JSON object with the key _class_name",
        };
        let file: Value = serde_json::from_str(&quote_constants(text))
            .map_err(|error| refused(error.to_string()))?;
        let Value::Object(file) = file else {
            return Err(refused(file.to_string()));
        };
        let class = match file.get("_class_name") {
            Some(Value::String(class)) => class.clone(),
            Some(other) => return Err(refused(other.to_string())),
            None => return Err(refused("no _class_name".to_owned())),
        };
        let Some(parts) = defaults::of(&class) else {
            return Err(Error::Configuration {
                key: "_class_name",
                value: class.clone(),
                allowed: match class.starts_with("Helios") {
                    true => "a class whose runs keep their resolution",
                    false => "the classes listed at config::SchedulerConfig",
                },
                class,
            });
        };
        let mut values = Map::new();
        for part in parts {
            let part: Map<String, Value> = serde_json::from_str(&format!("{{{part}}}"))
                .map_err(|error| refused(error.to_string()))?;
            values.extend(part);
        }
        // Values that were nobody's choice are those of the class.
        let unchosen = file.get("_use_default_values").cloned().unwrap_or_default();
        let is_chosen = |key: &str| {
            let list = unchosen.as_array().into_iter().flatten();
            !list.into_iter().any(|name| name == key)
        };
        let mut ignored = Vec::new();
        for (key, value) in file.into_iter().filter(|(key, _)| is_chosen(key)) {
            match values.get_mut(&key) {
                Some(known) => *known = value,
                // Marks of the library itself say nothing of the sampler.
                None if key.starts_with('_') => {}
                None => ignored.push(key),
            }
        }
        Ok((Self { class, values }, ignored))
    }

    /// The values as a file.
    pub fn to_value(&self) -> Value {
        let mut all = self.values.clone();
        all.insert("_class_name".to_owned(), Value::String(self.class.clone()));
        Value::Object(all)
    }

    pub fn get(&self, key: &str) -> &Value {
        self.values.get(key).unwrap_or(&Value::Null)
    }

    /// That the value of a key is not supported.
    pub fn refuse(&self, key: &'static str, allowed: &'static str) -> Error {
        Error::Configuration {
            class: self.class.clone(),
            key,
            value: self.get(key).to_string(),
            allowed,
        }
    }

    pub fn number(&self, key: &'static str) -> Result<f64, Error> {
        let number = self.get(key).as_f64();
        number.ok_or_else(|| self.refuse(key, "a number"))
    }

    /// A number that may be null.
    pub fn optional(&self, key: &'static str) -> Result<Option<f64>, Error> {
        match self.get(key) {
            Value::Null => Ok(None),
            _ => self.number(key).map(Some),
        }
    }

    pub fn count(&self, key: &'static str) -> Result<usize, Error> {
        let number = self.get(key).as_f64().filter(|x| x.fract() == 0.0);
        match number {
            Some(count) if (0.0..=16_777_216.0).contains(&count) => Ok(count as usize),
            _ => Err(self.refuse(key, "a whole number from 0 on")),
        }
    }

    /// Whether a switch is on; a class without the key has it off.
    pub fn flag(&self, key: &'static str) -> Result<bool, Error> {
        match self.get(key) {
            Value::Null => Ok(false),
            Value::Bool(value) => Ok(*value),
            _ => Err(self.refuse(key, "true or false")),
        }
    }

    /// A word; none for a class without the key.
    pub fn word(&self, key: &'static str) -> Result<&str, Error> {
        match self.get(key) {
            Value::Null => Ok(""),
            Value::String(word) => Ok(word),
            _ => Err(self.refuse(key, "a word in quotes")),
        }
    }

    /// Refuses a key that has any value but null, false or an empty list.
    pub fn unset(&self, key: &'static str, allowed: &'static str) -> Result<(), Error> {
        match self.get(key) {
            Value::Null | Value::Bool(false) => Ok(()),
            Value::Array(list) if list.is_empty() => Ok(()),
            _ => Err(self.refuse(key, allowed)),
        }
    }

    pub fn numbers<T>(
        &self,
        key: &'static str,
        of: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>, Error> {
        match self.get(key) {
            Value::Null => Ok(None),
            Value::Array(list) => {
                let numbers: Option<Vec<_>> = list.iter().map(of).collect();
                numbers
                    .map(Some)
                    .ok_or_else(|| self.refuse(key, "a list of numbers"))
            }
            _ => Err(self.refuse(key, "null or a list of numbers")),
        }
    }
}

/// Puts Python's `Infinity`, `-Infinity` and `NaN`, which JSON does not know, in quotes.
fn quote_constants(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, part) in text.split('"').enumerate() {
        if index > 0 {
            out.push('"');
        }
        // Keys and words of these files hold no escaped quotes; every other part is outside them.
        match index % 2 {
            0 => out.push_str(
                &part
                    .replace("-Infinity", "\"-inf\"")
                    .replace("Infinity", "\"inf\"")
                    .replace("NaN", "\"nan\""),
            ),
            _ => out.push_str(part),
        }
    }
    out
}
