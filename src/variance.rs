//! Variances, log-variances, and how much noise an update adds.

use crate::Error;

/// A variance. Not a standard deviation, and not its logarithm.
///
/// ```
/// use gaussian_diffusion::Variance;
/// let variance = Variance::new(0.25)?;
/// assert_eq!(variance.std(), 0.5);
/// assert_eq!(variance.ln().get(), 0.25_f64.ln());
/// assert!(Variance::new(-0.25).is_err());
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "f64", into = "f64"))]
pub struct Variance(f64);

#[cfg(feature = "serde")]
crate::serialized::finite!(Variance, Variance::new);

impl Variance {
    /// The variance of this value.
    ///
    /// # Errors
    ///
    /// If `value` is negative, NaN or infinite.
    pub fn new(value: f64) -> Result<Self, Error> {
        if !(value >= 0.0 && value.is_finite()) {
            return Err(Error::range("variance", value, "a finite number from 0 on"));
        }
        Ok(Self(value))
    }

    /// The square of a standard deviation that is known to be valid.
    pub(crate) const fn of_std(std: f64) -> Self {
        Self(std * std)
    }

    /// The variance as a number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Its square root, the standard deviation.
    pub fn std(self) -> f64 {
        self.0.sqrt()
    }

    /// Its natural logarithm; negative infinity for a variance of 0.
    pub fn ln(self) -> LogVariance {
        LogVariance(self.0.ln())
    }
}

/// The natural logarithm of a variance.
///
/// ```
/// use gaussian_diffusion::LogVariance;
/// let log = LogVariance::new(-2.0)?;
/// assert_eq!(log.std(), (-1.0_f64).exp());
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        try_from = "crate::serialized::Number",
        into = "crate::serialized::Number"
    )
)]
pub struct LogVariance(f64);

#[cfg(feature = "serde")]
crate::serialized::infinite!(LogVariance);

impl LogVariance {
    /// The logarithm of this value.
    ///
    /// # Errors
    ///
    /// If `value` is NaN or above 709, beyond which the variance would be infinite.
    pub fn new(value: f64) -> Result<Self, Error> {
        if !(value <= 709.0) {
            return Err(Error::range("log-variance", value, "a number up to 709"));
        }
        Ok(Self(value))
    }

    /// The logarithm as a number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The standard deviation `exp(self / 2)`.
    pub fn std(self) -> f64 {
        (0.5 * self.0).exp()
    }

    /// The variance `exp(self)`.
    pub fn exp(self) -> Variance {
        Variance(self.0.exp())
    }
}

/// How much noise one update adds.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum UpdateNoise {
    /// The same standard deviation for every element; 0 draws nothing.
    Std(f64),
    /// The network gives the log-variance of every element.
    Learned,
    /// The network gives `v` in [-1, 1] for every element, and the log-variance is
    /// `min + (max - min) * (v + 1) / 2`.
    LearnedRange {
        /// Log-variance at `v = -1`.
        min: LogVariance,
        /// Log-variance at `v = 1`.
        max: LogVariance,
    },
}

impl UpdateNoise {
    /// No noise.
    pub const NONE: Self = Self::Std(0.0);

    /// The log-variance as `offset + scale * v` of what the network says.
    pub(crate) fn log_variance_map(self) -> (f64, f64) {
        match self {
            Self::Std(std) => (2.0 * std.ln(), 0.0),
            Self::Learned => (0.0, 1.0),
            Self::LearnedRange { min, max } => {
                let (min, max) = (min.get(), max.get());
                (0.5 * (min + max), 0.5 * (max - min))
            }
        }
    }

    /// Whether the update draws noise.
    pub fn draws(self) -> bool {
        self != Self::NONE
    }
}
