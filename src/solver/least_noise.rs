//! A floor under the noise of a solver.

use super::{Path, ReverseStep, Stage};
use crate::{Error, UpdateNoise};

/// A solver every step of which draws noise of at least this standard deviation, the last one too.
///
/// It explores where the solver would not, and changes the law of the samples. [`FinalMean`](super::FinalMean) around it
/// leaves the last step without.
///
/// [Source](crate::docs::papers#arxiv-2409.00588): Diffusion Policy Policy Optimization, Ren, Lidard, Ankile, Simeonov, Agrawal,
/// Majumdar, Burchfiel, Dai, Simchowitz, 2024 (0.1).
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, UpdateNoise, schedule::Discrete, solver::{Ddpm, LeastNoise}};
/// let schedule = Discrete::cosine(100)?;
/// let grid = Grid::trailing(&schedule, 10)?;
/// let plan = Plan::new(&schedule, &grid, &LeastNoise::new(Ddpm::default(), 0.1)?)?;
/// let last = plan.stages()[9].stage.commit.as_ref().unwrap();
/// assert_eq!(last.noise, UpdateNoise::Std(0.1));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("min_sampling_denoising_std", "DPPO"))]
#[derive(Debug, Clone, PartialEq)]
pub struct LeastNoise<S> {
    inner: S,
    least: f64,
    name: String,
}

impl<S: ReverseStep> LeastNoise<S> {
    /// This solver with this least standard deviation.
    ///
    /// # Errors
    ///
    /// If it is not 0 to 10.
    pub fn new(inner: S, least: f64) -> Result<Self, Error> {
        if !(0.0..=10.0).contains(&least) {
            return Err(Error::range("least deviation", least, "0 to 10"));
        }
        let name = format!("{} with least noise", inner.name());
        Ok(Self { inner, least, name })
    }
}

impl<S: ReverseStep> ReverseStep for LeastNoise<S> {
    /// The stages of the inner solver with more noise where a step ends.
    ///
    /// # Errors
    ///
    /// As the inner solver, or if its noise is learned, of which a plan knows no size.
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        super::check_descent(path, "least deviation", self.least)?;
        let mut stages = self.inner.stages(path)?;
        if let Some(commit) = stages.last_mut().and_then(|stage| stage.commit.as_mut()) {
            match &mut commit.noise {
                UpdateNoise::Std(std) => *std = std.max(self.least),
                _ => {
                    return Err(Error::Missing {
                        what: "a fixed deviation of a step",
                        needed_by: "a floor under it",
                    });
                }
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
        self.least == 0.0 && self.inner.follows_points()
    }

    /// 0: as steps get shorter their noise does not get less.
    fn order(&self) -> u32 {
        0
    }
}
