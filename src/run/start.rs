//! How a plan begins a run.

use std::{fmt::Debug, sync::Arc};

use super::{Lent, Run};
use crate::{
    Error, Plan,
    noise::NoiseSource,
    state::{Kept, State},
};

impl<T: Copy + Debug> Plan<T> {
    /// The run as a value that asks and is answered, for a loop of one's own.
    ///
    /// # Errors
    ///
    /// If `x` holds a NaN or an infinity.
    pub fn start_from<V, N>(&self, x: V, noise: &mut N) -> Result<Run<'_, V, T>, Error>
    where
        V: State,
        N: NoiseSource<Kept<V>> + ?Sized,
    {
        Run::new(Lent::Borrowed(self), x, noise)
    }

    /// The same from a state as it is kept.
    pub(crate) fn start_from_kept<V, N>(
        &self,
        x: Kept<V>,
        noise: &mut N,
    ) -> Result<Run<'_, V, T>, Error>
    where
        V: State,
        N: NoiseSource<Kept<V>> + ?Sized,
    {
        Run::of_kept(Lent::Borrowed(self), x, noise)
    }

    /// The same run, which shares the plan and borrows nothing: for a job beside its plan in a
    /// struct, in a list, or in another thread.
    ///
    /// # Errors
    ///
    /// As [`start_from`](Self::start_from).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use gaussian_diffusion::{Error, Grid, SeededNoise, Plan, Prediction, Run, Step};
    /// use gaussian_diffusion::{schedule::Discrete, solver::DpmSolver};
    /// use ndarray::Array2;
    ///
    /// struct Job {
    ///     plan: Arc<Plan<Step>>,
    ///     run: Run<'static, Array2<f32>, Step>,
    ///     noise: SeededNoise,
    /// }
    ///
    /// impl Job {
    ///     fn new(plan: &Arc<Plan<Step>>, seed: u64) -> Result<Self, Error> {
    ///         let mut noise = SeededNoise::new(seed);
    ///         let start = plan.prior((1, 3), &mut noise)?;
    ///         let run = plan.start_shared(start, &mut noise)?;
    ///         Ok(Self { plan: plan.clone(), run, noise })
    ///     }
    /// }
    ///
    /// let schedule = Discrete::stable_diffusion()?;
    /// let plan = Plan::new(&schedule, &Grid::karras(&schedule, 4)?, &DpmSolver::plus_plus(2)?)?;
    /// let plan = Arc::new(plan);
    /// let mut jobs = vec![Job::new(&plan, 1)?, Job::new(&plan, 2)?];
    /// drop(plan);
    /// for job in &mut jobs {
    ///     while let Some((x, at)) = job.run.pending() {
    ///         println!("step {} of {}", at.step, job.plan.steps());
    ///         let answer = Prediction::noise(x * 0.1);
    ///         job.run.supply(answer, &mut job.noise)?;
    ///     }
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn start_shared<V, N>(
        self: &Arc<Self>,
        x: V,
        noise: &mut N,
    ) -> Result<Run<'static, V, T>, Error>
    where
        V: State,
        N: NoiseSource<Kept<V>> + ?Sized,
    {
        Run::new(Lent::Shared(Arc::clone(self)), x, noise)
    }
}
