//! What surrounds a raw network so that it becomes a denoiser.

use std::fmt::Debug;

use crate::{
    Clock, Error, LinearMap, NoiseLevel, Parameterization, SigmaData, State,
    schedule::{Discrete, NoiseSchedule},
};

/// The four functions of the noise level that surround a raw network `F`.
///
/// `x0 = skip * x + out * F(input * x, time)`.
///
/// $$D(x)=c_\mathrm{skip}\thinspace x+c_\mathrm{out}\thinspace F\big(c_\mathrm{in}\thinspace x;\ c_\mathrm{noise}\big)$$
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Coefficients {
    /// `c_skip`: of `x` in the predicted data.
    pub skip: f64,
    /// `c_out`: of the raw output in the predicted data.
    pub out: f64,
    /// `c_in`: of `x` in what the network is shown.
    pub input: f64,
    /// `c_noise`: what the network is given of the noise level.
    pub conditioning: f64,
}

/// A way to surround a raw network.
///
/// What the raw network answers, but for its sign, is a [`Parameterization`], and `c_skip` and `c_out`
/// are that one's conversion to `x_0`; so are the training target and the weight.
///
/// | | raw output | `c_skip` | `c_out` | `c_in` | `c_noise` |
/// |---|---|---|---|---|---|
/// | [`EdmPreconditioning`] | unit variance | `d^2 / (s^2 + d^2)` | `s d / hypot(s, d)` | `1 / hypot(s, d)` | `ln(s) / 4` |
/// | [`VpPreconditioning`] | noise | 1 | `-s` | `1 / hypot(s, 1)` | `(M - 1) t(s)` |
/// | [`VePreconditioning`] | minus the noise | 1 | `s` | 1 | `ln(s / 2)` |
/// | [`IddpmPreconditioning`] | noise | 1 | `-s` | `1 / hypot(s, 1)` | index of the nearest step |
///
/// for levels `alpha = 1`, `sigma = s`, with `d = sigma_data`. On other levels the same network sees
/// the same numbers: coefficients of `x` are divided by `alpha`, and `s = sigma / alpha`.
///
/// [Source](crate::docs::papers#arxiv-2206.00364): Elucidating the Design Space of Diffusion-Based Generative Models, Karras,
/// Aittala, Aila, Laine, 2022, table 1.
///
/// ```
/// use gaussian_diffusion::{NoiseLevel, Sigma, denoiser::preconditioning::{EdmPreconditioning, Preconditioning}};
/// let level = NoiseLevel::variance_exploding(Sigma::new(0.5)?)?;
/// let c = EdmPreconditioning::default().coefficients(level)?;              // sigma_data 0.5
/// assert!((c.skip - 0.5).abs() < 1e-15 && (c.input - 2.0_f64.sqrt()).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
pub trait Preconditioning {
    /// What the raw output stands for, but for its sign. An error of the raw output is one of this,
    /// so that [`Weight::in_terms_of`](crate::training::Weight::in_terms_of) gives its weight.
    fn parameterization(&self) -> Parameterization;

    /// The sign of the raw output: it is `sign` times the above.
    fn sign(&self) -> f64 {
        1.0
    }

    /// `c_in`.
    ///
    /// # Errors
    ///
    /// Where there is none, such as for [`VePreconditioning`] at zero SNR.
    fn input(&self, level: NoiseLevel) -> Result<f64, Error>;

    /// `c_noise`.
    ///
    /// # Errors
    ///
    /// Where there is none: logarithms have none where there is no noise or no signal.
    fn conditioning(&self, level: NoiseLevel) -> Result<f64, Error>;

    /// `c_skip` and `c_out`: from the raw output to the data.
    ///
    /// # Errors
    ///
    /// As [`Parameterization::to`]: a predicted noise says nothing at zero SNR.
    fn output(&self, level: NoiseLevel) -> Result<LinearMap, Error> {
        let map = self.parameterization().to(Parameterization::X0, level)?;
        Ok(LinearMap {
            prediction: self.sign() * map.prediction,
            ..map
        })
    }

    /// All four.
    ///
    /// # Errors
    ///
    /// Where one of them has none.
    fn coefficients(&self, level: NoiseLevel) -> Result<Coefficients, Error> {
        let output = self.output(level)?;
        Ok(Coefficients {
            skip: output.state,
            out: output.prediction,
            input: self.input(level)?,
            conditioning: self.conditioning(level)?,
        })
    }

    /// What the raw network should answer for `x = alpha x_0 + sigma eps`, one level per item:
    /// `(x_0 - c_skip x) / c_out`.
    ///
    /// # Errors
    ///
    /// If the shapes differ or there is not one level per item.
    fn target<V: State>(&self, x0: &V, levels: &[NoiseLevel], eps: &V) -> Result<V, Error>
    where
        Self: Sized,
    {
        let (mut clean, mut noise) = (Vec::new(), Vec::new());
        for &level in levels {
            let (a, b) = self.parameterization().components(level)?;
            clean.push(self.sign() * a);
            noise.push(self.sign() * b);
        }
        let mut target = x0.clone();
        target.combine_items(&clean, &[(&noise, eps)])?;
        Ok(target)
    }
}

/// EDM's: what the network sees and what it should answer both have unit variance.
///
/// ```
/// use gaussian_diffusion::{SigmaData, denoiser::preconditioning::EdmPreconditioning};
/// assert_eq!(EdmPreconditioning::default(), EdmPreconditioning::new(SigmaData::new(0.5)?));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EdmPreconditioning {
    data: SigmaData,
}

impl EdmPreconditioning {
    /// For data of this standard deviation.
    pub const fn new(data: SigmaData) -> Self {
        Self { data }
    }
}

impl Default for EdmPreconditioning {
    /// The published 0.5.
    fn default() -> Self {
        Self::new(SigmaData::EDM)
    }
}

impl Preconditioning for EdmPreconditioning {
    fn parameterization(&self) -> Parameterization {
        Parameterization::Edm(self.data)
    }

    fn input(&self, level: NoiseLevel) -> Result<f64, Error> {
        Ok(1.0 / self.data.noisy(level))
    }

    fn conditioning(&self, level: NoiseLevel) -> Result<f64, Error> {
        finite(-level.log_snr().get() / 8.0, level)
    }
}

/// That of networks of continuous variance-preserving diffusions, given the time as a training step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VpPreconditioning<S> {
    schedule: S,
    steps: f64,
}

impl<S: NoiseSchedule> VpPreconditioning<S> {
    /// The schedule the network was trained on, and into how many steps its time was divided: 1000
    /// in the published networks, whose schedule is `VpLinear` with 0.1 and 20.
    ///
    /// # Errors
    ///
    /// If there are no steps.
    pub fn new(schedule: S, steps: usize) -> Result<Self, Error> {
        if steps == 0 {
            return Err(Error::range("number of steps", 0.0, "1 or more"));
        }
        let steps = steps as f64;
        Ok(Self { schedule, steps })
    }
}

impl<S: NoiseSchedule<Time: Clock>> Preconditioning for VpPreconditioning<S> {
    fn parameterization(&self) -> Parameterization {
        Parameterization::Noise
    }

    fn input(&self, level: NoiseLevel) -> Result<f64, Error> {
        Ok(unit_input(level))
    }

    fn conditioning(&self, level: NoiseLevel) -> Result<f64, Error> {
        Ok((self.steps - 1.0) * self.schedule.time_at(level.log_snr())?.reading())
    }
}

/// That of networks of variance-exploding diffusions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VePreconditioning;

impl Preconditioning for VePreconditioning {
    fn parameterization(&self) -> Parameterization {
        Parameterization::Noise
    }

    fn sign(&self) -> f64 {
        -1.0
    }

    fn input(&self, level: NoiseLevel) -> Result<f64, Error> {
        finite(1.0 / level.alpha(), level)
    }

    fn conditioning(&self, level: NoiseLevel) -> Result<f64, Error> {
        finite((0.5 * level.noise_to_signal()).ln(), level)
    }
}

/// That of networks of discrete schedules, given the nearest trained step.
///
/// Nearest in sigma, as published.
#[derive(Debug, Clone, PartialEq)]
pub struct IddpmPreconditioning {
    schedule: Discrete,
}

impl IddpmPreconditioning {
    /// The schedule the network was trained on: the published one is `Discrete::cosine(1000)`.
    pub const fn new(schedule: Discrete) -> Self {
        Self { schedule }
    }

    /// The trained step whose sigma is nearest.
    fn nearest(&self, ratio: f64) -> usize {
        let levels = self.schedule.levels();
        let above = levels.partition_point(|level| level.noise_to_signal() < ratio);
        let below = above.saturating_sub(1);
        let at = |index: usize| levels.get(index).map(|level| level.noise_to_signal());
        match (at(below), at(above)) {
            (Some(low), Some(high)) if (high - ratio).abs() < (ratio - low).abs() => above,
            _ => below,
        }
    }
}

impl Preconditioning for IddpmPreconditioning {
    fn parameterization(&self) -> Parameterization {
        Parameterization::Noise
    }

    fn input(&self, level: NoiseLevel) -> Result<f64, Error> {
        Ok(unit_input(level))
    }

    fn conditioning(&self, level: NoiseLevel) -> Result<f64, Error> {
        let step = self.nearest(level.noise_to_signal());
        Ok(self.schedule.network_time(crate::Step::new(step)).reading())
    }
}

/// `c_in` that makes a level variance preserving.
fn unit_input(level: NoiseLevel) -> f64 {
    1.0 / level.alpha().hypot(level.sigma())
}

fn finite(value: f64, level: NoiseLevel) -> Result<f64, Error> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(Error::Singular {
        what: "a preconditioning",
        alpha: level.alpha(),
        sigma: level.sigma(),
    })
}
