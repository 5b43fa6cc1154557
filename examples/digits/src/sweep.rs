//! What guidance gains and costs, over its scale.

use std::path::Path;

use gaussian_diffusion::{Plan, SeededNoise, Step};
use ndarray::Array2;

use crate::{
    Outcome,
    data::{CLASSES, Digits},
    measure::{Fit, Neighbours, diversity, told_apart},
    network::{Class, Network},
    picture,
    plot::{self, Axis, Curve},
    sample::draw,
};

const SCALES: [f64; 7] = [0.0, 0.5, 1.0, 1.5, 2.0, 4.0, 8.0];

/// Digits of these classes from the same noise, one array for each scale.
pub fn draws(
    plan: &Plan<Step>,
    network: &Network,
    asked: &[usize],
    noise: &SeededNoise,
) -> Outcome<Vec<Array2<f32>>> {
    let classes: Vec<Class> = asked.iter().copied().map(Some).collect();
    let draw = |scale| Ok(draw(plan, network, &classes, scale, &mut noise.clone())?.pixels);
    SCALES.into_iter().map(draw).collect()
}

/// Prints a row for each scale.
pub fn report(drawn: &[Array2<f32>], trained_on: &Digits, held_out: &Digits, asked: &[usize]) {
    let truth = Fit::of(&held_out.pixels);
    println!("\nguidance by the class, DDIM");
    println!("scale        class  diversity    Frechet  told apart");
    let of_real = diversity(&held_out.pixels, &held_out.labels);
    let class = accuracy(trained_on, &held_out.pixels, &held_out.labels);
    println!("held out   {class:>5.1} %  {of_real:>9.2}          -           -");
    for (scale, pixels) in SCALES.iter().zip(drawn) {
        println!(
            "{scale:<10} {:>5.1} %  {:>9.2}  {:>9.2}     {:>5.1} %",
            accuracy(trained_on, pixels, asked),
            diversity(pixels, asked),
            Fit::of(pixels).frechet(&truth),
            100.0 * told_apart(pixels, &held_out.pixels)
        );
    }
    println!(
        "
scale      0 leaves the class out, 1 does not guide
diversity  mean distance of two digits of which the same class was asked"
    );
}

/// Draws the first digit of each class at every scale, and class against diversity.
pub fn pictures(
    guided: &Path,
    guidance: &Path,
    drawn: &[Array2<f32>],
    trained_on: &Digits,
    asked: &[usize],
) -> Outcome<()> {
    let row = |pixels| {
        let pixels: &Array2<f32> = pixels;
        (0..CLASSES).map(|class| pixels.row(class)).collect()
    };
    picture::write(guided, &drawn.iter().map(row).collect::<Vec<_>>())?;

    let point = |pixels| {
        (
            diversity(pixels, asked),
            accuracy(trained_on, pixels, asked),
        )
    };
    let x = Axis {
        label: "diversity: mean distance of digits asked of the same class",
        ticks: (0..=8).map(f64::from).collect(),
        logarithmic: false,
    };
    let y = Axis {
        label: "class as asked, in %",
        ticks: (0..=5).map(|i| f64::from(20 * i)).collect(),
        logarithmic: false,
    };
    let curve = Curve {
        name: "by scale of guidance".to_owned(),
        points: drawn.iter().map(point).collect(),
        marks: SCALES.iter().map(f64::to_string).collect(),
    };
    plot::write(guidance, &x, &y, &[curve])
}

/// The share of digits that have the class asked for, in percent.
fn accuracy(trained_on: &Digits, pixels: &Array2<f32>, asked: &[usize]) -> f64 {
    100.0 * Neighbours(trained_on).accuracy(pixels, asked)
}
