//! Where a fit begins.

use ndarray::{Array1, Array2, Axis};

use super::{MixtureCovariance, MixtureFit};
use crate::{
    mixture::{
        GaussianMixture,
        component::{Component, Shape},
    },
    rand::{Rng, RngCore},
    rand_distr::StandardNormal,
};

impl MixtureFit {
    /// Components at samples far from each other, each as wide as all samples.
    pub(super) fn start<R: RngCore + ?Sized>(
        self,
        rows: &Array2<f64>,
        rng: &mut R,
    ) -> GaussianMixture {
        let size = rows.ncols();
        let variances = rows.var_axis(Axis(0), 0.0) + self.floor;
        let start = spread(rows, self.components, rng).into_iter().map(|place| {
            let (spread, shape) = match self.covariance {
                MixtureCovariance::LowRank(rank) => {
                    // Half of the variance is the factors' at first.
                    let deviations = variances.mapv(|v| (0.5 * v / rank as f64).sqrt());
                    let normal = |_| rng.sample::<f64, _>(StandardNormal);
                    let factors = Array1::from_iter((0..rank * size).map(normal));
                    let factors = factors.into_shape_with_order((rank, size));
                    let factors = factors.unwrap_or_default() * &deviations;
                    (&variances * 0.5, Shape::Factors(factors))
                }
                MixtureCovariance::Spherical => (
                    Array1::from_elem(size, variances.mean().unwrap_or(1.0)),
                    Shape::Straight,
                ),
                _ => (variances.clone(), Shape::Straight),
            };
            Component {
                weight: 1.0 / self.components as f64,
                mean: rows.row(place).to_owned(),
                variances: spread,
                shape,
            }
        });
        GaussianMixture {
            components: start.collect(),
            dimension: size,
        }
    }
}

/// Places of samples that lie far from each other: each is drawn in proportion to its squared distance from the
/// nearest before.
fn spread<R: RngCore + ?Sized>(rows: &Array2<f64>, count: usize, rng: &mut R) -> Vec<usize> {
    let mut places = vec![rng.random_range(0..rows.nrows())];
    let mut nearest = Array1::from_elem(rows.nrows(), f64::INFINITY);
    while let (true, Some(&last)) = (places.len() < count, places.last()) {
        let last = rows.row(last);
        for (nearest, row) in nearest.iter_mut().zip(rows.rows()) {
            let off = &row - &last;
            *nearest = off.dot(&off).min(*nearest);
        }
        let mut left = rng.random::<f64>() * nearest.sum();
        let drawn = nearest.iter().position(|distance| {
            left -= distance;
            left < 0.0
        });
        // Where all samples are alike there is none to be drawn.
        places.push(drawn.unwrap_or(places.len()));
    }
    places
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::spread;
    use crate::rand::{SeedableRng, rngs::StdRng};

    /// Of two groups that lie far apart on both sides of 0, each has one of two places: the chance of a pair within one
    /// group is below 1e-11.
    #[test]
    fn places_lie_far_from_each_other() {
        let rows = Array2::from_shape_fn((20, 2), |(i, k)| {
            [1e6, -1e6][i % 2] + (i * i + 3 * k) as f64
        });
        for seed in 0..40 {
            let places = spread(&rows, 2, &mut StdRng::seed_from_u64(seed));
            assert_ne!(places[0] % 2, places[1] % 2, "{seed}: {places:?}");
        }
    }
}
