//! What the strategies draw: all that they say, to its ends, and nothing else.

use std::collections::BTreeSet;

use gaussian_diffusion::{NoiseLevel, laws::strategies, schedule::Discrete};
use ndarray::Array2;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};

/// The same 1000 values every time.
fn drawn<S: Strategy>(strategy: S) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    let mut draw = || strategy.new_tree(&mut runner).unwrap().current();
    (0..1000).map(|_| draw()).collect()
}

/// Smallest and largest.
fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let none = (f64::INFINITY, f64::NEG_INFINITY);
    values.fold(none, |(low, high), x| (low.min(x), high.max(x)))
}

fn family(level: NoiseLevel) -> &'static str {
    let (alpha, sigma) = (level.alpha(), level.sigma());
    let is = |sum: f64| (sum - 1.0).abs() < 1e-15;
    if alpha == 1.0 {
        "exploding"
    } else if is(alpha.hypot(sigma)) {
        "preserving"
    } else if is(alpha + sigma) {
        "flow"
    } else {
        assert!((0.1..10.0).contains(&alpha), "{level:?}");
        "scaled"
    }
}

/// Beyond 15 at the clean end an alpha of any family may be rounded to 1.
fn tells(level: &NoiseLevel) -> bool {
    level.log_snr().get() < 15.0
}

const FAMILIES: [&str; 4] = ["exploding", "flow", "preserving", "scaled"];

#[test]
fn levels() {
    let levels = drawn(strategies::level());
    let (low, high) = ends(levels.iter().map(|level| level.log_snr().get()));
    assert!((-40.001..-39.0).contains(&low), "{low}");
    assert!((39.0..40.001).contains(&high), "{high}");
    for wanted in FAMILIES {
        let told = levels.iter().filter(|level| tells(level));
        let own = told.filter(|level| family(**level) == wanted);
        let (low, high) = ends(own.map(|level| level.log_snr().get()));
        assert!(low < -35.0 && high > 10.0, "{wanted}: {low} to {high}");
    }
    let scales = levels.iter().filter(|level| tells(level));
    let scales = scales.filter(|level| family(**level) == "scaled");
    let (low, high) = ends(scales.map(|level| level.alpha()));
    assert!(low < 0.3 && high > 9.5, "{low} to {high}");
}

#[test]
fn steps() {
    let steps = drawn(strategies::step());
    assert!(steps.iter().all(|(from, to)| from.is_noisier_than(*to)));
    let (low, _) = ends(steps.iter().map(|(from, _)| from.log_snr().get()));
    assert!((-40.001..-39.0).contains(&low), "{low}");
    let known = || steps.iter().filter(|(from, to)| tells(from) && tells(to));
    assert!(known().all(|(from, to)| family(*from) == family(*to)));
    for wanted in FAMILIES {
        let own = known().filter(|(from, _)| family(*from) == wanted);
        // Their logarithms are even: a tenth of them below 1e-8, and as many above 3.5.
        let (low, high) = ends(own.map(|(a, b)| b.log_snr().get() - a.log_snr().get()));
        assert!(low < 1e-8 && high > 10.0, "{wanted}: {low:e} to {high}");
    }
    let (_, most) = ends(
        steps
            .iter()
            .map(|(a, b)| b.log_snr().get() - a.log_snr().get()),
    );
    assert!((30.0..40.0).contains(&most), "{most}");
}

#[test]
fn discrete_schedules() {
    let schedules = drawn(strategies::discrete());
    let lengths: BTreeSet<_> = schedules.iter().map(Discrete::len).collect();
    assert_eq!(lengths, (1..=60).collect());
    let betas = || schedules.iter().flat_map(|schedule| schedule.betas());
    let (low, high) = ends(betas().copied());
    assert!((1e-6 * (1.0 - 1e-9)..1.1e-6).contains(&low), "{low}");
    assert!((0.99..0.999).contains(&high), "{high}");
    let is_sorted = |schedule: &Discrete| schedule.betas().is_sorted();
    assert!(
        schedules
            .iter()
            .filter(|schedule| is_sorted(schedule))
            .count()
            < 200
    );
}

#[test]
fn grids() {
    let schedule = Discrete::from_betas([0.1, 0.2, 0.05, 0.3, 0.1]).unwrap();
    let grids = drawn(strategies::grid(&schedule));
    let steps: BTreeSet<Vec<usize>> = grids
        .iter()
        .map(|grid| {
            assert!(grid.end().is_clean());
            let nodes = grid.nodes().iter();
            let steps: Vec<_> = nodes.map(|node| node.time.index().unwrap()).collect();
            assert!(steps.is_sorted_by(|a, b| a > b), "{steps:?}");
            steps
        })
        .collect();
    // Every one of the subsets but the empty one.
    assert_eq!(steps.len(), 31);
}

#[test]
fn batches() {
    let batches = drawn(strategies::batch::<f64>());
    let shapes: BTreeSet<_> = batches.iter().map(|batch| batch.dim()).collect();
    let all = (0..6).flat_map(|items| (0..8).map(move |length| (items, length)));
    assert_eq!(shapes, all.collect());
    let numbers = |batch: &Array2<f64>| batch.iter().map(|x| x.to_bits()).collect::<BTreeSet<_>>();
    assert!(
        batches
            .iter()
            .all(|batch| numbers(batch).len() == batch.len())
    );
    let (low, high) = ends(batches.iter().flatten().copied());
    assert!((-3.0..-2.99).contains(&low), "{low}");
    assert!((2.99..3.0).contains(&high), "{high}");
}
