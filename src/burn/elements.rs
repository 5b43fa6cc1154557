//! [`Elements`] for tensors of burn.

use std::ops::Range;

use burn_tensor::{DType, Tensor, TensorData};
use smallvec::SmallVec;

use super::{
    host::{Noise, all_flex, sweep_on_host},
    operations,
    state::check_all,
};
use crate::{
    Error,
    state::{
        Assignment, Deviation, Draw, Elements, NoiseBlocks, Real, Scale, Scaled, State, add_scaled,
        check_places, misshapen, one_by_one, whole,
    },
};

impl<const D: usize> Elements for Tensor<D> {
    fn shape(&self) -> Vec<usize> {
        self.dims().to_vec()
    }

    fn numbers(&self) -> Result<Vec<f64>, Error> {
        operations::numbers(self)
    }

    fn of_numbers(&self, shape: &[usize], numbers: &[f64]) -> Result<Self, Error> {
        let count: usize = shape.iter().product();
        if shape.len() != D || count != numbers.len() {
            return Err(misshapen("numbers", shape.to_vec(), vec![numbers.len()]));
        }
        Ok(operations::made(
            self,
            TensorData::new(numbers.to_vec(), shape.to_vec()),
        ))
    }

    fn is_double(&self) -> bool {
        self.dtype() == DType::F64
    }

    fn multiply(&mut self, by: &Self) -> Result<(), Error> {
        self.fits(by)?;
        *self = self.clone() * by.clone();
        Ok(())
    }

    fn blend(&mut self, weights: &Self, by: &Self) -> Result<(), Error> {
        self.fits(weights)?;
        self.fits(by)?;
        let rest = weights.clone().mul_scalar(-1.0).add_scalar(1.0);
        let mixed = weights.clone() * by.clone() + rest * self.clone();
        let none = weights.clone().equal_elem(0.0);
        let all = weights.clone().equal_elem(1.0);
        *self = mixed
            .mask_where(none, self.clone())
            .mask_where(all, by.clone());
        Ok(())
    }

    fn above(&self, bound: f64, or_at: bool) -> Result<Self, Error> {
        // A bound between two numbers of the type is not to become one of them.
        let (x, at) = match self.dtype() {
            DType::F64 => (self.clone(), bound),
            _ => (self.clone().cast(DType::F32), below(bound)),
        };
        let above = match or_at && at == bound {
            true => x.greater_equal_elem(at),
            false => x.greater_elem(at),
        };
        Ok(self.zeros_like().mask_fill(above, 1.0))
    }

    fn concatenated(parts: &[&Self]) -> Result<Self, Error> {
        let Some(first) = parts.first() else {
            return Err(Error::range("number of batches", 0.0, "1 or more"));
        };
        let misfit =
            |x: &&&Self| x.dims().get(1..) != first.dims().get(1..) || x.dtype() != first.dtype();
        if let Some(other) = parts.iter().find(misfit) {
            let shapes = [first, other].map(|x| x.dims().to_vec());
            let [expected, found] = shapes;
            return Err(misshapen("batch", expected, found));
        }
        Ok(Tensor::cat(parts.iter().map(|x| (*x).clone()).collect(), 0))
    }

    fn items_at(&self, places: Range<usize>) -> Result<Self, Error> {
        check_places(&places, self.dims().first().copied().unwrap_or(0))?;
        Ok(self.clone().narrow(0, places.start, places.len()))
    }

    fn spread(&self, shape: &[usize]) -> Result<Self, Error> {
        let own = self.dims();
        let refused = || misshapen("shape", own.to_vec(), shape.to_vec());
        let to: [usize; D] = shape.try_into().map_err(|_| refused())?;
        match own.iter().zip(&to).all(|(own, to)| own == to || *own == 1) {
            true => Ok(self.clone().expand(to)),
            false => Err(refused()),
        }
    }

    fn sweep_drawn<G: Draw>(
        states: &mut [&mut Self],
        fixed: &[&Self],
        assignments: &[Assignment<'_>],
        scale: Scale<'_, Self>,
        target: usize,
        draw: &mut G,
    ) -> Result<bool, Error> {
        check_all(states, fixed, assignments)?;
        let Some(x) = states.get(target) else {
            return State::sweep(states, fixed, assignments);
        };
        // Deviations of every element are read in the pass, as a tensor that no assignment names.
        let mut read: SmallVec<[&Self; 8]> = fixed.iter().copied().collect();
        if let Scale::PerElement(std) = scale {
            read.push(std);
        }
        if all_flex(states.iter().map(|x| &**x)).is_some()
            && let Some(read) = all_flex(read)
        {
            let shape = x.dims().to_vec();
            let scale = match scale {
                Scale::Same(std) => Some(Scale::Same(std)),
                Scale::PerItem(stds) => Some(Scale::PerItem(stds)),
                Scale::PerElement(_) => None,
            };
            let mut noise = Drawn { draw, scale, shape };
            return sweep_on_host(states, &read, assignments, &mut noise);
        }
        let z = drawn(x, draw)?;
        one_by_one(states, fixed, assignments, |x| add_scaled(x, scale, &z))
    }
}

/// The largest f32 that is not above this.
fn below(bound: f64) -> f64 {
    let near = bound as f32;
    f64::from(match f64::from(near) > bound {
        true => near.next_down(),
        false => near,
    })
}

/// Standard normals made on the host, in the precision of arrays of the type.
fn drawn<const D: usize, G: Draw>(x: &Tensor<D>, draw: &mut G) -> Result<Tensor<D>, Error> {
    let shape = x.dims();
    let data = match x.is_double() {
        true => TensorData::new(whole::<f64, G>(&shape, draw)?, shape),
        false => TensorData::new(whole::<f32, G>(&shape, draw)?, shape),
    };
    Ok(operations::made(x, data))
}

/// A draw inside the pass of a sweep.
struct Drawn<'a, G> {
    draw: &'a mut G,
    /// None where every element has a deviation of its own.
    scale: Option<Scale<'a, ()>>,
    shape: Vec<usize>,
}

impl<G: Draw> Noise for Drawn<'_, G> {
    fn of<'s, A: Real>(
        &'s mut self,
        fixed: &[&'s [A]],
    ) -> Result<impl NoiseBlocks<A::Wide>, Error> {
        let length = self.shape.iter().skip(1).product::<usize>().max(1);
        let deviation = match self.scale {
            Some(Scale::Same(std)) => Deviation::Same(std),
            Some(Scale::PerItem(list)) => Deviation::PerItem(list, length),
            _ => Deviation::PerElement(fixed.last().copied().unwrap_or_default()),
        };
        let stream = self.draw.stream::<A::Wide>(&self.shape)?;
        Ok(Scaled { stream, deviation })
    }
}
