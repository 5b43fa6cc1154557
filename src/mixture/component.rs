//! One Gaussian of a mixture, and what is seen of it from a point.

use ndarray::{Array1, Array2};

use crate::{Error, NoiseLevel};

/// One of the Gaussians.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Component {
    pub(super) weight: f64,
    pub(super) mean: Array1<f64>,
    /// Variances along the axes.
    pub(super) variances: Array1<f64>,
    /// The axes as rows; the coordinates' where there are none.
    pub(super) axes: Option<Array2<f64>>,
}

impl Component {
    /// `x - alpha mean` in the axes of the component.
    pub(super) fn centered(&self, x: &[f64], alpha: f64) -> Array1<f64> {
        let off = Array1::from_iter(x.iter().zip(&self.mean).map(|(x, m)| x - alpha * m));
        match &self.axes {
            Some(axes) => axes.dot(&off),
            None => off,
        }
    }

    /// From the axes of the component to the coordinates.
    pub(super) fn restored(&self, y: Array1<f64>) -> Array1<f64> {
        match &self.axes {
            Some(axes) => axes.t().dot(&y),
            None => y,
        }
    }

    /// The variances of the noisy component along its axes.
    pub(super) fn noisy_variances(&self, level: NoiseLevel) -> Array1<f64> {
        let (alpha2, sigma2) = (level.alpha().powi(2), level.sigma().powi(2));
        self.variances.mapv(|v| alpha2 * v + sigma2)
    }

    pub(super) fn log_density(&self, centered: &Array1<f64>, noisy: &Array1<f64>) -> f64 {
        let term = |(y, v): (&f64, &f64)| y * y / v + (std::f64::consts::TAU * v).ln();
        -0.5 * centered.iter().zip(noisy).map(term).sum::<f64>()
    }
}

/// A component with what depends on the point and the level.
pub(super) struct Seen<'a> {
    pub(super) component: &'a Component,
    pub(super) centered: Array1<f64>,
    pub(super) noisy: Array1<f64>,
    /// The log-density with its weight, then the posterior probability.
    pub(super) log: f64,
}

impl Seen<'_> {
    /// The posterior probability, given the log-density of all; 1 for a component that is alone and
    /// has no density at this point.
    pub(super) fn probability(&self, total: f64) -> f64 {
        if total.is_finite() {
            (self.log - total).exp()
        } else {
            1.0
        }
    }

    /// `E[x_0 | x]` under this component.
    pub(super) fn posterior_mean(&self, level: NoiseLevel) -> Array1<f64> {
        // Where all variance is noise (0 of 0 at a point of clean data) nothing is gained.
        let gain = |((v, n), y): ((&f64, &f64), &f64)| {
            if *n == 0.0 {
                0.0
            } else {
                level.alpha() * v / n * y
            }
        };
        let variances = self.component.variances.iter().zip(&self.noisy);
        let gained = Array1::from_iter(variances.zip(&self.centered).map(gain));
        self.component.restored(gained) + &self.component.mean
    }
}

/// Refuses axes that are not orthonormal rows.
pub(super) fn check_orthonormal(axes: &Array2<f64>, dimension: usize) -> Result<(), Error> {
    if axes.dim() != (dimension, dimension) {
        return Err(Error::Shape {
            what: "axes",
            expected: vec![dimension, dimension],
            found: axes.shape().to_vec(),
        });
    }
    for (index, product) in axes.dot(&axes.t()).iter().enumerate() {
        let expected = if index / dimension == index % dimension {
            1.0
        } else {
            0.0
        };
        if !((product - expected).abs() <= 1e-8) {
            let allowed = format!("{expected}, for orthonormal rows");
            return Err(Error::element(
                "products of the axes",
                index,
                *product,
                allowed,
            ));
        }
    }
    Ok(())
}
