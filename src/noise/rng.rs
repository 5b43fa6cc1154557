//! Any generator of the rand crate as a source of noise.

use std::ops::Range;

use super::{Interval, NoiseSource, Scale, keyed::Keyed, one, sweep_drawn};
use crate::{
    Error,
    rand::{Rng, RngCore},
    rand_distr::StandardNormal,
    simd::vectorized,
    state::{Assignment, Draw, Elements, NOISE_BLOCK, Stream, Wide, pairs},
};

impl<V: Elements, R: RngCore> NoiseSource<V> for R {
    fn add(&mut self, x: &mut V, scale: Scale<'_, V>, over: Option<Interval>) -> Result<(), Error> {
        // The same numbers as a sweep, which would take longer to begin than a few of them do.
        if let Scale::Same(std) = scale
            && x.add_to_few(FEW, 1.0, std, || self.sample(StandardNormal))
        {
            return Ok(());
        }
        self.sweep(&mut [x], &[], &[one()], scale, over).map(|_| ())
    }

    fn fill(&mut self, x: &mut V) -> Result<(), Error> {
        if x.add_to_few(FEW, 0.0, 1.0, || self.sample(StandardNormal)) {
            return Ok(());
        }
        let fresh = Assignment::new(0, 0.0, &[]).with_noise(true).watched(false);
        self.sweep(&mut [x], &[], &[fresh], Scale::Same(1.0), None)
            .map(|_| ())
    }

    fn sweep(
        &mut self,
        states: &mut [&mut V],
        fixed: &[&V],
        assignments: &[Assignment<'_>],
        scale: Scale<'_, V>,
        _over: Option<Interval>,
    ) -> Result<bool, Error> {
        sweep_drawn(states, fixed, assignments, scale, &mut FromRng(self))
    }
}

impl<R: RngCore> Draw for FromRng<'_, R> {
    fn stream<W: Wide>(&mut self, _: &[usize]) -> Result<impl Stream<W>, Error> {
        Ok(FromRng(&mut *self.0))
    }
}

// The distributions are those that ndarray-rand knows: a version of another would fail to build here.
const _: fn(ndarray_rand::rand_distr::StandardNormal) -> StandardNormal = |same| same;

/// One stream across all items: numbers depend on the batch before them.
struct FromRng<'a, R>(&'a mut R);

/// How many numbers a block does not pay for.
const FEW: usize = 64;
/// Pairs of a block.
const PAIRS: usize = NOISE_BLOCK / 2;

impl<W: Wide, R: RngCore> Stream<W> for FromRng<'_, R> {
    type Part = Keyed<'static>;

    fn end(&self, start: usize) -> usize {
        start + NOISE_BLOCK
    }

    fn begin(&self, at: usize) -> usize {
        at
    }

    /// The cosines of all pairs and then their sines; a few numbers each for itself.
    fn fill(&mut self, places: Range<usize>, z: &mut [W; NOISE_BLOCK]) {
        let length = places.len();
        if length < FEW {
            for z in &mut z[..length] {
                *z = W::of(self.0.sample(StandardNormal));
            }
            return;
        }
        let count = length.div_ceil(2).min(PAIRS);
        // The high words of all, and the low ones.
        let [mut radii, mut angles] = [[[0; PAIRS]; 2]; 2];
        let words = if W::IS_DOUBLE { 2 } else { 1 };
        for row in [&mut radii, &mut angles] {
            let mut bytes = [0; 8 * PAIRS];
            let bytes = &mut bytes[..4 * words * count];
            self.0.fill_bytes(bytes);
            let (chunks, _) = bytes.as_chunks::<4>();
            for (row, chunks) in row.iter_mut().zip(chunks.chunks(count)) {
                for (word, chunk) in row.iter_mut().zip(chunks) {
                    *word = u32::from_le_bytes(*chunk);
                }
            }
        }
        let (cosines, sines) = z.split_at_mut(count);
        let [radii, angles] = [[&radii[0][..], &radii[1]], [&angles[0][..], &angles[1]]];
        vectorized(
            #[inline(always)]
            || pairs(radii, angles, cosines, sines),
        );
    }

    fn part(&self) -> Option<Self::Part> {
        None
    }
}
