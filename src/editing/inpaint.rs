//! Keeping known parts of the state.

use ndarray::{Array, Dimension};

use super::Known;
use crate::{
    Error,
    edit::{Edit, StepEnd},
    noise::{NoiseSource, Scale},
    state::{Real, State},
};

/// Before every step, the known part of the state is replaced by the known data noised to the very
/// level the state stands at; at a clean end by the data itself, to the last bit.
///
/// `x <- m (alpha known + sigma z) + (1 - m) x` at the level `(alpha, sigma)` that was reached.
///
/// $$x \leftarrow m\odot(\alpha\thinspace x_0^{\text{known}}+\sigma z)+(1-m)\odot x$$
///
/// Noise is fresh at every level, as in RePaint, or drawn once for a run
/// ([`with_held_noise`](Self::with_held_noise)), as suits deterministic solvers. With a plan that is
/// [`resampled`](crate::Plan::resampled) it is RePaint.
///
/// Sources: RePaint: Inpainting using Denoising Diffusion Probabilistic Models, Lugmayr et al., 2022;
/// Blended Latent Diffusion, Avrahami, Fried, Lischinski, 2023.
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, Grid, SeededNoise, Plan, schedule::Discrete, solver::Ddpm};
/// use gaussian_diffusion::editing::{Inpaint, Known};
/// use ndarray::array;
/// let schedule = Discrete::cosine(1000)?;
/// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 20)?, &Ddpm::default())?.resampled(5, 2)?;
/// let mut net = GaussianMixture::isotropic(&[(1.0, &[0.0, 0.0][..], 1.0)])?;
/// let known = Known::new(array![[0.1, 0.0]], array![[1.0, 0.0]])?;
/// let mut inpaint = Inpaint::new(known, SeededNoise::new(1));
/// let mut noise = SeededNoise::new(2);
/// let start = plan.prior((1, 2), &mut noise)?;
/// let x = plan.sample_edited(start, &mut net, &mut inpaint, &mut noise)?;
/// assert_eq!(x[[0, 0]], 0.1);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("inpainting", "RePaint", "blended latents"))]
#[derive(Debug, Clone)]
pub struct Inpaint<A, D: Dimension, N> {
    known: Known<A, D>,
    noise: N,
    hold: bool,
    held: Option<Array<A, D>>,
}

impl<A: Real, D: Dimension, N> Inpaint<A, D, N> {
    /// With fresh noise from this source at every level.
    pub fn new(known: Known<A, D>, noise: N) -> Self {
        Self {
            known,
            noise,
            hold: false,
            held: None,
        }
    }

    /// With noise that is drawn once, where a run begins.
    #[must_use]
    pub fn with_held_noise(self) -> Self {
        Self { hold: true, ..self }
    }
}

impl<A: Real, D: Dimension, N: NoiseSource<Array<A, D>>> Edit<Array<A, D>> for Inpaint<A, D, N> {
    fn edit(&mut self, x: &mut Array<A, D>, at: StepEnd) -> Result<(), Error> {
        if at.level.is_clean() {
            // The level's alpha is 1, but for schedules of the user's own.
            let mut values = self.known.values().clone();
            values.combine(at.level.alpha(), &[])?;
            return self.known.blend(x, &values);
        }
        if !self.hold || at.step == 0 {
            self.held = None;
        }
        let eps = match self.held.take() {
            Some(eps) => eps,
            None => {
                let mut eps = self.known.values().clone();
                eps.combine(0.0, &[])?;
                self.noise.add(&mut eps, Scale::Same(1.0), None)?;
                eps
            }
        };
        let mut noised = self.known.values().clone();
        noised.combine(at.level.alpha(), &[(at.level.sigma(), &eps)])?;
        self.held = Some(eps);
        self.known.blend(x, &noised)
    }
}
