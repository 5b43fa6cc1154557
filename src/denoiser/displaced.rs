//! Networks that come with a pattern.

use super::{Denoiser, Point, Prediction, memory_of};
use crate::{Error, state::State};

/// A network whose answers all come with the same [displacement](Prediction::shift) of the data, for solvers
/// that say what it counts: [`DpmSolverV3`](crate::solver::DpmSolverV3) with statistics that have a bias.
///
/// A solver that says nothing of it adds it to the data at every step.
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, Grid, Plan, SeededNoise, Variance, schedule::Cosine};
/// use gaussian_diffusion::{denoiser::Displaced, solver::{DpmSolverV3, ModelStatistics}};
/// use ndarray::array;
/// // The flow of Gaussian data in three steps, exactly: its statistics, and its mean.
/// let mean = array![[0.4, -0.2]];
/// let statistics = ModelStatistics::gaussian(Variance::new(0.25)?)?;
/// let solver = DpmSolverV3::new(1, statistics)?;
/// let grid = Grid::uniform_time_between(&Cosine, 4, gaussian_diffusion::Time::new(0.9)?, gaussian_diffusion::Time::new(0.1)?)?;
/// let plan = Plan::new(&Cosine, &grid.without_final_step()?, &solver)?;
/// let (from, to) = (plan.levels()[0], plan.levels()[3]);
/// let spread = |l: gaussian_diffusion::NoiseLevel| (0.25 * l.alpha().powi(2) + l.sigma().powi(2)).sqrt();
/// let start = &mean * from.alpha() + array![[1.0, -0.5]] * spread(from);
/// let data = GaussianMixture::isotropic(&[(1.0, [0.4, -0.2], 0.25)])?;
/// let mut net = Displaced::new(data, mean.clone());
/// let found = plan.sample(start, &mut net, &mut SeededNoise::new(0))?;
/// let exact = &mean * to.alpha() + array![[1.0, -0.5]] * spread(to);
/// assert!((found - exact).iter().all(|off| off.abs() < 1e-13));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Displaced<D, V> {
    inner: D,
    by: V,
}

impl<D, V> Displaced<D, V> {
    /// This network with this displacement, of the shape of a state.
    pub fn new(inner: D, by: V) -> Self {
        Self { inner, by }
    }
}

impl<V: State, T, D: Denoiser<V, T>> Denoiser<V, T> for Displaced<D, V> {
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        let mut answer = self.inner.predict(x, at)?;
        answer.add_shift(self.by.clone())?;
        Ok(answer)
    }

    memory_of!(inner);
}
