//! Where a run stands: what a network is asked about, and what a draw of noise lies between.

use crate::NoiseLevel;

/// What a network is asked about.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Point<T> {
    /// Position of the step in the run, counted from 0.
    pub step: usize,
    /// Position of the question in the run, counted from 0.
    pub evaluation: usize,
    /// The noise level of the state the network is shown.
    pub level: NoiseLevel,
    /// What the network is given.
    pub time: T,
    /// The level the step leaves.
    pub from: NoiseLevel,
    /// The level the step reaches.
    pub to: NoiseLevel,
}

impl<T> Point<T> {
    /// A point outside a run: a network is shown a state of the level `from`, on its way to `to`.
    pub fn new(time: T, from: NoiseLevel, to: NoiseLevel) -> Self {
        Self {
            step: 0,
            evaluation: 0,
            level: from,
            time,
            from,
            to,
        }
    }

    /// The same point with something else given to the network.
    ///
    /// ```
    /// use gaussian_diffusion::{NoiseLevel, Point, Step};
    /// let mut at = Point::new(Step::new(250), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
    /// (at.step, at.evaluation) = (3, 7);
    /// let scaled = at.with_time(at.time.get() / 1000.0);
    /// assert_eq!(scaled.time, 0.25);
    /// assert_eq!(scaled.with_time(at.time), at);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn with_time<U>(self, time: U) -> Point<U> {
        Point {
            step: self.step,
            evaluation: self.evaluation,
            level: self.level,
            time,
            from: self.from,
            to: self.to,
        }
    }
}

/// The two noise levels a draw of a sampler lies between.
///
/// Independent noise ignores it. A source that draws increments of one path needs it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Interval {
    /// The level the step leaves.
    pub from: NoiseLevel,
    /// The level it reaches.
    pub to: NoiseLevel,
}
