//! Magnitude-aware guidance (MAMBO-G).

use super::{Predictions, Rule, Strength, gram};
use crate::{Error, Point, state::State};

/// MAMBO-G: classifier-free guidance that is weak where the two predictions differ much.
///
/// `u + w' (c - u)` with `w' = 1 + (w - 1) exp(-alpha |c - u| / |u|)` for each item.
///
/// $$w^{\prime}=1+(w-1)\exp\Big(-\alpha\thinspace\frac{\Vert c-u\Vert}{\Vert u\Vert}\Big)$$
///
/// With `alpha = 0` it is plain guidance.
///
/// [Source](crate::docs::papers#arxiv-2508.03442): MAMBO-G: Magnitude-Aware Mitigation for Boosted Guidance, Zhu et al., 2025.
///
/// ```
/// use gaussian_diffusion::guidance::MagnitudeAwareCfg;
/// MagnitudeAwareCfg::new(10.0, 8.0)?;
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("MaG", "Mambo-G"))]
#[derive(Debug, Clone)]
pub struct MagnitudeAwareCfg {
    scale: Strength,
    alpha: f64,
}

impl MagnitudeAwareCfg {
    /// Of this scale `w` and this `alpha`.
    ///
    /// # Errors
    ///
    /// If the scale is not a finite number, or alpha is negative or not finite.
    pub fn new(scale: impl Into<Strength>, alpha: f64) -> Result<Self, Error> {
        if !(alpha >= 0.0 && alpha.is_finite()) {
            let allowed = "a finite number from 0 on";
            return Err(Error::range("alpha of the magnitude", alpha, allowed));
        }
        let scale = scale.into().checked()?;
        Ok(Self { scale, alpha })
    }
}

impl<V: State> Rule<V> for MagnitudeAwareCfg {
    fn count(&self) -> usize {
        2
    }

    fn needs(&self, index: usize, at: Point<()>) -> Result<bool, Error> {
        Ok(index == 0 || self.scale.at(&at)? != 1.0)
    }

    fn combine(&mut self, mut predictions: Predictions<V>, at: Point<()>) -> Result<V, Error> {
        let w = self.scale.at(&at)?;
        if w == 1.0 {
            return predictions.take(0);
        }
        gram::combine(predictions, |item| {
            let ratio = if item.dd == 0.0 {
                0.0
            } else {
                (item.dd / item.uu).sqrt()
            };
            let w = match self.alpha {
                0.0 => w,
                alpha => 1.0 + (w - 1.0) * (-alpha * ratio).exp(),
            };
            (w, 1.0 - w)
        })
    }
}
