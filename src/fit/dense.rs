//! Small dense systems. No other file of this module knows the library behind them.

use nalgebra::{DMatrix, DVector};

/// Singular values that are less of the largest than this are rounding.
const RANK: f64 = 1e-13;

/// An upper triangular matrix decomposed, with the right side of a system.
pub(super) struct Triangle {
    /// Right singular vectors as rows.
    directions: DMatrix<f64>,
    singular: DVector<f64>,
    /// The right side along the left singular vectors.
    right: DVector<f64>,
}

impl Triangle {
    /// Of columns, each down to its diagonal; `None` without columns, and where a number is none.
    pub(super) fn new(columns: &[Vec<f64>], right: &[f64]) -> Option<Self> {
        let size = columns.len();
        let element = |i: usize, j: usize| columns.get(j).and_then(|column| column.get(i));
        let matrix = DMatrix::from_fn(size, size, |i, j| element(i, j).copied().unwrap_or(0.0));
        let all = matrix.iter().chain(right);
        // A decomposition would look for what is no number for ever.
        if size == 0 || right.len() != size || all.clone().any(|number| !number.is_finite()) {
            return None;
        }
        let svd = matrix.svd(true, true);
        Some(Self {
            right: svd.u?.transpose() * DVector::from_column_slice(right),
            directions: svd.v_t?,
            singular: svd.singular_values,
        })
    }

    /// The `d` with the least `|A d - b|^2 + ridge |d|^2`, and of several the shortest.
    pub(super) fn solve(&self, ridge: f64) -> Vec<f64> {
        let least = RANK * self.singular.max();
        let along = self.singular.zip_map(&self.right, |s, b| match s > least {
            true => s * b / (s * s + ridge),
            false => 0.0,
        });
        self.directions.tr_mul(&along).iter().copied().collect()
    }

    /// The largest singular value by the smallest, infinite where a column is one of the others.
    pub(super) fn condition(&self) -> f64 {
        let (most, least) = (self.singular.max(), self.singular.min());
        match least > RANK * most {
            true => most / least,
            false => f64::INFINITY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Triangle;

    #[test]
    fn a_ridge_shortens_and_a_dependent_column_is_shared() {
        // [[2, 1], [0, 1]] d = [4, 2].
        let system = Triangle::new(&[vec![2.0], vec![1.0, 1.0]], &[4.0, 2.0]).unwrap();
        let close = |found: Vec<f64>, expected: [f64; 2]| {
            let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
            assert!(off.fold(0.0, f64::max) < 1e-14, "{found:?}");
        };
        close(system.solve(0.0), [1.0, 2.0]);
        // (A^T A + I) d = A^T b: [[5, 2], [2, 3]] d = [8, 6].
        close(system.solve(1.0), [12.0 / 11.0, 14.0 / 11.0]);
        // The condition of [[2, 1], [0, 1]] is (3 + sqrt 5) / 2.
        assert!((system.condition() - (3.0 + 5_f64.sqrt()) / 2.0).abs() < 1e-13);
        let twice = Triangle::new(&[vec![1.0], vec![1.0, 0.0]], &[3.0, 0.0]).unwrap();
        close(twice.solve(0.0), [1.5, 1.5]);
        assert_eq!(twice.condition(), f64::INFINITY);
        assert!(Triangle::new(&[], &[]).is_none());
        assert!(Triangle::new(&[vec![f64::NAN]], &[1.0]).is_none());
    }
}
