//! The network's side: what it is asked, what it answers, and corrections of the answer.

mod adjusted_ddim;
mod clip;
mod consistency;
mod correction;
mod differentiable;
mod displaced;
mod in_subspace;
mod learned_noise;
mod memory;
mod preconditioned;
pub mod preconditioning;
mod self_conditioned;
mod threshold;

use crate::{Error, NoiseLevel, Parameterization, state::State};

#[doc(inline)]
pub use crate::point::Point;
pub use adjusted_ddim::AdjustedDdim;
pub use clip::Clip;
pub use consistency::{consistency_model, latent_consistency, trigflow};
pub use correction::{Corrected, Correction, KeepingNoise};
pub use differentiable::{Differentiable, WithVjp};
pub use displaced::Displaced;
pub use in_subspace::InSubspace;
pub use learned_noise::{LearnedNoise, NoiseOutput};
pub(crate) use memory::memory_of;
pub use preconditioned::Preconditioned;
pub use self_conditioned::SelfConditioned;
pub use threshold::DynamicThreshold;

/// What a network answered.
///
/// ```
/// use gaussian_diffusion::{NoiseLevel, Parameterization, Prediction};
/// use ndarray::array;
/// let level = NoiseLevel::new(0.8, 0.6)?;
/// let (x_0, eps) = (0.5, 1.0_f64);
/// let x = array![0.8 * x_0 + 0.6 * eps];
/// let prediction = Prediction::noise(array![eps]).to(Parameterization::X0, &x, level)?;
/// assert!((prediction.value[0] - x_0).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("model_output", "ModelOutput"))]
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Prediction<V> {
    /// The numbers.
    pub value: V,
    /// What they stand for.
    pub parameterization: Parameterization,
    /// What the network says of the variance, if anything: a log-variance, or the place `v` in
    /// [-1, 1] of one in a range, as the [`ModelVariance`](crate::ModelVariance) of the sampler has
    /// it.
    pub variance: Option<V>,
    /// What is added to the data in the state beside what the solver makes of the prediction:
    /// `x_s <- x_s + alpha_s shift`, where a step ends. It takes no part in the equation that the solver
    /// integrates: of the answers within a step, the last one's counts.
    pub shift: Option<V>,
    /// What the data was taken to be, where that is not the value in other terms: the corrected data of an
    /// adapter that leaves the noise as it was, for [previews](crate::plan::Observation::x0). A run makes
    /// nothing of it, and an adapter that changes the value leaves it out.
    #[doc(alias("pred_original_sample"))]
    pub data: Option<V>,
}

impl<V> Prediction<V> {
    /// These numbers, standing for this.
    pub fn new(value: V, parameterization: Parameterization) -> Self {
        Self {
            value,
            parameterization,
            variance: None,
            shift: None,
            data: None,
        }
    }

    /// A prediction of the noise.
    pub fn noise(value: V) -> Self {
        Self::new(value, Parameterization::Noise)
    }

    /// A prediction of the data.
    pub fn x0(value: V) -> Self {
        Self::new(value, Parameterization::X0)
    }

    /// A prediction of `v = alpha eps - sigma x_0`.
    pub fn velocity(value: V) -> Self {
        Self::new(value, Parameterization::Velocity)
    }

    /// A prediction of the score.
    pub fn score(value: V) -> Self {
        Self::new(value, Parameterization::Score)
    }

    /// A prediction of `eps - x_0`.
    pub fn flow(value: V) -> Self {
        Self::new(value, Parameterization::Flow)
    }

    /// The same with what the network says of the variance.
    #[must_use]
    pub fn with_variance(mut self, variance: V) -> Self {
        self.variance = Some(variance);
        self
    }

    /// The same with a displacement of the data that the state gets after the step.
    #[must_use]
    pub fn with_shift(mut self, shift: V) -> Self {
        self.shift = Some(shift);
        self
    }

    /// The same with what the data was taken to be.
    #[must_use]
    pub fn with_data(mut self, data: V) -> Self {
        self.data = Some(data);
        self
    }
}

impl<V: State> Prediction<V> {
    /// Adds to the displacement of the data.
    pub(crate) fn add_shift(&mut self, mut shift: V) -> Result<(), Error> {
        if let Some(before) = &self.shift {
            shift.combine(1.0, &[(1.0, before)])?;
        }
        self.shift = Some(shift);
        Ok(())
    }

    /// The same prediction in other terms, given the `x` the network was shown.
    ///
    /// # Errors
    ///
    /// If the conversion has no value at this level, or `x` has another shape.
    pub fn to(mut self, other: Parameterization, x: &V, level: NoiseLevel) -> Result<Self, Error> {
        let map = self.parameterization.to(other, level)?;
        self.value = self.value.widened_for(x);
        if self.parameterization != other {
            self.value
                .combine(map.prediction, &[(map.state, x)])
                .map_err(|error| error.naming("x"))?;
            self.parameterization = other;
        }
        Ok(self)
    }
}

/// A network, or anything else that predicts the data or the noise from a noisy state.
///
/// Closures become denoisers by what they predict: see [`predicts`](crate::predicts). Corrections are adapters on a
/// denoiser: [`clipped`](Self::clipped), [`corrected`](Self::corrected), and those of
/// [`guidance`](crate::guidance).
///
/// # Laws
///
/// Checked by `laws::denoiser` (feature `laws`): the answer has the shape of the question, determines
/// the data, and an item's answer does not depend on the other items. By `laws::repeated_run`: a run gives the
/// same bits again, and so does one that was stored on the way.
///
/// ```
/// use gaussian_diffusion::{Denoiser, Error, Point, Prediction, Step};
/// use ndarray::Array2;
///
/// struct Net {
///     bias: f32,
/// }
///
/// impl Denoiser<Array2<f32>, Step> for Net {
///     fn predict(&mut self, x: &Array2<f32>, at: Point<Step>) -> Result<Prediction<Array2<f32>>, Error> {
///         let t = at.time.get() as f32 / 1000.0;
///         Ok(Prediction::noise(x.mapv(|x| x * t + self.bias)))
///     }
/// }
/// ```
///
/// # Memory
///
/// What carries something from question to question, as [`SelfConditioned`] does with its last prediction
/// of the data, keeps it in itself. A run [begins](Self::begin) by telling it to forget, and shows all of it
/// to whoever stores a run ([`visit_memory`](Self::visit_memory)). Adapters pass both on to what they are
/// around; a network without memory needs neither.
///
/// ```
/// use gaussian_diffusion::{Denoiser, Error, Point, Prediction, State};
///
/// /// Asks the network at every second question, and repeats its answer at the others.
/// struct Lazy<D, V> {
///     inner: D,
///     last: Option<V>,
/// }
///
/// impl<V: State, T: Copy, D: Denoiser<V, T>> Denoiser<V, T> for Lazy<D, V> {
///     fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
///         if let Some(last) = self.last.take() {
///             return Ok(Prediction::noise(last));
///         }
///         let answer = self.inner.predict(x, at)?;
///         let answer = answer.to(gaussian_diffusion::Parameterization::Noise, x, at.level)?;
///         self.last = Some(answer.value.clone());
///         Ok(answer)
///     }
///
///     fn begin(&mut self) {
///         self.last = None;
///         self.inner.begin();
///     }
///
///     fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<V>)) {
///         visit(&mut self.last);
///         self.inner.visit_memory(visit);
///     }
/// }
/// ```
#[doc(alias("model", "network", "UNet"))]
pub trait Denoiser<V, T> {
    /// The answer for this state.
    ///
    /// # Errors
    ///
    /// The network's own, as [`Error::network`].
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error>;

    /// Forgets what earlier questions left, for a run begins.
    ///
    /// [`Plan::sample`](crate::Plan::sample) and its like say so before the first question, and so should a
    /// loop of your own over a [`Run`](crate::Run); where it does not, the adapters of this crate take a
    /// question that is the first ([`Point::evaluation`] 0) for it. Only what remembers something that
    /// [`visit_memory`](Self::visit_memory) does not show needs a `begin` of its own; an adapter passes it on.
    #[doc(alias("reset"))]
    fn begin(&mut self) {
        self.visit_memory(&mut |place| *place = None);
    }

    /// Shows every place where something is remembered from one question to the next, always in the same
    /// order; an adapter shows those of what it is around.
    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<V>)) {
        let _ = visit;
    }

    /// A copy of what it remembers, to be stored beside a run that goes on later.
    fn memory(&mut self) -> Vec<Option<V>>
    where
        V: Clone,
    {
        let mut memory = Vec::new();
        self.visit_memory(&mut |place| memory.push(place.clone()));
        memory
    }

    /// Remembers what another of its kind did.
    ///
    /// # Errors
    ///
    /// If it has another number of places; it then remembers what it did before.
    fn set_memory(&mut self, memory: Vec<Option<V>>) -> Result<(), Error> {
        let mut places = 0;
        self.visit_memory(&mut |_| places += 1);
        if memory.len() != places {
            return Err(Error::range(
                "number of remembered states",
                memory.len() as f64,
                format!("{places}, the places of this denoiser"),
            ));
        }
        let mut memory = memory.into_iter();
        self.visit_memory(&mut |place| *place = memory.next().flatten());
        Ok(())
    }

    /// With its prediction of the data kept within these bounds.
    ///
    /// # Errors
    ///
    /// If `low` is not below `high`.
    fn clipped(self, low: f64, high: f64) -> Result<Corrected<Self, Clip>, Error>
    where
        Self: Sized,
    {
        Ok(Corrected::new(self, Clip::new(low, high)?))
    }

    /// With its prediction of the data corrected.
    fn corrected<C: Correction<V, T>>(self, correction: C) -> Corrected<Self, C>
    where
        Self: Sized,
    {
        Corrected::new(self, correction)
    }
}

macro_rules! forward_denoiser {
    ($($pointer:ty),*) => {$(
        impl<V, T, D: Denoiser<V, T> + ?Sized> Denoiser<V, T> for $pointer {
            fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
                (**self).predict(x, at)
            }

            fn begin(&mut self) {
                (**self).begin();
            }

            fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<V>)) {
                (**self).visit_memory(visit);
            }
        }
    )*};
}

forward_denoiser!(&mut D, Box<D>);
