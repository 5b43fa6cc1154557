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
    use ndarray::{Array2, Axis};

    use super::{MixtureCovariance, MixtureFit, Shape, spread};
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

    /// What begins with one variance has the mean of those of the coordinates.
    #[test]
    fn a_spherical_fit_begins_spherical() {
        let rows = Array2::from_shape_fn((8, 2), |(i, k)| [1.0, 3.0][k] * (i % 2) as f64);
        let of = |kind| {
            let fit = MixtureFit::new(1, kind).unwrap();
            let start = fit.start(&rows, &mut StdRng::seed_from_u64(1));
            start.components[0].variances.to_vec()
        };
        let near = |found: Vec<f64>, wanted: [f64; 2]| {
            assert!(
                found
                    .iter()
                    .zip(wanted)
                    .all(|(a, b)| (a - b - 1e-6).abs() < 1e-12)
            );
        };
        near(of(MixtureCovariance::Spherical), [1.25, 1.25]);
        near(of(MixtureCovariance::Diagonal), [0.25, 2.25]);
    }

    /// Half of each variance is the factors', and half what they leave: to six deviations of a sum of 2000 squares.
    #[test]
    fn factors_begin_with_half_of_the_variance() {
        let rows = Array2::from_shape_fn((50, 2000), |(i, k)| ((i * 37 + k * 11) % 17) as f64);
        let fit = MixtureFit::new(1, MixtureCovariance::LowRank(3)).unwrap();
        let start = fit.start(&rows, &mut StdRng::seed_from_u64(1));
        let variances = rows.var_axis(Axis(0), 0.0);
        let component = &start.components[0];
        let Shape::Factors(factors) = &component.shape else {
            panic!("{:?}", component.shape);
        };
        let ratios = factors.map_axis(Axis(0), |f| f.dot(&f)) / (&variances * 0.5);
        assert!((ratios.mean().unwrap() - 1.0).abs() < 6.0 * (2.0_f64 / 6000.0).sqrt());
        assert!(
            (&component.variances - variances * 0.5)
                .iter()
                .all(|d| d.abs() < 1e-6)
        );
    }
}
