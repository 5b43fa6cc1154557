//! Drawing digits, and watching some of them come about.

use std::time::{Duration, Instant};

use gaussian_diffusion::{Denoiser, Plan, SeededNoise, Step};
use indicatif::{ProgressBar, ProgressStyle};
use ndarray::{Array2, Axis, Slice};

use crate::{
    Outcome,
    asked::Asked,
    data::PIXELS,
    network::{Class, Network},
};

/// Digits watched on their way, and moments at which they are.
const WATCHED: usize = 4;
pub const FRAMES: usize = 11;

/// What a run of a sampler gave.
#[derive(Debug)]
pub struct Drawn {
    /// Name of the solver, and the number of steps it took.
    pub solver: String,
    pub steps: usize,
    /// One row per digit.
    pub pixels: Array2<f32>,
    /// The first digits on their way.
    pub frames: Vec<Frame>,
    /// Time spent in the network.
    pub network: Duration,
    /// Time spent in the sampler: the updates of the state and their noise.
    pub sampler: Duration,
}

impl Drawn {
    /// The solver without what the user chose of it.
    pub fn short_name(&self) -> &str {
        self.solver.split(',').next().unwrap_or_default()
    }
}

/// A moment of a run.
#[derive(Debug)]
pub struct Frame {
    /// How much noise is in the states.
    pub sigma: f64,
    /// The noisy states.
    pub state: Array2<f32>,
    /// The digits that the network expected to come of them.
    pub x0: Array2<f32>,
}

/// Draws a digit of each of these classes, guided by this scale.
///
/// `plan.sample(start, &mut denoiser, &mut noise)` would do; this is its loop, with a bar, a clock and
/// an eye on the first digits.
pub fn draw(
    plan: &Plan<Step>,
    network: &Network,
    classes: &[Class],
    guidance: f64,
    noise: &mut SeededNoise,
) -> Outcome<Drawn> {
    let mut denoiser = Asked::new(network, classes.to_vec()).guided(guidance)?;
    let style = ProgressStyle::with_template("{prefix} {bar:40} {pos}/{len}, {eta} left")?;
    let bar = ProgressBar::new(plan.steps() as u64).with_style(style);
    bar.set_prefix(plan.name().to_owned());
    let shown: Vec<usize> = (0..FRAMES)
        .map(|i| i * (plan.steps() - 1) / (FRAMES - 1))
        .collect();
    let (mut frames, mut in_network, mut in_sampler) = (Vec::new(), Duration::ZERO, Duration::ZERO);

    let start = plan.prior((classes.len(), PIXELS), noise)?;
    let mut run = plan.start_from(start, noise)?;
    while let Some((x, at)) = run.pending() {
        let clock = Instant::now();
        let answer = denoiser.predict(x, at)?;
        in_network += clock.elapsed();

        if shown.contains(&at.step) {
            frames.push(Frame {
                sigma: at.level.sigma(),
                state: first(x),
                x0: first(&answer.value),
            });
        }

        let clock = Instant::now();
        run.supply(answer, noise)?;
        in_sampler += clock.elapsed();
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Drawn {
        solver: plan.name().to_owned(),
        steps: plan.steps(),
        pixels: run.into_state(),
        frames,
        network: in_network,
        sampler: in_sampler,
    })
}

fn first(x: &Array2<f32>) -> Array2<f32> {
    let rows = Slice::from(..WATCHED.min(x.nrows()));
    x.slice_axis(Axis(0), rows).to_owned()
}

#[cfg(test)]
mod tests {
    use gaussian_diffusion::{Grid, ModelVariance, schedule::Discrete, solver::Ddpm};

    use super::*;
    use crate::network::tests::network;

    #[test]
    fn a_watched_run_is_the_run_of_the_plan() {
        let schedule = Discrete::cosine(1000).unwrap();
        let grid = Grid::trailing(&schedule, 20).unwrap();
        let solver = Ddpm::new(ModelVariance::LearnedRange);
        let plan = Plan::new(&schedule, &grid, &solver).unwrap();
        let network = network(1);
        let classes = [3, 1, 4, 1, 5].map(Some);
        let drawn = draw(&plan, &network, &classes, 2.0, &mut SeededNoise::new(2)).unwrap();

        let mut noise = SeededNoise::new(2);
        let start = plan.prior((5, PIXELS), &mut noise).unwrap();
        let mut net = Asked::new(&network, classes.to_vec()).guided(2.0).unwrap();
        let frames = &drawn.frames;
        assert_eq!((frames.len(), frames[0].state.nrows()), (FRAMES, WATCHED));
        assert_eq!(frames[0].state, first(&start));
        assert_eq!(
            drawn.pixels,
            plan.sample(start, &mut net, &mut noise).unwrap()
        );
        // The last prediction is what is drawn.
        assert_eq!(frames[FRAMES - 1].x0, first(&drawn.pixels));
    }
}
