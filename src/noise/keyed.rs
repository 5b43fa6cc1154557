//! The numbers of one draw of seeded noise, and which counter each of them comes from.
//!
//! A counter gives four words, and they two pairs of normals. The elements of an item are taken in
//! blocks of 256 from 64 counters: the cosines of the first pairs, then their sines, then the second
//! pairs, so that every loop runs over neighbours. What an element gets does not depend on how many
//! there are: a longer item begins like a shorter one.

use std::ops::Range;

use super::philox::philox;
use crate::{
    simd::{Arch, on},
    state::{NOISE_BLOCK, Stream, Wide, pairs},
};

/// Of Philox: the fewest that pass every test of BigCrush, as its authors found.
const ROUNDS: usize = 7;
/// Counters of a block.
const LANES: usize = NOISE_BLOCK / 4;
/// Sets the low words of numbers that take two apart from the high ones.
const LOW_WORDS: u64 = 1 << 62;

type Words = [[u32; LANES]; 4];

/// What the items of a batch are keyed by.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(super) enum Keys {
    /// One seed; items count from here.
    Batch { seed: u64, first: u32 },
    /// A seed for each item.
    Items(Vec<u64>),
}

impl Keys {
    /// The key of an item, by its place in the batch.
    pub(super) fn key(&self, item: usize) -> [u32; 2] {
        let seed = match self {
            Self::Batch { seed, .. } => *seed,
            Self::Items(seeds) => seeds.get(item).copied().unwrap_or_default(),
        };
        [seed as u32, (seed >> 32) as u32]
    }

    /// Its number under that key.
    pub(super) fn number(&self, item: usize) -> u32 {
        match self {
            Self::Batch { first, .. } => first.wrapping_add(item as u32),
            Self::Items(_) => 0,
        }
    }
}

/// One draw for a batch whose items have this many elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keyed<'a> {
    keys: &'a Keys,
    draw: u64,
    item_len: usize,
}

impl<'a> Keyed<'a> {
    pub(super) fn new(keys: &'a Keys, draw: u64, item_len: usize) -> Self {
        Self {
            keys,
            draw,
            item_len: item_len.max(1),
        }
    }

    /// Whether a block has elements of several items, each of them the first number of its counter.
    fn is_shared(&self) -> bool {
        self.item_len <= LANES && !matches!(self.keys, Keys::Items(_))
    }

    pub(super) fn end(&self, start: usize) -> usize {
        if self.is_shared() {
            return start + LANES;
        }
        let offset = start % self.item_len;
        start + NOISE_BLOCK.min(self.item_len - offset)
    }

    pub(super) fn begin(&self, at: usize) -> usize {
        let offset = at % self.item_len;
        at - if self.is_shared() {
            offset
        } else {
            offset % NOISE_BLOCK
        }
    }

    /// The numbers at these places in the draw of this number.
    pub(super) fn numbers<W: Wide>(
        &self,
        draw: u64,
        places: Range<usize>,
        z: &mut [W; NOISE_BLOCK],
    ) {
        let (item, offset) = (places.start / self.item_len, places.start % self.item_len);
        let (key, number) = (self.keys.key(item), self.keys.number(item));
        if !self.is_shared() {
            let first = (offset / NOISE_BLOCK * LANES) as u32;
            let counter = |i: usize| [first.wrapping_add(i as u32), number];
            return fill(Arch::new(), z, places.len(), counter, draw, key);
        }
        let [mut counters, mut numbers] = [[0; LANES]; 2];
        let (mut counter, mut number) = (offset as u32, number);
        for (c, n) in counters.iter_mut().zip(&mut numbers) {
            if counter as usize == self.item_len {
                (counter, number) = (0, number.wrapping_add(1));
            }
            (*c, *n) = (counter, number);
            counter += 1;
        }
        // The remainder is the number itself, and tells the compiler that it is in bounds.
        let counter = |i: usize| [counters[i % LANES], numbers[i % LANES]];
        fill(Arch::new(), z, places.len(), counter, draw, key);
    }
}

/// The numbers of a block, whose counters begin with two words each.
#[inline]
fn fill<W: Wide>(
    arch: Arch,
    z: &mut [W; NOISE_BLOCK],
    length: usize,
    counter: impl Fn(usize) -> [u32; 2] + Copy,
    draw: u64,
    key: [u32; 2],
) {
    // A few lanes more than needed take no longer than those that are.
    let lanes = length.next_multiple_of(16).min(LANES);
    let (first, second) = z.split_at_mut(2 * LANES);
    on(
        arch,
        #[inline(always)]
        || {
            let [mut high, mut low] = [[[0; LANES]; 4]; 2];
            words(&mut high, lanes, counter, draw, key);
            if W::IS_DOUBLE {
                words(&mut low, lanes, counter, draw | LOW_WORDS, key);
            }
            let (cosines, sines) = first.split_at_mut(LANES);
            let (radii, angles) = ([&high[0][..], &low[0]], [&high[1][..], &low[1]]);
            pairs(radii, angles, &mut cosines[..lanes], sines);
            if length > 2 * LANES {
                let (cosines, sines) = second.split_at_mut(LANES);
                let (radii, angles) = ([&high[2][..], &low[2]], [&high[3][..], &low[3]]);
                pairs(radii, angles, cosines, sines);
            }
        },
    );
}

#[inline(always)]
fn words(
    words: &mut Words,
    lanes: usize,
    counter: impl Fn(usize) -> [u32; 2],
    draw: u64,
    key: [u32; 2],
) {
    let [a, b, c, d] = words;
    let (a, b) = (&mut a[..lanes], &mut b[..lanes]);
    let (c, d) = (&mut c[..lanes], &mut d[..lanes]);
    for i in 0..lanes {
        let [first, second] = counter(i);
        let counter = [first, second, draw as u32, (draw >> 32) as u32];
        [a[i], b[i], c[i], d[i]] = philox::<ROUNDS>(counter, key);
    }
}

impl<W: Wide> Stream<W> for Keyed<'_> {
    type Part = Self;

    fn end(&self, start: usize) -> usize {
        self.end(start)
    }

    fn begin(&self, at: usize) -> usize {
        self.begin(at)
    }

    fn fill(&mut self, places: Range<usize>, z: &mut [W; NOISE_BLOCK]) {
        self.numbers(self.draw, places, z);
    }

    fn part(&self) -> Option<Self> {
        Some(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::{NOISE_BLOCK, fill};
    use crate::{simd, state::Wide};

    fn same_bits<W: Wide>() {
        // More than a million numbers.
        for number in 0..5_000 {
            let bits = |arch| {
                let mut z = [W::of(0.0); NOISE_BLOCK];
                let counter = |i: usize| [i as u32 * number, number];
                fill::<W>(arch, &mut z, NOISE_BLOCK, counter, 77, [number, 2]);
                z.map(|z| z.get().to_bits())
            };
            let all: Vec<_> = simd::all().into_iter().map(bits).collect();
            assert!(all.iter().all(|bits| *bits == all[0]), "block {number}");
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        same_bits::<f32>();
        same_bits::<f64>();
    }
}
