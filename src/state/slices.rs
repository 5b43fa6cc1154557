//! Sweeps over contiguous arrays, block by block.

use std::ops::Range;

use smallvec::SmallVec;

use super::{
    Assignment, Real, Wide, kernel,
    sweep::{Terms, state_at},
};

/// How many elements of an array a sweep takes at a time: few enough that all its arrays stay in
/// the nearest cache between one assignment and the next.
const BLOCK: usize = 2048;

/// Standard normals for the elements of a sweep, in their order.
#[cfg_attr(
    not(feature = "rayon"),
    allow(dead_code, reason = "only threads split a sweep")
)]
pub(crate) trait NoiseBlocks<W: Wide> {
    /// Whether there is none, whatever the order of the elements.
    const SILENT: bool = false;

    /// A copy for another thread, where the numbers do not depend on those before them.
    type Part: NoiseBlocks<W> + Send;

    /// Where the block of numbers that begins at `start` ends.
    fn end(&self, start: usize) -> usize;

    /// The last place up to `at` where a block begins.
    fn begin(&self, at: usize) -> usize;

    /// The coefficient of the noise, and its numbers at these places as the first of `z`.
    fn fill(&mut self, places: Range<usize>, z: &mut [W; NOISE_BLOCK]) -> Option<f64>;

    /// The copy for another thread.
    fn part(&self) -> Option<Self::Part>;
}

/// The most numbers a block of noise has.
pub(crate) const NOISE_BLOCK: usize = 256;
/// How many elements a sweep with noise takes at a time.
const NOISY_BLOCK: usize = 4 * NOISE_BLOCK;

/// No noise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Silent;

impl<W: Wide> NoiseBlocks<W> for Silent {
    const SILENT: bool = true;

    type Part = Self;

    fn end(&self, start: usize) -> usize {
        start.saturating_add(BLOCK)
    }

    fn begin(&self, at: usize) -> usize {
        at - at % BLOCK
    }

    fn fill(&mut self, _: Range<usize>, _: &mut [W; NOISE_BLOCK]) -> Option<f64> {
        None
    }

    fn part(&self) -> Option<Self> {
        Some(Self)
    }
}

/// The elements of the arrays of a sweep, from one place to another.
pub(crate) struct Slices<'a, A> {
    pub(crate) changing: SmallVec<[&'a mut [A]; 3]>,
    pub(crate) fixed: SmallVec<[&'a [A]; 8]>,
    /// The place of the first of them.
    pub(crate) first: usize,
    /// How many elements the whole array has.
    pub(crate) all: usize,
}

/// Runs the assignments, and tells whether the first array held only finite numbers, if asked: the loop over
/// blocks.
pub(super) fn run<A: Real, N: NoiseBlocks<A::Wide>>(
    slices: Slices<'_, A>,
    assignments: &[Assignment<'_>],
    watched: bool,
    noise: &mut N,
) -> bool {
    // A few numbers need no large place.
    match slices.len() {
        0..=NOISE_BLOCK => in_blocks::<A, N, NOISE_BLOCK>(slices, assignments, watched, noise),
        _ => in_blocks::<A, N, NOISY_BLOCK>(slices, assignments, watched, noise),
    }
}

/// The same with a place for so many numbers of the noise.
fn in_blocks<A: Real, N: NoiseBlocks<A::Wide>, const ROOM: usize>(
    mut slices: Slices<'_, A>,
    assignments: &[Assignment<'_>],
    watched: bool,
    noise: &mut N,
) -> bool {
    let (first, length) = (slices.first, slices.len());
    let mut finite = true;
    let mut z = [A::Wide::of(0.0); ROOM];
    let mut start = 0;
    while start < length {
        let (mut end, mut scale) = (start, None);
        // As many blocks of noise as fit.
        while end < length
            && let Some(block) = z.get_mut(end - start..).and_then(|z| z.first_chunk_mut())
        {
            let places = first + end..noise.end(first + end).min(first + length);
            end = places.end - first;
            scale = noise.fill(places, block);
            if N::SILENT {
                break;
            }
        }
        let noise = scale.map(|c| (c, &z[..end - start]));
        finite &= slices.combine(start..end, assignments, watched, noise);
        start = end;
    }
    finite
}

impl<'a, A: Real> Slices<'a, A> {
    pub(super) fn len(&self) -> usize {
        self.changing.first().map_or(0, |slice| slice.len())
    }

    /// The elements before this one, and the others.
    #[cfg(feature = "rayon")]
    pub(super) fn split_at(self, at: usize) -> (Self, Self) {
        let halves = self.changing.into_iter().map(|slice| {
            let at = at.min(slice.len());
            slice.split_at_mut(at)
        });
        let (changing, others): (_, SmallVec<_>) = halves.unzip();
        let halves = self
            .fixed
            .into_iter()
            .map(|slice| slice.split_at(at.min(slice.len())));
        let (fixed, rest): (_, SmallVec<_>) = halves.unzip();
        let (first, all) = (self.first, self.all);
        (
            Self {
                changing,
                fixed,
                first,
                all,
            },
            Self {
                changing: others,
                fixed: rest,
                first: first + at,
                all,
            },
        )
    }

    fn combine(
        &mut self,
        block: Range<usize>,
        assignments: &[Assignment<'_>],
        watched: bool,
        noise: Option<(f64, &[A::Wide])>,
    ) -> bool {
        let mut finite = true;
        let mut watched = watched;
        if assignments.first().is_none_or(|c| c.target != 0) && watched {
            watched = false;
            finite = self
                .changing
                .first()
                .is_none_or(|slice| A::all_finite(&slice[block.clone()]));
        }
        for assignment in assignments {
            let (before, rest) = self.changing.split_at_mut(assignment.target);
            let Some((target, after)) = rest.split_first_mut() else {
                continue;
            };
            let noise = noise.filter(|_| assignment.noisy);
            // An item has its own coefficients, where they differ.
            let length = match assignment.items.and_then(|lists| lists.first()) {
                Some(list) => (self.all / list.len().max(1)).max(1),
                None => usize::MAX,
            };
            let mut start = block.start;
            while start < block.end {
                let item = (self.first + start) / length;
                let after_item = (item + 1).saturating_mul(length) - self.first;
                let part = start..after_item.min(block.end);
                let mut terms = Terms::<'_, [A]>::new();
                for (c, i) in assignment.terms_of(item) {
                    let slice = state_at(i, before, after, &self.fixed);
                    terms.extend(slice.and_then(|slice| Some((c, slice.get(part.clone())?))));
                }
                let drawn = part.start - block.start..part.end - block.start;
                let noise = noise.map(|(scale, z)| (scale, &z[drawn]));
                start = part.end;
                let target = &mut target[part];
                finite &= A::combine(target, assignment.own_of(item), &terms, noise, watched);
            }
            let target = &mut target[block.clone()];
            // The array is as it was only before the first assignment.
            watched = false;
            if let Some((low, high)) = assignment.bounds {
                kernel::clamp(target, low, high);
            }
        }
        finite
    }
}
