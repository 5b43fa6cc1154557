//! The one loop over elements that every update goes through.

#[cfg(feature = "half")]
use super::Real;
use super::{
    Wide,
    simd::{Arch, on, vectorized},
};

/// `y <- own * y + sum of c * t + scale * z` over slices of equal length, `own = 0` overwriting.
///
/// Elements are summed from left to right, whatever the number of terms, so that the result has the
/// same bits as one term after the other.
pub(super) fn combine<W: Wide>(
    y: &mut [W],
    own: f64,
    terms: &[(f64, &[W])],
    noise: Option<(f64, &[W])>,
) {
    combine_on(Arch::new(), y, own, terms, noise);
}

fn combine_on<W: Wide>(
    arch: Arch,
    y: &mut [W],
    own: f64,
    terms: &[(f64, &[W])],
    noise: Option<(f64, &[W])>,
) {
    on(
        arch,
        #[inline(always)]
        || {
            // The noise is the last term of the last pass.
            let fits = terms.len() < ARITY || noise.is_none();
            match (fits, noise) {
                (true, Some(z)) => match terms {
                    [] => pass(y, own, [z]),
                    [a] => pass(y, own, [*a, z]),
                    [a, b] => pass(y, own, [*a, *b, z]),
                    [a, b, c] => pass(y, own, [*a, *b, *c, z]),
                    [a, b, c, d, ..] => pass(y, own, [*a, *b, *c, *d, z]),
                },
                _ => {
                    passes(y, own, terms);
                    if let Some(z) = noise {
                        pass(y, 1.0, [z]);
                    }
                }
            }
        },
    );
}

/// The most terms that one pass over the elements takes.
const ARITY: usize = 5;

#[inline(always)]
fn passes<W: Wide>(y: &mut [W], own: f64, terms: &[(f64, &[W])]) {
    if terms.is_empty() {
        pass(y, own, []);
    }
    for (i, terms) in terms.chunks(ARITY).enumerate() {
        let own = if i == 0 { own } else { 1.0 };
        match terms {
            [] => {}
            [a] => pass(y, own, [*a]),
            [a, b] => pass(y, own, [*a, *b]),
            [a, b, c] => pass(y, own, [*a, *b, *c]),
            [a, b, c, d] => pass(y, own, [*a, *b, *c, *d]),
            [a, b, c, d, e, ..] => pass(y, own, [*a, *b, *c, *d, *e]),
        }
    }
}

#[inline(always)]
fn pass<W: Wide, const N: usize>(y: &mut [W], own: f64, terms: [(f64, &[W]); N]) {
    let own = W::of(own);
    let length = terms
        .iter()
        .fold(y.len(), |length, (_, term)| length.min(term.len()));
    let y = &mut y[..length];
    let coefficients = terms.map(|(coefficient, _)| W::of(coefficient));
    let terms = terms.map(|(_, term)| &term[..length]);
    if own == W::of(0.0) {
        for (i, value) in y.iter_mut().enumerate() {
            let mut sum = W::of(0.0);
            for k in 0..N {
                sum = sum + coefficients[k] * terms[k][i];
            }
            *value = sum;
        }
    } else {
        for (i, value) in y.iter_mut().enumerate() {
            let mut sum = own * *value;
            for k in 0..N {
                sum = sum + coefficients[k] * terms[k][i];
            }
            *value = sum;
        }
    }
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
) {
    const BLOCK: usize = 256;
    let (mut sum, mut wide) = ([0.0; BLOCK], [0.0; BLOCK]);
    for (k, y) in y.chunks_mut(BLOCK).enumerate() {
        let range = k * BLOCK..k * BLOCK + y.len();
        let (sum, wide) = (&mut sum[..y.len()], &mut wide[..y.len()]);
        widen(y, sum);
        combine(sum, own, &[], None);
        for (c, term) in terms {
            widen(&term[range.clone()], wide);
            combine(sum, 1.0, &[(*c, wide)], None);
        }
        if let Some((scale, z)) = noise {
            combine(sum, 1.0, &[(scale, &z[range])], None);
        }
        narrow(sum, y);
    }
}

/// Whether all values pass; without an early exit, so that the loop vectorises.
#[inline(always)]
pub(super) fn all_finite<A: Copy>(values: &[A], finite: impl Fn(A) -> bool) -> bool {
    let mut all = true;
    vectorized(
        #[inline(always)]
        || all = values.iter().fold(true, |all, &value| all & finite(value)),
    );
    all
}

#[cfg(test)]
mod tests {
    use super::{Wide, combine_on};
    use crate::state::simd;

    fn same_bits<W: Wide>() {
        let numbers = |k: usize| -> Vec<W> {
            (0..1003_usize)
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
                        combine_on(arch, &mut y, own, &terms, noise);
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
