//! Shifted times of a flow, as a curve.

use super::SigmaCurve;
use crate::{Error, time::check_steps};

/// `sigma_i = k u / (1 + (k - 1) u)` with `u = 1 - i / n`: the even times of a flow, shifted by a factor
/// `k`, and stretched to a last value where one is asked for.
///
/// $$\sigma_i=\frac{k\thinspace u_i}{1+(k-1)\thinspace u_i},\qquad u_i=1-\tfrac in$$
///
/// The same as [`Grid::shifted`](crate::Grid::shifted) and [`Grid::stretched`](crate::Grid::stretched) of
/// even times, as sigmas: those of FLUX with `k = exp(mu)`, of LTX-Video with the last value 0.1.
///
/// [Source](crate::docs::papers#arxiv-2403.03206): Scaling Rectified Flow Transformers for High-Resolution Image Synthesis,
/// Esser et al., 2024.
///
/// ```
/// use gaussian_diffusion::{Grid, grid::FlowCurve, schedule::RectifiedFlow};
/// let grid = Grid::along_time(&RectifiedFlow, 4, &FlowCurve::new(3.0)?.with_last(0.1)?)?;
/// let sigmas: Vec<_> = grid.nodes().iter().map(|node| node.level.sigma()).collect();
/// // 1, 0.9, 0.75 and 0.5, with 1 - sigma times 9/5.
/// assert!(sigmas[0] == 1.0 && (sigmas[1] - 0.82).abs() < 1e-15 && (sigmas[3] - 0.1).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("flux_time_shift", "get_schedule", "LTXVScheduler"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlowCurve {
    factor: f64,
    last: Option<f64>,
}

impl FlowCurve {
    /// The shift by this factor.
    ///
    /// # Errors
    ///
    /// If the factor is not in 1e-6 to 1e6.
    pub fn new(factor: f64) -> Result<Self, Error> {
        if !(1e-6..=1e6).contains(&factor) {
            return Err(Error::range("shift factor", factor, "1e-6 to 1e6"));
        }
        Ok(Self { factor, last: None })
    }

    /// Stretches the way from 1 so that the last sigma is this one: `1 - sigma` is multiplied. A single
    /// sigma stays 1.
    ///
    /// # Errors
    ///
    /// If it is not above 0 and below 1.
    #[doc(alias("shift_terminal", "terminal"))]
    pub fn with_last(mut self, sigma: f64) -> Result<Self, Error> {
        if !(sigma > 0.0 && sigma < 1.0) {
            return Err(Error::range("last sigma", sigma, "above 0 and below 1"));
        }
        self.last = Some(sigma);
        Ok(self)
    }
}

impl SigmaCurve for FlowCurve {
    fn sigmas(&self, n: usize) -> Result<Vec<f64>, Error> {
        check_steps(n)?;
        // What is gone of the way, `1 - sigma`.
        let gone = |i: usize| i as f64 / (i as f64 + self.factor * (n - i) as f64);
        let stretch = match self.last {
            Some(last) if n > 1 => (1.0 - last) / gone(n - 1),
            _ => 1.0,
        };
        Ok((0..n).map(|i| 1.0 - stretch * gone(i)).collect())
    }
}
