//! Samplers fitted to a network, against what is known of points of data and of Gaussians.

use std::fmt::Debug;

use gaussian_diffusion::{
    Grid, NoiseSchedule, Plan, Point, Prediction, SeededNoise, Variance,
    fit::StateCoefficient,
    plan::Affine,
    solver::{Coordinates, ExponentialAdams},
};
use ndarray::{Array2, Axis};

mod edges;
mod exact;
mod grids;
mod laws;
mod refined;

const EVERY_STATE: [StateCoefficient; 3] = [
    StateCoefficient::Free,
    StateCoefficient::Fixed,
    StateCoefficient::Consistent,
];

/// A run of so many steps, even in time, of the third order.
fn fine<S: NoiseSchedule<Time = T>, T: gaussian_diffusion::Clock + Debug>(
    schedule: &S,
    steps: usize,
) -> Plan<T> {
    let grid = Grid::uniform_time(schedule, steps).unwrap();
    let solver = ExponentialAdams::new(3, Coordinates::Data).unwrap();
    Plan::new(schedule, &grid, &solver).unwrap()
}

fn starts<T: Copy + Debug>(plan: &Plan<T>, shape: (usize, usize), seed: u64) -> Array2<f64> {
    plan.prior(shape, &mut SeededNoise::new(seed)).unwrap()
}

/// The exact denoiser of Gaussian data with this mean and this variance of every column.
#[derive(Clone)]
struct Columns {
    mean: f64,
    variances: Vec<f64>,
    asked: usize,
}

impl Columns {
    fn of(variances: &[f64]) -> Self {
        let (mean, variances) = (0.0, variances.to_vec());
        Self {
            mean,
            variances,
            asked: 0,
        }
    }
}

impl<T> gaussian_diffusion::Denoiser<Array2<f64>, T> for Columns {
    fn predict(
        &mut self,
        x: &Array2<f64>,
        at: Point<T>,
    ) -> Result<Prediction<Array2<f64>>, gaussian_diffusion::Error> {
        self.asked += 1;
        let mut x0 = x.clone();
        for (mut column, variance) in x0.axis_iter_mut(Axis(1)).zip(&self.variances) {
            let denoiser = Affine::of_gaussian(self.mean, Variance::new(*variance)?, at.level);
            column.mapv_inplace(|x| denoiser.slope * x + denoiser.offset);
        }
        Ok(Prediction::x0(x0))
    }
}

/// The largest difference of two arrays.
fn off(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max)
}

/// All coefficients of a plan of one update a step.
fn coefficients<T: Copy + Debug>(plan: &Plan<T>) -> Vec<Vec<f64>> {
    let updates = plan
        .stages()
        .iter()
        .map(|planned| planned.stage.commit.as_ref().unwrap());
    let each = updates.map(|update| [&[update.state][..], &update.model].concat());
    each.collect()
}
