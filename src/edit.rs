//! Changing the state of a run between its steps.

use crate::{Error, NoiseLevel};

/// Where a run stands when its state is changed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct StepEnd {
    /// Number of steps done.
    pub step: usize,
    /// Number of steps of the run.
    pub steps: usize,
    /// The noise level of what is changed.
    pub level: NoiseLevel,
}

/// A change of the state before every step of a run and at its end.
///
/// Closures are edits. See [`Plan::sample_edited`](crate::Plan::sample_edited) and
/// [`Run::edit`](crate::Run::edit).
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, Grid, SeededNoise, Plan, schedule::Discrete, solver::Ddim, editing::StepEnd};
/// use ndarray::Array2;
/// let schedule = Discrete::cosine(1000)?;
/// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 4)?, &Ddim::default())?;
/// let mut seen = Vec::new();
/// let mut watch = |_: &mut Array2<f64>, at: StepEnd| Ok(seen.push(at.level));
/// let mut noise = SeededNoise::new(0);
/// let start = plan.prior((1, 2), &mut noise)?;
/// let mut net = GaussianMixture::point(&[1.0, 2.0])?;
/// plan.sample_edited(start, &mut net, &mut watch, &mut noise)?;
/// assert_eq!(seen, plan.levels());
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("callback"))]
pub trait Edit<V> {
    /// Changes a state of this level in place.
    ///
    /// # Errors
    ///
    /// The edit's own.
    fn edit(&mut self, x: &mut V, at: StepEnd) -> Result<(), Error>;

    /// Forgets what an earlier run left, for a run begins; an edit around another passes it on.
    fn begin(&mut self) {}
}

impl<V, F: FnMut(&mut V, StepEnd) -> Result<(), Error>> Edit<V> for F {
    fn edit(&mut self, x: &mut V, at: StepEnd) -> Result<(), Error> {
        self(x, at)
    }
}
