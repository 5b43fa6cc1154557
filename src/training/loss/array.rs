//! The losses of arrays.

use ndarray::{Array, Array1, Dimension};

use super::{Distance, ItemLosses, Losses, check_mask, check_weights, thresholds};
use crate::{
    Error,
    per_item::PerItem,
    state::{Real, State, item_len, items},
};

impl ItemLosses for Array1<f64> {
    type Mean = f64;

    fn weighted_mean(&self, weights: &[&[f64]]) -> Result<f64, Error> {
        check_weights(self.len(), weights)?;
        let mut weighted = self.clone();
        for list in weights {
            weighted
                .iter_mut()
                .zip(*list)
                .for_each(|(loss, weight)| *loss *= weight);
        }
        Ok(weighted.sum() / self.len().max(1) as f64)
    }
}

impl<A: Real, D: Dimension> Losses for Array<A, D> {
    type ItemLosses = Array1<f64>;

    fn losses(&self, target: &Self, distance: Distance<'_>) -> Result<Array1<f64>, Error> {
        let length = item_len(self);
        let sums = summed(self, target, distance)?;
        Ok(sums / length.max(1) as f64)
    }

    fn element_losses(&self, target: &Self, distance: Distance<'_>) -> Result<Self, Error> {
        self.fits(target).map_err(|error| error.naming("target"))?;
        distance.check(self.items())?;
        let length = item_len(self).max(1);
        let mut losses = self.clone();
        let elements = losses.iter_mut().zip(target).enumerate();
        for (i, (p, q)) in elements {
            *p = A::of(distance.of(p.get() - q.get(), i / length));
        }
        Ok(losses)
    }

    fn masked_losses(
        &self,
        target: &Self,
        weights: &Self,
        distance: Distance<'_>,
    ) -> Result<Array1<f64>, Error> {
        self.fits(target).map_err(|error| error.naming("target"))?;
        self.fits(weights)
            .map_err(|error| error.naming("weights"))?;
        distance.check(self.items())?;
        check_mask(weights.iter().map(|w| w.get()))?;
        let length = item_len(self);
        let mut elements = self.iter().zip(target).zip(weights);
        let mut losses = Array1::zeros(items(self.shape()));
        for (item, loss) in losses.iter_mut().enumerate() {
            let (mut sum, mut whole) = (0.0, 0.0);
            for ((p, q), w) in elements.by_ref().take(length) {
                let w = w.get();
                if w != 0.0 {
                    sum += w * distance.of(p.get() - q.get(), item);
                    whole += w;
                }
            }
            *loss = if whole == 0.0 { 0.0 } else { sum / whole };
        }
        Ok(losses)
    }

    fn norm_losses(&self, target: &Self, c: PerItem<'_, f64>) -> Result<Array1<f64>, Error> {
        let c = thresholds("c", c, self.items())?;
        let mut losses = summed(self, target, Distance::Squared)?;
        for (loss, c) in losses.iter_mut().zip(c) {
            *loss /= loss.sqrt().hypot(c) + c;
        }
        Ok(losses)
    }
}

/// The sum of the distances of each item.
fn summed<A: Real, D: Dimension>(
    prediction: &Array<A, D>,
    target: &Array<A, D>,
    distance: Distance<'_>,
) -> Result<Array1<f64>, Error> {
    prediction
        .fits(target)
        .map_err(|error| error.naming("target"))?;
    distance.check(prediction.items())?;
    let length = item_len(prediction);
    let mut sums = Array1::zeros(items(prediction.shape()));
    let mut pairs = prediction.iter().zip(target);
    for (item, sum) in sums.iter_mut().enumerate() {
        let pairs = pairs.by_ref().take(length);
        *sum = pairs
            .map(|(p, q)| distance.of(p.get() - q.get(), item))
            .sum();
    }
    Ok(sums)
}
