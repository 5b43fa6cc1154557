//! The noise of PyTorch, so that its seeds give here what they give there.

mod cephes;
mod cpu;
mod cuda;

use std::any::TypeId;

use ndarray::{Array, Dimension};

use super::{Scale, Stream, add_stream};
use crate::{Error, state::Real};

pub use cpu::TorchCpu;
pub use cuda::TorchCuda;

/// `x <- x + scale * z` with one draw of a generator, which is left as it was if that is refused.
///
/// A whole draw at once, for its numbers depend on how many there are and on their type.
fn add<A: Real, D: Dimension, G: Clone>(
    generator: &mut G,
    x: &mut Array<A, D>,
    scale: Scale<'_, Array<A, D>>,
    fill_f32: impl Fn(&mut G, &mut [f32]) -> Result<(), Error>,
    fill_f64: impl Fn(&mut G, &mut [f64]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut after = generator.clone();
    if TypeId::of::<A>() == TypeId::of::<f64>() {
        let mut z = vec![0.0; x.len()];
        fill_f64(&mut after, &mut z)?;
        add_stream(x, scale, &mut Drawn(z.into_iter()))?;
    } else {
        let mut z = vec![0.0; x.len()];
        fill_f32(&mut after, &mut z)?;
        add_stream(x, scale, &mut Drawn(z.into_iter().map(f64::from)))?;
    }
    *generator = after;
    Ok(())
}

/// The numbers of a draw, one for each element, in logical order.
struct Drawn<I>(I);

impl<I: Iterator<Item = f64>> Stream for Drawn<I> {
    fn begin(&mut self, _item: usize) {}

    fn next(&mut self) -> f64 {
        self.0.next().unwrap_or_default()
    }
}
