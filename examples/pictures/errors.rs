//! Error against evaluations for named samplers: the figures of `docs/samplers.md`, at more budgets.

use gaussian_diffusion::Sampler;

use super::{
    chart::{Axis, Chart, Curve, Outcome, Scale, Stroke},
    ruler::{Ruler, within},
};

const BUDGETS: [usize; 9] = [4, 6, 8, 11, 16, 23, 32, 45, 64];
/// Thousands of points a run take their time.
const FEWER_BUDGETS: [usize; 5] = [4, 8, 16, 32, 64];
/// Paths, and samples.
const POINTS: (usize, usize) = (256, 6000);

fn curves(ruler: &mut Ruler, names: &[&str], stochastic: bool) -> Outcome<Vec<Curve>> {
    let budgets = match stochastic {
        true => &FEWER_BUDGETS[..],
        false => &BUDGETS,
    };
    let mut curves = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let sampler = Sampler::from_name(name)?;
        let mut points: Vec<(f64, f64)> = Vec::new();
        for &budget in budgets {
            if let Some(plan) = within(sampler, ruler.schedule(), budget) {
                let (error, _) = ruler.error(&plan, stochastic)?;
                points.push((plan.evaluations() as f64, error));
            }
        }
        points.dedup_by_key(|point| point.0 as usize);
        curves.push(Curve::new(name, i, Stroke::Both, points));
    }
    Ok(curves)
}

pub fn deterministic() -> Outcome<String> {
    let names = [
        "DDIM",
        "Euler Karras",
        "Heun Karras",
        "DPM++ 2M Karras",
        "uni_pc_bh2 Karras",
        "DEIS Karras",
    ];
    let mut ruler = Ruler::new(POINTS.0, 1)?;
    let chart = Chart {
        title: "Samplers without noise: distance from the exact flow".to_owned(),
        x: Axis::log("network evaluations", Scale::Log2, 4.0, 64.0),
        y: Axis::log("mean distance", Scale::Log10, 1e-4, 10.0),
        curves: curves(&mut ruler, &names, false)?,
        left: 76,
    };
    chart.svg(420)
}

pub fn stochastic() -> Outcome<String> {
    let names = [
        "Euler a",
        "Euler a Karras",
        "DPM++ SDE Karras",
        "DPM++ 2M SDE Exponential",
        "er_sde Karras",
    ];
    let mut ruler = Ruler::new(1, POINTS.1)?;
    let mut curves = curves(&mut ruler, &names, true)?;
    let floor = ruler.floor();
    let mut line = Curve::new(
        "two sets of exact samples",
        6,
        Stroke::Line,
        vec![(4.0, floor), (64.0, floor)],
    );
    line.width = 1.0;
    curves.push(line);
    let chart = Chart {
        title: "Samplers with noise: distance of distributions".to_owned(),
        x: Axis::log("network evaluations", Scale::Log2, 4.0, 64.0),
        y: Axis::log("sliced Wasserstein distance", Scale::Log10, 1e-3, 1.0),
        curves,
        left: 76,
    };
    chart.svg(420)
}
