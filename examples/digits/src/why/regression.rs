//! One shot: a network that is trained to say the digit of a class with the least squared error.
//!
//! It is given noise too, of which it could make different digits. The least error is the mean of all
//! digits of the class, so it learns to leave the noise alone.

use gaussian_diffusion::{
    SeededNoise, Step,
    noise::{NoiseSource, Scale},
    rand::{SeedableRng, rngs::StdRng},
};
use ndarray::Array2;

use crate::{
    Outcome,
    data::{Digits, PIXELS},
    descent::{Loss, descend},
    network::{Class, Network},
    recipe::Recipe,
    train::BATCH,
    weights::{Layer, Weights, array, tensor},
};

#[derive(Debug)]
pub struct Regression(pub Network);

impl Regression {
    pub fn layers() -> Vec<Layer> {
        Network::layers(PIXELS, PIXELS)
    }

    pub fn trained(digits: &Digits, recipe: &Recipe, seed: u64) -> Outcome<Self> {
        let network = Network::new(Weights::seeded(&Self::layers(), seed)?)?;
        let mut rng = StdRng::seed_from_u64(seed);
        let mut noise = SeededNoise::new(seed);
        descend("regression", &network, recipe, || {
            let batch = digits.batch(BATCH, &mut rng);
            let mut z = Array2::zeros(batch.pixels.dim());
            noise.add(&mut z, Scale::Same(1.0), None)?;
            let answer = network.forward(&tensor(&z)?, &now(batch.len()), &batch.classes())?;
            let error = (answer - tensor(&batch.pixels)?)?.sqr()?.mean_all()?;
            let value = f64::from(error.to_scalar::<f32>()?);
            Ok(Loss {
                tensor: error,
                value,
            })
        })?;
        Ok(Self(network))
    }

    /// What is said of each class, given this noise.
    pub fn draw(&self, classes: &[Class], noise: &Array2<f32>) -> Outcome<Array2<f32>> {
        let answer = self
            .0
            .forward(&tensor(noise)?, &now(classes.len()), classes)?;
        Ok(array(&answer)?)
    }
}

/// There is one time only.
fn now(count: usize) -> Vec<Step> {
    vec![Step::new(0); count]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_the_mean_of_a_class_whatever_the_noise() {
        // Of each class a light and a dark digit, whose mean is a checkerboard.
        let mean = |class: usize, j: usize| if class == j % 2 { 0.5 } else { -0.5 };
        let digits = Digits {
            pixels: Array2::from_shape_fn((4, PIXELS), |(i, j)| {
                mean(i / 2, j) + if i % 2 == 0 { 0.4 } else { -0.4 }
            }),
            labels: vec![0, 0, 1, 1],
        };
        let regression = Regression::trained(&digits, &Recipe::of(12), 1).unwrap();
        let said = |noise: f32| {
            let noise = Array2::from_elem((2, PIXELS), noise);
            regression.draw(&[Some(0), Some(1)], &noise).unwrap()
        };
        // Trained for a moment: on the side of the mean, and as far with other noise.
        for ((class, j), pixel) in said(0.5).indexed_iter() {
            assert!(pixel * mean(class, j) > 0.0, "{class} {j} {pixel}");
        }
        let moved = (said(0.5) - said(-0.5)).mapv(f32::abs).mean().unwrap();
        assert!(moved < 0.1, "{moved}");
    }
}
