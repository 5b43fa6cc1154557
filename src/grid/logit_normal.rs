//! Quantiles of the logit-normal distribution.

use super::SigmaCurve;
use crate::{Error, LogSnr, error::Number, quantile, time::check_steps};

/// `ln(sigma / alpha) = mean - std Q(i / n)`, `Q` the quantile of the standard normal distribution,
/// kept between two log-SNRs.
///
/// On a rectified flow `sigma` is then the quantile of a logit-normal distribution:
///
/// $$\sigma_i=\mathrm{sigmoid}\big(\mu-s\thinspace\Phi^{-1}(i/n)\big),\qquad
///   \log\mathrm{SNR}_i=-2\big(\mu-s\thinspace\Phi^{-1}(i/n)\big)$$
///
/// The first node, of infinite quantile, lies at the lower log-SNR.
///
/// [Source](crate::docs::papers#arxiv-2403.03206): Scaling Rectified Flow Transformers for High-Resolution Image Synthesis,
/// Esser et al., 2024, where it is the distribution of training times.
///
/// ```
/// use gaussian_diffusion::{Grid, LogSnr, grid::LogitNormalCurve, schedule::RectifiedFlow};
/// let curve = LogitNormalCurve::new(0.0, 1.75, LogSnr::new(-15.0)?, LogSnr::new(18.0)?)?;
/// let grid = Grid::along(&RectifiedFlow, 4, &curve)?;
/// assert!((grid.nodes()[2].level.sigma() - 0.5).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogitNormalCurve {
    mean: f64,
    std: f64,
    low: f64,
    high: f64,
}

impl LogitNormalCurve {
    /// Quantiles of a logit-normal distribution of this mean and standard deviation, within these log-SNR.
    ///
    /// # Errors
    ///
    /// If the mean is not in -100 to 100, `std` not in 1e-3 to 100, or the log-SNRs do not rise
    /// within -600 to 600.
    pub fn new(mean: f64, std: f64, low: LogSnr, high: LogSnr) -> Result<Self, Error> {
        let (low, high) = (low.get(), high.get());
        if !(-100.0..=100.0).contains(&mean) {
            return Err(Error::range("mean", mean, "-100 to 100"));
        }
        if !(1e-3..=100.0).contains(&std) {
            return Err(Error::range("std", std, "1e-3 to 100"));
        }
        if !(-600.0..=600.0).contains(&low) {
            return Err(Error::range("lowest log-SNR", low, "-600 to 600"));
        }
        if !(high > low && high <= 600.0) {
            let allowed = format!("above {} and up to 600", Number(low));
            return Err(Error::range("highest log-SNR", high, allowed));
        }
        Ok(Self {
            mean,
            std,
            low,
            high,
        })
    }

    /// The curve of Ideogram 4 for a sequence of this length: mean `ln(length / 1024) / 2`, std 1.75,
    /// log-SNR from -15 to 18.
    ///
    /// # Errors
    ///
    /// If the length is 0.
    pub fn for_length(length: usize) -> Result<Self, Error> {
        if length == 0 {
            return Err(Error::range("sequence length", 0.0, "1 or more"));
        }
        let mean = 0.5 * (length as f64 / 1024.0).ln();
        Self::new(mean, 1.75, LogSnr::new(-15.0)?, LogSnr::new(18.0)?)
    }
}

impl SigmaCurve for LogitNormalCurve {
    fn sigmas(&self, n: usize) -> Result<Vec<f64>, Error> {
        check_steps(n)?;
        let sigma = |i: usize| {
            let quantile = quantile::normal(i as f64 / n as f64);
            let snr = -2.0 * (self.mean - self.std * quantile);
            (-0.5 * snr.clamp(self.low, self.high)).exp()
        };
        Ok((0..n).map(sigma).collect())
    }
}
