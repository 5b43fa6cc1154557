//! Losses of tensors, which gradients flow through.

use candle_core::Tensor;

use crate::{
    Error,
    per_item::PerItem,
    state::{Elements, State},
    training::{Distance, ItemLosses, Losses, check_mask, check_weights, thresholds},
};

impl Losses for Tensor {
    type ItemLosses = Tensor;

    fn losses(&self, target: &Self, distance: Distance<'_>) -> Result<Tensor, Error> {
        let each = self.element_losses(target, distance)?;
        let length = (self.elem_count() / self.items().max(1)).max(1);
        let means = || sums(&each)?.affine((length as f64).recip(), 0.0);
        means().map_err(Error::tensor)
    }

    fn element_losses(&self, target: &Self, distance: Distance<'_>) -> Result<Tensor, Error> {
        self.fits(target).map_err(|error| error.naming("target"))?;
        let items = self.items();
        distance.check(items)?;
        let of_items = |delta| -> Result<Tensor, Error> {
            let delta = thresholds("delta", delta, items)?;
            let delta = super::operations::of_items(self, &delta).map_err(Error::tensor)?;
            delta.broadcast_as(self.shape()).map_err(Error::tensor)
        };
        let losses = match distance {
            Distance::Squared => (self - target).and_then(|off| off.sqr()),
            Distance::Absolute => (self - target).and_then(|off| off.abs()),
            Distance::Huber(delta) => {
                let delta = of_items(delta)?;
                // Of the part within delta half the square, and delta times what is beyond.
                let huber = || {
                    let size = (self - target)?.abs()?;
                    let within = size.minimum(&delta)?;
                    let beyond = (&size - &within)?;
                    within.sqr()?.affine(0.5, 0.0)? + (beyond * &delta)?
                };
                huber()
            }
            Distance::PseudoHuber(delta) => {
                let delta = of_items(delta)?;
                let pseudo = || {
                    let square = (self - target)?.sqr()?;
                    let root = (&square + delta.sqr()?)?.sqrt()?;
                    (square * &delta)? / (root + &delta)?
                };
                pseudo()
            }
        };
        losses.map_err(Error::tensor)
    }

    fn masked_losses(
        &self,
        target: &Self,
        weights: &Self,
        distance: Distance<'_>,
    ) -> Result<Tensor, Error> {
        self.fits(target).map_err(|error| error.naming("target"))?;
        self.fits(weights)
            .map_err(|error| error.naming("weights"))?;
        check_mask(weights.numbers()?)?;
        // What has no weight counts for nothing, also where it is no number, and also in the gradient.
        let target = weights
            .gt(0.0)
            .and_then(|counts| counts.where_cond(target, self));
        let each = self.element_losses(&target.map_err(Error::tensor)?, distance)?;
        let masked = || {
            let none = each.zeros_like()?;
            let counted = weights.gt(0.0)?.where_cond(&(&each * weights)?, &none)?;
            let whole = sums(weights)?;
            let empty = whole.eq(0.0)?.to_dtype(whole.dtype())?;
            sums(&counted)? / (whole + empty)?
        };
        masked().map_err(Error::tensor)
    }

    fn norm_losses(&self, target: &Self, c: PerItem<'_, f64>) -> Result<Tensor, Error> {
        let items = self.items();
        let c = thresholds("c", c, items)?;
        let each = self.element_losses(target, Distance::Squared)?;
        let norms = || {
            let squares = sums(&each)?;
            let c = super::operations::of_items(&squares, &c)?;
            let root = (&squares + c.sqr()?)?.sqrt()?;
            squares / (root + c)?
        };
        norms().map_err(Error::tensor)
    }
}

/// The sum over each item's elements.
fn sums(each: &Tensor) -> candle_core::Result<Tensor> {
    match each.rank() {
        0 => each.reshape(1),
        1 => Ok(each.clone()),
        _ if each.elem_count() == 0 => Tensor::zeros(each.items(), each.dtype(), each.device()),
        _ => each.flatten_from(1)?.sum(1),
    }
}

impl ItemLosses for Tensor {
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
