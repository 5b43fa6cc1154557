//! Any generator of the rand crate as a source of noise.

use ndarray::{Array, Dimension};

use super::{Interval, NoiseSource, Scale, Stream, add_stream};
use crate::{
    Error,
    rand::{Rng, RngCore},
    rand_distr::StandardNormal,
    state::Real,
};

impl<A: Real, D: Dimension, R: RngCore> NoiseSource<Array<A, D>> for R {
    fn add(
        &mut self,
        x: &mut Array<A, D>,
        scale: Scale<'_, Array<A, D>>,
        _over: Option<Interval>,
    ) -> Result<(), Error> {
        add_stream(x, scale, &mut FromRng(self))
    }
}

/// One stream across all items: numbers depend on the batch before them.
struct FromRng<'a, R>(&'a mut R);

impl<R: RngCore> Stream for FromRng<'_, R> {
    fn begin(&mut self, _item: usize) {}

    fn next(&mut self) -> f64 {
        self.0.sample(StandardNormal)
    }
}
