//! Linear systems behind an operator, one for every batch item.

use ndarray::{Array1, Array2};

use crate::{Error, dense::Svd, state::State};

/// The `x` in the span of `b, A b, A^2 b, ...` with the least `|A x - b|`, for every item: GMRES with
/// at most `iterations` applications of the operator.
///
/// An operator that acts on a whole batch is applied once for all items, while each item has
/// coefficients of its own: its solution does not depend on the others. No library solves such batches.
///
/// [Source](crate::docs::papers#gmres-a-generalized-minimal-residual-algorithm): GMRES: A Generalized Minimal Residual Algorithm for Solving Nonsymmetric
/// Linear Systems, Saad, Schultz, 1986.
pub(super) fn solve<V: State>(
    mut operator: impl FnMut(&V) -> Result<V, Error>,
    b: &V,
    iterations: usize,
) -> Result<V, Error> {
    let items = b.items();
    let norms = roots(&b.dot_items(b)?);
    let mut systems: Vec<_> = norms.iter().map(|norm| System::new(*norm)).collect();
    let mut basis = vec![normalized(b.clone(), &norms)?];
    for k in 0..iterations {
        if systems.iter().all(|system| system.ended) {
            break;
        }
        let Some(newest) = basis.last() else { break };
        let mut next = operator(newest)?;
        let size = roots(&next.dot_items(&next)?);
        // Twice, so that rounding leaves the basis orthogonal.
        for _ in 0..2 {
            for (j, direction) in basis.iter().enumerate() {
                let along = direction.dot_items(&next)?;
                let away: Vec<_> = along.iter().map(|c| -c).collect();
                next.combine_items(&vec![1.0; items], &[(&away, direction)])?;
                for (system, along) in systems.iter_mut().zip(along) {
                    system.add(k, j, along);
                }
            }
        }
        let mut rest = roots(&next.dot_items(&next)?);
        for ((system, rest), size) in systems.iter_mut().zip(&mut rest).zip(size) {
            system.extend(k, rest, size);
        }
        basis.push(normalized(next, &rest)?);
    }
    let solutions: Vec<_> = systems.iter().map(System::solution).collect();
    let mut x = b.clone();
    x.combine(0.0, &[])?;
    for (j, direction) in basis.iter().enumerate() {
        let of_item = |solution: &Array1<f64>| solution.get(j).copied().unwrap_or(0.0);
        let along: Vec<_> = solutions.iter().map(of_item).collect();
        x.combine_items(&vec![1.0; items], &[(&along, direction)])?;
    }
    Ok(x)
}

/// The system of one item in its basis.
struct System {
    norm: f64,
    /// What the operator makes of the basis, in the basis.
    columns: Vec<Vec<f64>>,
    used: usize,
    ended: bool,
}

impl System {
    fn new(norm: f64) -> Self {
        Self {
            norm,
            columns: Vec::new(),
            used: 0,
            ended: !(norm > 0.0),
        }
    }

    /// Adds to the element of this column and row.
    fn add(&mut self, column: usize, row: usize, term: f64) {
        if self.columns.len() <= column {
            self.columns.resize_with(column + 1, Vec::new);
        }
        if let Some(rows) = self.columns.get_mut(column) {
            rows.resize(rows.len().max(row + 1), 0.0);
            rows[row] += term;
        }
    }

    /// Takes the column `k`, whose part outside the basis has the norm `rest`.
    fn extend(&mut self, k: usize, rest: &mut f64, size: f64) {
        if self.ended {
            *rest = 0.0;
            return;
        }
        self.used = k + 1;
        // The basis holds the solution, up to rounding.
        self.ended = !(*rest > 1e-14 * size);
        if self.ended {
            *rest = 0.0;
        }
        self.add(k, k + 1, *rest);
    }

    fn solution(&self) -> Array1<f64> {
        let k = self.used;
        let element = |i: usize, j: usize| self.columns.get(j).and_then(|column| column.get(i));
        let matrix =
            Array2::from_shape_fn((k + 1, k), |(i, j)| element(i, j).copied().unwrap_or(0.0));
        // What is no number stays none.
        match Svd::new(&matrix).filter(|_| self.norm.is_finite()) {
            Some(svd) => svd.solve(&[self.norm], 0.0, 1e-14 * svd.largest()),
            None if k == 0 && self.norm.is_finite() => Array1::zeros(0),
            None => Array1::from_elem(k.max(1), f64::NAN),
        }
    }
}

fn roots(squares: &[f64]) -> Vec<f64> {
    squares.iter().map(|square| square.sqrt()).collect()
}

/// Every item divided by its norm; an item of norm 0 becomes 0.
fn normalized<V: State>(mut x: V, norms: &[f64]) -> Result<V, Error> {
    let inverse = |norm: &f64| if *norm > 0.0 { norm.recip() } else { 0.0 };
    let factors: Vec<_> = norms.iter().map(inverse).collect();
    x.combine_items(&factors, &[])?;
    Ok(x)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::solve;

    /// Against nalgebra's LU, for a matrix that is not symmetric, a singular one, and no right side.
    #[test]
    fn every_item_has_its_own_system() {
        let matrices = [
            array![[4.0, 1.0, 0.0], [-2.0, 3.0, 0.5], [0.0, 1.0, 1.0]],
            array![[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]],
            array![[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        ];
        let b = array![[1.0, -2.0, 0.5], [3.0, 4.0, 0.0], [0.0, 0.0, 0.0]];
        assert_eq!(solve(|x| Ok(x.clone()), &b, 0).unwrap(), &b * 0.0);
        let apply = |x: &Array2<f64>| {
            let mut y = x.clone();
            for (i, mut row) in y.rows_mut().into_iter().enumerate() {
                row.assign(&matrices[i].dot(&x.row(i)));
            }
            Ok(y)
        };
        let found = solve(apply, &b, 3).unwrap();
        let m = nalgebra::Matrix3::from_fn(|i, j| matrices[0][[i, j]]);
        let exact = m
            .lu()
            .solve(&nalgebra::Vector3::new(1.0, -2.0, 0.5))
            .unwrap();
        let expected = [[exact[0], exact[1], exact[2]], [3.0, 2.0, 0.0], [0.0; 3]];
        for (found, expected) in found.iter().zip(expected.as_flattened()) {
            assert!((found - expected).abs() < 1e-13, "{found} for {expected}");
        }
    }

    /// The size of the operator does not matter, by powers of two: not to when the basis holds the solution either.
    #[test]
    fn operators_of_any_size_are_solved() {
        let matrix = array![[4.0, 1.0, 0.0], [-2.0, 3.0, 0.5], [0.0, 1.0, 1.0]];
        let b = array![[1.0, -2.0, 0.5]];
        let found = |size: f64| solve(|x| Ok(x.dot(&matrix.t()) * size), &b, 5).unwrap() * size;
        for power in [-100, 100] {
            let off = found(2.0_f64.powi(power)) - found(1.0);
            assert!(off.iter().all(|d| d.abs() < 1e-13), "{power}: {off}");
        }
    }

    /// After too few iterations the residual is the least that the span leaves: against nalgebra's least squares over
    /// `b, A b, ...`.
    #[test]
    fn too_few_iterations_leave_the_least_residual() {
        let matrix = array![[4.0, 1.0, 0.0], [-2.0, 3.0, 0.5], [0.0, 1.0, 1.0]];
        let m = nalgebra::Matrix3::from_fn(|i, j| matrix[[i, j]]);
        let b = nalgebra::Vector3::new(1.0, -2.0, 0.5);
        for iterations in [1, 2] {
            let mut span = nalgebra::DMatrix::from_element(3, iterations, 0.0);
            let mut column = b;
            for mut into in span.column_iter_mut() {
                into.copy_from(&column);
                column = m * column;
            }
            let images = nalgebra::DMatrix::from_fn(3, iterations, |i, j| (m * span.column(j))[i]);
            let right = nalgebra::DVector::from_column_slice(b.as_slice());
            let along = images.svd(true, true).solve(&right, 0.0).unwrap();
            let expected = span * along;
            let apply = |x: &Array2<f64>| Ok(x.dot(&matrix.t()));
            let found = solve(apply, &array![[1.0, -2.0, 0.5]], iterations).unwrap();
            for (found, expected) in found.iter().zip(expected.iter()) {
                assert!((found - expected).abs() < 1e-13, "{found} for {expected}");
            }
        }
    }

    /// What has no finite norm has no solution, however few or many iterations, and the others theirs.
    #[test]
    fn an_item_that_is_no_number_stays_none() {
        for bad in [f64::NAN, f64::INFINITY, 1e200] {
            for iterations in 0..4 {
                let b = array![[bad, 1.0], [2.0, 4.0]];
                let found = solve(|x| Ok(x * 2.0), &b, iterations).unwrap();
                assert!(
                    found.row(0).iter().all(|x| x.is_nan()),
                    "{bad} {iterations}: {found}"
                );
                let own = if iterations == 0 { 0.0 } else { 1.0 };
                let off = &found.row(1) - &(array![1.0, 2.0] * own);
                assert!(
                    off.iter().all(|d| d.abs() < 1e-15),
                    "{bad} {iterations}: {found}"
                );
            }
        }
    }
}
