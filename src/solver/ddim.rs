//! Denoising diffusion implicit models.

use super::{At, Path, ReverseStep, Stage, Update};
use crate::{Error, NonMarkovian, Parameterization, Posterior, UpdateNoise};

/// DDIM: the [`NonMarkovian`] posterior of some `eta` with the predicted data in place of the data.
///
/// `x_s = alpha_s x0 + sqrt(sigma_s^2 - std^2) eps + std z`, where `x0` and `eps` are what one
/// prediction says of both, and `std^2 = eta^2 sigma_s^2 (1 - SNR_t / SNR_s)`.
///
/// $$x_s=\alpha_s\hat x_0+\sqrt{\sigma_s^2-\tilde\sigma^2}\thinspace\hat\varepsilon+\tilde\sigma z$$
///
/// `eta = 0` is deterministic, of order 1, and equal to Euler's method on the probability flow in
/// `sigma / alpha`; `eta = 1` is [`Ddpm`](super::Ddpm). On an [inverted](crate::Grid::inverted) grid
/// the same step encodes data as noise, for `eta = 0`.
///
/// [Source](crate::docs::papers#arxiv-2010.02502): Denoising Diffusion Implicit Models, Song, Meng, Ermon, 2020, equation 12.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Discrete, solver::Ddim};
/// let schedule = Discrete::stable_diffusion()?;
/// let plan = Plan::new(&schedule, &Grid::leading(&schedule, 50, 1)?, &Ddim::default())?;
/// assert!(plan.defect()? < 1e-13);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "DDIMScheduler",
    "DDIMParallelScheduler",
    "EulerDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "EDMEulerScheduler",
    "sample_euler",
    "ddim_sample",
    "probability flow ODE"
))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ddim {
    posterior: NonMarkovian,
}

impl Default for Ddim {
    /// `eta = 0`.
    fn default() -> Self {
        Self {
            posterior: NonMarkovian::DETERMINISTIC,
        }
    }
}

impl Ddim {
    /// With this eta: 0 is deterministic, 1 draws the noise of DDPM.
    ///
    /// # Errors
    ///
    /// If eta is negative, NaN or infinite.
    pub fn new(eta: f64) -> Result<Self, Error> {
        Ok(Self {
            posterior: NonMarkovian::new(eta)?,
        })
    }
}

impl ReverseStep for Ddim {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (from, to) = (path.from(), path.to());
        if !path.is_inverted() {
            let q = self.posterior.coefficients(from, to)?;
            return Ok(vec![Stage::from_posterior(q, to, UpdateNoise::Std(q.std))]);
        }
        super::check_descent(path, "eta", self.posterior.eta())?;
        // In terms of the noise, which the clean level has a coefficient for.
        let noise = to.sigma() * from.gap_above(to);
        let update = Update::new(to.alpha() / from.alpha()).with_model([noise]);
        Ok(vec![
            Stage::new(At::From, Parameterization::Noise).with_commit(update),
        ])
    }

    fn name(&self) -> &str {
        if self.posterior.eta() == 0.0 {
            "DDIM"
        } else {
            "DDIM, stochastic"
        }
    }
}
