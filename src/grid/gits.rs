//! Published sigmas from the geometry of trajectories.

use std::fmt::Debug;

use super::{
    Grid,
    gits_table::{ROWS, SIGMAS},
    table::Table,
};
use crate::{Error, schedule::NoiseSchedule, time::check_steps};

impl<T: Copy + Debug> Grid<T> {
    /// `n` steps along the sigmas that dynamic programming found to keep the error of large steps
    /// small, the last of them replaced by the data; for the published default coefficient, 1.20.
    ///
    /// The published tables are for Stable Diffusion and 2 to 20 steps. For another number, even in
    /// the index and linear in `ln sigma` along the next longer row, or the longest; for one step,
    /// the largest sigma alone. A figure within 1 % of an end of the schedule is that end.
    ///
    /// # Errors
    ///
    /// If `n` is 0, or the schedule does not reach a sigma.
    ///
    /// For a network of your own: [`StepErrors`](crate::fit::StepErrors).
    ///
    /// [Source](crate::docs::papers#arxiv-2405.11326): On the Trajectory Regularity of ODE-based Diffusion Sampling, Chen,
    /// Zhou, Wang, Shen, Lyu, 2024.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, schedule::Discrete};
    /// let grid = Grid::gits(&Discrete::stable_diffusion()?, 5)?;
    /// assert!((grid.nodes()[1].level.noise_to_signal() - 2.84484982).abs() < 1e-12);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn gits<S>(schedule: &S, n: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        Self::gits_with(schedule, n, 1.2)
    }

    /// The same for another coefficient, one of 0.80, 0.85, .. 1.50: a smaller one gives more steps
    /// to large sigmas.
    ///
    /// # Errors
    ///
    /// As [`gits`](Self::gits), or if the coefficient is none of these.
    pub fn gits_with<S>(schedule: &S, n: usize, coefficient: f64) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        check_steps(n)?;
        let place = (coefficient - 0.8) / 0.05;
        let rows = match (place - place.round()).abs() < 1e-6 && place > -0.5 {
            true => ROWS.get(place.round() as usize),
            false => None,
        };
        let longer = rows.and_then(|rows| rows.iter().find(|row| row.len() + 1 >= n));
        let longest = rows.and_then(|rows| rows.last());
        let Some(row) = longer.or(longest) else {
            let allowed = "0.80 to 1.50 in steps of 0.05";
            return Err(Error::range("coefficient", coefficient, allowed));
        };
        let inner = row.iter().map(|&place| SIGMAS[place]);
        let ends = (SIGMAS[0], SIGMAS[SIGMAS.len() - 1]);
        let sigmas = [ends.0].into_iter().chain(inner).chain([ends.1]);
        Table(sigmas.collect()).grid(schedule, n)
    }
}
