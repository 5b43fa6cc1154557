//! What classes take where a file is silent.

use serde_json::Value;

/// What a class takes where a file is silent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Default {
    Null,
    Flag(bool),
    Number(f64),
    Word(&'static str),
    EmptyList,
}

/// Keys with their defaults.
pub(super) type Group = &'static [(&'static str, Default)];

impl Default {
    pub fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Flag(flag) => flag.into(),
            Self::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
                (number as i64).into()
            }
            Self::Number(number) => number.into(),
            Self::Word(word) => word.into(),
            Self::EmptyList => Value::Array(Vec::new()),
        }
    }
}
