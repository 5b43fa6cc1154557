//! Closures as denoisers, named by what they predict.
//!
//! ```
//! use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Step, predicts};
//! use ndarray::Array1;
//! let mut net = predicts::noise(|x: &Array1<f32>, at: Point<Step>| x * at.time.get() as f32);
//! let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
//! assert_eq!(net.predict(&Array1::ones(2), at)?.value, Array1::from_elem(2, 3.0));
//! # Ok::<(), gaussian_diffusion::Error>(())
//! ```
//!
//! A closure may fail: it returns a value, or a [`Result`] with whatever error its library has. A run then ends
//! with [`Error::Network`], which keeps that error as its source.
//!
//! ```
//! use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Step, predicts};
//! use ndarray::Array1;
//! use std::{error::Error, num::ParseFloatError};
//! let mut net = predicts::noise(|x: &Array1<f32>, _: Point<Step>| -> Result<_, ParseFloatError> {
//!     Ok(x * "not a number".parse::<f32>()?)
//! });
//! let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
//! let error = net.predict(&Array1::ones(2), at).unwrap_err();
//! assert_eq!(error.to_string(), "the network failed: invalid float literal");
//! assert!(error.source().is_some_and(|source| source.is::<ParseFloatError>()));
//! # Ok::<(), gaussian_diffusion::Error>(())
//! ```
//!
//! Where such a closure ends in a bare `Ok`, say what its error is, as here: the compiler cannot know it.

use std::error;

use crate::{
    Denoiser, Error, Parameterization, Point, Posterior, Prediction, schedule::ContinuousSchedule,
};

/// What the closure of a network returns: a value, or a [`Result`] with any error.
pub trait Fallible<V> {
    /// The value, or the error as this crate has it: see [`Error::network`].
    ///
    /// # Errors
    ///
    /// That of the closure.
    fn into_result(self) -> Result<V, Error>;
}

impl<V> Fallible<V> for V {
    fn into_result(self) -> Result<V, Error> {
        Ok(self)
    }
}

impl<V, E: Into<Box<dyn error::Error + Send + Sync>>> Fallible<V> for Result<V, E> {
    fn into_result(self) -> Result<V, Error> {
        self.map_err(Error::network)
    }
}

/// A closure that predicts always the same thing.
#[derive(Debug, Clone, Copy)]
pub struct Predicts<F> {
    network: F,
    parameterization: Parameterization,
}

impl<V, T, F, R> Denoiser<V, T> for Predicts<F>
where
    F: FnMut(&V, Point<T>) -> R,
    R: Fallible<V>,
{
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        let value = (self.network)(x, at).into_result()?;
        Ok(Prediction::new(value, self.parameterization))
    }
}

macro_rules! predicts {
    ($($(#[$doc:meta])* $name:ident => $parameterization:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name<V, T, F, R>(network: F) -> Predicts<F>
        where
            F: FnMut(&V, Point<T>) -> R,
            R: Fallible<V>,
        {
            Predicts { network, parameterization: Parameterization::$parameterization }
        }
    )*};
}

predicts! {
    /// A network that predicts the noise `eps`.
    #[doc(alias("epsilon"))]
    noise => Noise;
    /// A network that predicts the data `x_0`.
    #[doc(alias("sample"))]
    x0 => X0;
    /// A network that predicts `v = alpha eps - sigma x_0`.
    #[doc(alias("v_prediction"))]
    velocity => Velocity;
    /// A network that predicts the score `-eps / sigma`.
    score => Score;
    /// A network that predicts the flow velocity `eps - x_0`.
    flow => Flow;
}

/// A network that predicts the mean of the next, less noisy state under this posterior.
///
/// The level the mean belongs to is where the step goes, so that the network must have been trained
/// on the steps of the grid.
///
/// [Source](crate::docs::papers#arxiv-2006.11239): Denoising Diffusion Probabilistic Models, Ho, Jain, Abbeel, 2020, section
/// 3.2.
///
/// ```
/// use gaussian_diffusion::{Denoiser, Markov, NoiseLevel, Parameterization, Point, Step, predicts};
/// use ndarray::{Array1, array};
/// let mut net = predicts::mean(Markov, |x: &Array1<f64>, _: Point<Step>| x * 0.9);
/// let (from, to) = (NoiseLevel::new(0.6, 0.8)?, NoiseLevel::new(0.8, 0.6)?);
/// let answer = net.predict(&array![1.0], Point::new(Step::new(3), from, to))?;
/// assert!(matches!(answer.parameterization, Parameterization::Mean(_)));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("previous_x"))]
pub fn mean<V, T, P, F, R>(posterior: P, network: F) -> Mean<P, F>
where
    P: Posterior,
    F: FnMut(&V, Point<T>) -> R,
    R: Fallible<V>,
{
    Mean { posterior, network }
}

/// A closure that predicts the mean of the next state.
#[derive(Debug, Clone, Copy)]
pub struct Mean<P, F> {
    posterior: P,
    network: F,
}

impl<V, T, P, F, R> Denoiser<V, T> for Mean<P, F>
where
    P: Posterior,
    F: FnMut(&V, Point<T>) -> R,
    R: Fallible<V>,
{
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        let q = self.posterior.coefficients(at.level, at.to)?;
        let value = (self.network)(x, at).into_result()?;
        Ok(Prediction::new(value, Parameterization::Mean(q)))
    }
}

/// A network that predicts the velocity of the path of this schedule, `alpha' x_0 + sigma' eps`.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, Point, SeededNoise, Time, predicts, schedule::Cosine, solver::Ddim};
/// use ndarray::Array2;
/// let mut net = predicts::path_velocity(Cosine, |x: &Array2<f64>, _: Point<Time>| x * 0.1);
/// let plan = Plan::new(&Cosine, &Grid::uniform_time(&Cosine, 4)?, &Ddim::default())?;
/// let mut noise = SeededNoise::new(0);
/// let x = plan.sample(plan.prior((1, 2), &mut noise)?, &mut net, &mut noise)?;
/// # assert!(x.iter().all(|x| x.is_finite()));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
pub fn path_velocity<V, S, F, R>(schedule: S, network: F) -> PathVelocity<S, F>
where
    S: ContinuousSchedule,
    F: FnMut(&V, Point<S::Time>) -> R,
    R: Fallible<V>,
{
    PathVelocity { schedule, network }
}

/// A closure that predicts the velocity of a path.
#[derive(Debug, Clone, Copy)]
pub struct PathVelocity<S, F> {
    schedule: S,
    network: F,
}

impl<V, S, F, R> Denoiser<V, S::Time> for PathVelocity<S, F>
where
    S: ContinuousSchedule,
    F: FnMut(&V, Point<S::Time>) -> R,
    R: Fallible<V>,
{
    fn predict(&mut self, x: &V, at: Point<S::Time>) -> Result<Prediction<V>, Error> {
        let rates = self.schedule.path_rates(at.time)?;
        let value = (self.network)(x, at).into_result()?;
        Ok(Prediction::new(
            value,
            Parameterization::PathVelocity(rates),
        ))
    }
}

/// A network that says itself what it predicts, or that gives a variance.
///
/// Its closure returns an [`Error`], which [`Error::network`] makes of any other.
///
/// ```
/// use gaussian_diffusion::{Error, Point, Prediction, Step, predicts};
/// use ndarray::Array1;
/// let net = predicts::with(|x: &Array1<f32>, at: Point<Step>| {
///     let answer = std::fs::read("no such file").map_err(Error::network)?;
///     Ok(Prediction::noise(x * answer.len() as f32).with_variance(x.clone()))
/// });
/// # let _ = net;
/// ```
pub fn with<V, T, F>(network: F) -> With<F>
where
    F: FnMut(&V, Point<T>) -> Result<Prediction<V>, Error>,
{
    With { network }
}

/// A closure that returns a [`Prediction`] or an error.
#[derive(Debug, Clone, Copy)]
pub struct With<F> {
    network: F,
}

impl<V, T, F> Denoiser<V, T> for With<F>
where
    F: FnMut(&V, Point<T>) -> Result<Prediction<V>, Error>,
{
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        (self.network)(x, at)
    }
}
