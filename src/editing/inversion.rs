//! Networks on the way from data to noise.

use crate::{
    Denoiser, Error, Parameterization, Point, Prediction, denoiser::memory_of, state::State,
};

/// A denoiser for runs on an [inverted](crate::Grid::inverted) grid: it answers with the noise, and at
/// the clean level, where no network can tell noise, with that of the first noisy one.
///
/// DDIM inversion is the sampler's own solver on the reversed grid. Sampling from its result returns
/// to the data with an error of first order in the length of the steps, as each direction has the
/// network's answer at its own end of a step: halved by twice the steps. Solvers of higher order return
/// with theirs; those that draw noise refuse the reversed grid, or follow the flow on it.
///
/// [Source](crate::docs::papers#arxiv-2010.02502): Denoising Diffusion Implicit Models, Song, Meng, Ermon, 2020, section 4.3;
/// Diffusion Models Beat GANs on Image Synthesis, Dhariwal, Nichol, 2021.
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, Grid, SeededNoise, Plan, schedule::Discrete, solver::Ddim};
/// use gaussian_diffusion::editing::Inversion;
/// use ndarray::array;
/// let schedule = Discrete::cosine(1000)?;
/// let grid = Grid::trailing(&schedule, 200)?;
/// let forth = Plan::new(&schedule, &grid.inverted(), &Ddim::default())?;
/// let back = Plan::new(&schedule, &grid, &Ddim::default())?;
/// let mut net = GaussianMixture::isotropic(&[(1.0, &[1.0][..], 0.3)])?;
/// let x0 = array![[0.4_f64]];
/// let code = forth.sample(x0.clone(), &mut Inversion::new(&mut net), &mut SeededNoise::new(0))?;
/// let again = back.sample(code, &mut net, &mut SeededNoise::new(0))?;
/// assert!((again - x0)[[0, 0]].abs() < 0.02);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("DDIM inversion", "encode"))]
#[derive(Debug, Clone)]
pub struct Inversion<D> {
    inner: D,
}

impl<D> Inversion<D> {
    /// This denoiser on the way to the noise.
    pub fn new(inner: D) -> Self {
        Self { inner }
    }
}

impl<V: State, T: Copy, D: Denoiser<V, T>> Denoiser<V, T> for Inversion<D> {
    fn predict(&mut self, x: &V, mut at: Point<T>) -> Result<Prediction<V>, Error> {
        if at.level.is_clean() {
            at.level = at.to;
        }
        let answer = self.inner.predict(x, at)?;
        answer.to(Parameterization::Noise, x, at.level)
    }

    memory_of!(inner);
}
