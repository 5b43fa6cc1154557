//! Times crowded around the middle, with heavier tails than the logit-normal.

use std::f64::consts::{FRAC_PI_2, PI};

use super::{TimeSampler, check_share};
use crate::{Error, Time};

/// `t = u - scale (sin^2(pi u / 2) - u)` with `u` uniform.
///
/// A positive scale prefers the middle, a negative one the ends; 0 is uniform. The density at the
/// ends is not 0.
///
/// $$t(u)=u-s\big(\sin^2(\tfrac{\pi u}{2})-u\big),\qquad
///   p(t)=\frac{1}{1+s-\tfrac{\pi s}2\sin\pi u}$$
///
/// [Source](crate::docs::papers#arxiv-2403.03206): Scaling Rectified Flow Transformers for High-Resolution Image Synthesis,
/// Esser et al., 2024 (scale 1.29; its `u` runs the other way).
///
/// ```
/// use gaussian_diffusion::{Time, training::times::{Mode, TimeSampler}};
/// let sampler = Mode::new(1.29)?;
/// let (middle, end) = (Time::new(0.5)?, Time::new(1.0)?);
/// assert!(sampler.density(middle) > 3.0 && sampler.density(end) < 0.5);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mode {
    scale: f64,
}

impl Mode {
    /// Of this scale: above 0 times in the middle are likelier.
    ///
    /// # Errors
    ///
    /// If the scale is not above -1 and below 1.75, where the density would be infinite.
    pub fn new(scale: f64) -> Result<Self, Error> {
        if !(scale > -1.0 && scale < 1.75) {
            return Err(Error::range("scale", scale, "above -1 and below 1.75"));
        }
        Ok(Self { scale })
    }

    fn at(&self, u: f64) -> f64 {
        u - self.scale * ((FRAC_PI_2 * u).sin().powi(2) - u)
    }

    /// The share below a time in (0, 1), by bisection down to neighbouring numbers.
    fn share(&self, t: f64) -> f64 {
        let (mut low, mut high) = (0.0, 1.0);
        loop {
            let middle = 0.5 * (low + high);
            if middle <= low || middle >= high {
                return middle;
            }
            if self.at(middle) < t {
                low = middle;
            } else {
                high = middle;
            }
        }
    }
}

impl TimeSampler for Mode {
    type Time = Time;

    fn quantile(&self, u: f64) -> Result<Time, Error> {
        Time::new(self.at(check_share(u)?))
    }

    fn cdf(&self, t: Time) -> f64 {
        match t.get() {
            t if t <= 0.0 => 0.0,
            t if t >= 1.0 => 1.0,
            t => self.share(t),
        }
    }

    fn density(&self, t: Time) -> f64 {
        if !(0.0..=1.0).contains(&t.get()) {
            return 0.0;
        }
        1.0 / (1.0 + self.scale - self.scale * FRAC_PI_2 * (PI * self.cdf(t)).sin())
    }
}
