//! Keeping known parts of the state.

use ndarray::{Array, Dimension, Zip};

use super::Known;
use crate::{
    Error,
    edit::{Edit, StepEnd},
    noise::NoiseSource,
    state::Real,
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
        try_from = "super::stored::StoredInpaint<A, D, N>",
        bound(
            serialize = "A: serde::Serialize, D: serde::Serialize, N: serde::Serialize",
            deserialize = "A: Real + serde::Deserialize<'de>, D: serde::Deserialize<'de>, \
                           N: serde::Deserialize<'de>"
        )
    )
)]
pub struct Inpaint<A, D: Dimension, N> {
    pub(super) known: Known<A, D>,
    pub(super) noise: N,
    pub(super) hold: bool,
    /// Whether the start of the run is left as it is.
    pub(super) free_start: bool,
    /// Whether the run ends with the known data, whatever noise is left.
    pub(super) data_at_end: bool,
    /// The noise of the start of the run, and the newest.
    pub(super) first: Option<Array<A, D>>,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) fresh: Option<Array<A, D>>,
}

impl<A: Real, D: Dimension, N> Inpaint<A, D, N> {
    /// With fresh noise from this source at every level.
    pub fn new(known: Known<A, D>, noise: N) -> Self {
        Self {
            known,
            noise,
            hold: false,
            free_start: false,
            data_at_end: false,
            first: None,
            fresh: None,
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

impl<A, D, N> Edit<Array<A, D>> for Inpaint<A, D, N>
where
    A: Real,
    D: Dimension,
    N: NoiseSource<Array<A, D>>,
{
    fn edit(&mut self, x: &mut Array<A, D>, at: StepEnd) -> Result<(), Error> {
        self.known.check(x)?;
        let (alpha, sigma) = (A::Wide::of(at.level.alpha()), A::Wide::of(at.level.sigma()));
        // The share of the run that is done: a part of weight 1 is never left.
        let done = at.step as f64 / at.steps.max(1) as f64;
        let is_kept = |weight: &A| weight.get() > done || weight.get() == 1.0;
        let parts = Zip::from(x)
            .and(self.known.values())
            .and(self.known.weights());
        if at.level.is_clean() || self.data_at_end && at.step == at.steps {
            let alpha = match at.level.is_clean() {
                true => alpha,
                false => A::Wide::of(1.0),
            };
            parts.for_each(|x, known, weight| {
                if is_kept(weight) {
                    *x = A::narrow(alpha * known.widen());
                }
            });
            return Ok(());
        }
        let like = self.known.values();
        let begins = at.step == 0 || self.first.is_none();
        if begins {
            draw(&mut self.first, like, &mut self.noise)?;
        } else if !self.hold {
            draw(&mut self.fresh, like, &mut self.noise)?;
        }
        let newest = match begins || self.hold {
            true => &self.first,
            false => &self.fresh,
        };
        if self.free_start && at.step == 0 {
            return Ok(());
        }
        // A part that is left on the way keeps its noise, which the solver may remember.
        if let (Some(first), Some(newest)) = (&self.first, newest) {
            parts
                .and(first)
                .and(newest)
                .for_each(|x, known, weight, first, newest| {
                    if is_kept(weight) {
                        let z = if weight.get() == 1.0 { newest } else { first };
                        *x = A::narrow(alpha * known.widen() + sigma * z.widen());
                    }
                });
        }
        Ok(())
    }

    fn begin(&mut self) {
        self.first = None;
    }
}

/// Fills a place with noise, and makes it if it is not there yet.
fn draw<A, D, N>(
    place: &mut Option<Array<A, D>>,
    like: &Array<A, D>,
    noise: &mut N,
) -> Result<(), Error>
where
    A: Real,
    D: Dimension,
    N: NoiseSource<Array<A, D>>,
{
    noise.fill(place.get_or_insert_with(|| like.clone()))
}
