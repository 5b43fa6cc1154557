//! Two times for each item.

use super::{TimeSampler, Uniforms};
use crate::{
    Clock, Error,
    rand::{Rng, RngCore},
};

/// Two draws of a sampler for each item, in order, or for a share of the items one time twice.
///
/// Flow maps are trained on the way from the later to the earlier; where both are one time they learn the
/// velocity itself.
///
/// [Source](crate::docs::papers#arxiv-2505.13447): Mean Flows for One-step Generative Modeling, Geng, Deng, Bai, Kolter, He, 2025
/// (logit-normal with mean -0.4 and deviation 1, a share of 0.75).
///
/// ```
/// use gaussian_diffusion::{rand::{SeedableRng, rngs::StdRng}};
/// use gaussian_diffusion::training::times::{LogitNormalTime, Pairs, Uniforms};
/// let pairs = Pairs::new(LogitNormalTime::new(-0.4, 1.0)?, 0.75)?;
/// let (late, early) = pairs.draw(Uniforms::Independent, 8, &mut StdRng::seed_from_u64(0))?;
/// assert!(late.iter().zip(&early).all(|(t, r)| r <= t));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pairs<S> {
    sampler: S,
    share_equal: f64,
}

impl<S: TimeSampler<Time: Clock>> Pairs<S> {
    /// Of this sampler, with this share of items whose times are equal.
    ///
    /// # Errors
    ///
    /// If the share is not in 0 to 1.
    pub fn new(sampler: S, share_equal: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&share_equal) {
            return Err(Error::range("share of equal times", share_equal, "0 to 1"));
        }
        Ok(Self {
            sampler,
            share_equal,
        })
    }

    /// The later and the earlier time of each item.
    ///
    /// # Errors
    ///
    /// As the sampler has them; not for those of this crate.
    #[expect(clippy::type_complexity, reason = "two lists of times")]
    pub fn draw<R: RngCore>(
        &self,
        uniforms: Uniforms,
        count: usize,
        rng: &mut R,
    ) -> Result<(Vec<S::Time>, Vec<S::Time>), Error> {
        let [mut late, mut early] = [
            self.sampler.draw(uniforms, count, rng)?.times,
            self.sampler.draw(uniforms, count, rng)?.times,
        ];
        for (late, early) in late.iter_mut().zip(&mut early) {
            if late.reading() < early.reading() {
                std::mem::swap(late, early);
            }
            if rng.random::<f64>() < self.share_equal {
                *early = *late;
            }
        }
        Ok((late, early))
    }
}
