//! Running a plan.

use std::{fmt::Debug, ops::ControlFlow};

use ndarray::{Array, Dimension, ShapeBuilder};

use super::{drive::Stop, observation::Observation};
use crate::{
    Denoiser, Error, Plan,
    edit::Edit,
    noise::{NoiseSource, Scale},
    state::{Kept, Real, State, check_size},
};

/// An array of noise of this deviation.
pub(crate) fn start_of<A, Sh, N>(
    shape: Sh,
    std: f64,
    noise: &mut N,
) -> Result<Array<A, Sh::Dim>, Error>
where
    A: Real,
    Sh: ShapeBuilder,
    N: NoiseSource<Array<A, Sh::Dim>> + ?Sized,
{
    let shape = shape.into_shape_with_order();
    check_size::<A>(shape.raw_dim().slice())?;
    let mut x = Array::from_elem(shape, A::of(0.0));
    noise.add(&mut x, Scale::Same(std), None)?;
    Ok(x)
}

/// The same in the shape of a state of any type.
pub(crate) fn start_like<V, N>(like: &V, std: f64, noise: &mut N) -> Result<V, Error>
where
    V: State,
    N: NoiseSource<V> + ?Sized,
{
    let mut x = like.clone();
    x.combine(0.0, &[])?;
    noise.add(&mut x, Scale::Same(std), None)?;
    Ok(x)
}

impl<T: Copy + Debug> Plan<T> {
    /// Where a run starts, as an array: `N(0, (alpha^2 + sigma^2) I)` at the first level, the law of noised data
    /// of mean 0 and variance 1. For other states, [`prior_like`](Self::prior_like).
    ///
    /// On variance-preserving schedules, and at the zero-SNR end of flows, that is `N(0, I)`. On
    /// variance-exploding ones it is `N(0, (1 + sigma^2) I)`, which differs from the `sigma` of EDM by
    /// 0.01 % at 80; start from noise of your own to have that.
    ///
    /// # Errors
    ///
    /// If the noise source refuses the shape, or no memory can hold it.
    #[doc(alias("init_noise_sigma", "latents"))]
    pub fn prior<A, Sh, N>(&self, shape: Sh, noise: &mut N) -> Result<Array<A, Sh::Dim>, Error>
    where
        A: Real,
        Sh: ShapeBuilder,
        N: NoiseSource<Array<A, Sh::Dim>> + ?Sized,
    {
        start_of(shape, self.prior_std(), noise)
    }

    /// The same for a state of any type: in the shape of this one, whose numbers do not matter.
    ///
    /// # Errors
    ///
    /// As [`prior`](Self::prior).
    ///
    /// ```
    /// use gaussian_diffusion::{Sampler, SeededNoise, schedule::Discrete};
    /// use ndarray::Array2;
    /// let plan = Sampler::from_name("DDIM")?.plan(&Discrete::stable_diffusion()?, 4)?;
    /// let like = Array2::<f32>::ones((2, 3));
    /// let start: Array2<f32> = plan.prior((2, 3), &mut SeededNoise::new(1))?;
    /// assert_eq!(plan.prior_like(&like, &mut SeededNoise::new(1))?, start);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("randn_like"))]
    pub fn prior_like<V, N>(&self, like: &V, noise: &mut N) -> Result<V, Error>
    where
        V: State,
        N: NoiseSource<V> + ?Sized,
    {
        start_like(like, self.prior_std(), noise)
    }

    /// The deviation of [`prior`](Self::prior).
    pub fn prior_std(&self) -> f64 {
        let start = self.start();
        start.alpha().hypot(start.sigma())
    }

    /// Runs the plan from `x`: asks the network at every point and applies every update.
    ///
    /// # Errors
    ///
    /// If the network fails, answers with another shape, a NaN or an infinity, or answers in terms
    /// that do not determine the data (noise, at zero SNR).
    #[doc(alias("p_sample_loop", "ddim_sample_loop", "denoise"))]
    pub fn sample<V, D, N>(&self, x: V, network: &mut D, noise: &mut N) -> Result<V, Error>
    where
        V: State,
        D: Denoiser<V, T> + ?Sized,
        N: NoiseSource<Kept<V>> + ?Sized,
    {
        self.start_from(x, noise)?.sample(network, noise)
    }

    /// The same, with somebody looking on who may stop it: the run ends with the step that was looked at,
    /// whatever the solver, and what is given is at the level that this step reaches, `seen.at.to`, before any
    /// noise of the next one.
    ///
    /// That takes the evaluations that the step has left. To go on later, stop a [`Run`](crate::Run)
    /// ([`Run::sample_observed`](crate::Run::sample_observed)): the state alone is all of a run only where the
    /// solver keeps nothing else.
    ///
    /// # Errors
    ///
    /// As [`sample`](Self::sample).
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use gaussian_diffusion::{Grid, SeededNoise, Plan, Point, Step, predicts, schedule::Discrete, solver::Ddim};
    /// use ndarray::Array1;
    /// let schedule = Discrete::stable_diffusion()?;
    /// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 10)?, &Ddim::default())?;
    /// let mut net = predicts::noise(|x: &Array1<f64>, _: Point<Step>| x * 0.9);
    /// let mut noise = SeededNoise::new(3);
    /// let (mut previews, start) = (Vec::new(), plan.prior(4, &mut noise)?);
    /// plan.sample_observed(start, &mut net, &mut noise, |seen| {
    ///     previews.extend(seen.x0());
    ///     if seen.at.step == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    /// })?;
    /// assert_eq!(previews.len(), 5);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("callback", "callback_on_step_end", "preview"))]
    pub fn sample_observed<V, D, N>(
        &self,
        x: V,
        network: &mut D,
        noise: &mut N,
        observe: impl FnMut(Observation<'_, V, T>) -> ControlFlow<()>,
    ) -> Result<V, Error>
    where
        V: State,
        D: Denoiser<V, T> + ?Sized,
        N: NoiseSource<Kept<V>> + ?Sized,
    {
        let mut run = self.start_from(x, noise)?;
        run.drive(network, noise, |_| Ok(()), observe, Stop::ForGood)?;
        Ok(run.into_shown())
    }

    /// The same with a change of the state before every step and at the end, such as
    /// [`Inpaint`](crate::editing::Inpaint).
    ///
    /// # Errors
    ///
    /// As [`sample`](Self::sample), and where the edit fails.
    #[doc(alias("callback", "callback_on_step_end"))]
    pub fn sample_edited<V, D, E, N>(
        &self,
        x: V,
        network: &mut D,
        edit: &mut E,
        noise: &mut N,
    ) -> Result<V, Error>
    where
        V: State,
        D: Denoiser<V, T> + ?Sized,
        E: Edit<V> + ?Sized,
        N: NoiseSource<Kept<V>> + ?Sized,
    {
        edit.begin();
        let mut run = self.start_from(x, noise)?;
        let on = |_: Observation<'_, V, T>| ControlFlow::Continue(());
        run.drive(network, noise, |run| run.edit(edit), on, Stop::ForGood)?;
        Ok(run.into_state())
    }
}
