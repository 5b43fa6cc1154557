//! The network knows Gaussian data, whose samples are known.

use std::convert::Infallible;

use gaussian_diffusion::{
    Point, SeededNoise, Step,
    noise::{NoiseSource, Scale},
};
use ndarray::{Axis, Slice, Zip, concatenate};
use with_onnx::{MODEL, Pictures, ort, plan, sample, tract};

const MEAN: [f64; 3] = [0.5, 0.0, -0.25];
const VARIANCE: f64 = 0.09;

fn largest_difference(a: &Pictures, b: &Pictures) -> f32 {
    Zip::from(a)
        .and(b)
        .fold(0.0, |most, a, b| most.max((a - b).abs()))
}

/// The same answer written out, from the levels of the crate.
fn exact(x: &Pictures, at: Point<Step>) -> Result<Pictures, Infallible> {
    let (alpha, sigma) = (at.level.alpha(), at.level.sigma());
    let scale = sigma / (alpha * alpha * VARIANCE + sigma * sigma);
    let mut eps = x.clone();
    for ((_, channel, _, _), eps) in eps.indexed_iter_mut() {
        *eps = (scale * (f64::from(*eps) - alpha * MEAN[channel])) as f32;
    }
    Ok(eps)
}

#[test]
fn both_give_the_samples_of_gaussian_data() {
    let by_tract = sample(tract::network(MODEL).unwrap(), 3).unwrap();
    let by_ort = sample(ort::network(MODEL).unwrap(), 3).unwrap();
    let by_hand = sample(exact, 3).unwrap();
    // A rounding of f32 at each of 25 steps, and some in the network.
    for (name, drawn) in [("tract", &by_tract), ("ort", &by_ort)] {
        let off = largest_difference(drawn, &by_hand);
        println!("{name}: {off:e} from the closure");
        assert!(off < 5e-6, "{name}: {off:e}");
    }

    // The exact solution of the probability flow: the deviation from the mean goes as that of the law does.
    let level = plan().unwrap().levels()[0];
    let (alpha, sigma) = (level.alpha(), level.sigma());
    let shrinks = (VARIANCE / (alpha * alpha * VARIANCE + sigma * sigma)).sqrt();
    let mut solution = Pictures::zeros((2, 3, 8, 8));
    SeededNoise::new(3)
        .add(&mut solution, Scale::Same(1.0), None)
        .unwrap();
    for ((_, channel, _, _), x) in solution.indexed_iter_mut() {
        let mean = MEAN[channel];
        *x = (mean + shrinks * (f64::from(*x) - alpha * mean)) as f32;
    }
    let off = largest_difference(&by_tract, &solution);
    println!("{off:e} from the solution of the equation");
    assert!(off < 0.01, "{off:e}");
}

#[test]
fn a_network_that_fails_keeps_its_error() {
    let mut network = tract::network(MODEL).unwrap();
    let wide = move |x: &Pictures, at: Point<Step>| {
        let four = concatenate(
            Axis(1),
            &[x.view(), x.slice_axis(Axis(1), Slice::from(..1))],
        )?;
        network(&four, at)
    };
    let error = sample(wide, 1).unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    println!("{error}; {source}");
    assert!(
        error.to_string().starts_with("the network failed"),
        "{error}"
    );
}

/// "Your network" shows these two functions.
#[test]
fn the_page_shows_the_source() {
    let page = include_str!("../../../../docs/networks.md");
    for source in [
        include_str!("../src/tract.rs"),
        include_str!("../src/ort.rs"),
    ] {
        let start = source.find("pub fn network(").unwrap();
        let shown = format!("```ignore\n{}```", &source[start..]);
        assert!(
            page.contains(&shown),
            "docs/networks.md does not show\n{shown}"
        );
    }
}
