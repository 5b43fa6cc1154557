//! The densities of uniform times on the cosine schedule.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

use super::{TimeSampler, check_share};
use crate::{Error, Sigma, SigmaData, Time};

/// `sigma = sigma_data tan(pi u / 2)` with `u` uniform: uniform times of the
/// [cosine schedule](crate::schedule::Cosine), seen as sigmas.
///
/// $$p(\sigma)=\frac2{\pi\sigma_d}\thinspace\frac1{1+(\sigma/\sigma_d)^2}$$
///
/// [Source](crate::docs::papers#arxiv-2202.00512): Progressive Distillation for Fast Sampling of Diffusion Models, Salimans,
/// Ho, 2022.
///
/// ```
/// use gaussian_diffusion::{SigmaData, training::times::{CosineSigma, TimeSampler}};
/// let sampler = CosineSigma::new(SigmaData::EDM);
/// assert!((sampler.quantile(0.5)?.get() - 0.5).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("v_diffusion", "half-Cauchy"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CosineSigma {
    data: f64,
}

impl CosineSigma {
    /// For data of this standard deviation; 1 is the plain cosine schedule.
    pub const fn new(data: SigmaData) -> Self {
        Self { data: data.get() }
    }
}

impl TimeSampler for CosineSigma {
    type Time = Sigma;

    fn quantile(&self, u: f64) -> Result<Sigma, Error> {
        Sigma::new(self.data * (FRAC_PI_2 * check_share(u)?).tan())
    }

    fn cdf(&self, t: Sigma) -> f64 {
        FRAC_2_PI * (t.get() / self.data).atan()
    }

    fn density(&self, t: Sigma) -> f64 {
        let ratio = t.get() / self.data;
        FRAC_2_PI / (self.data * (1.0 + ratio * ratio))
    }
}

/// Times of the rectified flow whose noise-to-signal ratio is that of uniform times on the cosine
/// schedule.
///
/// $$p(t)=\frac{2}{\pi\thinspace(1-2t+2t^2)}$$
///
/// [Source](crate::docs::papers#arxiv-2403.03206): Scaling Rectified Flow Transformers for High-Resolution Image Synthesis,
/// Esser et al., 2024.
///
/// ```
/// use gaussian_diffusion::training::times::{CosMap, TimeSampler};
/// assert!((CosMap.quantile(0.5)?.get() - 0.5).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CosMap;

impl TimeSampler for CosMap {
    type Time = Time;

    fn quantile(&self, u: f64) -> Result<Time, Error> {
        let (sin, cos) = (FRAC_PI_2 * check_share(u)?).sin_cos();
        Time::new(sin / (sin + cos))
    }

    fn cdf(&self, t: Time) -> f64 {
        let t = t.get().clamp(0.0, 1.0);
        FRAC_2_PI * t.atan2(1.0 - t)
    }

    fn density(&self, t: Time) -> f64 {
        let t = t.get();
        if !(0.0..=1.0).contains(&t) {
            return 0.0;
        }
        FRAC_2_PI / ((1.0 - t) * (1.0 - t) + t * t)
    }
}
