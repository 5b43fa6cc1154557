//! What training is free to choose.

use clap::{Args, ValueEnum};
use gaussian_diffusion::{
    Error, Parameterization, Step,
    rand::RngCore,
    training::{
        EmaRule, Weight,
        times::{Draws, LossSecondMoment, TimeSampler, UniformStep, Uniforms},
    },
};

/// The choices, as options of the program.
#[derive(Debug, Clone, Args)]
pub struct Recipe {
    /// Batches to train on
    #[arg(long, default_value_t = 3000, value_name = "N")]
    pub train_steps: usize,
    /// How much an error counts at each noise level
    #[arg(long, value_enum, default_value_t = Weighting::Velocity)]
    weight: Weighting,
    /// How the times of a batch are drawn
    #[arg(long, value_enum, default_value_t = Times::Stratified)]
    times: Times,
    /// Decay of the running average of the weights, the network that is kept; 0 for none
    #[arg(long, default_value_t = 0.99, value_name = "DECAY")]
    ema: f64,
}

/// Weights of the squared error.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Weighting {
    /// The same for every error of the velocity
    Velocity,
    /// The same for every error of the noise: the simple loss of DDPM
    Noise,
    /// The same for every error of the digit
    X0,
    /// min(SNR, 5) on the error of the digit
    MinSnr,
    /// max(SNR, 1) on the error of the digit
    TruncatedSnr,
    /// 1 / (1 + SNR) on the error of the noise
    P2,
}

/// Distributions of the times. All are unbiased for times that are equally likely.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Times {
    /// Independent of one another
    Uniform,
    /// One in each of as many equal parts as there are items
    Stratified,
    /// Evenly spaced
    LowDiscrepancy,
    /// In pairs of a little and much noise
    Antithetic,
    /// More often where the loss is large
    Loss,
}

impl Recipe {
    /// The recipe of the defaults, for so many batches.
    #[cfg(test)]
    pub fn of(train_steps: usize) -> Self {
        Self {
            train_steps,
            weight: Weighting::Velocity,
            times: Times::Stratified,
            ema: 0.99,
        }
    }

    pub fn weight(&self) -> Result<Weight, Error> {
        Ok(match self.weight {
            Weighting::Velocity => Weight::uniform(Parameterization::Velocity),
            Weighting::Noise => Weight::uniform(Parameterization::Noise),
            Weighting::X0 => Weight::uniform(Parameterization::X0),
            Weighting::MinSnr => Weight::min_snr(5.0)?,
            Weighting::TruncatedSnr => Weight::truncated_snr(),
            Weighting::P2 => Weight::p2(1.0, 1.0)?,
        })
    }

    pub fn ema(&self) -> Result<EmaRule, Error> {
        EmaRule::ramped(self.ema)
    }

    /// The source of times, for a schedule of so many steps.
    pub fn times(&self, steps: usize) -> Result<TimeSource, Error> {
        let by_loss = match self.times {
            Times::Loss => Some(LossSecondMoment::new(steps)?),
            _ => None,
        };
        let uniforms = match self.times {
            Times::Uniform => Uniforms::Independent,
            Times::Stratified | Times::Loss => Uniforms::Stratified,
            Times::LowDiscrepancy => Uniforms::LowDiscrepancy,
            Times::Antithetic => Uniforms::Antithetic,
        };
        Ok(TimeSource {
            uniform: UniformStep::new(steps)?,
            by_loss,
            uniforms,
        })
    }
}

/// Draws the times of batches.
#[derive(Debug)]
pub struct TimeSource {
    uniform: UniformStep,
    by_loss: Option<LossSecondMoment>,
    uniforms: Uniforms,
}

impl TimeSource {
    /// Times, and the factors that make the loss unbiased for uniform ones.
    pub fn draw(
        &self,
        count: usize,
        rng: &mut dyn RngCore,
    ) -> Result<(Vec<Step>, Vec<f64>), Error> {
        let draws: Draws<Step> = match &self.by_loss {
            Some(sampler) => sampler.draw(self.uniforms, count, rng)?,
            None => self.uniform.draw(self.uniforms, count, rng)?,
        };
        let factors = draws.weights_for(&self.uniform);
        Ok((draws.times, factors))
    }

    /// Takes note of how large the losses at these times were.
    pub fn note(&mut self, times: &[Step], losses: &[f64]) -> Result<(), Error> {
        match &mut self.by_loss {
            Some(sampler) => sampler.update(times, losses),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use gaussian_diffusion::rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn every_law_is_unbiased_for_uniform_times() {
        // The mean of t over uniform steps is 4.5; losses are largest at the last one.
        for times in Times::value_variants() {
            let recipe = Recipe {
                times: *times,
                ..Recipe::of(0)
            };
            let mut source = recipe.times(10).unwrap();
            let mut rng = StdRng::seed_from_u64(1);
            for _ in 0..20 {
                let (times, _) = source.draw(100, &mut rng).unwrap();
                let losses: Vec<_> = times.iter().map(|t| t.get().powi(2)).collect();
                source.note(&times, &losses).unwrap();
            }
            let (times, factors) = source.draw(100_000, &mut rng).unwrap();
            let sum: f64 = times.iter().zip(&factors).map(|(t, f)| t.get() * f).sum();
            // Five deviations of the mean of independent times are 0.045.
            assert!((sum / 1e5 - 4.5).abs() < 0.05, "{recipe:?} {sum}");
        }
    }
}
