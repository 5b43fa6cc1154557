//! Where a fit begins.

use ndarray::{Array, Array1, Array2, Axis, Dimension};

use super::{MixtureCovariance, MixtureFit};
use crate::{
    Error,
    mixture::{Component, GaussianMixture, Shape},
    rand::{Rng, RngCore},
    rand_distr::StandardNormal,
    state::{Real, State, item_len, item_view},
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

/// Samples as rows.
pub(super) fn rows<A: Real, D: Dimension>(samples: &Array<A, D>) -> Result<Array2<f64>, Error> {
    let (count, size) = (samples.items(), item_len(samples));
    if size == 0 {
        return Err(Error::range("dimension", 0.0, "1 or more"));
    }
    let within = |x: f64| (-1e100..=1e100).contains(&x);
    if let Some((i, bad)) = samples.iter().enumerate().find(|(_, x)| !within(x.get())) {
        return Err(Error::element("samples", i, bad.get(), "-1e100 to 1e100"));
    }
    let all = samples.view().into_dyn();
    let mut rows = Array2::zeros((count, size));
    for (i, mut row) in rows.rows_mut().into_iter().enumerate() {
        row.iter_mut()
            .zip(item_view(&all, i).iter())
            .for_each(|(row, x)| *row = x.get());
    }
    Ok(rows)
}
