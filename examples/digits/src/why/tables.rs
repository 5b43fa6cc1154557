//! What is printed, as it stands in the docs.

use ndarray::Array2;

use super::{
    scores::{Measure, Scores},
    ways::{EVALUATIONS, Pair},
};
use crate::measure::diversity;

/// A table for each measure: a row for each number of evaluations, a column for each way that has several.
pub fn quality(scores: &[Scores], measures: &[Measure]) {
    for measure in measures {
        print!(
            "\n{}; of real digits {}",
            measure.title,
            cell(measure, measure.real)
        );
        let (once, scores): (Vec<_>, Vec<_>) = scores.iter().partition(|way| way.found.len() == 1);
        for way in once {
            let found = way.found.iter().map(|(_, found)| (measure.of)(found));
            found.for_each(|value| print!(", of {} {}", way.name, cell(measure, value)));
        }
        println!();
        let names = scores.iter().map(|way| format!(" {} |", way.name));
        println!("| evaluations |{}", names.collect::<String>());
        println!("|--:|{}", "--:|".repeat(scores.len()));
        for evaluations in EVALUATIONS {
            let cells = scores.iter().map(|way| {
                let found = way.found.iter().find(|(count, _)| *count == evaluations);
                let found = found.map(|(_, found)| cell(measure, (measure.of)(found)));
                format!(" {} |", found.unwrap_or_default())
            });
            println!("| {evaluations} |{}", cells.collect::<String>());
        }
    }
    println!(
        "
orders        1 evaluation draws all pixels at once, 64 one after the other
all           pixels are rounded to the 17 grey levels of the data"
    );
}

fn cell(measure: &Measure, value: f64) -> String {
    format!("{value:.places$}", places = measure.places)
}

/// How much digits of one class differ.
pub fn noise(pairs: &[Pair]) {
    println!("\nMean distance of two digits of one class");
    println!("| | without noise | with noise |");
    println!("|---|--:|--:|");
    for pair in pairs {
        let of = |digits: &Array2<f32>| diversity(digits, &vec![0; digits.nrows()]);
        let (still, drawn) = (of(&pair.still), of(&pair.drawn));
        println!("| {} | {still:.2} | {drawn:.2} |", pair.name);
    }
}
