//! Small dense systems.
//!
//! By rotations of Jacobi, which find singular values as accurately as the columns give them, and by Cholesky's
//! decomposition: a page, where a library of linear algebra is a fifth of the time to build this crate.
//!
//! Source: Jacobi's Method is More Accurate than QR, Demmel, Veselić, 1992.

use ndarray::{Array1, Array2, Axis};

use crate::simd::{sum, vectorized};

/// More than any matrix needs: the rotations converge quadratically, and double precision takes six to ten sweeps.
const SWEEPS: usize = 60;
/// The cosine between two columns that is only rounding.
const ROUNDING: f64 = 4.0 * f64::EPSILON;

/// `A V = U S`: a matrix whose columns were rotated until they are orthogonal.
pub(crate) struct Svd {
    /// The columns of `U S` as rows.
    images: Array2<f64>,
    /// The columns of `V` as rows.
    pub(crate) directions: Array2<f64>,
    /// Lengths of the images, in no order.
    pub(crate) singular: Array1<f64>,
}

impl Svd {
    /// `None` without elements, and where one of them is no finite number.
    pub(crate) fn new(matrix: &Array2<f64>) -> Option<Self> {
        let (height, width) = matrix.dim();
        let most = matrix.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        if matrix.is_empty() || !matrix.iter().all(|x| x.is_finite()) {
            return None;
        }
        // By a power of two, so that no square leaves the range.
        let unit = f64::from_bits(most.to_bits() & 0x7ff0_0000_0000_0000).max(f64::MIN_POSITIVE);
        // A column, and what the rotations have made of the unit vector of its number.
        let mut rows: Vec<Vec<f64>> = (0..width)
            .map(|k| {
                let unit_vector = (0..width).map(|i| f64::from(u8::from(i == k)));
                let column = matrix.column(k);
                column.iter().map(|x| x / unit).chain(unit_vector).collect()
            })
            .collect();
        for _ in 0..SWEEPS {
            let mut done = true;
            for i in 1..width {
                let (before, rest) = rows.split_at_mut(i);
                let Some(row) = rest.first_mut() else { break };
                for other in before {
                    done &= !make_orthogonal(other, row, height);
                }
            }
            if done {
                break;
            }
        }
        let images = Array2::from_shape_fn((width, height), |(k, i)| rows[k][i] * unit);
        let directions = Array2::from_shape_fn((width, width), |(k, i)| rows[k][height + i]);
        let length = |row: &Vec<f64>| dot(&row[..height], &row[..height]).sqrt() * unit;
        Some(Self {
            images,
            directions,
            singular: rows.iter().map(length).collect(),
        })
    }

    /// The largest singular value.
    pub(crate) fn largest(&self) -> f64 {
        self.singular.iter().fold(0.0, |most: f64, s| most.max(*s))
    }

    /// The largest singular value by the smallest, infinite where that is not above `rank` of it.
    pub(crate) fn condition(&self, rank: f64) -> f64 {
        let least = self
            .singular
            .iter()
            .fold(f64::INFINITY, |least, s| least.min(*s));
        match least > rank * self.largest() {
            true => self.largest() / least,
            false => f64::INFINITY,
        }
    }

    /// The `x` with the least `|A x - b|^2 + ridge |x|^2`, and of several the shortest; singular values up to `least`
    /// count as 0.
    pub(crate) fn solve(&self, right: &[f64], ridge: f64, least: f64) -> Array1<f64> {
        let mut x = Array1::zeros(self.directions.ncols());
        let images = self.images.rows().into_iter().zip(self.directions.rows());
        for ((image, direction), singular) in images.zip(&self.singular) {
            if *singular > least {
                // In units of the singular value, whose square may leave the range.
                let along = image
                    .iter()
                    .zip(right)
                    .map(|(a, b)| a / singular * b)
                    .sum::<f64>();
                x.scaled_add(along / (singular + ridge / singular), &direction);
            }
        }
        x
    }
}

/// Rotates two columns within their plane until they are orthogonal; `false` where they are.
fn make_orthogonal(a: &mut [f64], b: &mut [f64], height: usize) -> bool {
    let [aa, ab, bb] =
        [(&*a, &*a), (&*a, &*b), (&*b, &*b)].map(|(x, y)| dot(&x[..height], &y[..height]));
    if !(ab.abs() > ROUNDING * (aa * bb).sqrt()) {
        return false;
    }
    let ratio = (bb - aa) / (2.0 * ab);
    let tangent = (ratio.abs() + ratio.hypot(1.0)).recip().copysign(ratio);
    let cosine = tangent.hypot(1.0).recip();
    let sine = cosine * tangent;
    vectorized(
        #[inline(always)]
        || {
            for (a, b) in a.iter_mut().zip(b.iter_mut()) {
                (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
            }
        },
    );
    true
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    sum(
        [a, b],
        #[inline(always)]
        |[a, b], k| a[k] * b[k],
    )
}

/// Eigenvalues and eigenvectors, as rows, of a symmetric matrix without negative eigenvalues; `None` without
/// elements, and where one of them is no finite number.
pub(crate) fn eigen(matrix: &Array2<f64>) -> Option<(Array1<f64>, Array2<f64>)> {
    let svd = Svd::new(matrix)?;
    Some((svd.singular, svd.directions))
}

/// `A = L L^T`, with `L` lower triangular.
#[derive(Debug)]
pub(crate) struct Cholesky {
    lower: Array2<f64>,
}

impl Cholesky {
    /// Of a symmetric matrix; `None` where a pivot is not above `rounding` of its element of the diagonal.
    pub(crate) fn new(matrix: &Array2<f64>, rounding: f64) -> Option<Self> {
        let mut lower = Array2::zeros(matrix.dim());
        for i in 0..matrix.nrows() {
            for j in 0..=i {
                let pairs = lower.row(i).into_iter().zip(lower.row(j)).take(j);
                let before: f64 = pairs.map(|(x, y): (&f64, &f64)| x * y).sum();
                let rest = matrix[[i, j]] - before;
                if i == j && !(rest > rounding * matrix[[i, i]]) {
                    return None;
                }
                lower[[i, j]] = if i == j {
                    rest.sqrt()
                } else {
                    rest / lower[[j, j]]
                };
            }
        }
        Some(Self { lower })
    }

    /// `ln det L`.
    pub(crate) fn log_determinant(&self) -> f64 {
        self.lower.diag().iter().map(|pivot| pivot.ln()).sum()
    }

    /// `L^-1 B`.
    pub(crate) fn divide(&self, mut right: Array2<f64>) -> Array2<f64> {
        for (i, factors) in self.lower.rows().into_iter().enumerate() {
            let (done, mut rest) = right.view_mut().split_at(Axis(0), i);
            let mut row = rest.row_mut(0);
            for (done, factor) in done.rows().into_iter().zip(factors) {
                row.scaled_add(-factor, &done);
            }
            row /= factors[i];
        }
        right
    }

    /// `A^-1`.
    pub(crate) fn inverse(&self) -> Array2<f64> {
        self.solve(Array2::eye(self.lower.nrows()))
    }

    /// `A^-1 B`.
    pub(crate) fn solve(&self, right: Array2<f64>) -> Array2<f64> {
        let mut right = self.divide(right);
        for (i, factors) in self.lower.columns().into_iter().enumerate().rev() {
            let (mut before, done) = right.view_mut().split_at(Axis(0), i + 1);
            let mut row = before.row_mut(i);
            for (done, factor) in done.rows().into_iter().zip(factors.iter().skip(i + 1)) {
                row.scaled_add(-factor, &done);
            }
            row /= factors[i];
        }
        right
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;
    use ndarray::{Array1, Array2, array};

    use super::{Cholesky, Svd, eigen};

    /// `1 / (i + j + 1)`, whose condition grows by 30 with each row.
    fn hilbert(rows: usize, columns: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |(i, j)| 1.0 / (i + j + 1) as f64)
    }

    #[test]
    fn conditions_end_at_the_rank() {
        let svd = Svd::new(&array![[1e6, 0.0], [0.0, 1e-2]]).unwrap();
        assert!((svd.condition(1e-9) / 1e8 - 1.0).abs() < 1e-15);
        // 1e-2 is not above 1e-7 of 1e6.
        assert_eq!(svd.condition(1e-7), f64::INFINITY);
        // One half is not above itself, and counts as 0.
        let half = Svd::new(&array![[1.0, 0.0], [0.0, 0.5]]).unwrap();
        assert_eq!(half.condition(0.5), f64::INFINITY);
        assert_eq!(half.solve(&[3.0, 4.0], 0.0, 0.5), array![3.0, 0.0]);
        assert_eq!(half.solve(&[3.0, 4.0], 0.0, 0.49), array![3.0, 8.0]);
    }

    /// Against the values of 60-digit arithmetic (mpmath, of the matrix as it is rounded to doubles).
    #[test]
    fn singular_values_of_a_hilbert_matrix() {
        let mut found = Svd::new(&hilbert(6, 6)).unwrap().singular.to_vec();
        found.sort_by(f64::total_cmp);
        let exact = [
            1.082_799_484_481_101e-7,
            1.257_075_712_263_702_8e-5,
            6.157_483_541_826_452e-4,
            0.016_321_521_319_875_827,
            0.242_360_870_575_209_55,
            1.618_899_858_924_339,
        ];
        for (found, exact) in found.iter().zip(exact) {
            // Four units in the last place of the largest.
            assert!((found - exact).abs() < 9e-16, "{found} for {exact}");
        }
    }

    /// Against nalgebra's, for shapes and ranks of all kinds.
    #[test]
    fn a_decomposition_is_that_of_a_library() {
        for (height, width) in [(1, 1), (2, 1), (5, 4), (4, 4), (12, 12), (33, 20), (3, 5)] {
            for rank in [1, 3, width] {
                let number =
                    |i: usize, j: usize| ((7 * i + 13 * j * j + 3) % 31) as f64 / 31.0 - 0.4;
                let left = Array2::from_shape_fn((height, rank), |(i, j)| number(i, j));
                let matrix = left.dot(&Array2::from_shape_fn((rank, width), |(i, j)| {
                    number(j, i + 1)
                }));
                let svd = Svd::new(&matrix).unwrap();
                let other = DMatrix::from_fn(height, width, |i, j| matrix[[i, j]]).svd(true, true);
                let mut singular = svd.singular.to_vec();
                singular.sort_by(|a, b| b.total_cmp(a));
                for (a, b) in singular.iter().zip(other.singular_values.iter()) {
                    assert!((a - b).abs() < 1e-14 * svd.largest(), "{a} for {b}");
                }
                let unit = svd.directions.dot(&svd.directions.t());
                assert!(
                    (unit - Array2::<f64>::eye(width))
                        .iter()
                        .all(|x| x.abs() < 1e-14)
                );
                let right: Vec<_> = (0..height).map(|i| number(i, 2)).collect();
                let least = 1e-12 * svd.largest();
                let found = svd.solve(&right, 0.0, least);
                let exact = other
                    .solve(&nalgebra::DVector::from_vec(right), least)
                    .unwrap();
                for (a, b) in found.iter().zip(exact.iter()) {
                    assert!(
                        (a - b).abs() < 1e-11 * exact.norm(),
                        "{a} for {b}, rank {rank}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_ridge_shortens_and_a_dependent_column_is_shared() {
        let close = |found: Array1<f64>, expected: [f64; 2]| {
            let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
            assert!(off.fold(0.0, f64::max) < 1e-14, "{found:?}");
        };
        let svd = Svd::new(&array![[2.0, 1.0], [0.0, 1.0]]).unwrap();
        close(svd.solve(&[4.0, 2.0], 0.0, 0.0), [1.0, 2.0]);
        // (A^T A + I) d = A^T b: [[5, 2], [2, 3]] d = [8, 6].
        close(svd.solve(&[4.0, 2.0], 1.0, 0.0), [12.0 / 11.0, 14.0 / 11.0]);
        // The condition of [[2, 1], [0, 1]] is (3 + sqrt 5) / 2.
        assert!((svd.condition(1e-13) - (3.0 + 5_f64.sqrt()) / 2.0).abs() < 1e-14);
        let twice = Svd::new(&array![[1.0, 1.0], [0.0, 0.0]]).unwrap();
        close(twice.solve(&[3.0, 0.0], 0.0, 1e-13), [1.5, 1.5]);
        assert_eq!(twice.condition(1e-13), f64::INFINITY);
        assert!(Svd::new(&array![[f64::NAN]]).is_none());
        assert!(Svd::new(&Array2::zeros((0, 0))).is_none());
    }

    /// Columns are as far from orthogonal as their angle says, however short one is: `x + 1e-18 y = 1`, `1e-18 y = 1e-18`.
    #[test]
    fn a_short_column_counts_by_its_angle() {
        let svd = Svd::new(&array![[1.0, 1e-18], [0.0, 1e-18]]).unwrap();
        let found = svd.solve(&[1.0, 1e-18], 0.0, 0.0);
        assert!(found.iter().all(|x| (x - 1.0).abs() < 1e-14), "{found}");
    }

    #[test]
    fn the_largest_and_the_smallest_numbers_do_not_overflow() {
        for size in [1e300, 1e-300, 5e-324, 0.0] {
            let svd = Svd::new(&array![[3.0 * size, 0.0], [4.0 * size, 0.0]]).unwrap();
            assert!(
                (svd.largest() - 5.0 * size).abs() <= 1e-15 * svd.largest(),
                "{size}"
            );
        }
    }

    #[test]
    fn eigenvectors_and_roots_make_the_matrix_again() {
        let matrix = hilbert(5, 5);
        let (values, vectors) = eigen(&matrix).unwrap();
        let again = (vectors.t().to_owned() * &values).dot(&vectors);
        assert!((again - &matrix).iter().all(|x| x.abs() < 1e-15));
        let root = Cholesky::new(&matrix, 0.0).unwrap();
        assert!(
            (root.lower.dot(&root.lower.t()) - &matrix)
                .iter()
                .all(|x| x.abs() < 1e-15)
        );
        let unit = root.divide(root.lower.clone()) - Array2::<f64>::eye(5);
        assert!(unit.iter().all(|x| x.abs() < 1e-11));
        let right = Array2::from_shape_fn((5, 2), |(i, j)| (i + 3 * j) as f64 - 2.0);
        let again = matrix.dot(&root.solve(right.clone())) - right;
        assert!(again.iter().all(|x| x.abs() < 1e-10));
        assert!(Cholesky::new(&array![[1.0, 1.0], [1.0, 1.0]], 1e-14).is_none());
    }
}
