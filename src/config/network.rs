//! What the raw network of a class is shown, what its answer stands for, and how it is corrected.

use ndarray::{Array, Dimension};

use super::{Timestep, keys::Keys};
use crate::{
    Denoiser, Error, LinearMap, NoiseLevel, NonMarkovian, Parameterization, Point, Prediction,
    Sigma, SigmaData,
    denoiser::{
        Clip, Corrected, Correction, DynamicThreshold, consistency_model, latent_consistency,
        preconditioning, trigflow,
    },
    state::{Real, State},
};

/// What a raw network answers: its output, and what it says of the variance.
pub type Answer<V> = Result<(V, Option<V>), Error>;

/// What a configuration asks to be done with the predicted data.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Clipping {
    /// Nothing.
    Nothing,
    /// Clipped to plus and minus this.
    Range(f64),
    /// Clipped to a quantile of its sizes, at least 1, and divided by it.
    #[doc(alias("dynamic thresholding"))]
    Dynamic {
        /// The share of the elements below the quantile.
        ratio: f64,
        /// What the quantile is kept below; at 1 the data is clipped to -1 to 1.
        max: f64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Network {
    /// It is shown the state, and its answer may have the other sign.
    Plain(Parameterization, f64),
    /// Of latent consistency models.
    Latent(Parameterization, f64),
    /// Preconditioned, with a sign of its own.
    Edm(SigmaData, f64),
    Consistency(Sigma, SigmaData),
    Trig(SigmaData),
}

impl Network {
    pub fn read(keys: &Keys) -> Result<Self, Error> {
        let data = || SigmaData::new(keys.number("sigma_data")?);
        let wrong = |allowed| Err(keys.refuse("prediction_type", allowed));
        let word = keys.word("prediction_type")?;
        Ok(match keys.class.as_str() {
            class if class.starts_with("Flow") || class.starts_with("LTX") => {
                // Upwards, what is added on the way to the data: the data less the noise.
                let inverted = keys.flag("invert_sigmas")?;
                Self::Plain(Parameterization::Flow, if inverted { -1.0 } else { 1.0 })
            }
            "MiniMaxH3Scheduler" => Self::Plain(Parameterization::Flow, -1.0),
            "ScoreSdeVeScheduler" => Self::Plain(Parameterization::Score, 1.0),
            "DDPMWuerstchenScheduler" | "RePaintScheduler" => {
                Self::Plain(Parameterization::Noise, 1.0)
            }
            class if class.contains("EDM") || class.starts_with("Cosine") => match word {
                "epsilon" => Self::Edm(data()?, 1.0),
                "v_prediction" => Self::Edm(data()?, -1.0),
                _ => return wrong("epsilon or v_prediction"),
            },
            "CMStochasticIterativeScheduler" => {
                Self::Consistency(Sigma::new(keys.number("sigma_min")?)?, data()?)
            }
            "SCMScheduler" => match word {
                "trigflow" => Self::Trig(data()?),
                _ => return wrong("trigflow"),
            },
            // The noise is sigma x + alpha times its answer.
            "IPNDMScheduler" => Self::Plain(Parameterization::Velocity, 1.0),
            class => {
                let is_flow = keys.flag("use_flow_sigmas")?;
                let what = match word {
                    "epsilon" => Parameterization::Noise,
                    "sample" => Parameterization::X0,
                    "original_sample" if class == "EulerDiscreteScheduler" => Parameterization::X0,
                    "v_prediction" if class != "UnCLIPScheduler" => Parameterization::Velocity,
                    "flow_prediction" if is_flow => Parameterization::Flow,
                    _ => {
                        return wrong(
                            "epsilon, sample, v_prediction (not UnCLIP), original_sample (Euler), \
                             flow_prediction (with use_flow_sigmas)",
                        );
                    }
                };
                match class {
                    "LCMScheduler" => Self::Latent(what, keys.number("timestep_scaling")?),
                    _ => Self::Plain(what, 1.0),
                }
            }
        })
    }

    /// What the answer stands for, but for a sign and the boundary of consistency models.
    pub fn parameterization(self) -> Parameterization {
        match self {
            Self::Plain(what, _) | Self::Latent(what, _) => what,
            Self::Edm(data, _) => Parameterization::Edm(data),
            Self::Consistency(..) | Self::Trig(_) => Parameterization::X0,
        }
    }

    /// What the state is multiplied by before it is shown.
    pub fn input(self, level: NoiseLevel) -> Result<f64, Error> {
        use preconditioning::Preconditioning;
        match self {
            Self::Plain(..) | Self::Latent(..) => Ok(1.0),
            Self::Edm(data, _) => preconditioning::EdmPreconditioning::new(data).input(level),
            Self::Consistency(min, data) => Ok(consistency_model(level, min, data)?.input),
            Self::Trig(data) => Ok(trigflow(level, data).input),
        }
    }

    /// The map from the answer to the data, before boundary conditions; `None` for a plain one.
    fn to_data(self, level: NoiseLevel) -> Result<Option<LinearMap>, Error> {
        let x0 = Parameterization::X0;
        let of = |c: preconditioning::Coefficients| LinearMap {
            state: c.skip,
            prediction: c.out,
        };
        Ok(match self {
            Self::Plain(_, 1.0) => None,
            Self::Plain(what, sign) => Some(signed(what.to(x0, level)?, sign)),
            Self::Latent(what, _) => Some(what.to(x0, level)?),
            Self::Edm(data, sign) => {
                let map = Parameterization::Edm(data).to(x0, level)?;
                Some(signed(map, sign))
            }
            Self::Consistency(min, data) => Some(of(consistency_model(level, min, data)?)),
            Self::Trig(data) => Some(of(trigflow(level, data))),
        })
    }
}

/// The map for an answer of this sign.
fn signed(map: LinearMap, sign: f64) -> LinearMap {
    let prediction = sign * map.prediction;
    LinearMap { prediction, ..map }
}

pub(super) fn clipping(keys: &Keys) -> Result<Clipping, Error> {
    // UniPC for the noise does not threshold.
    let is_for_noise = keys.class == "UniPCMultistepScheduler" && !keys.flag("predict_x0")?;
    if keys.flag("thresholding")? && !is_for_noise {
        let (ratio, max) = (
            keys.number("dynamic_thresholding_ratio")?,
            keys.number("sample_max_value")?,
        );
        if !(0.0..=1.0).contains(&ratio) {
            return Err(keys.refuse("dynamic_thresholding_ratio", "0 to 1"));
        }
        if !(max >= 1.0) {
            return Err(keys.refuse("sample_max_value", "1 or more"));
        }
        return Ok(Clipping::Dynamic { ratio, max });
    }
    if keys.flag("clip_denoised")? {
        return Ok(Clipping::Range(1.0));
    }
    if !keys.flag("clip_sample")? {
        return Ok(Clipping::Nothing);
    }
    // A class without the key clips to 1.
    let range = keys.optional("clip_sample_range")?.unwrap_or(1.0);
    if !(range > 0.0) {
        return Err(keys.refuse("clip_sample_range", "above 0"));
    }
    Ok(Clipping::Range(range))
}

/// A raw network as a denoiser, the way a configuration has it: made by
/// [`SchedulerConfig::denoiser`](super::SchedulerConfig::denoiser).
#[derive(Debug, Clone)]
pub struct Configured<F> {
    pub(super) network: Network,
    pub(super) clipping: Clipping,
    /// The steps for which clipped data leaves the predicted noise as it was.
    pub(super) keeping: Option<NonMarkovian>,
    pub(super) raw: F,
}

impl<A: Real, D: Dimension, T> Correction<Array<A, D>, T> for Clipping {
    fn correct(&mut self, x0: &mut Array<A, D>, at: Point<T>) -> Result<(), Error> {
        match *self {
            Self::Nothing => Ok(()),
            Self::Range(range) => Clip::new(-range, range)?.correct(x0, at),
            Self::Dynamic { ratio, max } => {
                let threshold = DynamicThreshold::new(ratio)?.with_maximum(max)?;
                { threshold }.correct(x0, at)
            }
        }
    }
}

/// The raw network in the terms of this crate, before clipping and boundary conditions.
struct Raw<'a, F> {
    network: Network,
    raw: &'a mut F,
}

impl<V, F> Denoiser<V, Timestep> for Raw<'_, F>
where
    V: State,
    F: FnMut(&V, f64) -> Answer<V>,
{
    fn predict(&mut self, x: &V, at: Point<Timestep>) -> Result<Prediction<V>, Error> {
        let mut shown = x.clone();
        shown.combine(self.network.input(at.level)?, &[])?;
        let (value, variance) = (self.raw)(&shown, at.time.0)?;
        let mut answer = Prediction::new(value, self.network.parameterization());
        answer.variance = variance;
        if let Some(map) = self.network.to_data(at.level)? {
            answer.value.combine(map.prediction, &[(map.state, x)])?;
            answer.parameterization = Parameterization::X0;
        }
        Ok(answer)
    }
}

impl<A, D, F> Denoiser<Array<A, D>, Timestep> for Configured<F>
where
    A: Real,
    D: Dimension,
    F: FnMut(&Array<A, D>, f64) -> Answer<Array<A, D>>,
{
    fn predict(
        &mut self,
        x: &Array<A, D>,
        at: Point<Timestep>,
    ) -> Result<Prediction<Array<A, D>>, Error> {
        let mut raw = Raw {
            network: self.network,
            raw: &mut self.raw,
        };
        let is_upwards = at.level.is_clean() || at.to.is_noisier_than(at.level);
        let mut answer = match (self.clipping, self.keeping) {
            (Clipping::Nothing, _) => raw.predict(x, at)?,
            (clipping, None) => Corrected::new(raw, clipping).predict(x, at)?,
            (clipping, Some(_)) if is_upwards => {
                keep_upwards(raw.predict(x, at)?, clipping, x, at)?
            }
            (clipping, Some(posterior)) => Corrected::new(raw, clipping)
                .keeping_noise(posterior)
                .predict(x, at)?,
        };
        if let Network::Latent(_, scaling) = self.network {
            let (skip, out) = latent_consistency(at.time.0, scaling);
            answer.value.combine(out, &[(skip, x)])?;
            answer.data = None;
        }
        Ok(answer)
    }
}

/// The noise for which a step up, `(alpha_s / alpha_t) x + c eps`, has the clipped data in it beside the
/// noise as it was.
fn keep_upwards<V: State>(
    answer: Prediction<V>,
    mut clipping: impl Correction<V, Timestep>,
    x: &V,
    at: Point<Timestep>,
) -> Result<Prediction<V>, Error> {
    let (from, to) = (at.level, at.to);
    let mut noise = answer.clone().to(Parameterization::Noise, x, from)?;
    let raw = answer.to(Parameterization::X0, x, from)?.value;
    let mut clipped = raw.clone();
    clipping.correct(&mut clipped, at)?;
    let coefficient = to.sigma() - to.alpha() * from.sigma() / from.alpha();
    let moved = to.alpha() / coefficient;
    let terms = [(moved, &clipped), (-moved, &raw)];
    noise.value.combine(1.0, &terms)?;
    noise.data = Some(clipped);
    Ok(noise)
}
