//! The two choices of steps of the DDIM paper.

use super::{Grid, at_distinct, strided::total_for};
use crate::{Error, Step, schedule::NoiseSchedule};

impl Grid<Step> {
    /// The steps `1 + i (T div n)` below `T`, from the largest down, and then the data.
    ///
    /// Peers take as many as there are, which is more than `n` where the stride does not divide
    /// well; this is an error here. [`leading`](Self::leading) stops at `n`.
    ///
    /// # Errors
    ///
    /// If `n` is 0 or above `T`, or another number of steps would come out.
    ///
    /// [Source](crate::docs::papers#arxiv-2010.02502): Denoising Diffusion Implicit Models, Song, Meng, Ermon, 2020, as in
    /// Latent Diffusion.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, schedule::Discrete};
    /// let schedule = Discrete::cosine(1000)?;
    /// let grid = Grid::ddim_uniform(&schedule, 4)?;
    /// let times: Vec<_> = grid.nodes().iter().map(|node| node.time.get()).collect();
    /// assert_eq!(times, [751.0, 501.0, 251.0, 1.0]);
    /// assert!(Grid::ddim_uniform(&schedule, 12).is_err());
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn ddim_uniform<S>(schedule: &S, n: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = Step> + ?Sized,
    {
        let total = total_for(schedule, n)?;
        let stride = total / n;
        let steps: Vec<_> = (1..total).step_by(stride).rev().map(Step::new).collect();
        if steps.len() != n {
            let allowed = format!(
                "one whose stride, {stride} here, gives as many (it gives {})",
                steps.len()
            );
            return Err(Error::range("number of steps", n as f64, allowed));
        }
        Self::at(schedule, &steps)
    }

    /// The steps `floor(x_i^2) + offset` with `x_i` even from 0 to `sqrt(0.8 T)`, from the largest
    /// down, and then the data; the smallest alone for `n = 1`.
    ///
    /// $$t_i=\Big\lfloor 0.8\thinspace T\Big(\frac{i}{n-1}\Big)^2\Big\rfloor$$
    ///
    /// # Errors
    ///
    /// If `n` is 0 or above `T`, a step comes twice, or the offset leads beyond the schedule.
    ///
    /// [Source](crate::docs::papers#arxiv-2010.02502): Denoising Diffusion Implicit Models, Song, Meng, Ermon, 2020, appendix
    /// D.2; Latent Diffusion has the offset 1.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, schedule::Discrete};
    /// let grid = Grid::ddim_quadratic(&Discrete::cosine(1000)?, 5, 0)?;
    /// let times: Vec<_> = grid.nodes().iter().map(|node| node.time.get()).collect();
    /// assert_eq!(times[1..], [450.0, 200.0, 50.0, 0.0]);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn ddim_quadratic<S>(schedule: &S, n: usize, offset: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = Step> + ?Sized,
    {
        let root = (0.8 * total_for(schedule, n)? as f64).sqrt();
        let stride = root / n.saturating_sub(1).max(1) as f64;
        let step = |i: usize| {
            let x = match i {
                i if i > 0 && i == n - 1 => root,
                i => i as f64 * stride,
            };
            Step::new(((x * x) as usize).saturating_add(offset))
        };
        at_distinct(schedule, (0..n).rev().map(step).collect())
    }
}
