//! The variational bound in discrete time.

use std::fmt::Debug;

use ndarray::{Array, Dimension};

use super::{
    BoundStep, Decoder, Estimate, InNats, Nats,
    elements::{noised, prior},
};
use crate::{
    Denoiser, Error, Grid, NoiseLevel, Point, ReverseVariance, UpdateNoise, Variance,
    noise::NoiseSource,
    rand::{Rng, RngCore},
    state::Real,
};

/// The evidence lower bound of a DDPM on a grid: prior, one divergence for each step, decoder.
///
/// ```text
/// log p(x_0) >= -L_T - sum of L_t for t = 2..T - L_0
///   L_T = KL(q(x_T|x_0) || p(x_T))              prior; p(x_T) = N(0, (alpha^2 + sigma^2) I)
///   L_t = KL(q(x_s|x_t,x_0) || p(x_s|x_t))      steps
///   L_0 = -log p(x_0|x_1)                       reconstruction, by the decoder
/// ```
///
/// $$\log p(x_0)\ \ge\ -\underbrace{\mathrm{KL}(q(x_T|x_0)\thinspace\Vert\thinspace p(x_T))}_ {L_T}
///   -\sum_{t=2}^T\mathbb E\thinspace\underbrace{\mathrm{KL}(q(x_s|x_t,x_0)\thinspace\Vert\thinspace p(x_s|x_t))}_ {L_t}
///   -\mathbb E\thinspace\underbrace{[-\log p(x_0|x_1)]}_ {L_0}$$
///
/// Works on any grid that ends at the data, whole or respaced, with any [`ModelVariance`](crate::ModelVariance) or
/// the best one of a network ([`AnalyticDpm`](crate::solver::AnalyticDpm)). Fixed variances of the last step are clipped
/// as [`ModelVariance::update_noise`](crate::ModelVariance::update_noise) says. All numbers are nats per
/// item, summed over its elements; the total is a [`LogProbability`](super::LogProbability) or a
/// [`LogDensity`](super::LogDensity), as the decoder has it. Each term is drawn with one noise; averages over draws and
/// items are for [`Estimate::of`].
///
/// [Source](crate::docs::papers#arxiv-2006.11239): Denoising Diffusion Probabilistic Models, Ho, Jain, Abbeel, 2020, equation
/// 5.
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, Grid, ModelVariance, SeededNoise, schedule::Discrete};
/// use gaussian_diffusion::likelihood::{Discretized, VariationalBound};
/// use ndarray::array;
///
/// let schedule = Discrete::cosine(200)?;
/// let grid = Grid::every(&schedule)?;
/// let bound = VariationalBound::new(&grid, ModelVariance::FixedSmall, Discretized::images())?;
/// // Items of two 8-bit pixels.
/// let x0 = array![[127.0, 128.0], [130.0, 60.0]].mapv(|level: f64| 2.0 * level / 255.0 - 1.0);
/// let mut net = GaussianMixture::isotropic(&[(1.0, &[0.0, 0.0][..], 0.1)])?;
/// let terms = bound.evaluate(&x0, &mut net, &mut SeededNoise::new(0))?;
/// assert_eq!(terms.steps.len(), 199);
/// let bits = terms.total()[0].bits_per_dim(2)?;
/// assert!(bits.get() > 0.0 && bits.get() < 8.0, "{bits}");
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("ELBO", "VLB", "calc_bpd_loop", "bits per dimension", "vb_terms_bpd"))]
#[derive(Debug, Clone, PartialEq)]
pub struct VariationalBound<T, D> {
    pub(super) start: NoiseLevel,
    /// The steps that reach noise.
    pub(super) steps: Vec<BoundStep<T>>,
    /// The step that reaches the data.
    pub(super) last: BoundStep<T>,
    decoder: D,
}

/// The terms of the bound for each item, in nats.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BoundTerms<L> {
    /// `L_T`.
    pub prior: Vec<Nats>,
    /// `L_t` of every step, the noisiest first: one list of items for each step.
    pub steps: Vec<Vec<Nats>>,
    /// `log p(x_0 | x_1)`, which is `-L_0`.
    pub reconstruction: Vec<L>,
}

impl<L: InNats> BoundTerms<L> {
    /// The lower bound of the log-likelihood of each item.
    pub fn total(&self) -> Vec<L> {
        let divergence = |i: usize| -> Nats {
            let steps = self.steps.iter().filter_map(|step| step.get(i).copied());
            steps.chain(self.prior.get(i).copied()).sum()
        };
        let items = self.reconstruction.iter().enumerate();
        items
            .map(|(i, last)| L::of_nats(last.nats() - divergence(i)))
            .collect()
    }
}

impl<T: Copy + Debug, C: Decoder> VariationalBound<T, C> {
    /// The bound of the process on this grid.
    ///
    /// # Errors
    ///
    /// If the grid does not end at the data.
    pub fn new<R: ReverseVariance>(grid: &Grid<T>, variance: R, decoder: C) -> Result<Self, Error> {
        let end = grid.end();
        if !end.is_clean() {
            let allowed = "0: a bound is on the data";
            return Err(Error::range("sigma of the end", end.sigma(), allowed));
        }
        let levels: Vec<_> = grid.levels().collect();
        let mut steps = Vec::with_capacity(grid.len());
        for ((step, node), pair) in grid.nodes().iter().enumerate().zip(levels.windows(2)) {
            let point = Point {
                step,
                ..Point::new(node.time, pair[0], pair[1])
            };
            let previous = step.checked_sub(1).map(|before| (levels[before], pair[0]));
            steps.push(BoundStep::new(point, previous, &variance)?);
        }
        let (Some(&start), Some(last)) = (levels.first(), steps.pop()) else {
            return Err(Error::range("number of steps", 0.0, "1 or more"));
        };
        Ok(Self {
            start,
            steps,
            last,
            decoder,
        })
    }

    /// The same with this variance of `p(x_0 | x_1)`.
    ///
    /// The clipped variance of the last step is made for sampling from steps that all are short. The
    /// bound meets the likelihood of continuous data, as steps grow many, with the one that
    /// `x_0 = (x_1 - sigma eps) / alpha` has, `sigma^2 / alpha^2` of the last level.
    ///
    /// # Errors
    ///
    /// If the variance is 0.
    pub fn with_last_variance(mut self, variance: Variance) -> Result<Self, Error> {
        if variance.get() == 0.0 {
            return Err(Error::range("variance of the decoder", 0.0, "above 0"));
        }
        self.last.noise = UpdateNoise::Std(variance.std());
        Ok(self)
    }

    /// The steps with a divergence, the noisiest first.
    pub fn steps(&self) -> &[BoundStep<T>] {
        &self.steps
    }

    /// The step that reaches the data.
    pub fn last(&self) -> &BoundStep<T> {
        &self.last
    }

    /// `L_T` of each item of an array, in nats. Needs no network.
    ///
    /// # Errors
    ///
    /// If the data holds a NaN or an infinity.
    pub fn prior<A: Real, D: Dimension>(&self, x_0: &Array<A, D>) -> Result<Vec<Nats>, Error> {
        prior(x_0, self.start)
    }

    /// Every term of the bound of an array, with one draw of noise for each step.
    ///
    /// # Errors
    ///
    /// If the network fails or answers with another shape, a NaN, or something that does not
    /// determine the data or lacks a variance; if the decoder refuses the data.
    pub fn evaluate<A, D, N, S>(
        &self,
        x_0: &Array<A, D>,
        network: &mut N,
        noise: &mut S,
    ) -> Result<BoundTerms<C::Likelihood>, Error>
    where
        A: Real,
        D: Dimension,
        N: Denoiser<Array<A, D>, T> + ?Sized,
        S: NoiseSource<Array<A, D>> + ?Sized,
    {
        let prior = self.prior(x_0)?;
        let mut steps = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            steps.push(step.draw(x_0, network, noise)?);
        }
        Ok(BoundTerms {
            prior,
            steps,
            reconstruction: self.draw_reconstruction(x_0, network, noise)?,
        })
    }

    /// The lower bound of the log-likelihood of each item of an array from `draws` steps of all, evenly drawn with
    /// replacement, the same for all items.
    ///
    /// Unbiased: `-L_T - n * (mean of the drawn terms)` for a grid of `n` steps, with the standard
    /// error of that mean (infinite for a single draw).
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate), or if there are 0 draws.
    ///
    /// ```
    /// use gaussian_diffusion::{GaussianMixture, Grid, ModelVariance, SeededNoise, schedule::Discrete};
    /// use gaussian_diffusion::likelihood::{Continuous, VariationalBound};
    /// use gaussian_diffusion::rand::{SeedableRng, rngs::StdRng};
    /// let grid = Grid::every(&Discrete::cosine(100)?)?;
    /// let bound = VariationalBound::new(&grid, ModelVariance::FixedSmall, Continuous)?;
    /// let mut net = GaussianMixture::isotropic(&[(1.0, &[0.0][..], 0.5)])?;
    /// let (mut noise, mut rng) = (SeededNoise::new(0), StdRng::seed_from_u64(0));
    /// let found = bound.estimate(&ndarray::array![[0.3]], &mut net, &mut noise, &mut rng, 20)?;
    /// assert!(found[0].standard_error.get() > 0.0);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn estimate<A, D, N, S, R>(
        &self,
        x_0: &Array<A, D>,
        network: &mut N,
        noise: &mut S,
        rng: &mut R,
        draws: usize,
    ) -> Result<Vec<Estimate<C::Likelihood>>, Error>
    where
        A: Real,
        D: Dimension,
        N: Denoiser<Array<A, D>, T> + ?Sized,
        S: NoiseSource<Array<A, D>> + ?Sized,
        R: RngCore + ?Sized,
    {
        if draws == 0 {
            return Err(Error::range("number of draws", 0.0, "1 or more"));
        }
        let prior = self.prior(x_0)?;
        let count = self.steps.len() + 1;
        let mut terms: Vec<Vec<Nats>> = vec![Vec::new(); prior.len()];
        for _ in 0..draws {
            let drawn = match self.steps.get(rng.random_range(0..count)) {
                Some(step) => step.draw(x_0, network, noise)?,
                None => {
                    let found = self.draw_reconstruction(x_0, network, noise)?;
                    found.into_iter().map(|found| -found.nats()).collect()
                }
            };
            for (list, term) in terms.iter_mut().zip(drawn) {
                list.push(term);
            }
        }
        let of_item = |(list, prior): (&Vec<Nats>, &Nats)| {
            Ok(Estimate::of(list)?.affine(-(count as f64), -*prior))
        };
        terms.iter().zip(&prior).map(of_item).collect()
    }

    fn draw_reconstruction<A, D, N, S>(
        &self,
        x_0: &Array<A, D>,
        network: &mut N,
        noise: &mut S,
    ) -> Result<Vec<C::Likelihood>, Error>
    where
        A: Real,
        D: Dimension,
        N: Denoiser<Array<A, D>, T> + ?Sized,
        S: NoiseSource<Array<A, D>> + ?Sized,
    {
        let x_t = noised(x_0, self.last.point.level, noise)?;
        let prediction = network.predict(&x_t, self.last.point)?;
        self.last
            .reconstruction(x_0, &x_t, &prediction, &self.decoder)
    }
}
