//! The forward transition between two levels.

use crate::{Error, Markov, NoiseLevel};

/// `x_t = scale * x_s + std * z`: the forward transition between two levels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transition {
    /// `alpha_t / alpha_s`.
    pub scale: f64,
    /// The root of the beta of the pair.
    pub std: f64,
}

impl Transition {
    /// From the cleaner level `from` to the noisier level `to`.
    ///
    /// `scale = alpha_t / alpha_s`, `std^2 = sigma_t^2 - scale^2 sigma_s^2`.
    ///
    /// # Errors
    ///
    /// If `to` is not noisier than `from`.
    pub fn between(from: NoiseLevel, to: NoiseLevel) -> Result<Self, Error> {
        let std = Markov.forward_std(to, from)?;
        Ok(Self {
            scale: to.alpha() / from.alpha(),
            std,
        })
    }
}
