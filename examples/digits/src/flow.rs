//! The exact likelihood of held-out digits by the probability flow of the same network.
//!
//! The flow gives densities, and digits have probabilities. A digit `x_0` becomes continuous by the
//! noise of the first step, as in training, and the network then tells its levels again:
//!
//! ```text
//! log P(x_0) >= E[ log p(x_1) + log P(x_0 | x_1) ] + entropy of x_1 given x_0
//! ```
//!
//! with the exact `log p(x_1)` where the variational bound has all its steps but the last one.

use std::f64::consts::{E, TAU};

use gaussian_diffusion::{
    Denoiser, ForwardProcess, Grid, ModelVariance, Point, SeededNoise, Step,
    likelihood::{
        Divergence, Estimate, Exact, Hutchinson, LogProbability, Nats, ProbabilityFlow,
        VariationalBound,
    },
    schedule::Discrete,
};
use ndarray::Array2;

use crate::{
    Outcome,
    asked::Asked,
    data::{Digits, PIXELS, levels},
    network::Network,
};

/// Digits with an exact trace, which costs as many products as there are pixels.
const EXACT: usize = 8;
const PROBES: usize = 2;
/// Of a step of the integration; the network itself is not more accurate.
const TOLERANCE: f64 = 1e-4;

/// Prints the likelihood by the flow.
pub fn report(
    network: &Network,
    schedule: &Discrete,
    digits: &Digits,
    noise: &SeededNoise,
) -> Outcome<()> {
    println!("\nthe same by the probability flow");
    println!("divergence       digits           total   integration  evaluations");
    let few: Vec<usize> = (0..EXACT.min(digits.len())).collect();
    let few = digits.select(&few);
    for (name, digits) in [("by probes", digits), ("by probes", &few)] {
        let asked = Asked::new(network, digits.classes());
        let products = |x: &Array2<f32>, at: Point<Step>, probes: &[Array2<f32>]| {
            asked.products(x, at, probes)
        };
        let mut probes = noise.clone().with_first_draw(1 << 41);
        let mut net = Hutchinson::rademacher(&digits.pixels, PROBES, &mut probes, products)?;
        print(name, asked.clone(), &mut net, schedule, digits, noise)?;
    }
    let asked = Asked::new(network, few.classes());
    let mut net = Exact(|x: &Array2<f32>, at: Point<Step>| asked.trace(x, at));
    print(
        "exact trace",
        asked.clone(),
        &mut net,
        schedule,
        &few,
        noise,
    )?;
    println!(
        "
total        bits per pixel: a bound on the same probability of levels as the variational one, and
             comparable with it, with the exact density of the digit and the noise of the first step
             in place of all steps but the last. +- is the standard error of the mean over digits
integration  mean error of the solution as estimated, in bits per pixel"
    );
    Ok(())
}

fn print<N: Divergence<Array2<f32>, Step>>(
    name: &str,
    mut asked: Asked,
    network: &mut N,
    schedule: &Discrete,
    digits: &Digits,
    noise: &SeededNoise,
) -> Outcome<()> {
    // What the noise of the first step makes of the digits, and what is given of them again.
    let (x_1, _) = schedule.draw_jump(&digits.pixels, Step::new(0), &mut noise.clone())?;
    let grid = Grid::every(schedule)?;
    let bound = VariationalBound::new(&grid, ModelVariance::LearnedRange, levels()?)?;
    let last = bound.last();
    let answer = asked.predict(&x_1, last.point)?;
    let decoded = last.reconstruction(&digits.pixels, &x_1, &answer, &levels()?)?;

    let flow = ProbabilityFlow::new(schedule)?.with_tolerance(TOLERANCE)?;
    let found = flow.log_density(&x_1, network)?;
    let sigma = last.point.level.sigma();
    let entropy = Nats::new(0.5 * PIXELS as f64 * (TAU * E * sigma * sigma).ln())?;
    let mut total = Vec::new();
    for (decoded, density) in decoded.iter().zip(&found.log_density) {
        let sum = decoded.nats() + density.value.nats() + entropy;
        total.push(LogProbability::new(sum.get())?);
    }
    let total = Estimate::of(&total)?;
    println!(
        "{name:<14} {:>8} {:>8.3} +- {:.3} {:>13.5} {:>12}",
        digits.len(),
        total.value.bits_per_dim(PIXELS)?.get(),
        total.standard_error.per_dim(PIXELS)?.get(),
        Estimate::of(&found.integration_error)?
            .value
            .per_dim(PIXELS)?
            .get(),
        found.evaluations
    );
    Ok(())
}
