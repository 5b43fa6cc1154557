//! How good the digits of every way are, by the number of evaluations.

use crate::{
    data::Digits,
    judge::{Judge, Quality},
};

use super::ways::Way;

/// A way, and how good its digits are after so many evaluations.
#[derive(Debug)]
pub struct Scores {
    pub name: &'static str,
    pub found: Vec<(usize, Quality)>,
}

/// What is shown of a quality.
#[derive(Debug)]
pub struct Measure {
    pub title: &'static str,
    pub of: fn(&Quality) -> f64,
    /// Digits after the point.
    pub places: usize,
    /// That of real digits.
    pub real: f64,
}

pub fn scores(judge: &Judge, asked: &[usize], ways: &[Way]) -> Vec<Scores> {
    let score = |way: &Way| {
        let found = way.drawn.iter();
        let found = found.map(|(evaluations, pixels)| (*evaluations, judge.quality(pixels, asked)));
        Scores {
            name: way.name,
            found: found.collect(),
        }
    };
    ways.iter().map(score).collect()
}

/// What is measured, beside the same of as many digits of those trained on; their class and the nearest
/// are those of held-out ones.
pub fn measures(judge: &Judge, trained_on: &Digits, count: usize) -> [Measure; 5] {
    let places: Vec<usize> = (0..count.min(trained_on.len())).collect();
    let real = trained_on.select(&places);
    let real = judge.quality(&real.pixels, &real.labels);
    let held_out = judge.quality(&judge.held_out.pixels, &judge.held_out.labels);
    [
        Measure {
            title: "Told apart from held-out digits, in % (50 if nothing tells them apart)",
            of: |found| found.apart,
            places: 1,
            real: real.apart,
        },
        Measure {
            title: "Class as asked, in %",
            of: |found| found.class,
            places: 1,
            real: held_out.class,
        },
        Measure {
            title: "Frechet distance of pixels to held-out digits",
            of: |found| found.frechet,
            places: 2,
            real: real.frechet,
        },
        Measure {
            title: "Diversity: mean distance of two digits asked of the same class",
            of: |found| found.diversity,
            places: 2,
            real: held_out.diversity,
        },
        Measure {
            title: "Mean distance to the nearest digit trained on",
            of: |found| found.nearest,
            places: 2,
            real: held_out.nearest,
        },
    ]
}
