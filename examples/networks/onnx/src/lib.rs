//! A network of an ONNX file as a denoiser, run by tract or by ort.

pub mod ort;
pub mod tract;

use std::error;

use gaussian_diffusion::{
    Error, Grid, Plan, Point, SeededNoise, Step, predicts, schedule::Discrete, solver::DpmSolver,
};
use ndarray::Array4;

/// The file: [the script](../model.py) that wrote it says what it knows.
pub const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/model.onnx");

pub type Pictures = Array4<f32>;

/// Draws two pictures by DPM-Solver++ 2M on whole training steps, which are all that this network knows.
pub fn sample<F, E>(network: F, seed: u64) -> Result<Pictures, Error>
where
    F: FnMut(&Pictures, Point<Step>) -> Result<Pictures, E>,
    E: Into<Box<dyn error::Error + Send + Sync>>,
{
    let (plan, mut noise) = (plan()?, SeededNoise::new(seed));
    let start = plan.prior((2, 3, 8, 8), &mut noise)?;
    plan.sample(start, &mut predicts::noise(network), &mut noise)
}

pub fn plan() -> Result<Plan<Step>, Error> {
    let schedule = Discrete::stable_diffusion()?;
    let grid = Grid::ddim_quadratic(&schedule, 25, 0)?;
    Plan::new(&schedule, &grid, &DpmSolver::plus_plus(2)?)
}
