//! Samples as rows.

use ndarray::{Array, Array2, Dimension};

use crate::{
    Error,
    state::{Real, State, item_len, item_view},
};

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
