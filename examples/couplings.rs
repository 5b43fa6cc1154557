//! How straight the flow is that a network learns from pairs of noise and data.
//!
//! `cargo run --release --features assignment --example couplings` pairs noise with the data of a mixture in the
//! plane in several ways and prints, for each, what no network can learn away:
//!
//! - `length`: the mean squared distance of a pair, which optimal transport makes least;
//! - `bend`: the variance of the velocity of a pair where it is known where the path is, `E |v - E[v | x_t]|^2`, the
//!   mean over `t`. It is 0 for a flow of straight lines, which one step follows;
//! - `one step`: the share of the variance of the data that one step of the exact flow keeps, and which is lost where
//!   a noise goes with any data.
//!
//! The variances come from neighbours: two paths that pass near each other at the same time tell by half their squared
//! difference of velocities. For independent pairs both are closed forms, printed beside.

#[path = "shared/plane.rs"]
#[allow(dead_code)]
mod plane;

use std::{error::Error, process::ExitCode, time::Instant};

use gaussian_diffusion::{
    ForwardProcess, GaussianMixture, NoiseSchedule, Parameterization, SeededNoise, Time,
    noise::{NoiseSource, Scale},
    rand::{SeedableRng, rngs::StdRng},
    schedule::RectifiedFlow,
    training::{
        BrownianBridge,
        coupling::{EntropicPlan, immiscible, optimal_transport, reordered},
    },
};
use ndarray::{Array2, Axis};
use plane::petals;

const PAIRS: usize = 16_384;
const TIMES: [f64; 5] = [0.1, 0.3, 0.5, 0.7, 0.9];

type Outcome<T> = Result<T, Box<dyn Error>>;
type Paired =
    fn(&Array2<f64>, &Array2<f64>, &mut StdRng) -> Result<Vec<usize>, gaussian_diffusion::Error>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("couplings: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let mixture = petals(7)?;
    let x0 = mixture.sample(PAIRS, &mut StdRng::seed_from_u64(1));
    let mut eps = Array2::<f64>::zeros((PAIRS, 2));
    SeededNoise::new(2).add(&mut eps, Scale::Same(1.0), None)?;

    println!(
        "{:<38} {:>6} {:>8} {:>8} {:>9} {:>12}",
        "pairs", "batch", "length", "bend", "one step", "ms a batch"
    );
    let (bend, one_step) = independent(&mixture, &x0, &eps)?;
    println!(
        "{:<38} {:>6} {:>8} {bend:>8.3} {one_step:>9.3}",
        "independent, in closed form", "", ""
    );
    let transport: Paired = |x, z, _| optimal_transport(x, z);
    let cases: [(&str, usize, Paired); 7] = [
        ("independent", PAIRS, |x, _, _| Ok((0..x.nrows()).collect())),
        ("optimal transport", 16, transport),
        ("optimal transport", 64, transport),
        ("optimal transport", 256, transport),
        ("immiscible", 64, |x, z, _| immiscible(x, z)),
        ("entropic, for a bridge of sigma 0.25", 64, |x, z, rng| {
            entropic(x, z, 0.25, rng)
        }),
        ("entropic, for a bridge of sigma 1", 64, |x, z, rng| {
            entropic(x, z, 1.0, rng)
        }),
    ];
    for (name, batch, paired) in cases {
        let clock = Instant::now();
        let mut noise = eps.clone();
        let mut rng = StdRng::seed_from_u64(3);
        for first in (0..PAIRS).step_by(batch) {
            let places: Vec<usize> = (first..first + batch).collect();
            let (x, z) = (x0.select(Axis(0), &places), eps.select(Axis(0), &places));
            let z = reordered(&z, &paired(&x, &z, &mut rng)?)?;
            for (&i, z) in places.iter().zip(z.rows()) {
                noise.row_mut(i).assign(&z);
            }
        }
        let time = 1e3 * clock.elapsed().as_secs_f64() * batch as f64 / PAIRS as f64;
        let (length, bend, one_step) = measured(&x0, &noise)?;
        println!("{name:<38} {batch:>6} {length:>8.3} {bend:>8.3} {one_step:>9.3} {time:>12.2}");
    }
    Ok(())
}

fn entropic(
    x: &Array2<f64>,
    z: &Array2<f64>,
    sigma: f64,
    rng: &mut StdRng,
) -> Result<Vec<usize>, gaussian_diffusion::Error> {
    let bridge = BrownianBridge::new(sigma)?;
    Ok(EntropicPlan::new(x, z, bridge.regularization())?.draw(rng))
}

/// The bend of independent pairs, `E[tr Cov[x_0 | x_t]] / t^2`, and the variance that one step keeps: none.
fn independent(
    mixture: &GaussianMixture,
    x0: &Array2<f64>,
    eps: &Array2<f64>,
) -> Outcome<(f64, f64)> {
    let mut bend = 0.0;
    for t in TIMES {
        let t = Time::new(t)?;
        let (xt, level) = (RectifiedFlow.jump(x0, t, eps)?, RectifiedFlow.level(t)?);
        for x in xt.rows() {
            let left = mixture
                .posterior_covariance(&x.to_vec(), level)?
                .diag()
                .sum();
            bend += left / (t.get() * t.get());
        }
    }
    Ok((bend / (PAIRS * TIMES.len()) as f64, 0.0))
}

/// The mean squared length of pairs, their bend, and the share of the data's variance that noise tells.
fn measured(x0: &Array2<f64>, eps: &Array2<f64>) -> Outcome<(f64, f64, f64)> {
    let flow = RectifiedFlow.target(Parameterization::Flow, x0, Time::new(0.5)?, eps)?;
    let length = flow.iter().map(|v| v * v).sum::<f64>() / PAIRS as f64;
    let mut bend = 0.0;
    for t in TIMES {
        let xt = RectifiedFlow.jump(x0, Time::new(t)?, eps)?;
        bend += unexplained(&xt, &flow) / TIMES.len() as f64;
    }
    let variance = x0.var_axis(Axis(0), 0.0).sum();
    Ok((length, bend, 1.0 - unexplained(eps, x0) / variance))
}

/// `E |y - E[y | x]|^2`, by half the squared difference of the values of a point and its nearest neighbour.
fn unexplained(x: &Array2<f64>, y: &Array2<f64>) -> f64 {
    let squared = |a: &Array2<f64>, i: usize, j: usize| {
        (a[[i, 0]] - a[[j, 0]]).powi(2) + (a[[i, 1]] - a[[j, 1]]).powi(2)
    };
    // Along the first coordinate a neighbour is not far away in the list.
    let mut order: Vec<usize> = (0..x.nrows()).collect();
    order.sort_by(|&i, &j| x[[i, 0]].total_cmp(&x[[j, 0]]));
    let mut sum = 0.0;
    for (place, &i) in order.iter().enumerate() {
        let (mut least, mut nearest) = (f64::INFINITY, i);
        let mut search = |j: usize| {
            let distance = squared(x, i, j);
            if distance < least {
                (least, nearest) = (distance, j);
            }
            (x[[i, 0]] - x[[j, 0]]).powi(2) < least
        };
        let _ = order[place + 1..]
            .iter()
            .take_while(|&&j| search(j))
            .count();
        let _ = order[..place]
            .iter()
            .rev()
            .take_while(|&&j| search(j))
            .count();
        sum += 0.5 * squared(y, i, nearest);
    }
    sum / x.nrows() as f64
}
