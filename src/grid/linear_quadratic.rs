//! A line of small steps, then a parabola.

use super::SigmaCurve;
use crate::{Error, Sigma, time::check_steps};

/// `sigma = max (1 - x)`: `x` rises in a line to a threshold over the first half of the steps, and
/// from there along a parabola to 1.
///
/// With `m = n div 2` straight steps, `c = 0.025` the threshold, `r = n - m` and `d = m - c n`:
///
/// $$x_i=\begin{cases}c\thinspace i/m&i<m\cr
///   \dfrac{d}{m r^2}(i^2+m^2)+\Big(\dfrac cm-\dfrac{2d}{r^2}\Big)i&i\ge m\end{cases}$$
///
/// The two pieces meet with one slope. For `n = 1` the largest alone. For a flow, where time is
/// sigma, take `max` 1 and [`Grid::along_time`](crate::Grid::along_time).
///
/// [Source](crate::docs::papers#mochi-1): Mochi 1, Genmo, 2024, after Movie Gen, Polyak et al., 2024.
///
/// ```
/// use gaussian_diffusion::{Grid, Sigma, grid::LinearQuadratic, schedule::RectifiedFlow};
/// let curve = LinearQuadratic::new(Sigma::new(1.0)?, 0.025)?;
/// let grid = Grid::along_time(&RectifiedFlow, 4, &curve)?;
/// let sigmas: Vec<_> = grid.levels().map(|level| level.sigma()).collect();
/// assert_eq!(&sigmas[..2], &[1.0, 0.9875]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("mochi"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearQuadratic {
    max: f64,
    threshold: f64,
}

impl LinearQuadratic {
    /// From the sigma `max` down, linear over the first half of the steps to `1 - threshold` of it.
    ///
    /// # Errors
    ///
    /// If `max` is not above 0, or the threshold is not above 0 and below 1/2 (from there on the
    /// parabola of three steps would overshoot).
    pub fn new(max: Sigma, threshold: f64) -> Result<Self, Error> {
        if !(max.get() > 0.0) {
            return Err(Error::range("max sigma", max.get(), "above 0"));
        }
        if !(threshold > 0.0 && threshold < 0.5) {
            return Err(Error::range(
                "threshold",
                threshold,
                "above 0 and below 0.5",
            ));
        }
        let max = max.get();
        Ok(Self { max, threshold })
    }
}

impl SigmaCurve for LinearQuadratic {
    fn sigmas(&self, n: usize) -> Result<Vec<f64>, Error> {
        check_steps(n)?;
        let straight = n / 2;
        let (m, r) = (straight as f64, (n - straight) as f64);
        // What is left of the way, `1 - x`, as a sum without cancellation: with j steps to go,
        // the line through the end has slope s, and the parabola bends away from it.
        let slope = self.threshold / m;
        let bend = (1.0 - self.threshold - slope * r) / (r * r);
        let left = |i: usize| {
            if i == 0 {
                return 1.0;
            }
            if i < straight {
                return 1.0 - slope * i as f64;
            }
            let to_go = (n - i) as f64;
            to_go * (slope + bend * (2.0 * r - to_go))
        };
        Ok((0..n).map(|i| self.max * left(i)).collect())
    }
}
