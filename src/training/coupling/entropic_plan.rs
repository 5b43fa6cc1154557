//! Pairs drawn from an entropic plan.

use ndarray::{Array, Array2, ArrayView1, Dimension};

use super::squared_distances;
use crate::{
    Error,
    rand::{Rng, RngCore},
    state::{Real, State},
};

/// How likely each noise of an array is to go with each of the data, such that the mean squared distance less
/// `regularization` times the entropy is least.
///
/// ```text
/// P_ij = u_i exp(-|x_i - y_j|^2 / regularization) v_j,   rows and columns of equal sums
/// ```
///
/// $$\min_P\ \sum_{ij}P_{ij}\Vert x_i-y_j\Vert^2+\epsilon\sum_{ij}P_{ij}\ln P_{ij},\qquad
///   \sum_jP_{ij}=\tfrac1n,\quad\sum_iP_{ij}=\tfrac1m$$
///
/// With `2 sigma^2` it is the end points of the Schrödinger bridge of [`BrownianBridge`](crate::training::BrownianBridge)
/// of this `sigma`; a small one comes near optimal transport, a large one near independent pairs.
///
/// [Sources](crate::docs::papers#arxiv-2302.00482): Improving and Generalizing Flow-Based Generative Models with Minibatch Optimal
/// Transport, Tong et al., 2024; Sinkhorn Distances: Lightspeed Computation of Optimal Transport, Cuturi, 2013.
///
/// ```
/// use gaussian_diffusion::{rand::{SeedableRng, rngs::StdRng}, training::coupling::{EntropicPlan, reordered}};
/// use ndarray::array;
/// let (x0, eps) = (array![[-3.0], [3.0]], array![[2.0], [-2.0]]);
/// let plan = EntropicPlan::new(&x0, &eps, 0.5)?;
/// // The odds of the two ways to pair are e^((50 - 2) / 0.5).
/// assert!(plan.shares()[[0, 1]] > 0.499);
/// let eps = reordered(&eps, &plan.draw(&mut StdRng::seed_from_u64(0)))?;
/// assert_eq!(eps, array![[-2.0], [2.0]]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("Sinkhorn", "sinkhorn_knopp", "SB-CFM"))]
#[derive(Debug, Clone, PartialEq)]
pub struct EntropicPlan {
    shares: Array2<f64>,
    imbalance: f64,
}

impl EntropicPlan {
    /// For these data and this noise, by at most 1000 of Sinkhorn's iterations, the first of them
    /// with a larger regularization.
    ///
    /// The two may differ in number. They need more iterations the smaller the regularization is beside the
    /// squared distances; [`imbalance`](Self::imbalance) says what is left.
    ///
    /// # Errors
    ///
    /// If an item has another shape, there are no items, a number is not in -1e100 to 1e100, or the
    /// regularization is not in 1e-100 to 1e100.
    pub fn new<A: Real, D: Dimension>(
        x0: &Array<A, D>,
        noise: &Array<A, D>,
        regularization: f64,
    ) -> Result<Self, Error> {
        Self::with_iterations(x0, noise, regularization, 1000)
    }

    /// The same with another limit of iterations.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), or if the limit is 0.
    pub fn with_iterations<A: Real, D: Dimension>(
        x0: &Array<A, D>,
        noise: &Array<A, D>,
        regularization: f64,
        most: usize,
    ) -> Result<Self, Error> {
        if !(1e-100..=1e100).contains(&regularization) {
            let allowed = "1e-100 to 1e100";
            return Err(Error::range("regularization", regularization, allowed));
        }
        if most == 0 {
            return Err(Error::range("limit of iterations", 0.0, "1 or more"));
        }
        let (rows, columns) = (x0.items(), noise.items());
        for (what, count) in [("number of data", rows), ("number of noise", columns)] {
            if count == 0 {
                return Err(Error::range(what, 0.0, "1 or more"));
            }
        }
        let costs = squared_distances(x0, noise)?;
        let largest = costs.iter().fold(0.0_f64, |most, cost| most.max(*cost));
        // Regularizations that fall to the one asked for: from a large one the way is short.
        let fall = (largest / regularization).max(1.0).ln();
        let falling = (fall / 1.25_f64.ln()).min(0.5 * most as f64).floor();
        let (of_row, of_column) = (-(rows as f64).ln(), -(columns as f64).ln());
        // Logarithms of u and v, times the regularization.
        let (mut of_u, mut of_v) = (vec![0.0; rows], vec![0.0; columns]);
        let mut imbalance = f64::INFINITY;
        for iteration in 0..most {
            let left = 1.0 - iteration as f64 / falling.max(1.0);
            let now = regularization * (fall * left.max(0.0)).exp();
            for (u, costs) in of_u.iter_mut().zip(costs.rows()) {
                *u = now * (of_row - log_sum_exp(costs, &of_v, now));
            }
            for (v, costs) in of_v.iter_mut().zip(costs.columns()) {
                *v = now * (of_column - log_sum_exp(costs, &of_u, now));
            }
            if left > 0.0 && falling > 0.0 {
                continue;
            }
            // Columns have their sums now; rows have them at the end.
            imbalance = 0.0;
            for (u, costs) in of_u.iter().zip(costs.rows()) {
                let sum = u / now + log_sum_exp(costs, &of_v, now) - of_row;
                imbalance = imbalance.max(sum.exp_m1().abs());
            }
            if imbalance <= 1e-10 {
                break;
            }
        }
        let mut shares = costs;
        for ((i, j), share) in shares.indexed_iter_mut() {
            *share = ((of_u[i] + of_v[j] - *share) / regularization).exp();
        }
        Ok(Self { shares, imbalance })
    }

    /// The share of each pair: a row for each of the data, a column for each noise, 1 in all.
    pub fn shares(&self) -> &Array2<f64> {
        &self.shares
    }

    /// By how much of itself the sum of a row is off where it is most: up to 1e-10 unless iterations ran out.
    pub fn imbalance(&self) -> f64 {
        self.imbalance
    }

    /// For each of the data the place of a noise, drawn from its row.
    pub fn draw<R: RngCore + ?Sized>(&self, rng: &mut R) -> Vec<usize> {
        let place = |row: ArrayView1<'_, f64>| {
            let mut left = rng.random::<f64>() * row.sum();
            let reached = row.iter().position(|share| {
                left -= share;
                left < 0.0
            });
            // Rounding may leave a rest after the last share.
            reached.unwrap_or(row.len() - 1)
        };
        self.shares.rows().into_iter().map(place).collect()
    }
}

/// `ln of sum of exp((b_i - cost_i) / regularization)`.
fn log_sum_exp(costs: ArrayView1<'_, f64>, b: &[f64], regularization: f64) -> f64 {
    let terms = || {
        costs
            .iter()
            .zip(b)
            .map(|(cost, b)| (b - cost) / regularization)
    };
    let most = terms().fold(f64::NEG_INFINITY, f64::max);
    most + terms().map(|term| (term - most).exp()).sum::<f64>().ln()
}
