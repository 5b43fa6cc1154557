//! The bound without a sample: its expectation for affine networks.

use std::fmt::Debug;

use super::{BoundTerms, Continuous, Decoder, InNats, LogDensity, Nats, VariationalBound};
use crate::{
    Error, LogVariance, NoiseLevel, UpdateNoise, Variance, gaussian_kl,
    plan::{Affine, Moments},
};

impl<T: Copy + Debug> VariationalBound<T, Continuous> {
    /// The exact expectation of every term for one-dimensional data of these moments and a network
    /// that is affine at every level: nothing is drawn, and the shape of the data does not matter.
    ///
    /// # Errors
    ///
    /// If the bound needs a variance from the network.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, LogSnr, ModelVariance, Variance, schedule::LogSnrLinear};
    /// use gaussian_diffusion::plan::{Affine, Moments};
    /// use gaussian_diffusion::likelihood::{Continuous, VariationalBound};
    /// let schedule = LogSnrLinear::new(LogSnr::new(-16.0)?, LogSnr::new(14.0)?)?;
    /// let grid = Grid::uniform_log_snr(&schedule, 1024)?;
    /// let last = grid.nodes()[1023].level.noise_to_signal();
    /// let bound = VariationalBound::new(&grid, ModelVariance::FixedSmall, Continuous)?
    ///     .with_last_variance(Variance::new(last * last)?)?;
    /// let variance = Variance::new(0.25)?;
    /// let terms = bound.expected(Moments { mean: 0.4, variance: 0.25 }, |level| {
    ///     Affine::of_gaussian(0.4, variance, level)
    /// })?;
    /// // The entropy of the data, which no bound undercuts.
    /// let entropy = 0.5 * (std::f64::consts::TAU * std::f64::consts::E * 0.25).ln();
    /// let gap = -terms.total()[0].nats().get() - entropy;
    /// assert!(gap > 0.0 && gap < 0.1);
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
            let model = fixed(step.noise)?.0;
            steps.push(one(gaussian_kl(
                distance,
                step.posterior.variance(),
                0.0,
                model,
            )));
        }
        let level = self.last.point.level;
        let error = expected_error(data, network(level), level).sqrt();
        let (_, log_variance) = fixed(self.last.noise)?;
        let last = Continuous.log_likelihood(error, 0.0, log_variance)?;
        Ok(BoundTerms {
            prior: one(gaussian_kl(away, own, 0.0, prior)),
            steps,
            reconstruction: vec![LogDensity::of_nats(last)],
        })
    }
}

fn fixed(spread: UpdateNoise) -> Result<(Variance, LogVariance), Error> {
    match spread {
        UpdateNoise::Std(std) => {
            let variance = Variance::of_std(std);
            Ok((variance, variance.ln()))
        }
        UpdateNoise::Learned | UpdateNoise::LearnedRange { .. } => Err(Error::Missing {
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
