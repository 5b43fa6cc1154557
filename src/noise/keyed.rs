//! The numbers of one draw of seeded noise, and which counter each of them comes from.
//!
//! A counter gives four words, and they two pairs of normals. The elements of an item are taken in
//! groups of 64 from 16 counters: the cosines of the first pairs, then their sines, then the second
//! pairs, so that every loop runs over neighbours. An item shorter than 16 has the first of the four
//! from each counter. So a longer item begins like a shorter one.

use std::ops::Range;

use super::{Stream, philox::philox, seeded::Keys};
use crate::state::{
    NOISE_BLOCK, Wide,
    simd::{Arch, on},
};

/// Elements of a group.
const GROUP: usize = 64;
/// Counters that they come from.
const COUNTERS: usize = 16;
/// Counters of a block.
const LANES: usize = NOISE_BLOCK / GROUP * COUNTERS;
/// Sets the low words of numbers that take two apart from the high ones.
const LOW_WORDS: u64 = 1 << 62;

/// One draw for a batch whose items have this many elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keyed<'a> {
    pub(super) keys: &'a Keys,
    pub(super) draw: u64,
    pub(super) item_len: usize,
}

impl Keyed<'_> {
    fn tiny(&self) -> bool {
        self.item_len < COUNTERS
    }

    /// An element's item and its place there.
    fn item(&self, place: usize) -> (usize, usize) {
        (place / self.item_len, place % self.item_len)
    }

    /// The counters of a block, and how many there are.
    fn counters(&self, places: &Range<usize>) -> (usize, [u32; LANES], [u32; LANES]) {
        let (mut item, mut offset) = self.item(places.start);
        let (mut counters, mut items) = ([0; LANES], [0; LANES]);
        let (width, step) = if self.tiny() {
            (1, 1)
        } else {
            (COUNTERS, GROUP)
        };
        let (mut place, mut lanes) = (places.start, 0);
        let rows = counters.chunks_mut(width).zip(items.chunks_mut(width));
        for (counters, items) in rows {
            if place >= places.end {
                break;
            }
            let first = offset / step * width;
            for (i, (c, k)) in counters.iter_mut().zip(items).enumerate() {
                (*c, *k) = ((first + i) as u32, self.keys.number(item));
            }
            lanes += width;
            let length = step.min(self.item_len - offset);
            (place, offset) = (place + length, offset + length);
            if offset == self.item_len {
                (item, offset) = (item + 1, 0);
            }
        }
        (lanes, counters, items)
    }

    /// The normals of these counters: a row each for cosines and sines of both pairs.
    fn normals<W: Wide>(
        &self,
        arch: Arch,
        lanes: usize,
        counters: &[u32; LANES],
        items: &[u32; LANES],
        key: [u32; 2],
    ) -> [[W; LANES]; 4] {
        let lanes = lanes.min(LANES);
        let [mut high, mut low] = [[[0_u32; LANES]; 4]; 2];
        let mut rows = [[W::of(0.0); LANES]; 4];
        let whole = !self.tiny();
        on(
            arch,
            #[inline(always)]
            || {
                words(&mut high, lanes, counters, items, self.draw, key);
                if W::IS_DOUBLE {
                    words(&mut low, lanes, counters, items, self.draw | LOW_WORDS, key);
                }
                let [a, b, c, d] = &mut rows;
                pairs(a, b, [&high[0], &high[1]], [&low[0], &low[1]], lanes);
                if whole {
                    pairs(c, d, [&high[2], &high[3]], [&low[2], &low[3]], lanes);
                }
            },
        );
        rows
    }
}

#[inline(always)]
fn words(
    words: &mut [[u32; LANES]; 4],
    lanes: usize,
    counters: &[u32; LANES],
    items: &[u32; LANES],
    draw: u64,
    key: [u32; 2],
) {
    let [a, b, c, d] = words;
    for i in 0..lanes {
        let counter = [counters[i], items[i], draw as u32, (draw >> 32) as u32];
        [a[i], b[i], c[i], d[i]] = philox(counter, key);
    }
}

#[inline(always)]
fn pairs<W: Wide>(
    cosines: &mut [W; LANES],
    sines: &mut [W; LANES],
    high: [&[u32; LANES]; 2],
    low: [&[u32; LANES]; 2],
    lanes: usize,
) {
    for i in 0..lanes {
        let (radius, angle) = ([high[0][i], low[0][i]], [high[1][i], low[1][i]]);
        (cosines[i], sines[i]) = W::normal_pair(radius, angle);
    }
}

impl<W: Wide> Stream<W> for Keyed<'_> {
    type Part = Self;

    /// Four groups on; items with keys of their own have blocks of their own.
    fn end(&self, start: usize) -> usize {
        let (item, offset) = self.item(start);
        if let Keys::Items(_) = self.keys {
            return start + NOISE_BLOCK.min(self.item_len - offset);
        }
        if self.tiny() {
            return start + LANES;
        }
        let groups = self.item_len.div_ceil(GROUP);
        let next = item * groups + offset / GROUP + NOISE_BLOCK / GROUP;
        next / groups * self.item_len + next % groups * GROUP
    }

    fn begin(&self, at: usize) -> usize {
        let (_, offset) = self.item(at);
        at - if self.tiny() { offset } else { offset % GROUP }
    }

    fn fill(&mut self, places: Range<usize>, z: &mut [W]) {
        let (lanes, counters, items) = self.counters(&places);
        let (item, mut offset) = self.item(places.start);
        let rows = self.normals::<W>(Arch::new(), lanes, &counters, &items, self.keys.key(item));
        if self.tiny() {
            z.iter_mut()
                .zip(&rows[0])
                .for_each(|(z, normal)| *z = *normal);
            return;
        }
        let mut rest = z;
        for lane in (0..lanes).step_by(COUNTERS) {
            let length = GROUP.min(self.item_len - offset).min(rest.len());
            let (group, after) = rest.split_at_mut(length);
            for (part, row) in group.chunks_mut(COUNTERS).zip(&rows) {
                let row = &row[lane..lane + COUNTERS];
                match (part.first_chunk_mut::<COUNTERS>(), row.first_chunk()) {
                    // Of known size, so that it is a few moves.
                    (Some(part), Some(row)) => *part = *row,
                    _ => part
                        .iter_mut()
                        .zip(row)
                        .for_each(|(z, normal)| *z = *normal),
                }
            }
            offset = if offset + length == self.item_len {
                0
            } else {
                offset + length
            };
            rest = after;
        }
    }

    fn part(&self) -> Option<Self> {
        Some(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::{Keyed, Keys, LANES};
    use crate::state::{Wide, simd};

    fn same_bits<W: Wide>() {
        let keys = Keys::Batch { seed: 9, first: 5 };
        for item_len in [3, 1 << 20] {
            let keyed = Keyed {
                keys: &keys,
                draw: 77,
                item_len,
            };
            // More than a million numbers.
            for block in 0..5_000 {
                let counters = std::array::from_fn(|i| (LANES * block + i) as u32);
                let items = std::array::from_fn(|i| (block + i) as u32);
                let bits = |arch| {
                    let rows = keyed.normals::<W>(arch, LANES, &counters, &items, [1, 2]);
                    rows.map(|row| row.map(|z| z.get().to_bits()))
                };
                let all: Vec<_> = simd::all().into_iter().map(bits).collect();
                assert!(all.iter().all(|bits| *bits == all[0]), "block {block}");
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        same_bits::<f32>();
        same_bits::<f64>();
    }
}
