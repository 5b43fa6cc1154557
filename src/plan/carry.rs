//! A mean and a variance carried through the table of a plan, without an array and without a sample.

use std::{collections::VecDeque, fmt::Debug};

use super::Plan;
use crate::{Error, NoiseLevel, Parameterization, UpdateNoise, Variance, solver::Update};

/// What a network says of the data in one dimension: `x0 = slope * x + offset`.
///
/// The exact denoiser of Gaussian data has this form at every level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// Coefficient of the noisy value.
    pub slope: f64,
    /// Constant.
    pub offset: f64,
}

impl Affine {
    /// The exact denoiser `E[x_0 | x]` for data `N(mean, variance)`.
    ///
    /// `x0 = mean + g (x - alpha mean)` with `g = alpha variance / (alpha^2 variance + sigma^2)`.
    pub fn of_gaussian(mean: f64, variance: Variance, level: NoiseLevel) -> Self {
        let (alpha, variance) = (level.alpha(), variance.get());
        let total = alpha * alpha * variance + level.sigma() * level.sigma();
        // A point of data at the clean level: any slope will do.
        let slope = if total == 0.0 {
            0.0
        } else {
            alpha * variance / total
        };
        Self {
            slope,
            offset: mean * (1.0 - slope * alpha),
        }
    }
}

/// Mean and variance of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// The mean.
    pub mean: f64,
    /// The variance.
    pub variance: f64,
}

/// A value as a constant and coefficients of independent standard normals, one for the start and
/// one for each draw: sums of such values are exact, also where they share noise.
type Terms = Vec<f64>;

/// The size of the numbers a sum is made of, which is what its rounding errors are relative to.
fn size(parts: &[(f64, &Terms)]) -> f64 {
    let norm = |terms: &Terms| {
        let Moments { mean, variance } = moments(terms);
        mean.abs() + variance.sqrt()
    };
    parts.iter().map(|(c, terms)| c.abs() * norm(terms)).sum()
}

fn combine(parts: &[(f64, &Terms)]) -> Terms {
    let length = parts
        .iter()
        .map(|(_, terms)| terms.len())
        .max()
        .unwrap_or(0);
    let mut sum = vec![0.0; length];
    for (coefficient, terms) in parts {
        for (total, term) in sum.iter_mut().zip(terms.iter()) {
            *total += coefficient * term;
        }
    }
    sum
}

fn moments(terms: &Terms) -> Moments {
    let (mean, rest) = terms
        .split_first()
        .map_or((0.0, &[][..]), |(m, rest)| (*m, rest));
    Moments {
        mean,
        variance: rest.iter().map(|c| c * c).sum(),
    }
}

impl<T: Copy + Debug> Plan<T> {
    /// Mean and variance at the end of the run for a one-dimensional start of this mean and variance, and a network
    /// that is affine at every level: the distribution of the samples with none drawn.
    ///
    /// # Errors
    ///
    /// If the plan needs a variance from the network, or a conversion has no value at a level.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, Plan, Variance, plan::{Affine, Moments}, schedule::Discrete, solver::Ddpm};
    /// let schedule = Discrete::cosine(1000)?;
    /// let plan = Plan::new(&schedule, &Grid::every(&schedule)?, &Ddpm::default())?;
    /// let data = |level| Affine::of_gaussian(2.0, Variance::new(0.25).unwrap(), level);
    /// let end = plan.carry(Moments { mean: 0.0, variance: 1.0 }, data)?;
    /// assert!((end.mean - 2.0).abs() < 1e-3 && (end.variance - 0.25).abs() < 2e-2);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn carry(
        &self,
        start: Moments,
        network: impl Fn(NoiseLevel) -> Affine,
    ) -> Result<Moments, Error> {
        let start = vec![start.mean, start.variance.sqrt()];
        let end = self.carry_terms(start, &mut Sources::default(), |level, x, _| {
            let Affine { slope, offset } = network(level);
            Ok(combine(&[(slope, x), (1.0, &vec![offset])]))
        })?;
        Ok(moments(&end))
    }

    /// How far the table is from the means and variances of the forward process: with exact predictions for the
    /// data `x_0 = 1`, the largest distance of mean from `alpha` and of standard deviation from `sigma`, where
    /// the network is asked and at the end, relative to `alpha + sigma` there, or to the largest sum of
    /// sizes on the way, by its weight in the result, where that is more: noise predictions near zero
    /// SNR take differences of large numbers.
    ///
    /// A solver that is consistent with its schedule has a defect of the size of rounding errors.
    ///
    /// # Errors
    ///
    /// As [`carry`](Self::carry).
    pub fn defect(&self) -> Result<f64, Error> {
        let distance = |level: NoiseLevel, terms: &Terms, sources: &Sources| {
            let Moments { mean, variance } = moments(terms);
            let (alpha, sigma) = (level.alpha(), level.sigma());
            let off = (mean - alpha).abs().max((variance.sqrt() - sigma).abs());
            off / sources.rounding_in(terms).max(alpha + sigma)
        };
        let mut worst = 0.0_f64;
        let mut sources = Sources {
            rounding: Some(Vec::new()),
            ..Sources::default()
        };
        let start = self.start();
        let start = vec![start.alpha(), start.sigma()];
        let end = self.carry_terms(start, &mut sources, |level, x, sources| {
            worst = worst.max(distance(level, x, sources));
            Ok(vec![1.0])
        })?;
        Ok(worst.max(distance(self.end(), &end, &sources)))
    }

    /// How much of the network's errors reaches the end: the largest error of the result for a
    /// network whose every prediction, in these terms, is off by at most 1 and does not react to
    /// where the errors before it led.
    ///
    /// For x0-predictions and a run to the data, 1 means that errors are averaged and never grow. A
    /// network that predicts the noise has the noise-to-signal ratio of the start.
    ///
    /// # Errors
    ///
    /// If a conversion has no value at a level.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, Parameterization, Plan, schedule::Discrete, solver::Ddim};
    /// let schedule = Discrete::cosine(1000)?;
    /// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 20)?, &Ddim::default())?;
    /// assert!((plan.amplification(Parameterization::X0)? - 1.0).abs() < 1e-12);
    /// let start = plan.levels()[0].noise_to_signal();
    /// assert!((plan.amplification(Parameterization::Noise)? / start - 1.0).abs() < 1e-9);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn amplification(&self, of: Parameterization) -> Result<f64, Error> {
        let mut errors = Vec::new();
        // A network that says 0 and an error that no other answer shares.
        let end = self.carry_terms(vec![0.0], &mut Sources::default(), |level, x, sources| {
            let map = of.to(Parameterization::X0, level)?;
            let mut x0 = combine(&[(map.state, x)]);
            sources.add(&mut x0, map.prediction);
            errors.push(sources.count);
            Ok(x0)
        })?;
        Ok(errors
            .iter()
            .map(|&error| end.get(error).map_or(0.0, |c| c.abs()))
            .sum())
    }

    /// The value at the end, for a network that predicts the data as such a value.
    fn carry_terms(
        &self,
        start: Terms,
        sources: &mut Sources,
        mut x0: impl FnMut(NoiseLevel, &Terms, &mut Sources) -> Result<Terms, Error>,
    ) -> Result<Terms, Error> {
        sources.count = start.len().saturating_sub(1);
        let mut history: VecDeque<Terms> = VecDeque::new();
        let (mut state, mut trial): (Terms, Option<Terms>) = (start, None);
        for planned in &self.stages {
            let (stage, level) = (&planned.stage, planned.point.level);
            if let Some(renoise) = &stage.renoise {
                state = combine(&[(renoise.state, &state)]);
                sources.draw(renoise.noise, &mut state)?;
            }
            let seen = trial.take().unwrap_or_else(|| state.clone());
            let data = x0(level, &seen, sources)?;
            let map = match stage.basis {
                Parameterization::X0 => None,
                basis => Some(Parameterization::X0.to(basis, level)?),
            };
            let prediction = match map {
                None => data,
                Some(map) => combine(&[(map.state, &seen), (map.prediction, &data)]),
            };
            remember(&mut history, prediction, self.memory);
            if let Some(commit) = &stage.commit {
                apply(commit, &mut state, &history, sources)?;
            }
            if let Some(update) = &stage.trial {
                let mut next = state.clone();
                apply(update, &mut next, &history, sources)?;
                trial = Some(next);
            }
        }
        Ok(state)
    }
}

fn remember(history: &mut VecDeque<Terms>, newest: Terms, memory: usize) {
    history.push_front(newest);
    history.truncate(memory);
}

fn apply(
    update: &Update,
    x: &mut Terms,
    history: &VecDeque<Terms>,
    sources: &mut Sources,
) -> Result<(), Error> {
    let mut parts = vec![(update.state, &*x)];
    parts.extend(update.model.iter().copied().zip(history));
    let size = size(&parts);
    *x = combine(&parts);
    sources.round(x, size);
    sources.draw(update.noise, x)
}

/// The independent normals in use.
#[derive(Default)]
struct Sources {
    /// The index of the last one.
    count: usize,
    /// Those that stand for rounding errors, where these are followed.
    rounding: Option<Vec<usize>>,
}

impl Sources {
    /// Adds a normal of its own to a value.
    fn add(&mut self, x: &mut Terms, coefficient: f64) {
        self.count += 1;
        x.resize(self.count, 0.0);
        x.push(coefficient);
    }

    /// Adds the rounding error of a sum of numbers of this size, which is far too small to be seen in
    /// a variance.
    fn round(&mut self, x: &mut Terms, size: f64) {
        if self.rounding.is_some() {
            self.add(x, f64::EPSILON * size);
        }
        if let Some(rounding) = &mut self.rounding {
            rounding.push(self.count);
        }
    }

    /// The largest sum whose rounding error is in a value, by its weight there.
    fn rounding_in(&self, x: &Terms) -> f64 {
        let errors = self.rounding.iter().flatten();
        let sizes = errors.map(|&i| x.get(i).map_or(0.0, |c| c.abs()));
        sizes.fold(0.0, f64::max) / f64::EPSILON
    }

    /// Adds the noise of an update.
    fn draw(&mut self, noise: UpdateNoise, x: &mut Terms) -> Result<(), Error> {
        match noise {
            UpdateNoise::Std(0.0) => {}
            UpdateNoise::Std(std) => self.add(x, std),
            UpdateNoise::Learned | UpdateNoise::LearnedRange { .. } => {
                return Err(Error::Missing {
                    what: "the variance of the network",
                    needed_by: "the law of the plan",
                });
            }
        }
        Ok(())
    }
}
