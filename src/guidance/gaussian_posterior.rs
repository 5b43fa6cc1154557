//! Posterior sampling with a Gaussian in the place of `p(x_0 | x_t)`.

use super::{Measurement, Operator, dps::data_vjp, krylov::solve};
use crate::{
    Denoiser, Error, Parameterization, Point, Prediction,
    denoiser::{Differentiable, memory_of},
    state::State,
};

/// The covariance of `p(x_0 | x_t)`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Covariance {
    /// That of isotropic data with this variance.
    Isotropic(f64),
    /// `sigma^2 / alpha` times the Jacobian of the denoiser.
    Jacobian,
}

/// The prediction given a linear measurement, for a Gaussian `p(x_0 | x_t) = N(x0, V)`:
/// `x0 + (sigma^2 / alpha) J^T A^T (A V A^T + std^2 I)^-1 (y - A x0)`, with the Jacobian `J` of `x0`.
///
/// $$\tilde x_0=\hat x_0+\frac{\sigma^2}{\alpha}J^\top A^\top\big(AVA^\top+\sigma_y^2I\big)^{-1}(y-A\hat x_0)$$
///
/// | made by | `V` |
/// |---|---|
/// | [`pseudo_inverse`](Self::pseudo_inverse) (PiGDM) | `sigma^2 v / (alpha^2 v + sigma^2) I`, for data of variance `v` |
/// | [`moment_matching`](Self::moment_matching) (MMPS) | `(sigma^2 / alpha) J`, the true covariance for an exact denoiser |
///
/// For data that is one Gaussian the second is the exact posterior. The systems are solved by GMRES
/// with at most `iterations` applications; each asks the second kind for one vector-Jacobian product.
/// As many as there are measurements solve exactly. Where no signal is left the state says nothing,
/// and the prediction is left as it was.
///
/// [Sources](crate::docs::papers#pseudoinverse-guided-diffusion-models-for-inverse): Pseudoinverse-Guided Diffusion Models for Inverse Problems, Song, Vahdat,
/// Mardani, Kautz, 2023; Learning Diffusion Priors from Observations by Expectation Maximization, Rozet,
/// Andry, Lanusse, Louppe, 2024 (MMPS).
///
/// ```
/// use gaussian_diffusion::{Denoiser, GaussianMixture, NoiseLevel, Point, Step};
/// use gaussian_diffusion::guidance::{GaussianPosterior, Measurement};
/// use ndarray::array;
/// let data = GaussianMixture::diagonal(&[(1.0, &[0.0, 1.0][..], &[1.0, 0.2][..])])?;
/// let (a, y) = (array![[1.0, 0.5]], array![[2.0]]);
/// let exact = data.measured(&a, &[0.01], &[2.0])?;
/// let mut net = GaussianPosterior::moment_matching(data, Measurement::new(a, y, 0.1)?, 1)?;
/// let (x, level) = (array![[0.3, -0.2]], NoiseLevel::new(0.6, 0.8)?);
/// let found = net.predict(&x, Point::new(Step::new(5), level, NoiseLevel::CLEAN))?.value;
/// let expected = exact.posterior_mean(&[0.3, -0.2], level)?;
/// assert!((&found.row(0) - &expected).iter().all(|d| d.abs() < 1e-12));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("PiGDM", "MMPS", "inverse problem"))]
#[derive(Debug, Clone)]
pub struct GaussianPosterior<D, O, V> {
    inner: D,
    measurement: Measurement<O, V>,
    covariance: Covariance,
    iterations: usize,
}

impl<D, O, V> GaussianPosterior<D, O, V> {
    /// PiGDM, for data of this variance (the paper takes 1).
    ///
    /// # Errors
    ///
    /// If the variance is not positive and finite, or there is no iteration.
    pub fn pseudo_inverse(
        inner: D,
        measurement: Measurement<O, V>,
        variance: f64,
        iterations: usize,
    ) -> Result<Self, Error> {
        if !(variance > 0.0 && variance.is_finite()) {
            let what = "variance of the data";
            return Err(Error::range(what, variance, "a finite number above 0"));
        }
        Self::new(
            inner,
            measurement,
            Covariance::Isotropic(variance),
            iterations,
        )
    }

    /// MMPS.
    ///
    /// # Errors
    ///
    /// If there is no iteration.
    pub fn moment_matching(
        inner: D,
        measurement: Measurement<O, V>,
        iterations: usize,
    ) -> Result<Self, Error> {
        Self::new(inner, measurement, Covariance::Jacobian, iterations)
    }

    fn new(
        inner: D,
        measurement: Measurement<O, V>,
        covariance: Covariance,
        iterations: usize,
    ) -> Result<Self, Error> {
        if iterations == 0 {
            return Err(Error::range("number of iterations", 0.0, "1 or more"));
        }
        Ok(Self {
            inner,
            measurement,
            covariance,
            iterations,
        })
    }
}

impl<V, T, D, O> Denoiser<V, T> for GaussianPosterior<D, O, V>
where
    V: State,
    T: Copy,
    D: Differentiable<V, T>,
    O: Operator<V>,
{
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        let Self {
            inner,
            measurement,
            covariance,
            iterations,
        } = self;
        let answer = inner.predict(x, at)?;
        let (alpha, noise) = (at.level.alpha(), at.level.sigma() * at.level.sigma());
        if alpha == 0.0 || noise == 0.0 {
            return Ok(answer);
        }
        let map = answer.parameterization.to(Parameterization::X0, at.level)?;
        let mut answer = answer.to(Parameterization::X0, x, at.level)?;
        let x0 = &answer.value;
        let operator = measurement.operator();
        let residual = measurement.residual(x0)?;
        // V A^T u, where V is that of the Jacobian.
        let mut pulled = |u: &V| {
            let v = operator.transposed(x0, u)?;
            let mut v = data_vjp(inner, map, x, at, &v)?;
            v.combine(noise / alpha, &[])?;
            Ok::<V, Error>(v)
        };
        let apply = |u: &V| {
            let v = match *covariance {
                Covariance::Jacobian => pulled(u)?,
                Covariance::Isotropic(variance) => {
                    let left = noise * variance / (alpha * alpha * variance + noise);
                    let mut v = operator.transposed(x0, u)?;
                    v.combine(left, &[])?;
                    v
                }
            };
            let mut y = operator.apply(&v)?;
            y.combine(1.0, &[(measurement.variance(), u)])?;
            Ok(y)
        };
        let u = solve(apply, &residual, *iterations)?;
        let moved = pulled(&u)?;
        answer.value.combine(1.0, &[(1.0, &moved)])?;
        answer.data = None;
        Ok(answer)
    }

    memory_of!(inner);
}
