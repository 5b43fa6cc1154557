//! What is lost by few evaluations, and how many are needed: the figures of `docs/why.md`.

use super::{
    chart::{Axis, Chart, Curve, Outcome, Scale, Stroke},
    fewest::Budgets,
    losses::{Autoregression, Diffusion, covariance, loss_of_plan, mean_loss, random_orders},
};

const SIDE: usize = 8;
const LENGTH: f64 = 2.0;
const ORDERS: usize = 100;
const END: f64 = 5.5;

pub fn losses() -> Outcome<String> {
    let covariance = covariance(SIDE, LENGTH);
    let eigenvalues = covariance.symmetric_eigenvalues();
    let pixels = SIDE * SIDE;
    let raster = [(0..pixels).collect::<Vec<_>>()];
    let random = random_orders(ORDERS, pixels)?;
    let mut curves = Vec::new();
    for (i, (name, orders)) in [("raster order", &raster[..]), ("random order", &random)]
        .into_iter()
        .enumerate()
    {
        let orders = orders
            .iter()
            .map(|order| Autoregression::new(&covariance, order));
        let orders = orders.collect::<Option<Vec<_>>>().ok_or("no covariance")?;
        let sizes = (0..6).rev().map(|power| 1 << power);
        // With one pixel at a time nothing is lost, which has no place on a logarithmic axis.
        let points = sizes.filter(|size| *size > 1).map(|size| {
            (
                pixels.div_ceil(size) as f64,
                mean_loss(&orders, size).of_data,
            )
        });
        let name = format!("pixels in {name}");
        curves.push(Curve::new(&name, 3 + i, Stroke::Both, points.collect()));
    }
    for (i, sampler) in Diffusion::ALL.into_iter().enumerate() {
        let mut points = Vec::new();
        for evaluations in [4, 6, 8, 11, 16, 23, 32, 45, 64] {
            let plan = sampler.plan(evaluations, END)?;
            let loss = loss_of_plan(&plan, eigenvalues.as_slice())?;
            points.push((evaluations as f64, loss.of_data));
        }
        curves.push(Curve::new(sampler.name(), i, Stroke::Both, points));
    }
    let chart = Chart {
        title: "Nats lost on 8x8 correlated pixels".to_owned(),
        x: Axis::log("network evaluations", Scale::Log2, 2.0, 64.0),
        y: Axis::log("KL(data || draws)", Scale::Log10, 1e-4, 1e3),
        curves,
        left: 76,
    };
    chart.svg(420)
}

pub fn evaluations() -> Outcome<String> {
    let mut curves = [const { Vec::new() }; 5];
    for side in [4, 6, 8, 11, 16] {
        let budgets = Budgets::of_field(side, LENGTH, END)?;
        let pixels = (side * side) as f64;
        let counts = [budgets.raster, budgets.random]
            .into_iter()
            .chain(budgets.diffusion);
        for (curve, count) in curves.iter_mut().zip(counts) {
            curve.push((pixels, count as f64));
        }
    }
    let names = [
        "pixels in raster order",
        "pixels in random order",
        "DDPM",
        "DDIM",
        "DPM++ 2M",
    ];
    let curves = names.into_iter().zip(curves).zip([3, 4, 0, 1, 2]);
    let chart = Chart {
        title: "Evaluations that lose 0.1 nat".to_owned(),
        x: Axis::log("pixels", Scale::Log2, 16.0, 256.0),
        y: Axis::log("network evaluations", Scale::Log2, 4.0, 512.0),
        curves: curves
            .map(|((name, points), colour)| Curve::new(name, colour, Stroke::Both, points))
            .map(|curve| match curve.name.contains("raster") {
                // Both orders may take the same: the first stays visible below the second.
                true => Curve {
                    width: 7.0,
                    ..curve
                },
                false => curve,
            })
            .collect(),
        left: 70,
    };
    chart.svg(420)
}
