//! How good the drawn digits are.

use gaussian_diffusion::{
    SeededNoise,
    noise::{NoiseSource, Scale},
};
use nalgebra::{DMatrix, DVector};
use ndarray::{Array2, ArrayView1};

use crate::{
    Outcome,
    data::{CLASSES, Digits},
};

/// The Gaussian with the mean and the covariance of some digits.
#[derive(Debug, Clone)]
pub struct Fit {
    mean: DVector<f64>,
    covariance: DMatrix<f64>,
}

impl Fit {
    /// Of one digit in each row.
    pub fn of(pixels: &Array2<f32>) -> Self {
        let (count, size) = pixels.dim();
        let all = DMatrix::from_fn(count, size, |i, j| f64::from(pixels[[i, j]]));
        let mean = all.row_mean();
        let centred = DMatrix::from_fn(count, size, |i, j| all[(i, j)] - mean[j]);
        Self {
            mean: mean.transpose(),
            covariance: centred.tr_mul(&centred) / (count.max(2) - 1) as f64,
        }
    }

    /// The Frechet distance `|m - m'|^2 + tr(C + C' - 2 (C^1/2 C' C^1/2)^1/2)`.
    pub fn frechet(&self, other: &Self) -> f64 {
        let root = root(&self.covariance);
        let cross = &root * &other.covariance * &root;
        (&self.mean - &other.mean).norm_squared()
            + self.covariance.trace()
            + other.covariance.trace()
            - 2.0 * eigenvalue_roots(&cross).sum()
    }

    /// Draws from the Gaussian, one in each row.
    pub fn draw(&self, count: usize, noise: &mut SeededNoise) -> Outcome<Array2<f32>> {
        let size = self.mean.len();
        let mut z = Array2::<f64>::zeros((count, size));
        noise.add(&mut z, Scale::Same(1.0), None)?;
        let z = DMatrix::from_fn(size, count, |i, j| z[[j, i]]);
        let x = root(&self.covariance) * z;
        Ok(Array2::from_shape_fn((count, size), |(i, j)| {
            (x[(j, i)] + self.mean[j]) as f32
        }))
    }
}

/// The symmetric root of a symmetric matrix without negative eigenvalues, up to rounding.
fn root(matrix: &DMatrix<f64>) -> DMatrix<f64> {
    let eigen = matrix.clone().symmetric_eigen();
    let roots = eigen.eigenvalues.map(|value| value.max(0.0).sqrt());
    &eigen.eigenvectors * DMatrix::from_diagonal(&roots) * eigen.eigenvectors.transpose()
}

fn eigenvalue_roots(matrix: &DMatrix<f64>) -> DVector<f64> {
    // Rounding has left the product a little asymmetric.
    let symmetric = (matrix + matrix.transpose()) * 0.5;
    symmetric
        .symmetric_eigenvalues()
        .map(|value| value.max(0.0).sqrt())
}

/// The three nearest of known digits: a classifier, and a search for copies.
#[derive(Debug)]
pub struct Neighbours<'a>(pub &'a Digits);

impl Neighbours<'_> {
    /// The share of digits that get these labels.
    pub fn accuracy(&self, pixels: &Array2<f32>, labels: &[usize]) -> f64 {
        let right = pixels
            .rows()
            .into_iter()
            .zip(labels)
            .filter(|(digit, label)| self.class(*digit) == **label)
            .count();
        right as f64 / labels.len() as f64
    }

    /// The class that most of the three nearest have; of the nearest, if all differ.
    fn class(&self, digit: ArrayView1<f32>) -> usize {
        let nearest = self.nearest(digit);
        let mut votes = [0; CLASSES];
        for &(_, place) in &nearest {
            votes[self.0.labels[place]] += 1;
        }
        let of = |&(_, place): &(f64, usize)| self.0.labels[place];
        let most = nearest.iter().map(of).find(|&label| votes[label] >= 2);
        most.or_else(|| nearest.first().map(of)).unwrap_or(0)
    }

    /// The mean distance of digits to the nearest known one.
    pub fn mean_distance(&self, pixels: &Array2<f32>) -> f64 {
        let distance = |digit| self.nearest(digit).first().map_or(f64::NAN, |near| near.0);
        pixels.rows().into_iter().map(distance).sum::<f64>() / pixels.nrows() as f64
    }

    /// Distance and place of the three nearest, the nearest first.
    fn nearest(&self, digit: ArrayView1<f32>) -> Vec<(f64, usize)> {
        let mut all: Vec<_> = self
            .0
            .pixels
            .rows()
            .into_iter()
            .map(|known| distance(known, digit))
            .zip(0..)
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        all.truncate(3);
        all
    }
}

/// The share of digits, in a pool of both kinds, whose nearest other is of their own kind: 1/2 if
/// the kinds cannot be told apart.
///
/// It sees what a mean and a covariance do not.
pub fn told_apart(a: &Array2<f32>, b: &Array2<f32>) -> f64 {
    // As many of each: otherwise the larger kind would be nearer.
    let count = a.nrows().min(b.nrows());
    let pool: Vec<_> = (0..count)
        .map(|i| a.row(i))
        .chain((0..count).map(|i| b.row(i)))
        .collect();
    let own = |&i: &usize| {
        let others = (0..pool.len()).filter(|&j| j != i);
        let near = others
            .min_by(|&j, &k| distance(pool[i], pool[j]).total_cmp(&distance(pool[i], pool[k])));
        near.is_some_and(|near| (near < count) == (i < count))
    };
    (0..pool.len()).filter(own).count() as f64 / pool.len() as f64
}

/// The mean distance of two digits of the same group: how much they differ from one another.
pub fn diversity(pixels: &Array2<f32>, groups: &[usize]) -> f64 {
    let (mut sum, mut pairs) = (0.0, 0);
    for (i, a) in pixels.rows().into_iter().enumerate() {
        for (j, b) in pixels.rows().into_iter().enumerate().skip(i + 1) {
            if groups[i] == groups[j] {
                sum += distance(a, b);
                pairs += 1;
            }
        }
    }
    sum / f64::from(pairs)
}

fn distance(a: ArrayView1<f32>, b: ArrayView1<f32>) -> f64 {
    let square = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
    a.iter().zip(b).map(square).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn diagonal(mean: [f64; 3], variance: [f64; 3]) -> Fit {
        Fit {
            mean: DVector::from_row_slice(&mean),
            covariance: DMatrix::from_diagonal(&DVector::from_row_slice(&variance)),
        }
    }

    #[test]
    fn equal_gaussians_have_distance_0() {
        let mut noise = SeededNoise::new(1);
        let mut x = Array2::<f32>::zeros((50, 8));
        noise.add(&mut x, Scale::Same(1.0), None).unwrap();
        let fit = Fit::of(&x);
        assert!(fit.frechet(&fit).abs() < 1e-10);
        // Of no full rank, too: the digits have pixels that are never inked.
        let fit = diagonal([0.0; 3], [1.0, 0.0, 0.0]);
        assert!(fit.frechet(&fit).abs() < 1e-12);
    }

    #[test]
    fn diagonal_gaussians_have_the_closed_form() {
        let a = diagonal([0.0, 1.0, -2.0], [1.0, 4.0, 0.0]);
        let b = diagonal([0.5, 1.0, 1.0], [9.0, 0.25, 2.0]);
        // Squared differences of the means and of the deviations.
        let exact = 0.25 + 9.0 + 4.0 + 2.25 + 2.0;
        assert!((a.frechet(&b) - exact).abs() < 1e-10);
        assert!((b.frechet(&a) - exact).abs() < 1e-10);
    }

    #[test]
    fn a_fit_is_the_mean_and_the_covariance() {
        let fit = Fit::of(&array![[1.0, 0.0], [3.0, 4.0]]);
        assert_eq!(fit.mean, DVector::from_row_slice(&[2.0, 2.0]));
        assert_eq!(
            fit.covariance,
            DMatrix::from_row_slice(2, 2, &[2.0, 4.0, 4.0, 8.0])
        );
    }

    #[test]
    fn draws_have_the_law_of_the_fit() {
        let fit = Fit {
            mean: DVector::from_row_slice(&[1.0, -1.0]),
            covariance: DMatrix::from_row_slice(2, 2, &[2.0, 1.0, 1.0, 1.0]),
        };
        let drawn = fit.draw(20_000, &mut SeededNoise::new(5)).unwrap();
        assert!(Fit::of(&drawn).frechet(&fit) < 2e-3);
    }

    #[test]
    fn the_vote_of_three_neighbours() {
        let known = Digits {
            pixels: array![[0.0, 0.0], [0.1, 0.0], [0.3, 0.0], [5.0, 5.0]],
            labels: vec![1, 2, 2, 7],
        };
        let neighbours = Neighbours(&known);
        // The nearest is a 1, but the next two are 2.
        let asked = array![[0.0, 0.0], [5.0, 5.0]];
        assert_eq!(neighbours.accuracy(&asked, &[2, 2]), 1.0);
        assert_eq!(neighbours.accuracy(&asked, &[2, 7]), 0.5);
        assert_eq!(
            neighbours.mean_distance(&array![[0.0, 0.0], [5.0, 8.0]]),
            1.5
        );
    }

    #[test]
    fn diversity_is_within_groups() {
        let x = array![[0.0], [1.0], [100.0], [3.0]];
        assert_eq!(diversity(&x, &[0, 0, 1, 0]), 2.0);
    }

    #[test]
    fn kinds_that_lie_apart_are_told_apart() {
        let a = Array2::from_shape_fn((6, 2), |(i, _)| i as f32);
        assert_eq!(told_apart(&a, &(&a + 100.0)), 1.0);
        // Nearest to each is its twin of the other kind.
        assert_eq!(told_apart(&a, &(&a + 0.01)), 0.0);
    }
}
