//! CFG-zero*.

use super::{Predictions, Rule, Strength, gram};
use crate::{Error, Point, state::State};

/// CFG-zero*: classifier-free guidance from the multiple of the unconditional prediction that is
/// nearest to the conditional one, with predictions of 0 in the first steps.
///
/// `s u + w (c - s u)` with `s = <c, u> / <u, u>` for each item.
///
/// $$\hat v=s\thinspace u+w\thinspace(c-s\thinspace u),\qquad s=\frac{\langle c,u\rangle}{\Vert u\Vert^2}$$
///
/// For velocities of flows ([`Flow`](crate::Parameterization::Flow)), where a prediction of 0 leaves the
/// state as it is.
///
/// [Source](crate::docs::papers#arxiv-2503.18886): CFG-Zero*: Improved Classifier-Free Guidance for Flow Matching Models, Fan,
/// Zheng, Yeh, Liu, 2025.
///
/// ```
/// use gaussian_diffusion::guidance::CfgZeroStar;
/// CfgZeroStar::new(4.0, 1)?;
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("CFG-zero*", "zero_init", "optimized scale"))]
#[derive(Debug, Clone)]
pub struct CfgZeroStar {
    scale: Strength,
    zero_steps: usize,
}

impl CfgZeroStar {
    /// Of this scale `w`, predicting 0 in the first `zero_steps` steps of a run.
    ///
    /// # Errors
    ///
    /// If the scale is not a finite number.
    pub fn new(scale: impl Into<Strength>, zero_steps: usize) -> Result<Self, Error> {
        let scale = scale.into().checked()?;
        Ok(Self { scale, zero_steps })
    }
}

impl<V: State> Rule<V> for CfgZeroStar {
    fn count(&self) -> usize {
        2
    }

    fn needs(&self, index: usize, at: Point<()>) -> Result<bool, Error> {
        Ok(index == 0 || (at.step >= self.zero_steps && self.scale.at(&at)? != 1.0))
    }

    fn combine(&mut self, mut predictions: Predictions<V>, at: Point<()>) -> Result<V, Error> {
        if at.step < self.zero_steps {
            let mut zero = predictions.take(0)?;
            zero.combine(0.0, &[])?;
            return Ok(zero);
        }
        let w = self.scale.at(&at)?;
        if w == 1.0 {
            return predictions.take(0);
        }
        gram::combine(predictions, |item| {
            let s = if item.uu == 0.0 {
                0.0
            } else {
                item.cu / item.uu
            };
            (w, (1.0 - w) * s)
        })
    }
}
