//! Numbers as they are written: what is read back is checked like what is constructed.

use serde::{Deserialize, Serialize};

use crate::Error;

/// A number that may be infinite, which JSON has no number for: it is then a word.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Number {
    Finite(f64),
    Word(String),
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        match value.is_finite() {
            true => Self::Finite(value),
            false => Self::Word(value.to_string()),
        }
    }
}

impl TryFrom<Number> for f64 {
    type Error = Error;

    fn try_from(number: Number) -> Result<Self, Error> {
        match number {
            Number::Finite(value) => Ok(value),
            Number::Word(text) => match text.as_str() {
                "inf" => Ok(f64::INFINITY),
                "-inf" => Ok(f64::NEG_INFINITY),
                _ => Err(Error::Parse {
                    what: "number",
                    text,
                    allowed: "a number, \"inf\" or \"-inf\"",
                }),
            },
        }
    }
}

/// A type that is written as a finite number, and the constructor that checks it.
macro_rules! finite {
    ($name:ty, $new:path) => {
        impl TryFrom<f64> for $name {
            type Error = $crate::Error;

            fn try_from(value: f64) -> Result<Self, $crate::Error> {
                $new(value)
            }
        }

        impl From<$name> for f64 {
            fn from(value: $name) -> Self {
                value.get()
            }
        }
    };
}

/// A type that is written as a number that may be infinite.
macro_rules! infinite {
    ($name:ty) => {
        impl TryFrom<$crate::serialized::Number> for $name {
            type Error = $crate::Error;

            fn try_from(number: $crate::serialized::Number) -> Result<Self, $crate::Error> {
                Self::new(number.try_into()?)
            }
        }

        impl From<$name> for $crate::serialized::Number {
            fn from(value: $name) -> Self {
                value.get().into()
            }
        }
    };
}

pub(crate) use {finite, infinite};
