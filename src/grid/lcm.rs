//! The steps of latent consistency models.

use super::Grid;
use super::strided::counted_for;
use crate::{Error, Step, schedule::NoiseSchedule};

impl Grid<Step> {
    /// `n` of the `original` steps a consistency model was distilled on, skipping evenly, and then
    /// the data.
    ///
    /// The original steps are `k (T div original) - 1` for `k` from 1 to `floor(original strength)`;
    /// of these, from the largest down, number `floor(i len / n)` is taken. The custom is 50
    /// original steps and strength 1; less starts in the middle.
    ///
    /// # Errors
    ///
    /// If `n` is 0 or above the number of original steps left by the strength, `original` is 0 or
    /// above `T`, or the strength is not above 0 and up to 1.
    ///
    /// [Source](crate::docs::papers#arxiv-2310.04378): Latent Consistency Models, Luo, Tan, Huang, Li, Zhao, 2023.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, schedule::Discrete};
    /// let grid = Grid::lcm(&Discrete::stable_diffusion()?, 4, 50, 1.0)?;
    /// let times: Vec<_> = grid.nodes().iter().map(|node| node.time.get()).collect();
    /// assert_eq!(times, [999.0, 759.0, 499.0, 259.0]);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("TCD", "original_inference_steps"))]
    pub fn lcm<S>(schedule: &S, n: usize, original: usize, strength: f64) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = Step> + ?Sized,
    {
        let stride = counted_for(schedule, "number of original steps", original)? / original;
        let kept = super::steps_of_strength(original, strength)?;
        if !(1..=kept).contains(&n) {
            let allowed = format!("1 to {kept}, the original steps of this strength");
            return Err(Error::range("number of steps", n as f64, allowed));
        }
        let skip = kept as f64 / n as f64;
        let step = |i: usize| {
            let skipped = (i as f64 * skip) as usize;
            Step::new((kept - skipped) * stride - 1)
        };
        Self::at(schedule, &(0..n).map(step).collect::<Vec<_>>())
    }
}
