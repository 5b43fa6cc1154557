//! Keeping the predicted data within fixed bounds.

use super::{Correction, Point, Prediction};
use crate::{
    Error, Parameterization,
    error::Number,
    state::{Assignment, State},
};

/// Data kept within `low..high`: static thresholding, as [`Denoiser::clipped`](super::Denoiser::clipped).
///
/// [Source](crate::docs::papers#arxiv-2006.11239): Denoising Diffusion Probabilistic Models, Ho, Jain, Abbeel, 2020 (its
/// code).
///
/// ```
/// use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Step, predicts};
/// use ndarray::{Array1, array};
/// let net = predicts::x0(|x: &Array1<f32>, _: Point<Step>| x * 2.0);
/// let mut net = Denoiser::<Array1<f32>, Step>::clipped(net, -1.0, 1.0)?;
/// let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
/// assert_eq!(net.predict(&array![-3.0, 0.2], at)?.value, array![-1.0, 0.4]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("clip_sample", "clip_denoised", "static thresholding"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clip {
    low: f64,
    high: f64,
}

impl Clip {
    /// Keeps the predicted data between `low` and `high`.
    ///
    /// # Errors
    ///
    /// If a bound is NaN or `low` is not below `high`.
    pub fn new(low: f64, high: f64) -> Result<Self, Error> {
        if low.is_nan() {
            let allowed = "any number, also infinite";
            return Err(Error::range("lower bound of the clip", low, allowed));
        }
        if !(low < high) {
            return Err(Error::range(
                "upper bound of the clip",
                high,
                format!("above {}", Number(low)),
            ));
        }
        Ok(Self { low, high })
    }
}

impl<V: State, T> Correction<V, T> for Clip {
    fn correct(&mut self, x0: &mut V, _: Point<T>) -> Result<(), Error> {
        x0.clamp(self.low, self.high)
    }

    /// In one pass.
    fn corrected(
        &mut self,
        mut answer: Prediction<V>,
        x: &V,
        at: Point<T>,
    ) -> Result<Prediction<V>, Error>
    where
        T: Copy,
    {
        answer.data = None;
        let map = answer.parameterization.to(Parameterization::X0, at.level)?;
        if answer.parameterization == Parameterization::X0 {
            self.correct(&mut answer.value, at)?;
            return Ok(answer);
        }
        let terms = [(map.state, 1)];
        let within = Assignment::new(0, map.prediction, &terms).with_bounds(self.low, self.high);
        V::sweep(&mut [&mut answer.value], &[x], &[within]).map_err(|error| error.naming("x"))?;
        answer.parameterization = Parameterization::X0;
        Ok(answer)
    }
}
