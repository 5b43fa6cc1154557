//! One Gaussian of a mixture.

use ndarray::{Array1, Array2, Axis, concatenate};

use crate::{Error, dense};

/// One of the Gaussians.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Component {
    pub(super) weight: f64,
    pub(super) mean: Array1<f64>,
    /// Variances along the axes.
    pub(super) variances: Array1<f64>,
    pub(super) shape: Shape,
}

/// What the covariance has beside its variances.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// Nothing: the axes are those of the coordinates.
    Straight,
    /// Orthonormal axes, as rows.
    Turned(Array2<f64>),
    /// `F^T F` on top, for the rows `F`.
    Factors(Array2<f64>),
}

impl Component {
    /// From the axes of the component to the coordinates.
    pub(super) fn restored(&self, y: Array1<f64>) -> Array1<f64> {
        match &self.shape {
            Shape::Turned(axes) => axes.t().dot(&y),
            _ => y,
        }
    }

    pub(super) fn turned(&self, y: Array1<f64>) -> Array1<f64> {
        match &self.shape {
            Shape::Turned(axes) => axes.dot(&y),
            _ => y,
        }
    }

    /// The mean and the variances along axes in which nothing is correlated.
    pub(super) fn in_axes(&self) -> (Array1<f64>, Array1<f64>) {
        if let Shape::Factors(_) = self.shape {
            // Factors are checked to have squares.
            if let Some((variances, axes)) = eigen(&self.covariance(), None) {
                return (axes.dot(&self.mean), variances);
            }
        }
        (self.turned(self.mean.clone()), self.variances.clone())
    }

    /// The variance of each coordinate.
    pub(super) fn of_coordinates(&self) -> Array1<f64> {
        match &self.shape {
            Shape::Straight => self.variances.clone(),
            Shape::Turned(axes) => axes.mapv(|a| a * a).t().dot(&self.variances),
            Shape::Factors(factors) => {
                &self.variances + &factors.mapv(|f| f * f).sum_axis(ndarray::Axis(0))
            }
        }
    }

    /// The largest variance, along an axis or of a coordinate.
    pub(super) fn scale(&self) -> f64 {
        let variances = match &self.shape {
            Shape::Factors(_) => self.of_coordinates(),
            _ => self.variances.clone(),
        };
        variances.iter().fold(0.0, |most, v| most.max(*v))
    }

    pub(super) fn covariance(&self) -> Array2<f64> {
        self.matrix(&self.variances)
            + match &self.shape {
                Shape::Factors(factors) => factors.t().dot(factors),
                _ => Array2::zeros((self.mean.len(), self.mean.len())),
            }
    }

    /// The matrix with these eigenvalues along the axes.
    pub(super) fn matrix(&self, values: &Array1<f64>) -> Array2<f64> {
        match &self.shape {
            Shape::Turned(axes) => (axes.t().to_owned() * values).dot(axes),
            _ => Array2::from_diag(values),
        }
    }

    /// `L` with `C = L L^T`.
    pub(super) fn root(&self) -> Array2<f64> {
        let deviations = self.variances.mapv(f64::sqrt);
        match &self.shape {
            Shape::Straight => Array2::from_diag(&deviations),
            Shape::Turned(axes) => axes.t().to_owned() * deviations,
            Shape::Factors(factors) => {
                let own = Array2::from_diag(&deviations);
                concatenate(Axis(1), &[own.view(), factors.t()]).unwrap_or(own)
            }
        }
    }

    /// A sample, of normals that are given one by one.
    pub(super) fn sample(&self, mut normal: impl FnMut() -> f64) -> Array1<f64> {
        let z = self.variances.mapv(|v| v.sqrt() * normal());
        let sample = self.restored(z) + &self.mean;
        match &self.shape {
            Shape::Factors(factors) => {
                let z = Array1::from_shape_fn(factors.nrows(), |_| normal());
                sample + factors.t().dot(&z)
            }
            _ => sample,
        }
    }
}

/// Eigenvalues of a covariance and its eigenvectors as rows; what is below 1e-14 of the most, or of the largest, is 0.
/// `None` where it is not finite.
pub(super) fn eigen(
    covariance: &Array2<f64>,
    most: Option<f64>,
) -> Option<(Array1<f64>, Array2<f64>)> {
    let (variances, axes) = dense::eigen(covariance)?;
    let largest = variances.iter().fold(0.0_f64, |most, v| most.max(*v));
    let least = 1e-14 * most.unwrap_or(largest);
    Some((variances.mapv(|v| if v > least { v } else { 0.0 }), axes))
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

/// Refuses factors of another dimension, and numbers whose squares no f64 holds.
pub(super) fn check_factors(factors: &Array2<f64>, dimension: usize) -> Result<(), Error> {
    if factors.ncols() != dimension {
        return Err(Error::Shape {
            what: "factors",
            expected: vec![factors.nrows(), dimension],
            found: factors.shape().to_vec(),
        });
    }
    let within = |f: &f64| (-1e100..=1e100).contains(f);
    match factors.iter().enumerate().find(|(_, f)| !within(f)) {
        Some((i, &bad)) => Err(Error::element("factors", i, bad, "-1e100 to 1e100")),
        None => Ok(()),
    }
}
