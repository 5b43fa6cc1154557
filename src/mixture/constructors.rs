//! Mixtures from the parameters of their Gaussians.

use ndarray::{Array1, Array2};

use super::{
    Component, GaussianMixture, Shape,
    component::{check_factors, check_orthonormal},
};
use crate::Error;

impl GaussianMixture {
    /// Components `(weight, mean, variance)` with the same variance in every direction.
    ///
    /// Weights are relative: they are divided by their sum.
    ///
    /// # Errors
    ///
    /// If there is no component or no dimension; if a weight is not positive, a mean is not finite
    /// or has another length than the first, or a variance is negative or not finite.
    pub fn isotropic<M: AsRef<[f64]>>(components: &[(f64, M, f64)]) -> Result<Self, Error> {
        let parts = components.iter().map(|(weight, mean, variance)| {
            let mean = mean.as_ref();
            (*weight, mean, vec![*variance; mean.len()], Shape::Straight)
        });
        Self::build(parts)
    }

    /// Components `(weight, mean, variances)` with a variance for each coordinate.
    ///
    /// # Errors
    ///
    /// As [`isotropic`](Self::isotropic).
    pub fn diagonal<M: AsRef<[f64]>>(components: &[(f64, M, M)]) -> Result<Self, Error> {
        let parts = components.iter().map(|(weight, mean, variances)| {
            let variances = variances.as_ref().to_vec();
            (*weight, mean.as_ref(), variances, Shape::Straight)
        });
        Self::build(parts)
    }

    /// Components `(weight, mean, variances, axes)` with variances along orthonormal axes, the rows
    /// of a matrix: any covariance by its eigenvectors.
    ///
    /// # Errors
    ///
    /// As [`isotropic`](Self::isotropic), or if the axes are not orthonormal to 1e-8.
    pub fn rotated<M: AsRef<[f64]>>(
        components: &[(f64, M, M, Array2<f64>)],
    ) -> Result<Self, Error> {
        let parts = components.iter().map(|(weight, mean, variances, axes)| {
            (
                *weight,
                mean.as_ref(),
                variances.as_ref().to_vec(),
                Shape::Turned(axes.clone()),
            )
        });
        Self::build(parts)
    }

    /// Components `(weight, mean, variances, factors)` with the covariance `diag(variances) + F^T F` for the rows `F`
    /// of a matrix, few beside the dimension.
    ///
    /// Density, score and denoiser at any level take `rank^2 * dimension` operations for a level and
    /// `rank * dimension` for a point, by the identities of Woodbury, and never the cube of the dimension:
    ///
    /// ```text
    /// D = alpha^2 diag(variances) + sigma^2 I,   M = I + alpha^2 F D^-1 F^T,   c = alpha M^-1 F D^-1 (x - alpha mean)
    /// r = x - alpha mean - alpha F^T c
    /// score = -D^-1 r,   ln det = ln det D + ln det M,   E[x_0 | x] = mean + alpha variances D^-1 r + F^T c
    /// ```
    ///
    /// $$\big(\alpha^2F^\top F+D\big)^{-1}=D^{-1}-\alpha^2D^{-1}F^\top M^{-1}FD^{-1}$$
    ///
    /// # Errors
    ///
    /// As [`isotropic`](Self::isotropic), if a variance is 0, or if factors have another dimension or are not in
    /// -1e100 to 1e100.
    ///
    /// [Source](crate::docs::papers#updating-the-inverse-of-a-matrix): Updating the Inverse of a Matrix, Hager, 1989 (the identities of Woodbury).
    ///
    /// ```
    /// use gaussian_diffusion::{GaussianMixture, NoiseLevel};
    /// use ndarray::Array2;
    /// // One direction in 3072 dimensions.
    /// let factors = Array2::from_elem((1, 3072), 0.1);
    /// let data = GaussianMixture::low_rank(&[(1.0, vec![0.0; 3072], vec![0.01; 3072], factors)])?;
    /// let level = NoiseLevel::new(0.6, 0.8)?;
    /// let noisy = 0.36 * 0.01 + 0.64;
    /// let score = data.score(&vec![0.5; 3072], level)?;
    /// // Along it, the variance is that of the noise and of 3072 times the square of a factor.
    /// assert!((score[0] + 0.5 / (noisy + 0.36 * 0.01 * 3072.0)).abs() < 1e-12);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("factor analysis", "Woodbury", "probabilistic PCA"))]
    pub fn low_rank<M: AsRef<[f64]>>(
        components: &[(f64, M, M, Array2<f64>)],
    ) -> Result<Self, Error> {
        let parts = components.iter().map(|(weight, mean, variances, factors)| {
            (
                *weight,
                mean.as_ref(),
                variances.as_ref().to_vec(),
                Shape::Factors(factors.clone()),
            )
        });
        Self::build(parts)
    }

    /// Data that is always this point.
    ///
    /// # Errors
    ///
    /// As [`isotropic`](Self::isotropic).
    pub fn point(at: &[f64]) -> Result<Self, Error> {
        Self::isotropic(&[(1.0, at, 0.0)])
    }

    pub(super) fn build<'a>(
        parts: impl Iterator<Item = (f64, &'a [f64], Vec<f64>, Shape)>,
    ) -> Result<Self, Error> {
        let mut components = Vec::new();
        let mut dimension = None;
        for (index, (weight, mean, variances, shape)) in parts.enumerate() {
            let dimension = *dimension.get_or_insert(mean.len());
            if !(weight > 0.0 && weight <= 1e100) {
                return Err(Error::element(
                    "weights",
                    index,
                    weight,
                    "above 0 and up to 1e100",
                ));
            }
            for (what, length) in [("mean", mean.len()), ("variances", variances.len())] {
                if length != dimension {
                    let (expected, found) = (vec![dimension], vec![length]);
                    return Err(Error::Shape {
                        what,
                        expected,
                        found,
                    });
                }
            }
            if let Some((i, &bad)) = mean.iter().enumerate().find(|(_, m)| !m.is_finite()) {
                return Err(Error::element("mean", i, bad, "a finite number"));
            }
            let invalid = |v: &f64| !(*v == 0.0 || (1e-200..=1e200).contains(v));
            if let Some((i, &bad)) = variances.iter().enumerate().find(|(_, v)| invalid(v)) {
                return Err(Error::element("variances", i, bad, "0, or 1e-200 to 1e200"));
            }
            match &shape {
                Shape::Straight => {}
                Shape::Turned(axes) => check_orthonormal(axes, dimension)?,
                Shape::Factors(factors) => {
                    if let Some(i) = variances.iter().position(|v| *v == 0.0) {
                        let allowed = "1e-200 to 1e200 beside factors";
                        return Err(Error::element("variances", i, 0.0, allowed));
                    }
                    check_factors(factors, dimension)?;
                }
            }
            let (mean, variances) = (Array1::from(mean.to_vec()), Array1::from(variances));
            components.push(Component {
                weight,
                mean,
                variances,
                shape,
            });
        }
        let dimension = dimension.unwrap_or(0);
        if dimension == 0 {
            let what = if components.is_empty() {
                "number of components"
            } else {
                "dimension"
            };
            return Err(Error::range(what, 0.0, "1 or more"));
        }
        let total: f64 = components.iter().map(|component| component.weight).sum();
        components
            .iter_mut()
            .for_each(|component| component.weight /= total);
        Ok(Self {
            components,
            dimension,
        })
    }
}
