//! The numbers of one draw of seeded noise, and which counter each of them comes from.
//!
//! A counter gives four words, and they two pairs of normals. The elements of an item are taken in
//! blocks of 256 from 64 counters: the cosines of the first pairs, then their sines, then the second
//! pairs, so that every loop runs over neighbours. What an element gets does not depend on how many
//! there are: a longer item begins like a shorter one.

use std::ops::Range;

use super::{Stream, philox::philox, seeded::Keys};
use crate::state::{
    NOISE_BLOCK, Wide,
    simd::{Arch, on},
};

/// Counters of a block.
const LANES: usize = NOISE_BLOCK / 4;
/// Sets the low words of numbers that take two apart from the high ones.
const LOW_WORDS: u64 = 1 << 62;

type Words = [[u32; LANES]; 4];

/// One draw for a batch whose items have this many elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keyed<'a> {
    keys: &'a Keys,
    draw: u64,
    item_len: usize,
    high: Words,
    low: Words,
}

impl<'a> Keyed<'a> {
    pub(super) fn new(keys: &'a Keys, draw: u64, item_len: usize) -> Self {
        Self {
            keys,
            draw,
            item_len: item_len.max(1),
            high: [[0; LANES]; 4],
            low: [[0; LANES]; 4],
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
    pub(super) fn fill<W: Wide>(
        &mut self,
        draw: u64,
        places: Range<usize>,
        z: &mut [W; NOISE_BLOCK],
    ) {
        let (item, offset) = (places.start / self.item_len, places.start % self.item_len);
        let mut block = Block {
            arch: Arch::new(),
            draw,
            key: self.keys.key(item),
            counters: [0; LANES],
            numbers: [self.keys.number(item); LANES],
            length: places.len(),
        };
        let lanes = block.counters.iter_mut().zip(&mut block.numbers);
        if self.is_shared() {
            let (mut counter, mut number) = (offset as u32, self.keys.number(item));
            for (c, n) in lanes {
                if counter as usize == self.item_len {
                    (counter, number) = (0, number.wrapping_add(1));
                }
                (*c, *n) = (counter, number);
                counter += 1;
            }
        } else {
            let first = (offset / NOISE_BLOCK * LANES) as u32;
            lanes
                .zip(first..)
                .for_each(|((c, _), counter)| *c = counter);
        }
        block.fill(z, self);
    }
}

/// Numbers that come from counters under one key.
struct Block {
    arch: Arch,
    draw: u64,
    key: [u32; 2],
    /// The counters, and the numbers of the items that they count in.
    counters: [u32; LANES],
    numbers: [u32; LANES],
    length: usize,
}

impl Block {
    fn fill<W: Wide>(&self, z: &mut [W; NOISE_BLOCK], keyed: &mut Keyed<'_>) {
        // A few lanes more than needed take no longer than those that are.
        let lanes = self.length.next_multiple_of(16).min(LANES);
        let (high, low) = (&mut keyed.high, &mut keyed.low);
        let (first, second) = z.split_at_mut(2 * LANES);
        on(
            self.arch,
            #[inline(always)]
            || {
                self.words(high, lanes, self.draw);
                if W::IS_DOUBLE {
                    self.words(low, lanes, self.draw | LOW_WORDS);
                }
                pairs(first, [&high[0], &high[1]], [&low[0], &low[1]], lanes);
                if self.length > 2 * LANES {
                    pairs(second, [&high[2], &high[3]], [&low[2], &low[3]], lanes);
                }
            },
        );
    }

    #[inline(always)]
    fn words(&self, words: &mut Words, lanes: usize, draw: u64) {
        let (counters, numbers) = (&self.counters[..lanes], &self.numbers[..lanes]);
        let [a, b, c, d] = words;
        let (a, b) = (&mut a[..lanes], &mut b[..lanes]);
        let (c, d) = (&mut c[..lanes], &mut d[..lanes]);
        let (key, draw) = (self.key, [draw as u32, (draw >> 32) as u32]);
        for i in 0..lanes {
            let counter = [counters[i], numbers[i], draw[0], draw[1]];
            [a[i], b[i], c[i], d[i]] = philox(counter, key);
        }
    }
}

#[inline(always)]
fn pairs<W: Wide>(z: &mut [W], high: [&[u32; LANES]; 2], low: [&[u32; LANES]; 2], lanes: usize) {
    let (cosines, sines) = z.split_at_mut(LANES);
    let (cosines, sines) = (&mut cosines[..lanes], &mut sines[..lanes]);
    let [radii, angles] = high.map(|words| &words[..lanes]);
    let [low_radii, low_angles] = low.map(|words| &words[..lanes]);
    for i in 0..lanes {
        let (radius, angle) = ([radii[i], low_radii[i]], [angles[i], low_angles[i]]);
        (cosines[i], sines[i]) = W::normal_pair(radius, angle);
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
        self.fill(self.draw, places, z);
    }

    fn part(&self) -> Option<Self> {
        Some(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, Keyed, Keys, NOISE_BLOCK};
    use crate::state::{Wide, simd};

    fn same_bits<W: Wide>() {
        let keys = Keys::Batch { seed: 9, first: 5 };
        let mut keyed = Keyed::new(&keys, 0, 1 << 20);
        // More than a million numbers.
        for number in 0..5_000 {
            let mut bits = |arch| {
                let block = Block {
                    arch,
                    draw: 77,
                    key: [number, 2],
                    counters: std::array::from_fn(|i| i as u32 * number),
                    numbers: std::array::from_fn(|i| i as u32 + number),
                    length: NOISE_BLOCK,
                };
                let mut z = [W::of(0.0); NOISE_BLOCK];
                block.fill(&mut z, &mut keyed);
                z.map(|z| z.get().to_bits())
            };
            let all: Vec<_> = simd::all().into_iter().map(&mut bits).collect();
            assert!(all.iter().all(|bits| *bits == all[0]), "block {number}");
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        same_bits::<f32>();
        same_bits::<f64>();
    }
}
