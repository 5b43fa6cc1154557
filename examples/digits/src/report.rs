//! What is printed.

use std::time::Duration;

use gaussian_diffusion::{SeededNoise, schedule::Discrete};

use crate::{
    Outcome, data::Digits, judge::Judge, measure::Fit, network::Network, sample::Drawn, train,
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
    judge: &Judge,
    trained_on: &Digits,
    asked: &[usize],
    runs: &[&Drawn],
    mut noise: SeededNoise,
) -> Outcome<()> {
    let frechet = |value: f64| format!("{value:.2}");
    let share = |value: f64| format!("{value:.1} %");
    let none = || "-".to_owned();
    let row = |name: &str, count: usize, [a, b, c, d]: [String; 4]| {
        println!("{name:<18} {count:>6} {a:>9} {b:>11} {c:>9} {d:>9}");
    };

    println!();
    println!("                   digits   Frechet  told apart     class   nearest");
    let real = judge.held_out;
    let found = judge.quality(&real.pixels, &real.labels);
    let cells = [none(), none(), share(found.class), frechet(found.nearest)];
    row("held out", real.len(), cells);

    // As many digits in each row: Frechet and told apart depend on the number.
    let places: Vec<usize> = (0..asked.len().min(trained_on.len())).collect();
    let real = trained_on.select(&places);
    let found = judge.quality(&real.pixels, &real.labels);
    let cells = [frechet(found.frechet), share(found.apart), none(), none()];
    row("trained on", real.len(), cells);

    let drawn = Fit::of(&trained_on.pixels).draw(asked.len(), &mut noise)?;
    let found = judge.quality(&drawn, asked);
    let cells = [
        frechet(found.frechet),
        share(found.apart),
        none(),
        frechet(found.nearest),
    ];
    row("Gaussian fit", drawn.nrows(), cells);

    for run in runs {
        let found = judge.quality(&run.pixels, asked);
        let cells = [
            frechet(found.frechet),
            share(found.apart),
            share(found.class),
            frechet(found.nearest),
        ];
        let name = format!("{}, {} steps", run.short_name(), run.steps);
        row(&name, run.pixels.nrows(), cells);
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
