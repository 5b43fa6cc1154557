//! [`State`] and [`ErrorNorm`] for tensors of burn.

use burn_flex::FlexTensor;
use burn_tensor::{DType, Tensor};
use smallvec::SmallVec;

use super::{
    host::{NUMBERS, all_flex, sweep_on_host, unsupported, with_type},
    operations,
};
use crate::{
    Error,
    state::{
        Assignment, ErrorNorm, Real, Recast, Recasting, Silent, State, by_item, check_assignments,
        exp::exp_affine, items, one_by_one, unlike,
    },
};

impl<const D: usize> State for Tensor<D> {
    type Keeping = Recasting;

    fn items(&self) -> usize {
        items(&self.dims())
    }

    fn fits(&self, other: &Self) -> Result<(), Error> {
        check(self, other)
    }

    fn combine(&mut self, own: f64, terms: &[(f64, &Self)]) -> Result<(), Error> {
        let all = || terms.iter().map(|(_, term)| *term);
        all().try_for_each(|term| check(self, term))?;
        if all_flex([&*self]).is_some()
            && let Some(fixed) = all_flex(all())
        {
            let numbered = terms.iter().enumerate().map(|(i, (c, _))| (*c, i + 1));
            let numbered: SmallVec<[_; 6]> = numbered.collect();
            let sum = [Assignment::new(0, own, &numbered).watched(false)];
            return sweep_on_host(&mut [self], &fixed, &sum, &mut Silent).map(|_| ());
        }
        *self = operations::combined(self, own, terms);
        Ok(())
    }

    fn combine_items(&mut self, own: &[f64], terms: &[(&[f64], &Self)]) -> Result<(), Error> {
        let lists = std::iter::once(own).chain(terms.iter().map(|(list, _)| *list));
        by_item::check_lists(lists, self.items())?;
        let all = || terms.iter().map(|(_, term)| *term);
        all().try_for_each(|term| check(self, term))?;
        if is_empty(self) {
            return Ok(());
        }
        let tensors = all_flex([&*self].into_iter().chain(all()));
        let Some(tensors) = tensors else {
            *self = operations::combined_items(self, own, terms);
            return Ok(());
        };
        let combined = with_type!(self.dtype(), A => {
            let slices: SmallVec<[&[A]; 8]> =
                tensors.iter().map(|x| FlexTensor::as_slice::<A>(x).unwrap_or_default()).collect();
            let mut sum = slices[0].to_vec();
            let terms: SmallVec<[_; 6]> =
                terms.iter().zip(&slices[1..]).map(|((list, _), slice)| (*list, *slice)).collect();
            by_item::combine_items(&mut sum, own, &terms);
            operations::made(self, burn_tensor::TensorData::new(sum, self.dims()))
        });
        *self = combined.ok_or_else(|| unsupported(self.dtype()))?;
        Ok(())
    }

    fn sweep(
        states: &mut [&mut Self],
        fixed: &[&Self],
        assignments: &[Assignment<'_>],
    ) -> Result<bool, Error> {
        check_all(states, fixed, assignments)?;
        if all_flex(states.iter().map(|x| &**x)).is_some()
            && let Some(fixed) = all_flex(fixed.iter().copied())
        {
            return sweep_on_host(states, &fixed, assignments, &mut Silent);
        }
        one_by_one(states, fixed, assignments, |_| Ok(()))
    }

    fn dot_items(&self, other: &Self) -> Result<Vec<f64>, Error> {
        check(self, other)?;
        if is_empty(self) {
            return Ok(vec![0.0; self.items()]);
        }
        let Some(pair) = all_flex([self, other]) else {
            return operations::sums_of_items(operations::widest(self) * operations::widest(other));
        };
        let dots = with_type!(self.dtype(), A => {
            let slice = |i: usize| FlexTensor::as_slice::<A>(&pair[i]).unwrap_or_default();
            by_item::dot_items(slice(0), slice(1), self.items())
        });
        dots.ok_or_else(|| unsupported(self.dtype()))
    }

    fn clamp(&mut self, low: f64, high: f64) -> Result<(), Error> {
        if all_flex([&*self]).is_some() {
            let same = Assignment::new(0, 1.0, &[]).with_bounds(low, high);
            let same = [same.watched(false)];
            return sweep_on_host(&mut [self], &[], &same, &mut Silent).map(|_| ());
        }
        *self = operations::clamped(self, low, high);
        Ok(())
    }

    fn exp_affine(&mut self, offset: f64, scale: f64) -> Result<(), Error> {
        let Some(x) = all_flex([&*self]) else {
            *self = self.clone().mul_scalar(scale).add_scalar(offset).exp();
            return Ok(());
        };
        let result = with_type!(self.dtype(), A => {
            let mut numbers = FlexTensor::as_slice::<A>(&x[0]).unwrap_or_default().to_vec();
            exp_affine(&mut numbers, offset, scale);
            operations::made(self, burn_tensor::TensorData::new(numbers, self.dims()))
        });
        *self = result.ok_or_else(|| unsupported(self.dtype()))?;
        Ok(())
    }

    fn is_finite(&self) -> bool {
        if is_empty(self) {
            return true;
        }
        let Some(x) = all_flex([self]) else {
            return operations::is_finite(self).unwrap_or(false);
        };
        with_type!(self.dtype(), A => {
            <A as Real>::all_finite(FlexTensor::as_slice::<A>(&x[0]).unwrap_or_default())
        })
        .unwrap_or(true)
    }

    fn widened_for(self, x: &Self) -> Self {
        let types = [&self, x].map(|x| x.dtype());
        match types.iter().all(|of| NUMBERS.contains(of)) && types[0].size() < types[1].size() {
            true => self.cast(types[1]),
            false => self,
        }
    }
}

pub(super) fn is_empty<const D: usize>(x: &Tensor<D>) -> bool {
    x.dims().contains(&0)
}

/// Refuses a tensor of another shape, type or device.
fn check<const D: usize>(this: &Tensor<D>, other: &Tensor<D>) -> Result<(), Error> {
    if this.dims() != other.dims() {
        return Err(Error::Shape {
            what: "tensor",
            expected: this.dims().to_vec(),
            found: other.dims().to_vec(),
        });
    }
    let types = [this, other].map(|x| x.dtype());
    if !NUMBERS.contains(&types[0]) {
        return Err(unsupported(types[0]));
    }
    if types[0] != types[1] {
        return Err(unlike("numbers of type", types));
    }
    let devices = [this, other].map(|x| x.device());
    if devices[0] != devices[1] {
        return Err(unlike("device", devices));
    }
    Ok(())
}

pub(super) fn check_all<const D: usize>(
    states: &[&mut Tensor<D>],
    fixed: &[&Tensor<D>],
    assignments: &[Assignment<'_>],
) -> Result<(), Error> {
    check_assignments(states, fixed, assignments)?;
    // The tensor that the first assignment replaces is the one that the others have to fit.
    let target = assignments.first().and_then(|c| states.get(c.target));
    let Some(target) = target else {
        return Ok(());
    };
    let states = states.iter().map(|state| &**state);
    states
        .chain(fixed.iter().copied())
        .try_for_each(|other| check(target, other))
}

impl<const D: usize> ErrorNorm for Tensor<D> {
    fn error_norms(
        &self,
        other: &Self,
        before: &Self,
        absolute: f64,
        relative: f64,
    ) -> Result<Vec<f64>, Error> {
        check(self, other)?;
        check(self, before)?;
        if is_empty(self) {
            return Ok(vec![0.0; self.items()]);
        }
        if let Some(three) = all_flex([self, other, before]) {
            let norms = with_type!(self.dtype(), A => {
                let slice = |i: usize| FlexTensor::as_slice::<A>(&three[i]).unwrap_or_default();
                by_item::error_norms([slice(0), slice(1), slice(2)], self.items(), absolute, relative)
            });
            return norms.ok_or_else(|| unsupported(self.dtype()));
        }
        let [x, other, before] = [self, other, before].map(operations::widest);
        let size = x.clone().abs().max_pair(before.abs()).mul_scalar(relative);
        let small = size.clone().lower_elem(absolute);
        let off = (x - other) / size.mask_fill(small, absolute);
        let length = (self.dims().iter().product::<usize>() / self.items().max(1)) as f64;
        let sums = operations::sums_of_items(off.square())?;
        Ok(sums.iter().map(|sum| (sum / length).sqrt()).collect())
    }
}

impl<const D: usize> Recast for Tensor<D> {
    type Type = DType;

    fn number_type(&self) -> DType {
        self.dtype()
    }

    fn kept_type(of: DType) -> DType {
        match of {
            DType::F16 | DType::BF16 => DType::F32,
            other => other,
        }
    }

    fn sum_type(&self) -> DType {
        match self.device().supports_dtype(DType::F64) {
            true => DType::F64,
            false => DType::F32,
        }
    }

    fn recast(&self, to: DType) -> Result<Self, Error> {
        let x = self.clone().without_autodiff();
        match to == self.dtype() {
            true => Ok(x),
            false if to.is_float() && self.dtype().is_float() => Ok(x.cast(to)),
            false => Err(unsupported(to)),
        }
    }

    fn follow(&mut self, from: &Self, to: &Self) -> Result<(), Error> {
        check(from, to)?;
        let changed = to.clone().not_equal(from.clone());
        let to = to.clone().cast(self.dtype());
        *self = self.clone().mask_where(changed, to);
        Ok(())
    }
}
