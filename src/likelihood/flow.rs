//! The exact likelihood by the probability flow.

use std::fmt::Debug;

use ndarray::{Array, Dimension};

use super::{
    elements::check_shape,
    runge_kutta::{Accuracy, integrate},
};
use crate::{
    Denoiser, Error, LinearMap, LogSnr, NoiseLevel, NoiseSchedule, Parameterization, Point,
    Prediction, schedule::network_time_at, state::Real,
};

/// The deterministic flow between data and noise that has the marginals of the process, and the
/// density it carries.
///
/// Integrated in the coordinates in which data that is one point moves on straight lines and both
/// ends are finite, whatever the schedule:
///
/// ```text
/// y = x / (alpha + sigma),  u = sigma / (alpha + sigma),   dy/du = E[eps - x_0 | x]
/// log p(x) = log p(y at the noise end) + integral of div_y dy/du - D ln(alpha + sigma)
/// ```
///
/// $$y=\frac{x}{\alpha+\sigma},\quad u=\frac{\sigma}{\alpha+\sigma},\qquad
///   \frac{\mathrm dy}{\mathrm du}=\mathbb E[\varepsilon-x_0\mid x],\qquad
///   \log p(y_{u_0})=\log p(y_{u_1})+\int_{u_0}^{u_1}\nabla_y\cdot\frac{\mathrm dy}{\mathrm du}\thinspace
///   \mathrm du$$
///
/// At the noise end `p` is `N(0, (alpha^2 + sigma^2) I)` in `x`, as for the other likelihoods. The
/// density is that of the process at the cleanest time; where some noise is left there, the data has
/// to be seen as carrying it.
///
/// The integrator is an embedded Runge-Kutta method of order 5 whose step is chosen by the largest
/// estimated error of any element of any item. Items share their steps; give them one at a time to
/// have results that do not depend on the batch at all. For the fixed steps of a solver there is
/// [`PlannedFlow`](super::PlannedFlow).
///
/// [Source](crate::docs::papers#arxiv-2011.13456): Score-Based Generative Modeling through Stochastic Differential Equations,
/// Song et al., 2021, section 4.3 and appendix D.
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, NoiseLevel, Time, schedule::RectifiedFlow};
/// use gaussian_diffusion::likelihood::ProbabilityFlow;
/// use ndarray::array;
/// let mut data = GaussianMixture::isotropic(&[(1.0, &[-1.0][..], 0.1), (1.0, &[1.0][..], 0.1)])?;
/// let flow = ProbabilityFlow::between(&RectifiedFlow, Time::new(1.0)?, Time::new(1e-4)?)?;
/// let x = array![[0.8_f64]];
/// let found = flow.log_density(&x, &mut data)?;
/// let expected = data.log_density(&[0.8], NoiseLevel::new(0.9999, 1e-4)?)?;
/// assert!((found.log_density[0].value.nats().get() - expected).abs() < 1e-6);
///
/// let latent = flow.encode(&x, &mut data)?.value;
/// assert!((flow.decode(&latent, &mut data)?.value[[0, 0]] - 0.8).abs() < 1e-6);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "PF-ODE",
    "neural ODE",
    "continuous normalizing flow",
    "inversion",
    "probability flow ODE"
))]
pub struct ProbabilityFlow<'s, S: NoiseSchedule + ?Sized> {
    schedule: &'s S,
    pub(super) noisiest: NoiseLevel,
    pub(super) cleanest: NoiseLevel,
    pub(super) accuracy: Accuracy,
}

impl<S: NoiseSchedule + ?Sized> Debug for ProbabilityFlow<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProbabilityFlow")
            .field("noisiest", &self.noisiest)
            .field("cleanest", &self.cleanest)
            .field("accuracy", &self.accuracy)
            .finish_non_exhaustive()
    }
}

/// Where the flow led.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Latent<V> {
    /// The state at the other end.
    pub value: V,
    /// The largest error of an element, as estimated from the sum of all steps' errors, in the unit
    /// of the state.
    pub error: f64,
    /// Number of network evaluations.
    pub evaluations: usize,
}

impl<'s, S: NoiseSchedule + ?Sized> ProbabilityFlow<'s, S> {
    /// Between the ends of the schedule, with a tolerance of 1e-8, or as near it as the network is smooth, and
    /// at most 20,000 evaluations.
    ///
    /// A network whose answers jump - rounded to half precision, or trained to a thousandth, or with dropout
    /// left on - makes steps that are no more exact for being shorter. Where a step eight times as long has
    /// an error less than 128 times as large (it is 8^5 for a smooth network), and hundreds of steps are
    /// left, the longer one is taken; [`Latent::error`] says what that cost.
    ///
    /// A network is asked at both ends: one that predicts the data says nothing of the noise at a
    /// clean level, and one that predicts the noise nothing of the data at zero SNR. Where an end is
    /// such a level, go [`between`](Self::between) times short of it.
    ///
    /// # Errors
    ///
    /// If the schedule has no level at its ends.
    pub fn new(schedule: &'s S) -> Result<Self, Error> {
        let (noisiest, cleanest) = schedule.ends();
        Self::between(schedule, noisiest, cleanest)
    }

    /// From this noisiest to this cleanest time.
    ///
    /// # Errors
    ///
    /// If the first is not noisier than the second.
    pub fn between(schedule: &'s S, noisiest: S::Time, cleanest: S::Time) -> Result<Self, Error> {
        let (noisiest, cleanest) = (schedule.level(noisiest)?, schedule.level(cleanest)?);
        if !noisiest.is_noisier_than(cleanest) {
            return Err(Error::NotMonotone {
                what: "ends of the flow",
                index: 1,
                before: noisiest.log_snr().get(),
                this: cleanest.log_snr().get(),
            });
        }
        Ok(Self {
            schedule,
            noisiest,
            cleanest,
            accuracy: Accuracy {
                tolerance: 1e-8,
                strict: false,
                limit: 20_000,
            },
        })
    }

    /// The largest error of a step, in `y` and in nats, relative to 1 plus the size of the number. A network
    /// that is too rough for it is an error ([`Error::Rough`]).
    ///
    /// # Errors
    ///
    /// If it is not in 1e-13 to 1.
    #[doc(alias("atol", "rtol"))]
    pub fn with_tolerance(mut self, tolerance: f64) -> Result<Self, Error> {
        if !(1e-13..=1.0).contains(&tolerance) {
            return Err(Error::range("tolerance", tolerance, "1e-13 to 1"));
        }
        self.accuracy.tolerance = tolerance;
        self.accuracy.strict = true;
        Ok(self)
    }

    /// The most network evaluations of an integration; one that would need more is an error, which says
    /// whether the network is too rough for the tolerance ([`Error::Rough`]) or the tolerance asks for more
    /// ([`Error::Unfinished`]).
    #[must_use]
    #[doc(alias("max_num_steps"))]
    pub const fn with_limit(mut self, evaluations: usize) -> Self {
        self.accuracy.limit = evaluations;
        self
    }

    /// The noise that the flow makes of data, an array.
    ///
    /// # Errors
    ///
    /// If the network fails or answers with another shape or a NaN, or does not determine data and
    /// noise at some level; if the integration cannot reach its tolerance, or its end within its limit.
    pub fn encode<A, D, N>(
        &self,
        x_0: &Array<A, D>,
        network: &mut N,
    ) -> Result<Latent<Array<A, D>>, Error>
    where
        A: Real,
        D: Dimension,
        N: Denoiser<Array<A, D>, S::Time> + ?Sized,
    {
        self.carry(x_0, network, (self.cleanest, self.noisiest))
    }

    /// The data that the flow makes of noise, an array: the inverse of [`encode`](Self::encode).
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn decode<A, D, N>(
        &self,
        latent: &Array<A, D>,
        network: &mut N,
    ) -> Result<Latent<Array<A, D>>, Error>
    where
        A: Real,
        D: Dimension,
        N: Denoiser<Array<A, D>, S::Time> + ?Sized,
    {
        self.carry(latent, network, (self.noisiest, self.cleanest))
    }

    fn carry<A, D, N>(
        &self,
        x: &Array<A, D>,
        network: &mut N,
        ends: (NoiseLevel, NoiseLevel),
    ) -> Result<Latent<Array<A, D>>, Error>
    where
        A: Real,
        D: Dimension,
        N: Denoiser<Array<A, D>, S::Time> + ?Sized,
    {
        let slopes = |u: f64, y: &[f64]| {
            let point = self.point(u)?;
            let shown = like(x, y, scale(point.level));
            let prediction = network.predict(&shown, point)?;
            Ok(flow(&shown, &prediction, point.level)?.0)
        };
        let z = scaled(x, 1.0 / scale(ends.0));
        let found = integrate(
            slopes,
            (noise_share(ends.0), noise_share(ends.1)),
            z,
            self.accuracy,
        )?;
        let error = found.error.iter().fold(0.0_f64, |worst, e| worst.max(*e));
        Ok(Latent {
            value: like(x, &found.value, scale(ends.1)),
            error: error * scale(ends.1),
            evaluations: found.evaluations,
        })
    }

    /// What the network is asked about at `u`.
    pub(super) fn point(&self, u: f64) -> Result<Point<S::Time>, Error> {
        let ends = [self.noisiest, self.cleanest];
        let level = match ends.into_iter().find(|end| noise_share(*end) == u) {
            Some(end) => end,
            None => {
                let [low, high] = ends.map(|end| end.log_snr().get());
                let snr = (2.0 * ((1.0 - u) / u).ln()).max(low).min(high);
                self.schedule.level_at(LogSnr::new(snr)?)?
            }
        };
        let time = network_time_at(self.schedule, level.log_snr())?;
        Ok(Point::new(time, level, self.cleanest))
    }
}

pub(super) fn scale(level: NoiseLevel) -> f64 {
    level.alpha() + level.sigma()
}

pub(super) fn noise_share(level: NoiseLevel) -> f64 {
    level.sigma() / scale(level)
}

pub(super) fn scaled<A: Real, D: Dimension>(x: &Array<A, D>, by: f64) -> Vec<f64> {
    x.iter().map(|x| x.get() * by).collect()
}

/// Numbers in logical order as an array of this shape.
pub(super) fn like<A: Real, D: Dimension>(shape: &Array<A, D>, y: &[f64], by: f64) -> Array<A, D> {
    let mut x = shape.clone();
    x.iter_mut().zip(y).for_each(|(x, y)| *x = A::of(y * by));
    x
}

/// `eps - x_0` as numbers in logical order, and how it was made of state and prediction.
pub(super) fn flow<A: Real, D: Dimension>(
    x: &Array<A, D>,
    prediction: &Prediction<Array<A, D>>,
    level: NoiseLevel,
) -> Result<(Vec<f64>, LinearMap), Error> {
    check_shape("prediction", &prediction.value, x)?;
    let map = prediction
        .parameterization
        .to(Parameterization::Flow, level)?;
    let slope = |(x, p): (&A, &A)| map.state * x.get() + map.prediction * p.get();
    Ok((x.iter().zip(&prediction.value).map(slope).collect(), map))
}
