//! Where a run starts, if not from noise alone.

use std::fmt::Debug;

use super::slerp;
use crate::{
    Error, NoiseLevel, Plan,
    noise::{NoiseSource, Scale},
    state::State,
};

impl<T: Copy + Debug> Plan<T> {
    /// The start of a run from data: the data noised to the very level at which the plan starts.
    ///
    /// Mostly with a plan on a part of a grid: [`Grid::strength`](crate::Grid::strength).
    ///
    /// # Errors
    ///
    /// If the noise source refuses the shape.
    ///
    /// ```
    /// use gaussian_diffusion::{GaussianMixture, Grid, SeededNoise, Plan, schedule::Discrete, solver::Ddim};
    /// use ndarray::array;
    /// let schedule = Discrete::cosine(1000)?;
    /// let grid = Grid::trailing(&schedule, 50)?.strength(0.4)?;
    /// let plan = Plan::new(&schedule, &grid, &Ddim::default())?;
    /// let mut net = GaussianMixture::isotropic(&[(0.5, &[-1.0][..], 0.01), (0.5, &[1.0][..], 0.01)])?;
    /// let mut noise = SeededNoise::new(0);
    /// let start = plan.noised(&array![[0.9], [-1.1]], &mut noise)?;
    /// let x = plan.sample(start, &mut net, &mut noise)?;
    /// // Little noise: both stay where they belong.
    /// assert!(x[[0, 0]] > 0.5 && x[[1, 0]] < -0.5);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("img2img", "image to image", "SDEdit"))]
    pub fn noised<V, N>(&self, x0: &V, noise: &mut N) -> Result<V, Error>
    where
        V: State,
        N: NoiseSource<V> + ?Sized,
    {
        let level = self.levels().first().copied().unwrap_or(NoiseLevel::NOISE);
        let mut x = x0.clone();
        x.combine(level.alpha(), &[])?;
        noise.add(&mut x, Scale::Same(level.sigma()), None)?;
        Ok(x)
    }

    /// A start near another: [`slerp`] by `strength` toward a fresh one.
    ///
    /// The second source is the variation seed: the same start and seed give a path of results over
    /// strengths from 0 to 1.
    ///
    /// # Errors
    ///
    /// If the noise source refuses the shape, or the strength is not finite.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, SeededNoise, Plan, schedule::Discrete, solver::Ddim};
    /// use ndarray::Array2;
    /// let schedule = Discrete::cosine(1000)?;
    /// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 5)?, &Ddim::default())?;
    /// let start: Array2<f32> = plan.prior((2, 8), &mut SeededNoise::new(1))?;
    /// assert_eq!(plan.variation(&start, 0.0, &mut SeededNoise::new(2))?, start);
    /// let other: Array2<f32> = plan.prior((2, 8), &mut SeededNoise::new(2))?;
    /// assert_eq!(plan.variation(&start, 1.0, &mut SeededNoise::new(2))?, other);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("subseed", "variation seed"))]
    pub fn variation<V, N>(&self, start: &V, strength: f64, noise: &mut N) -> Result<V, Error>
    where
        V: State,
        N: NoiseSource<V> + ?Sized,
    {
        let mut other = start.clone();
        other.combine(0.0, &[])?;
        noise.add(&mut other, Scale::Same(self.prior_std()), None)?;
        slerp(start, &other, strength)
    }
}
