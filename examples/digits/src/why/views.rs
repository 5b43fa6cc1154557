//! What is shown.

use super::{
    scores::{Measure, Scores},
    ways::{Pair, Way},
};
use crate::{
    Outcome,
    chart::{self, Axis, Chart, Curve, Scale, Stroke},
    data::{CLASSES, Digits},
    panels::Row,
    picture,
};

/// Which ways are shown after how many evaluations.
const SHOWN: [(&str, usize); 11] = [
    ("regression", 1),
    ("random order", 1),
    ("raster order", 4),
    ("random order", 4),
    ("DPM++ 2M", 4),
    ("raster order", 16),
    ("random order", 16),
    ("DPM++ 2M", 16),
    ("raster order", 64),
    ("random order", 64),
    ("DDPM", 64),
];

/// A chart for each of the first three measures.
pub fn quality(scores: &[Scores], measures: &[Measure]) -> Outcome<String> {
    let axes = [
        Axis::linear("told apart, %", 40.0, 100.0, 7),
        Axis::linear("class, %", 80.0, 100.0, 5),
        Axis::log("Frechet", Scale::Log10, 0.1, 10.0),
    ];
    let mut charts = Vec::new();
    for (y, measure) in axes.into_iter().zip(measures) {
        let first = charts.is_empty();
        let named = |name| if first { name } else { "" };
        let mut curves = Vec::new();
        for (i, way) in scores.iter().enumerate() {
            let points = way.found.iter();
            let points = points.map(|(count, found)| (*count as f64, (measure.of)(found)));
            curves.push(Curve::new(
                named(way.name),
                i,
                Stroke::Both,
                points.collect(),
            ));
        }
        let ends = [1.0, 64.0].map(|x| (x, measure.real));
        let mut real = Curve::new(
            named("real digits"),
            scores.len(),
            Stroke::Line,
            ends.to_vec(),
        );
        real.width = 1.5;
        curves.push(real);
        charts.push(Chart {
            title: measure.title.to_owned(),
            x: Axis::log("network evaluations", Scale::Log2, 1.0, 64.0),
            y,
            curves,
            left: 70,
        });
    }
    chart::stack(&charts, 320)
}

/// A row for some ways after some evaluations, below real digits.
pub fn ways(trained_on: &Digits, ways: &[Way]) -> Outcome<String> {
    let real = |class| trained_on.labels.iter().position(|&label| label == class);
    let real: Vec<usize> = (0..CLASSES).filter_map(real).collect();
    let real = trained_on.select(&real).pixels;
    let mut rows = vec![picture::row("real digits", real.rows())];
    for (name, evaluations) in SHOWN {
        let way = ways.iter().find(|way| way.name == name);
        let drawn = way.and_then(|way| way.with(evaluations));
        let drawn = drawn.ok_or_else(|| format!("{name} with {evaluations} was not drawn"))?;
        let name = match evaluations {
            1 if name != "regression" => "all at once",
            _ => name,
        };
        let first = (0..CLASSES).map(|class| drawn.row(class));
        rows.push(picture::row(format!("{name}, {evaluations}"), first));
    }
    picture::sheet("The same network in each way, and its evaluations", &rows)
}

/// Digits of one class, drawn without noise and with it.
pub fn noise(pairs: &[Pair], copies: usize) -> Outcome<String> {
    let row = |pair: &Pair| {
        let drawn = pair.drawn.rows().into_iter().take(copies);
        let still = pair.still.rows().into_iter().take(copies);
        picture::row(pair.name.clone(), still.chain(drawn))
    };
    let mut rows: Vec<Row> = pairs.iter().map(row).collect();
    if let Some(row) = rows.first_mut() {
        row.above = vec![String::new(); 2 * copies];
        row.above[copies / 2] = "without noise".to_owned();
        row.above[copies + copies / 2] = "with noise".to_owned();
    }
    picture::sheet("Without noise, the same picture every time", &rows)
}
