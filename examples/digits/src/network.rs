//! The network, in candle: everything else here sees arrays of ndarray.

use candle_core::{Result, Tensor};
use candle_nn::{Linear, Module};
use gaussian_diffusion::{Prediction, Step};
use ndarray::{Array2, Axis, Slice};

use crate::{
    Outcome,
    data::{CLASSES, PIXELS},
    weights::{Layer, Weights, array, tensor},
};

const WIDTH: usize = 256;
const BLOCKS: usize = 3;
/// Angles whose sine and cosine tell the network its time.
const ANGLES: usize = 32;
/// What the network is given besides the noisy digit: the time and the class.
const CONDITION: usize = 2 * ANGLES + CLASSES;

/// The class that is asked for; `None` leaves it to the network.
pub type Class = Option<usize>;

/// A residual perceptron that is given a time and a class. For diffusion it is shown a noisy digit, and
/// answers with the velocity and with the place of each pixel's variance in the learned range.
#[derive(Debug)]
pub struct Network {
    pub weights: Weights,
    enter: Linear,
    condition: Linear,
    blocks: Vec<Block>,
    leave: Linear,
}

#[derive(Debug)]
struct Block {
    condition: Linear,
    widen: Linear,
    back: Linear,
}

impl Network {
    pub fn new(weights: Weights) -> Outcome<Self> {
        let layer = |name: &str| weights.layer(name);
        let block = |i: usize| -> Result<Block> {
            Ok(Block {
                condition: layer(&format!("{i}.condition"))?,
                widen: layer(&format!("{i}.widen"))?,
                back: layer(&format!("{i}.back"))?,
            })
        };
        Ok(Self {
            enter: layer("enter")?,
            condition: layer("condition")?,
            blocks: (0..BLOCKS).map(block).collect::<Result<_>>()?,
            leave: layer("leave")?,
            weights,
        })
    }

    /// The layers of diffusion's.
    pub fn of_diffusion() -> Vec<Layer> {
        Self::layers(PIXELS, 2 * PIXELS)
    }

    /// The layers of a network of so many inputs and outputs, by name.
    pub fn layers(inputs: usize, outputs: usize) -> Vec<Layer> {
        // The answer starts at 0, and a block as a small correction.
        let mut layers = vec![
            ("enter".to_owned(), inputs, WIDTH, 1.0),
            ("condition".to_owned(), CONDITION, WIDTH, 1.0),
            ("leave".to_owned(), WIDTH, outputs, 0.0),
        ];
        for i in 0..BLOCKS {
            layers.push((format!("{i}.condition"), WIDTH, WIDTH, 1.0));
            layers.push((format!("{i}.widen"), WIDTH, WIDTH, 1.0));
            layers.push((format!("{i}.back"), WIDTH, WIDTH, 0.3));
        }
        layers
    }

    /// The answer for each item, as a tensor that gradients flow through. For diffusion: first the
    /// velocity, then what is said of the variance.
    pub fn forward(&self, x: &Tensor, times: &[Step], classes: &[Class]) -> Result<Tensor> {
        let condition = self
            .condition
            .forward(&tensor(&condition(times, classes))?)?
            .silu()?;
        let mut h = self.enter.forward(x)?;
        for block in &self.blocks {
            let inner =
                (block.widen.forward(&normalized(&h)?)? + block.condition.forward(&condition)?)?;
            h = (h + block.back.forward(&inner.silu()?)?)?;
        }
        self.leave.forward(&normalized(&h)?.silu()?)
    }

    /// The answer as the crate wants it.
    pub fn predict(
        &self,
        x: &Array2<f32>,
        times: &[Step],
        classes: &[Class],
    ) -> Result<Prediction<Array2<f32>>> {
        prediction(&self.forward(&tensor(x)?, times, classes)?)
    }
}

/// An answer of the network as the crate wants it.
pub fn prediction(answer: &Tensor) -> Result<Prediction<Array2<f32>>> {
    let answer = array(answer)?;
    let half = |part: Slice| answer.slice_axis(Axis(1), part).to_owned();
    let velocity = Prediction::velocity(half(Slice::from(..PIXELS)));
    Ok(velocity.with_variance(half(Slice::from(PIXELS..))))
}

/// Sines and cosines of the time, from less than one to many turns over all steps, and a 1 at the
/// place of the class, if there is one.
fn condition(times: &[Step], classes: &[Class]) -> Array2<f32> {
    let mut condition = Array2::zeros((times.len(), CONDITION));
    for ((mut row, time), class) in condition.rows_mut().into_iter().zip(times).zip(classes) {
        for k in 0..ANGLES {
            let slowness = 10_000_f64.powf(k as f64 / ANGLES as f64);
            let (sin, cos) = (time.get() / slowness).sin_cos();
            row[2 * k] = sin as f32;
            row[2 * k + 1] = cos as f32;
        }
        if let Some(class) = class {
            row[2 * ANGLES + class] = 1.0;
        }
    }
    condition
}

/// Each row with mean square 1. The fused norm of candle-nn has no gradient.
fn normalized(h: &Tensor) -> Result<Tensor> {
    h.broadcast_div(&(h.sqr()?.mean_keepdim(1)? + 1e-6)?.sqrt()?)
}

#[cfg(test)]
pub mod tests {
    use gaussian_diffusion::{
        SeededNoise,
        noise::{NoiseSource, Scale},
    };

    use super::*;

    /// Untrained, but not predicting 0.
    pub fn network(seed: u64) -> Network {
        let weights = Weights::seeded(&Network::of_diffusion(), seed).unwrap();
        let mut values = weights.values().unwrap();
        let mut noise = SeededNoise::new(seed);
        for value in values.iter_mut().filter(|v| v.dim() == (2 * PIXELS, WIDTH)) {
            noise.add(value, Scale::Same(0.1), None).unwrap();
        }
        weights.set(&values).unwrap();
        Network::new(weights).unwrap()
    }

    #[test]
    fn what_is_told_changes_both_answers() {
        let network = network(1);
        let x = Array2::ones((1, PIXELS));
        let ask = |step, class| {
            let answer = network.predict(&x, &[Step::new(step)], &[class]).unwrap();
            (answer.value, answer.variance.unwrap())
        };
        let (value, variance) = ask(10, Some(3));
        assert_eq!((value.dim(), variance.dim()), ((1, PIXELS), (1, PIXELS)));
        for other in [ask(11, Some(3)), ask(10, Some(4)), ask(10, None)] {
            assert!(other.0 != value && other.1 != variance);
        }
    }
}
