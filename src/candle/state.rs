//! [`State`] and [`ErrorNorm`] for tensors of candle.

use candle_core::{DType, Tensor};
use smallvec::SmallVec;

use super::{
    host::{Host, NUMBERS, in_order, is_on_host, tensor, unsupported, with_elements, with_type},
    operations,
};
use crate::{
    Error,
    state::{
        Assignment, ErrorNorm, NoiseBlocks, Real, Recast, Recasting, Silent, State, anew, by_item,
        check_assignments, exp::exp_affine, is_watched, items, one_by_one, unlike,
    },
};

impl State for Tensor {
    type Keeping = Recasting;

    fn items(&self) -> usize {
        items(self.dims())
    }

    fn fits(&self, other: &Self) -> Result<(), Error> {
        check(self, other)
    }

    fn combine(&mut self, own: f64, terms: &[(f64, &Self)]) -> Result<(), Error> {
        let fixed: SmallVec<[&Self; 6]> = terms.iter().map(|(_, term)| *term).collect();
        fixed.iter().try_for_each(|term| check(self, term))?;
        if is_on_host(fixed.iter().copied().chain([&*self])) {
            let numbered = terms.iter().enumerate().map(|(i, (c, _))| (*c, i + 1));
            let numbered: SmallVec<[_; 6]> = numbered.collect();
            let sum = [Assignment::new(0, own, &numbered).watched(false)];
            return sweep_on_host(&mut [self], &fixed, &sum, &mut Silent).map(|_| ());
        }
        *self = operations::combined(self, own, terms).map_err(Error::tensor)?;
        Ok(())
    }

    fn combine_items(&mut self, own: &[f64], terms: &[(&[f64], &Self)]) -> Result<(), Error> {
        let lists = std::iter::once(own).chain(terms.iter().map(|(list, _)| *list));
        by_item::check_lists(lists, self.items())?;
        let all = || terms.iter().map(|(_, term)| *term);
        all().try_for_each(|term| check(self, term))?;
        if !is_on_host(all().chain([&*self])) || self.elem_count() == 0 {
            *self = operations::combined_items(self, own, terms).map_err(Error::tensor)?;
            return Ok(());
        }
        let tensors = in_order([&*self].into_iter().chain(all()))?;
        let host = Host::new(&tensors);
        let combined = with_type!(self.dtype(), A => {
            let slices = host.slices::<A>()?;
            let mut sum = slices[0].to_vec();
            let terms: SmallVec<[_; 6]> =
                terms.iter().zip(&slices[1..]).map(|((list, _), slice)| (*list, *slice)).collect();
            by_item::combine_items(&mut sum, own, &terms);
            tensor(sum, self)
        });
        drop(host);
        *self = combined.ok_or_else(|| unsupported(self.dtype()))??;
        Ok(())
    }

    fn sweep(
        states: &mut [&mut Self],
        fixed: &[&Self],
        assignments: &[Assignment<'_>],
    ) -> Result<bool, Error> {
        check_all(states, fixed, assignments)?;
        match is_on_host(states.iter().map(|x| &**x).chain(fixed.iter().copied())) {
            true => sweep_on_host(states, fixed, assignments, &mut Silent),
            false => one_by_one(states, fixed, assignments, |_| Ok(())),
        }
    }

    fn dot_items(&self, other: &Self) -> Result<Vec<f64>, Error> {
        check(self, other)?;
        if self.elem_count() == 0 {
            return Ok(vec![0.0; self.items()]);
        }
        if is_on_host([self, other]) {
            let tensors = in_order([self, other].into_iter())?;
            let host = Host::new(&tensors);
            let dots = with_type!(self.dtype(), A => {
                let slices = host.slices::<A>()?;
                by_item::dot_items(slices[0], slices[1], self.items())
            });
            return dots.ok_or_else(|| unsupported(self.dtype()));
        }
        let dots = || {
            let products = operations::widest(self)?.mul(&operations::widest(other)?)?;
            operations::sums_of_items(&products)
        };
        dots().map_err(Error::tensor)
    }

    fn clamp(&mut self, low: f64, high: f64) -> Result<(), Error> {
        if is_on_host([&*self]) {
            let same = [Assignment::new(0, 1.0, &[])
                .with_bounds(low, high)
                .watched(false)];
            return sweep_on_host(&mut [self], &[], &same, &mut Silent).map(|_| ());
        }
        *self = operations::clamped(self, low, high).map_err(Error::tensor)?;
        Ok(())
    }

    fn exp_affine(&mut self, offset: f64, scale: f64) -> Result<(), Error> {
        if !is_on_host([&*self]) {
            let exponent = self.affine(scale, offset).and_then(|x| x.exp());
            *self = exponent.map_err(Error::tensor)?;
            return Ok(());
        }
        let x = self.contiguous().map_err(Error::tensor)?;
        let result = with_type!(self.dtype(), A => {
            let mut numbers = with_elements(&x, <[A]>::to_vec)?;
            exp_affine(&mut numbers, offset, scale);
            tensor(numbers, self)
        });
        *self = result.ok_or_else(|| unsupported(self.dtype()))??;
        Ok(())
    }

    fn is_finite(&self) -> bool {
        if self.elem_count() == 0 {
            return true;
        }
        if !is_on_host([self]) {
            return operations::is_finite(self).unwrap_or(false);
        }
        let Ok(x) = self.contiguous() else {
            return false;
        };
        let finite = with_type!(self.dtype(), A => with_elements(&x, <A as Real>::all_finite));
        // Whole numbers are; what takes a state refuses them for their type.
        finite.is_none_or(|finite| finite.unwrap_or(false))
    }

    fn widened_for(self, x: &Self) -> Self {
        let types = [&self, x].map(Tensor::dtype);
        let wider = types.iter().all(|of| NUMBERS.contains(of))
            && types[0].size_in_bytes() < types[1].size_in_bytes();
        match wider {
            true => self.to_dtype(types[1]).unwrap_or(self),
            false => self,
        }
    }
}

/// What makes the noise of a sweep once the type of the elements is known.
pub(super) trait Noise {
    /// The noise, given the elements of the fixed tensors.
    fn of<'s, A: Real>(&'s mut self, fixed: &[&'s [A]])
    -> Result<impl NoiseBlocks<A::Wide>, Error>;
}

impl Noise for Silent {
    fn of<'s, A: Real>(&'s mut self, _: &[&'s [A]]) -> Result<impl NoiseBlocks<A::Wide>, Error> {
        Ok(*self)
    }
}

/// The sweep by the kernel of this crate, into new tensors.
pub(super) fn sweep_on_host(
    states: &mut [&mut Tensor],
    fixed: &[&Tensor],
    assignments: &[Assignment<'_>],
    noise: &mut impl Noise,
) -> Result<bool, Error> {
    let Some(first) = states.first() else {
        return Ok(true);
    };
    let dtype = first.dtype();
    let tensors = in_order(states.iter().map(|x| &**x).chain(fixed.iter().copied()))?;
    let host = Host::new(&tensors);
    let swept = with_type!(dtype, A => {
        let slices = host.slices::<A>()?;
        let (old, fixed) = slices.split_at(states.len());
        let mut noise = noise.of::<A>(fixed)?;
        let anew = anew::sweep_anew(old, fixed, assignments, is_watched(assignments), &mut noise);
        let replaced: SmallVec<[_; 3]> = anew
            .arrays
            .into_iter()
            .map(|(i, array)| Ok((i, tensor(array, &tensors[i])?)))
            .collect::<Result<_, Error>>()?;
        (replaced, anew.finite)
    });
    drop(host);
    let (replaced, finite) = swept.ok_or_else(|| unsupported(dtype))?;
    for (i, tensor) in replaced {
        if let Some(state) = states.get_mut(i) {
            **state = tensor;
        }
    }
    Ok(finite)
}

/// Refuses a tensor of another shape, type or device.
fn check(this: &Tensor, other: &Tensor) -> Result<(), Error> {
    if this.dims() != other.dims() {
        return Err(Error::Shape {
            what: "tensor",
            expected: this.dims().to_vec(),
            found: other.dims().to_vec(),
        });
    }
    let types = [this, other].map(Tensor::dtype);
    if !NUMBERS.contains(&types[0]) {
        return Err(unsupported(types[0]));
    }
    if types[0] != types[1] {
        return Err(unlike("numbers of type", types));
    }
    if !this.device().same_device(other.device()) {
        return Err(unlike(
            "device",
            [this, other].map(|x| x.device().location()),
        ));
    }
    Ok(())
}

pub(super) fn check_all(
    states: &[&mut Tensor],
    fixed: &[&Tensor],
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

impl ErrorNorm for Tensor {
    fn error_norms(
        &self,
        other: &Self,
        before: &Self,
        absolute: f64,
        relative: f64,
    ) -> Result<Vec<f64>, Error> {
        check(self, other)?;
        check(self, before)?;
        if self.elem_count() == 0 {
            return Ok(vec![0.0; self.items()]);
        }
        if is_on_host([self, other, before]) {
            let tensors = in_order([self, other, before].into_iter())?;
            let host = Host::new(&tensors);
            let norms = with_type!(self.dtype(), A => {
                let slices = host.slices::<A>()?;
                let three = [slices[0], slices[1], slices[2]];
                by_item::error_norms(three, self.items(), absolute, relative)
            });
            return norms.ok_or_else(|| unsupported(self.dtype()));
        }
        let norms = || -> candle_core::Result<Vec<f64>> {
            let [x, other, before] = [self, other, before].map(operations::widest);
            let (x, other, before) = (x?, other?, before?);
            let size = x.abs()?.maximum(&before.abs()?)?.affine(relative, 0.0)?;
            let off = (x.sub(&other)? / size.maximum(absolute)?)?;
            operations::sums_of_items(&off.sqr()?)
        };
        let length = (self.elem_count() / self.items().max(1)) as f64;
        let sums = norms().map_err(Error::tensor)?;
        Ok(sums.iter().map(|sum| (sum / length).sqrt()).collect())
    }
}

impl Recast for Tensor {
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
        match self.device().is_metal() {
            true => DType::F32,
            false => DType::F64,
        }
    }

    fn recast(&self, to: DType) -> Result<Self, Error> {
        self.detach().to_dtype(to).map_err(Error::tensor)
    }

    fn follow(&mut self, from: &Self, to: &Self) -> Result<(), Error> {
        check(from, to)?;
        let followed = || {
            let to_wide = to.to_dtype(self.dtype())?;
            to.ne(from)?.where_cond(&to_wide, self)
        };
        *self = followed().map_err(Error::tensor)?;
        Ok(())
    }
}
