//! The formulas of the loss weights.

use std::{f64::consts::FRAC_2_PI, fmt, sync::Arc};

use crate::{Error, LogSnr, NoiseLevel, Parameterization, monomial::Monomial};

/// Which function of the level a [`Weight`](super::Weight) is.
#[derive(Clone)]
pub(super) enum Form {
    Uniform(Parameterization),
    TruncatedSnr,
    MinSnr(f64),
    SoftMinSnr(f64),
    P2 {
        k: f64,
        gamma: f64,
    },
    Likelihood,
    Laplace {
        mean: f64,
        scale: f64,
    },
    SigmaSqrt(Parameterization),
    CosMap(Parameterization),
    Debiased,
    OfLogSnr {
        on: Parameterization,
        weight: Arc<dyn Fn(LogSnr) -> f64 + Send + Sync>,
    },
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform(on) => write!(f, "Uniform({on:?})"),
            Self::TruncatedSnr => f.write_str("TruncatedSnr"),
            Self::MinSnr(gamma) => write!(f, "MinSnr({gamma})"),
            Self::SoftMinSnr(gamma) => write!(f, "SoftMinSnr({gamma})"),
            Self::P2 { k, gamma } => write!(f, "P2 {{ k: {k}, gamma: {gamma} }}"),
            Self::Likelihood => f.write_str("Likelihood"),
            Self::Laplace { mean, scale } => {
                write!(f, "Laplace {{ mean: {mean}, scale: {scale} }}")
            }
            Self::SigmaSqrt(on) => write!(f, "SigmaSqrt({on:?})"),
            Self::CosMap(on) => write!(f, "CosMap({on:?})"),
            Self::Debiased => f.write_str("Debiased"),
            Self::OfLogSnr { on, .. } => write!(f, "OfLogSnr({on:?})"),
        }
    }
}

impl Form {
    /// The weight of the x0 error.
    ///
    /// Each is written for the side of the range the level is on, so that what is left beside the
    /// powers of the scales is finite there, the end included.
    pub(super) fn on_x0(&self, level: NoiseLevel) -> Result<Monomial, Error> {
        let snr = (level.alpha() / level.sigma()).powi(2);
        Ok(match *self {
            Self::Debiased => Monomial::snr(1.0, 0.5),
            Self::OfLogSnr { on, ref weight } => {
                let weight = weight(level.log_snr());
                if !(weight >= 0.0) {
                    let allowed = "a number from 0 on";
                    return Err(Error::range("weight of a log-SNR", weight, allowed));
                }
                Self::stated_on(on, level, Monomial::new(weight, 0.0, 0.0))
            }
            Self::Uniform(on) => Self::stated_on(on, level, Monomial::new(1.0, 0.0, 0.0)),
            Self::TruncatedSnr if snr > 1.0 => Monomial::snr(1.0, 1.0),
            Self::TruncatedSnr => Monomial::snr(1.0, 0.0),
            Self::MinSnr(gamma) if snr > gamma => Monomial::snr(gamma, 0.0),
            Self::MinSnr(_) => Monomial::snr(1.0, 1.0),
            Self::SoftMinSnr(gamma) if snr > gamma => {
                Monomial::snr(gamma / (1.0 + gamma / snr), 0.0)
            }
            Self::SoftMinSnr(gamma) => Monomial::snr(1.0 / (1.0 + snr / gamma), 1.0),
            Self::P2 { k, gamma } if snr > k => {
                Monomial::snr((1.0 + k / snr).powf(-gamma), 1.0 - gamma)
            }
            Self::P2 { k, gamma } => Monomial::snr((k + snr).powf(-gamma), 1.0),
            Self::Likelihood => Monomial::snr(0.5, 1.0),
            Self::Laplace { mean, scale } => {
                let (log, height) = (level.log_snr().get(), 0.5 / scale);
                if log > mean {
                    Monomial::snr(height * (mean / scale).exp(), 1.0 - 1.0 / scale)
                } else {
                    Monomial::snr(height * (-mean / scale).exp(), 1.0 + 1.0 / scale)
                }
            }
            Self::SigmaSqrt(on) => {
                let (alpha, sigma) = (level.alpha(), level.sigma());
                Self::stated_on(on, level, Monomial::new((alpha + sigma).powi(2), 0.0, -2.0))
            }
            Self::CosMap(on) => {
                // 1 - 2 s + 2 s^2 = (1 - s)^2 + s^2
                let (alpha, sigma) = (level.alpha(), level.sigma());
                let ratio = (alpha + sigma) / alpha.hypot(sigma);
                Self::stated_on(
                    on,
                    level,
                    Monomial::new(FRAC_2_PI * ratio * ratio, 0.0, 0.0),
                )
            }
        })
    }

    /// What a weight of the error in these terms is on the x0 error.
    fn stated_on(on: Parameterization, level: NoiseLevel, weight: Monomial) -> Monomial {
        weight.times(on.x0_jacobian(level).squared().inverse())
    }
}
