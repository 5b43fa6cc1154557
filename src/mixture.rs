//! Mixtures of Gaussians: data for which everything is known in closed form.

mod component;
mod divergence;
mod measured;
mod samples;

use ndarray::{Array, Array1, Array2, Dimension};

use component::{Component, Seen, check_orthonormal};

use crate::{
    Denoiser, Error, NoiseLevel, Point, Prediction,
    rand::{Rng, RngCore},
    rand_distr::StandardNormal,
    state::{Real, for_each_item, item_len},
};

/// A mixture of Gaussians, `p(x_0) = sum of w_k N(mean_k, C_k)`, and its exact denoiser for arrays.
///
/// At the noise level `(alpha, sigma)` it is again a mixture, of `N(alpha mean_k, alpha^2 C_k +
/// sigma^2 I)`, so that log-density, score and `E[x_0 | x]` are closed forms on every schedule.
///
/// $$p(x_t)=\sum_k w_k\thinspace\mathcal N\big(\alpha\mu_k,\ \alpha^2C_k+\sigma^2I\big),\qquad
///   \mathbb E[x_0\mid x,k]=\mu_k+\alpha C_k(\alpha^2C_k+\sigma^2I)^{-1}(x-\alpha\mu_k)$$
///
/// A covariance is given by its variances along axes: those of the coordinates, or orthonormal ones
/// of your own. A variance of 0 is allowed; with all of them 0 a component is a point.
///
/// As a [`Denoiser`] it takes arrays of any dimension whose items have as many elements as it has
/// dimensions.
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, NoiseLevel};
/// let mixture = GaussianMixture::isotropic(&[(0.5, &[-1.0][..], 0.04), (0.5, &[1.0][..], 0.04)])?;
/// let level = NoiseLevel::new(0.6, 0.8)?;
/// assert_eq!(mixture.posterior_mean(&[0.0], level)?[0], 0.0);
/// assert_eq!(mixture.score(&[0.0], level)?[0], 0.0);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianMixture {
    components: Vec<Component>,
    dimension: usize,
}

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
            (*weight, mean, vec![*variance; mean.len()], None)
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
            (*weight, mean.as_ref(), variances.as_ref().to_vec(), None)
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
                Some(axes.clone()),
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

    fn build<'a>(
        parts: impl Iterator<Item = (f64, &'a [f64], Vec<f64>, Option<Array2<f64>>)>,
    ) -> Result<Self, Error> {
        let mut components = Vec::new();
        let mut dimension = None;
        for (index, (weight, mean, variances, axes)) in parts.enumerate() {
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
            if let Some(axes) = &axes {
                check_orthonormal(axes, dimension)?;
            }
            let (mean, variances) = (Array1::from(mean.to_vec()), Array1::from(variances));
            components.push(Component {
                weight,
                mean,
                variances,
                axes,
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

    /// Number of dimensions.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Number of components.
    pub fn components(&self) -> usize {
        self.components.len()
    }

    /// The weight of each component with its mean and its variances along its axes.
    pub(crate) fn in_axes(&self) -> impl Iterator<Item = (f64, Array1<f64>, &Array1<f64>)> {
        self.components.iter().map(|component| {
            let mean = match &component.axes {
                Some(axes) => axes.dot(&component.mean),
                None => component.mean.clone(),
            };
            (component.weight, mean, &component.variances)
        })
    }

    /// The mean of the data.
    pub fn mean(&self) -> Array1<f64> {
        self.weighted(|component| component.mean.clone())
    }

    /// The variance of each coordinate of the data.
    pub fn variances(&self) -> Array1<f64> {
        let mean = self.mean();
        self.weighted(|component| {
            let within = match &component.axes {
                Some(axes) => axes.mapv(|a| a * a).t().dot(&component.variances),
                None => component.variances.clone(),
            };
            within + (&component.mean - &mean).mapv(|d| d * d)
        })
    }

    fn weighted(&self, f: impl Fn(&Component) -> Array1<f64>) -> Array1<f64> {
        let mut sum = Array1::zeros(self.dimension);
        for component in &self.components {
            sum = sum + f(component) * component.weight;
        }
        sum
    }

    /// The log-density of the noisy data at `x`, in nats.
    ///
    /// # Errors
    ///
    /// If `x` has another dimension or is not finite or so far that the density is 0, or at the clean
    /// level for a component with a variance of 0; so for the two that follow.
    pub fn log_density(&self, x: &[f64], level: NoiseLevel) -> Result<f64, Error> {
        let (_, log) = self.see(x, level, true)?;
        Ok(log)
    }

    /// The score at `x`: the gradient of [`log_density`](Self::log_density).
    ///
    /// # Errors
    ///
    /// As [`log_density`](Self::log_density).
    pub fn score(&self, x: &[f64], level: NoiseLevel) -> Result<Array1<f64>, Error> {
        let (seen, total) = self.see(x, level, true)?;
        let mut score = Array1::zeros(self.dimension);
        for Seen {
            component,
            centered,
            noisy,
            log,
        } in seen
        {
            score = score - component.restored(centered / noisy) * (log - total).exp();
        }
        Ok(score)
    }

    /// `E[x_0 | x]`, what an ideal network predicts.
    ///
    /// # Errors
    ///
    /// As [`log_density`](Self::log_density); a single component may be a point at every level.
    #[doc(alias("denoise"))]
    pub fn posterior_mean(&self, x: &[f64], level: NoiseLevel) -> Result<Array1<f64>, Error> {
        let (seen, total) = self.see(x, level, self.components.len() > 1)?;
        let mut mean = Array1::zeros(self.dimension);
        for seen in seen {
            mean = mean + seen.posterior_mean(level) * seen.probability(total);
        }
        Ok(mean)
    }

    /// `count` samples of the data, one per row.
    ///
    /// ```
    /// use gaussian_diffusion::{GaussianMixture, rand::{SeedableRng, rngs::StdRng}};
    /// let mixture = GaussianMixture::point(&[1.0, 2.0])?;
    /// let rows = mixture.sample(3, &mut StdRng::seed_from_u64(0));
    /// assert_eq!(rows, ndarray::array![[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn sample<R: RngCore + ?Sized>(&self, count: usize, rng: &mut R) -> Array2<f64> {
        let mut rows = Array2::zeros((count, self.dimension));
        for mut row in rows.rows_mut() {
            let mut left: f64 = rng.random();
            let chosen = self.components.iter().find(|component| {
                left -= component.weight;
                left < 0.0
            });
            // Rounding may leave a rest after the last weight.
            let Some(component) = chosen.or(self.components.last()) else {
                continue;
            };
            let z = component
                .variances
                .mapv(|v| v.sqrt() * rng.sample::<f64, _>(StandardNormal));
            row.assign(&(component.restored(z) + &component.mean));
        }
        rows
    }

    /// The components as they are seen from `x`, and the log-density of all.
    fn see(
        &self,
        x: &[f64],
        level: NoiseLevel,
        needs_density: bool,
    ) -> Result<(Vec<Seen<'_>>, f64), Error> {
        if x.len() != self.dimension {
            let (expected, found) = (vec![self.dimension], vec![x.len()]);
            return Err(Error::Shape {
                what: "point",
                expected,
                found,
            });
        }
        if let Some((i, &bad)) = x.iter().enumerate().find(|(_, x)| !x.is_finite()) {
            return Err(Error::element("point", i, bad, "a finite number"));
        }
        let mut seen = Vec::with_capacity(self.components.len());
        for component in &self.components {
            let centered = component.centered(x, level.alpha());
            let noisy = component.noisy_variances(level);
            if needs_density && noisy.iter().any(|v| *v == 0.0) {
                let what = "the density of a component without variance";
                let (alpha, sigma) = (level.alpha(), level.sigma());
                return Err(Error::Singular { what, alpha, sigma });
            }
            let log = component.weight.ln() + component.log_density(&centered, &noisy);
            seen.push(Seen {
                component,
                centered,
                noisy,
                log,
            });
        }
        let most = seen
            .iter()
            .fold(f64::NEG_INFINITY, |most, seen| most.max(seen.log));
        let sum: f64 = seen.iter().map(|seen| (seen.log - most).exp()).sum();
        let total = most + sum.ln();
        if needs_density && !total.is_finite() {
            let allowed = "a finite number: a point less far from the components";
            return Err(Error::range("log-density", most, allowed));
        }
        Ok((seen, total))
    }
}

impl<A: Real, D: Dimension, T> Denoiser<Array<A, D>, T> for GaussianMixture {
    fn predict(&mut self, x: &Array<A, D>, at: Point<T>) -> Result<Prediction<Array<A, D>>, Error> {
        if item_len(x) != self.dimension {
            return Err(Error::Shape {
                what: "item of the batch",
                expected: vec![self.dimension],
                found: x.shape().iter().skip(1).copied().collect(),
            });
        }
        let mut answer = x.clone();
        let mut result = Ok(());
        for_each_item(&mut answer, |_, mut item| {
            let point: Vec<f64> = item.iter().map(|x| x.get()).collect();
            match self.posterior_mean(&point, at.level) {
                Ok(mean) => item
                    .iter_mut()
                    .zip(&mean)
                    .for_each(|(x, mean)| *x = A::of(*mean)),
                Err(error) => result = Err(error),
            }
        });
        result.map(|()| Prediction::x0(answer))
    }
}
