//! [`Elements`] for arrays of ndarray.

use std::ops::Range;

use ndarray::{Array, Axis, Dimension, IxDyn, Slice, Zip, concatenate};
use smallvec::SmallVec;

use super::{
    Assignment, Elements, Real, State, Wide,
    array::{for_each_item, item_len, sweep_with},
    drawn::{Deviation, Draw, Scale, Scaled},
    elements::{check_places, misshapen, quantile},
    is_watched,
    shape::{check_shape, check_size},
};
use crate::Error;

impl<A: Real, D: Dimension> Elements for Array<A, D> {
    fn shape(&self) -> Vec<usize> {
        self.shape().to_vec()
    }

    fn numbers(&self) -> Result<Vec<f64>, Error> {
        Ok(self.iter().map(|x| x.get()).collect())
    }

    fn of_numbers(&self, shape: &[usize], numbers: &[f64]) -> Result<Self, Error> {
        let numbers: Vec<_> = numbers.iter().map(|x| A::of(*x)).collect();
        let found = vec![numbers.len()];
        let array = Array::from_shape_vec(IxDyn(shape), numbers);
        let array = array.map_err(|_| misshapen("numbers", shape.to_vec(), found))?;
        in_dimension(array)
    }

    fn is_double(&self) -> bool {
        A::Wide::IS_DOUBLE
    }

    fn multiply(&mut self, by: &Self) -> Result<(), Error> {
        check_shape(self, by)?;
        self.zip_mut_with(by, |x, by| *x = A::narrow(x.widen() * by.widen()));
        Ok(())
    }

    fn blend(&mut self, weights: &Self, by: &Self) -> Result<(), Error> {
        check_shape(self, weights)?;
        check_shape(self, by)?;
        let one = A::of(1.0);
        let parts = Zip::from(self).and(by).and(weights);
        parts.for_each(|x, by, weight| {
            if *weight == one {
                *x = *by;
            } else if *weight != A::of(0.0) {
                let rest = A::Wide::of(1.0 - weight.get());
                *x = A::narrow(weight.widen() * by.widen() + rest * x.widen());
            }
        });
        Ok(())
    }

    fn above(&self, bound: f64, or_at: bool) -> Result<Self, Error> {
        Ok(self.map(|x| {
            let x = x.get();
            A::of(f64::from(u8::from(x > bound || or_at && x == bound)))
        }))
    }

    fn quantiles(&self, ratio: f64) -> Result<Vec<f64>, Error> {
        let mut found = vec![0.0; self.items()];
        let view = self.view().into_dyn();
        for (i, found) in found.iter_mut().enumerate() {
            if !self.is_empty() {
                let item = super::item_view(&view, i);
                let mut sizes: Vec<_> = item.iter().map(|x| x.get().abs()).collect();
                *found = quantile(&mut sizes, ratio);
            }
        }
        Ok(found)
    }

    fn divide_within(&mut self, sizes: &[f64]) -> Result<(), Error> {
        let items = self.items();
        Error::check_length("sizes", items, sizes.len())?;
        for_each_item(self, |i, mut item| {
            let s = sizes.get(i).copied().unwrap_or(1.0);
            item.mapv_inplace(|x| {
                let x = x.get();
                // Comparisons, so that a NaN stays one.
                A::of(if x > s {
                    1.0
                } else if x < -s {
                    -1.0
                } else {
                    x / s
                })
            });
        });
        Ok(())
    }

    fn concatenated(parts: &[&Self]) -> Result<Self, Error> {
        let views: Vec<_> = parts.iter().map(|part| part.view().into_dyn()).collect();
        let Some(first) = parts.first() else {
            return Err(Error::range("number of batches", 0.0, "1 or more"));
        };
        if let Some(other) = parts
            .iter()
            .find(|part| part.ndim() == 0 || part.shape().get(1..) != first.shape().get(1..))
        {
            return Err(misshapen(
                "batch",
                first.shape().to_vec(),
                other.shape().to_vec(),
            ));
        }
        let mut total = first.shape().to_vec();
        let items = parts.iter().map(|part| part.shape()[0]);
        total[0] = items.fold(0, usize::saturating_add);
        check_size::<A>(&total)?;
        let whole = concatenate(Axis(0), &views);
        let shape = first.shape().to_vec();
        in_dimension(whole.map_err(|_| misshapen("batch", shape.clone(), shape))?)
    }

    fn items_at(&self, places: Range<usize>) -> Result<Self, Error> {
        check_places(&places, self.shape().first().copied().unwrap_or(0))?;
        if self.ndim() == 0 {
            return Ok(self.clone());
        }
        let mut part = self.view();
        part.slice_axis_inplace(Axis(0), Slice::from(places));
        Ok(part.to_owned())
    }

    fn spread(&self, shape: &[usize]) -> Result<Self, Error> {
        let view = self.view().into_dyn();
        // A broadcast view is a state only once it is an array of its own.
        let spread = view.broadcast(shape).filter(|_| shape.len() == self.ndim());
        let refused = || misshapen("shape", self.shape().to_vec(), shape.to_vec());
        in_dimension(spread.ok_or_else(refused)?.to_owned())
    }

    fn sweep_drawn<G: Draw>(
        states: &mut [&mut Self],
        fixed: &[&Self],
        assignments: &[Assignment<'_>],
        scale: Scale<'_, Self>,
        target: usize,
        draw: &mut G,
    ) -> Result<bool, Error> {
        let Some(x) = states.get(target) else {
            return State::sweep(states, fixed, assignments);
        };
        // A copy, since the arrays change while its numbers are drawn.
        let shape: SmallVec<[usize; 6]> = SmallVec::from_slice(x.shape());
        let length = item_len(x).max(1);
        let stream = draw.stream::<A::Wide>(&shape)?;
        let ordered;
        let deviation = match scale {
            Scale::Same(std) => Deviation::Same(std),
            Scale::PerItem(list) => Deviation::PerItem(list, length),
            Scale::PerElement(std) => {
                ordered = std.as_standard_layout();
                Deviation::PerElement(ordered.as_slice().unwrap_or_default())
            }
        };
        let mut noise = Scaled { stream, deviation };
        let watched = is_watched(assignments);
        sweep_with(states, fixed, assignments, watched, &mut noise)
    }

    fn add_to_few(&mut self, most: usize, own: f64, std: f64, z: impl FnMut() -> f64) -> bool {
        let mut z = z;
        if self.len() >= most {
            return false;
        }
        if own == 0.0 {
            self.fill(A::of(0.0));
        }
        let std = A::Wide::of(std);
        self.iter_mut()
            .for_each(|x| *x = A::narrow(x.widen() + std * A::Wide::of(z())));
        true
    }
}

/// An array of this dimension of one of any.
fn in_dimension<A, D: Dimension>(array: Array<A, IxDyn>) -> Result<Array<A, D>, Error> {
    let axes = array.ndim();
    array.into_dimensionality().map_err(|_| {
        let allowed = D::NDIM.map_or_else(|| "any".to_owned(), |axes| axes.to_string());
        Error::range("number of axes", axes as f64, allowed)
    })
}
