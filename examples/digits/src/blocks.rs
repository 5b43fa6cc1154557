//! The network asked in blocks of one size.
//!
//! A library of matrices chooses how it adds up by the shape of its matrices, so that an item's answer in a
//! batch of 7 and in one of 8 differ in their last bits. Where every product has the same shape, whatever
//! the batch, an item's answer is a matter of that item alone.

use candle_core::{Result, Tensor};
use gaussian_diffusion::{Prediction, Step};
use ndarray::{Array2, Axis, Slice};

use crate::{
    data::PIXELS,
    network::{Class, Network, prediction},
    weights::tensor,
};

/// Items of a block.
pub const BLOCK: usize = 16;

impl Network {
    /// The same as [`predict`](Self::predict) in blocks, the last one filled up with items that nobody asked for.
    pub fn predict_in_blocks(
        &self,
        x: &Array2<f32>,
        times: &[Step],
        classes: &[Class],
    ) -> Result<Prediction<Array2<f32>>> {
        let items = x.nrows();
        let filled = items.max(1).next_multiple_of(BLOCK);
        let mut all = Array2::zeros((filled, PIXELS));
        all.slice_axis_mut(Axis(0), Slice::from(..items)).assign(x);
        let (mut times, mut classes) = (times.to_vec(), classes.to_vec());
        times.resize(filled, Step::new(0));
        classes.resize(filled, None);

        let all = tensor(&all)?;
        let parts = times.chunks(BLOCK).zip(classes.chunks(BLOCK)).enumerate();
        let answers = parts.map(|(i, (times, classes))| {
            self.forward(&all.narrow(0, i * BLOCK, BLOCK)?, times, classes)
        });
        let answers = Tensor::cat(&answers.collect::<Result<Vec<_>>>()?, 0)?;
        prediction(&answers.narrow(0, 0, items)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::tests::network;

    #[test]
    fn an_answer_has_the_same_bits_in_every_batch_and_at_every_place() {
        let network = network(1);
        let x = Array2::from_shape_fn((40, PIXELS), |(i, j)| ((i * PIXELS + j) as f32).sin());
        let times: Vec<_> = (0..40).map(|i| Step::new(25 * i)).collect();
        let classes: Vec<_> = (0..40).map(|i| (i % 11 < 10).then_some(i % 11)).collect();
        let ask = |first: usize, end: usize| {
            let x = x.slice_axis(Axis(0), Slice::from(first..end)).to_owned();
            let (times, classes) = (&times[first..end], &classes[first..end]);
            network.predict_in_blocks(&x, times, classes).unwrap()
        };
        let bits = |x: &Array2<f32>, row: usize| x.row(row).mapv(f32::to_bits);
        let all = ask(0, 40);
        for (first, end) in (0..40)
            .step_by(7)
            .flat_map(|first| [(first, first + 1), (first, 40), (0, first)])
        {
            let part = ask(first, end);
            for (row, item) in (first..end).enumerate() {
                assert_eq!(
                    bits(&part.value, row),
                    bits(&all.value, item),
                    "{first} {item}"
                );
                let of = |answer: &Prediction<_>, row| bits(answer.variance.as_ref().unwrap(), row);
                assert_eq!(of(&part, row), of(&all, item), "{first} {item}");
            }
        }
        // And they are the answers of the network, which adds up in another order.
        let plain = network.predict(&x, &times, &classes).unwrap();
        let largest = plain
            .value
            .iter()
            .fold(0.0_f32, |most, x| most.max(x.abs()));
        assert!(largest > 0.1);
        assert!(
            (&plain.value - &all.value)
                .iter()
                .all(|off| off.abs() < 1e-5 * largest)
        );
    }
}
