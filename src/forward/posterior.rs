//! The posterior on states.

use crate::{
    Error, PosteriorCoefficients,
    noise::{NoiseSource, Scale},
    state::State,
};

impl PosteriorCoefficients {
    /// The mean of the posterior for these two: `state * x_t + clean * x_0`.
    ///
    /// # Errors
    ///
    /// If the shapes differ.
    ///
    /// ```
    /// use gaussian_diffusion::{Markov, NoiseLevel, Posterior};
    /// use ndarray::array;
    /// let q = Markov.coefficients(NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN)?;
    /// assert_eq!(q.mean(&array![5.0], &array![1.0])?, array![1.0]);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("q_posterior_mean"))]
    pub fn mean<V: State>(self, x_t: &V, x_0: &V) -> Result<V, Error> {
        let mut mean = x_t.clone();
        mean.combine(self.state, &[(self.clean, x_0)])
            .map_err(|error| error.naming("x_0"))?;
        Ok(mean)
    }

    /// A sample of the posterior for these two; draws nothing where the standard deviation is 0.
    ///
    /// # Errors
    ///
    /// If the shapes differ.
    #[doc(alias("q_posterior_sample"))]
    pub fn sample<V, N>(self, x_t: &V, x_0: &V, noise: &mut N) -> Result<V, Error>
    where
        V: State,
        N: NoiseSource<V> + ?Sized,
    {
        let mut x = self.mean(x_t, x_0)?;
        if self.std != 0.0 {
            noise.add(&mut x, Scale::Same(self.std), None)?;
        }
        Ok(x)
    }
}
