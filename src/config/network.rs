//! What the raw network of a class is shown, what its answer stands for, and how it is corrected.

use super::{
    Timestep,
    keys::Keys,
    words::{PREDICTIONS, Words},
};
use crate::{
    Denoiser, Error, LinearMap, NoiseLevel, NonMarkovian, Parameterization, Point, Prediction,
    Sigma, SigmaData,
    denoiser::{
        Clip, Corrected, Correction, DynamicThreshold, consistency_model, latent_consistency,
        preconditioning, trigflow,
    },
    state::{Elements, State},
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
    /// Clipped to a quantile of its sizes, at least 1 and at most `max`, and divided by it.
    #[doc(alias("dynamic thresholding"))]
    Dynamic {
        /// The share of the elements below the quantile.
        ratio: f64,
        /// What the quantile is kept below; up to 1, the data is clipped to this and divided by it.
        max: f64,
    },
}

/// `prediction_type` with `use_flow_sigmas`.
const FLOW_PREDICTIONS: Words<Parameterization> = &[
    ("epsilon", Parameterization::Noise),
    ("sample", Parameterization::X0),
    ("v_prediction", Parameterization::Velocity),
    ("flow_prediction", Parameterization::Flow),
];

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
    /// A plain network whose answer is given by `prediction_type`.
    pub fn plain(keys: &Keys, words: Words<Parameterization>) -> Result<Self, Error> {
        Ok(Self::Plain(keys.word("prediction_type", words)?, 1.0))
    }

    /// The same of the multi-step classes, which may be flows.
    pub fn plain_or_flow(keys: &Keys) -> Result<Self, Error> {
        let words = match keys.is_flow()? {
            true => FLOW_PREDICTIONS,
            false => PREDICTIONS,
        };
        Self::plain(keys, words)
    }

    /// A network of flow matching.
    pub fn flow(keys: &Keys) -> Result<Self, Error> {
        // Upwards, what is added on the way to the data: the data less the noise.
        let sign = if keys.flag("invert_sigmas")? {
            -1.0
        } else {
            1.0
        };
        Ok(Self::Plain(Parameterization::Flow, sign))
    }

    /// A preconditioned network.
    pub fn edm(keys: &Keys) -> Result<Self, Error> {
        const SIGNS: Words<f64> = &[("epsilon", 1.0), ("v_prediction", -1.0)];
        let sign = keys.word("prediction_type", SIGNS)?;
        Ok(Self::Edm(sigma_data(keys)?, sign))
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

/// The standard deviation of the data.
pub(super) fn sigma_data(keys: &Keys) -> Result<SigmaData, Error> {
    let key = "sigma_data";
    keys.blame(key, SigmaData::new(keys.number(key)?))
}

pub(super) fn clipping(keys: &Keys) -> Result<Clipping, Error> {
    // UniPC for the noise does not threshold.
    let is_for_noise = keys.get("predict_x0").is_some() && !keys.flag("predict_x0")?;
    if keys.flag("thresholding")? && !is_for_noise {
        let within = |ratio| (0.0..=1.0).contains(&ratio);
        let ratio = keys.number_if("dynamic_thresholding_ratio", within, "0 to 1")?;
        let max = match keys.get("sample_max_value") {
            Some(value) if value.is_null() || value == "inf" => f64::INFINITY,
            _ => keys.number_if("sample_max_value", |max| max > 0.0, "above 0")?,
        };
        return Ok(Clipping::Dynamic { ratio, max });
    }
    if keys.flag("clip_denoised")? {
        return Ok(Clipping::Range(1.0));
    }
    if !keys.flag("clip_sample")? {
        return Ok(Clipping::Nothing);
    }
    let key = "clip_sample_range";
    // A class without the key clips to 1.
    Ok(Clipping::Range(match keys.get(key) {
        None => 1.0,
        Some(_) => keys.number_if(key, |range| range > 0.0, "above 0")?,
    }))
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

impl<V: Elements, T> Correction<V, T> for Clipping {
    fn correct(&mut self, x0: &mut V, at: Point<T>) -> Result<(), Error> {
        match *self {
            Self::Nothing => Ok(()),
            Self::Range(range) => Clip::new(-range, range)?.correct(x0, at),
            Self::Dynamic { max, .. } if max <= 1.0 => {
                Clip::new(-max, max)?.correct(x0, at)?;
                x0.combine(max.recip(), &[])
            }
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
        let mut answer = Prediction::new(value.widened_for(x), self.network.parameterization());
        answer.variance = variance.map(|variance| variance.widened_for(x));
        if let Some(map) = self.network.to_data(at.level)? {
            answer.value.combine(map.prediction, &[(map.state, x)])?;
            answer.parameterization = Parameterization::X0;
        }
        Ok(answer)
    }
}

impl<V, F> Denoiser<V, Timestep> for Configured<F>
where
    V: Elements,
    F: FnMut(&V, f64) -> Answer<V>,
{
    fn predict(&mut self, x: &V, at: Point<Timestep>) -> Result<Prediction<V>, Error> {
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
