//! Values as they are written: what is read back is checked like what is constructed.

use serde::{Deserialize, Serialize};

use crate::{
    Error, Grid, LogSnr, LogVariance, NoiseLevel, Sigma, SigmaData, Step, Time, Variance,
    grid::Node,
};

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

macro_rules! finite {
    ($($name:ty => $new:path),*) => {$(
        impl TryFrom<f64> for $name {
            type Error = Error;

            fn try_from(value: f64) -> Result<Self, Error> {
                $new(value)
            }
        }

        impl From<$name> for f64 {
            fn from(value: $name) -> Self {
                value.get()
            }
        }
    )*};
}

finite!(
    Step => Step::fractional,
    Time => Time::new,
    Sigma => Sigma::new,
    SigmaData => SigmaData::new,
    Variance => Variance::new
);

macro_rules! infinite {
    ($($name:ty),*) => {$(
        impl TryFrom<Number> for $name {
            type Error = Error;

            fn try_from(number: Number) -> Result<Self, Error> {
                Self::new(number.try_into()?)
            }
        }

        impl From<$name> for Number {
            fn from(value: $name) -> Self {
                value.get().into()
            }
        }
    )*};
}

infinite!(LogSnr, LogVariance);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Level {
    alpha: f64,
    sigma: f64,
    /// Of the logarithm of their ratio, below what the two resolve.
    #[serde(default)]
    residue: f64,
}

impl From<NoiseLevel> for Level {
    fn from(level: NoiseLevel) -> Self {
        Self {
            alpha: level.alpha(),
            sigma: level.sigma(),
            residue: level.residue(),
        }
    }
}

impl TryFrom<Level> for NoiseLevel {
    type Error = Error;

    fn try_from(level: Level) -> Result<Self, Error> {
        NoiseLevel::new(level.alpha, level.sigma)?.with_residue(level.residue)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nodes<T> {
    nodes: Vec<Node<T>>,
    end: NoiseLevel,
}

impl<T: Copy + std::fmt::Debug> TryFrom<Nodes<T>> for Grid<T> {
    type Error = Error;

    fn try_from(Nodes { nodes, end }: Nodes<T>) -> Result<Self, Error> {
        Self::new(nodes, end)
    }
}
