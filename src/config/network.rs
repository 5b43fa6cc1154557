//! What the raw network of a class is shown, what its answer stands for, and how it is corrected.

use ndarray::{Array, Dimension};

use super::{Told, keys::Keys};
use crate::{
    Denoiser, Error, Generalized, Linear, NoiseLevel, Parameterization, Point, Posterior,
    Prediction, Sigma, SigmaData,
    denoiser::{consistency_model, latent_consistency, preconditioning, trigflow},
    state::{Real, State, for_each_item},
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
    /// It is shown the state.
    Plain(Parameterization),
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
            class if class.starts_with("FlowMatch") => Self::Plain(Parameterization::Flow),
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
            "IPNDMScheduler" => Self::Plain(Parameterization::Velocity),
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
                    _ => Self::Plain(what),
                }
            }
        })
    }

    /// What the answer stands for, but for a sign and the boundary of consistency models.
    pub fn parameterization(self) -> Parameterization {
        match self {
            Self::Plain(what) | Self::Latent(what, _) => what,
            Self::Edm(data, _) => Parameterization::Edm(data),
            Self::Consistency(..) | Self::Trig(_) => Parameterization::X0,
        }
    }

    /// What the state is multiplied by before it is shown.
    pub fn input(self, level: NoiseLevel) -> Result<f64, Error> {
        use preconditioning::Preconditioning;
        match self {
            Self::Plain(_) | Self::Latent(..) => Ok(1.0),
            Self::Edm(data, _) => preconditioning::Edm::new(data).input(level),
            Self::Consistency(min, data) => Ok(consistency_model(level, min, data)?.input),
            Self::Trig(data) => Ok(trigflow(level, data).input),
        }
    }

    /// The map from the answer to the data, before boundary conditions; `None` for a plain one.
    fn to_data(self, level: NoiseLevel) -> Result<Option<Linear>, Error> {
        let x0 = Parameterization::X0;
        let of = |c: preconditioning::Coefficients| Linear {
            state: c.skip,
            prediction: c.out,
        };
        Ok(match self {
            Self::Plain(_) => None,
            Self::Latent(what, _) => Some(what.to(x0, level)?),
            Self::Edm(data, sign) => {
                let map = Parameterization::Edm(data).to(x0, level)?;
                let prediction = sign * map.prediction;
                Some(Linear { prediction, ..map })
            }
            Self::Consistency(min, data) => Some(of(consistency_model(level, min, data)?)),
            Self::Trig(data) => Some(of(trigflow(level, data))),
        })
    }
}

pub(super) fn clipping(keys: &Keys) -> Result<Clipping, Error> {
    if keys.flag("thresholding")? {
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
    let range = keys.number("clip_sample_range")?;
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
    pub(super) keeping: Option<Generalized>,
    pub(super) raw: F,
}

impl<A, D, F> Denoiser<Array<A, D>, Told> for Configured<F>
where
    A: Real,
    D: Dimension,
    F: FnMut(&Array<A, D>, f64) -> Answer<Array<A, D>>,
{
    fn predict(
        &mut self,
        x: &Array<A, D>,
        at: Point<Told>,
    ) -> Result<Prediction<Array<A, D>>, Error> {
        let (level, x0) = (at.level, Parameterization::X0);
        let mut shown = x.clone();
        shown.combine(self.network.input(level)?, &[])?;
        let (value, variance) = (self.raw)(&shown, at.time.0)?;
        let mut answer = Prediction::new(value, self.network.parameterization());
        answer.variance = variance;
        if let Some(map) = self.network.to_data(level)? {
            answer.value.combine(map.prediction, &[(map.state, x)])?;
            answer.parameterization = x0;
        }
        if self.clipping != Clipping::Nothing {
            let noise = match self.keeping {
                Some(_) if level.is_clean() || at.to.is_noisier_than(level) => {
                    Some(answer.clone().to(Parameterization::Noise, x, level)?)
                }
                _ => None,
            };
            let raw = answer.to(x0, x, level)?;
            answer = raw.clone();
            clip(&mut answer.value, self.clipping)?;
            match (self.keeping, noise) {
                (_, Some(noise)) => answer = keep_upwards(answer, &raw, noise, at)?,
                (Some(posterior), None) => {
                    // The x0 for which the step, state x + clean x0, has the raw noise in it.
                    let bridge = posterior.bridge(level, at.to)?;
                    let moved = bridge.state * level.alpha() / bridge.clean;
                    answer.value.combine(1.0 + moved, &[(-moved, &raw.value)])?;
                }
                (None, None) => {}
            }
        }
        if let Network::Latent(_, scaling) = self.network {
            let (skip, out) = latent_consistency(at.time.0, scaling);
            answer.value.combine(out, &[(skip, x)])?;
        }
        Ok(answer)
    }
}

/// The noise for which a step up, `(alpha_s / alpha_t) x + c eps`, has the clipped data in it.
fn keep_upwards<V: State>(
    clipped: Prediction<V>,
    raw: &Prediction<V>,
    mut noise: Prediction<V>,
    at: Point<Told>,
) -> Result<Prediction<V>, Error> {
    let (from, to) = (at.level, at.to);
    let coefficient = to.sigma() - to.alpha() * from.sigma() / from.alpha();
    let moved = to.alpha() / coefficient;
    let terms = [(moved, &clipped.value), (-moved, &raw.value)];
    noise.value.combine(1.0, &terms)?;
    Ok(noise)
}

fn clip<A: Real, D: Dimension>(x: &mut Array<A, D>, clipping: Clipping) -> Result<(), Error> {
    match clipping {
        Clipping::Nothing => Ok(()),
        Clipping::Range(range) => x.clamp(-range, range),
        Clipping::Dynamic { ratio, max } => {
            for_each_item(x, |_, mut item| {
                let mut sizes: Vec<f64> = item.iter().map(|x| x.get().abs()).collect();
                sizes.sort_by(f64::total_cmp);
                let place = ratio * sizes.len().saturating_sub(1) as f64;
                let at = |i: f64| sizes.get(i as usize).copied().unwrap_or(1.0);
                let (low, high) = (at(place.floor()), at(place.ceil()));
                let s = (low + (high - low) * place.fract()).clamp(1.0, max);
                item.mapv_inplace(|x| A::of(x.get().clamp(-s, s) / s));
            });
            Ok(())
        }
    }
}
