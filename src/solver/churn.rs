//! Noise before a step.

use super::{At, Path, ReverseStep, Stage, Update, exponential::inner};
use crate::{Error, LogSnr, NoiseLevel, Parameterization, Sigma, UpdateNoise, error::Number};

/// Churn: each step of a solver starts from a noisier level, reached with fresh noise.
///
/// `rho = sigma / alpha` becomes `rho' = (1 + gamma) rho` with `gamma = min(amount / n, sqrt(2) - 1)`
/// for `n` steps, where `rho` is within the range:
/// `x' = (alpha' / alpha) x + factor * sqrt(sigma'^2 - (alpha' sigma / alpha)^2) z`.
///
/// $$\hat\rho=(1+\gamma)\rho,\qquad \hat x=\frac{\hat\alpha}{\alpha}x+S_\text{noise}
///   \sqrt{\hat\sigma^2-\frac{\hat\alpha^2}{\alpha^2}\sigma^2}\thickspace z$$
///
/// For single-step solvers. Around [`Ddim`](super::Ddim) and
/// [`RungeKutta::heun`](super::RungeKutta::heun) these are the stochastic Euler and Heun samplers of
/// EDM.
///
/// [Source](crate::docs::papers#arxiv-2206.00364): Elucidating the Design Space of Diffusion-Based Generative Models, Karras,
/// Aittala, Aila, Laine, 2022, algorithm 2.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, Sigma, schedule::Edm, solver::{Churn, RungeKutta}};
/// let schedule = Edm::default();
/// let solver = Churn::new(RungeKutta::heun(), 40.0)?
///     .with_noise_between(Sigma::new(0.05)?, Sigma::new(50.0)?)?
///     .with_noise_factor(1.003)?;
/// let plan = Plan::new(&schedule, &Grid::karras(&schedule, 18)?, &solver)?;
/// assert_eq!(plan.evaluations(), 35);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("s_churn", "s_tmin", "s_tmax", "s_noise", "gamma", "KarrasVeScheduler"))]
#[derive(Debug, Clone, PartialEq)]
pub struct Churn<S> {
    inner: S,
    amount: f64,
    range: (f64, f64),
    noise: f64,
    asks_before: Option<Parameterization>,
    name: String,
}

impl<S: ReverseStep> Churn<S> {
    /// Churn of this total amount over a run, everywhere, with noise of factor 1.
    ///
    /// # Errors
    ///
    /// If the amount is negative, NaN or infinite.
    pub fn new(inner: S, amount: f64) -> Result<Self, Error> {
        if !(amount >= 0.0 && amount.is_finite()) {
            let allowed = "a finite number from 0 on";
            return Err(Error::range("amount of churn", amount, allowed));
        }
        let name = format!("{} with churn", inner.name());
        Ok(Self {
            inner,
            amount,
            range: (0.0, f64::INFINITY),
            noise: 1.0,
            asks_before: None,
            name,
        })
    }

    /// Only in steps that leave a noise-to-signal ratio between these two, both included.
    ///
    /// # Errors
    ///
    /// If `min` is above `max`.
    pub fn with_noise_between(mut self, min: Sigma, max: Sigma) -> Result<Self, Error> {
        if min > max {
            let allowed = format!("up to {}", Number(max.get()));
            return Err(Error::range("min sigma of churn", min.get(), allowed));
        }
        self.range = (min.get(), max.get());
        Ok(self)
    }

    /// Multiplies the noise; anything but 1 changes the distribution of the result.
    ///
    /// # Errors
    ///
    /// If the factor is not 0 to 10.
    pub fn with_noise_factor(mut self, factor: f64) -> Result<Self, Error> {
        self.noise = super::check_noise_factor(factor)?;
        Ok(self)
    }

    /// Asks the network before the noise is added, and takes what it answers in these terms for the
    /// answer after.
    ///
    /// Euler's method in diffusers does this with the noise. It does not keep the standard deviation of
    /// the forward process: the defect of a run closes as 1/n. With the data kept there is no defect.
    /// For solvers of one evaluation a step.
    #[must_use]
    pub fn with_evaluation_before(mut self, kept: Parameterization) -> Self {
        self.asks_before = Some(kept);
        self
    }
}

impl<S: ReverseStep> ReverseStep for Churn<S> {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let from = path.from();
        let ratio = from.noise_to_signal();
        let gamma = (self.amount / path.steps() as f64).min(std::f64::consts::SQRT_2 - 1.0);
        let is_active = self.range.0 <= ratio && ratio <= self.range.1;
        if !(gamma > 0.0 && is_active && inner(from)) || path.is_inverted() {
            return self.inner.stages(path);
        }
        let snr = LogSnr::from_sigma(Sigma::new(ratio * (1.0 + gamma))?);
        let above = path.level_at(snr)?;
        let state = above.alpha() / from.alpha();
        let kept = state * from.sigma();
        let variance = (above.sigma() - kept) * (above.sigma() + kept);
        let std = self.noise * variance.max(0.0).sqrt();
        let renoise = Update::new(state).with_noise(UpdateNoise::Std(std));
        let mut stages = self.inner.stages(&path.leaving(above))?;
        if let Some(kept) = self.asks_before {
            return asked_before(stages, &renoise, above, kept);
        }
        if let Some(first) = stages.first_mut() {
            first.renoise = Some(renoise);
        }
        for stage in &mut stages {
            if stage.at == At::From {
                stage.at = At::LogSnr(snr);
            }
        }
        Ok(stages)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn memory(&self) -> usize {
        self.inner.memory()
    }

    fn follows_points(&self) -> bool {
        self.inner.follows_points()
    }

    fn order(&self) -> u32 {
        match self.asks_before.is_some() && self.amount > 0.0 {
            true => self.inner.order().min(1),
            false => self.inner.order(),
        }
    }

    fn order_on_uneven_steps(&self) -> u32 {
        self.inner.order_on_uneven_steps().min(self.order())
    }
}

/// The only stage with the noise in its commit, and its prediction in the terms that are kept.
fn asked_before(
    stages: Vec<Stage>,
    renoise: &Update,
    above: NoiseLevel,
    kept: Parameterization,
) -> Result<Vec<Stage>, Error> {
    let [
        Stage {
            basis,
            commit: Some(commit),
            ..
        },
    ] = stages.as_slice()
    else {
        return Err(Error::Missing {
            what: "a solver of one evaluation a step",
            needed_by: "churn that asks before it adds noise",
        });
    };
    // What the commit takes, from what is kept at the level above: its map is of the state there.
    let map = kept.to(*basis, above)?;
    let newest = commit.model.first().copied().unwrap_or(0.0);
    let step = Update::new(commit.state + newest * map.state);
    let mut whole = renoise.clone().then(&step);
    whole.model = vec![newest * map.prediction];
    Ok(vec![Stage::new(At::From, kept).with_commit(whole)])
}
