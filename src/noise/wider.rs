//! Noise for tensors that are kept wider than they are shown.

use super::{Interval, NoiseSource, Scale};
use crate::{
    Error,
    state::{Assignment, Recast, Wider, inner},
};

/// Whatever draws for the tensor draws for what is kept of it.
impl<V: Recast, N: NoiseSource<V> + ?Sized> NoiseSource<Wider<V>> for N {
    fn add(
        &mut self,
        x: &mut Wider<V>,
        scale: Scale<'_, Wider<V>>,
        over: Option<Interval>,
    ) -> Result<(), Error> {
        NoiseSource::<V>::add(self, &mut x.tensor, of_tensors(scale), over)
    }

    fn fill(&mut self, x: &mut Wider<V>) -> Result<(), Error> {
        NoiseSource::<V>::fill(self, &mut x.tensor)
    }

    fn sweep(
        &mut self,
        states: &mut [&mut Wider<V>],
        fixed: &[&Wider<V>],
        assignments: &[Assignment<'_>],
        scale: Scale<'_, Wider<V>>,
        over: Option<Interval>,
    ) -> Result<bool, Error> {
        let (mut states, fixed) = inner(states, fixed);
        NoiseSource::<V>::sweep(
            self,
            &mut states,
            &fixed,
            assignments,
            of_tensors(scale),
            over,
        )
    }
}

fn of_tensors<'a, V: Recast>(scale: Scale<'a, Wider<V>>) -> Scale<'a, V> {
    match scale {
        Scale::Same(std) => Scale::Same(std),
        Scale::PerItem(stds) => Scale::PerItem(stds),
        Scale::PerElement(stds) => Scale::PerElement(&stds.tensor),
    }
}
