//! Sigmas even in their arc tangent.

use std::fmt::Debug;

use super::{
    Grid, SigmaCurve,
    curve::{Ends, ends_of},
};
use crate::{Error, Sigma, schedule::NoiseSchedule, time::check_steps};

/// `sigma_i = tan((1 - f) atan max + f atan min)` with `f = i / (n - 1)`.
///
/// $$\sigma_i=\tan\big((1-f_i)\arctan\sigma_{\max}+f_i\arctan\sigma_{\min}\big)$$
///
/// On levels that preserve variance, the angle is that between signal and noise. The largest alone
/// for `n = 1`.
///
/// [Source](crate::docs::papers#arxiv-2404.14507): Align Your Steps, Sabour, Fidler, Kreis, 2024, theorem 3.1.
///
/// ```
/// use gaussian_diffusion::{Sigma, grid::{KlOptimal, SigmaCurve}};
/// let curve = KlOptimal::new(Sigma::new(4.0)?, Sigma::new(0.25)?)?;
/// assert!((curve.sigmas(3)?[1] - 1.0).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KlOptimal {
    ends: Ends,
}

impl KlOptimal {
    /// Between these sigmas.
    ///
    /// # Errors
    ///
    /// If `min` is not positive or `max` is not above it.
    pub fn new(max: Sigma, min: Sigma) -> Result<Self, Error> {
        let ends = Ends::new(max, min)?;
        Ok(Self { ends })
    }
}

impl SigmaCurve for KlOptimal {
    fn sigmas(&self, n: usize) -> Result<Vec<f64>, Error> {
        check_steps(n)?;
        let (from, to) = (self.ends.max.atan(), self.ends.min.atan());
        Ok(self.ends.fill(n, |f| ((1.0 - f) * from + f * to).tan()))
    }
}

impl<T: Copy + Debug> Grid<T> {
    /// `n` nodes between the ends of the schedule along a [`KlOptimal`], and a step to the data.
    ///
    /// The WebUI stops at the smallest sigma instead: `kl_optimal(schedule, n +
    /// 1)?.without_final_step()`.
    ///
    /// # Errors
    ///
    /// If `n` is 0, or an end of the schedule is clean or without signal: [`along`](Self::along)
    /// takes a [`KlOptimal`] with ends of your own.
    pub fn kl_optimal<S>(schedule: &S, n: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        let (max, min) = ends_of(schedule)?;
        Self::along(schedule, n, &KlOptimal::new(max, min)?)
    }
}
