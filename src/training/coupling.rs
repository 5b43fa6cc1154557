//! Which noise goes with which data of a batch.
//!
//! Noise is drawn without regard to the data, so that the ways from one to the other cross, and a network can
//! only learn their mean. Pairs that are chosen cross less, the flow is straighter, and fewer steps draw from it.
//!
//! | pairs | cost | |
//! |---|---|---|
//! | `optimal_transport`, with the feature `assignment` | squared distance | each noise once |
//! | `immiscible`, with the feature `assignment` | distance | each noise once |
//! | [`EntropicPlan`] | squared distance, and the entropy of the plan | each noise once in expectation |
//!
//! All leave the law of the data and that of the noise as they are, so that a run still starts from plain noise.
//! The law of `x_t` between them is another, and with it the score: what is trained on pairs is a flow, for
//! solvers of the probability flow alone.

#[cfg(feature = "assignment")]
mod assignment;
mod entropic_plan;

use ndarray::{Array, Array2, ArrayViewD, Dimension};

use crate::{
    Error,
    state::{Real, State, for_each_item, item_len, item_view},
};

#[cfg(feature = "assignment")]
pub use assignment::{immiscible, optimal_transport};
pub use entropic_plan::EntropicPlan;

/// The items of an array at these places, in this order: the noise that goes with each of the data.
///
/// # Errors
///
/// If a place is not one of the batch's, or there is not one for each item.
///
/// ```
/// use gaussian_diffusion::training::coupling::reordered;
/// use ndarray::array;
/// assert_eq!(reordered(&array![[1.0], [2.0], [3.0]], &[2, 0, 0])?, array![[3.0], [1.0], [1.0]]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
pub fn reordered<A: Real, D: Dimension>(
    items: &Array<A, D>,
    places: &[usize],
) -> Result<Array<A, D>, Error> {
    let count = items.items();
    Error::check_length("places", count, places.len())?;
    if let Some((i, &place)) = places
        .iter()
        .enumerate()
        .find(|(_, place)| **place >= count)
    {
        let allowed = format!("below {count}");
        return Err(Error::element("places", i, place as f64, allowed));
    }
    let (mut chosen, all) = (items.clone(), items.view().into_dyn());
    for_each_item(&mut chosen, |i, mut item| {
        if let Some(&place) = places.get(i) {
            item.assign(&item_view(&all, place));
        }
    });
    Ok(chosen)
}

/// `|x_i - y_j|^2` for every item of one batch and every one of another.
fn squared_distances<A: Real, D: Dimension>(
    x: &Array<A, D>,
    y: &Array<A, D>,
) -> Result<Array2<f64>, Error> {
    if x.ndim() != y.ndim() || x.shape().iter().skip(1).ne(y.shape().iter().skip(1)) {
        return Err(Error::Shape {
            what: "noise",
            expected: x.shape().to_vec(),
            found: y.shape().to_vec(),
        });
    }
    let (x, y) = (rows("data", x)?, rows("noise", y)?);
    // Of |x|^2 - 2 x y + |y|^2, whose rounding is far below what tells pairs apart.
    let squares = |rows: &Array2<f64>| rows.map_axis(ndarray::Axis(1), |row| row.dot(&row));
    let (of_x, of_y) = (squares(&x), squares(&y));
    let mut distances = x.dot(&y.t());
    for ((i, j), distance) in distances.indexed_iter_mut() {
        *distance = (of_x[i] - 2.0 * *distance + of_y[j]).max(0.0);
    }
    Ok(distances)
}

/// The items as rows.
fn rows<A: Real, D: Dimension>(
    what: &'static str,
    batch: &Array<A, D>,
) -> Result<Array2<f64>, Error> {
    if let Some((i, bad)) = batch.iter().enumerate().find(|(_, x)| !bounded(x.get())) {
        return Err(Error::element(what, i, bad.get(), "-1e100 to 1e100"));
    }
    let (count, size) = (batch.items(), item_len(batch));
    let all: ArrayViewD<'_, A> = batch.view().into_dyn();
    let mut rows = Array2::zeros((count, size));
    if size > 0 {
        for (i, mut row) in rows.rows_mut().into_iter().enumerate() {
            row.iter_mut()
                .zip(item_view(&all, i).iter())
                .for_each(|(row, x)| *row = x.get());
        }
    }
    Ok(rows)
}

fn bounded(x: f64) -> bool {
    (-1e100..=1e100).contains(&x)
}
