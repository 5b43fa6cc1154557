//! Drawing digits, and watching some of them come about.

use std::time::{Duration, Instant};

use gaussian_diffusion::{Denoiser, Noise, Plan, Step};
use indicatif::{ProgressBar, ProgressStyle};
use ndarray::{Array2, Axis, Slice};

use crate::{Outcome, data::PIXELS, network::Network};

/// What a run of a sampler gave.
#[derive(Debug)]
pub struct Drawn {
    /// One row per digit.
    pub pixels: Array2<f32>,
    /// The first digits on their way.
    pub frames: Vec<Frame>,
    /// Time spent in the network.
    pub network: Duration,
    /// Time spent in the sampler: the update of the state and its noise.
    pub sampler: Duration,
}

/// A moment of a run.
#[derive(Debug)]
pub struct Frame {
    /// The noisy states.
    pub state: Array2<f32>,
    /// The digits that the network expected to come of them.
    pub x0: Array2<f32>,
}

/// Draws a digit for each label; keeps so many frames of the first `watched` of them.
///
/// `plan.sample(start, &mut denoiser, &mut noise)` would do, but for the frames and the clock.
pub fn draw(
    plan: &Plan<Step>,
    network: &Network,
    labels: &[usize],
    noise: &mut Noise,
    (watched, frames): (usize, usize),
) -> Outcome<Drawn> {
    let mut denoiser =
        Denoiser::<Array2<f32>, Step>::clipped(network.asked_for(labels), -1.0, 1.0)?;
    let bar = ProgressBar::new(plan.steps() as u64).with_style(ProgressStyle::with_template(
        "{prefix} {bar:40} {pos}/{len}, {eta} left",
    )?);
    bar.set_prefix(plan.name().to_owned());

    let last = plan.steps() - 1;
    let shown: Vec<_> = (0..frames)
        .map(|i| i * last / (frames - 1).max(1))
        .collect();
    let first = |x: &Array2<f32>| x.slice_axis(Axis(0), Slice::from(..watched)).to_owned();
    let mut drawn = Drawn {
        pixels: Array2::zeros((0, PIXELS)),
        frames: Vec::new(),
        network: Duration::ZERO,
        sampler: Duration::ZERO,
    };

    let start = plan.prior((labels.len(), PIXELS), noise)?;
    let mut run = plan.start_from(start, noise)?;
    while let Some((x, at)) = run.pending() {
        let clock = Instant::now();
        let answer = denoiser.predict(x, at)?;
        drawn.network += clock.elapsed();
        if shown.contains(&at.step) {
            let (state, x0) = (first(x), first(&answer.value));
            drawn.frames.push(Frame { state, x0 });
        }
        let clock = Instant::now();
        run.supply(answer, noise)?;
        drawn.sampler += clock.elapsed();
        bar.inc(1);
    }
    bar.finish_and_clear();
    drawn.pixels = run.into_state();
    Ok(drawn)
}
