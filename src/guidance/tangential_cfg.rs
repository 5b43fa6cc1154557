//! Tangential damping (TCFG).

use super::{Predictions, Rule, Strength, gram};
use crate::{Error, Point, state::State};

/// TCFG: classifier-free guidance from the projection of the unconditional prediction on the first
/// right singular vector of the two predictions.
///
/// `u' + w (c - u')` with `u' = <v, u> v`, where `v` is the first right singular vector of the matrix of
/// the two rows `c` and `u`, for each item.
///
/// $$\hat\varepsilon=u^{\prime}+w\thinspace(c-u^{\prime}),\qquad u^{\prime}=\langle v,u\rangle\thinspace v$$
///
/// [Source](crate::docs::papers#arxiv-2503.18137): TCFG: Tangential Damping Classifier-free Guidance, Kwon, Kim, Jeong, Hsiao,
/// Uh, 2025.
///
/// ```
/// use gaussian_diffusion::guidance::TangentialCfg;
/// TangentialCfg::new(7.5)?;
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("TCFG", "tangential damping"))]
#[derive(Debug, Clone)]
pub struct TangentialCfg {
    scale: Strength,
}

impl TangentialCfg {
    /// Of this scale `w`.
    ///
    /// # Errors
    ///
    /// If the scale is not a finite number.
    pub fn new(scale: impl Into<Strength>) -> Result<Self, Error> {
        let scale = scale.into().checked()?;
        Ok(Self { scale })
    }
}

impl<V: State> Rule<V> for TangentialCfg {
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
            let (along_c, along_u) = projected(item.cc, item.cu, item.uu);
            (w + (1.0 - w) * along_c, (1.0 - w) * along_u)
        })
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

#[cfg(test)]
mod tests {
    use super::projected;

    /// Of a short `u` at an angle `sin f` is small and keeps its digits: `tan 2f = 2e-9`; of equal lengths `f` is an
    /// eighth of a turn, and of a long `u` a quarter.
    #[test]
    fn small_angles_keep_their_digits() {
        let near = |found: (f64, f64), expected: [f64; 2]| {
            for (found, expected) in [found.0, found.1].iter().zip(expected) {
                assert!((found / expected - 1.0).abs() < 1e-14, "{found} {expected}");
            }
        };
        near(projected(1.0, 1e-9, 0.0), [1e-9, 1e-18]);
        near(projected(0.0, 1e-9, 1.0), [1e-9, 1.0]);
        near(projected(2.0, 1.0, 2.0), [0.5, 0.5]);
        near(projected(2.0, -1.0, 2.0), [-0.5, 0.5]);
    }
}
