//! A configuration as keys and values, with the defaults of its class.

use std::{borrow::Cow, ops::RangeInclusive};

use serde_json::{Map, Value};

use super::{
    defaults::Default,
    facts::{Facts, Family},
    file,
    words::{Curve, Spacing, Words},
};
use crate::{Error, time::MOST_STEPS};

/// What stands for the number of steps in the place of a key.
pub(super) const STEPS: &str = "number of steps";
const DEFAULTED: &str = "_use_default_values";

/// The values of a class: those of a file over its defaults.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Keys {
    pub class: &'static Facts,
    /// What the file says, of whatever class.
    file: Map<String, Value>,
}

impl Keys {
    /// The keys of a file, read as one of this class.
    pub fn of(class: &'static Facts, mut file: Map<String, Value>) -> Self {
        // Values that were nobody's choice are those of the class.
        let unchosen = file.get(DEFAULTED).cloned().unwrap_or_default();
        for key in unchosen.as_array().into_iter().flatten() {
            if let Some(key) = key.as_str() {
                file.remove(key);
            }
        }
        // Marks of the library itself say nothing of the sampler.
        file.retain(|key, _| !key.starts_with('_'));
        Self { class, file }
    }

    /// The same file for another class.
    pub fn of_class(self, class: &'static Facts) -> Self {
        Self { class, ..self }
    }

    /// The same file with another value.
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.file.insert(key.to_owned(), value);
        self
    }

    /// All values as a file, which lists those that were nobody's choice.
    pub fn to_value(&self) -> Value {
        let mut all = self.file.clone();
        let mut defaulted = Vec::new();
        for (key, _) in self.class.all_keys() {
            if let (false, Some(default)) = (all.contains_key(*key), self.class.default_of(key)) {
                all.insert((*key).to_owned(), default.to_value());
                defaulted.push(Value::from(*key));
            }
        }
        all.insert("_class_name".to_owned(), self.class.name.into());
        all.insert(DEFAULTED.to_owned(), defaulted.into());
        Value::Object(all)
    }

    /// The keys of the file that play no part in the class.
    pub fn ignored(&self) -> Result<Vec<String>, Error> {
        let idle = match self.curve()? {
            None => true,
            Some(curve) => self.is_unbounded(curve),
        };
        let is_idle = |key: &str| {
            let is_bound = matches!(key, "sigma_min" | "sigma_max");
            is_bound && idle && self.class.default_of(key) == Some(&Default::Null)
        };
        let keys = self.file.iter().filter(|(key, value)| {
            self.class.default_of(key).is_none() || is_idle(key) && !value.is_null()
        });
        Ok(keys.map(|(key, _)| key.clone()).collect())
    }

    /// Whether a curve of this class does not read `sigma_min` and `sigma_max`.
    pub fn is_unbounded(&self, curve: Curve) -> bool {
        let karras_is = self.class.quirks.karras_is_unbounded;
        curve == Curve::Lu || curve == Curve::Karras && karras_is
    }

    /// The value of a key, if the class has it.
    pub fn get(&self, key: &str) -> Option<Value> {
        let default = self.class.default_of(key)?;
        let value = self.file.get(key).cloned();
        Some(value.unwrap_or_else(|| default.to_value()))
    }

    /// Whether the file has a value of its own.
    pub fn has(&self, key: &str) -> bool {
        self.file.contains_key(key)
    }

    /// The value that the file has, whatever the class takes where it is silent.
    pub fn chosen(&self, key: &'static str, otherwise: f64) -> Result<f64, Error> {
        match self.file.get(key) {
            None => Ok(otherwise),
            Some(value) => value
                .as_f64()
                .ok_or_else(|| self.error(key, file::brief(value), "a number")),
        }
    }

    fn is_null(&self, key: &str) -> bool {
        self.get(key).is_none_or(|value| value.is_null())
    }

    /// Refuses null for a key of the file that has no effect here.
    pub fn refuse_null(&self, key: &'static str) -> Result<(), Error> {
        match self.file.get(key) {
            Some(Value::Null) => Err(self.error(key, "null".to_owned(), "a number")),
            _ => Ok(()),
        }
    }

    /// That the value of a key is not supported.
    pub fn refuse(&self, key: &'static str, allowed: impl Into<Cow<'static, str>>) -> Error {
        let value = self.get(key).unwrap_or_default();
        self.error(key, file::brief(&value), allowed)
    }

    /// That another number of steps is needed.
    pub fn refuse_steps(&self, n: usize, allowed: impl Into<Cow<'static, str>>) -> Error {
        self.error(STEPS, n.to_string(), allowed)
    }

    pub fn error(
        &self,
        key: &'static str,
        value: String,
        allowed: impl Into<Cow<'static, str>>,
    ) -> Error {
        Error::Configuration {
            class: self.class.name.to_owned(),
            key,
            value,
            allowed: allowed.into(),
        }
    }

    /// What a part refuses, as the key that it comes from.
    pub fn blame<T>(&self, key: &'static str, part: Result<T, Error>) -> Result<T, Error> {
        part.map_err(|error| match error {
            Error::Configuration { .. } => error,
            Error::OutOfRange { allowed, .. } => self.refuse(key, allowed),
            Error::ElementOutOfRange {
                index,
                value,
                allowed,
                ..
            } => self.error(key, format!("{value:?} at {index}"), allowed),
            other => self.refuse(key, format!("a value for which not: {other}")),
        })
    }

    pub fn number(&self, key: &'static str) -> Result<f64, Error> {
        let number = self.get(key).and_then(|value| value.as_f64());
        number.ok_or_else(|| self.refuse(key, "a number"))
    }

    /// A number for which a condition holds.
    pub fn number_if(
        &self,
        key: &'static str,
        holds: impl Fn(f64) -> bool,
        allowed: &'static str,
    ) -> Result<f64, Error> {
        match self.number(key)? {
            number if holds(number) => Ok(number),
            _ => Err(self.refuse(key, allowed)),
        }
    }

    /// A number that may be null.
    pub fn optional(&self, key: &'static str) -> Result<Option<f64>, Error> {
        match self.is_null(key) {
            true => Ok(None),
            false => self.number(key).map(Some),
        }
    }

    pub fn count(&self, key: &'static str) -> Result<usize, Error> {
        self.count_in(key, 0..=MOST_STEPS)
    }

    pub fn count_in(
        &self,
        key: &'static str,
        range: RangeInclusive<usize>,
    ) -> Result<usize, Error> {
        let number = self.get(key).and_then(|value| value.as_f64());
        match number.filter(|x| x.fract() == 0.0 && (0.0..=MOST_STEPS as f64).contains(x)) {
            Some(count) if range.contains(&(count as usize)) => Ok(count as usize),
            _ => {
                let (least, most) = (range.start(), range.end());
                Err(self.refuse(key, format!("a whole number from {least} to {most}")))
            }
        }
    }

    /// Whether a switch is on; a class without the key has it off, as null does.
    pub fn flag(&self, key: &'static str) -> Result<bool, Error> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            _ => Err(self.refuse(key, "true or false")),
        }
    }

    /// What a word of this table means; `None` for a class without the key.
    pub fn choice<T: Copy>(&self, key: &'static str, words: Words<T>) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let known = words.iter().find(|(word, _)| value == *word);
        let (_, meaning) = known.ok_or_else(|| self.refuse(key, listed(words)))?;
        Ok(Some(*meaning))
    }

    /// The same of a key that the class has.
    pub fn word<T: Copy>(&self, key: &'static str, words: Words<T>) -> Result<T, Error> {
        self.choice(key, words)?
            .ok_or_else(|| self.refuse(key, listed(words)))
    }

    pub fn spacing(&self) -> Result<Spacing, Error> {
        let spacing = self.choice("timestep_spacing", Spacing::WORDS)?;
        Ok(spacing.unwrap_or(Spacing::Linspace))
    }

    /// Which curve replaces the sigmas of the spacing.
    pub fn curve(&self) -> Result<Option<Curve>, Error> {
        let mut wanted = None;
        for &(key, curve) in Curve::KEYS {
            // diffusers counts them, which a null does not survive.
            if self.get(key) == Some(Value::Null) {
                return Err(self.refuse(key, "true or false"));
            }
            if self.flag(key)? && wanted.replace(curve).is_some() {
                return Err(self.refuse(key, "one curve at a time"));
            }
        }
        let is_lu = self.flag(Curve::Lu.key())?;
        Ok(match wanted {
            // Karras is asked for first, Lu before the others.
            Some(Curve::Karras) => wanted,
            _ if is_lu => Some(Curve::Lu),
            _ => wanted,
        })
    }

    /// Whether the sigmas are those of a flow.
    pub fn is_flow(&self) -> Result<bool, Error> {
        self.flag("use_flow_sigmas")
    }

    pub fn is_multistep(&self) -> bool {
        self.class.spacing == Family::Multistep
    }

    /// Refuses a key that has any value but null, false or an empty list.
    pub fn unset(&self, key: &'static str, allowed: &'static str) -> Result<(), Error> {
        match self.get(key) {
            None | Some(Value::Null | Value::Bool(false)) => Ok(()),
            Some(Value::Array(list)) if list.is_empty() => Ok(()),
            _ => Err(self.refuse(key, allowed)),
        }
    }

    /// A list of numbers, each for which a condition holds.
    pub fn list<T>(
        &self,
        key: &'static str,
        of: impl Fn(&Value) -> Option<T>,
        allowed: &'static str,
    ) -> Result<Vec<T>, Error> {
        let Some(Value::Array(list)) = self.get(key) else {
            return Err(self.refuse(key, allowed));
        };
        let mut numbers = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let Some(number) = of(value) else {
                let value = format!("{} at {index}", file::brief(value));
                return Err(self.error(key, value, allowed));
            };
            numbers.push(number);
        }
        Ok(numbers)
    }

    /// The same, or nothing for null.
    pub fn optional_list<T>(
        &self,
        key: &'static str,
        of: impl Fn(&Value) -> Option<T>,
        allowed: &'static str,
    ) -> Result<Option<Vec<T>>, Error> {
        match self.is_null(key) {
            true => Ok(None),
            false => self.list(key, of, allowed).map(Some),
        }
    }
}

/// `a, b or c`.
fn listed<T>(words: Words<T>) -> String {
    let mut text = String::new();
    for (i, (word, _)) in words.iter().enumerate() {
        match i {
            0 => {}
            _ if i + 1 == words.len() => text.push_str(" or "),
            _ => text.push_str(", "),
        }
        text.push_str(word);
    }
    text
}
