//! The variational bound in discrete time.

use std::fmt::Debug;

use ndarray::{Array, Dimension};

use super::{
    Continuous, Decoder, Estimate, InNats, LogDensity, Nats,
    elements::{Element, noised, per_item, prior},
};
use crate::{
    Bridge, Denoiser, Error, Grid, Markov, ModelVariance, NoiseLevel, Point, Posterior, Prediction,
    Spread, Variance, gaussian_kl,
    noise::NoiseSource,
    plan::{Affine, Moments},
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
/// $$\log p(x_0)\ \ge\ -\underbrace{\mathrm{KL}(q(x_T|x_0)\,\|\,p(x_T))}_{L_T}
///   -\sum_{t=2}^T\mathbb E\,\underbrace{\mathrm{KL}(q(x_s|x_t,x_0)\,\|\,p(x_s|x_t))}_{L_t}
///   -\mathbb E\,\underbrace{[-\log p(x_0|x_1)]}_{L_0}$$
///
/// Works on any grid that ends at the data, whole or respaced, with any [`ModelVariance`]. Fixed
/// variances of the last step are clipped as [`ModelVariance::spread`] says. All numbers are nats per
/// item, summed over its elements; the total is a [`LogProbability`](super::LogProbability) or a
/// [`LogDensity`], as the decoder has it. Each term is drawn with one noise; averages over draws and
/// items are for [`Estimate::of`].
///
/// Source: Denoising Diffusion Probabilistic Models, Ho, Jain, Abbeel, 2020, equation 5.
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, Grid, ModelVariance, Noise, schedule::Discrete};
/// use gaussian_diffusion::likelihood::{Discretized, VariationalBound};
/// use ndarray::array;
///
/// let schedule = Discrete::cosine(200)?;
/// let grid = Grid::every(&schedule)?;
/// let bound = VariationalBound::new(&grid, ModelVariance::FixedSmall, Discretized::images())?;
/// // Items of two 8-bit pixels.
/// let x0 = array![[127.0, 128.0], [130.0, 60.0]].mapv(|level: f64| 2.0 * level / 255.0 - 1.0);
/// let mut net = GaussianMixture::isotropic(&[(1.0, &[0.0, 0.0][..], 0.1)])?;
/// let terms = bound.evaluate(&x0, &mut net, &mut Noise::seeded(0))?;
/// assert_eq!(terms.steps.len(), 199);
/// let bits = terms.total()[0].bits_per_dim(2)?;
/// assert!(bits.get() > 0.0 && bits.get() < 8.0, "{bits}");
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("ELBO", "VLB", "calc_bpd_loop", "bits per dimension"))]
#[derive(Debug, Clone, PartialEq)]
pub struct VariationalBound<T, D> {
    start: NoiseLevel,
    /// The steps that reach noise.
    steps: Vec<BoundStep<T>>,
    /// The step that reaches the data.
    last: BoundStep<T>,
    decoder: D,
}

/// A step of the bound: two Gaussians, and where the network is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BoundStep<T> {
    /// What the network is asked about.
    pub point: Point<T>,
    /// `q(x_s | x_t, x_0)`.
    pub posterior: Bridge,
    /// The deviation of `p(x_s | x_t)`, or where the network says it.
    pub spread: Spread,
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

impl<T> BoundStep<T> {
    fn new(
        point: Point<T>,
        previous: Option<(NoiseLevel, NoiseLevel)>,
        variance: ModelVariance,
    ) -> Result<Self, Error> {
        let (from, to) = (point.from, point.to);
        Ok(Self {
            posterior: Markov.bridge(from, to)?,
            spread: variance.spread(from, to, previous)?,
            point,
        })
    }

    /// `KL(q(x_s | x_t, x_0) || p(x_s | x_t))` of each item, in nats, for an `x_t` and an answer of
    /// your own.
    ///
    /// Infinite for the step to the data, whose posterior is a point.
    ///
    /// # Errors
    ///
    /// If a shape differs, a needed variance is missing, the prediction does not determine the data,
    /// or holds a NaN.
    pub fn divergence<A: Real, D: Dimension>(
        &self,
        x_0: &Array<A, D>,
        x_t: &Array<A, D>,
        prediction: &Prediction<Array<A, D>>,
    ) -> Result<Vec<Nats>, Error> {
        let sums = self.sum(x_0, x_t, prediction, |element| Ok(self.element(element)))?;
        Ok(sums.into_iter().map(Nats::of).collect())
    }

    /// `log p(x_0 | x_1)` of each item under a decoder, for the step to the data.
    ///
    /// # Errors
    ///
    /// As [`divergence`](Self::divergence), or if the decoder refuses the data.
    pub fn reconstruction<A: Real, D: Dimension, C: Decoder>(
        &self,
        x_0: &Array<A, D>,
        x_t: &Array<A, D>,
        prediction: &Prediction<Array<A, D>>,
        decoder: &C,
    ) -> Result<Vec<C::Likelihood>, Error> {
        let sums = self.sum(x_0, x_t, prediction, |element| {
            let Element {
                x_0,
                predicted,
                log_variance,
            } = element;
            Ok(decoder.log_likelihood(x_0, predicted, log_variance)?.get())
        })?;
        let likelihood = |sum| C::Likelihood::of_nats(Nats::of(sum));
        Ok(sums.into_iter().map(likelihood).collect())
    }

    fn sum<A: Real, D: Dimension>(
        &self,
        x_0: &Array<A, D>,
        x_t: &Array<A, D>,
        prediction: &Prediction<Array<A, D>>,
        f: impl Fn(Element) -> Result<f64, Error>,
    ) -> Result<Vec<f64>, Error> {
        let Point { level, step, .. } = self.point;
        per_item(x_0, x_t, prediction, level, self.spread, step, f)
    }

    /// The means differ only by what they say of `x_0`.
    fn element(&self, element: Element) -> f64 {
        let distance = self.posterior.clean * (element.x_0 - element.predicted);
        let model = element.log_variance.exp();
        gaussian_kl(distance, self.posterior.variance(), 0.0, model)
    }
}

impl<T: Copy + Debug, C: Decoder> VariationalBound<T, C> {
    /// The bound of the process on this grid.
    ///
    /// # Errors
    ///
    /// If the grid does not end at the data.
    pub fn new(grid: &Grid<T>, variance: ModelVariance, decoder: C) -> Result<Self, Error> {
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
            steps.push(BoundStep::new(point, previous, variance)?);
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
        self.last.spread = Spread::Std(variance.std());
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

    /// `L_T` of each item, in nats. Needs no network.
    ///
    /// # Errors
    ///
    /// If the data holds a NaN or an infinity.
    pub fn prior<A: Real, D: Dimension>(&self, x_0: &Array<A, D>) -> Result<Vec<Nats>, Error> {
        prior(x_0, self.start)
    }

    /// Every term of the bound, with one draw of noise for each step.
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
            steps.push(step_divergence(step, x_0, network, noise)?);
        }
        Ok(BoundTerms {
            prior,
            steps,
            reconstruction: self.draw_reconstruction(x_0, network, noise)?,
        })
    }

    /// The lower bound of each item's log-likelihood from `draws` steps of all, evenly drawn with
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
    /// use gaussian_diffusion::{GaussianMixture, Grid, ModelVariance, Noise, schedule::Discrete};
    /// use gaussian_diffusion::likelihood::{Continuous, VariationalBound};
    /// use gaussian_diffusion::rand::{SeedableRng, rngs::StdRng};
    /// let grid = Grid::every(&Discrete::cosine(100)?)?;
    /// let bound = VariationalBound::new(&grid, ModelVariance::FixedSmall, Continuous)?;
    /// let mut net = GaussianMixture::isotropic(&[(1.0, &[0.0][..], 0.5)])?;
    /// let (mut noise, mut rng) = (Noise::seeded(0), StdRng::seed_from_u64(0));
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
        let mut terms: Vec<Vec<Nats>> = vec![Vec::with_capacity(draws); prior.len()];
        for _ in 0..draws {
            let drawn = match self.steps.get(rng.random_range(0..count)) {
                Some(step) => step_divergence(step, x_0, network, noise)?,
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

fn step_divergence<T, A, D, N, S>(
    step: &BoundStep<T>,
    x_0: &Array<A, D>,
    network: &mut N,
    noise: &mut S,
) -> Result<Vec<Nats>, Error>
where
    T: Copy,
    A: Real,
    D: Dimension,
    N: Denoiser<Array<A, D>, T> + ?Sized,
    S: NoiseSource<Array<A, D>> + ?Sized,
{
    let x_t = noised(x_0, step.point.level, noise)?;
    let prediction = network.predict(&x_t, step.point)?;
    step.divergence(x_0, &x_t, &prediction)
}

impl<T: Copy + Debug> VariationalBound<T, Continuous> {
    /// The exact expectation of every term for one-dimensional data of these moments and a network
    /// that is affine at every level: nothing is drawn, and the shape of the data does not matter.
    ///
    /// # Errors
    ///
    /// If the bound needs a variance from the network.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, ModelVariance, Variance, schedule::Discrete};
    /// use gaussian_diffusion::plan::{Affine, Moments};
    /// use gaussian_diffusion::likelihood::{Continuous, VariationalBound};
    /// let grid = Grid::every(&Discrete::cosine(1000)?)?;
    /// let bound = VariationalBound::new(&grid, ModelVariance::FixedSmall, Continuous)?;
    /// let variance = Variance::new(0.25)?;
    /// let terms = bound.expected(Moments { mean: 0.4, variance: 0.25 }, |level| {
    ///     Affine::of_gaussian(0.4, variance, level)
    /// })?;
    /// // The entropy of the data, which no bound undercuts.
    /// let entropy = 0.5 * (std::f64::consts::TAU * std::f64::consts::E * 0.25).ln();
    /// let gap = -terms.total()[0].nats().get() - entropy;
    /// assert!(gap > 0.0 && gap < 0.02);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn expected(
        &self,
        data: Moments,
        network: impl Fn(NoiseLevel) -> Affine,
    ) -> Result<BoundTerms<LogDensity>, Error> {
        let one = |nats| vec![Nats::of(nats)];
        let prior = Variance::of_std(self.start.alpha().hypot(self.start.sigma()));
        let own = Variance::of_std(self.start.sigma());
        let away = self.start.alpha() * data.mean.hypot(data.variance.sqrt());
        let mut steps = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let error = expected_error(data, network(step.point.level), step.point.level);
            let distance = step.posterior.clean * error.sqrt();
            let model = fixed(step.spread)?.0;
            steps.push(one(gaussian_kl(
                distance,
                step.posterior.variance(),
                0.0,
                model,
            )));
        }
        let level = self.last.point.level;
        let error = expected_error(data, network(level), level).sqrt();
        let (_, log_variance) = fixed(self.last.spread)?;
        let last = Continuous.log_likelihood(error, 0.0, log_variance)?;
        Ok(BoundTerms {
            prior: one(gaussian_kl(away, own, 0.0, prior)),
            steps,
            reconstruction: vec![LogDensity::of_nats(last)],
        })
    }
}

fn fixed(spread: Spread) -> Result<(Variance, crate::LogVariance), Error> {
    match spread {
        Spread::Std(std) => {
            let variance = Variance::of_std(std);
            Ok((variance, variance.ln()))
        }
        Spread::Learned | Spread::LearnedRange { .. } => Err(Error::Missing {
            what: "the variance of the network",
            needed_by: "the expected bound",
        }),
    }
}

/// `E (x_0 - slope x_t - offset)^2`.
fn expected_error(data: Moments, network: Affine, level: NoiseLevel) -> f64 {
    let Affine { slope, offset } = network;
    let kept = 1.0 - slope * level.alpha();
    let bias = data.mean * kept - offset;
    bias * bias + kept * kept * data.variance + (slope * level.sigma()).powi(2)
}
