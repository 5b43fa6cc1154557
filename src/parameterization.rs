//! What a network says, and the linear maps from one way of saying it to another.

use crate::{Error, NoiseLevel, PosteriorCoefficients, monomial::Monomial};

/// What the output of a network stands for.
///
/// Each is a combination of the clean data and the noise in `x = alpha x_0 + sigma eps`, and that
/// row of the table is all there is to know of it: every conversion solves the same two equations.
///
/// | | `x_0` | `eps` | other names |
/// |---|---|---|---|
/// | `Noise` | 0 | 1 | epsilon, eps |
/// | `X0` | 1 | 0 | sample, denoised, data prediction |
/// | `Velocity` | -sigma | alpha | v-prediction |
/// | `Score` | 0 | -1/sigma | gradient of the log-density |
/// | `Flow` | -1 | 1 | flow-matching velocity, where alpha = 1 - t and sigma = t |
/// | `Mean` | state alpha + clean | state sigma | mean of `x_s` under a posterior |
/// | `PathVelocity` | alpha' | sigma' | `dx/dt` on the path of a schedule, per unit of its time |
/// | `Edm` | sigma / (d n) | -alpha d / n | EDM's raw network, with d = sigma_data, n = hypot(sigma, alpha d) |
///
/// [Sources](crate::docs::papers#arxiv-2202.00512): Ho, Jain, Abbeel, 2020 (noise, mean); Progressive Distillation for Fast
/// Sampling of Diffusion Models, Salimans, Ho, 2022 (velocity); Score-Based Generative Modeling through
/// Stochastic Differential Equations, Song et al., 2021 (score); Flow Straight and Fast, Liu, Gong, Liu,
/// 2023, and Flow Matching for Generative Modeling, Lipman et al., 2023 (flow); Elucidating the Design Space
/// of Diffusion-Based Generative Models, Karras, Aittala, Aila, Laine, 2022 (EDM).
///
/// ```
/// use gaussian_diffusion::{NoiseLevel, Parameterization::{Noise, X0}};
/// let level = NoiseLevel::new(0.8, 0.6)?;
/// let map = Noise.to(X0, level)?;                      // x_0 = (x - sigma eps) / alpha
/// let (x_0, eps) = (0.3, -1.2);
/// let x = 0.8 * x_0 + 0.6 * eps;
/// assert!((map.state * x + map.prediction * eps - x_0).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("prediction_type", "objective", "model_mean_type"))]
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Parameterization {
    /// The noise `eps`.
    #[doc(alias("epsilon", "eps"))]
    Noise,
    /// The clean data `x_0`.
    #[doc(alias("sample", "original_sample", "denoised", "data_prediction"))]
    X0,
    /// `v = alpha eps - sigma x_0`.
    #[doc(alias("v_prediction", "v"))]
    Velocity,
    /// The score of the noisy data, `-eps / sigma`.
    Score,
    /// `eps - x_0`, the velocity `dx/dt` of the rectified flow.
    #[doc(alias("flow_prediction"))]
    Flow,
    /// The mean of the less noisy `x_s` under this posterior step.
    #[doc(alias("previous_x", "previous_mean"))]
    Mean(PosteriorCoefficients),
    /// `alpha' x_0 + sigma' eps`, the velocity `dx/dt` of the path of a schedule, with these rates.
    ///
    /// [`ContinuousSchedule::path_rates`](crate::schedule::ContinuousSchedule::path_rates) has those of a time,
    /// [`ForwardProcess::path_velocity`](crate::ForwardProcess::path_velocity) the target and
    /// [`predicts::path_velocity`](crate::predicts::path_velocity) the network. On the rectified flow it is `Flow`.
    #[doc(alias("conditional vector field", "ut"))]
    PathVelocity(PathRates),
    /// The output `F` of a network under EDM's preconditioning, which has unit variance for data of
    /// standard deviation `sigma_data`. With `sigma_data = 1` and `alpha^2 + sigma^2 = 1` it is the velocity
    /// with the other sign.
    #[doc(alias("preconditioned"))]
    Edm(SigmaData),
}

/// How fast the two scales of a level change, per unit of a schedule's time.
///
/// ```
/// use gaussian_diffusion::{Time, schedule::{ContinuousSchedule, RectifiedFlow}};
/// let rates = RectifiedFlow.path_rates(Time::new(0.0)?)?;
/// assert_eq!((rates.alpha, rates.sigma), (-1.0, 1.0));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PathRates {
    /// `d alpha / dt`.
    pub alpha: f64,
    /// `d sigma / dt`.
    pub sigma: f64,
}

/// The standard deviation of an element of the data, which EDM's preconditioning is given.
///
/// ```
/// use gaussian_diffusion::SigmaData;
/// assert_eq!(SigmaData::new(0.5)?.get(), 0.5);
/// assert!(SigmaData::new(0.0).is_err());
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "f64", into = "f64"))]
pub struct SigmaData(f64);

#[cfg(feature = "serde")]
crate::serialized::finite!(SigmaData, SigmaData::new);

impl SigmaData {
    /// 0.5, the value of the EDM paper.
    pub const EDM: Self = Self(0.5);

    /// Data of this standard deviation.
    ///
    /// # Errors
    ///
    /// If `value` is not in 1e-6 to 1e6.
    pub fn new(value: f64) -> Result<Self, Error> {
        if !(1e-6..=1e6).contains(&value) {
            return Err(Error::range("sigma_data", value, "1e-6 to 1e6"));
        }
        Ok(Self(value))
    }

    /// The standard deviation as a number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Deviation of `x`: `hypot(sigma, alpha sigma_data)`.
    pub(crate) fn noisy(self, level: NoiseLevel) -> f64 {
        level.sigma().hypot(level.alpha() * self.0)
    }
}

/// A linear map on a network's answer: `state * x + prediction * p`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearMap {
    /// Coefficient of the noisy `x` the network was shown.
    pub state: f64,
    /// Coefficient of what it answered.
    pub prediction: f64,
}

impl LinearMap {
    /// The map that changes nothing.
    pub const IDENTITY: Self = Self {
        state: 0.0,
        prediction: 1.0,
    };
}

impl Parameterization {
    /// Its coefficients of `x_0` and of `eps` at this level: a row of the table.
    ///
    /// # Errors
    ///
    /// For the score where there is no noise, or where a coefficient is beyond an f64.
    pub fn components(self, level: NoiseLevel) -> Result<(f64, f64), Error> {
        let (alpha, sigma) = (level.alpha(), level.sigma());
        let (clean, noise) = match self {
            Self::Noise => (0.0, 1.0),
            Self::X0 => (1.0, 0.0),
            Self::Velocity => (-sigma, alpha),
            Self::Score => (0.0, -1.0 / sigma),
            Self::Flow => (-1.0, 1.0),
            Self::Mean(q) => (q.state * alpha + q.clean, q.state * sigma),
            Self::PathVelocity(rates) => (rates.alpha, rates.sigma),
            Self::Edm(data) => {
                let norm = data.noisy(level);
                (sigma / (data.0 * norm), -alpha * data.0 / norm)
            }
        };
        if !(clean.is_finite() && noise.is_finite()) {
            return Err(self.singular(level));
        }
        Ok((clean, noise))
    }

    /// The map from this to `other` at `level`.
    ///
    /// With `p = a x_0 + b eps` and the wanted `c x_0 + d eps`, and `D = alpha b - sigma a`:
    /// `((c b - d a) x + (alpha d - sigma c) p) / D`.
    ///
    /// # Errors
    ///
    /// [`Error::Singular`] where this and `x` do not determine `x_0` and `eps`: a noise or score
    /// prediction at zero SNR, a clean-data prediction where there is no noise; or where a coefficient
    /// is beyond an f64.
    #[doc(alias(
        "predict_start_from_noise",
        "predict_eps_from_xstart",
        "predict_noise_from_start",
        "predict_xstart_from_eps",
        "predict_start_from_v"
    ))]
    pub fn to(self, other: Self, level: NoiseLevel) -> Result<LinearMap, Error> {
        if self == other {
            return Ok(LinearMap::IDENTITY);
        }
        let (a, b) = self.components(level)?;
        let (c, d) = other.components(level)?;
        let determinant = self.determinant(level);
        let map = LinearMap {
            state: (c * b - d * a) / determinant,
            prediction: other.determinant(level) / determinant,
        };
        // A determinant of 0 among others.
        if !(map.state.is_finite() && map.prediction.is_finite()) {
            return Err(self.singular(level));
        }
        Ok(map)
    }

    /// `alpha b - sigma a` for the components `(a, b)`, written so that nothing cancels.
    fn determinant(self, level: NoiseLevel) -> f64 {
        let (alpha, sigma) = (level.alpha(), level.sigma());
        match self {
            Self::Noise => alpha,
            Self::X0 => -sigma,
            Self::Velocity => alpha * alpha + sigma * sigma,
            Self::Score => -alpha / sigma,
            Self::Flow => alpha + sigma,
            Self::Mean(q) => -sigma * q.clean,
            Self::PathVelocity(rates) => alpha * rates.sigma - sigma * rates.alpha,
            Self::Edm(data) => -data.noisy(level) / data.0,
        }
    }

    /// What turns an error in these terms into that of `x_0`, but for its sign: the size of
    /// [`to`](Self::to)`(X0).prediction`, `sigma / D`, with the powers of the scales kept apart.
    pub(crate) fn x0_jacobian(self, level: NoiseLevel) -> Monomial {
        let (alpha, sigma) = (level.alpha(), level.sigma());
        match self {
            Self::Noise => Monomial::new(1.0, -1.0, 1.0),
            Self::X0 => Monomial::new(1.0, 0.0, 0.0),
            Self::Velocity => Monomial::new(1.0 / (alpha * alpha + sigma * sigma), 0.0, 1.0),
            Self::Score => Monomial::new(1.0, -1.0, 2.0),
            Self::Flow => Monomial::new(1.0 / (alpha + sigma), 0.0, 1.0),
            Self::Mean(q) => Monomial::new(1.0 / q.clean, 0.0, 0.0),
            Self::PathVelocity(_) => Monomial::new(1.0 / self.determinant(level), 0.0, 1.0),
            Self::Edm(data) => Monomial::new(data.0 / data.noisy(level), 0.0, 1.0),
        }
    }

    fn singular(self, level: NoiseLevel) -> Error {
        let what = match self {
            Self::Noise => "a conversion of a noise prediction",
            Self::X0 => "a conversion of an x0 prediction",
            Self::Velocity => "a conversion of a velocity prediction",
            Self::Score => "a conversion of a score prediction",
            Self::Flow => "a conversion of a flow prediction",
            Self::Mean(_) => "a conversion of a mean prediction",
            Self::PathVelocity(_) => "a conversion of a path's velocity",
            Self::Edm(_) => "a conversion of an EDM prediction",
        };
        Error::Singular {
            what,
            alpha: level.alpha(),
            sigma: level.sigma(),
        }
    }
}

impl PosteriorCoefficients {
    /// The mean of the step in terms of `x_t` and a prediction: `state * x_t + prediction * p`.
    ///
    /// The three equal forms of the DDPM mean are this for `X0`, `Noise` and `Mean`:
    ///
    /// ```text
    /// state x_t + clean x_0  =  (alpha_s / alpha_t) x_t - (clean sigma_t / alpha_t) eps  =  mu
    /// ```
    ///
    /// $$\tilde\mu = \frac{1}{\sqrt{1-\beta_t}}\Big(x_t-\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}
    ///   \varepsilon\Big)\quad\text{for neighbouring DDPM steps}$$
    ///
    /// # Errors
    ///
    /// Where the prediction does not determine `x_0`, as for [`Parameterization::to`].
    pub fn mean_from(
        self,
        parameterization: Parameterization,
        from: NoiseLevel,
    ) -> Result<LinearMap, Error> {
        let x0 = parameterization.to(Parameterization::X0, from)?;
        Ok(LinearMap {
            state: self.state + self.clean * x0.state,
            prediction: self.clean * x0.prediction,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is the size of the number that turns a prediction into data, of which it keeps the powers apart.
    #[test]
    fn jacobians_are_those_of_the_conversions() {
        let q = PosteriorCoefficients {
            state: 0.3,
            clean: 0.6,
            std: 0.1,
        };
        let rates = PathRates {
            alpha: -1.5,
            sigma: 0.7,
        };
        for one in [
            Parameterization::Noise,
            Parameterization::X0,
            Parameterization::Velocity,
            Parameterization::Score,
            Parameterization::Flow,
            Parameterization::Mean(q),
            Parameterization::PathVelocity(rates),
            Parameterization::Edm(SigmaData::new(0.4).unwrap()),
        ] {
            for (alpha, sigma) in [(0.6, 0.8), (0.3, 0.7), (1.0, 12.0), (2.0, 0.05)] {
                let level = NoiseLevel::new(alpha, sigma).unwrap();
                let map = one.to(Parameterization::X0, level).unwrap();
                let found = one.x0_jacobian(level).value(level, "").unwrap();
                let off = (found.abs() / map.prediction.abs() - 1.0).abs();
                assert!(
                    off < 1e-14,
                    "{one:?} at {alpha}, {sigma}: {found} for {map:?}"
                );
            }
        }
    }
}
