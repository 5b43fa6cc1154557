//! One Gaussian of a mixture, and what is seen of it from a point.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn, SymmetricEigen};
use ndarray::{Array1, Array2};

use crate::{Error, NoiseLevel};

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

/// A component at a noise level: the Gaussian of its noisy data.
#[derive(Debug)]
pub(super) struct Noisy<'a> {
    pub(super) component: &'a Component,
    level: NoiseLevel,
    /// Variances along the axes.
    variances: Array1<f64>,
    /// `I + alpha^2 F D^-1 F^T` for factors on the noisy variances `D`.
    inner: Option<Cholesky<f64, Dyn>>,
}

/// A component with what depends on the point and the level.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) noisy: &'a Noisy<'a>,
    /// `x - alpha mean` in the axes of the component, less what its factors are expected to have made of it.
    centered: Array1<f64>,
    /// The expected factors.
    factors: Array1<f64>,
    /// The log-density with its weight.
    pub(super) log: f64,
}

impl Component {
    /// From the axes of the component to the coordinates.
    pub(super) fn restored(&self, y: Array1<f64>) -> Array1<f64> {
        match &self.shape {
            Shape::Turned(axes) => axes.t().dot(&y),
            _ => y,
        }
    }

    fn turned(&self, y: Array1<f64>) -> Array1<f64> {
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
    fn matrix(&self, values: &Array1<f64>) -> Array2<f64> {
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

    /// The component at a noise level.
    pub(super) fn noisy(&self, level: NoiseLevel) -> Result<Noisy<'_>, Error> {
        let (alpha2, sigma2) = (level.alpha().powi(2), level.sigma().powi(2));
        let variances = self.variances.mapv(|v| alpha2 * v + sigma2);
        let inner = match &self.shape {
            Shape::Factors(factors) => {
                let scaled = factors / &variances;
                let product = scaled.dot(&factors.t()) * alpha2;
                let rank = factors.nrows();
                let inner = DMatrix::from_fn(rank, rank, |i, j| {
                    product[[i, j]] + if i == j { 1.0 } else { 0.0 }
                });
                let what = "the covariance of a component";
                let (alpha, sigma) = (level.alpha(), level.sigma());
                Some(
                    inner
                        .cholesky()
                        .ok_or(Error::Singular { what, alpha, sigma })?,
                )
            }
            _ => None,
        };
        Ok(Noisy {
            component: self,
            level,
            variances,
            inner,
        })
    }
}

impl Noisy<'_> {
    /// Refuses a component without variance at the clean level.
    pub(super) fn has_density(&self) -> Result<(), Error> {
        match self.variances.iter().any(|v| *v == 0.0) {
            false => Ok(()),
            true => Err(Error::Singular {
                what: "the density of a component without variance",
                alpha: self.level.alpha(),
                sigma: self.level.sigma(),
            }),
        }
    }

    /// The component as it is seen from `x`.
    pub(super) fn seen<'a>(&'a self, x: &[f64]) -> Seen<'a> {
        let (component, alpha) = (self.component, self.level.alpha());
        let off = Array1::from_iter(x.iter().zip(&component.mean).map(|(x, m)| x - alpha * m));
        let (centered, factors) = self.split(component.turned(off));
        let term = |(y, v): (&f64, &f64)| y * y / v + (std::f64::consts::TAU * v).ln();
        let mut log = -0.5 * centered.iter().zip(&self.variances).map(term).sum::<f64>();
        if let Some(inner) = &self.inner {
            let determinant: f64 = inner.l_dirty().diagonal().iter().map(|l| l.ln()).sum();
            log -= 0.5 * factors.dot(&factors) + determinant;
        }
        Seen {
            log: component.weight.ln() + log,
            noisy: self,
            centered,
            factors,
        }
    }

    /// An offset in the axes, as what factors are expected to make of it, and the rest.
    fn split(&self, off: Array1<f64>) -> (Array1<f64>, Array1<f64>) {
        let (Shape::Factors(factors), Some(inner)) = (&self.component.shape, &self.inner) else {
            return (off, Array1::zeros(0));
        };
        let alpha = self.level.alpha();
        let right = factors.dot(&(&off / &self.variances)) * alpha;
        let solved = inner.solve(&DVector::from_iterator(right.len(), right));
        let expected = Array1::from_iter(solved.iter().copied());
        (off - factors.t().dot(&expected) * alpha, expected)
    }

    /// `alpha C (alpha^2 C + sigma^2 I)^-1` times an offset that is split already.
    fn gained(&self, rest: &Array1<f64>, expected: &Array1<f64>) -> Array1<f64> {
        // Where all variance is noise (0 of 0 at a point of clean data) nothing is gained.
        let gain = |((v, n), y): ((&f64, &f64), &f64)| {
            if *n == 0.0 {
                0.0
            } else {
                self.level.alpha() * v / n * y
            }
        };
        let variances = self.component.variances.iter().zip(&self.variances);
        let gained = Array1::from_iter(variances.zip(rest).map(gain));
        let gained = self.component.restored(gained);
        match &self.component.shape {
            Shape::Factors(factors) => gained + factors.t().dot(expected),
            _ => gained,
        }
    }

    /// `alpha C (alpha^2 C + sigma^2 I)^-1 v`.
    pub(super) fn gain(&self, v: &Array1<f64>) -> Array1<f64> {
        let (rest, expected) = self.split(self.component.turned(v.clone()));
        self.gained(&rest, &expected)
    }

    /// The trace of `alpha C (alpha^2 C + sigma^2 I)^-1`.
    pub(super) fn gain_trace(&self) -> f64 {
        let gain = |v: f64, n: f64| match n == 0.0 {
            true => 0.0,
            false => self.level.alpha() * v / n,
        };
        let pairs = self.component.variances.iter().zip(&self.variances);
        let trace: f64 = pairs.map(|(&v, &n)| gain(v, n)).sum();
        let Some((factors, left)) = self.left_of_factors() else {
            return trace;
        };
        let sigma2 = self.level.sigma().powi(2);
        let each = (factors * left).sum_axis(ndarray::Axis(0));
        let terms = each
            .iter()
            .zip(&self.variances)
            .map(|(h, n)| h / n * (sigma2 / n));
        trace + self.level.alpha() * terms.sum::<f64>()
    }

    /// `sigma^2 C (alpha^2 C + sigma^2 I)^-1`, the covariance that is left of the data.
    pub(super) fn left(&self) -> Array2<f64> {
        let noise = self.level.sigma() * self.level.sigma();
        let left = |(v, n): (&f64, &f64)| if *n == 0.0 { 0.0 } else { noise * v / n };
        let variances = self.component.variances.iter().zip(&self.variances);
        let own = self
            .component
            .matrix(&Array1::from_iter(variances.map(left)));
        match self.left_of_factors() {
            None => own,
            Some((factors, left)) => {
                let share = self.variances.mapv(|n| noise / n);
                own + (factors * &share).t().dot(&(left * &share))
            }
        }
    }

    /// The covariance of the factors, given a point: `(I + alpha^2 F D^-1 F^T)^-1`.
    pub(super) fn of_factors(&self) -> Array2<f64> {
        match &self.inner {
            None => Array2::zeros((0, 0)),
            Some(inner) => {
                let (inverse, rank) = (inner.inverse(), inner.l_dirty().nrows());
                Array2::from_shape_fn((rank, rank), |(i, j)| inverse[(i, j)])
            }
        }
    }

    /// The factors `F`, and `(I + alpha^2 F D^-1 F^T)^-1 F`.
    fn left_of_factors(&self) -> Option<(&Array2<f64>, Array2<f64>)> {
        let (Shape::Factors(factors), Some(inner)) = (&self.component.shape, &self.inner) else {
            return None;
        };
        let (rank, size) = factors.dim();
        let solved = inner.solve(&DMatrix::from_fn(rank, size, |i, j| factors[[i, j]]));
        let left = Array2::from_shape_fn((rank, size), |(i, j)| solved[(i, j)]);
        Some((factors, left))
    }
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

    /// The score with the other sign: the inverse of the noisy covariance times the offset.
    pub(super) fn pull(&self) -> Array1<f64> {
        let along = &self.centered / &self.noisy.variances;
        self.noisy.component.restored(along)
    }

    /// `E[x_0 | x]` under this component.
    pub(super) fn posterior_mean(&self) -> Array1<f64> {
        self.noisy.gained(&self.centered, &self.factors) + &self.noisy.component.mean
    }

    /// The expected factors.
    pub(super) fn factors(&self) -> &Array1<f64> {
        &self.factors
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
