//! Through tract.

use std::path::Path;

use gaussian_diffusion::{Point, Step};
use ndarray::Array1;
use tract_onnx::prelude::*;

use crate::Pictures;

/// The network of this file, as a closure that may fail.
pub fn network(
    file: impl AsRef<Path>,
) -> TractResult<impl FnMut(&Pictures, Point<Step>) -> TractResult<Pictures>> {
    let model = tract_onnx::onnx().model_for_path(file)?;
    let model = model.into_optimized()?.into_runnable()?;
    Ok(move |x: &Pictures, at: Point<Step>| {
        let t = Array1::from_elem(x.dim().0, at.time.get() as i64);
        let (x, t) = (Tensor::from(x.clone()), Tensor::from(t));
        let answer = model.run(tvec![x.into(), t.into()])?;
        let eps = answer[0].to_plain_array_view::<f32>()?;
        Ok(eps.into_dimensionality()?.to_owned())
    })
}
