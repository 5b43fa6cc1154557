//! Sweeps that leave the old arrays as they are, for tensors whose memory somebody else may hold.

use smallvec::SmallVec;

#[cfg(feature = "rayon")]
use super::threads;
use super::{
    Assignment, NOISE_BLOCK, NoiseBlocks, Real,
    slices::{Slices, run},
};

/// Elements that are taken at a time: a multiple of the blocks of noise, and few enough to stay in the nearest
/// cache from the copy to the end of the assignments.
const PART: usize = 8 * NOISE_BLOCK;

/// Coefficients, each with the number of its array.
type TermList = SmallVec<[(f64, usize); 6]>;

/// What a sweep has made.
pub(crate) struct Anew<A> {
    /// The new arrays, each with the number of the one that it replaces.
    pub(crate) arrays: SmallVec<[(usize, Vec<A>); 3]>,
    /// Whether the first array held only finite numbers, or is not watched.
    pub(crate) finite: bool,
}

/// The assignments, with the results in new arrays: those in `old` come first in the count of an assignment, then
/// the fixed ones.
///
/// One pass, in which a target is copied part by part into its new place, where the assignments find it in the
/// nearest cache.
pub(crate) fn sweep_anew<A: Real, N: NoiseBlocks<A::Wide>>(
    old: &[&[A]],
    fixed: &[&[A]],
    assignments: &[Assignment<'_>],
    watched: bool,
    noise: &mut N,
) -> Anew<A> {
    let all: SmallVec<[&[A]; 8]> = old.iter().chain(fixed).copied().collect();
    let is_target = |i: usize| assignments.iter().any(|a| a.target == i);
    let targets: SmallVec<[usize; 3]> = (0..old.len()).filter(|i| is_target(*i)).collect();
    let others: SmallVec<[usize; 8]> = (0..all.len()).filter(|i| !targets.contains(i)).collect();
    let place = |i: usize| {
        let target = targets.iter().position(|target| *target == i);
        let other = || others.iter().position(|other| *other == i);
        target
            .or_else(|| Some(targets.len() + other()?))
            .unwrap_or(usize::MAX)
    };
    let terms: SmallVec<[TermList; 3]> = assignments
        .iter()
        .map(|a| a.terms.iter().map(|(c, i)| (*c, place(*i))).collect())
        .collect();
    let moved: SmallVec<[Assignment<'_>; 3]> = assignments
        .iter()
        .zip(&terms)
        .map(|(a, terms)| Assignment {
            target: place(a.target),
            terms,
            ..*a
        })
        .collect();
    // The first of the changing arrays is watched by the kernel where it is a target, and here where it is not.
    let first = targets.first() == Some(&0);
    let length = old.first().map_or(0, |array| array.len());
    let fixed: SmallVec<[&[A]; 8]> = others.iter().filter_map(|i| all.get(*i).copied()).collect();
    let source = |i: usize| all.get(i).copied().unwrap_or_default();
    let mut new: SmallVec<[Vec<A>; 3]> =
        targets.iter().map(|_| Vec::with_capacity(length)).collect();
    let mut finite = true;
    #[cfg(feature = "rayon")]
    if threads::worth(length, all.len(), N::SILENT) {
        for (new, target) in new.iter_mut().zip(&targets) {
            new.extend_from_slice(source(*target));
        }
        if watched && !first {
            finite = A::all_finite(source(0));
        }
        let slices = Slices {
            changing: new.iter_mut().map(Vec::as_mut_slice).collect(),
            fixed: fixed.iter().map(|array| &array[..]).collect(),
            first: 0,
            all: length,
        };
        finite &= threads::sweep(slices, &moved, watched && first, noise);
        let arrays = targets.into_iter().zip(new).collect();
        return Anew { arrays, finite };
    }
    // What the first assignment of a target forgets need not be copied.
    let forgets = |target: usize| {
        let of_target = assignments.iter().position(|a| a.target == target);
        let read_before = |until: usize| {
            let mut before = assignments.iter().take(until);
            before.any(|a| a.terms.iter().any(|(_, i)| *i == target))
        };
        let watches = watched && target == 0;
        of_target.is_some_and(|at| assignments[at].forgets() && !read_before(at)) && !watches
    };
    let forgotten: SmallVec<[bool; 3]> = targets.iter().map(|target| forgets(*target)).collect();
    let mut start = 0;
    while start < length {
        let part = start..end_of_part(start, length, noise);
        for ((new, target), forgotten) in new.iter_mut().zip(&targets).zip(&forgotten) {
            match forgotten {
                true => new.resize(part.end, A::of(0.0)),
                false => new.extend_from_slice(&source(*target)[part.clone()]),
            }
        }
        if watched && !first {
            finite &= A::all_finite(&source(0)[part.clone()]);
        }
        let slices = Slices {
            changing: new.iter_mut().map(|new| &mut new[part.clone()]).collect(),
            fixed: fixed.iter().map(|array| &array[part.clone()]).collect(),
            first: start,
            all: length,
        };
        finite &= run(slices, &moved, watched && first, noise);
        start = part.end;
    }
    let arrays = targets.into_iter().zip(new).collect();
    Anew { arrays, finite }
}

/// Where the part that begins at `start` ends: where a block of noise does.
fn end_of_part<W: super::Wide, N: NoiseBlocks<W>>(start: usize, length: usize, noise: &N) -> usize {
    if N::SILENT {
        return (start + PART).min(length);
    }
    let mut end = start;
    while end < length && end < start + PART {
        end = noise.end(end).min(length);
    }
    end
}

#[cfg(test)]
mod tests {
    use ndarray::Array1;

    use super::{super::slices::Silent, *};
    use crate::State;

    #[test]
    fn new_arrays_have_the_bits_of_those_in_place() {
        let numbers = |k: u64, n: usize| {
            Array1::from_shape_fn(n, |i| {
                (((i as u64 + 31 * k) * 2_654_435_761) % 1_000_003) as f32 / 3e5
            })
        };
        // The last is large enough for more than one thread.
        for n in [0, 1, 7, 2047, 2048, 2049, 10_000, 3_000_000] {
            let (x, y, z) = (numbers(1, n), numbers(2, n), numbers(3, n));
            // By item: with old values forgotten by all, by some, and by none.
            let each = |c: f32| {
                (0..n)
                    .map(|i| f64::from(c) * (i % 3) as f64)
                    .collect::<Vec<_>>()
            };
            let (none, some, all) = (vec![0.0; n], each(0.5), vec![0.25; n]);
            let forgotten: [&[f64]; 2] = [&none, &some];
            let (partly, kept): ([&[f64]; 2], [&[f64]; 2]) = ([&some, &all], [&all, &some]);
            let lists: [&[Assignment<'_>]; 7] = [
                &[
                    Assignment::new(0, 0.5, &[(2.0, 1), (-0.25, 2)]),
                    Assignment::new(1, 0.9, &[(1.5, 0), (0.5, 2)]),
                ],
                &[Assignment::new(1, 0.0, &[(1.5, 0), (0.5, 2)])],
                &[
                    Assignment::new(0, 0.0, &[(1.5, 1)]).with_bounds(-1.0, 1.0),
                    Assignment::new(1, 0.0, &[(1.0, 0)]),
                    Assignment::new(0, -1.0, &[(1.0, 1), (3.0, 2)]),
                ],
                // Read before it is forgotten.
                &[
                    Assignment::new(0, 0.5, &[(1.0, 1)]),
                    Assignment::new(1, 0.0, &[(1.0, 2)]),
                ],
                &[Assignment::new(1, 1.0, &[(1.0, 2)]).with_items(&forgotten)],
                &[Assignment::new(1, 1.0, &[(1.0, 2)]).with_items(&partly)],
                &[Assignment::new(1, 1.0, &[(1.0, 2)]).with_items(&kept)],
            ];
            for (i, list) in lists.iter().enumerate() {
                for (bad, watched) in [(false, true), (true, true), (true, false)] {
                    let (mut a, mut b) = (x.clone(), y.clone());
                    if bad && n > 0 {
                        a[n / 2] = f32::NAN;
                    }
                    let slices = [&a, &b].map(|array| array.as_slice().unwrap());
                    let fixed = [z.as_slice().unwrap()];
                    let anew = sweep_anew(&slices, &fixed, list, watched, &mut Silent);
                    let mut found = [a.to_vec(), b.to_vec()];
                    for (target, array) in anew.arrays {
                        found[target] = array;
                    }
                    let finite = State::sweep(&mut [&mut a, &mut b], &[&z], list).unwrap();
                    assert_eq!(anew.finite, finite || !watched, "{n} elements, list {i}");
                    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    for (found, expected) in found.iter().zip([&a, &b]) {
                        let expected = bits(expected.as_slice().unwrap());
                        assert_eq!(bits(found), expected, "{n} elements, list {i}");
                    }
                }
            }
        }
    }
}
