//! Amounts of information, and the two things they can be the logarithm of.

use std::{
    f64::consts::LN_2,
    fmt,
    iter::Sum,
    ops::{Add, Div, Mul, Neg, Sub},
};

use crate::Error;

/// An amount of information in nats (natural logarithm), summed over the elements of an item.
///
/// ```
/// use gaussian_diffusion::likelihood::Nats;
/// assert_eq!(Nats::new(8.0 * std::f64::consts::LN_2)?.per_dim(4)?.get(), 2.0);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Nats(f64);

/// An amount of information in bits (logarithm to base 2) per element of an item.
///
/// ```
/// use gaussian_diffusion::likelihood::BitsPerDim;
/// assert_eq!(BitsPerDim::new(3.0)?.nats(2)?.get(), 6.0 * std::f64::consts::LN_2);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("bpd"))]
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct BitsPerDim(f64);

/// The logarithm of the probability of discrete data, such as the levels of a picture, in nats.
///
/// Only this has bits per dimension. A density of continuous data has not, since its size depends on
/// the unit of the data: see [`LogDensity::dequantized`].
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct LogProbability(Nats);

/// The logarithm of the density of continuous data, in nats relative to the unit of the data.
#[doc(alias("log_prob"))]
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct LogDensity(Nats);

fn not_nan(what: &'static str, value: f64) -> Result<f64, Error> {
    if value.is_nan() {
        return Err(Error::range(what, value, "any number, also infinite"));
    }
    Ok(value)
}

fn whole(dimensions: usize) -> Result<f64, Error> {
    if dimensions == 0 {
        return Err(Error::range("dimensions", 0.0, "1 or more"));
    }
    Ok(dimensions as f64)
}

impl Nats {
    pub(crate) const fn of(value: f64) -> Self {
        Self(value)
    }

    /// This many nats.
    ///
    /// # Errors
    ///
    /// If `value` is NaN.
    pub fn new(value: f64) -> Result<Self, Error> {
        not_nan("nats", value).map(Self)
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Divided by `dimensions * ln 2`.
    ///
    /// # Errors
    ///
    /// If there are 0 dimensions.
    pub fn per_dim(self, dimensions: usize) -> Result<BitsPerDim, Error> {
        Ok(BitsPerDim(self.0 / (whole(dimensions)? * LN_2)))
    }
}

impl BitsPerDim {
    pub(crate) const fn of(value: f64) -> Self {
        Self(value)
    }

    /// This many bits per dimension.
    ///
    /// # Errors
    ///
    /// If `value` is NaN.
    pub fn new(value: f64) -> Result<Self, Error> {
        not_nan("bits per dimension", value).map(Self)
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Times `dimensions * ln 2`.
    ///
    /// # Errors
    ///
    /// If there are 0 dimensions.
    pub fn nats(self, dimensions: usize) -> Result<Nats, Error> {
        Ok(Nats(self.0 * (whole(dimensions)? * LN_2)))
    }
}

impl fmt::Display for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)?;
        f.write_str(" nats")
    }
}

impl fmt::Display for BitsPerDim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)?;
        f.write_str(" bits/dim")
    }
}

impl Add for Nats {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Nats {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Neg for Nats {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Mul<f64> for Nats {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self(self.0 * factor)
    }
}

impl Div<f64> for Nats {
    type Output = Self;
    fn div(self, divisor: f64) -> Self {
        Self(self.0 / divisor)
    }
}

impl Sum for Nats {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        Self(items.map(Self::get).sum())
    }
}

impl LogProbability {
    /// The log-probability of so many nats.
    ///
    /// # Errors
    ///
    /// If `nats` is above 0 or NaN.
    pub fn new(nats: f64) -> Result<Self, Error> {
        if !(nats <= 0.0) {
            return Err(Error::range("log-probability", nats, "up to 0"));
        }
        Ok(Self(Nats(nats)))
    }

    /// The log-probability in nats, at most 0.
    pub const fn nats(self) -> Nats {
        self.0
    }

    /// The negative logarithm in bits per dimension: what papers report.
    ///
    /// # Errors
    ///
    /// If there are 0 dimensions.
    pub fn bits_per_dim(self, dimensions: usize) -> Result<BitsPerDim, Error> {
        (-self.0).per_dim(dimensions)
    }
}

impl LogDensity {
    /// The log-density of so many nats.
    ///
    /// # Errors
    ///
    /// If `nats` is NaN.
    pub fn new(nats: f64) -> Result<Self, Error> {
        not_nan("log-density", nats).map(|nats| Self(Nats(nats)))
    }

    /// The logarithm, of any sign.
    pub const fn nats(self) -> Nats {
        self.0
    }

    /// The log-density of `factor * x`, where this is that of `x`: less by `dimensions * ln factor`.
    ///
    /// # Errors
    ///
    /// If the factor is not a positive finite number.
    pub fn scaled(self, factor: f64, dimensions: usize) -> Result<Self, Error> {
        Ok(Self(self.0 - volume("factor", factor, dimensions)?))
    }

    /// What it says of discrete data that was spread over bins of this width by uniform noise:
    /// `ln p(x + u) + dimensions * ln width`.
    ///
    /// Averaged over the noise this is at most the log-probability of the bin (Jensen), hence a bound
    /// of the same side as the variational one. For 256 levels on -1 to 1 the width is 2/256, and the
    /// constant is the "7 bits" of some programs.
    ///
    /// [Source](crate::docs::papers#arxiv-1511.01844): A Note on the Evaluation of Generative Models, Theis, van den Oord,
    /// Bethge, 2016.
    ///
    /// # Errors
    ///
    /// If the width is not a positive finite number.
    ///
    /// ```
    /// use gaussian_diffusion::likelihood::LogDensity;
    /// let density = LogDensity::new(0.0)?;
    /// let bits = density.dequantized(2.0 / 256.0, 10)?.bits_per_dim(10)?;
    /// assert!((bits.get() - 7.0).abs() < 1e-14);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("dequantisation"))]
    pub fn dequantized(self, width: f64, dimensions: usize) -> Result<LogProbability, Error> {
        Ok(LogProbability(
            self.0 + volume("bin width", width, dimensions)?,
        ))
    }
}

fn volume(what: &'static str, side: f64, dimensions: usize) -> Result<Nats, Error> {
    if !(side > 0.0 && side.is_finite()) {
        return Err(Error::range(what, side, "a finite number above 0"));
    }
    Ok(Nats(dimensions as f64 * side.ln()))
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Nats {}
    impl Sealed for super::LogProbability {}
    impl Sealed for super::LogDensity {}
}

/// What is counted in nats: [`Nats`] themselves, [`LogProbability`] or [`LogDensity`].
pub trait InNats: Copy + fmt::Debug + sealed::Sealed {
    /// The amount.
    fn nats(self) -> Nats;

    #[doc(hidden)]
    fn of_nats(nats: Nats) -> Self;
}

macro_rules! in_nats {
    ($($unit:ident: $inner:expr, $make:expr;)*) => {$(
        impl InNats for $unit {
            fn nats(self) -> Nats {
                $inner(self)
            }

            fn of_nats(nats: Nats) -> Self {
                $make(nats)
            }
        }
    )*};
}

in_nats! {
    Nats: |it| it, |nats| nats;
    LogProbability: |it: LogProbability| it.0, LogProbability;
    LogDensity: |it: LogDensity| it.0, LogDensity;
}
