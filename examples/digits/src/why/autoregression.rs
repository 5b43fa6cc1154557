//! Some pixels at a time: a network that is shown the pixels so far, and says of every other one how
//! likely each grey level is.

use candle_core::{D, Tensor};
use candle_nn::ops::log_softmax;
use gaussian_diffusion::{
    Step,
    rand::{Rng, SeedableRng, distr::Distribution, distr::weighted::WeightedIndex, rngs::StdRng},
};
use ndarray::{Array2, ArrayView1, Axis, Slice, concatenate};

use super::{
    grey::{LEVELS, level, pixel},
    order::Order,
};
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
pub struct Autoregression {
    pub network: Network,
    pub order: Order,
}

/// Digits of which some pixels are known, as many of each.
#[derive(Debug)]
struct Partial {
    /// 0 where unknown.
    pixels: Array2<f32>,
    /// 1 where known, 0 elsewhere.
    known: Array2<f32>,
}

impl Autoregression {
    pub fn layers() -> Vec<Layer> {
        Network::layers(2 * PIXELS, LEVELS * PIXELS)
    }

    /// Any number of pixels may be known, each as likely as any other; of those that are not, each counts
    /// as much as any other. So one network serves for any number of pixels at a time.
    pub fn trained(order: Order, digits: &Digits, recipe: &Recipe, seed: u64) -> Outcome<Self> {
        let network = Network::new(Weights::seeded(&Self::layers(), seed)?)?;
        let mut rng = StdRng::seed_from_u64(seed);
        descend(order.name(), &network, recipe, || {
            let batch = digits.batch(BATCH, &mut rng);
            loss(&network, order, &batch, &mut rng)
        })?;
        Ok(Self { network, order })
    }

    /// The mean loss of a pixel, in nats.
    pub fn loss(&self, digits: &Digits, seed: u64) -> Outcome<f64> {
        let mut rng = StdRng::seed_from_u64(seed);
        Ok(loss(&self.network, self.order, digits, &mut rng)?.value)
    }

    /// Draws a digit of each class, so many pixels at a time. Without randomness each pixel has its most
    /// likely level, and all digits the same order.
    pub fn draw(
        &self,
        classes: &[Class],
        size: usize,
        random: bool,
        seed: u64,
    ) -> Outcome<Array2<f32>> {
        let mut rng = StdRng::seed_from_u64(seed);
        let orders = match random {
            true => classes.iter().map(|_| self.order.draw(&mut rng)).collect(),
            false => vec![self.order.draw(&mut rng); classes.len()],
        };
        let ask = |partial: &Partial, count: usize| {
            Ok(array(&scores(
                &self.network,
                partial,
                &vec![count; classes.len()],
                classes,
            )?)?)
        };
        let mut choose = |scores: ArrayView1<f32>| match random {
            true => any(scores, &mut rng),
            false => Ok(likeliest(scores)),
        };
        drawn(&orders, size, ask, &mut choose)
    }
}

/// The loop: the network is asked once for each group of pixels.
fn drawn(
    orders: &[Vec<usize>],
    size: usize,
    mut ask: impl FnMut(&Partial, usize) -> Outcome<Array2<f32>>,
    choose: &mut impl FnMut(ArrayView1<f32>) -> Outcome<usize>,
) -> Outcome<Array2<f32>> {
    let mut partial = Partial {
        pixels: Array2::zeros((orders.len(), PIXELS)),
        known: Array2::zeros((orders.len(), PIXELS)),
    };
    for first in (0..PIXELS).step_by(size) {
        let scores = ask(&partial, first)?;
        for (item, order) in orders.iter().enumerate() {
            for &place in order.iter().skip(first).take(size) {
                let levels = Slice::from(LEVELS * place..LEVELS * (place + 1));
                let scores = scores.row(item);
                let level = choose(scores.slice_axis(Axis(0), levels))?;
                partial.pixels[[item, place]] = pixel(level);
                partial.known[[item, place]] = 1.0;
            }
        }
    }
    Ok(partial.pixels)
}

/// Logarithms, up to a constant for each pixel, of the probabilities of levels.
fn scores(
    network: &Network,
    partial: &Partial,
    counts: &[usize],
    classes: &[Class],
) -> Outcome<Tensor> {
    let shown = concatenate(Axis(1), &[partial.pixels.view(), partial.known.view()])?;
    // Told as a time, over about the same range.
    let times: Vec<_> = counts.iter().map(|count| Step::new(15 * count)).collect();
    Ok(network.forward(&tensor(&shown)?, &times, classes)?)
}

fn loss(network: &Network, order: Order, digits: &Digits, rng: &mut StdRng) -> Outcome<Loss> {
    let count = digits.len();
    let mut known = Array2::<f32>::zeros((count, PIXELS));
    let mut weights = known.clone();
    let mut counts = Vec::new();
    for item in 0..count {
        let some = rng.random_range(0..PIXELS);
        let order = order.draw(rng);
        let (before, after) = order.split_at(some);
        before.iter().for_each(|&place| known[[item, place]] = 1.0);
        let weight = 1.0 / (count * after.len()) as f32;
        after
            .iter()
            .for_each(|&place| weights[[item, place]] = weight);
        counts.push(some);
    }
    let partial = Partial {
        pixels: &digits.pixels * &known,
        known,
    };
    let scores = scores(network, &partial, &counts, &digits.classes())?;
    let scores = log_softmax(&scores.reshape((count * PIXELS, LEVELS))?, D::Minus1)?;
    let levels = digits.pixels.iter().map(|&value| level(value) as u32);
    let levels = Tensor::from_iter(levels, scores.device())?.unsqueeze(1)?;
    let said = scores.gather(&levels, 1)?.reshape((count, PIXELS))?;
    let tensor = (said * tensor(&weights)?)?.sum_all()?.neg()?;
    let value = f64::from(tensor.to_scalar::<f32>()?);
    Ok(Loss { tensor, value })
}

/// A level by its probability.
fn any(scores: ArrayView1<f32>, rng: &mut StdRng) -> Outcome<usize> {
    let most = scores.fold(f32::NEG_INFINITY, |most, score| most.max(*score));
    let weights = scores.iter().map(|score| f64::from(score - most).exp());
    Ok(WeightedIndex::new(weights)?.sample(rng))
}

fn likeliest(scores: ArrayView1<f32>) -> usize {
    let all = scores.iter().enumerate();
    all.max_by(|a, b| a.1.total_cmp(b.1))
        .map_or(0, |most| most.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says surely that a pixel is one level darker than there are pixels known, up to the last level.
    fn counting(partial: &Partial, count: usize) -> Outcome<Array2<f32>> {
        for (known, pixels) in partial.known.rows().into_iter().zip(partial.pixels.rows()) {
            assert_eq!(known.sum(), count as f32);
            assert!(
                known
                    .iter()
                    .zip(pixels)
                    .all(|(k, p)| *k == 1.0 || *p == 0.0)
            );
        }
        let level = count.min(LEVELS - 1);
        Ok(Array2::from_shape_fn(
            (partial.pixels.nrows(), LEVELS * PIXELS),
            |(_, j)| if j % LEVELS == level { 0.0 } else { -1e3 },
        ))
    }

    #[test]
    fn pixels_are_drawn_in_their_order_each_group_given_those_before() {
        let mut rng = StdRng::seed_from_u64(1);
        let orders: Vec<_> = (0..3).map(|_| Order::Random.draw(&mut rng)).collect();
        for size in [1, 5, 64] {
            let mut asked = 0;
            let ask = |partial: &Partial, count: usize| {
                asked += 1;
                counting(partial, count)
            };
            let drawn = drawn(&orders, size, ask, &mut |scores: ArrayView1<f32>| {
                any(scores, &mut rng)
            });
            let drawn = drawn.unwrap();
            assert_eq!(asked, PIXELS.div_ceil(size));
            for (digit, order) in drawn.rows().into_iter().zip(&orders) {
                for (place, &at) in order.iter().enumerate() {
                    let before = place / size * size;
                    assert_eq!(digit[at], pixel(before.min(LEVELS - 1)));
                }
            }
        }
    }

    #[test]
    fn levels_are_drawn_by_their_probabilities() {
        let scores = ndarray::array![2.0, 2.0 + 3_f32.ln(), f32::NEG_INFINITY];
        assert_eq!(likeliest(scores.view()), 1);
        let mut rng = StdRng::seed_from_u64(1);
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            counts[any(scores.view(), &mut rng).unwrap()] += 1;
        }
        // Five standard deviations of the count are 217.
        assert!(
            counts[2] == 0 && (counts[0] - 2500_i32).abs() < 217,
            "{counts:?}"
        );
    }

    #[test]
    fn training_lowers_the_loss_and_a_seed_fixes_what_is_drawn() {
        // All pixels of a digit are equal.
        let digits = Digits {
            pixels: Array2::from_shape_fn((10, PIXELS), |(i, _)| pixel(8 * (i % 2))),
            labels: vec![0; 10],
        };
        let network = Autoregression::trained(Order::Random, &digits, &Recipe::of(4), 1).unwrap();
        // Untrained, each of 17 levels is as likely as any other.
        let mut untrained = StdRng::seed_from_u64(2);
        let loss = loss(
            &Network::new(Weights::seeded(&Autoregression::layers(), 1).unwrap()).unwrap(),
            Order::Random,
            &digits,
            &mut untrained,
        );
        assert!((loss.unwrap().value - 17_f64.ln()).abs() < 1e-5);
        let trained = network.loss(&digits, 2).unwrap();
        assert!(trained < 17_f64.ln() - 0.2, "{trained}");

        let draw = |random, seed| network.draw(&[Some(0); 3], 32, random, seed).unwrap();
        let same = draw(false, 1);
        assert!(same.rows().into_iter().all(|digit| digit == same.row(0)));
        assert_eq!(draw(true, 1), draw(true, 1));
        assert_ne!(draw(true, 1), draw(true, 2));
    }
}
