//! The reverse stochastic equation by its simplest method.

use super::{At, Coordinates, Path, ReverseStep, Stage, Update, exponential::inner};
use crate::{Error, Parameterization, UpdateNoise};

/// Euler-Maruyama on the reverse stochastic equation, in `x / alpha` against `rho^2`.
///
/// With `rho = sigma / alpha`, `y = x / alpha`, `r = rho_s / rho_t`:
///
/// ```text
/// y_s = y_t + (1 + tau^2) / 2 * (1 - r^2) (x_0 - y_t) + tau sqrt(rho_t^2 - rho_s^2) z
/// ```
///
/// $$y_s=y_t+\tfrac{1+\tau^2}2(1-r^2)(\hat x_0-y_t)+\tau\sqrt{\rho_t^2-\rho_s^2}\thickspace z$$
///
/// `tau = 1` is the reverse diffusion sampler: the mean of DDPM with the variance of the forward process in `y`. It does not
/// keep the standard deviation of the forward process: the defect of a step is of the second order in its
/// length, and that of a run closes as 1/n. A step to or from an infinite log-SNR is the exact one.
///
/// [Source](crate::docs::papers#arxiv-2011.13456): Score-Based Generative Modeling through Stochastic Differential Equations,
/// Song, Sohl-Dickstein, Kingma, Kumar, Ermon, Poole, 2021.
///
/// ```
/// use gaussian_diffusion::{Grid, LogSnr, Plan, schedule::{Cosine, NoiseSchedule}, solver::EulerMaruyama};
/// let defect = |n| {
///     let (from, to) = (LogSnr::new(-6.0)?, LogSnr::new(6.0)?);
///     let grid = Grid::uniform_log_snr_between(&Cosine, n, from, to)?;
///     Plan::new(&Cosine, &grid, &EulerMaruyama::new(1.0)?)?.defect()
/// };
/// let ratio = defect(200)? / defect(400)?;
/// assert!((ratio - 2.0).abs() < 0.2);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "reverse diffusion",
    "ScoreSdeVpScheduler",
    "reverse SDE",
    "reverse-time SDE"
))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EulerMaruyama {
    tau: f64,
}

impl EulerMaruyama {
    /// With this stochasticity: 0 is the probability flow, 1 the reverse of the forward process.
    ///
    /// # Errors
    ///
    /// If tau is not 0 to 3.
    pub fn new(tau: f64) -> Result<Self, Error> {
        Ok(Self {
            tau: super::check_tau(tau)?,
        })
    }
}

impl ReverseStep for EulerMaruyama {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (from, to) = (path.from(), path.to());
        super::check_descent(path, "tau", self.tau)?;
        if !(inner(from) && inner(to)) {
            return Ok(Coordinates::Data.end_stage(path, self.tau, 1.0));
        }
        let (ratio, gap) = (to.ratio_above(from), to.gap_above(from));
        let passed = gap * (1.0 + ratio);
        let drift = 0.5 * (1.0 + self.tau * self.tau) * passed;
        let std = self.tau * from.noise_to_signal() * passed.sqrt();
        let update = Update::new(to.alpha() / from.alpha() * (1.0 - drift))
            .with_model([to.alpha() * drift])
            .with_noise(UpdateNoise::Std(to.alpha() * std));
        Ok(vec![
            Stage::new(At::From, Parameterization::X0).with_commit(update),
        ])
    }

    fn name(&self) -> &str {
        "Euler-Maruyama"
    }
}
