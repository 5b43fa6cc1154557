//! Any generator of the rand crate as a source of noise.

use std::ops::Range;

use ndarray::{Array, Dimension};

use super::{Interval, NoiseSource, Scale, Stream, keyed::Keyed, one, sweep_stream};
use crate::{
    Error,
    rand::{Rng, RngCore},
    rand_distr::StandardNormal,
    simd::vectorized,
    state::{Assignment, NOISE_BLOCK, Real, Wide},
};

impl<A: Real, D: Dimension, R: RngCore> NoiseSource<Array<A, D>> for R {
    fn add(
        &mut self,
        x: &mut Array<A, D>,
        scale: Scale<'_, Array<A, D>>,
        over: Option<Interval>,
    ) -> Result<(), Error> {
        if let (0..FEW, Scale::Same(std)) = (x.len(), scale) {
            // The same numbers as a sweep, which would take longer to begin than they do.
            let std = A::Wide::of(std);
            x.iter_mut().for_each(|x| {
                let z = A::Wide::of(self.sample(StandardNormal));
                *x = A::narrow(x.widen() + std * z);
            });
            return Ok(());
        }
        self.sweep(&mut [x], &[], &[one()], scale, over).map(|_| ())
    }

    fn fill(&mut self, x: &mut Array<A, D>) -> Result<(), Error> {
        if x.len() < FEW {
            x.fill(A::of(0.0));
            return self.add(x, Scale::Same(1.0), None);
        }
        let fresh = Assignment::new(0, 0.0, &[]).with_noise(true);
        self.sweep(&mut [x], &[], &[fresh], Scale::Same(1.0), None)
            .map(|_| ())
    }

    fn sweep(
        &mut self,
        states: &mut [&mut Array<A, D>],
        fixed: &[&Array<A, D>],
        assignments: &[Assignment<'_>],
        scale: Scale<'_, Array<A, D>>,
        _over: Option<Interval>,
    ) -> Result<bool, Error> {
        sweep_stream(states, fixed, assignments, scale, |_: &_| Ok(FromRng(self)))
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
        let pairs = length.div_ceil(2).min(PAIRS);
        let [mut radii, mut angles] = [[[0; 2]; PAIRS]; 2];
        let words = if W::IS_DOUBLE { 2 } else { 1 };
        for row in [&mut radii, &mut angles] {
            let mut bytes = [0; 8 * PAIRS];
            let bytes = &mut bytes[..4 * words * pairs];
            self.0.fill_bytes(bytes);
            let (chunks, _) = bytes.as_chunks::<4>();
            for (place, chunk) in row.iter_mut().zip(chunks) {
                place[0] = u32::from_le_bytes(*chunk);
            }
            for (place, chunk) in row.iter_mut().zip(&chunks[pairs..]) {
                place[1] = u32::from_le_bytes(*chunk);
            }
        }
        let (cosines, sines) = z.split_at_mut(pairs);
        let (sines, radii, angles) = (&mut sines[..pairs], &radii[..pairs], &angles[..pairs]);
        vectorized(
            #[inline(always)]
            || {
                for i in 0..pairs {
                    (cosines[i], sines[i]) = W::normal_pair(radii[i], angles[i]);
                }
            },
        );
    }

    fn part(&self) -> Option<Self::Part> {
        None
    }
}
