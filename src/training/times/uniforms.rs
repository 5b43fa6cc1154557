//! The uniform numbers that a batch of times is made of.

use crate::{
    rand::{RngCore, distr::Distribution, seq::SliceRandom},
    rand_distr::Open01,
};

/// How the uniform numbers of a batch depend on one another.
///
/// In every one each number alone is uniform on (0, 1), so that the mean of a batch's losses is
/// unbiased; they differ in its variance.
///
/// [Source](crate::docs::papers#arxiv-2107.00630): Variational Diffusion Models, Kingma, Salimans, Poole, Ho, 2021, appendix I
/// (`LowDiscrepancy`).
///
/// ```
/// use gaussian_diffusion::{rand::{SeedableRng, rngs::StdRng}, training::times::Uniforms};
/// let mut u = Uniforms::Stratified.draw(4, &mut StdRng::seed_from_u64(1));
/// u.sort_by(f64::total_cmp);
/// assert!(u.iter().enumerate().all(|(i, u)| (4.0 * u).floor() == i as f64));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Uniforms {
    /// Not at all.
    #[default]
    Independent,
    /// One in each of `n` equal parts, in random order.
    Stratified,
    /// Evenly spaced, `u + i / n` modulo 1 with one random `u`.
    LowDiscrepancy,
    /// Pairs `u`, `1 - u`; the last of an odd number is alone.
    Antithetic,
}

impl Uniforms {
    /// `count` numbers above 0 and below 1.
    pub fn draw<R: RngCore + ?Sized>(self, count: usize, rng: &mut R) -> Vec<f64> {
        let n = count as f64;
        match self {
            Self::Independent => (0..count).map(|_| Open01.sample(rng)).collect(),
            Self::Stratified => {
                let one = |i| open((i as f64 + Distribution::<f64>::sample(&Open01, rng)) / n);
                let mut numbers: Vec<f64> = (0..count).map(one).collect();
                numbers.shuffle(rng);
                numbers
            }
            Self::LowDiscrepancy => {
                let first: f64 = Open01.sample(rng);
                let one = |i| open((first + i as f64 / n).fract());
                (0..count).map(one).collect()
            }
            Self::Antithetic => {
                let mut numbers = Vec::with_capacity(count + 1);
                while numbers.len() < count {
                    let u: f64 = Open01.sample(rng);
                    numbers.extend([u, 1.0 - u]);
                }
                numbers.truncate(count);
                numbers
            }
        }
    }
}

/// A number that was rounded to an end of the interval, back within it.
pub(super) fn open(u: f64) -> f64 {
    u.clamp(0.5 * f64::EPSILON, 1.0 - 0.5 * f64::EPSILON)
}
