//! Least squares whose columns are states.

use ndarray::Array2;

use crate::{Error, dense::Svd, state::State};

/// The part of a column of length 1 outside the others that is only rounding.
const ROUNDING: f64 = 1e-14;
/// Singular values that are less of the largest than this are rounding.
const RANK: f64 = 1e-13;

/// The inner product of two states, each item counted by its weight.
pub(super) fn product<V: State>(a: &V, b: &V, weights: &[f64]) -> Result<f64, Error> {
    let items = a.dot_items(b)?;
    Ok(items
        .iter()
        .zip(weights)
        .map(|(dot, weight)| weight * dot)
        .sum())
}

/// `min |sum of d_j column_j - right|^2 + ridge sum of (d_j |column_j|)^2`, for any ridge.
///
/// The columns are made orthogonal as states (Gram and Schmidt, each twice): their inner products alone
/// would square the condition.
pub(super) struct Regression {
    lengths: Vec<f64>,
    /// Of the columns in their basis.
    svd: Option<Svd>,
    /// The right side in the basis.
    right: Vec<f64>,
}

impl Regression {
    pub(super) fn new<V: State>(
        columns: Vec<V>,
        right: &V,
        weights: &[f64],
    ) -> Result<Self, Error> {
        let (mut basis, mut triangle) = (Vec::<V>::new(), Vec::new());
        let mut lengths = Vec::with_capacity(columns.len());
        for mut column in columns {
            let length = product(&column, &column, weights)?.sqrt();
            column.combine(inverse(length), &[])?;
            let mut along = vec![0.0; basis.len()];
            for _ in 0..2 {
                for (direction, along) in basis.iter().zip(&mut along) {
                    let part = product(direction, &column, weights)?;
                    column.combine(1.0, &[(-part, direction)])?;
                    *along += part;
                }
            }
            let rest = product(&column, &column, weights)?.sqrt();
            let rest = if rest > ROUNDING { rest } else { 0.0 };
            column.combine(inverse(rest), &[])?;
            along.push(rest);
            triangle.push(along);
            lengths.push(length);
            basis.push(column);
        }
        let right = basis
            .iter()
            .map(|direction| product(direction, right, weights));
        let right: Vec<_> = right.collect::<Result<_, _>>()?;
        let element = |(i, j): (usize, usize)| {
            let column: Option<&Vec<f64>> = triangle.get(j);
            column.and_then(|column| column.get(i)).copied()
        };
        let matrix =
            Array2::from_shape_fn((right.len(), right.len()), |at| element(at).unwrap_or(0.0));
        let known = right.iter().all(|number| number.is_finite());
        Ok(Self {
            lengths,
            svd: known.then(|| Svd::new(&matrix)).flatten(),
            right,
        })
    }

    /// The `d`; zeros where there is nothing to be known of it.
    pub(super) fn solve(&self, ridge: f64) -> Vec<f64> {
        let Some(svd) = &self.svd else {
            return vec![0.0; self.lengths.len()];
        };
        let solution = svd.solve(&self.right, ridge, RANK * svd.largest());
        let scaled = solution.into_iter().zip(&self.lengths);
        let solution: Vec<_> = scaled.map(|(d, length)| d * inverse(*length)).collect();
        match solution.iter().all(|d| d.is_finite()) {
            true => solution,
            false => vec![0.0; self.lengths.len()],
        }
    }

    /// Of the columns, each of length 1.
    pub(super) fn condition(&self) -> f64 {
        self.svd.as_ref().map_or(1.0, |svd| svd.condition(RANK))
    }
}

/// 0 for 0: a column without length stays one.
fn inverse(length: f64) -> f64 {
    if length > 0.0 { length.recip() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    /// By the normal equations of two columns, with weights: `[[a, b], [b, c]] d = [e, f]`.
    #[test]
    fn the_solution_is_that_of_the_normal_equations() {
        let columns = vec![
            array![[1.0, 2.0], [0.5, -1.0]],
            array![[0.3, -1.0], [2.0, 0.7]],
        ];
        let (right, weights) = (array![[1.0, 0.0], [-2.0, 3.0]], [1.0, 0.5]);
        let dot = |x, y| product(x, y, &weights).unwrap();
        let [x, y] = [&columns[0], &columns[1]];
        for ridge in [0.0, 0.1] {
            let (a, b, c) = (
                dot(x, x) * (1.0 + ridge),
                dot(x, y),
                dot(y, y) * (1.0 + ridge),
            );
            let (e, f) = (dot(x, &right), dot(y, &right));
            let determinant = a * c - b * b;
            let expected = [(c * e - b * f) / determinant, (a * f - b * e) / determinant];
            let found = Regression::new(columns.clone(), &right, &weights).unwrap();
            for (d, expected) in found.solve(ridge).iter().zip(expected) {
                assert!((d - expected).abs() < 1e-14, "{d} for {expected}");
            }
        }
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        let none = ndarray::Array2::<f64>::zeros((0, 3));
        let found = Regression::new(vec![none.clone(); 2], &none, &[]).unwrap();
        assert_eq!(found.solve(0.0), [0.0, 0.0]);
        let zero = array![[0.0, 0.0]];
        let column = array![[1.0, 1.0]];
        let found = Regression::new(vec![zero, column.clone()], &column, &[1.0]).unwrap();
        let solution = found.solve(0.0);
        assert!(solution[0] == 0.0 && (solution[1] - 1.0).abs() < 1e-15);
        assert_eq!(found.condition(), f64::INFINITY);
    }
}
