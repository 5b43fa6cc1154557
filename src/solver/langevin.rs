//! Langevin correctors.

use super::{At, Path, ReverseStep, Stage, Update, exponential::inner};
use crate::{Error, Parameterization, UpdateNoise};

/// Predictor-corrector sampling: Langevin steps at the level that each step of a solver reaches.
///
/// `x <- x + e s + sqrt(2 e) z` with the score `s` and `e = 2 (snr * sigma)^2`.
///
/// $$x\leftarrow x+\epsilon\thinspace s(x)+\sqrt{2\epsilon}\thinspace z,\qquad\epsilon=2(\texttt{snr}\cdot\sigma)^2$$
///
/// The authors take the ratio of the norms of `z` and `s`, over a whole batch, where `sigma`, its
/// expectation, stands here: a batch then cannot mix its items, and the plan is known before the run.
/// A Langevin step does not keep the standard deviation: of a point the variance
/// becomes `1 + 4 snr^4` times what it was right.
///
/// Around single-step solvers: one that takes predictions of the steps before is an error of the plan, for
/// those of the corrections lie between them. A step to the clean level is not corrected.
///
/// [Source](crate::docs::papers#arxiv-2011.13456): Score-Based Generative Modeling through Stochastic Differential Equations,
/// Song, Sohl-Dickstein, Kingma, Kumar, Ermon, Poole, 2021, algorithms 4 and 5.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Edm, solver::{Ddpm, Langevin}};
/// let schedule = Edm::default();
/// let solver = Langevin::new(Ddpm::default(), 0.16, 1)?;
/// let plan = Plan::new(&schedule, &Grid::karras(&schedule, 10)?, &solver)?;
/// assert_eq!(plan.evaluations(), 19);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "predictor-corrector",
    "ScoreSdeVeScheduler",
    "annealed Langevin dynamics"
))]
#[derive(Debug, Clone, PartialEq)]
pub struct Langevin<S> {
    inner: S,
    snr: f64,
    steps: usize,
    before: bool,
    name: String,
}

impl<S: ReverseStep> Langevin<S> {
    /// So many corrections of this signal-to-noise ratio after each step.
    ///
    /// # Errors
    ///
    /// If the ratio is not above 0 and up to 0.5, or there are more than 1000 corrections.
    pub fn new(inner: S, snr: f64, steps: usize) -> Result<Self, Error> {
        if !(snr > 0.0 && snr <= 0.5) {
            return Err(Error::range(
                "snr of the corrector",
                snr,
                "above 0 and up to 0.5",
            ));
        }
        if steps > 1000 {
            return Err(Error::range(
                "corrections a step",
                steps as f64,
                "0 to 1000",
            ));
        }
        let name = format!("{} with Langevin corrector", inner.name());
        Ok(Self {
            inner,
            snr,
            steps,
            before: false,
            name,
        })
    }

    /// Corrects at the level that each step leaves, before it, rather than at the one it reaches: also
    /// at the start, and not at the end.
    ///
    /// This is the order of the pipeline of diffusers.
    #[doc(alias("ScoreSdeVePipeline"))]
    #[must_use]
    pub fn with_corrections_first(mut self) -> Self {
        self.before = true;
        self
    }
}

impl<S: ReverseStep> ReverseStep for Langevin<S> {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let mut stages = self.inner.stages(path)?;
        let (at, level) = match self.before {
            true => (At::From, path.from()),
            false => (At::To, path.to()),
        };
        if !inner(level) {
            return Ok(stages);
        }
        let looks_back = |(i, stage): (usize, &Stage)| stage.predictions() > i + 1;
        if self.steps > 0 && stages.iter().enumerate().any(looks_back) {
            return Err(Error::Missing {
                what: "a solver that takes no predictions of the steps before",
                needed_by: "a Langevin corrector",
            });
        }
        // The score is -eps / sigma.
        let length = 2.0 * self.snr * self.snr;
        let update = Update::new(1.0)
            .with_model([-length * level.sigma()])
            .with_noise(UpdateNoise::Std((2.0 * length).sqrt() * level.sigma()));
        let correction = Stage::new(at, Parameterization::Noise).with_commit(update);
        let place = if self.before { 0 } else { stages.len() };
        stages.splice(place..place, std::iter::repeat_n(correction, self.steps));
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

    /// 0: what the corrector adds does not vanish with the steps of the grid.
    fn order(&self) -> u32 {
        0
    }
}
