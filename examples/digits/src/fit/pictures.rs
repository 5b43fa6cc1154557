//! The errors against the evaluations, and ten digits.

use super::{BUDGETS, Report};
use crate::{
    Outcome,
    chart::{Axis, Chart, Curve, Stroke},
    picture::{self, Gallery},
};

/// Draws both.
pub fn pictures(gallery: &mut Gallery, report: &Report) -> Outcome<()> {
    gallery.add(
        "digits_fitted",
        "distance from the exact flow against evaluations",
        &errors(report)?,
    )?;
    gallery.add(
        "digits_few",
        "ten digits by the best named sampler, by a fitted one and by the exact flow",
        &digits(report)?,
    )
}

fn errors(report: &Report) -> Outcome<String> {
    let curve = |(colour, row): (usize, &super::Row)| {
        let places = BUDGETS.iter().map(|n| *n as f64);
        let points = places.zip(row.errors.iter().copied()).collect();
        Curve::new(&row.name, colour, Stroke::Both, points)
    };
    let chart = Chart {
        title: "Distance from the exact flow".to_owned(),
        x: Axis::linear("network evaluations", 4.0, 10.0, 7),
        y: Axis::linear("root mean square of a pixel", 0.0, 0.07, 8),
        curves: report.rows.iter().enumerate().map(curve).collect(),
        left: 76,
    };
    chart.svg(420)
}

fn digits(report: &Report) -> Outcome<String> {
    let rows = report.digits.iter();
    let rows = rows.map(|(name, digits)| picture::row(*name, digits.rows()));
    let title = format!(
        "Ten digits by {} evaluations, and by the exact flow",
        BUDGETS[0]
    );
    picture::sheet(&title, &rows.collect::<Vec<_>>())
}
