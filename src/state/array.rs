//! [`State`] for arrays of ndarray.

use std::{fmt::Debug, ops};

use ndarray::{Array, ArrayViewD, ArrayViewMutD, Axis, Dimension, Zip};

use super::{ErrorNorm, State, kernel};
use crate::Error;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// The element types of arrays: `f32` and `f64`.
pub trait Real:
    Copy
    + Debug
    + PartialOrd
    + Send
    + Sync
    + ops::Add<Output = Self>
    + ops::Mul<Output = Self>
    + sealed::Sealed
    + 'static
{
    /// The nearest value of this type.
    fn of(value: f64) -> Self;

    /// The same value as an f64.
    fn get(self) -> f64;
}

impl Real for f32 {
    fn of(value: f64) -> Self {
        value as Self
    }

    fn get(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn get(self) -> f64 {
        self
    }
}

impl<A: Real, D: Dimension> State for Array<A, D> {
    fn items(&self) -> usize {
        self.shape().first().copied().unwrap_or(1)
    }

    fn combine(&mut self, own: f64, terms: &[(f64, &Self)]) -> Result<(), Error> {
        for (_, term) in terms {
            check_shape(self, term)?;
        }
        let same_layout = terms
            .iter()
            .all(|(_, term)| term.strides() == self.strides());
        if same_layout && self.as_slice_memory_order().is_some() {
            let slices: Vec<_> = terms
                .iter()
                .filter_map(|(c, term)| Some((*c, term.as_slice_memory_order()?)))
                .collect();
            if let Some(y) = self.as_slice_memory_order_mut() {
                kernel::combine(y, own, &slices);
            }
            return Ok(());
        }
        let own = A::of(own);
        if own == A::of(0.0) {
            self.fill(A::of(0.0));
        } else if own != A::of(1.0) {
            self.map_inplace(|y| *y = own * *y);
        }
        for (c, term) in terms {
            let c = A::of(*c);
            Zip::from(&mut *self)
                .and(*term)
                .for_each(|y, &t| *y = *y + c * t);
        }
        Ok(())
    }

    fn combine_items(&mut self, own: &[f64], terms: &[(&[f64], &Self)]) -> Result<(), Error> {
        let items = self.items();
        let lists = std::iter::once(own).chain(terms.iter().map(|(list, _)| *list));
        for list in lists {
            if list.len() != items {
                return Err(Error::BatchLength {
                    what: "coefficients",
                    expected: items,
                    found: list.len(),
                });
            }
        }
        for (_, term) in terms {
            check_shape(self, term)?;
        }
        let views: Vec<_> = terms
            .iter()
            .map(|(list, term)| (*list, term.view().into_dyn()))
            .collect();
        for_each_item(self, |i, mut item| {
            let own = A::of(own[i]);
            if own == A::of(0.0) {
                item.fill(A::of(0.0));
            } else {
                item.map_inplace(|y| *y = own * *y);
            }
            for (list, view) in &views {
                let (c, term) = (A::of(list[i]), item_view(view, i));
                Zip::from(&mut item)
                    .and(&term)
                    .for_each(|y, &t| *y = *y + c * t);
            }
        });
        Ok(())
    }

    fn dot_items(&self, other: &Self) -> Result<Vec<f64>, Error> {
        check_shape(self, other)?;
        let (a, b) = (self.view().into_dyn(), other.view().into_dyn());
        let dot = |i| {
            let (a, b) = (item_view(&a, i), item_view(&b, i));
            Zip::from(&a)
                .and(&b)
                .fold(0.0, |sum, a, b| sum + a.get() * b.get())
        };
        Ok((0..self.items()).map(dot).collect())
    }

    fn clamp(&mut self, low: f64, high: f64) -> Result<(), Error> {
        let (low, high) = (A::of(low), A::of(high));
        // Comparisons rather than min and max, which would turn a NaN into a bound.
        self.map_inplace(|y| {
            if *y < low {
                *y = low;
            } else if *y > high {
                *y = high;
            }
        });
        Ok(())
    }

    fn exp_affine(&mut self, offset: f64, scale: f64) -> Result<(), Error> {
        self.map_inplace(|y| *y = A::of(libm::exp(offset + scale * y.get())));
        Ok(())
    }

    fn is_finite(&self) -> bool {
        // No early exit, so that the loop vectorises.
        let finite = |values: &[A]| values.iter().fold(true, |all, y| all & y.get().is_finite());
        match self.as_slice_memory_order() {
            Some(values) => finite(values),
            None => self.iter().all(|y| y.get().is_finite()),
        }
    }
}

impl<A: Real, D: Dimension> ErrorNorm for Array<A, D> {
    fn error_norms(
        &self,
        other: &Self,
        before: &Self,
        absolute: f64,
        relative: f64,
    ) -> Result<Vec<f64>, Error> {
        check_shape(self, other)?;
        check_shape(self, before)?;
        let [this, other, before] = [self, other, before].map(|array| array.view().into_dyn());
        let norm = |i: usize| {
            let mut sum = 0.0;
            let (other, before) = (item_view(&other, i), item_view(&before, i));
            Zip::from(&item_view(&this, i))
                .and(&other)
                .and(&before)
                .for_each(|&x, &other, &before| {
                    let size = x.get().abs().max(before.get().abs());
                    let off = (x.get() - other.get()) / absolute.max(relative * size);
                    sum += off * off;
                });
            (sum / item_len(self).max(1) as f64).sqrt()
        };
        Ok((0..self.items()).map(norm).collect())
    }
}

fn check_shape<A, D: Dimension>(this: &Array<A, D>, other: &Array<A, D>) -> Result<(), Error> {
    if this.shape() == other.shape() {
        return Ok(());
    }
    Err(Error::Shape {
        what: "array",
        expected: this.shape().to_vec(),
        found: other.shape().to_vec(),
    })
}

/// Calls `f` with each batch item; an array without axes is one item.
pub(crate) fn for_each_item<A, D: Dimension>(
    array: &mut Array<A, D>,
    mut f: impl FnMut(usize, ArrayViewMutD<'_, A>),
) {
    if array.ndim() == 0 {
        return f(0, array.view_mut().into_dyn());
    }
    let mut view = array.view_mut().into_dyn();
    for (i, item) in view.axis_iter_mut(Axis(0)).enumerate() {
        f(i, item);
    }
}

/// The view of one batch item.
pub(crate) fn item_view<'a, A>(view: &'a ArrayViewD<'_, A>, i: usize) -> ArrayViewD<'a, A> {
    if view.ndim() == 0 {
        view.view()
    } else {
        view.index_axis(Axis(0), i)
    }
}

/// Number of elements of one batch item.
pub(crate) fn item_len<A, D: Dimension>(array: &Array<A, D>) -> usize {
    array.shape().iter().skip(1).product()
}
