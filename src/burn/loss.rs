//! Losses of tensors, which gradients flow through.

use burn_tensor::{Tensor, TensorData};

use super::{
    operations::{made, of_items},
    state::is_empty,
};
use crate::{
    Error,
    per_item::PerItem,
    state::{Elements, State},
    training::{Distance, ItemLosses, Losses, check_mask, check_weights, thresholds},
};

impl<const D: usize> Losses for Tensor<D> {
    type ItemLosses = Tensor<1>;

    fn losses(&self, target: &Self, distance: Distance<'_>) -> Result<Tensor<1>, Error> {
        let each = self.element_losses(target, distance)?;
        let length: usize = self.dims().iter().skip(1).product();
        Ok(sums(each).mul_scalar((length.max(1) as f64).recip()))
    }

    fn element_losses(&self, target: &Self, distance: Distance<'_>) -> Result<Self, Error> {
        self.fits(target).map_err(|error| error.naming("target"))?;
        let items = self.items();
        distance.check(items)?;
        if is_empty(self) {
            return Ok(self.clone());
        }
        let of_items = |delta| -> Result<Self, Error> {
            Ok(of_items(self, &thresholds("delta", delta, items)?).expand(self.dims()))
        };
        let off = self.clone() - target.clone();
        Ok(match distance {
            Distance::Squared => off.square(),
            Distance::Absolute => off.abs(),
            Distance::Huber(delta) => {
                // Of the part within delta half the square, and delta times what is beyond.
                let (size, delta) = (off.abs(), of_items(delta)?);
                let within = size.clone().min_pair(delta.clone());
                let beyond = size - within.clone();
                within.square().mul_scalar(0.5) + beyond * delta
            }
            Distance::PseudoHuber(delta) => {
                let (square, delta) = (off.square(), of_items(delta)?);
                let root = (square.clone() + delta.clone().square()).sqrt();
                square * delta.clone() / (root + delta)
            }
        })
    }

    fn masked_losses(
        &self,
        target: &Self,
        weights: &Self,
        distance: Distance<'_>,
    ) -> Result<Tensor<1>, Error> {
        self.fits(target).map_err(|error| error.naming("target"))?;
        self.fits(weights)
            .map_err(|error| error.naming("weights"))?;
        check_mask(weights.numbers()?)?;
        // What has no weight counts for nothing, also where it is no number, and also in the gradient.
        let none = weights.clone().lower_equal_elem(0.0);
        let target = target.clone().mask_where(none.clone(), self.clone());
        let each = self.element_losses(&target, distance)?;
        if is_empty(self) {
            return Ok(sums(each));
        }
        let counted = (each * weights.clone()).mask_fill(none, 0.0);
        let whole = sums(weights.clone());
        let empty = whole.clone().equal_elem(0.0);
        Ok(sums(counted) / whole.mask_fill(empty, 1.0))
    }

    fn norm_losses(&self, target: &Self, c: PerItem<'_, f64>) -> Result<Tensor<1>, Error> {
        let c = thresholds("c", c, self.items())?;
        let squares = sums(self.element_losses(target, Distance::Squared)?);
        let c = of_items(&squares, &c);
        let root = (squares.clone() + c.clone().square()).sqrt();
        Ok(squares / (root + c))
    }
}

/// The sum over each item's elements.
fn sums<const D: usize>(each: Tensor<D>) -> Tensor<1> {
    let items = each.items();
    if is_empty(&each) {
        return made(&each, TensorData::new(vec![0.0_f32; items], [items]));
    }
    let axes: Vec<usize> = (1..D).collect();
    let sums = match axes.is_empty() {
        true => each,
        false => each.sum_dims(&axes),
    };
    sums.reshape([items])
}

impl ItemLosses for Tensor<1> {
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
