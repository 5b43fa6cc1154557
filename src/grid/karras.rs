//! The grid of EDM.

use std::fmt::Debug;

use super::Grid;
use crate::{Error, LogSnr, Sigma, schedule::NoiseSchedule, time::check_steps};

/// The ends and the exponent of a [`Grid::karras_with`], in units of `sigma / alpha`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Karras {
    max: f64,
    min: f64,
    rho: f64,
}

impl Karras {
    /// # Errors
    ///
    /// If `min` is not positive, `max` is not above it, or `rho` is not in 1e-3 to 1e3.
    pub fn new(max: Sigma, min: Sigma, rho: f64) -> Result<Self, Error> {
        let (max, min) = (max.get(), min.get());
        if !(min > 0.0) {
            return Err(Error::range("min sigma", min, "above 0"));
        }
        if !(max > min) {
            return Err(Error::range(
                "max sigma",
                max,
                format!("above {min}, the min sigma"),
            ));
        }
        if !(1e-3..=1e3).contains(&rho) {
            return Err(Error::range("rho", rho, "1e-3 to 1e3"));
        }
        Ok(Self { max, min, rho })
    }
}

impl<T: Copy + Debug> Grid<T> {
    /// `n` nodes between the ends of the schedule, even in `(sigma / alpha)^(1/7)`, and a step to
    /// the data.
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
    pub fn karras<S>(schedule: &S, n: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        let (noisiest, cleanest) = schedule.ends();
        let max = Sigma::new(schedule.level(noisiest)?.noise_to_signal())?;
        let min = Sigma::new(schedule.level(cleanest)?.noise_to_signal())?;
        Self::karras_with(schedule, n, Karras::new(max, min, 7.0)?)
    }

    /// `n` nodes at `(max^(1/rho) + i / (n - 1) (min^(1/rho) - max^(1/rho)))^rho`, and a step to the
    /// data; the largest alone for `n = 1`.
    ///
    /// $$\frac{\sigma_i}{\alpha_i}=\Big(\rho_{\max}^{1/\rho}
    ///   +\tfrac{i}{n-1}\big(\rho_{\min}^{1/\rho}-\rho_{\max}^{1/\rho}\big)\Big)^{\rho}$$
    ///
    /// # Errors
    ///
    /// If `n` is 0, or the schedule does not reach an end.
    ///
    /// Source: Elucidating the Design Space of Diffusion-Based Generative Models, Karras, Aittala,
    /// Aila, Laine, 2022, equation 5.
    pub fn karras_with<S>(schedule: &S, n: usize, shape: Karras) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        check_steps(n)?;
        let intervals = (n - 1).max(1);
        // In units of the largest, so that no power overflows.
        let last = (shape.min / shape.max).powf(1.0 / shape.rho);
        let nodes = (0..n).map(|i| {
            let ratio = match i {
                0 => shape.max,
                i if i == intervals => shape.min,
                i => {
                    let fraction = i as f64 / intervals as f64;
                    shape.max * (1.0 - fraction + last * fraction).powf(shape.rho)
                }
            };
            Ok(LogSnr::from_sigma(Sigma::new(ratio)?))
        });
        Self::at_log_snrs(schedule, &nodes.collect::<Result<Vec<_>, _>>()?)
    }
}
