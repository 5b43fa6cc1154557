//! The noise of PyTorch, so that its seeds give here what they give there.

mod cephes;
mod cpu;
mod cuda;
mod mt19937;
#[cfg(feature = "serde")]
mod stored;

use std::ops::Range;

use super::{Scale, keyed::Keyed, sweep_drawn};
use crate::{
    Error,
    state::{Assignment, Draw, Elements, NOISE_BLOCK, Stream, Wide},
};

pub use cpu::TorchCpu;
pub use cuda::TorchCuda;

/// A generator that makes a whole draw at once: its numbers depend on how many there are and on their type.
trait Generator: Clone {
    fn draw_f32(&mut self, out: &mut [f32]) -> Result<(), Error>;
    fn draw_f64(&mut self, out: &mut [f64]) -> Result<(), Error>;
}

/// A sweep with one draw of a generator, which is left as it was if that is refused.
fn sweep<V: Elements, G: Generator>(
    generator: &mut G,
    states: &mut [&mut V],
    fixed: &[&V],
    assignments: &[Assignment<'_>],
    scale: Scale<'_, V>,
) -> Result<bool, Error> {
    let mut after = After(generator.clone());
    let finite = sweep_drawn(states, fixed, assignments, scale, &mut after)?;
    *generator = after.0;
    Ok(finite)
}

/// A draw of a generator for a state like this, which nobody gets.
fn discard<V: Elements, G: Generator>(generator: &mut G, like: &V) -> Result<(), Error> {
    let length = like.shape().iter().product();
    match like.is_double() {
        true => generator.draw_f64(&mut vec![0.0; length]),
        false => generator.draw_f32(&mut vec![0.0; length]),
    }
}

struct After<G>(G);

impl<G: Generator> Draw for After<G> {
    fn stream<W: Wide>(&mut self, shape: &[usize]) -> Result<impl Stream<W>, Error> {
        let length = shape.iter().product();
        let mut double = vec![0.0; length];
        if W::IS_DOUBLE {
            self.0.draw_f64(&mut double)?;
        } else {
            let mut single = vec![0.0; length];
            self.0.draw_f32(&mut single)?;
            double
                .iter_mut()
                .zip(single)
                .for_each(|(z, single)| *z = f64::from(single));
        }
        Ok(Drawn(double))
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
