//! The grid of EDM.

use std::fmt::Debug;

use super::{
    Grid, SigmaCurve,
    curve::{Ends, ends_of},
};
use crate::{Error, Sigma, schedule::NoiseSchedule, time::check_steps};

/// The curve of [`Grid::karras_with`]: its ends, in units of `sigma / alpha`, and its exponent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Karras {
    ends: Ends,
    exponent: f64,
}

impl Karras {
    /// Between these sigmas, with this exponent; 7 is the value of the paper.
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

impl SigmaCurve for Karras {
    fn sigmas(&self, n: usize) -> Result<Vec<f64>, Error> {
        check_steps(n)?;
        let Ends { max, min } = self.ends;
        // In units of the largest, so that no power overflows.
        let last = (min / max).powf(1.0 / self.exponent);
        let sigma = |f: f64| max * (1.0 - f + last * f).powf(self.exponent);
        Ok(self.ends.fill(n, sigma))
    }
}

impl<T: Copy + Debug> Grid<T> {
    /// `n` nodes between the ends of the schedule, even in `(sigma / alpha)^(1/7)`, and a step to
    /// the data.
    ///
    /// On training steps the network is given fractional ones: [`with_rounded_times`](Grid::with_rounded_times)
    /// is for one that was trained on whole steps alone.
    ///
    /// # Errors
    ///
    /// If `n` is 0, or an end of the schedule is clean or without signal:
    /// [`karras_with`](Self::karras_with) takes ends of your own.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, schedule::Edm};
    /// let grid = Grid::karras(&Edm::default(), 5)?;
    /// let sigmas: Vec<_> = grid.levels().map(|level| level.sigma()).collect();
    /// assert!((sigmas[2] - 2.515218976147159).abs() < 1e-13);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("use_karras_sigmas", "get_sigmas_karras"))]
    pub fn karras<S>(schedule: &S, n: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        let (max, min) = ends_of(schedule)?;
        Self::karras_with(schedule, n, Karras::new(max, min, 7.0)?)
    }

    /// `n` nodes at `(max^(1/p) + i / (n - 1) (min^(1/p) - max^(1/p)))^p`, and a step to the
    /// data; the largest alone for `n = 1`.
    ///
    /// $$\frac{\sigma_i}{\alpha_i}=\Big(\rho_{\max}^{1/p}
    ///   +\tfrac{i}{n-1}\big(\rho_{\min}^{1/p}-\rho_{\max}^{1/p}\big)\Big)^{p}$$
    ///
    /// # Errors
    ///
    /// If `n` is 0, or the schedule does not reach an end.
    ///
    /// [Source](crate::docs::papers#arxiv-2206.00364): Elucidating the Design Space of Diffusion-Based Generative Models,
    /// Karras, Aittala, Aila, Laine, 2022, equation 5.
    pub fn karras_with<S>(schedule: &S, n: usize, shape: Karras) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        Self::along(schedule, n, &shape)
    }
}
