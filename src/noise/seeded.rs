//! Noise keyed by (seed, batch item, draw).

use super::{
    Interval, NoiseSource, Scale, add_in_a_sweep,
    keyed::{Keyed, Keys},
    sweep_drawn,
};
use crate::{
    Error,
    state::{Assignment, Draw, Elements, Stream, Wide, items},
};

/// Seeded noise in which every number has a name: (seed, batch item, draw, element).
///
/// The key of a batch item is all its noise depends on, so that the same seed gives an item the same
/// noise whatever else the batch holds and however large it is. Each call that adds noise is one
/// draw; the source counts them. Arrays of every type get the same numbers, to the precision that
/// they are made in: `f64` for `f64`, `f32` for all others.
///
/// # Value stability
///
/// The numbers of a seed are part of the interface: they are the same on every platform, and a
/// release that changes them says so in the changelog.
///
/// ```
/// use gaussian_diffusion::{SeededNoise, noise::{NoiseSource, Scale}};
/// use ndarray::Array1;
/// let mut eight = Array1::<f64>::zeros(8);
/// SeededNoise::new(1).add(&mut eight, Scale::Same(1.0), None)?;
/// // The last three items alone: the same numbers.
/// let mut three = Array1::<f64>::zeros(3);
/// SeededNoise::new(1).with_first_item(5).add(&mut three, Scale::Same(1.0), None)?;
/// assert_eq!(eight.slice(ndarray::s![5..]), three);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("seed", "manual_seed", "generator"))]
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct SeededNoise {
    keys: Keys,
    draw: u64,
}

impl SeededNoise {
    /// One seed for a batch of any size.
    pub fn new(seed: u64) -> Self {
        Self {
            keys: Keys::Batch { seed, first: 0 },
            draw: 0,
        }
    }

    /// A seed for each item; an item gets what it would get alone with that seed.
    pub fn per_item(seeds: impl Into<Vec<u64>>) -> Self {
        Self {
            keys: Keys::Items(seeds.into()),
            draw: 0,
        }
    }

    /// Counts the items of the batch from `first` on, for a batch that is a part of a larger one.
    ///
    /// With a seed for each item, drops the seeds before `first`.
    #[must_use]
    pub fn with_first_item(mut self, first: u32) -> Self {
        match &mut self.keys {
            Keys::Batch { first: old, .. } => *old = old.wrapping_add(first),
            Keys::Items(seeds) => {
                seeds.drain(..seeds.len().min(first as usize));
            }
        }
        self
    }

    /// Goes on from this draw: the numbers that come next are those after so many draws, and nothing else
    /// changes.
    ///
    /// For a run that goes on with a source that was not stored: [`SavedRun::draws`](crate::SavedRun::draws) has
    /// those of the run, to which the draw of its start is to be added where the same source made it. What a
    /// multi-step run keeps of its predictions is in the saved run, and not here. Draws are counted below
    /// 2^62; those above share words with others.
    #[must_use]
    pub fn with_first_draw(mut self, draw: u64) -> Self {
        self.draw = draw;
        self
    }

    /// The numbers of the next draw, for a batch of this shape.
    pub(super) fn draw(&self, shape: &[usize]) -> Result<Keyed<'_>, Error> {
        if let Keys::Items(seeds) = &self.keys {
            Error::check_length("seeds", items(shape), seeds.len())?;
        }
        let item_len = shape.iter().skip(1).product();
        Ok(Keyed::new(&self.keys, self.draw, item_len))
    }

    /// Number of draws so far.
    pub fn draws(&self) -> u64 {
        self.draw
    }
}

impl Draw for SeededNoise {
    fn stream<W: Wide>(&mut self, shape: &[usize]) -> Result<impl Stream<W>, Error> {
        self.draw(shape)
    }
}

impl<V: Elements> NoiseSource<V> for SeededNoise {
    add_in_a_sweep!();

    fn sweep(
        &mut self,
        states: &mut [&mut V],
        fixed: &[&V],
        assignments: &[Assignment<'_>],
        scale: Scale<'_, V>,
        _over: Option<Interval>,
    ) -> Result<bool, Error> {
        let finite = sweep_drawn(states, fixed, assignments, scale, self)?;
        if assignments.iter().any(|assignment| assignment.noisy) {
            self.draw = self.draw.wrapping_add(1);
        }
        Ok(finite)
    }
}
