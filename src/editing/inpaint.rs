//! Keeping known parts of the state.

use super::Known;
use crate::{
    Error,
    edit::{Edit, StepEnd},
    noise::NoiseSource,
    state::Elements,
};

/// Before every step, the known part of the state is replaced by the known data noised to the very
/// level the state stands at; at a clean end by the data itself, to the last bit.
///
/// `x <- alpha known + sigma z` at the level `(alpha, sigma)` that was reached, where the weight is above
/// the share of the steps that are done, or 1.
///
/// $$x_j \leftarrow \alpha\thinspace x_{0,j}^{\text{known}}+\sigma z_j\qquad\text{where}\quad
///   m_j>\tfrac{i}{n}\ \text{or}\ m_j=1$$
///
/// A weight between 0 and 1 is the share of the run for which that part is kept, and so how little it
/// changes: the mask of Differential Diffusion. No two noises are blended, which would leave a state of
/// less noise than its level (half of each: 0.71 of it). To blend the data instead, with the noise of the
/// state left alone, take [`Known`] as a correction.
///
/// Noise is fresh at every level where the weight is 1, as in RePaint, and elsewhere drawn once for a run,
/// as it is everywhere with [`with_held_noise`](Self::with_held_noise), which suits deterministic solvers. With a plan that is
/// [`resampled`](crate::Plan::resampled) it is RePaint.
///
/// # As pipelines of diffusers
///
/// Those of networks without a mask of their own keep the known part with the noise of the start, leave the
/// start alone and end with the data itself: [`with_held_noise`](Self::with_held_noise),
/// [`with_free_start`](Self::with_free_start) and [`with_data_at_end`](Self::with_data_at_end), and the noise is a copy
/// of the generator from before the start was drawn.
///
/// [Sources](crate::docs::papers#arxiv-2201.09865): RePaint: Inpainting using Denoising Diffusion Probabilistic Models,
/// Lugmayr et al., 2022; Blended Latent Diffusion, Avrahami, Fried, Lischinski, 2023; Differential Diffusion:
/// Giving Each Pixel Its Strength, Levin, Fried, 2023.
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
#[doc(alias("inpainting", "RePaint", "blended latents", "differential diffusion"))]
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        try_from = "super::stored::StoredInpaint<V, N>",
        bound(
            serialize = "V: serde::Serialize, N: serde::Serialize",
            deserialize = "V: Elements + serde::Deserialize<'de>, N: serde::Deserialize<'de>"
        )
    )
)]
pub struct Inpaint<V, N> {
    pub(super) known: Known<V>,
    pub(super) noise: N,
    pub(super) hold: bool,
    /// Whether the start of the run is left as it is.
    pub(super) free_start: bool,
    /// Whether the run ends with the known data, whatever noise is left.
    pub(super) data_at_end: bool,
    /// The noise of the start of the run, and the newest.
    pub(super) first: Option<V>,
    #[cfg_attr(feature = "serde", serde(skip))]
    fresh: Option<V>,
    /// A place for the noised known data.
    #[cfg_attr(feature = "serde", serde(skip))]
    noised: Option<V>,
}

impl<V: Elements, N> Inpaint<V, N> {
    /// With fresh noise from this source at every level.
    pub fn new(known: Known<V>, noise: N) -> Self {
        Self {
            known,
            noise,
            hold: false,
            free_start: false,
            data_at_end: false,
            first: None,
            fresh: None,
            noised: None,
        }
    }

    /// With noise that is drawn once, where a run begins.
    #[must_use]
    pub fn with_held_noise(self) -> Self {
        Self { hold: true, ..self }
    }

    /// Leaves the start of the run as it is: the first known data is that of the level after the first step.
    #[must_use]
    pub fn with_free_start(self) -> Self {
        Self {
            free_start: true,
            ..self
        }
    }

    /// Ends with the known data itself where the run ends with noise left.
    #[must_use]
    pub fn with_data_at_end(self) -> Self {
        Self {
            data_at_end: true,
            ..self
        }
    }
}

impl<V: Elements, N: NoiseSource<V>> Edit<V> for Inpaint<V, N> {
    fn edit(&mut self, x: &mut V, at: StepEnd) -> Result<(), Error> {
        self.known.check(x)?;
        let (values, weights) = (self.known.values(), self.known.weights());
        let (alpha, sigma) = (at.level.alpha(), at.level.sigma());
        // What is kept is kept whole: a mask of weights of 1.
        let mask;
        let kept = match self.known.is_binary {
            true => weights,
            false => {
                // The share of the run that is done: a part of weight 1 is never left.
                let done = at.step as f64 / at.steps.max(1) as f64;
                mask = weights.above(done.min(1.0), done >= 1.0)?;
                &mask
            }
        };
        let ends_with_data = self.data_at_end && at.step == at.steps;
        if ends_with_data || at.level.is_clean() && alpha == 1.0 {
            return x.blend(kept, values);
        }
        let noised = self.noised.get_or_insert_with(|| values.clone());
        if at.level.is_clean() {
            noised.combine(0.0, &[(alpha, values)])?;
            return x.blend(kept, noised);
        }
        let begins = at.step == 0 || self.first.is_none();
        let like = || values.clone();
        if begins {
            self.noise.fill(self.first.get_or_insert_with(like))?;
        } else if !self.hold {
            self.noise.fill(self.fresh.get_or_insert_with(like))?;
        }
        let newest = match begins || self.hold {
            true => &self.first,
            false => &self.fresh,
        };
        if self.free_start && at.step == 0 {
            return Ok(());
        }
        if let (Some(first), Some(newest)) = (&self.first, newest) {
            if self.known.is_binary || begins || self.hold {
                noised.combine(0.0, &[(alpha, values), (sigma, newest)])?;
            } else {
                // A part that is left on the way keeps its noise, which the solver may remember.
                noised.combine(0.0, &[(1.0, first)])?;
                noised.blend(&weights.above(1.0, true)?, newest)?;
                noised.combine(sigma, &[(alpha, values)])?;
            }
            x.blend(kept, noised)?;
        }
        Ok(())
    }

    fn begin(&mut self) {
        self.first = None;
    }
}
