//! Mixtures of Gaussians: data for which everything is known in closed form.

mod component;
mod constructors;
mod divergence;
mod em;
mod measured;
mod noisy;
mod samples;

use ndarray::{Array, Array1, Array2, Dimension};

use component::{Component, Shape};
pub use em::{FittedMixture, MixtureCovariance, MixtureFit};
use noisy::{Noisy, Seen};

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
/// of your own. A variance of 0 is allowed; with all of them 0 a component is a point. In many
/// dimensions it may be variances and a few [factors](Self::low_rank), and no matrix is ever made of it.
///
/// [`of_samples`](Self::of_samples) takes the moments of groups of data, [`MixtureFit`] finds the groups.
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
    /// Number of dimensions.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Number of components.
    pub fn components(&self) -> usize {
        self.components.len()
    }

    /// The weight, the mean and the covariance of each component.
    ///
    /// ```
    /// use gaussian_diffusion::GaussianMixture;
    /// let mixture = GaussianMixture::isotropic(&[(3.0, &[0.0][..], 1.0), (1.0, &[2.0][..], 0.5)])?;
    /// let (weight, mean, covariance) = mixture.parts().nth(1).unwrap();
    /// assert_eq!((weight, mean[0], covariance[[0, 0]]), (0.25, 2.0, 0.5));
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn parts(&self) -> impl Iterator<Item = (f64, &Array1<f64>, Array2<f64>)> {
        let parts = self.components.iter();
        parts.map(|component| (component.weight, &component.mean, component.covariance()))
    }

    /// The weight of each component with its mean and its variances along its axes.
    pub(crate) fn in_axes(&self) -> impl Iterator<Item = (f64, Array1<f64>, Array1<f64>)> {
        self.components.iter().map(|component| {
            let (mean, variances) = component.in_axes();
            (component.weight, mean, variances)
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
            let within = component.of_coordinates();
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
        let (_, log) = self.see(&self.noisy(level)?, x, true)?;
        Ok(log)
    }

    /// The score at `x`: the gradient of [`log_density`](Self::log_density).
    ///
    /// # Errors
    ///
    /// As [`log_density`](Self::log_density).
    pub fn score(&self, x: &[f64], level: NoiseLevel) -> Result<Array1<f64>, Error> {
        let noisy = self.noisy(level)?;
        let (seen, total) = self.see(&noisy, x, true)?;
        let mut score = Array1::zeros(self.dimension);
        for seen in seen {
            score = score - seen.pull() * (seen.log - total).exp();
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
        self.mean_at(&self.noisy(level)?, x)
    }

    /// `E[x_0 | x]` where the components are noisy already.
    fn mean_at(&self, noisy: &[Noisy<'_>], x: &[f64]) -> Result<Array1<f64>, Error> {
        let (seen, total) = self.see(noisy, x, self.components.len() > 1)?;
        let mut mean = Array1::zeros(self.dimension);
        for seen in seen {
            mean = mean + seen.posterior_mean() * seen.probability(total);
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
            row.assign(&component.sample(|| rng.sample::<f64, _>(StandardNormal)));
        }
        rows
    }

    /// The components at a noise level.
    fn noisy(&self, level: NoiseLevel) -> Result<Vec<Noisy<'_>>, Error> {
        self.components
            .iter()
            .map(|component| component.noisy(level))
            .collect()
    }

    /// The components as they are seen from `x`, and the log-density of all.
    fn see<'a>(
        &self,
        noisy: &'a [Noisy<'a>],
        x: &[f64],
        needs_density: bool,
    ) -> Result<(Vec<Seen<'a>>, f64), Error> {
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
        let mut seen = Vec::with_capacity(noisy.len());
        for noisy in noisy {
            if needs_density {
                noisy.has_density()?;
            }
            seen.push(noisy.seen(x));
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
        let noisy = self.noisy(at.level)?;
        let mut answer = x.clone();
        let mut result = Ok(());
        for_each_item(&mut answer, |_, mut item| {
            let point: Vec<f64> = item.iter().map(|x| x.get()).collect();
            match self.mean_at(&noisy, &point) {
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
