//! Noise keyed by (seed, batch item, draw).

use ndarray::{Array, Dimension};

use super::{
    Interval, NoiseSource, Scale, Stream, add_stream, normal::normal_pair, philox::philox,
};
use crate::{Error, state::Real};

/// Seeded noise in which every number has a name: (seed, batch item, draw, element).
///
/// The key of a batch item is all its noise depends on, so that the same seed gives an item the same
/// noise whatever else the batch holds and however large it is. Each call that adds noise is one
/// draw; the source counts them. An `f32` array gets the rounded values of the `f64` one.
///
/// # Value stability
///
/// The numbers of a seed are part of the interface: they are the same on every platform, and a
/// release that changes them says so in the changelog.
///
/// ```
/// use gaussian_diffusion::{Noise, noise::{NoiseSource, Scale}};
/// use ndarray::Array1;
/// let mut eight = Array1::<f64>::zeros(8);
/// Noise::seeded(1).add(&mut eight, Scale::Same(1.0), None)?;
/// // The last three items alone: the same numbers.
/// let mut three = Array1::<f64>::zeros(3);
/// Noise::seeded(1).from_item(5).add(&mut three, Scale::Same(1.0), None)?;
/// assert_eq!(eight.slice(ndarray::s![5..]), three);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("seed", "manual_seed", "generator"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noise {
    keys: Keys,
    draw: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Keys {
    /// One seed; items count from here.
    Batch { seed: u64, first: u32 },
    /// A seed for each item.
    Items(Vec<u64>),
}

impl Noise {
    /// One seed for a batch of any size.
    pub fn seeded(seed: u64) -> Self {
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
    pub fn from_item(mut self, first: u32) -> Self {
        match &mut self.keys {
            Keys::Batch { first: old, .. } => *old = old.wrapping_add(first),
            Keys::Items(seeds) => {
                seeds.drain(..seeds.len().min(first as usize));
            }
        }
        self
    }

    /// Goes on from this draw, for a run that is resumed.
    #[must_use]
    pub fn at_draw(mut self, draw: u64) -> Self {
        self.draw = draw;
        self
    }

    /// The numbers of the next draw, for a batch of this shape.
    pub(super) fn stream(&self, shape: &[usize]) -> Result<Keyed<'_>, Error> {
        if let Keys::Items(seeds) = &self.keys {
            let items = shape.first().copied().unwrap_or(1);
            if seeds.len() != items {
                let found = seeds.len();
                return Err(Error::BatchLength {
                    what: "seeds",
                    expected: items,
                    found,
                });
            }
        }
        Ok(Keyed {
            keys: &self.keys,
            draw: self.draw,
            key: [0; 2],
            item: 0,
            next: 0,
            odd: 0.0,
        })
    }

    /// Number of draws so far.
    pub fn draws(&self) -> u64 {
        self.draw
    }
}

impl<A: Real, D: Dimension> NoiseSource<Array<A, D>> for Noise {
    fn add(
        &mut self,
        x: &mut Array<A, D>,
        scale: Scale<'_, Array<A, D>>,
        _over: Option<Interval>,
    ) -> Result<(), Error> {
        let mut stream = self.stream(x.shape())?;
        add_stream(x, scale, &mut stream)?;
        self.draw = self.draw.wrapping_add(1);
        Ok(())
    }
}

/// The numbers of one draw.
pub(super) struct Keyed<'a> {
    keys: &'a Keys,
    draw: u64,
    key: [u32; 2],
    item: u32,
    /// Index of the next element.
    next: u64,
    /// The second number of the last block.
    odd: f64,
}

impl Keyed<'_> {
    /// Two numbers of the present item.
    pub(super) fn block(&self, block: u32, draw: u64) -> [f64; 2] {
        let counter = [block, self.item, draw as u32, (draw >> 32) as u32];
        normal_pair(philox(counter, self.key))
    }
}

impl Stream for Keyed<'_> {
    fn begin(&mut self, item: usize) {
        let (seed, item) = match self.keys {
            Keys::Batch { seed, first } => (*seed, first.wrapping_add(item as u32)),
            Keys::Items(seeds) => (seeds[item], 0),
        };
        self.key = [seed as u32, (seed >> 32) as u32];
        self.item = item;
        self.next = 0;
    }

    fn next(&mut self) -> f64 {
        let element = self.next;
        self.next += 1;
        if element % 2 == 1 {
            return self.odd;
        }
        let [even, odd] = self.block((element / 2) as u32, self.draw);
        self.odd = odd;
        even
    }
}
