//! Adaptive projected guidance.

use super::{Predictions, Rule, Strength};
use crate::{Error, Point, state::State};

/// APG: `c + (w - 1) d'`, where `d'` is the difference `d = c - u` with momentum, of bounded norm, and
/// with its part along `c` scaled; item by item.
///
/// 1. `d <- c - u + momentum * d_before`
/// 2. `d <- d min(1, norm / |d|)`
/// 3. `d' = d - (1 - parallel) (<d, c> / <c, c>) c`
///
/// $$\tilde p=c+(w-1)\big(d_\perp+\texttt{parallel}\thinspace d_\parallel\big),\qquad d_\parallel=\frac{\langle d,c\rangle}{\Vert c\Vert^2}\thinspace c$$
///
/// Without momentum, with any norm and `parallel = 1` it is plain guidance. The paper works on
/// [`X0`](crate::Parameterization::X0); name the terms at [`Guided::with_parameterization`](super::Guided::with_parameterization).
/// The momentum is forgotten where a run [begins](crate::Denoiser::begin); a point where the scale is 1
/// leaves it as it is.
///
/// [Source](crate::docs::papers#arxiv-2410.02416): Eliminating Oversaturation and Artifacts of High Guidance Scales in
/// Diffusion Models, Sadat, Hilliges, Weber, 2024.
///
/// ```
/// use gaussian_diffusion::guidance::Projected;
/// use ndarray::Array2;
/// let rule = Projected::<Array2<f32>>::new(10.0)?.with_momentum(-0.5)?.with_norm(15.0)?.with_parallel(0.0)?;
/// # let _ = rule;
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("APG", "AdaptiveProjectedGuidance"))]
#[derive(Debug, Clone)]
pub struct Projected<V> {
    scale: Strength,
    momentum: f64,
    norm: f64,
    parallel: f64,
    before: Option<V>,
}

impl<V: State> Projected<V> {
    /// No momentum, no bound of the norm, and nothing along `c`.
    ///
    /// # Errors
    ///
    /// If a scale is not finite.
    pub fn new(scale: impl Into<Strength>) -> Result<Self, Error> {
        Ok(Self {
            scale: scale.into().checked()?,
            momentum: 0.0,
            norm: f64::INFINITY,
            parallel: 0.0,
            before: None,
        })
    }

    /// The same with this much of the difference before; negative in the paper.
    ///
    /// # Errors
    ///
    /// If the momentum is not within -1 to 1, or one of the two.
    pub fn with_momentum(mut self, momentum: f64) -> Result<Self, Error> {
        if !(momentum > -1.0 && momentum < 1.0) {
            return Err(Error::range("momentum", momentum, "above -1 and below 1"));
        }
        self.momentum = momentum;
        Ok(self)
    }

    /// The same with this largest norm of the difference of an item.
    ///
    /// # Errors
    ///
    /// If the norm is not above 0.
    #[doc(alias("norm_threshold"))]
    pub fn with_norm(mut self, norm: f64) -> Result<Self, Error> {
        if !(norm > 0.0) {
            return Err(Error::range("norm of the difference", norm, "above 0"));
        }
        self.norm = norm;
        Ok(self)
    }

    /// The same with this much of the part along the conditional prediction.
    ///
    /// # Errors
    ///
    /// If it is not finite.
    #[doc(alias("eta"))]
    pub fn with_parallel(mut self, parallel: f64) -> Result<Self, Error> {
        if !parallel.is_finite() {
            return Err(Error::range("parallel part", parallel, "a finite number"));
        }
        self.parallel = parallel;
        Ok(self)
    }
}

impl<V: State> Rule<V> for Projected<V> {
    fn count(&self) -> usize {
        2
    }

    fn needs(&self, index: usize, at: Point<()>) -> Result<bool, Error> {
        Ok(index == 0 || self.scale.at(&at)? != 1.0)
    }

    fn combine(&mut self, mut predictions: Predictions<V>, at: Point<()>) -> Result<V, Error> {
        if at.evaluation == 0 {
            self.before = None;
        }
        let mut c = predictions.take(0)?;
        let scale = self.scale.at(&at)? - 1.0;
        if scale == 0.0 {
            return Ok(c);
        }
        let mut d = c.clone();
        d.combine(1.0, &[(-1.0, predictions.get(1)?)])?;
        if self.momentum != 0.0 {
            if let Some(before) = &self.before {
                d.combine(1.0, &[(self.momentum, before)])?;
            }
            self.before = Some(d.clone());
        }
        let (dd, dc, cc) = (d.dot_items(&d)?, d.dot_items(&c)?, c.dot_items(&c)?);
        let (mut own, mut across) = (Vec::new(), Vec::new());
        for ((dd, dc), cc) in dd.iter().zip(&dc).zip(&cc) {
            let norm = dd.sqrt();
            let kept = scale
                * if norm > self.norm {
                    self.norm / norm
                } else {
                    1.0
                };
            let along = if *cc == 0.0 { 0.0 } else { dc / cc };
            own.push(1.0 - kept * (1.0 - self.parallel) * along);
            across.push(kept);
        }
        c.combine_items(&own, &[(&across, &d)])?;
        Ok(c)
    }

    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<V>)) {
        visit(&mut self.before);
    }
}
