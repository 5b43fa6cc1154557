//! The one loop over elements that every update goes through.

use super::Real;

/// `y <- own * y + sum of c * t` over slices of equal length, `own = 0` overwriting.
///
/// Elements are summed from left to right, whatever the number of terms, so that the result has the
/// same bits as one term after the other.
pub(super) fn combine<A: Real>(y: &mut [A], own: f64, terms: &[(f64, &[A])]) {
    match terms {
        [] => pass(y, own, []),
        [a] => pass(y, own, [*a]),
        [a, b] => pass(y, own, [*a, *b]),
        [a, b, c] => pass(y, own, [*a, *b, *c]),
        [a, b, c, d] => pass(y, own, [*a, *b, *c, *d]),
        [a, b, c, d, rest @ ..] => {
            pass(y, own, [*a, *b, *c, *d]);
            combine(y, 1.0, rest);
        }
    }
}

fn pass<A: Real, const N: usize>(y: &mut [A], own: f64, terms: [(f64, &[A]); N]) {
    let own = A::of(own);
    let length = terms
        .iter()
        .fold(y.len(), |length, (_, term)| length.min(term.len()));
    let y = &mut y[..length];
    let coefficients = terms.map(|(coefficient, _)| A::of(coefficient));
    let terms = terms.map(|(_, term)| &term[..length]);
    if own == A::of(0.0) {
        for (i, value) in y.iter_mut().enumerate() {
            let mut sum = A::of(0.0);
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
