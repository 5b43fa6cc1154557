//! Two arcs of an arc tangent.

use super::SigmaCurve;
use crate::{Error, Sigma, error::Number, time::check_steps};

/// From `max` to the middle of `max` and `min` along one arc of an arc tangent, and from there to
/// `min` along another; `min` itself is left out and may be 0.
///
/// An arc of `k` points from `start` to `end` with pivot `p` and slope `s` is
///
/// $$\sigma_x=\mathrm{end}+(\mathrm{start}-\mathrm{end})
///   \frac{g(x)-g(k-1)}{g(0)-g(k-1)},\qquad g(x)=-\arctan\big(s\thinspace(x-p)\big)$$
///
/// For `n` steps there are `N = n + 2` points, of which the two arcs share one: the first arc has
/// `k = floor(0.6 N)`, both have their pivot at point `k` and slope `8 / N`. The largest
/// alone for `n = 1`.
///
/// RES4LYF goes from 1 to 0, in the time of a flow
/// ([`Grid::along_time`](crate::Grid::along_time)); stable-diffusion.cpp goes from the largest to
/// the smallest sigma ([`Grid::along`](crate::Grid::along)).
///
/// [Source](crate::docs::papers#res4lyf): RES4LYF, ClownsharkBatwing, 2025.
///
/// ```
/// use gaussian_diffusion::{Grid, Sigma, grid::BongTangent, schedule::RectifiedFlow};
/// let curve = BongTangent::new(Sigma::new(1.0)?, Sigma::new(0.0)?)?;
/// let grid = Grid::along_time(&RectifiedFlow, 8, &curve)?;
/// assert_eq!(grid.nodes()[5].level.sigma(), 0.5);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BongTangent {
    max: f64,
    min: f64,
}

impl BongTangent {
    /// Between these sigmas.
    ///
    /// # Errors
    ///
    /// If `max` is not above `min`.
    pub fn new(max: Sigma, min: Sigma) -> Result<Self, Error> {
        let (max, min) = (max.get(), min.get());
        if !(max > min) {
            let allowed = format!("above {}, the min sigma", Number(min));
            return Err(Error::range("max sigma", max, allowed));
        }
        Ok(Self { max, min })
    }
}

impl SigmaCurve for BongTangent {
    fn sigmas(&self, n: usize) -> Result<Vec<f64>, Error> {
        check_steps(n)?;
        if n == 1 {
            return Ok(vec![self.max]);
        }
        let points = n + 2;
        let first = points * 3 / 5;
        let slope = 8.0 / points as f64;
        let middle = 0.5 * (self.max + self.min);
        let arc = |length: usize, pivot: f64, start: f64, end: f64| {
            let g = move |x: usize| (slope * (x as f64 - pivot)).atan();
            let (top, bottom) = (g(0), g(length - 1));
            (0..length - 1).map(move |x| end + (start - end) * (g(x) - bottom) / (top - bottom))
        };
        // Each arc without its last point: the joint belongs to the second, `min` to none.
        let second = arc(points - first, 0.0, middle, self.min);
        Ok(arc(first, first as f64, self.max, middle)
            .chain(second)
            .collect())
    }
}
