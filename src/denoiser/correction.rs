//! Corrections of the predicted data, at one hook.

use super::{Denoiser, Point, Prediction, memory_of};
use crate::{Error, Parameterization, Posterior, state::State};

/// A change of the predicted data: [`Clip`](super::Clip), [`DynamicThreshold`](super::DynamicThreshold),
/// or a closure of your own.
///
/// ```
/// use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Step, predicts};
/// use ndarray::{Array1, array};
/// // Data that is known not to be negative.
/// let nonnegative = |x0: &mut Array1<f64>, _: Point<Step>| {
///     x0.mapv_inplace(|x| x.max(0.0));
///     Ok(())
/// };
/// let net = predicts::x0(|x: &Array1<f64>, _: Point<Step>| x * 2.0);
/// let mut net = Denoiser::<Array1<f64>, Step>::corrected(net, nonnegative);
/// let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
/// assert_eq!(net.predict(&array![-3.0, 0.2], at)?.value, array![0.0, 0.4]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("denoised_fn", "correcting_x0_fn"))]
pub trait Correction<V, T> {
    /// Changes predicted data in place.
    ///
    /// # Errors
    ///
    /// The correction's own.
    fn correct(&mut self, x0: &mut V, at: Point<T>) -> Result<(), Error>;

    /// Forgets, as [`Denoiser::begin`].
    fn begin(&mut self) {
        self.visit_memory(&mut |place| *place = None);
    }

    /// Shows what it remembers, as [`Denoiser::visit_memory`].
    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<V>)) {
        let _ = visit;
    }

    /// The answer of a network that was shown `x` as a corrected prediction of the data.
    ///
    /// # Errors
    ///
    /// The correction's own, or if the answer does not determine the data at this level.
    fn corrected(
        &mut self,
        answer: Prediction<V>,
        x: &V,
        at: Point<T>,
    ) -> Result<Prediction<V>, Error>
    where
        V: State,
        T: Copy,
    {
        let mut answer = answer.to(Parameterization::X0, x, at.level)?;
        self.correct(&mut answer.value, at)?;
        answer.data = None;
        Ok(answer)
    }
}

impl<V, T, F: FnMut(&mut V, Point<T>) -> Result<(), Error>> Correction<V, T> for F {
    fn correct(&mut self, x0: &mut V, at: Point<T>) -> Result<(), Error> {
        self(x0, at)
    }
}

/// A denoiser whose predicted data is corrected: made by [`Denoiser::corrected`].
///
/// The answer becomes an x0-prediction, so that the noise is derived again from the corrected data,
/// as in the code of DDPM and Improved DDPM.
///
/// ```
/// use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Step, denoiser::{Clip, Corrected}, predicts};
/// use ndarray::{Array1, array};
/// let net = predicts::x0(|x: &Array1<f32>, _: Point<Step>| x * 2.0);
/// let mut net = Corrected::new(net, Clip::new(-1.0, 1.0)?);
/// let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
/// assert_eq!(net.predict(&array![-3.0, 0.2], at)?.value, array![-1.0, 0.4]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Corrected<D, C> {
    inner: D,
    correction: C,
}

impl<D, C> Corrected<D, C> {
    /// Around this denoiser: as [`Denoiser::corrected`], where the types of state and time are not known yet.
    pub fn new(inner: D, correction: C) -> Self {
        Self { inner, correction }
    }

    /// Corrects the data and leaves the predicted noise as it was, for steps of this posterior.
    ///
    /// The step is then `alpha_s x0' + sqrt(sigma_s^2 - std^2) eps + std z` with the corrected `x0'`
    /// and the raw `eps`.
    #[doc(alias("use_clipped_model_output"))]
    pub fn keeping_noise<P: Posterior>(self, posterior: P) -> KeepingNoise<D, C, P> {
        KeepingNoise {
            corrected: self,
            posterior,
        }
    }
}

impl<V, T, D, C> Denoiser<V, T> for Corrected<D, C>
where
    V: State,
    T: Copy,
    D: Denoiser<V, T>,
    C: Correction<V, T>,
{
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        if at.evaluation == 0 {
            self.correction.begin();
        }
        let answer = self.inner.predict(x, at)?;
        self.correction.corrected(answer, x, at)
    }

    memory_of!(inner, correction);
}

/// [`Corrected`] with the predicted noise left as it was: made by [`Corrected::keeping_noise`].
#[derive(Debug, Clone)]
pub struct KeepingNoise<D, C, P> {
    corrected: Corrected<D, C>,
    posterior: P,
}

impl<V, T, D, C, P> Denoiser<V, T> for KeepingNoise<D, C, P>
where
    V: State,
    T: Copy,
    D: Denoiser<V, T>,
    C: Correction<V, T>,
    P: Posterior,
{
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        if at.evaluation == 0 {
            self.corrected.correction.begin();
        }
        let answer = self.corrected.inner.predict(x, at)?;
        let mut answer = answer.to(Parameterization::X0, x, at.level)?;
        let mut data = answer.value.clone();
        self.corrected.correction.correct(&mut data, at)?;
        // The x0 for which the step of the posterior, state x + clean x0, has the raw noise in it:
        // state alpha_t of the step's alpha_s comes from x and has to be moved to the new data.
        let q = self.posterior.coefficients(at.level, at.to)?;
        let moved = q.state * at.level.alpha() / q.clean;
        answer.value.combine(-moved, &[(1.0 + moved, &data)])?;
        answer.data = Some(data);
        Ok(answer)
    }

    memory_of!(corrected.inner, corrected.correction);
}
