//! What the network is given, and levels between training steps.

use std::fmt::Debug;

use super::{Grid, Node};
use crate::{Error, LogSnr, Sigma, Step, schedule::NoiseSchedule};

impl<T: Copy + Debug> Grid<T> {
    /// The same levels, with something else given to the network.
    ///
    /// # Errors
    ///
    /// If there is not one time per node.
    pub fn with_times(mut self, times: &[T]) -> Result<Self, Error> {
        Error::check_length("times to tell", self.len(), times.len())?;
        for (node, &time) in self.nodes.iter_mut().zip(times) {
            node.time = time;
        }
        Ok(self)
    }
}

impl Grid<Step> {
    /// The same levels, with the nearest whole step given to the network, ties to even.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, Step, schedule::Discrete};
    /// let grid = Grid::karras(&Discrete::stable_diffusion()?, 10)?;
    /// let times = |grid: &Grid<Step>| grid.nodes()[1].time.get();
    /// assert!((times(&grid) - 916.28).abs() < 0.01);
    /// assert_eq!(times(&grid.clone().with_rounded_times()), 916.0);
    /// assert_eq!(grid.clone().with_rounded_times().nodes()[1].level, grid.nodes()[1].level);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("quantize"))]
    #[must_use]
    pub fn with_rounded_times(self) -> Self {
        self.with_each_time(Step::rounded)
    }

    /// The same levels, with the whole step below given to the network.
    ///
    /// A step that misses a whole one by no more than rounding errors, 1e-9, is that one.
    #[doc(alias("int64"))]
    #[must_use]
    pub fn with_truncated_times(self) -> Self {
        self.with_each_time(|step| Step::new((step.get() + 1e-9) as usize))
    }

    fn with_each_time(mut self, times: impl Fn(Step) -> Step) -> Self {
        for node in &mut self.nodes {
            node.time = times(node.time);
        }
        self
    }

    /// The same grid with every node moved to the nearest whole step, in level and time.
    ///
    /// # Errors
    ///
    /// If two nodes meet.
    pub fn rounded<S>(&self, schedule: &S) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = Step> + ?Sized,
    {
        let mut nodes = Vec::with_capacity(self.len());
        for node in &self.nodes {
            let step = schedule.time_at(node.level.log_snr())?.rounded();
            nodes.push(Node {
                level: schedule.level(step)?,
                time: schedule.network_time(step),
            });
        }
        Self::new(nodes, self.end)
    }

    /// The same times, with `sigma / alpha` rather than the log-SNR linear between whole steps.
    ///
    /// The levels of diffusers for fractional steps. They are noisier than those of the schedule,
    /// most of all in its first steps.
    ///
    /// # Errors
    ///
    /// If a node lies between two steps of which one has no signal, or is outside the schedule.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, Step, schedule::Discrete};
    /// let schedule = Discrete::stable_diffusion()?;
    /// let sigma = |grid: &Grid<Step>| grid.nodes()[1].level.noise_to_signal();
    /// let grid = Grid::uniform_time(&schedule, 8)?;
    /// assert!((sigma(&grid) - 6.677998).abs() < 1e-5);
    /// assert!((sigma(&grid.interpolating_sigma(&schedule)?) - 6.678016).abs() < 1e-6);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("np.interp", "interpolation_type"))]
    pub fn interpolating_sigma<S>(&self, schedule: &S) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = Step> + ?Sized,
    {
        let ratio = |step: f64| -> Result<f64, Error> {
            Ok(schedule.level(Step::fractional(step)?)?.noise_to_signal())
        };
        let mut nodes = self.nodes.clone();
        for node in &mut nodes {
            let step = schedule.time_at(node.level.log_snr())?.get();
            let fraction = step.fract();
            if fraction > 0.0 {
                let (low, high) = (ratio(step.floor())?, ratio(step.ceil())?);
                let sigma = Sigma::new(low + (high - low) * fraction)?;
                node.level = schedule.level_at(LogSnr::from_sigma(sigma))?;
            }
        }
        Self::new(nodes, self.end)
    }
}
