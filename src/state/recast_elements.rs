//! [`Elements`] for tensors that are kept wider than they are shown: those of the tensor.

use std::ops::Range;

use super::{
    Assignment, Elements, Recast, Wider,
    drawn::{Draw, Scale},
    recast::inner,
};
use crate::Error;

impl<V: Recast + Elements> Wider<V> {
    fn like(&self, tensor: V) -> Self {
        let shown = self.shown;
        Self { tensor, shown }
    }
}

impl<V: Recast + Elements> Elements for Wider<V> {
    fn shape(&self) -> Vec<usize> {
        self.tensor.shape()
    }

    fn numbers(&self) -> Result<Vec<f64>, Error> {
        self.tensor.numbers()
    }

    fn of_numbers(&self, shape: &[usize], numbers: &[f64]) -> Result<Self, Error> {
        Ok(self.like(self.tensor.of_numbers(shape, numbers)?))
    }

    fn is_double(&self) -> bool {
        self.tensor.is_double()
    }

    fn multiply(&mut self, by: &Self) -> Result<(), Error> {
        self.tensor.multiply(&by.tensor)
    }

    fn blend(&mut self, weights: &Self, by: &Self) -> Result<(), Error> {
        self.tensor.blend(&weights.tensor, &by.tensor)
    }

    fn above(&self, bound: f64, or_at: bool) -> Result<Self, Error> {
        Ok(self.like(self.tensor.above(bound, or_at)?))
    }

    fn quantiles(&self, ratio: f64) -> Result<Vec<f64>, Error> {
        self.tensor.quantiles(ratio)
    }

    fn divide_within(&mut self, sizes: &[f64]) -> Result<(), Error> {
        self.tensor.divide_within(sizes)
    }

    fn concatenated(parts: &[&Self]) -> Result<Self, Error> {
        let Some(first) = parts.first() else {
            return Err(Error::range("number of batches", 0.0, "1 or more"));
        };
        let tensors: Vec<_> = parts.iter().map(|part| &part.tensor).collect();
        Ok(first.like(V::concatenated(&tensors)?))
    }

    fn items_at(&self, places: Range<usize>) -> Result<Self, Error> {
        Ok(self.like(self.tensor.items_at(places)?))
    }

    fn spread(&self, shape: &[usize]) -> Result<Self, Error> {
        Ok(self.like(self.tensor.spread(shape)?))
    }

    fn sweep_drawn<D: Draw>(
        states: &mut [&mut Self],
        fixed: &[&Self],
        assignments: &[Assignment<'_>],
        scale: Scale<'_, Self>,
        target: usize,
        draw: &mut D,
    ) -> Result<bool, Error> {
        let (mut states, fixed) = inner(states, fixed);
        let scale = match scale {
            Scale::Same(std) => Scale::Same(std),
            Scale::PerItem(stds) => Scale::PerItem(stds),
            Scale::PerElement(stds) => Scale::PerElement(&stds.tensor),
        };
        V::sweep_drawn(&mut states, &fixed, assignments, scale, target, draw)
    }

    fn add_to_few(&mut self, most: usize, own: f64, std: f64, z: impl FnMut() -> f64) -> bool {
        self.tensor.add_to_few(most, own, std, z)
    }
}
