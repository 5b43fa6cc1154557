//! Posterior sampling with a Gaussian in the place of `p(x_0 | x_t)`.

use std::{fmt, sync::Arc};

use super::{Measurement, Operator, dps::data_vjp, krylov::solve};
use crate::{
    Denoiser, Error, Parameterization, Point, Prediction,
    denoiser::{Differentiable, memory_of},
    state::State,
};

/// The covariance of `p(x_0 | x_t)`.
#[derive(Clone)]
enum Covariance<V> {
    /// That of isotropic data with this variance.
    Isotropic(f64),
    /// `sigma^2 / alpha` times the Jacobian of the denoiser.
    Jacobian,
    /// The user's, and whether the data is moved by it.
    Given(Arc<Given<V>>, bool),
}

/// What a covariance makes of a vector.
type Given<V> = dyn Fn(&V, &Prediction<V>, Point<()>) -> Result<V, Error> + Send + Sync;

impl<V> fmt::Debug for Covariance<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Isotropic(variance) => write!(f, "Isotropic({variance})"),
            Self::Jacobian => f.write_str("Jacobian"),
            Self::Given(..) => f.write_str("Given"),
        }
    }
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
/// | [`with_covariance`](Self::with_covariance) | yours, such as a learned variance of each element |
///
/// For data that is one Gaussian the second is the exact posterior. The systems are solved by GMRES
/// with at most `iterations` applications; each asks the second kind for one vector-Jacobian product.
/// As many as there are measurements solve exactly. Where no signal is left the state says nothing,
/// and the prediction is left as it was.
///
/// [Sources](crate::docs::papers#pseudoinverse-guided-diffusion-models-for-inverse): Pseudoinverse-Guided Diffusion Models for Inverse Problems, Song, Vahdat,
/// Mardani, Kautz, 2023; Learning Diffusion Priors from Observations by Expectation Maximization, Rozet,
/// Andry, Lanusse, Louppe, 2024 (MMPS); Improving Diffusion Models for Inverse Problems Using Optimal Posterior Covariance,
/// Peng, Zheng, Dai, Xiao, Li, Zou, Xiong, 2024 (learned variances).
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
    covariance: Covariance<V>,
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

    /// A covariance of your own: what it makes of a vector, given the network's answer as a prediction of the data, with its
    /// variance if it gives one, and the point.
    ///
    /// It is to be symmetric and without negative eigenvalues, for each item; where it is the true covariance of Gaussian data
    /// the result is exact.
    ///
    /// # Errors
    ///
    /// If there is no iteration.
    ///
    /// ```
    /// use gaussian_diffusion::{Denoiser, GaussianMixture, Markov, ModelVariance, NoiseLevel, Point, Posterior, Prediction, Step};
    /// use gaussian_diffusion::{denoiser::Differentiable, guidance::{GaussianPosterior, Measurement}};
    /// use ndarray::{Array2, array};
    /// # struct Net;
    /// # impl Denoiser<Array2<f64>, Step> for Net {
    /// #     fn predict(&mut self, x: &Array2<f64>, _: Point<Step>) -> Result<Prediction<Array2<f64>>, gaussian_diffusion::Error> {
    /// #         Ok(Prediction::x0(x * 0.5).with_variance(x.mapv(|_| -2.0)))
    /// #     }
    /// # }
    /// # impl Differentiable<Array2<f64>, Step> for Net {
    /// #     fn vjp(&mut self, _: &Array2<f64>, _: Point<Step>, v: &Array2<f64>) -> Result<Array2<f64>, gaussian_diffusion::Error> {
    /// #         Ok(v * 0.5)
    /// #     }
    /// # }
    /// // A network that gives the log-variance of the step to the level below, as DDPMs of learned variance do: beyond the
    /// // posterior's, it is that of the data, seen through the posterior's coefficient.
    /// let learned = |v: &Array2<f64>, said: &Prediction<Array2<f64>>, at: Point<()>| {
    ///     let q = Markov.coefficients(at.from, at.to)?;
    ///     let log_variance = said.variance.clone().unwrap_or(Array2::zeros(v.dim()));
    ///     Ok(log_variance.mapv(|l: f64| (l.exp() - q.std * q.std).max(0.0) / (q.clean * q.clean)) * v)
    /// };
    /// let y = Measurement::new(array![[1.0, 0.5]], array![[2.0]], 0.1)?;
    /// let mut net = GaussianPosterior::with_covariance(Net, y, learned, 1)?;
    /// let at = Point::new(Step::new(5), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::new(0.8, 0.6)?);
    /// let guided = net.predict(&array![[0.3, -0.2]], at)?.value;
    /// # assert!(guided.iter().all(|x| x.is_finite()));
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("posterior covariance", "convert", "analytic"))]
    pub fn with_covariance(
        inner: D,
        measurement: Measurement<O, V>,
        covariance: impl Fn(&V, &Prediction<V>, Point<()>) -> Result<V, Error> + Send + Sync + 'static,
        iterations: usize,
    ) -> Result<Self, Error> {
        let covariance = Covariance::Given(Arc::new(covariance), false);
        Self::new(inner, measurement, covariance, iterations)
    }

    /// The same, moving the data by that covariance too in the place of the Jacobian: `x0 + V A^T (..)^-1 (y - A x0)`, the mean of the
    /// Gaussian given the measurement. The network is not differentiated.
    ///
    /// Of the two other kinds, MMPS is this already, and PiGDM is left as it is.
    #[doc(alias("type II guidance"))]
    #[must_use]
    pub fn moving_by_covariance(mut self) -> Self {
        if let Covariance::Given(_, moves) = &mut self.covariance {
            *moves = true;
        }
        self
    }

    fn new(
        inner: D,
        measurement: Measurement<O, V>,
        covariance: Covariance<V>,
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
            let v = match covariance {
                Covariance::Jacobian => pulled(u)?,
                Covariance::Given(given, _) => {
                    given(&operator.transposed(x0, u)?, &answer, at.with_time(()))?
                }
                Covariance::Isotropic(variance) => {
                    let variance = *variance;
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
        let moved = match covariance {
            Covariance::Given(given, true) => {
                given(&operator.transposed(x0, &u)?, &answer, at.with_time(()))?
            }
            _ => pulled(&u)?,
        };
        answer.value.combine(1.0, &[(1.0, &moved)])?;
        answer.data = None;
        Ok(answer)
    }

    memory_of!(inner);
}
