//! Mixtures fitted to data.

mod factors;
mod rows;
mod start;

use ndarray::{Array, Array1, Array2, Axis, Dimension};

use super::{
    GaussianMixture,
    component::{Component, Shape, eigen},
    noisy::Noisy,
};
use crate::{Error, NoiseLevel, rand::RngCore, state::Real, time::check_count};
use rows::rows;

/// What the covariance of a fitted component may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MixtureCovariance {
    /// One variance for all coordinates.
    Spherical,
    /// A variance for each coordinate.
    Diagonal,
    /// Any covariance: the time of an iteration grows with the cube of the dimension.
    Full,
    /// A variance for each coordinate and so many [factors](GaussianMixture::low_rank): a mixture of factor
    /// analysers, in time that grows with the dimension alone.
    LowRank(usize),
}

/// A way to fit a mixture to samples, an array, by expectation and maximization.
///
/// Each iteration finds how likely each sample is to come of each component, and then the mixture for which samples
/// that came so are most likely. The likelihood of the samples grows with every one, towards a maximum near the start.
///
/// ```text
/// r_ik = w_k N(x_i; mean_k, C_k) / sum over k,   n_k = sum of r_ik,   w_k = n_k / n
/// mean_k = sum of r_ik x_i / n_k,   C_k = sum of r_ik (x_i - mean_k)(x_i - mean_k)^T / n_k + floor
/// ```
///
/// For factors the second line is that of the factors' own expectations. The fitted mixture is exact data for
/// everything here: its score, its denoiser and its likelihood are known, and it looks like the samples.
///
/// [Sources](crate::docs::papers#maximum-likelihood-from-incomplete-data): Maximum Likelihood from Incomplete Data via the EM
/// Algorithm, Dempster, Laird, Rubin, 1977; The EM Algorithm for Mixtures of Factor Analyzers, Ghahramani,
/// Hinton, 1996; k-means++: The Advantages of Careful Seeding, Arthur, Vassilvitskii, 2007.
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, MixtureCovariance, MixtureFit, rand::{SeedableRng, rngs::StdRng}};
/// let truth = GaussianMixture::isotropic(&[(0.3, &[-2.0, 0.0][..], 0.1), (0.7, &[2.0, 1.0][..], 0.3)])?;
/// let mut rng = StdRng::seed_from_u64(1);
/// let samples = truth.sample(2000, &mut rng);
/// let fitted = MixtureFit::new(2, MixtureCovariance::Spherical)?.fit(&samples, &mut rng)?;
/// assert!(fitted.converged);
/// assert!((fitted.mixture.mean() - truth.mean()).iter().all(|d| d.abs() < 0.1));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("EM", "GaussianMixtureModel", "GMM", "factor analysers"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MixtureFit {
    components: usize,
    covariance: MixtureCovariance,
    iterations: usize,
    tolerance: f64,
    floor: f64,
}

/// A mixture that was fitted.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FittedMixture {
    /// The mixture.
    pub mixture: GaussianMixture,
    /// The mean log-density of the samples under it, in nats.
    pub log_likelihood: f64,
    /// Iterations done.
    pub iterations: usize,
    /// Whether the last one changed the likelihood by less than the tolerance.
    pub converged: bool,
}

impl MixtureFit {
    /// Of so many components with covariances of this kind, by at most 100 iterations that change the mean
    /// log-density by 1e-3, with 1e-6 added to every variance.
    ///
    /// # Errors
    ///
    /// If there are no components, or more than 65,536; so for factors.
    pub fn new(components: usize, covariance: MixtureCovariance) -> Result<Self, Error> {
        check_count("number of components", components, 1 << 16)?;
        if let MixtureCovariance::LowRank(rank) = covariance {
            check_count("number of factors", rank, 1 << 16)?;
        }
        Ok(Self {
            components,
            covariance,
            iterations: 100,
            tolerance: 1e-3,
            floor: 1e-6,
        })
    }

    /// The same with at most so many iterations.
    #[must_use]
    pub const fn with_iterations(mut self, iterations: usize) -> Self {
        self.iterations = iterations;
        self
    }

    /// The same until an iteration changes the mean log-density by less than this; 0 does all iterations.
    ///
    /// # Errors
    ///
    /// If it is not in 0 to 1e6.
    pub fn with_tolerance(mut self, tolerance: f64) -> Result<Self, Error> {
        if !(0.0..=1e6).contains(&tolerance) {
            return Err(Error::range("tolerance", tolerance, "0 to 1e6"));
        }
        self.tolerance = tolerance;
        Ok(self)
    }

    /// The same with this added to every variance, so that no component shrinks to a point: for samples that are
    /// levels of grey, about the square of a level's width.
    ///
    /// # Errors
    ///
    /// If it is not in 1e-100 to 1e100.
    #[doc(alias("reg_covar"))]
    pub fn with_floor(mut self, floor: f64) -> Result<Self, Error> {
        if !(1e-100..=1e100).contains(&floor) {
            return Err(Error::range("floor", floor, "1e-100 to 1e100"));
        }
        self.floor = floor;
        Ok(self)
    }

    /// Fits samples, counted by the first axis, from means that are chosen among them, far from each other.
    ///
    /// # Errors
    ///
    /// If there are fewer samples than components, samples have no elements or fewer than factors, or a number is
    /// not in -1e100 to 1e100.
    pub fn fit<A: Real, D: Dimension, R: RngCore + ?Sized>(
        self,
        samples: &Array<A, D>,
        rng: &mut R,
    ) -> Result<FittedMixture, Error> {
        let rows = rows(samples)?;
        let count = rows.nrows();
        if count < self.components {
            let allowed = format!("{} or more, one for each component", self.components);
            return Err(Error::range("number of samples", count as f64, allowed));
        }
        let start = self.start(&rows, rng);
        self.improve(start, &rows)
    }

    /// Fits samples from a mixture on, with its number of components.
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit); if the mixture has another dimension, or, for covariances with factors, a component has
    /// not their number of factors; if a sample has no density.
    pub fn refine<A: Real, D: Dimension>(
        self,
        start: &GaussianMixture,
        samples: &Array<A, D>,
    ) -> Result<FittedMixture, Error> {
        let rows = rows(samples)?;
        if rows.nrows() == 0 {
            return Err(Error::range("number of samples", 0.0, "1 or more"));
        }
        if let MixtureCovariance::LowRank(rank) = self.covariance {
            for component in &start.components {
                let found = match &component.shape {
                    Shape::Factors(factors) => factors.nrows(),
                    _ => 0,
                };
                if found != rank {
                    let allowed = format!("{rank} in every component");
                    return Err(Error::range("number of factors", found as f64, allowed));
                }
            }
        }
        self.improve(start.clone(), &rows)
    }

    fn improve(
        self,
        mut mixture: GaussianMixture,
        rows: &Array2<f64>,
    ) -> Result<FittedMixture, Error> {
        let mut before = f64::NEG_INFINITY;
        let (mut iterations, mut converged) = (0, false);
        while iterations < self.iterations && !converged {
            let (log_likelihood, components) = self.iteration(&mixture, rows)?;
            mixture.components = components;
            iterations += 1;
            converged = (log_likelihood - before).abs() < self.tolerance;
            before = log_likelihood;
        }
        let noisy = mixture.noisy(NoiseLevel::CLEAN)?;
        let mut sum = 0.0;
        for row in rows.rows() {
            sum += mixture.see(&noisy, &row.to_vec(), true)?.1;
        }
        Ok(FittedMixture {
            log_likelihood: sum / rows.nrows() as f64,
            mixture,
            iterations,
            converged,
        })
    }

    /// The mean log-density of the samples, and the components that are best for where they are likely to come from.
    fn iteration(
        self,
        mixture: &GaussianMixture,
        rows: &Array2<f64>,
    ) -> Result<(f64, Vec<Component>), Error> {
        let noisy = mixture.noisy(NoiseLevel::CLEAN)?;
        let count = rows.nrows();
        let mut shares = Array2::zeros((count, noisy.len()));
        let mut factors: Vec<Vec<Array1<f64>>> = vec![Vec::new(); noisy.len()];
        let mut sum = 0.0;
        for (i, row) in rows.rows().into_iter().enumerate() {
            let (seen, total) = mixture.see(&noisy, &row.to_vec(), true)?;
            sum += total;
            for (k, seen) in seen.iter().enumerate() {
                shares[[i, k]] = seen.probability(total);
                factors[k].push(seen.factors().clone());
            }
        }
        let mut components = Vec::with_capacity(noisy.len());
        for (k, (noisy, factors)) in noisy.iter().zip(factors).enumerate() {
            let shares = shares.column(k).to_owned();
            let number = shares.sum();
            // A component that no sample comes of is left out.
            if number > 1e-8 {
                components.push(self.component(
                    noisy,
                    number,
                    rows,
                    &(shares / number),
                    &factors,
                )?);
            }
        }
        // So far each has the number of its samples.
        let total: f64 = components.iter().map(|component| component.weight).sum();
        components
            .iter_mut()
            .for_each(|component| component.weight /= total);
        Ok((sum / count as f64, components))
    }

    /// The component that is best for samples with these shares in it, which sum to 1.
    fn component(
        self,
        before: &Noisy<'_>,
        weight: f64,
        rows: &Array2<f64>,
        shares: &Array1<f64>,
        expected: &[Array1<f64>],
    ) -> Result<Component, Error> {
        let column = shares.view().insert_axis(Axis(1));
        if let MixtureCovariance::LowRank(rank) = self.covariance {
            return self.analysed(before, weight, rows, shares, expected, rank);
        }
        let mean = rows.t().dot(shares);
        let off = rows - &mean;
        let (variances, shape) = match self.covariance {
            MixtureCovariance::Full => {
                let covariance = off.t().dot(&(&off * &column));
                let own = Array2::from_diag_elem(mean.len(), self.floor);
                let matrix = 0.5 * (&covariance + &covariance.t()) + own;
                let Some((variances, axes)) = eigen(&matrix, None) else {
                    let what = "largest covariance of a component";
                    return Err(Error::range(what, f64::INFINITY, "finite"));
                };
                // Rounding may leave less than the floor.
                (variances.mapv(|v| v.max(self.floor)), Shape::Turned(axes))
            }
            kind => {
                let variances = off.mapv(|d| d * d).t().dot(shares);
                let variances = match kind {
                    MixtureCovariance::Spherical => {
                        Array1::from_elem(mean.len(), variances.mean().unwrap_or(0.0))
                    }
                    _ => variances,
                };
                (variances + self.floor, Shape::Straight)
            }
        };
        Ok(Component {
            weight,
            mean,
            variances,
            shape,
        })
    }
}
