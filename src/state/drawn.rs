//! Noise for the elements of a sweep, and how strong it is.

use std::ops::Range;

use smallvec::SmallVec;

use super::{Assignment, NOISE_BLOCK, NoiseBlocks, Real, Wide, slices::Slices, threads};
use crate::Error;

/// How strong the noise is.
#[derive(Debug)]
pub enum Scale<'a, V> {
    /// One standard deviation for all.
    Same(f64),
    /// One standard deviation per batch item.
    PerItem(&'a [f64]),
    /// One standard deviation per element.
    PerElement(&'a V),
}

// Derived, these would ask the same of `V`.
impl<V> Clone for Scale<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Scale<'_, V> {}

/// Standard normals for the elements of a batch, in their order.
pub trait Stream<W: Wide> {
    /// A copy for another thread, where the numbers do not depend on those before them.
    type Part: Stream<W> + Send;

    /// Where the block of numbers that begins at `start` ends.
    fn end(&self, start: usize) -> usize;

    /// The last place up to `at` where a block may begin.
    fn begin(&self, at: usize) -> usize;

    /// The numbers at these places, which are a block or the beginning of one, as the first of `z`.
    fn fill(&mut self, places: Range<usize>, z: &mut [W; NOISE_BLOCK]);

    /// The copy for another thread.
    fn part(&self) -> Option<Self::Part>;
}

/// A draw that is to be made, for a batch that is not known yet.
pub trait Draw {
    /// Its numbers for a batch of this shape.
    fn stream<W: Wide>(&mut self, shape: &[usize]) -> Result<impl Stream<W>, Error>;
}

/// A [`Scale`] for elements in order.
pub(crate) enum Deviation<'a, A> {
    Same(f64),
    PerItem(&'a [f64], usize),
    PerElement(&'a [A]),
}

impl<A> Clone for Deviation<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Deviation<'_, A> {}

/// The numbers of a stream with their deviations.
pub(crate) struct Scaled<'a, A, S> {
    pub(crate) stream: S,
    pub(crate) deviation: Deviation<'a, A>,
}

impl<'a, A: Real, S: Stream<A::Wide>> NoiseBlocks<A::Wide> for Scaled<'a, A, S> {
    type Part = Scaled<'a, A, S::Part>;

    fn end(&self, start: usize) -> usize {
        self.stream.end(start)
    }

    fn begin(&self, at: usize) -> usize {
        self.stream.begin(at)
    }

    fn fill(&mut self, places: Range<usize>, z: &mut [A::Wide; NOISE_BLOCK]) -> Option<f64> {
        self.stream.fill(places.clone(), z);
        match self.deviation {
            Deviation::Same(std) => return Some(std),
            Deviation::PerItem(stds, length) => {
                for (place, z) in places.zip(z) {
                    let std = stds.get(place / length).copied().unwrap_or_default();
                    *z = A::Wide::of(std) * *z;
                }
            }
            Deviation::PerElement(stds) => {
                let stds = stds.get(places).unwrap_or_default();
                z.iter_mut()
                    .zip(stds)
                    .for_each(|(z, std)| *z = std.widen() * *z);
            }
        }
        Some(1.0)
    }

    fn part(&self) -> Option<Self::Part> {
        Some(Scaled {
            stream: self.stream.part()?,
            deviation: self.deviation,
        })
    }
}

/// All numbers of a draw for a tensor of this shape.
pub(crate) fn whole<W: Wide, D: Draw>(shape: &[usize], draw: &mut D) -> Result<Vec<W>, Error> {
    let mut noise = Scaled::<W, _> {
        stream: draw.stream(shape)?,
        deviation: Deviation::Same(1.0),
    };
    let mut numbers = vec![W::of(0.0); shape.iter().product()];
    let slices = Slices {
        all: numbers.len(),
        changing: SmallVec::from_iter([numbers.as_mut_slice()]),
        fixed: SmallVec::new(),
        first: 0,
    };
    let drawn = [Assignment::new(0, 0.0, &[]).with_noise(true)];
    threads::sweep(slices, &drawn, false, &mut noise);
    Ok(numbers)
}
