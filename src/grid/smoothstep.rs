//! Steps along a cubic that is flat at both ends.

use super::{Grid, at_distinct, strided::total_for};
use crate::{Error, Step, schedule::NoiseSchedule};

impl Grid<Step> {
    /// The steps `round(u^2 (3 - 2 u) (T - 1))` with `u = 1 - i / n`, halves away from zero, and then
    /// the data.
    ///
    /// $$t_i=\mathrm{round}\big(u_i^2(3-2u_i)(T-1)\big),\qquad u_i=1-\tfrac in$$
    ///
    /// # Errors
    ///
    /// If `n` is 0 or above `T`, or a step comes twice.
    ///
    /// [Source](crate::docs::papers#stable-diffusion-cpp): stable-diffusion.cpp, leejet, 2024.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, schedule::Discrete};
    /// let grid = Grid::smoothstep(&Discrete::cosine(1000)?, 4)?;
    /// let times: Vec<_> = grid.nodes().iter().map(|node| node.time.get()).collect();
    /// assert_eq!(times, [999.0, 843.0, 500.0, 156.0]);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn smoothstep<S>(schedule: &S, n: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = Step> + ?Sized,
    {
        let last = (total_for(schedule, n)? - 1) as f64;
        let step = |i: usize| {
            let u = 1.0 - i as f64 / n as f64;
            Step::new((u * u * (3.0 - 2.0 * u) * last).round() as usize)
        };
        at_distinct(schedule, (0..n).map(step).collect())
    }
}
