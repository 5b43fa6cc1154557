//! Paths of DDIM against those of DDPM, from the same starts.

use gaussian_diffusion::{
    GaussianMixture, Grid, Plan, SeededNoise,
    schedule::Discrete,
    solver::{Ddim, Ddpm},
};
use ndarray::Array2;

use super::{
    chart::{Axis, Chart, Curve, Outcome, Stroke, card},
    plane::states,
};

const STEPS: usize = 50;
const PATHS: usize = 15;
const MODES: [f64; 3] = [-1.5, 0.2, 1.4];

pub fn picture() -> Outcome<String> {
    let mut data = GaussianMixture::isotropic(&MODES.map(|mode| (1.0, [mode], 0.01)))?;
    let schedule = Discrete::cosine(1000)?;
    let grid = Grid::trailing(&schedule, STEPS)?;
    let plans = [
        Plan::new(&schedule, &grid, &Ddim::default())?,
        Plan::new(&schedule, &grid, &Ddpm::default())?,
    ];
    let titles = [
        "DDIM: smooth paths, fixed by their starts",
        "DDPM: noise at every step, any end from any start",
    ];
    let height = 560;
    card(height, |area| {
        let halves = area.split_evenly((2, 1));
        for ((plan, title), half) in plans.iter().zip(titles).zip(&halves) {
            let start: Array2<f64> = plan.prior((PATHS, 1), &mut SeededNoise::new(3))?;
            let states = states(plan, &mut data, start, &mut SeededNoise::new(4))?;
            let path = |item: usize| {
                let along = states.iter().enumerate();
                let points =
                    along.map(|(step, x)| (1.0 - step as f64 / STEPS as f64, x[[item, 0]]));
                let points: Vec<_> = points.collect();
                let end = points.last().map_or(0.0, |point| point.1);
                let off = |mode: &f64| (mode - end).abs();
                let nearest =
                    (0..MODES.len()).min_by(|&i, &j| off(&MODES[i]).total_cmp(&off(&MODES[j])));
                let mut curve = Curve::new("", nearest.unwrap_or(0), Stroke::Line, points);
                curve.width = 1.75;
                curve
            };
            let chart = Chart {
                title: title.to_owned(),
                x: Axis::linear("time: noise on the left, data on the right", 1.0, 0.0, 6),
                y: Axis::linear("x", -3.0, 3.0, 7),
                curves: (0..PATHS).map(path).collect(),
                left: 62,
            };
            chart.draw(half)?;
        }
        Ok(())
    })
}
