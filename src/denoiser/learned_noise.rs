//! Networks that say how far their prediction is from the noise.

use ndarray::{Array, Dimension};

use super::{Denoiser, Point, Prediction};
use crate::{
    Error, Markov, Parameterization, Posterior,
    state::{Real, State},
};

/// What the second output of a network stands for, element by element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoiseOutput {
    /// `E[(eps - eps_predicted)^2 | x_t]`, of the network's own first output: right whatever that errs (NPR-DPM).
    #[doc(alias("NPR", "eps_epsc"))]
    Residual,
    /// `E[eps^2 | x_t]`: right if the first output is (SN-DPM).
    #[doc(alias("SN", "eps_eps2"))]
    SecondMoment,
}

/// A network with a second output of the noise, made one that gives each step the best variance of every element:
/// extended Analytic-DPM.
///
/// ```text
/// Var[x_0 | x_t] = (sigma_t / alpha_t)^2 r,   r the residual, or the second moment less eps_predicted^2
/// variance of the step = std^2 + clean^2 Var[x_0 | x_t]
/// ```
///
/// $$\sigma_*^2=\tilde\sigma^2+\texttt{clean}^2\thinspace\frac{\sigma_t^2}{\alpha_t^2}\thinspace r(x_t)$$
///
/// with the coefficients of [`Markov`]. The network answers with `r`, or the second moment, in the place of the
/// variance ([`Prediction::with_variance`]); a question at the level where its step ends gets none. Solvers and bounds take
/// [`ModelVariance::Learned`](crate::ModelVariance).
/// Train it by the squared error of `(eps - eps_predicted)^2`, or of `eps^2`.
///
/// `r` is held within 1e-6, so that the last step's logarithm is a number, and 1, or what data between two numbers
/// leaves open.
///
/// [Source](crate::docs::papers#arxiv-2206.07309): Estimating the Optimal Covariance with Imperfect Mean in Diffusion
/// Probabilistic Models, Bao, Li, Sun, Zhu, Zhang, 2022.
///
/// ```
/// use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Prediction, Step};
/// use gaussian_diffusion::denoiser::{LearnedNoise, NoiseOutput};
/// use gaussian_diffusion::predicts;
/// use ndarray::{Array1, array};
/// let net = predicts::with(|x: &Array1<f64>, _: Point<Step>| {
///     Ok(Prediction::noise(x * 0.8).with_variance(Array1::from_elem(x.dim(), 0.36)))
/// });
/// let mut net = LearnedNoise::new(net, NoiseOutput::Residual);
/// // Data N(0, 1) with its exact outputs: the step is that of the chain itself.
/// let (from, to) = (NoiseLevel::new(0.6, 0.8)?, NoiseLevel::new(0.8, 0.6)?);
/// let answer = net.predict(&array![0.5], Point::new(Step::new(3), from, to))?;
/// // x_t and x_s have variance 1 and covariance c, the ratio of the signals that is left.
/// let c = 0.6 / 0.8_f64;
/// assert!((answer.variance.unwrap()[0] - (1.0 - c * c).ln()).abs() < 1e-14);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("NPR-DDPM", "SN-DDPM", "Extended-Analytic-DPM"))]
#[derive(Debug, Clone)]
pub struct LearnedNoise<D> {
    inner: D,
    output: NoiseOutput,
    most: f64,
}

impl<D> LearnedNoise<D> {
    /// This network, whose second output stands for this.
    pub fn new(inner: D, output: NoiseOutput) -> Self {
        Self {
            inner,
            output,
            most: f64::INFINITY,
        }
    }

    /// For data between these two numbers, whose variance is at most `((high - low) / 2)^2`.
    ///
    /// # Errors
    ///
    /// If `low` is not below `high`, or one is not finite.
    pub fn within(mut self, low: f64, high: f64) -> Result<Self, Error> {
        if !(low < high && (high - low).is_finite()) {
            let allowed = "below the high end";
            return Err(Error::range("low end of the data", low, allowed));
        }
        self.most = (0.5 * (high - low)).powi(2);
        Ok(self)
    }
}

impl<A, D, T, N> Denoiser<Array<A, D>, T> for LearnedNoise<N>
where
    A: Real,
    D: Dimension,
    T: Copy,
    N: Denoiser<Array<A, D>, T>,
{
    fn predict(&mut self, x: &Array<A, D>, at: Point<T>) -> Result<Prediction<Array<A, D>>, Error> {
        const LEAST: f64 = 1e-6;
        let mut answer = self.inner.predict(x, at)?;
        let mut variance = answer.variance.take().ok_or(Error::Missing {
            what: "the second output of a network",
            needed_by: "a learned variance of the noise",
        })?;
        x.fits(&variance)
            .map_err(|error| error.naming("the second output of a network"))?;
        if !at.level.is_noisier_than(at.to) {
            // A further question of the same step, from whose level nothing is drawn.
            return Ok(answer);
        }
        let q = Markov.coefficients(at.level, at.to)?;
        let open = at.level.noise_to_signal().powi(2);
        if !open.is_finite() {
            return Err(Error::Singular {
                what: "the variance of the data from predicted noise",
                alpha: at.level.alpha(),
                sigma: at.level.sigma(),
            });
        }
        let most = (self.most / open).min(1.0);
        let log = |r: f64| {
            // A NaN stays one, and is refused where it is used.
            let r = if r < LEAST {
                LEAST.min(most)
            } else if r > most {
                most
            } else {
                r
            };
            A::of((q.std * q.std + q.clean * q.clean * open * r).ln())
        };
        match self.output {
            NoiseOutput::Residual => variance.mapv_inplace(|r| log(r.get())),
            NoiseOutput::SecondMoment => {
                let whole = Prediction::new(answer.value.clone(), answer.parameterization);
                let noise = whole.to(Parameterization::Noise, x, at.level)?.value;
                variance.zip_mut_with(&noise, |h, e| *h = log(h.get() - e.get() * e.get()));
            }
        }
        answer.variance = Some(variance);
        Ok(answer)
    }

    fn begin(&mut self) {
        self.inner.begin();
    }

    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<Array<A, D>>)) {
        self.inner.visit_memory(visit);
    }
}
