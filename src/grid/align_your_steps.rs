//! Published tables of optimised sigmas.

use std::fmt::Debug;

use super::{Grid, SigmaCurve, table::Table};
use crate::{Error, Step, schedule::NoiseSchedule, time::check_steps};

/// The sigmas that were optimised for a model, for ten steps; for another number, even in the index
/// and linear in `ln sigma` between the published ones.
///
/// The algorithm, for a network of your own: [`StepErrors::kl_bound`](crate::fit::StepErrors::kl_bound).
///
/// [Source](crate::docs::papers#arxiv-2404.14507): Align Your Steps: Optimizing Sampling Schedules in Diffusion Models,
/// Sabour, Fidler, Kreis, 2024.
///
/// ```
/// use gaussian_diffusion::{Grid, grid::AlignYourSteps, schedule::Discrete};
/// let schedule = Discrete::stable_diffusion()?;
/// let grid = Grid::align_your_steps(&schedule, 10, AlignYourSteps::StableDiffusion15)?;
/// assert!((grid.nodes()[1].level.noise_to_signal() - 6.475).abs() < 1e-12);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("AYS", "AysSchedules"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlignYourSteps {
    /// Stable Diffusion 1.5.
    StableDiffusion15,
    /// Stable Diffusion XL.
    StableDiffusionXl,
    /// Stable Video Diffusion.
    StableVideoDiffusion,
}

impl AlignYourSteps {
    fn table(self) -> Table {
        Table(Vec::from(match self {
            Self::StableDiffusion15 => [
                14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029,
            ],
            Self::StableDiffusionXl => [
                14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029,
            ],
            Self::StableVideoDiffusion => [
                700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002,
            ],
        }))
    }

    /// The ten published training steps, for [`Grid::at`]; none for a model without such steps.
    pub fn steps(self) -> Option<[Step; 10]> {
        let steps = match self {
            Self::StableDiffusion15 => [999, 850, 736, 645, 545, 455, 343, 233, 124, 24],
            Self::StableDiffusionXl => [999, 845, 730, 587, 443, 310, 193, 116, 53, 13],
            Self::StableVideoDiffusion => return None,
        };
        Some(steps.map(Step::new))
    }
}

impl SigmaCurve for AlignYourSteps {
    /// `n` sigmas over the whole table, its last one (0.029 or 0.002) included.
    fn sigmas(&self, n: usize) -> Result<Vec<f64>, Error> {
        check_steps(n)?;
        Ok(self.table().sigmas(n))
    }
}

impl<T: Copy + Debug> Grid<T> {
    /// `n` steps along the published sigmas, the last of them replaced by the data.
    ///
    /// A published figure within 1 % of an end of the schedule is that end. The WebUI keeps the
    /// last sigma and goes to the data from there: so does [`along`](Self::along), on a schedule
    /// that reaches the figures as printed.
    ///
    /// # Errors
    ///
    /// If `n` is 0, or the schedule does not reach a sigma.
    pub fn align_your_steps<S>(schedule: &S, n: usize, model: AlignYourSteps) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        check_steps(n)?;
        model.table().grid(schedule, n)
    }
}
