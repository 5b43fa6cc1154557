//! Classifier-free guidance with coefficients that each item finds for itself.

use super::{Rule, Predictions, Strength};
use crate::{Error, Point, state::State};

/// Classifier-free guidance `u' + w' (c - u')` whose `u'` and `w'` depend on the two predictions of
/// an item, through their inner products.
///
/// ```
/// use gaussian_diffusion::guidance::Adaptive;
/// Adaptive::zero_star(4.0, 1)?;
/// Adaptive::tangential(7.5)?;
/// Adaptive::magnitude_aware(10.0, 8.0)?;
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Adaptive {
    scale: Strength,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    ZeroStar { zero_steps: usize },
    Tangential,
    MagnitudeAware { alpha: f64 },
}

impl Adaptive {
    /// CFG-zero*: `u' = s u` with `s = <c, u> / <u, u>`, the multiple of `u` nearest to `c`; the first
    /// `zero_steps` steps predict 0.
    ///
    /// $$u^{\prime}=\frac{\langle c,u\rangle}{\Vert u\Vert^2}\thinspace u$$
    ///
    /// For velocities of flows ([`Flow`](crate::Parameterization::Flow)), where a prediction of 0
    /// leaves the state as it is.
    ///
    /// Source: CFG-Zero*: Improved Classifier-Free Guidance for Flow Matching Models, Fan, Zheng, Yeh,
    /// Liu, 2025.
    ///
    /// # Errors
    ///
    /// If a scale is not finite; so for all constructors here.
    #[doc(alias("CFG-zero*", "zero_init"))]
    pub fn zero_star(scale: impl Into<Strength>, zero_steps: usize) -> Result<Self, Error> {
        Self::of(scale, Kind::ZeroStar { zero_steps })
    }

    /// TCFG: `u'` is the projection of `u` on the first right singular vector of the two rows `c`, `u`.
    ///
    /// Source: TCFG: Tangential Damping Classifier-free Guidance, Kwon, Kim, Jeong, Hsiao, Uh, 2025.
    ///
    /// # Errors
    ///
    /// As [`zero_star`](Self::zero_star).
    #[doc(alias("TCFG"))]
    pub fn tangential(scale: impl Into<Strength>) -> Result<Self, Error> {
        Self::of(scale, Kind::Tangential)
    }

    /// Magnitude-aware: `w' = 1 + (w - 1) exp(-alpha |c - u| / |u|)`, weak where the two differ much.
    ///
    /// $$w^{\prime}=1+(w-1)\exp\Big(-\alpha\thinspace\frac{\Vert c-u\Vert}{\Vert u\Vert}\Big)$$
    ///
    /// With `alpha = 0` it is plain guidance.
    ///
    /// Source: MAMBO-G: Magnitude-Aware Mitigation for Boosted Guidance, Zhu et al., 2025.
    ///
    /// # Errors
    ///
    /// As [`zero_star`](Self::zero_star), or if alpha is negative or not finite.
    #[doc(alias("MaG", "Mambo-G"))]
    pub fn magnitude_aware(scale: impl Into<Strength>, alpha: f64) -> Result<Self, Error> {
        if !(alpha >= 0.0 && alpha.is_finite()) {
            let allowed = "a finite number from 0 on";
            return Err(Error::range("alpha of the magnitude", alpha, allowed));
        }
        Self::of(scale, Kind::MagnitudeAware { alpha })
    }

    fn of(scale: impl Into<Strength>, kind: Kind) -> Result<Self, Error> {
        let scale = scale.into().checked()?;
        Ok(Self { scale, kind })
    }

    fn is_zero(&self, at: Point<()>) -> bool {
        matches!(self.kind, Kind::ZeroStar { zero_steps } if at.step < zero_steps)
    }
}

/// The inner products of an item.
struct Gram {
    cc: f64,
    cu: f64,
    uu: f64,
    /// Of the difference with itself.
    dd: f64,
}

impl Kind {
    /// The coefficients of `c` and `u` at scale `w`.
    fn coefficients(&self, w: f64, gram: &Gram) -> (f64, f64) {
        let Gram { cc, cu, uu, dd } = *gram;
        match self {
            Self::ZeroStar { .. } => {
                let s = if uu == 0.0 { 0.0 } else { cu / uu };
                (w, (1.0 - w) * s)
            }
            Self::Tangential => {
                let (along_c, along_u) = projected(cc, cu, uu);
                (w + (1.0 - w) * along_c, (1.0 - w) * along_u)
            }
            Self::MagnitudeAware { alpha } => {
                let ratio = if dd == 0.0 { 0.0 } else { (dd / uu).sqrt() };
                let w = match *alpha {
                    0.0 => w,
                    alpha => 1.0 + (w - 1.0) * (-alpha * ratio).exp(),
                };
                (w, 1.0 - w)
            }
        }
    }
}

/// The projection of `u` on the first right singular vector of `[c; u]`, as coefficients of both.
///
/// The first eigenvector of the Gram matrix is `(cos f, sin f)` with
/// `tan 2f = 2 <c, u> / (<c, c> - <u, u>)`, and the projection is `sin f (cos f c + sin f u)`.
fn projected(cc: f64, cu: f64, uu: f64) -> (f64, f64) {
    let (x, y) = (cc - uu, 2.0 * cu);
    let norm = x.hypot(y);
    if norm == 0.0 {
        // Every direction of the plane is a first one: also that of u.
        return (0.0, 1.0);
    }
    let (cos, sin) = (x / norm, y / norm);
    // sin^2 f, from the form that does not cancel.
    let squared = if cos > 0.0 {
        0.5 * sin * sin / (1.0 + cos)
    } else {
        0.5 * (1.0 - cos)
    };
    (0.5 * sin, squared)
}

impl<V: State> Rule<V> for Adaptive {
    fn count(&self) -> usize {
        2
    }

    fn needs(&self, index: usize, at: Point<()>) -> Result<bool, Error> {
        if index == 0 {
            return Ok(true);
        }
        Ok(!self.is_zero(at) && self.scale.at(&at)? != 1.0)
    }

    fn combine(&mut self, mut predictions: Predictions<V>, at: Point<()>) -> Result<V, Error> {
        let mut c = predictions.take(0)?;
        if self.is_zero(at) {
            c.combine(0.0, &[])?;
            return Ok(c);
        }
        let w = self.scale.at(&at)?;
        if w == 1.0 {
            return Ok(c);
        }
        let u = predictions.take(1)?;
        let (cc, cu, uu) = (c.dot_items(&c)?, c.dot_items(&u)?, u.dot_items(&u)?);
        let mut difference = c.clone();
        difference.combine(1.0, &[(-1.0, &u)])?;
        let dd = difference.dot_items(&difference)?;
        let grams = cc.into_iter().zip(cu).zip(uu).zip(dd);
        let (of_c, of_u): (Vec<_>, Vec<_>) = grams
            .map(|(((cc, cu), uu), dd)| self.kind.coefficients(w, &Gram { cc, cu, uu, dd }))
            .unzip();
        c.combine_items(&of_c, &[(&of_u, &u)])?;
        Ok(c)
    }
}
