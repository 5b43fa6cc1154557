//! Through ort.

use std::path::Path;

use gaussian_diffusion::{Point, Step};
use ndarray::{Array1, Ix4};
use ort::{inputs, session::Session, value::TensorRef};

use crate::Pictures;

type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The network of this file, as a closure that may fail.
pub fn network(
    file: impl AsRef<Path>,
) -> Fallible<impl FnMut(&Pictures, Point<Step>) -> Fallible<Pictures>> {
    // Without this line, and with ort's default features, Microsoft's runtime does the work.
    ort::set_api(ort_tract::api());
    let environment = ort::init().build()?;
    let mut session = Session::builder(&environment)?.commit_from_file(file)?;
    Ok(move |x: &Pictures, at: Point<Step>| {
        let t = Array1::from_elem(x.dim().0, at.time.get() as i64);
        let answers = session.run(inputs![
            "x" => TensorRef::from_array_view(x)?,
            "t" => TensorRef::from_array_view(&t)?,
        ])?;
        let eps = answers["eps"].try_extract_array::<f32>()?;
        Ok(eps.into_dimensionality::<Ix4>()?.to_owned())
    })
}
