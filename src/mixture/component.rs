//! One Gaussian of a mixture.

use nalgebra::{DMatrix, DVector, SymmetricEigen};
use ndarray::{Array1, Array2};

use crate::Error;

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
            let (covariance, size) = (self.covariance(), self.mean.len());
            let matrix = DMatrix::from_fn(size, size, |i, j| covariance[[i, j]]);
            let (variances, axes) = eigen(matrix, None);
            return (axes.dot(&self.mean), variances);
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
    pub(super) fn root(&self) -> DMatrix<f64> {
        let size = self.mean.len();
        let deviations = self.variances.mapv(f64::sqrt);
        match &self.shape {
            Shape::Straight => DMatrix::from_diagonal(&DVector::from_iterator(size, deviations)),
            Shape::Turned(axes) => {
                DMatrix::from_fn(size, size, |i, j| axes[[j, i]] * deviations[j])
            }
            Shape::Factors(factors) => {
                DMatrix::from_fn(size, size + factors.nrows(), |i, j| match j {
                    _ if j >= size => factors[[j - size, i]],
                    _ if j == i => deviations[i],
                    _ => 0.0,
                })
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
pub(super) fn eigen(covariance: DMatrix<f64>, most: Option<f64>) -> (Array1<f64>, Array2<f64>) {
    let size = covariance.nrows();
    let eigen = SymmetricEigen::new(covariance);
    let largest = eigen
        .eigenvalues
        .iter()
        .fold(0.0_f64, |most, v| most.max(*v));
    let least = 1e-14 * most.unwrap_or(largest);
    let kept = |v: &f64| if *v > least { *v } else { 0.0 };
    let variances = eigen.eigenvalues.iter().map(kept).collect();
    let axes = Array2::from_shape_fn((size, size), |(i, j)| eigen.eigenvectors[(j, i)]);
    (variances, axes)
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
