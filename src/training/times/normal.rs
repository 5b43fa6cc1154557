//! The normal distribution as samplers need it.

use std::f64::consts::{FRAC_1_SQRT_2, TAU};

use crate::{Error, quantile};

/// The mean and standard deviation of a normal variable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Normal {
    mean: f64,
    std: f64,
}

impl Normal {
    pub(super) const EDM: Self = Self {
        mean: -1.2,
        std: 1.2,
    };
    pub(super) const ICT: Self = Self {
        mean: -1.1,
        std: 2.0,
    };

    pub(super) fn new(mean: f64, std: f64) -> Result<Self, Error> {
        // No draw of an f64 lies beyond 8.3 deviations; exp(200) and its inverse are levels.
        if !(-100.0..=100.0).contains(&mean) {
            return Err(Error::range("mean", mean, "-100 to 100"));
        }
        if !((1e-6..=10.0).contains(&std)) {
            return Err(Error::range("std", std, "1e-6 to 10"));
        }
        Ok(Self { mean, std })
    }

    pub(super) fn quantile(self, u: f64) -> f64 {
        self.mean + self.std * quantile::normal(u)
    }

    pub(super) fn cdf(self, x: f64) -> f64 {
        0.5 * libm::erfc(-(x - self.mean) / self.std * FRAC_1_SQRT_2)
    }

    pub(super) fn density(self, x: f64) -> f64 {
        let z = (x - self.mean) / self.std;
        (-0.5 * z * z).exp() / (self.std * TAU.sqrt())
    }
}
