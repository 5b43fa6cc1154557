//! The scale of a guidance rule, over a run.

use std::{fmt, sync::Arc};

use crate::{Error, NoiseLevel, Point};

/// A guidance scale: one number, one for each step, or a function of the noise level.
///
/// Made from a number or a list where a rule asks for it.
///
/// ```
/// use gaussian_diffusion::guidance::{Combination, Strength};
/// Combination::classifier_free(7.5)?;
/// Combination::classifier_free(vec![1.0, 4.0, 4.0, 2.0])?;
/// // Strong where there is much noise.
/// Combination::classifier_free(Strength::of_level(|level| 1.0 + 4.0 * level.sigma()))?;
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("guidance_scale", "cfg_scale"))]
#[derive(Clone)]
pub struct Strength(Kind);

#[derive(Clone)]
enum Kind {
    Same(f64),
    PerStep(Arc<[f64]>),
    OfLevel(Arc<dyn Fn(NoiseLevel) -> f64 + Send + Sync>),
}

impl fmt::Debug for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Same(scale) => write!(f, "Strength({scale})"),
            Kind::PerStep(list) => write!(f, "Strength({list:?})"),
            Kind::OfLevel(_) => f.write_str("Strength(of level)"),
        }
    }
}

impl From<f64> for Strength {
    fn from(scale: f64) -> Self {
        Self(Kind::Same(scale))
    }
}

impl From<Vec<f64>> for Strength {
    /// A scale for each step of the run; steps after the last of them have the last.
    fn from(scales: Vec<f64>) -> Self {
        Self(Kind::PerStep(scales.into()))
    }
}

impl Strength {
    /// A function of the noise level of the state that the network is shown.
    pub fn of_level(scale: impl Fn(NoiseLevel) -> f64 + Send + Sync + 'static) -> Self {
        Self(Kind::OfLevel(Arc::new(scale)))
    }

    /// Refuses what no point will accept.
    pub(super) fn checked(self) -> Result<Self, Error> {
        match &self.0 {
            Kind::Same(scale) => {
                finite(*scale)?;
            }
            Kind::PerStep(list) if list.is_empty() => {
                return Err(Error::range("number of guidance scales", 0.0, "1 or more"));
            }
            Kind::PerStep(list) => {
                if let Some((index, &bad)) = list.iter().enumerate().find(|(_, s)| !s.is_finite()) {
                    let allowed = "a finite number";
                    return Err(Error::element("guidance scales", index, bad, allowed));
                }
            }
            Kind::OfLevel(_) => {}
        }
        Ok(self)
    }

    /// The numbers that are known before a run.
    pub(super) fn numbers(&self) -> impl Iterator<Item = &f64> {
        match &self.0 {
            Kind::Same(scale) => std::slice::from_ref(scale).iter(),
            Kind::PerStep(list) => list.iter(),
            Kind::OfLevel(_) => [].iter(),
        }
    }

    /// The scale at a point of a run.
    pub(super) fn at<T>(&self, at: &Point<T>) -> Result<f64, Error> {
        finite(match &self.0 {
            Kind::Same(scale) => *scale,
            Kind::PerStep(list) => list.get(at.step).or(list.last()).copied().unwrap_or(1.0),
            Kind::OfLevel(scale) => scale(at.level),
        })
    }
}

fn finite(scale: f64) -> Result<f64, Error> {
    if scale.is_finite() {
        return Ok(scale);
    }
    Err(Error::range("guidance scale", scale, "a finite number"))
}
