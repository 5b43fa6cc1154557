//! The factors that explain samples best.

use ndarray::{Array1, Array2, Axis, concatenate};

use super::MixtureFit;
use crate::{
    Error,
    dense::Cholesky,
    mixture::{
        component::{Component, Shape},
        noisy::Noisy,
    },
};

impl MixtureFit {
    /// The component that is best for samples with these shares in it: a regression of the samples on the factors expected of them, and on 1 for the mean.
    pub(super) fn analysed(
        self,
        before: &Noisy<'_>,
        weight: f64,
        rows: &Array2<f64>,
        shares: &Array1<f64>,
        expected: &[Array1<f64>],
        rank: usize,
    ) -> Result<Component, Error> {
        let count = rows.nrows();
        let off = rows - &before.component.mean;
        let z = Array2::from_shape_fn((count, rank), |(i, j)| expected[i][j]);
        let z = concatenate(Axis(1), &[z.view(), Array2::ones((count, 1)).view()])
            .unwrap_or_else(|_| Array2::zeros((count, rank + 1)));
        let weighted = &z * &shares.view().insert_axis(Axis(1));
        // Moments of the factors and 1, and theirs with the samples.
        let mut moments = z.t().dot(&weighted);
        let left = before.of_factors();
        for ((i, j), left) in left.indexed_iter() {
            moments[[i, j]] += left;
        }
        let cross = weighted.t().dot(&off);
        let what = "moments of the factors";
        let solved = Cholesky::new(&moments, 0.0)
            .ok_or_else(|| Error::range(what, f64::NAN, "a positive matrix"))?
            .solve(cross.clone());
        let squares = off.mapv(|d| d * d).t().dot(shares);
        let explained = (&solved * &cross).sum_axis(Axis(0));
        Ok(Component {
            weight,
            mean: &before.component.mean + &solved.row(rank),
            // Rounding may leave less than nothing.
            variances: (squares - explained).mapv(|v| v.max(0.0)) + self.floor,
            shape: Shape::Factors(solved.select(Axis(0), &(0..rank).collect::<Vec<_>>())),
        })
    }
}
