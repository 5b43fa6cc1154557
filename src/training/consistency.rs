//! Training of consistency functions: networks that answer the end of the flow from any point on it.
//!
//! **With pairs of levels.** The answers at two neighbouring levels of one path are made equal, the one at the
//! noisier level learning from the one at the cleaner. [`Curriculum`] says how many levels there are as training
//! goes on, [`times::Intervals`](super::times::Intervals) draws a pair and has its weight, one `eps` noises the data
//! to both, and the answer is put into the form that is the identity at the clean end by
//! [`consistency_model`](crate::denoiser::consistency_model).
//!
//! ```
//! use gaussian_diffusion::{
//!     Error, ForwardProcess, Grid, NoiseSchedule, SeededNoise, Sigma, SigmaData, State, denoiser::consistency_model,
//!     rand::{SeedableRng, rngs::StdRng}, schedule::Edm,
//!     training::{consistency::Curriculum, squared_error, weighted_mean, times::{Intervals, LogNormal, TimeSampler, Uniforms}},
//! };
//! use ndarray::Array2;
//! # fn network(shown: &Array2<f64>, times: &[f64]) -> Array2<f64> { shown * (0.1 * times.len() as f64) }
//! let (schedule, x0) = (Edm::default(), Array2::from_shape_fn((4, 2), |(i, j)| 0.5 * ((3 * i + j) as f64).sin()));
//! let levels = Curriculum::improved(400_000)?.levels(120_000);
//! let grid = Grid::karras(&schedule, levels)?;
//! let sigmas: Vec<Sigma> = grid.nodes().iter().rev().map(|node| node.time).collect();
//! let sampler = Intervals::new(&LogNormal::ict(), &sigmas)?;
//! let drawn = sampler.draw(Uniforms::Independent, 4, &mut StdRng::seed_from_u64(0))?.times;
//! let (low, high): (Vec<_>, Vec<_>) =
//!     drawn.iter().map(|&step| sampler.ends(step)).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
//!
//! // One noise, two levels, and the consistency function at both.
//! let (x_high, eps) = schedule.draw_jump(&x0, &high, &mut SeededNoise::new(0))?;
//! let x_low = schedule.jump(&x0, &low, &eps)?;
//! let consistent = |x: &Array2<f64>, at: &[Sigma]| -> Result<Array2<f64>, Error> {
//!     let (mut skip, mut out, mut input, mut time) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
//!     for &sigma in at {
//!         let c = consistency_model(schedule.level(sigma)?, sigmas[0], SigmaData::EDM)?;
//!         (skip.push(c.skip), out.push(c.out), input.push(c.input), time.push(c.conditioning));
//!     }
//!     let mut shown = x.clone();
//!     shown.combine_items(&input, &[])?;
//!     let mut answer = network(&shown, &time);
//!     answer.combine_items(&out, &[(&skip, x)])?;
//!     Ok(answer)
//! };
//! let target = consistent(&x_low, &low)?;                     // no gradient through this
//! let losses = squared_error(&consistent(&x_high, &high)?, &target)?;
//! let weights = drawn.iter().map(|&step| sampler.inverse_length(step)).collect::<Result<Vec<_>, _>>()?;
//! let loss = weighted_mean(&losses, &[&weights])?;
//! # assert!(loss > 0.0 && levels == 41);
//! # Ok::<(), Error>(())
//! ```
//!
//! **In continuous time.** The two levels come together, and what is left of their difference is a derivative
//! along the path: [`Tangent`].

mod tangent;

use crate::Error;

pub use tangent::Tangent;

/// How many levels consistency training has as it goes on.
///
/// | | intervals at update `k` of `K`, from `first` to `last` |
/// |---|---|
/// | [`doubling`](Self::doubling) | `min(first 2^floor(k / K'), last)`, `K' = floor(K / (floor(log2(last / first)) + 1))` |
/// | [`square_root`](Self::square_root) | `ceil(sqrt(k / K ((last + 1)^2 - first^2) + first^2) - 1)` |
///
/// Few levels far apart teach quickly and with a bias, many near each other slowly and without. There is one
/// level more than intervals.
///
/// [Sources](crate::docs::papers#arxiv-2310.14189): Improved Techniques for Training Consistency Models, Song, Dhariwal, 2024;
/// Consistency Models, Song, Dhariwal, Chen, Sutskever, 2023.
///
/// ```
/// use gaussian_diffusion::training::consistency::Curriculum;
/// let curriculum = Curriculum::improved(400_000)?;
/// assert_eq!([0, 49_999, 50_000, 399_999].map(|k| curriculum.levels(k)), [11, 11, 21, 1281]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("discretization schedule", "N(k)", "scales"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Curriculum {
    kind: Kind,
    first: f64,
    last: f64,
    updates: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Doubling,
    SquareRoot,
}

impl Curriculum {
    /// That of improved consistency training over this many updates: doubling from 10 to 1280.
    ///
    /// # Errors
    ///
    /// If there are no updates.
    pub fn improved(updates: u64) -> Result<Self, Error> {
        Self::doubling(10, 1280, updates)
    }

    /// Twice as many intervals after each of equal parts of the updates.
    ///
    /// # Errors
    ///
    /// If there are no updates, `first` is not in 1 to 1,000,000, or `last` not in `first` to 1,000,000.
    pub fn doubling(first: usize, last: usize, updates: u64) -> Result<Self, Error> {
        Self::new(Kind::Doubling, first, last, updates)
    }

    /// Intervals that grow as the square root of the updates: 2 to 150 in the first paper.
    ///
    /// # Errors
    ///
    /// As [`doubling`](Self::doubling).
    pub fn square_root(first: usize, last: usize, updates: u64) -> Result<Self, Error> {
        Self::new(Kind::SquareRoot, first, last, updates)
    }

    fn new(kind: Kind, first: usize, last: usize, updates: u64) -> Result<Self, Error> {
        const MOST: usize = 1_000_000;
        if !(1..=MOST).contains(&first) {
            let allowed = format!("1 to {MOST}");
            return Err(Error::range(
                "first number of intervals",
                first as f64,
                allowed,
            ));
        }
        if !(first..=MOST).contains(&last) {
            let allowed = format!("{first} to {MOST}");
            return Err(Error::range(
                "last number of intervals",
                last as f64,
                allowed,
            ));
        }
        if updates == 0 {
            return Err(Error::range("number of updates", 0.0, "1 or more"));
        }
        let (first, last, updates) = (first as f64, last as f64, updates as f64);
        Ok(Self {
            kind,
            first,
            last,
            updates,
        })
    }

    /// The number of levels at this update, counted from 0; beyond the last it stays.
    pub fn levels(self, update: u64) -> usize {
        let (first, last) = (self.first, self.last);
        let update = (update as f64).min(self.updates);
        let intervals = match self.kind {
            Kind::Doubling => {
                let parts = (last / first).log2().floor() + 1.0;
                let part = (self.updates / parts).floor().max(1.0);
                // More doublings than any number of intervals takes are as good as these.
                first * (update / part).floor().min(64.0).exp2()
            }
            Kind::SquareRoot => {
                let square = first * first;
                let grown = update / self.updates * ((last + 1.0).powi(2) - square) + square;
                (grown.sqrt() - 1.0).ceil().max(1.0)
            }
        };
        intervals.min(last) as usize + 1
    }

    /// The decay of the average of parameters that teaches at this update: `initial^(first / levels)`, which is
    /// `initial` at the start and grows with the levels.
    ///
    /// Improved consistency training has none: the network teaches itself.
    ///
    /// # Errors
    ///
    /// If `initial` is not from 0 to below 1; the first paper has 0.9 and 0.95.
    pub fn decay(self, update: u64, initial: f64) -> Result<f64, Error> {
        if !(0.0..1.0).contains(&initial) {
            return Err(Error::range("initial decay", initial, "0 to below 1"));
        }
        Ok(initial.powf(self.first / self.levels(update) as f64))
    }
}

/// The constant of the pseudo-Huber loss of improved consistency training, `0.00054 sqrt(elements)`, for
/// `sqrt(|x - y|^2 + c^2) - c` of an item of so many elements.
///
/// [Source](crate::docs::papers#arxiv-2310.14189): Improved Techniques for Training Consistency Models, Song, Dhariwal, 2024.
///
/// ```
/// use gaussian_diffusion::training::consistency::huber_constant;
/// assert!((huber_constant(3 * 32 * 32) - 0.02993).abs() < 1e-5);
/// ```
pub fn huber_constant(elements: usize) -> f64 {
    0.00054 * (elements as f64).sqrt()
}
