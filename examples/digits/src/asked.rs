//! The network as the denoiser of samplers and likelihoods.

use candle_core::{Result, Var};
use gaussian_diffusion::{
    Denoiser, Error, Point, Prediction, Step,
    denoiser::{Clip, Corrected},
    guidance::{Combination, Guided},
};
use ndarray::{Array2, ArrayView2, Axis, concatenate};

use crate::{
    data::PIXELS,
    network::{Class, Network, prediction},
    weights::{array, tensor},
};

/// A network with the classes it is asked for, one for each item.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    network: &'a Network,
    classes: Vec<Class>,
    in_blocks: bool,
}

/// What samplers are given: a network asked with and without its class, and its data clipped.
pub type Sampled<'a> = Corrected<Guided<(Asked<'a>, Asked<'a>), Combination>, Clip>;

/// An answer, and products with its Jacobian.
pub type Products = (Prediction<Array2<f32>>, Vec<Array2<f32>>);

impl<'a> Asked<'a> {
    pub fn new(network: &'a Network, classes: Vec<Class>) -> Self {
        Self {
            network,
            classes,
            in_blocks: false,
        }
    }

    /// In blocks of one size: an item's answer has the same bits in every batch.
    #[must_use]
    pub fn in_blocks(mut self) -> Self {
        self.in_blocks = true;
        self
    }

    /// Classifier-free guidance: a scale of 1 takes the class as it is, and asks no more; 0 leaves it
    /// out.
    pub fn guided(self, scale: f64) -> std::result::Result<Sampled<'a>, Error> {
        let without = Self {
            classes: vec![None; self.classes.len()],
            ..self.clone()
        };
        let guided = Guided::new((self, without), Combination::classifier_free(scale)?);
        Ok(Corrected::new(guided, Clip::new(-1.0, 1.0)?))
    }

    /// The answer, and for each of these arrays `v` the product `v^T J` with the Jacobian of the
    /// velocity: all in one batch.
    pub fn products(
        &self,
        x: &Array2<f32>,
        at: Point<Step>,
        vectors: &[Array2<f32>],
    ) -> std::result::Result<Products, Error> {
        let (answer, gradients) = self.pulled(x, at.time, vectors).map_err(Error::network)?;
        let product = |i: usize| rows(&gradients, i, x.nrows()).to_owned();
        let products = (0..vectors.len()).map(product).collect();
        Ok((answer, products))
    }

    /// The answer, and the trace of the Jacobian of the velocity of each item: as many products as
    /// there are pixels.
    pub fn trace(
        &self,
        x: &Array2<f32>,
        at: Point<Step>,
    ) -> std::result::Result<(Prediction<Array2<f32>>, Vec<f64>), Error> {
        let unit = |j| Array2::from_shape_fn(x.dim(), |(_, k)| if j == k { 1.0 } else { 0.0 });
        let units: Vec<_> = (0..x.ncols()).map(unit).collect();
        let (answer, products) = self.products(x, at, &units)?;
        let mut trace = vec![0.0; x.nrows()];
        for (j, product) in products.iter().enumerate() {
            for (sum, value) in trace.iter_mut().zip(product.column(j)) {
                *sum += f64::from(*value);
            }
        }
        Ok((answer, trace))
    }

    /// The gradient of `sum of velocity * v` with respect to the state, one copy of it for each `v`.
    fn pulled(
        &self,
        x: &Array2<f32>,
        time: Step,
        vectors: &[Array2<f32>],
    ) -> Result<(Prediction<Array2<f32>>, Array2<f32>)> {
        let whole = |parts: Vec<ArrayView2<f32>>| {
            concatenate(Axis(0), &parts).map_err(candle_core::Error::wrap)
        };
        let v = whole(vectors.iter().map(|v| v.view()).collect())?;
        let x_all = Var::from_tensor(&tensor(&whole(vec![x.view(); vectors.len()])?)?)?;
        let classes = self.classes.repeat(vectors.len());
        let answer = self
            .network
            .forward(&x_all, &vec![time; classes.len()], &classes)?;
        let gradients = (answer.narrow(1, 0, PIXELS)? * tensor(&v)?)?
            .sum_all()?
            .backward()?;
        let gradient = gradients
            .get(&x_all)
            .ok_or_else(|| candle_core::Error::msg("the answer does not depend on the state"))?;
        let first = prediction(&answer.narrow(0, 0, x.nrows())?)?;
        Ok((first, array(gradient)?))
    }
}

/// The part of a batch of copies that belongs to this copy.
fn rows(all: &Array2<f32>, copy: usize, items: usize) -> ArrayView2<'_, f32> {
    let range = copy * items..(copy + 1) * items;
    all.slice_axis(Axis(0), ndarray::Slice::from(range))
}

impl Denoiser<Array2<f32>, Step> for Asked<'_> {
    fn predict(
        &mut self,
        x: &Array2<f32>,
        at: Point<Step>,
    ) -> std::result::Result<Prediction<Array2<f32>>, Error> {
        let times = vec![at.time; x.nrows()];
        let answer = if self.in_blocks {
            self.network.predict_in_blocks(x, &times, &self.classes)
        } else {
            self.network.predict(x, &times, &self.classes)
        };
        answer.map_err(Error::network)
    }
}

#[cfg(test)]
mod tests {
    use gaussian_diffusion::NoiseLevel;

    use super::*;
    use crate::network::tests::network;

    fn x() -> Array2<f32> {
        Array2::from_shape_fn((2, PIXELS), |(i, j)| (i as f32 - j as f32 / 60.0).sin())
    }

    fn at() -> Point<Step> {
        let level = NoiseLevel::new(0.6, 0.8).unwrap();
        Point::new(Step::new(300), level, NoiseLevel::CLEAN)
    }

    #[test]
    fn guidance_moves_along_the_difference_and_stays_in_the_range() {
        let network = network(1);
        let asked = Asked::new(&network, vec![Some(2), Some(7)]);
        let of = |scale| {
            let mut guided = asked.clone().guided(scale).unwrap();
            guided.predict(&(x() * 0.1), at()).unwrap().value
        };
        let (none, class, twice) = (of(0.0), of(1.0), of(2.0));
        let inside = |value: f32| value.abs() < 1.0;
        for ((none, class), twice) in none.iter().zip(&class).zip(&twice) {
            if inside(*none) && inside(*class) && inside(*twice) {
                assert!((class - none - (twice - class)).abs() < 1e-5);
            }
            assert!(twice.abs() <= 1.0);
        }
        assert_ne!(class, twice);
    }

    #[test]
    fn products_with_the_jacobian_are_differences_of_answers() {
        let network = network(1);
        let mut asked = Asked::new(&network, vec![Some(2), None]);
        let (answer, trace) = asked.trace(&x(), at()).unwrap();
        // In another batch the products are summed in another order.
        let alone = asked.predict(&x(), at()).unwrap().value;
        let off = |(a, b): (&f32, &f32)| (a - b).abs();
        assert!(
            answer
                .value
                .iter()
                .zip(&alone)
                .map(off)
                .all(|off| off < 1e-5)
        );
        for (item, trace) in trace.iter().enumerate() {
            let mut sum = 0.0;
            for j in 0..PIXELS {
                let mut ask = |step: f32| {
                    let mut x = x();
                    x[[item, j]] += step;
                    f64::from(asked.predict(&x, at()).unwrap().value[[item, j]])
                };
                sum += (ask(0.01) - ask(-0.01)) / 0.02;
            }
            // The error of the differences is about 1e-7 / 0.02 for each of 64.
            assert!(
                (trace - sum).abs() < 1e-3 * (1.0 + sum.abs()),
                "{trace} {sum}"
            );
        }
    }
}
