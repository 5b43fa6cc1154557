//! Every so many steps, from the last one.

use super::{Grid, strided::total_for};
use crate::{Error, Step, schedule::NoiseSchedule};

impl Grid<Step> {
    /// The steps `T - 1 - floor(i T / n)`, and then the data.
    ///
    /// Differs from [`trailing`](Self::trailing) in how it rounds.
    ///
    /// # Errors
    ///
    /// If `n` is 0 or above `T`.
    ///
    /// [Source](crate::docs::papers#comfyui): the scheduler "simple" of ComfyUI, 2023.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, schedule::Discrete};
    /// let grid = Grid::simple(&Discrete::cosine(1000)?, 3)?;
    /// let times: Vec<_> = grid.nodes().iter().map(|node| node.time.get()).collect();
    /// assert_eq!(times, [999.0, 666.0, 333.0]);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn simple<S>(schedule: &S, n: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = Step> + ?Sized,
    {
        let total = total_for(schedule, n)?;
        let stride = total as f64 / n as f64;
        let step = |i: usize| Step::new(total - 1 - (i as f64 * stride) as usize);
        Self::at(schedule, &(0..n).map(step).collect::<Vec<_>>())
    }
}
