//! How far the draws of a sampler are from exact ones.

use std::f64::consts::PI;

use gaussian_diffusion::{
    Error, GaussianMixture, Grid, Plan, Sampler, SeededNoise, Step,
    rand::{SeedableRng, rngs::StdRng},
    schedule::Discrete,
    solver::ExponentialAdams,
};
use ndarray::Array2;

const REFERENCE_STEPS: usize = 2000;
/// Other sets of exact samples that the first is compared with.
const PAIRS: usize = 8;
/// Directions in which distributions are compared.
const DIRECTIONS: usize = 24;

/// Three clouds on the steps of Stable Diffusion, with the exact denoiser, flow and samples.
pub struct Ruler {
    schedule: Discrete,
    network: GaussianMixture,
    start: Array2<f64>,
    flow: Array2<f64>,
    data: Array2<f64>,
    floor: f64,
}

impl Ruler {
    /// With so many paths of the flow, and so many samples.
    pub fn new(paths: usize, samples: usize) -> Result<Self, Error> {
        let schedule = Discrete::stable_diffusion()?;
        let mut network = three_clouds()?;
        let mut rng = StdRng::seed_from_u64(2);
        let data = network.sample(samples, &mut rng);
        let mut floor = 0.0;
        for _ in 0..PAIRS {
            let other = network.sample(samples, &mut rng);
            floor += distribution_distance(&data, &other) / PAIRS as f64;
        }
        let grid = Grid::uniform_log_snr(&schedule, REFERENCE_STEPS)?;
        let fine = Plan::new(&schedule, &grid, &ExponentialAdams::deis(3)?)?;
        let start: Array2<f64> = fine.prior((paths, 2), &mut SeededNoise::new(1))?;
        let flow = fine.sample(start.clone(), &mut network, &mut SeededNoise::new(3))?;
        Ok(Self {
            schedule,
            network,
            start,
            flow,
            data,
            floor,
        })
    }

    pub fn schedule(&self) -> &Discrete {
        &self.schedule
    }

    /// The exact denoiser.
    #[allow(dead_code, reason = "not every program learns from it")]
    pub fn network(&self) -> GaussianMixture {
        self.network.clone()
    }

    /// The distance between two sets of exact samples, below which nothing can be told.
    pub fn floor(&self) -> f64 {
        self.floor
    }

    /// End points of the exact flow, and exact samples.
    pub fn exact(&self) -> [&Array2<f64>; 2] {
        [&self.flow, &self.data]
    }

    /// The error of a plan, and its end points: the mean distance from those of the flow with the same
    /// starts, or that of the distributions.
    pub fn error(
        &mut self,
        plan: &Plan<Step>,
        stochastic: bool,
    ) -> Result<(f64, Array2<f64>), Error> {
        let mut noise = SeededNoise::new(4);
        let start = match stochastic {
            true => plan.prior(self.data.dim(), &mut noise)?,
            false => self.start.clone(),
        };
        let end = plan.sample(start, &mut self.network, &mut noise)?;
        let error = match stochastic {
            true => distribution_distance(&self.data, &end),
            false => mean_distance(&self.flow, &end),
        };
        Ok((error, end))
    }
}

/// Three narrow clouds of unequal weight, neither round nor in a line.
fn three_clouds() -> Result<GaussianMixture, Error> {
    GaussianMixture::diagonal(&[
        (0.5, [-1.0, -0.4], [0.04, 0.01]),
        (0.3, [0.9, -0.6], [0.01, 0.05]),
        (0.2, [0.2, 1.1], [0.03, 0.02]),
    ])
}

/// The plan with the most steps that makes no more evaluations than allowed.
pub fn within(sampler: Sampler, schedule: &Discrete, budget: usize) -> Option<Plan<Step>> {
    let plans = (1..=budget).rev().map(|n| sampler.plan(schedule, n).ok());
    plans.flatten().find(|plan| plan.evaluations() <= budget)
}

pub fn draws(plan: &Plan<Step>) -> bool {
    let stages = plan.stages().iter().map(|planned| &planned.stage);
    let mut updates = stages.flat_map(|stage| [&stage.renoise, &stage.commit, &stage.trial]);
    updates.any(|update| {
        let update = update.as_ref();
        update.is_some_and(|update| update.noise.draws())
    })
}

fn mean_distance(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    let rows = a.rows().into_iter().zip(b.rows());
    let sum: f64 = rows.map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1])).sum();
    sum / a.nrows() as f64
}

/// Mean distance of equal quantiles, over directions: sliced Wasserstein-1.
fn distribution_distance(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    let mut sum = 0.0;
    for k in 0..DIRECTIONS {
        let (sin, cos) = (k as f64 * PI / DIRECTIONS as f64).sin_cos();
        let along = |points: &Array2<f64>| {
            let rows = points.rows().into_iter();
            let mut places: Vec<_> = rows.map(|row| cos * row[0] + sin * row[1]).collect();
            places.sort_by(f64::total_cmp);
            places
        };
        let (a, b) = (along(a), along(b));
        let distance: f64 = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).sum();
        sum += distance / a.len() as f64;
    }
    sum / DIRECTIONS as f64
}
