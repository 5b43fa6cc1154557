//! The noise of PyTorch, so that its seeds give here what they give there.

mod cephes;
mod cpu;
mod cuda;
mod mt19937;
#[cfg(feature = "serde")]
mod stored;

use std::ops::Range;

use ndarray::{Array, Dimension};

use super::{Scale, Stream, keyed::Keyed, sweep_stream};
use crate::{
    Error,
    state::{Assignment, NOISE_BLOCK, Real, Wide},
};

pub use cpu::TorchCpu;
pub use cuda::TorchCuda;

/// A sweep with one draw of a generator, which is left as it was if that is refused.
///
/// A whole draw at once, for its numbers depend on how many there are and on their type.
fn sweep<A: Real, D: Dimension, G: Clone>(
    generator: &mut G,
    states: &mut [&mut Array<A, D>],
    fixed: &[&Array<A, D>],
    assignments: &[Assignment<'_>],
    scale: Scale<'_, Array<A, D>>,
    fill_f32: impl Fn(&mut G, &mut [f32]) -> Result<(), Error>,
    fill_f64: impl Fn(&mut G, &mut [f64]) -> Result<(), Error>,
) -> Result<bool, Error> {
    let mut after = generator.clone();
    let draw = |x: &Array<A, D>| {
        let mut double = vec![0.0; x.len()];
        if A::Wide::IS_DOUBLE {
            fill_f64(&mut after, &mut double)?;
        } else {
            let mut single = vec![0.0; x.len()];
            fill_f32(&mut after, &mut single)?;
            double
                .iter_mut()
                .zip(single)
                .for_each(|(z, single)| *z = f64::from(single));
        }
        Ok(Drawn(double))
    };
    let finite = sweep_stream(states, fixed, assignments, scale, draw)?;
    *generator = after;
    Ok(finite)
}

/// A draw of a generator for an array like this, which nobody gets.
fn discard<A: Real, D: Dimension, G>(
    generator: &mut G,
    like: &Array<A, D>,
    fill_f32: impl Fn(&mut G, &mut [f32]) -> Result<(), Error>,
    fill_f64: impl Fn(&mut G, &mut [f64]) -> Result<(), Error>,
) -> Result<(), Error> {
    match A::Wide::IS_DOUBLE {
        true => fill_f64(generator, &mut vec![0.0; like.len()]),
        false => fill_f32(generator, &mut vec![0.0; like.len()]),
    }
}

/// The numbers of a draw, one for each element, in logical order.
struct Drawn(Vec<f64>);

impl<W: Wide> Stream<W> for Drawn {
    type Part = Keyed<'static>;

    fn end(&self, start: usize) -> usize {
        start + NOISE_BLOCK
    }

    fn begin(&self, at: usize) -> usize {
        at
    }

    fn fill(&mut self, places: Range<usize>, z: &mut [W; NOISE_BLOCK]) {
        let numbers = self.0.get(places).unwrap_or_default();
        z.iter_mut()
            .zip(numbers)
            .for_each(|(z, number)| *z = W::of(*number));
    }

    fn part(&self) -> Option<Self::Part> {
        None
    }
}
