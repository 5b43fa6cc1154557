//! Losses of tensors, which gradients flow through.

use candle_core::Tensor;

use crate::{
    Error,
    state::State,
    training::{Distance, Losses, PerItem, check_weights},
};

impl Losses for Tensor {
    type PerItem = Tensor;

    fn losses(&self, target: &Self, distance: Distance) -> Result<Tensor, Error> {
        self.fits(target).map_err(|error| error.naming("target"))?;
        if self.elem_count() == 0 {
            let zeros = Tensor::zeros(self.items(), self.dtype(), self.device());
            return zeros.map_err(Error::tensor);
        }
        let losses = || {
            let off = (self - target)?;
            let each = match distance {
                Distance::Squared => off.sqr()?,
                Distance::Absolute => off.abs()?,
                Distance::Huber(delta) => {
                    // Of the part within delta half the square, and delta times what is beyond.
                    let size = off.abs()?;
                    let within = size.minimum(delta)?;
                    let beyond = (&size - &within)?;
                    (within.sqr()?.affine(0.5, 0.0)? + beyond.affine(delta, 0.0)?)?
                }
            };
            match each.rank() {
                0 => each.reshape(1),
                1 => Ok(each),
                _ => each.flatten_from(1)?.mean(1),
            }
        };
        losses().map_err(Error::tensor)
    }
}

impl PerItem for Tensor {
    type Mean = Tensor;

    fn weighted_mean(&self, weights: &[&[f64]]) -> Result<Tensor, Error> {
        let product = check_weights(self.elem_count(), weights)?;
        let mean = || {
            let weights = super::operations::of_items(self, &product)?;
            let count = self.elem_count().max(1) as f64;
            (self * weights)?.sum_all()? / count
        };
        mean().map_err(Error::tensor)
    }
}
