//! Completions of half a digit.

use gaussian_diffusion::{
    Grid, ModelVariance, Plan, SeededNoise, Step,
    editing::{Inpaint, Known},
    schedule::Discrete,
    solver::Ddpm,
};
use ndarray::Array2;

use crate::{
    Outcome,
    asked::Asked,
    data::{Digits, PIXELS},
    measure::{Neighbours, diversity, told_apart},
    network::Network,
    picture::{self, Gallery},
};

/// Held-out digits, and completions of each.
const DIGITS: usize = 60;
const COPIES: usize = 6;
/// Of them in the picture.
const SHOWN: usize = 10;
const STEPS: usize = 100;
/// RePaint: stretches of so many steps, gone through so many times.
const STRETCH: usize = 10;
const TIMES: usize = 5;

/// Keeps the upper halves of held-out digits, draws their lower halves, tells how well they fit, and
/// shows some. The network is not given the class.
pub fn report(
    gallery: &mut Gallery,
    network: &Network,
    schedule: &Discrete,
    trained_on: &Digits,
    held_out: &Digits,
    noise: &SeededNoise,
) -> Outcome<()> {
    let count = COPIES * DIGITS.min(held_out.len());
    let originals: Vec<usize> = (0..count).map(|i| i / COPIES).collect();
    let digits = held_out.select(&originals);
    let grid = Grid::trailing(schedule, STEPS)?;
    let once = Plan::new(schedule, &grid, &Ddpm::new(ModelVariance::LearnedRange))?;
    let plans = [
        ("replaced", once.clone()),
        ("RePaint", once.resampled(STRETCH, TIMES)?),
    ];
    println!(
        "\n{COPIES} completions of the upper halves of {} held-out digits",
        count / COPIES
    );
    println!("                evaluations     class  diversity  told apart");
    let mut drawn = Vec::new();
    for (name, plan) in plans {
        let completed = complete(&plan, network, &digits.pixels, noise)?;
        println!(
            "{name:<16} {:>10}   {:>5.1} %  {:>9.2}     {:>5.1} %",
            plan.evaluations(),
            100.0 * Neighbours(trained_on).accuracy(&completed, &digits.labels),
            diversity(&completed, &originals),
            100.0 * told_apart(&completed, &held_out.pixels)
        );
        drawn.push(completed);
    }
    println!(
        "
replaced   the known half is put in its place, noised, before every step
RePaint    the same, going back {STRETCH} steps {TIMES} times over to make the halves agree
class      share with the class of the digit whose half is known; several may be right
diversity  mean distance of two completions of the same half"
    );
    match drawn.last() {
        Some(completed) => show(gallery, &digits.pixels, completed),
        None => Ok(()),
    }
}

/// The same upper halves with other lower ones.
fn complete(
    plan: &Plan<Step>,
    network: &Network,
    digits: &Array2<f32>,
    noise: &SeededNoise,
) -> Outcome<Array2<f32>> {
    let mut network = Asked::new(network, vec![None; digits.nrows()]).guided(1.0)?;
    let known = Known::new(digits.clone(), upper(digits.dim()))?;
    let mut inpaint = Inpaint::new(known, noise.clone().with_first_draw(1 << 41));
    let mut noise = noise.clone();
    let start = plan.prior(digits.dim(), &mut noise)?;
    Ok(plan.sample_edited(start, &mut network, &mut inpaint, &mut noise)?)
}

/// 1 where a pixel is known.
fn upper(shape: (usize, usize)) -> Array2<f32> {
    Array2::from_shape_fn(shape, |(_, j)| if j < PIXELS / 2 { 1.0 } else { 0.0 })
}

/// A row for each digit: the digit, its upper half, and completions.
fn show(gallery: &mut Gallery, digits: &Array2<f32>, completed: &Array2<f32>) -> Outcome<()> {
    // Unknown pixels are between ink and paper.
    let halves = digits * &upper(digits.dim());
    let row = |i: usize| {
        let known = [digits.row(i), halves.row(i)];
        let copies = (i..i + COPIES).map(|copy| completed.row(copy));
        picture::row("", known.into_iter().chain(copies))
    };
    let first = (0..digits.nrows()).step_by(COPIES).take(SHOWN);
    let mut rows: Vec<_> = first.map(row).collect();
    if let Some(row) = rows.first_mut() {
        let numbers = (1..=COPIES).map(|copy| copy.to_string());
        let words = ["digit", "known"].map(str::to_owned);
        row.above = words.into_iter().chain(numbers).collect();
    }
    gallery.add(
        "inpaint",
        "held-out digits, their upper halves, and completions by RePaint",
        &picture::sheet("Completions of the upper half of a digit", &rows)?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::tests::network;

    #[test]
    fn the_known_half_is_kept_to_the_last_bit_and_the_other_differs_by_copy() {
        let schedule = Discrete::cosine(1000).unwrap();
        let grid = Grid::trailing(&schedule, 4).unwrap();
        let plan = Plan::new(&schedule, &grid, &Ddpm::new(ModelVariance::LearnedRange)).unwrap();
        let digits = Array2::from_shape_fn((2, PIXELS), |(_, j)| (j as f32).sin());
        let completed = complete(&plan, &network(1), &digits, &SeededNoise::new(1)).unwrap();
        let pair = |j: usize| [completed[[0, j]], completed[[1, j]]];
        for j in 0..PIXELS / 2 {
            assert_eq!(pair(j), [digits[[0, j]]; 2]);
        }
        // Some pixels may lie at the same end of their range in both.
        let differ = (PIXELS / 2..PIXELS).filter(|&j| pair(j)[0] != pair(j)[1]);
        assert!(differ.count() > PIXELS / 4);
    }
}
