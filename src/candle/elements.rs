//! [`Elements`] for tensors of candle.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use smallvec::SmallVec;

use super::{
    host::is_on_host,
    state::{Noise, check_all, sweep_on_host},
};
use crate::{
    Error,
    state::{
        Assignment, Deviation, Draw, Elements, NoiseBlocks, Real, Scale, Scaled, State, add_scaled,
        check_places, misshapen, one_by_one, whole,
    },
};

impl Elements for Tensor {
    fn shape(&self) -> Vec<usize> {
        self.dims().to_vec()
    }

    fn numbers(&self) -> Result<Vec<f64>, Error> {
        let numbers = || {
            let x = self.detach().to_device(&Device::Cpu)?;
            x.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
        };
        numbers().map_err(Error::tensor)
    }

    fn of_numbers(&self, shape: &[usize], numbers: &[f64]) -> Result<Self, Error> {
        let tensor = || {
            Tensor::from_slice(numbers, shape, &Device::Cpu)?
                .to_dtype(self.dtype())?
                .to_device(self.device())
        };
        tensor().map_err(Error::tensor)
    }

    fn is_double(&self) -> bool {
        self.dtype() == DType::F64
    }

    fn multiply(&mut self, by: &Self) -> Result<(), Error> {
        self.fits(by)?;
        *self = self.mul(by).map_err(Error::tensor)?;
        Ok(())
    }

    fn blend(&mut self, weights: &Self, by: &Self) -> Result<(), Error> {
        self.fits(weights)?;
        self.fits(by)?;
        let blended = || {
            let rest = weights.affine(-1.0, 1.0)?;
            let mixed = ((weights * by)? + (rest * &*self)?)?;
            let some = weights.ne(0.0)?.where_cond(&mixed, self)?;
            weights.eq(1.0)?.where_cond(by, &some)
        };
        *self = blended().map_err(Error::tensor)?;
        Ok(())
    }

    fn above(&self, bound: f64, or_at: bool) -> Result<Self, Error> {
        let mask = || {
            // A bound between two numbers of the type is not to become one of them.
            let (x, at) = match self.dtype() {
                DType::F64 => (self.clone(), bound),
                _ => (self.to_dtype(DType::F32)?, below(bound)),
            };
            let above = match or_at && at == bound {
                true => x.ge(at),
                false => x.gt(at),
            };
            above?.to_dtype(self.dtype())
        };
        mask().map_err(Error::tensor)
    }

    fn concatenated(parts: &[&Self]) -> Result<Self, Error> {
        let Some(first) = parts.first() else {
            return Err(Error::range("number of batches", 0.0, "1 or more"));
        };
        let tail = |x: &Tensor| x.dims().get(1..).map(<[_]>::to_vec);
        let misfit = |x: &&&Tensor| x.rank() == 0 || tail(x) != tail(first);
        if let Some(other) = parts.iter().find(misfit) {
            return Err(misshapen(
                "batch",
                first.dims().to_vec(),
                other.dims().to_vec(),
            ));
        }
        Tensor::cat(parts, 0).map_err(Error::tensor)
    }

    fn items_at(&self, places: Range<usize>) -> Result<Self, Error> {
        check_places(&places, self.dims().first().copied().unwrap_or(0))?;
        if self.rank() == 0 {
            return Ok(self.clone());
        }
        let (start, length) = (places.start, places.len());
        self.narrow(0, start, length).map_err(Error::tensor)
    }

    fn spread(&self, shape: &[usize]) -> Result<Self, Error> {
        if self.rank() != shape.len() {
            return Err(misshapen("shape", self.dims().to_vec(), shape.to_vec()));
        }
        self.broadcast_as(shape).map_err(Error::tensor)
    }

    fn sweep_drawn<D: Draw>(
        states: &mut [&mut Self],
        fixed: &[&Self],
        assignments: &[Assignment<'_>],
        scale: Scale<'_, Self>,
        target: usize,
        draw: &mut D,
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
        if is_on_host(states.iter().map(|x| &**x).chain(read.iter().copied())) {
            let shape = x.dims().to_vec();
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
fn drawn<D: Draw>(x: &Tensor, draw: &mut D) -> Result<Tensor, Error> {
    let shape = x.dims();
    let z = match x.is_double() {
        true => Tensor::from_vec(whole::<f64, D>(shape, draw)?, shape, &Device::Cpu),
        false => Tensor::from_vec(whole::<f32, D>(shape, draw)?, shape, &Device::Cpu),
    };
    let z = z.and_then(|z| z.to_dtype(x.dtype())?.to_device(x.device()));
    z.map_err(Error::tensor)
}

/// A draw inside the pass of a sweep.
struct Drawn<'a, D> {
    draw: &'a mut D,
    scale: Scale<'a, Tensor>,
    shape: Vec<usize>,
}

impl<D: Draw> Noise for Drawn<'_, D> {
    fn of<'s, A: Real>(
        &'s mut self,
        fixed: &[&'s [A]],
    ) -> Result<impl NoiseBlocks<A::Wide>, Error> {
        let length = self.shape.iter().skip(1).product::<usize>().max(1);
        let deviation = match self.scale {
            Scale::Same(std) => Deviation::Same(std),
            Scale::PerItem(list) => Deviation::PerItem(list, length),
            Scale::PerElement(_) => {
                Deviation::PerElement(fixed.last().copied().unwrap_or_default())
            }
        };
        let stream = self.draw.stream::<A::Wide>(&self.shape)?;
        Ok(Scaled { stream, deviation })
    }
}
