//! Ancestral sampling.

use super::{Path, ReverseStep, Stage};
use crate::{Error, Markov, ModelVariance, Posterior};

/// Ancestral sampling of DDPM: the Markov posterior with the predicted data in place of the data.
///
/// `x_s = state * x_t + clean * x0_predicted + std * z`, with the coefficients of
/// [`Markov`](crate::Markov) and a variance of one's choice.
///
/// $$x_s = r^2\frac{\alpha_s}{\alpha_t}\thinspace x_t + \alpha_s(1-r^2)\thinspace\hat x_0 + \tilde\sigma z$$
///
/// On any grid: the step is that of the respaced process, with the beta of the pair of levels.
/// With [`FixedLarge`](ModelVariance::FixedLarge) the deviation law of solvers is broken by
/// construction; that variance is right for data `N(0, I)`.
///
/// [Source](crate::docs::papers#arxiv-2006.11239): Denoising Diffusion Probabilistic Models, Ho, Jain, Abbeel, 2020, algorithm
/// 2.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Discrete, solver::Ddpm};
/// let schedule = Discrete::ddpm(1000)?;
/// let plan = Plan::new(&schedule, &Grid::every(&schedule)?, &Ddpm::default())?;
/// assert_eq!(plan.evaluations(), 1000);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "ancestral",
    "DDPMScheduler",
    "p_sample",
    "DDPMParallelScheduler",
    "UnCLIPScheduler",
    "DDPMWuerstchenScheduler",
    "sample_ddpm"
))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ddpm {
    variance: ModelVariance,
}

impl Ddpm {
    /// With this variance; [`default`](Self::default) is the posterior's.
    pub const fn new(variance: ModelVariance) -> Self {
        Self { variance }
    }
}

impl ReverseStep for Ddpm {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (from, to) = (path.from(), path.to());
        let q = Markov.coefficients(from, to)?;
        let noise = self.variance.update_noise(from, to, path.previous())?;
        Ok(vec![Stage::from_posterior(q, to, noise)])
    }

    fn name(&self) -> &str {
        match self.variance {
            ModelVariance::FixedSmall => "DDPM",
            ModelVariance::FixedLarge => "DDPM, fixed large variance",
            ModelVariance::Learned => "DDPM, learned variance",
            ModelVariance::LearnedRange => "DDPM, learned-range variance",
        }
    }
}
