//! Products of powers of the two scales, whose limits are taken after they are multiplied.

use crate::{Error, NoiseLevel};

/// `factor * alpha^p * sigma^q` at one level, `factor` finite and not 0 unless the whole is.
///
/// A weight and the Jacobian it is carried by are often 0 and infinite at an end of the noise range
/// while their product is not. Their exponents are added before anything is evaluated there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Monomial {
    factor: f64,
    alpha: f64,
    sigma: f64,
}

impl Monomial {
    pub(crate) const fn new(factor: f64, alpha: f64, sigma: f64) -> Self {
        Self {
            factor,
            alpha,
            sigma,
        }
    }

    /// `factor * SNR^power`.
    pub(crate) const fn snr(factor: f64, power: f64) -> Self {
        Self::new(factor, 2.0 * power, -2.0 * power)
    }

    pub(crate) fn times(self, other: Self) -> Self {
        Self {
            factor: self.factor * other.factor,
            alpha: self.alpha + other.alpha,
            sigma: self.sigma + other.sigma,
        }
    }

    pub(crate) fn squared(self) -> Self {
        self.times(self)
    }

    pub(crate) fn inverse(self) -> Self {
        Self {
            factor: 1.0 / self.factor,
            alpha: -self.alpha,
            sigma: -self.sigma,
        }
    }

    /// Its value, or its limit at an end.
    ///
    /// # Errors
    ///
    /// If that is infinite.
    pub(crate) fn value(self, level: NoiseLevel, what: &'static str) -> Result<f64, Error> {
        let value = if self.factor == 0.0 {
            0.0
        } else if level.is_clean() || level.is_noise() {
            power(level.alpha(), self.alpha) * power(level.sigma(), self.sigma) * self.factor
        } else {
            // By the ratio first: alpha^p and sigma^q alone may leave the range of an f64.
            let ratio = level.alpha() / level.sigma();
            self.factor * power(ratio, self.alpha) * power(level.sigma(), self.alpha + self.sigma)
        };
        if value.is_finite() {
            return Ok(value);
        }
        Err(Error::Singular {
            what,
            alpha: level.alpha(),
            sigma: level.sigma(),
        })
    }
}

/// `base^exponent`, by products where the exponent is whole.
fn power(base: f64, exponent: f64) -> f64 {
    if exponent.fract() == 0.0 && exponent.abs() <= 16.0 {
        base.powi(exponent as i32)
    } else {
        base.powf(exponent)
    }
}
