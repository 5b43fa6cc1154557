//! Grids given as a curve of sigmas.

use std::fmt::Debug;

use super::Grid;
use crate::{
    Error, LogSnr, Sigma, Time, error::Number, schedule::NoiseSchedule, time::check_steps,
};

/// A falling list of sigmas for any number of nodes: the way k-diffusion and its heirs give grids.
///
/// [`Grid::along`] reads the numbers as noise-to-signal ratios `sigma / alpha`, which makes a curve
/// fit every schedule; [`Grid::along_time`] reads them as times of a flow.
///
/// ```
/// use gaussian_diffusion::{Error, Grid, Sigma, grid::SigmaCurve, schedule::Edm};
///
/// /// Each sigma half of the one before.
/// struct Halving(f64);
///
/// impl SigmaCurve for Halving {
///     fn sigmas(&self, n: usize) -> Result<Vec<f64>, Error> {
///         Ok((0..n).map(|i| self.0 * 0.5_f64.powi(i as i32)).collect())
///     }
/// }
///
/// let grid = Grid::along(&Edm::default(), 3, &Halving(8.0))?;
/// let sigmas: Vec<_> = grid.levels().map(|level| level.sigma()).collect();
/// assert!((sigmas[2] - 2.0).abs() < 1e-15 && sigmas[3] == 0.0);
/// # Ok::<(), Error>(())
/// ```
#[doc(alias("sigmas", "k-diffusion", "get_sigmas"))]
pub trait SigmaCurve {
    /// `n` sigmas, strictly falling, all above 0.
    ///
    /// # Errors
    ///
    /// If the curve has no such list, or `n` is 0 or more than any grid has.
    fn sigmas(&self, n: usize) -> Result<Vec<f64>, Error>;
}

impl<T: Copy + Debug> Grid<T> {
    /// `n` nodes where `sigma / alpha` runs along the curve, and a step to the data.
    ///
    /// A run of `n` steps that stops at the last sigma of a curve is
    /// `along(schedule, n + 1, curve)?.without_final_step()`; one that skips the last sigma is
    /// `along(schedule, n + 1, curve)?.without_penultimate()`.
    ///
    /// # Errors
    ///
    /// If `n` is 0, the curve has no `n` sigmas, or the schedule does not reach one of them.
    pub fn along<S, C>(schedule: &S, n: usize, curve: &C) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
        C: SigmaCurve + ?Sized,
    {
        check_steps(n)?;
        Self::at_noise_to_signal(schedule, &curve.sigmas(n)?)
    }

    /// The levels of these ratios `sigma / alpha`, in this order, and then the data.
    ///
    /// They are the sigmas of k-diffusion, EDM and the classes of diffusers that count in sigma. The sigma
    /// of a flow is its time, `r / (1 + r)` for the ratio `r`: a list of these is [`at`](Self::at) of times.
    ///
    /// # Errors
    ///
    /// As [`at`](Self::at).
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, schedule::Discrete};
    /// let schedule = Discrete::stable_diffusion()?;
    /// let grid = Grid::at_noise_to_signal(&schedule, &[14.6, 2.0, 0.5])?;
    /// assert!((grid.nodes()[1].level.noise_to_signal() - 2.0).abs() < 1e-14);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("at_sigmas", "sigmas"))]
    pub fn at_noise_to_signal<S>(schedule: &S, sigmas: &[f64]) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        let snr = |&sigma: &f64| Ok(LogSnr::from_sigma(Sigma::new(sigma)?));
        let snrs: Result<Vec<_>, Error> = sigmas.iter().map(snr).collect();
        Self::at_log_snrs(schedule, &snrs?)
    }
}

impl Grid<Time> {
    /// `n` nodes whose times run along the curve, and a step to the data.
    ///
    /// On a rectified flow time is `sigma`, and this is what peers do with a curve of sigmas there.
    ///
    /// # Errors
    ///
    /// If `n` is 0, the curve has no `n` values, or one is outside the schedule.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, Sigma, grid::Karras, schedule::RectifiedFlow};
    /// let curve = Karras::new(Sigma::new(1.0)?, Sigma::new(0.001)?, 7.0)?;
    /// let grid = Grid::along_time(&RectifiedFlow, 10, &curve)?;
    /// assert!(grid.nodes()[0].level.is_noise());
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn along_time<S, C>(schedule: &S, n: usize, curve: &C) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = Time> + ?Sized,
        C: SigmaCurve + ?Sized,
    {
        check_steps(n)?;
        let times: Result<Vec<_>, _> = curve.sigmas(n)?.into_iter().map(Time::new).collect();
        Self::at(schedule, &times?)
    }
}

/// The ends of a curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ends {
    pub max: f64,
    pub min: f64,
}

impl Ends {
    pub fn new(max: Sigma, min: Sigma) -> Result<Self, Error> {
        let (max, min) = (max.get(), min.get());
        if !(min > 0.0) {
            return Err(Error::range("min sigma", min, "above 0"));
        }
        if !(max > min) {
            let allowed = format!("above {}, the min sigma", Number(min));
            return Err(Error::range("max sigma", max, allowed));
        }
        Ok(Self { max, min })
    }

    /// `n` values, `curve(i / (n - 1))` between exact ends; the largest alone for `n = 1`.
    pub fn fill(self, n: usize, curve: impl Fn(f64) -> f64) -> Vec<f64> {
        let intervals = n.saturating_sub(1).max(1);
        let value = |i: usize| match i {
            0 => self.max,
            i if i == intervals => self.min,
            i => curve(i as f64 / intervals as f64),
        };
        (0..n).map(value).collect()
    }
}

/// The largest and the smallest `sigma / alpha` of a schedule.
pub(super) fn ends_of<S: NoiseSchedule + ?Sized>(schedule: &S) -> Result<(Sigma, Sigma), Error> {
    let (noisiest, cleanest) = schedule.ends();
    let max = Sigma::new(schedule.level(noisiest)?.noise_to_signal())?;
    Ok((
        max,
        Sigma::new(schedule.level(cleanest)?.noise_to_signal())?,
    ))
}
