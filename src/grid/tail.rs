//! The last part of a grid, for runs that start from data.

use std::fmt::Debug;

use super::{Grid, Node};
use crate::{Error, LogSnr, schedule::NoiseSchedule};

impl<T: Copy + Debug> Grid<T> {
    /// The last `floor(strength * n)` of the `n` steps, for a run that starts from noised data
    /// ([`Plan::noised`](crate::Plan::noised)).
    ///
    /// The grid owns both the level the data is noised to and the steps that follow. Strength 1 is
    /// the grid itself; how much noise a lower one is depends on how the steps are spaced, which
    /// [`starting_at`](Self::starting_at) does not.
    ///
    /// Source: SDEdit: Guided Image Synthesis and Editing with Stochastic Differential Equations, Meng
    /// et al., 2022.
    ///
    /// # Errors
    ///
    /// If that is less than one step, or strength is above 1.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, schedule::Discrete};
    /// let grid = Grid::trailing(&Discrete::cosine(1000)?, 20)?;
    /// assert_eq!(grid.strength(0.3)?.nodes(), &grid.nodes()[14..]);
    /// assert!(grid.strength(0.04).is_err());
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("image to image", "img2img", "denoising_strength", "SDEdit"))]
    pub fn strength(&self, strength: f64) -> Result<Self, Error> {
        let n = self.len() as f64;
        // A product such as 0.29 * 100 is 28.999999999999996.
        let kept = (strength * n + 1e-9).floor();
        if !(kept >= 1.0 && strength <= 1.0) {
            let allowed = format!("{} to 1 for {n} steps", 1.0 / n);
            return Err(Error::range("strength", strength, allowed));
        }
        let nodes = self.nodes.iter().skip(self.len() - kept as usize);
        Self::new(nodes.copied().collect(), self.end)
    }

    /// The grid from the level of this log-SNR on: a first node there, and the nodes that are
    /// cleaner.
    ///
    /// # Errors
    ///
    /// If the schedule does not reach that level, or it is not noisier than the end.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, LogSnr, schedule::Cosine};
    /// let grid = Grid::uniform_time(&Cosine, 10)?.starting_at(&Cosine, LogSnr::new(0.0)?)?;
    /// assert_eq!(grid.nodes()[0].level.log_snr().get(), 0.0);
    /// assert!(grid.len() < 10);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn starting_at<S>(&self, schedule: &S, snr: LogSnr) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        let level = schedule.level_at(snr)?;
        let time = schedule.told(schedule.time_at(snr)?);
        let cleaner = self.nodes.iter().copied();
        let cleaner = cleaner.filter(|node| level.is_noisier_than(node.level));
        let nodes = [Node { level, time }].into_iter().chain(cleaner);
        Self::new(nodes.collect(), self.end)
    }
}
