//! Losses of tensors, which gradients flow through.

use burn_tensor::{Tensor, TensorData};

use super::{operations::made, state::is_empty};
use crate::{
    Error,
    state::State,
    training::{Distance, Losses, PerItem, check_weights},
};

impl<const D: usize> Losses for Tensor<D> {
    type PerItem = Tensor<1>;

    fn losses(&self, target: &Self, distance: Distance) -> Result<Tensor<1>, Error> {
        self.fits(target).map_err(|error| error.naming("target"))?;
        let items = self.items();
        if is_empty(self) {
            return Ok(made(self, TensorData::new(vec![0.0_f32; items], [items])));
        }
        let off = self.clone() - target.clone();
        let each = match distance {
            Distance::Squared => off.square(),
            Distance::Absolute => off.abs(),
            Distance::Huber(delta) => {
                // Of the part within delta half the square, and delta times what is beyond.
                let size = off.abs();
                let within = size.clone().clamp_max(delta);
                let beyond = size - within.clone();
                within.square().mul_scalar(0.5) + beyond.mul_scalar(delta)
            }
        };
        let axes: Vec<usize> = (1..D).collect();
        let means = match axes.is_empty() {
            true => each,
            false => each.mean_dims(&axes),
        };
        Ok(means.reshape([items]))
    }
}

impl PerItem for Tensor<1> {
    type Mean = Tensor<1>;

    fn weighted_mean(&self, weights: &[&[f64]]) -> Result<Tensor<1>, Error> {
        let [items] = self.dims();
        let product = check_weights(items, weights)?;
        if items == 0 {
            return Ok(made(self, TensorData::new(vec![0.0_f32], [1])));
        }
        let weights = made(self, TensorData::new(product, [items]));
        Ok((self.clone() * weights)
            .sum()
            .mul_scalar((items as f64).recip()))
    }
}
