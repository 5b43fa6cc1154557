//! Training: noise the digits, ask for the velocity, compare.

use std::f64::consts::PI;

use candle_nn::{AdamW, Optimizer, ParamsAdamW, loss};
use gaussian_diffusion::{
    ForwardProcess, Noise, Parameterization, Step,
    rand::{Rng, SeedableRng, rngs::StdRng},
    schedule::Discrete,
    training::squared_error,
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    Outcome,
    data::Digits,
    network::{Network, tensor},
};

const BATCH: usize = 128;
const RATE: f64 = 2e-3;

/// Trains for so many batches.
pub fn train(
    network: &Network,
    schedule: &Discrete,
    digits: &Digits,
    batches: usize,
    seed: u64,
) -> Outcome<()> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut noise = Noise::seeded(seed);
    let mut optimizer = AdamW::new(
        network.variables(),
        ParamsAdamW {
            weight_decay: 1e-3,
            ..ParamsAdamW::default()
        },
    )?;
    let bar = ProgressBar::new(batches as u64).with_style(ProgressStyle::with_template(
        "training {bar:40} {pos}/{len} {msg}, {eta} left",
    )?);
    let mut mean = 1.0;
    for batch in 0..batches {
        let places: Vec<_> = (0..BATCH)
            .map(|_| rng.random_range(0..digits.len()))
            .collect();
        let times: Vec<_> = (0..BATCH)
            .map(|_| Step::new(rng.random_range(0..schedule.len())))
            .collect();
        let Digits { pixels: x0, labels } = digits.select(&places);

        let (xt, eps) = schedule.draw_jump(&x0, &times, &mut noise)?;
        let target = schedule.target(Parameterization::Velocity, &x0, &times, &eps)?;
        // The gradient has to flow through the loss, so that it is candle's.
        let loss = loss::mse(&network.forward(&xt, &times, &labels)?, &tensor(&target)?)?;

        optimizer.set_learning_rate(rate(batch as f64 / batches as f64));
        optimizer.backward_step(&loss)?;
        mean += 0.02 * (f64::from(loss.to_scalar::<f32>()?) - mean);
        bar.set_message(format!("loss {mean:.4}"));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// The learning rate: a short rise, and then half a cosine down to 0, which does for the samples
/// what an average of the weights would.
fn rate(done: f64) -> f64 {
    RATE * (done / 0.02).min(1.0) * 0.5 * (1.0 + (PI * done).cos())
}

/// The mean loss at ten times spread over the schedule, by the crate's own measure.
pub fn mean_loss(
    network: &Network,
    schedule: &Discrete,
    digits: &Digits,
    noise: &mut Noise,
) -> Outcome<f64> {
    const TIMES: usize = 10;
    let mut sum = 0.0;
    for i in 0..TIMES {
        let step = Step::new((2 * i + 1) * schedule.len() / (2 * TIMES));
        let (xt, eps) = schedule.draw_jump(&digits.pixels, step, noise)?;
        let target = schedule.target(Parameterization::Velocity, &digits.pixels, step, &eps)?;
        let answer = network.velocity(&xt, &vec![step; digits.len()], &digits.labels)?;
        sum += squared_error(&answer, &target)?.mean().unwrap_or(f64::NAN);
    }
    Ok(sum / TIMES as f64)
}
