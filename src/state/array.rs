//! [`State`] for arrays of ndarray.

use ndarray::{Array, ArrayViewD, ArrayViewMutD, Axis, Dimension};
use smallvec::SmallVec;

use super::{
    Assignment, ErrorNorm, NoiseBlocks, Real, State, Widened, by_item,
    exp::{exp, exp_affine},
    is_watched,
    shape::check_shape,
    slices::{Silent, Slices},
    sweep::check,
    threads::sweep,
};
use crate::Error;

impl<A: Real, D: Dimension> State for Array<A, D> {
    type Keeping = Widened;

    fn items(&self) -> usize {
        items(self.shape())
    }

    fn fits(&self, other: &Self) -> Result<(), Error> {
        check_shape(self, other)
    }

    fn combine(&mut self, own: f64, terms: &[(f64, &Self)]) -> Result<(), Error> {
        let numbered = terms.iter().enumerate().map(|(i, (c, _))| (*c, i + 1));
        let numbered: SmallVec<[_; 6]> = numbered.collect();
        let fixed: SmallVec<[_; 6]> = terms.iter().map(|(_, term)| *term).collect();
        let assignment = [Assignment::new(0, own, &numbered)];
        sweep_with(&mut [self], &fixed, &assignment, false, &mut Silent).map(|_| ())
    }

    fn combine_items(&mut self, own: &[f64], terms: &[(&[f64], &Self)]) -> Result<(), Error> {
        let lists = std::iter::once(own).chain(terms.iter().map(|(list, _)| *list));
        let lists: SmallVec<[_; 6]> = lists.collect();
        let numbered: SmallVec<[_; 6]> = (1..=terms.len()).map(|i| (1.0, i)).collect();
        let fixed: SmallVec<[_; 6]> = terms.iter().map(|(_, term)| *term).collect();
        let assignment = [Assignment::new(0, 1.0, &numbered).with_items(&lists)];
        sweep_with(&mut [self], &fixed, &assignment, false, &mut Silent).map(|_| ())
    }

    fn sweep(
        states: &mut [&mut Self],
        fixed: &[&Self],
        assignments: &[Assignment<'_>],
    ) -> Result<bool, Error> {
        sweep_with(
            states,
            fixed,
            assignments,
            is_watched(assignments),
            &mut Silent,
        )
    }

    fn dot_items(&self, other: &Self) -> Result<Vec<f64>, Error> {
        check_shape(self, other)?;
        let arrays = [self, other].map(|array| array.as_standard_layout());
        let [x, y] = [&arrays[0], &arrays[1]].map(|array| array.as_slice().unwrap_or_default());
        Ok(by_item::dot_items(x, y, self.items()))
    }

    fn clamp(&mut self, low: f64, high: f64) -> Result<(), Error> {
        let same = [Assignment::new(0, 1.0, &[]).with_bounds(low, high)];
        sweep_with(&mut [self], &[], &same, false, &mut Silent).map(|_| ())
    }

    fn exp_affine(&mut self, offset: f64, scale: f64) -> Result<(), Error> {
        match self.as_slice_memory_order_mut() {
            Some(values) => exp_affine(values, offset, scale),
            None => self.map_inplace(|y| *y = A::of(exp(offset + scale * y.get()))),
        }
        Ok(())
    }

    fn is_finite(&self) -> bool {
        match self.as_slice_memory_order() {
            Some(values) => A::all_finite(values),
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
        let arrays = [self, other, before].map(|array| array.as_standard_layout());
        let [x, other, before] =
            [&arrays[0], &arrays[1], &arrays[2]].map(|array| array.as_slice().unwrap_or_default());
        let slices = [x, other, before];
        Ok(by_item::error_norms(
            slices,
            self.items(),
            absolute,
            relative,
        ))
    }
}

/// A sweep with noise; `true` where the first array held only finite numbers, or is not watched.
///
/// Refuses what it refuses before anything is changed.
pub(crate) fn sweep_with<A: Real, D: Dimension, N: NoiseBlocks<A::Wide>>(
    states: &mut [&mut Array<A, D>],
    fixed: &[&Array<A, D>],
    assignments: &[Assignment<'_>],
    watched: bool,
    noise: &mut N,
) -> Result<bool, Error> {
    check(states, fixed, assignments)?;
    // The array that the first assignment replaces is the one that the others have to fit.
    let target = assignments.first().and_then(|c| states.get(c.target));
    if let Some(target) = target {
        let changing = states.iter().map(|state| &**state);
        for other in changing.chain(fixed.iter().copied()) {
            check_shape(target, other)?;
        }
    }
    if let Some(finite) = contiguous(states, fixed, assignments, watched, noise) {
        return Ok(finite);
    }
    // Other layouts go through copies, so that there is one loop and a layout changes no bit.
    let mut owned: SmallVec<[_; 3]> = states
        .iter()
        .map(|array| array.as_standard_layout().into_owned())
        .collect();
    let copies: SmallVec<[_; 8]> = fixed
        .iter()
        .map(|array| array.as_standard_layout().into_owned())
        .collect();
    let fixed: SmallVec<[_; 8]> = copies.iter().collect();
    let finite = {
        let mut changing: SmallVec<[_; 3]> = owned.iter_mut().collect();
        contiguous(&mut changing, &fixed, assignments, watched, noise)
    };
    for (array, copy) in states.iter_mut().zip(&owned) {
        array.assign(copy);
    }
    Ok(finite.unwrap_or(true))
}

/// The sweep over slices, where all arrays have the same contiguous layout; noise and coefficients of items, which
/// come in logical order, need the standard one.
fn contiguous<A: Real, D: Dimension, N: NoiseBlocks<A::Wide>>(
    states: &mut [&mut Array<A, D>],
    fixed: &[&Array<A, D>],
    assignments: &[Assignment<'_>],
    watched: bool,
    noise: &mut N,
) -> Option<bool> {
    let first = states.first()?;
    let same = |array: &Array<A, D>| array.strides() == first.strides();
    let alike = states.iter().all(|array| same(array)) && fixed.iter().all(|array| same(array));
    let standard = |array: &Array<A, D>| array.is_standard_layout();
    let ordered =
        states.iter().all(|array| standard(array)) && fixed.iter().all(|array| standard(array));
    let by_items = assignments.iter().any(|a| a.items.is_some());
    if !(ordered || alike && N::SILENT && !by_items) {
        return None;
    }
    let all = first.len();
    let slices = Slices {
        all,
        changing: states
            .iter_mut()
            .map(|array| array.as_slice_memory_order_mut())
            .collect::<Option<_>>()?,
        fixed: fixed
            .iter()
            .map(|array| array.as_slice_memory_order())
            .collect::<Option<_>>()?,
        first: 0,
    };
    Some(sweep(slices, assignments, watched, noise))
}

/// Calls `f` with each batch item; an array without axes is one item.
pub(crate) fn for_each_item<A, D: Dimension>(
    array: &mut Array<A, D>,
    mut f: impl FnMut(usize, ArrayViewMutD<'_, A>),
) {
    if array.ndim() == 0 {
        return f(0, array.view_mut().into_dyn());
    }
    // Items without elements, of which there can be more than anybody can count.
    if array.is_empty() {
        return;
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

/// As many items as are counted where none has an element: an axis beside one of length 0 costs nothing
/// and may be as long as a number can tell.
const MOST_EMPTY: usize = 1 << 10;

/// Number of batch items; an array without axes is one.
pub(crate) fn items(shape: &[usize]) -> usize {
    match shape {
        [] => 1,
        shape if shape.contains(&0) => shape[0].min(MOST_EMPTY),
        shape => shape[0],
    }
}

/// Number of elements of one batch item.
pub(crate) fn item_len<A, D: Dimension>(array: &Array<A, D>) -> usize {
    array.shape().iter().skip(1).product()
}
