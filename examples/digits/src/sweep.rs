//! What guidance gains and costs, over its scale.

use gaussian_diffusion::{Plan, SeededNoise, Step};
use ndarray::Array2;

use crate::{
    Outcome,
    chart::{self, Axis, Chart, Curve, Stroke},
    data::CLASSES,
    judge::{Judge, Quality},
    network::{Class, Network},
    picture::{self, Gallery},
    sample::draw,
};

const SCALES: [f64; 7] = [0.0, 0.5, 1.0, 1.5, 2.0, 4.0, 8.0];

/// Draws digits of these classes from the same noise at each scale, prints what comes of it, and shows it.
pub fn report(
    gallery: &mut Gallery,
    plan: &Plan<Step>,
    network: &Network,
    judge: &Judge,
    asked: &[usize],
    noise: &SeededNoise,
) -> Outcome<()> {
    let classes: Vec<Class> = asked.iter().copied().map(Some).collect();
    let draw = |scale| Ok(draw(plan, network, &classes, scale, &mut noise.clone())?.pixels);
    let drawn: Vec<Array2<f32>> = SCALES.into_iter().map(draw).collect::<Outcome<_>>()?;

    println!("\nguidance by the class, DDIM");
    println!("scale        class  diversity    Frechet  told apart");
    let real = judge.quality(&judge.held_out.pixels, &judge.held_out.labels);
    let Quality {
        class, diversity, ..
    } = real;
    println!("held out   {class:>5.1} %  {diversity:>9.2}          -           -");
    let mut found = Vec::new();
    for (scale, pixels) in SCALES.iter().zip(&drawn) {
        let quality = judge.quality(pixels, asked);
        println!(
            "{scale:<10} {:>5.1} %  {:>9.2}  {:>9.2}     {:>5.1} %",
            quality.class, quality.diversity, quality.frechet, quality.apart
        );
        found.push(quality);
    }
    println!(
        "
scale      0 leaves the class out, 1 does not guide
diversity  mean distance of two digits of which the same class was asked"
    );

    let row = |(scale, pixels): (&f64, &Array2<f32>)| {
        picture::row(
            format!("scale {scale}"),
            (0..CLASSES).map(|i| pixels.row(i)),
        )
    };
    let rows: Vec<_> = SCALES.iter().zip(&drawn).map(row).collect();
    gallery.add(
        "guided",
        "a digit of each class from the same noise, at seven scales of guidance",
        &picture::sheet("The same noise at seven scales of guidance", &rows)?,
    )?;
    let curve = |of: fn(&Quality) -> f64| {
        let points = SCALES.iter().copied().zip(found.iter().map(of)).collect();
        vec![Curve::new("", 0, Stroke::Both, points)]
    };
    let chart = |title: &str, y, of| Chart {
        title: title.to_owned(),
        x: Axis::linear("scale of guidance", 0.0, 8.0, 9),
        y,
        curves: curve(of),
        left: 62,
    };
    let charts = [
        chart(
            "What guidance gains: the class",
            Axis::linear("% as asked", 0.0, 100.0, 6),
            |found| found.class,
        ),
        chart(
            "What it costs: diversity",
            Axis::linear("mean distance", 0.0, 8.0, 5),
            |found| found.diversity,
        ),
    ];
    gallery.add(
        "guidance",
        "class as asked, and diversity, over the scale of guidance",
        &chart::stack(&charts, 260)?,
    )
}
