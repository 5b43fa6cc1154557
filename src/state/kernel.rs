//! The one loop over elements that every update goes through.

use super::{Real, Wide};
use crate::simd::{Arch, on, vectorized};

/// `y <- own * y + sum of c * t + scale * z` over slices of equal length, `own = 0` overwriting; `true`
/// where the old `y` held only finite numbers, or is not watched.
///
/// Elements are summed from left to right, whatever the number of terms, so that the result has the
/// same bits as one term after the other.
pub(super) fn combine<W: Wide>(
    y: &mut [W],
    own: f64,
    terms: &[(f64, &[W])],
    noise: Option<(f64, &[W])>,
    watched: bool,
) -> bool {
    combine_on(Arch::new(), y, own, terms, noise, watched)
}

fn combine_on<W: Wide>(
    arch: Arch,
    y: &mut [W],
    own: f64,
    terms: &[(f64, &[W])],
    noise: Option<(f64, &[W])>,
    watched: bool,
) -> bool {
    let mut finite = true;
    on(
        arch,
        #[inline(always)]
        || {
            // Noise is the last term.
            let count = terms.len() + usize::from(noise.is_some());
            let term = |k: usize| terms.get(k).copied().or(noise).unwrap_or((0.0, &[]));
            let mut first = First { own, watched };
            let mut done = 0;
            while {
                finite &= match count - done {
                    0 => pass::<W, 0>(y, first, done, term),
                    1 => pass::<W, 1>(y, first, done, term),
                    2 => pass::<W, 2>(y, first, done, term),
                    3 => pass::<W, 3>(y, first, done, term),
                    4 => pass::<W, 4>(y, first, done, term),
                    _ => pass::<W, ARITY>(y, first, done, term),
                };
                done += ARITY;
                first = First::AGAIN;
                done < count
            } {}
        },
    );
    finite
}

/// The most terms that one pass over the elements takes.
const ARITY: usize = 5;

/// What a pass does with the old elements.
#[derive(Clone, Copy)]
struct First {
    own: f64,
    watched: bool,
}

impl First {
    /// Adds to the sum of the pass before.
    const AGAIN: Self = Self {
        own: 1.0,
        watched: false,
    };
}

/// One pass over the elements, with `N` terms from number `from` on.
#[inline(always)]
fn pass<'a, W: Wide, const N: usize>(
    y: &mut [W],
    first: First,
    from: usize,
    term: impl Fn(usize) -> (f64, &'a [W]),
) -> bool {
    let own = W::of(first.own);
    let length = y.len();
    let (mut coefficients, mut terms) = ([W::of(0.0); N], [&[][..]; N]);
    for k in 0..N {
        let (coefficient, slice) = term(from + k);
        // Slices of one length, as the compiler can see.
        let Some(slice) = slice.get(..length) else {
            return true;
        };
        (coefficients[k], terms[k]) = (W::of(coefficient), slice);
    }
    if own == W::of(0.0) {
        let finite = !first.watched || W::all_finite(y);
        for (i, value) in y.iter_mut().enumerate() {
            *value = sum(W::of(0.0), &coefficients, &terms, i);
        }
        finite
    } else if first.watched {
        // A whole word, of which a vector has as many as of numbers.
        let mut bad = 0_u32;
        for (i, value) in y.iter_mut().enumerate() {
            bad |= u32::from(!value.is_number());
            *value = sum(own * *value, &coefficients, &terms, i);
        }
        bad == 0
    } else {
        for (i, value) in y.iter_mut().enumerate() {
            *value = sum(own * *value, &coefficients, &terms, i);
        }
        true
    }
}

#[inline(always)]
fn sum<W: Wide, const N: usize>(first: W, c: &[W; N], terms: &[&[W]; N], i: usize) -> W {
    let mut sum = first;
    for k in 0..N {
        sum = sum + c[k] * terms[k][i];
    }
    sum
}

/// [`combine`] of elements kept in half precision: block by block in f32, rounded once.
#[cfg(feature = "half")]
pub(super) fn combine_widened<A: Real<Wide = f32>>(
    y: &mut [A],
    own: f64,
    terms: &[(f64, &[A])],
    noise: Option<(f64, &[f32])>,
    widen: impl Fn(&[A], &mut [f32]),
    narrow: impl Fn(&[f32], &mut [A]),
    watched: bool,
) -> bool {
    const BLOCK: usize = 256;
    let (mut sum, mut wide) = ([0.0; BLOCK], [0.0; BLOCK]);
    let mut finite = true;
    for (k, y) in y.chunks_mut(BLOCK).enumerate() {
        let range = k * BLOCK..k * BLOCK + y.len();
        let (sum, wide) = (&mut sum[..y.len()], &mut wide[..y.len()]);
        widen(y, sum);
        finite &= combine(sum, own, &[], None, watched);
        for (c, term) in terms {
            widen(&term[range.clone()], wide);
            combine(sum, 1.0, &[(*c, wide)], None, false);
        }
        if let Some((scale, z)) = noise {
            combine(sum, 1.0, &[(scale, &z[range])], None, false);
        }
        narrow(sum, y);
    }
    finite
}

/// `y <- min(max(y, low), high)`.
pub(super) fn clamp<A: Real>(y: &mut [A], low: f64, high: f64) {
    let (low, high) = (A::of(low), A::of(high));
    vectorized(
        #[inline(always)]
        || {
            for y in &mut *y {
                // Comparisons rather than min and max, which would turn a NaN into a bound.
                let raised = if *y < low { low } else { *y };
                *y = if raised > high { high } else { raised };
            }
        },
    );
}

/// Whether all values pass; without an early exit, so that the loop vectorises.
#[inline(always)]
pub(super) fn all_finite<A: Real>(values: &[A]) -> bool {
    let mut all = true;
    vectorized(
        #[inline(always)]
        || {
            all = values
                .iter()
                .fold(true, |all, value| all & value.is_number())
        },
    );
    all
}

#[cfg(test)]
mod tests {
    use super::{Wide, combine_on};
    use crate::simd;

    fn same_bits<W: Wide>() {
        let numbers = |k: u64| -> Vec<W> {
            (0..1003_u64)
                .map(|i| W::of((((i + 7 * k) * 2_654_435_761) % 1_000_003) as f64 / 3e5 - 1.6))
                .collect()
        };
        let arrays: Vec<_> = (0..9).map(numbers).collect();
        for count in 0..8 {
            for own in [0.0, 0.7] {
                for noise in [None, Some((0.3, arrays[8].as_slice()))] {
                    let terms: Vec<_> = (1..=count)
                        .map(|k| (0.1 * k as f64 - 0.33, arrays[k].as_slice()))
                        .collect();
                    let found = simd::all().into_iter().map(|arch| {
                        let mut y = arrays[0].clone();
                        assert!(combine_on(arch, &mut y, own, &terms, noise, count % 2 == 0));
                        y.into_iter().map(|y| y.get().to_bits()).collect::<Vec<_>>()
                    });
                    // One sum after the other, as slowly as it gets.
                    let sum = |i: usize| {
                        let first = if own == 0.0 {
                            W::of(0.0)
                        } else {
                            W::of(own) * arrays[0][i]
                        };
                        let sum = terms
                            .iter()
                            .chain(&noise)
                            .fold(first, |s, (c, t)| s + W::of(*c) * t[i]);
                        sum.get().to_bits()
                    };
                    let plain: Vec<_> = (0..1003).map(sum).collect();
                    for (k, found) in found.enumerate() {
                        assert_eq!(
                            found, plain,
                            "{count} terms, own {own}, instruction set {k}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_and_a_plain_loop_give_the_same_bits() {
        same_bits::<f32>();
        same_bits::<f64>();
    }
}
