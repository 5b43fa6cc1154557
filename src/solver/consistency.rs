//! Sampling that forgets: each step takes the data prediction and noises it anew.

use super::{At, Path, ReverseStep, Stage, Update};
use crate::{Error, Parameterization, Sigma, UpdateNoise};

/// Multistep consistency sampling: `x_s = alpha_s x_0 + sigma_s z` with the predicted `x_0`.
///
/// $$x_s=\alpha_s\thinspace\hat x_0+\sigma_s\thinspace z$$
///
/// The sampler of consistency models, latent consistency models, sCM, and of stochastic flow matching;
/// the network answers with its consistency function as the data. Where that function maps to data
/// with noise of ratio `floor` left, as those of consistency models do, less is added:
/// `std^2 = alpha_s^2 (rho_s^2 - floor^2)`.
///
/// [Sources](crate::docs::papers#arxiv-2303.01469): Consistency Models, Song, Dhariwal, Chen, Sutskever, 2023, algorithm 1;
/// Latent Consistency Models, Luo, Tan, Huang, Li, Zhao, 2023; Simplifying, Stabilizing and Scaling
/// Continuous-Time Consistency Models, Lu, Song, 2024.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::RectifiedFlow, solver::Consistency};
/// let grid = Grid::uniform_time(&RectifiedFlow, 4)?;
/// let plan = Plan::new(&RectifiedFlow, &grid, &Consistency::default())?;
/// assert!(plan.defect()? < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "LCMScheduler",
    "LCM",
    "CMStochasticIterativeScheduler",
    "SCMScheduler",
    "stochastic_sampling"
))]
#[doc(alias("sample_lcm", "FlowMatchLCMScheduler"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Consistency {
    floor: f64,
    noise: f64,
}

impl Default for Consistency {
    /// Data without noise left, and noise of factor 1.
    fn default() -> Self {
        Self {
            floor: 0.0,
            noise: 1.0,
        }
    }
}

impl Consistency {
    /// For a consistency function whose data has this noise-to-signal ratio left.
    #[must_use]
    pub const fn with_floor(mut self, floor: Sigma) -> Self {
        self.floor = floor.get();
        self
    }

    super::options::noise_factor!();
}

impl ReverseStep for Consistency {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let to = path.to();
        if path.is_inverted() {
            return Err(Error::NotMonotone {
                what: "step",
                index: 1,
                before: path.from().log_snr().get(),
                this: to.log_snr().get(),
            });
        }
        let left = to.alpha() * self.floor;
        let std = ((to.sigma() - left) * (to.sigma() + left)).max(0.0).sqrt();
        let update = Update::new(0.0)
            .with_model([to.alpha()])
            .with_noise(UpdateNoise::Std(self.noise * std));
        Ok(vec![
            Stage::new(At::From, Parameterization::X0).with_commit(update),
        ])
    }

    fn name(&self) -> &str {
        "consistency"
    }

    /// 0: with a denoiser in place of a consistency function, more steps do not make it exact.
    fn order(&self) -> u32 {
        0
    }
}
