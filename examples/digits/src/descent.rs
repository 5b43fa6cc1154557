//! Training of a network on whatever is to be learned: the loop that all tasks share.

use std::f64::consts::PI;

use candle_core::Tensor;
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use gaussian_diffusion::training::Ema;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{Outcome, network::Network, recipe::Recipe};

const RATE: f64 = 2e-3;

/// What a network makes of a batch.
#[derive(Debug)]
pub struct Loss {
    /// A number whose gradient is followed.
    pub tensor: Tensor,
    /// What is shown of it.
    pub value: f64,
}

/// Follows the gradient of one batch after the other, and leaves the network with the running average of
/// its weights.
pub fn descend(
    name: &str,
    network: &Network,
    recipe: &Recipe,
    mut batch: impl FnMut() -> Outcome<Loss>,
) -> Outcome<()> {
    let rule = recipe.ema()?;
    let start = network.weights.values()?.into_iter();
    let mut averages: Vec<_> = start.map(|value| Ema::new(rule, value)).collect();
    let mut optimizer = AdamW::new(
        network.weights.variables(),
        ParamsAdamW {
            weight_decay: 1e-3,
            ..ParamsAdamW::default()
        },
    )?;
    let batches = recipe.train_steps;
    let style = "training {prefix} {bar:40} {pos}/{len} {msg}, {eta} left";
    let bar = ProgressBar::new(batches as u64)
        .with_prefix(name.to_owned())
        .with_style(ProgressStyle::with_template(style)?);
    let mut mean = 1.0;
    for done in 0..batches {
        let loss = batch()?;
        optimizer.set_learning_rate(rate(done as f64 / batches as f64));
        optimizer.backward_step(&loss.tensor)?;
        for (average, value) in averages.iter_mut().zip(network.weights.values()?) {
            average.update(&value)?;
        }
        mean += 0.02 * (loss.value - mean);
        bar.set_message(format!("loss {mean:.4}"));
        bar.inc(1);
    }
    bar.finish_and_clear();
    network.weights.set(averages.iter().map(Ema::average))?;
    Ok(())
}

/// The learning rate: a short rise, and then half a cosine down to 0.
fn rate(done: f64) -> f64 {
    RATE * (done / 0.02).min(1.0) * 0.5 * (1.0 + (PI * done).cos())
}
