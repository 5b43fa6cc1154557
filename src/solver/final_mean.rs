//! The mean of the last step.

use super::{Path, ReverseStep, Stage};
use crate::{Error, UpdateNoise};

/// A solver whose last step draws no noise, wherever it ends.
///
/// A step to the clean level draws none anyhow. A run that ends at a level with noise left gives the
/// mean there: its standard deviation falls short of that level's by what the last step would have drawn.
///
/// [Source](crate::docs::papers#arxiv-2011.13456): Score-Based Generative Modeling through Stochastic Differential Equations,
/// Song, Sohl-Dickstein, Kingma, Kumar, Ermon, Poole, 2021, appendix G.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, UpdateNoise, schedule::Edm, solver::{Ddpm, FinalMean}};
/// let schedule = Edm::default();
/// let grid = Grid::karras(&schedule, 6)?.without_final_step()?;
/// let plan = Plan::new(&schedule, &grid, &FinalMean::new(Ddpm::default()))?;
/// let draws = |i: usize| plan.stages()[i].stage.commit.as_ref().unwrap().noise != UpdateNoise::NONE;
/// assert!(draws(3) && !draws(4));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("denoise", "prev_sample_mean"))]
#[derive(Debug, Clone, PartialEq)]
pub struct FinalMean<S> {
    inner: S,
    name: String,
}

impl<S: ReverseStep> FinalMean<S> {
    /// This solver with the mean of its last step.
    pub fn new(inner: S) -> Self {
        let name = format!("{} to the mean", inner.name());
        Self { inner, name }
    }
}

impl<S: ReverseStep> ReverseStep for FinalMean<S> {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let mut stages = self.inner.stages(path)?;
        if path.index() + 1 == path.steps()
            && let Some(commit) = stages.last_mut().and_then(|stage| stage.commit.as_mut())
        {
            commit.noise = UpdateNoise::NONE;
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

    /// At most 1: the variance that is missing at the end is of the size of the last step.
    fn order(&self) -> u32 {
        self.inner.order().min(1)
    }

    fn order_on_uneven_steps(&self) -> u32 {
        self.inner.order_on_uneven_steps().min(1)
    }
}
