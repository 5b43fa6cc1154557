//! What is printed.

use std::time::Duration;

use gaussian_diffusion::{SeededNoise, schedule::Discrete};
use ndarray::Array2;

use crate::{
    Outcome,
    data::Digits,
    measure::{Fit, Neighbours, told_apart},
    network::Network,
    sample::Drawn,
    train,
};

/// The loss where the network was trained, and where it was not.
pub fn losses(
    network: &Network,
    schedule: &Discrete,
    trained_on: &Digits,
    held_out: &Digits,
    noise: &SeededNoise,
) -> Outcome<()> {
    let loss = |digits| train::mean_loss(network, schedule, digits, &mut noise.clone());
    println!(
        "loss {:.3} on the digits trained on, {:.3} on the {} held out",
        loss(trained_on)?,
        loss(held_out)?,
        held_out.len()
    );
    Ok(())
}

/// The drawn digits beside real ones and beside draws from a Gaussian.
pub fn quality(
    trained_on: &Digits,
    held_out: &Digits,
    asked: &[usize],
    runs: &[&Drawn],
    mut noise: SeededNoise,
) -> Outcome<()> {
    let neighbours = Neighbours(trained_on);
    let truth = Fit::of(&held_out.pixels);
    let class = |pixels: &Array2<f32>, labels: &[usize]| {
        format!("{:.1} %", 100.0 * neighbours.accuracy(pixels, labels))
    };
    let nearest = |pixels: &Array2<f32>| format!("{:.2}", neighbours.mean_distance(pixels));
    // Frechet and told apart, of as many digits in each row: both depend on the number.
    let beside = |pixels: &Array2<f32>| {
        let frechet = Fit::of(pixels).frechet(&truth);
        let apart = 100.0 * told_apart(pixels, &held_out.pixels);
        [format!("{frechet:.2}"), format!("{apart:.1} %")]
    };
    let none = || "-".to_owned();
    let row = |name: &str, count: usize, [a, b, c, d]: [String; 4]| {
        println!("{name:<18} {count:>6} {a:>9} {b:>11} {c:>9} {d:>9}");
    };

    println!();
    println!("                   digits   Frechet  told apart     class   nearest");
    let real = &held_out.pixels;
    let cells = [none(), none(), class(real, &held_out.labels), nearest(real)];
    row("held out", held_out.len(), cells);

    let places: Vec<usize> = (0..asked.len().min(trained_on.len())).collect();
    let real = trained_on.select(&places).pixels;
    let [frechet, apart] = beside(&real);
    row("trained on", real.nrows(), [frechet, apart, none(), none()]);

    let drawn = Fit::of(&trained_on.pixels).draw(asked.len(), &mut noise)?;
    let [frechet, apart] = beside(&drawn);
    let cells = [frechet, apart, none(), nearest(&drawn)];
    row("Gaussian fit", drawn.nrows(), cells);

    for run in runs {
        let [frechet, apart] = beside(&run.pixels);
        let (class, nearest) = (class(&run.pixels, asked), nearest(&run.pixels));
        let name = format!("{}, {} steps", run.short_name(), run.steps);
        row(&name, run.pixels.nrows(), [frechet, apart, class, nearest]);
    }
    println!(
        "
Frechet     distance to the held-out digits, of Gaussians fitted to the pixels. It sees a mean and a
            covariance only, which a Gaussian fit has by construction
told apart  share whose nearest other, among these and the held-out digits, is of their own kind;
            50 % if nothing tells them apart
class       share that three nearest neighbours of the digits trained on give the class asked for
nearest     mean distance to the nearest digit trained on; far below that of held-out digits, it
            would tell of copies"
    );
    Ok(())
}

/// Where the time of a step goes.
pub fn times(runs: &[&Drawn]) {
    println!();
    for run in runs {
        let each = |time: Duration| 1e3 * time.as_secs_f64() / run.steps as f64;
        println!(
            "a step of {} for {} digits: {:.2} ms in the network, {:.3} ms in the sampler",
            run.solver,
            run.pixels.nrows(),
            each(run.network),
            each(run.sampler)
        );
    }
}
