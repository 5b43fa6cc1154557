//! Sigmas even in their logarithm, or in a power of it.

use std::fmt::Debug;

use super::{
    Grid, SigmaCurve,
    curve::{Ends, ends_of},
};
use crate::{Error, Sigma, schedule::NoiseSchedule, time::check_steps};

/// `sigma_i = exp(ln min + u^p ln(max / min))` with `u` falling evenly from 1 to 0.
///
/// $$\sigma_i=\sigma_{\min}\Big(\frac{\sigma_{\max}}{\sigma_{\min}}\Big)^{u_i^{p}},\qquad
///   u_i=1-\frac{i}{n-1}$$
///
/// With `p = 1` this is the exponential curve, even in log-SNR. The largest alone for `n = 1`.
///
/// [Source](crate::docs::papers#k-diffusion): k-diffusion, Crowson, 2022.
///
/// ```
/// use gaussian_diffusion::{Sigma, grid::{PolyExponential, SigmaCurve}};
/// let curve = PolyExponential::new(Sigma::new(100.0)?, Sigma::new(0.01)?, 1.0)?;
/// assert!((curve.sigmas(3)?[1] - 1.0).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PolyExponential {
    ends: Ends,
    exponent: f64,
}

impl PolyExponential {
    /// Between these sigmas, with this exponent; 1 is even in `ln sigma`.
    ///
    /// # Errors
    ///
    /// If `min` is not positive, `max` is not above it, or `exponent` is not in 1e-3 to 1e3.
    pub fn new(max: Sigma, min: Sigma, exponent: f64) -> Result<Self, Error> {
        let ends = Ends::new(max, min)?;
        if !(1e-3..=1e3).contains(&exponent) {
            return Err(Error::range("exponent", exponent, "1e-3 to 1e3"));
        }
        Ok(Self { ends, exponent })
    }
}

impl SigmaCurve for PolyExponential {
    fn sigmas(&self, n: usize) -> Result<Vec<f64>, Error> {
        check_steps(n)?;
        let (from, to) = (self.ends.max.ln(), self.ends.min.ln());
        Ok(self.ends.fill(n, |f| {
            ((1.0 - f).powf(self.exponent) * (from - to) + to).exp()
        }))
    }
}

impl<T: Copy + Debug> Grid<T> {
    /// `n` nodes between the ends of the schedule, even in `ln(sigma / alpha)`, and a step to the
    /// data: [`uniform_log_snr`](Self::uniform_log_snr) by its other name.
    ///
    /// # Errors
    ///
    /// If `n` is 0, or an end of the schedule is clean or without signal: [`along`](Self::along)
    /// takes a [`PolyExponential`] with ends of your own.
    #[doc(alias("use_exponential_sigmas", "get_sigmas_exponential"))]
    pub fn exponential<S>(schedule: &S, n: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        Self::polyexponential(schedule, n, 1.0)
    }

    /// `n` nodes between the ends of the schedule along a [`PolyExponential`], and a step to the
    /// data.
    ///
    /// # Errors
    ///
    /// As [`exponential`](Self::exponential), or if `exponent` is not in 1e-3 to 1e3.
    #[doc(alias("get_sigmas_polyexponential"))]
    pub fn polyexponential<S>(schedule: &S, n: usize, exponent: f64) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        let (max, min) = ends_of(schedule)?;
        Self::along(schedule, n, &PolyExponential::new(max, min, exponent)?)
    }
}
