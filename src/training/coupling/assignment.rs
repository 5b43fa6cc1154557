//! Pairs of least total cost.

use ndarray::{Array, Array2, Dimension};
use pathfinding::{kuhn_munkres::kuhn_munkres_min, matrix::Matrix};

use super::squared_distances;
use crate::{
    Error,
    state::{Real, State},
};

/// For each of the data, an array, the place of its noise, such that the sum of squared distances is least: minibatch
/// optimal transport, exactly.
///
/// $$\min_{\pi\ \text{a permutation}}\ \sum_i\Vert x_i-\varepsilon_{\pi(i)}\Vert^2$$
///
/// Each noise is used once, so that the noise of a batch has its law. Labels stay with their data. The time
/// grows with the cube of the batch. Costs are compared to 53 bits of the largest in a batch of 256, and
/// to fewer in one beyond.
///
/// # Errors
///
/// If the shapes differ, a number is not in -1e100 to 1e100, or there are more than 65,536 items.
///
/// [Sources](crate::docs::papers#arxiv-2302.00482): Improving and Generalizing Flow-Based Generative Models with Minibatch Optimal
/// Transport, Tong et al., 2024; Multisample Flow Matching, Pooladian et al., 2023.
///
/// ```
/// use gaussian_diffusion::{ForwardProcess, Parameterization, Time, schedule::RectifiedFlow};
/// use gaussian_diffusion::training::coupling::{optimal_transport, reordered};
/// use ndarray::array;
/// let (x0, eps) = (array![[-1.0], [2.0], [0.0]], array![[0.5], [-0.5], [3.0]]);
/// let eps = reordered(&eps, &optimal_transport(&x0, &eps)?)?;
/// assert_eq!(eps, array![[-0.5], [3.0], [0.5]]);
/// let times = [0.1, 0.5, 0.9].map(|t| Time::new(t).unwrap());
/// let xt = RectifiedFlow.jump(&x0, &times, &eps)?;
/// let target = RectifiedFlow.target(Parameterization::Flow, &x0, &times, &eps)?;
/// # assert_eq!(target, eps - x0);
/// # assert_eq!(xt.dim(), (3, 1));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "OTPlanSampler",
    "OT-CFM",
    "minibatch coupling",
    "linear_sum_assignment"
))]
pub fn optimal_transport<A: Real, D: Dimension>(
    x0: &Array<A, D>,
    noise: &Array<A, D>,
) -> Result<Vec<usize>, Error> {
    least(x0, noise, |squared| squared)
}

/// The same with the sum of distances, not squared: immiscible diffusion.
///
/// # Errors
///
/// As [`optimal_transport`].
///
/// [Source](crate::docs::papers#arxiv-2406.12303): Immiscible Diffusion: Accelerating Diffusion Training with Noise Assignment, Li,
/// Jiang, Kodaira, Tomizuka, Keutzer, Xu, 2024.
///
/// ```
/// use gaussian_diffusion::training::coupling::immiscible;
/// use ndarray::array;
/// let (x0, eps) = (array![[-1.0, 0.0], [2.0, 0.0]], array![[1.5, 0.1], [-0.5, 0.2]]);
/// assert_eq!(immiscible(&x0, &eps)?, [1, 0]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("noise assignment", "immiscible_diffusion"))]
pub fn immiscible<A: Real, D: Dimension>(
    x0: &Array<A, D>,
    noise: &Array<A, D>,
) -> Result<Vec<usize>, Error> {
    least(x0, noise, f64::sqrt)
}

fn least<A: Real, D: Dimension>(
    x0: &Array<A, D>,
    noise: &Array<A, D>,
    cost: impl Fn(f64) -> f64,
) -> Result<Vec<usize>, Error> {
    x0.fits(noise).map_err(|error| error.naming("noise"))?;
    let count = x0.items();
    if count > 1 << 16 {
        return Err(Error::range(
            "batch to be paired",
            count as f64,
            "0 to 65536",
        ));
    }
    if x0.is_empty() {
        return Ok((0..count).collect());
    }
    let costs = whole(&squared_distances(x0, noise)?.mapv(cost));
    let Ok(costs) = Matrix::from_vec(count, count, costs) else {
        return Ok((0..count).collect());
    };
    Ok(kuhn_munkres_min(&costs).1)
}

/// The costs as whole numbers, so large that sums of a column's or a row's just fit: the search is then exact,
/// and ends.
fn whole(costs: &Array2<f64>) -> Vec<i64> {
    let count = costs.nrows() as f64;
    let bits = (61.0 - (count + 1.0).log2().ceil()).min(53.0);
    let (low, high) = costs
        .iter()
        .fold((f64::INFINITY, 0.0_f64), |(low, high), cost| {
            (low.min(*cost), high.max(*cost))
        });
    let unit = match high > low {
        true => (high - low) / bits.exp2(),
        false => 1.0,
    };
    costs
        .iter()
        .map(|cost| ((cost - low) / unit).round() as i64)
        .collect()
}
