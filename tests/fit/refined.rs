//! Refinements by the error at the end.

use gaussian_diffusion::{
    Denoiser, GaussianMixture, Grid, Plan, Point, SeededNoise, Time,
    fit::{Fit, Fitted, Lesson, Refinement, StateCoefficient},
    predicts,
    schedule::{Cosine, Discrete},
    solver::{Ddim, DpmSolver},
};
use ndarray::{Array2, Axis};

use super::{Columns, EVERY_STATE, fine, starts};

fn mixture() -> GaussianMixture {
    GaussianMixture::isotropic(&[(0.6, [-1.0, 0.2], 0.04), (0.4, [0.8, -0.5], 0.09)]).unwrap()
}

fn base(n: usize) -> Plan<gaussian_diffusion::Time> {
    let grid = Grid::uniform_time(&Cosine, n).unwrap();
    Plan::new(&Cosine, &grid, &DpmSolver::plus_plus(2).unwrap()).unwrap()
}

/// Where the mean square is least no coefficient can be moved for the better, one at a time.
#[test]
fn no_coefficient_is_left_to_be_moved() {
    let variances = [1.5, 0.6, 0.2, 0.05, 0.01];
    let fine = fine(&Cosine, 80);
    let lesson = Lesson::new(
        &fine,
        starts(&fine, (6, 5), 1),
        &mut Columns::of(&variances),
    )
    .unwrap();
    for state in EVERY_STATE {
        let fit = Fit::default().with_state(state);
        let fitted = fit
            .plan(&base(3), &lesson, &mut Columns::of(&variances))
            .unwrap();
        let refinement = Refinement::default()
            .with_squares()
            .with_difference(1e-6)
            .unwrap();
        let refinement = refinement.with_evaluations(20_000);
        let mut network = Columns::of(&variances);
        let refined = refinement
            .coefficients(&fit, &fitted.plan, &lesson, &mut network)
            .unwrap();
        assert_eq!(network.asked, refined.evaluations);
        let square = |plan: &Plan<_>| {
            let start = lesson.state_at(plan.levels()[0]).unwrap();
            let mut network = Columns::of(&variances);
            let end = plan
                .sample(start, &mut network, &mut SeededNoise::new(0))
                .unwrap();
            (end - lesson.end()).mapv(|d| d * d).sum()
        };
        let least = square(&refined.plan);
        assert!(least <= square(&fitted.plan));
        if state != StateCoefficient::Free || cfg!(not(feature = "serde")) {
            continue;
        }
        #[cfg(feature = "serde")]
        for (stage, row) in super::coefficients(&refined.plan).iter().enumerate() {
            for slot in 0..row.len() {
                for by in [-3e-3, 3e-3] {
                    let mut stored = serde_json::to_value(&refined.plan).unwrap();
                    let commit = &mut stored["stages"][stage]["stage"]["commit"];
                    let place = match slot {
                        0 => &mut commit["state"],
                        slot => &mut commit["model"][slot - 1],
                    };
                    *place = (place.as_f64().unwrap() * (1.0 + by)).into();
                    let moved: Plan<gaussian_diffusion::Time> =
                        serde_json::from_value(stored).unwrap();
                    let there = square(&moved);
                    assert!(
                        there > 0.999 * least,
                        "{stage} {slot} {by}: {there:e} {least:e}"
                    );
                }
            }
        }
    }
}

/// Nodes first, then coefficients: each nearer than before, within the limit, counted.
#[test]
fn every_refinement_is_nearer_and_keeps_to_its_limit() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let fine = fine(&schedule, 200);
    let lesson = Lesson::new(&fine, starts(&fine, (12, 2), 1), &mut mixture()).unwrap();
    let (fit, solver) = (Fit::default(), DpmSolver::plus_plus(2).unwrap());
    let grid = Grid::karras(&schedule, 4).unwrap();
    let plan = Plan::new(&schedule, &grid, &solver).unwrap();
    let staged = fit.plan(&plan, &lesson, &mut mixture()).unwrap();
    let mut last: Option<Fitted<_>> = None;
    for limit in [0, 40, 100, 600] {
        let refinement = Refinement::default().with_evaluations(limit);
        let moved = refinement
            .nodes(&fit, &schedule, &grid, &solver, &lesson, &mut mixture())
            .unwrap();
        // The base and the first fit are always asked.
        assert!(moved.evaluations <= limit.max(8), "{moved}");
        assert!(
            moved.after <= staged.after * (1.0 + 1e-12),
            "{moved} {staged}"
        );
        if let Some(last) = last {
            assert!(moved.after <= last.after, "{moved}");
        }
        last = Some(moved);
    }
    let moved = last.unwrap();
    assert!(moved.after < 0.7 * staged.after, "{moved}\n{staged}");
    assert_eq!(moved.plan.levels()[0], plan.levels()[0]);
    assert_ne!(moved.plan.levels()[1], plan.levels()[1]);
    let whole = Refinement::default().coefficients(&fit, &moved.plan, &lesson, &mut mixture());
    let whole = whole.unwrap();
    assert!(
        whole.after < 0.9 * moved.after && whole.before == moved.after,
        "{whole}\n{moved}"
    );
    assert_eq!(whole.plan.name(), "DPM-Solver++ 2M, fitted, refined");
}

/// The last node at the end of its schedule can go one way only.
#[test]
fn a_node_at_the_end_of_its_schedule_moves_too() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let fine = fine(&schedule, 200);
    let lesson = Lesson::new(&fine, starts(&fine, (12, 2), 1), &mut mixture()).unwrap();
    let (fit, solver) = (Fit::default(), DpmSolver::plus_plus(2).unwrap());
    let times = [999, 600, 200, 0].map(gaussian_diffusion::Step::new);
    let grid = Grid::at(&schedule, &times).unwrap();
    let plan = Plan::new(&schedule, &grid, &solver).unwrap();
    let staged = fit.plan(&plan, &lesson, &mut mixture()).unwrap();
    let refinement = Refinement::default();
    let moved = refinement.nodes(&fit, &schedule, &grid, &solver, &lesson, &mut mixture());
    let moved = moved.unwrap();
    assert!(moved.after < 0.7 * staged.after, "{moved}\n{staged}");
    assert!(moved.plan.levels()[3].is_noisier_than(plan.levels()[3]));
}

/// The network of three steps, with what it was shown.
fn recorded(seen: &mut Vec<Array2<f64>>) -> impl Denoiser<Array2<f64>, Time> {
    predicts::x0(move |x: &Array2<f64>, at: Point<Time>| {
        seen.push(x.clone());
        x.mapv(|x| ((0.3 + at.level.alpha()) * x).tanh())
    })
}

fn taught_by_recorded(weights: &[f64]) -> Lesson<Array2<f64>, Time> {
    let fine = fine(&Cosine, 60);
    let x = starts(&fine, (weights.len(), 2), 5);
    let lesson = Lesson::new(&fine, x, &mut recorded(&mut Vec::new())).unwrap();
    lesson.with_weights(weights).unwrap()
}

/// A slope is found by a run with the state after a step changed by that share of its size, the root of the weighed
/// mean of squares. Of three steps the first has two numbers that are free, of the state and of the one prediction, and
/// the second three.
#[test]
fn differences_are_a_share_of_the_state() {
    let weights = [1.0, 3.0, 0.5];
    let lesson = taught_by_recorded(&weights);
    for difference in [1e-2, 1e-4] {
        let mut seen = Vec::new();
        let refinement = Refinement::default().with_difference(difference).unwrap();
        let refined = refinement.with_evaluations(20).coefficients(
            &Fit::default(),
            &base(3),
            &lesson,
            &mut recorded(&mut seen),
        );
        assert_eq!(refined.unwrap().evaluations, seen.len());
        let size = |x: &Array2<f64>| {
            let squares = x.mapv(|x| x * x).sum_axis(Axis(1));
            squares.dot(&ndarray::aview1(&weights)).sqrt()
        };
        // The questions of the run, and the first of each changed run with the one of the run that it is like.
        for (changed, own) in [(3, 1), (5, 1), (7, 2), (8, 2), (9, 2)] {
            let share = size(&(&seen[changed] - &seen[own])) / size(&seen[own]);
            assert!(
                (share / difference - 1.0).abs() < 1e-9,
                "{changed}: {share}"
            );
        }
    }
}

/// A round is 7 questions for the slopes of three steps, as above, and 3 for a move; for the nodes of four steps three
/// runs of four, and four.
#[test]
fn a_round_that_leads_beyond_the_limit_is_not_begun() {
    let lesson = taught_by_recorded(&[1.0; 6]);
    let fit = Fit::default();
    let fitted = fit
        .plan(&base(3), &lesson, &mut recorded(&mut Vec::new()))
        .unwrap();
    let coefficients = |limit: usize| {
        let mut seen = Vec::new();
        let refined = Refinement::default()
            .with_squares()
            .with_evaluations(limit)
            .coefficients(&fit, &fitted.plan, &lesson, &mut recorded(&mut seen))
            .unwrap();
        assert_eq!(refined.evaluations, seen.len());
        assert!(seen.len() <= limit.max(3), "{limit}: {refined}");
        refined
    };
    assert_eq!(coefficients(12).evaluations, 3);
    assert!(coefficients(12).kept_base);
    // Here the first move of the first round is in vain and the second is not.
    let asked = [13, 15, 16, 25, 26].map(|limit| coefficients(limit).evaluations);
    assert_eq!(asked, [13, 13, 16, 16, 26]);
    // Also where moves are tried in vain.
    for limit in 27..150 {
        coefficients(limit);
    }
    let grid = Grid::uniform_time(&Cosine, 4).unwrap();
    let solver = DpmSolver::plus_plus(2).unwrap();
    let nodes = |limit: usize| {
        let refinement = Refinement::default().with_evaluations(limit);
        let mut seen = Vec::new();
        let network = &mut recorded(&mut seen);
        let moved = refinement.nodes(&fit, &Cosine, &grid, &solver, &lesson, network);
        moved.unwrap().evaluations
    };
    assert_eq!([nodes(23), nodes(24)], [8, 24]);
}

/// The slope of a node is a run with it a thousandth of the way to its nearer neighbour further down, after the run of
/// the base and that of its fit.
#[test]
fn nodes_are_moved_by_a_share_of_their_distance() {
    let lesson = taught_by_recorded(&[1.0; 6]);
    let grid = Grid::uniform_time(&Cosine, 4).unwrap();
    let (mut snrs, solver) = (Vec::new(), DpmSolver::plus_plus(2).unwrap());
    let mut network = predicts::x0(|x: &Array2<f64>, at: Point<Time>| {
        snrs.push(at.level.log_snr().get());
        x.mapv(|x| ((0.3 + at.level.alpha()) * x).tanh())
    });
    let refinement = Refinement::default().with_evaluations(24);
    let moved = refinement.nodes(
        &Fit::default(),
        &Cosine,
        &grid,
        &solver,
        &lesson,
        &mut network,
    );
    moved.unwrap();
    let own = snrs[..4].to_vec();
    assert_eq!(snrs[4..8], own);
    for node in 1..4 {
        let run = &snrs[4 + 4 * node..8 + 4 * node];
        // The first node is pure noise, and the end has none.
        let gap = match node {
            1 => own[2] - own[1],
            2 => (own[2] - own[1]).min(own[3] - own[2]),
            _ => own[3] - own[2],
        };
        for place in 0..4 {
            let by = if place == node { 1e-3 * gap } else { 0.0 };
            let off = run[place] - own[place];
            assert!(
                place == 0 || (off - by).abs() < 1e-12,
                "{node} {place}: {off}"
            );
        }
    }
}

/// A node between pure noise and pure data has no neighbour at a finite distance.
#[test]
fn a_node_between_noise_and_data_moves_too() {
    // Five starts are enough.
    let lesson = taught_by_recorded(&[1.0; 5]);
    let grid = Grid::uniform_time(&Cosine, 2).unwrap();
    let solver = DpmSolver::plus_plus(2).unwrap();
    let mut seen = Vec::new();
    let network = &mut recorded(&mut seen);
    let moved = Refinement::default()
        .nodes(&Fit::default(), &Cosine, &grid, &solver, &lesson, network)
        .unwrap();
    assert!(moved.after < 0.9 * moved.before, "{moved}");
    let snr = |plan: &Plan<Time>| plan.levels()[1].log_snr().get();
    let base = Plan::new(&Cosine, &grid, &solver).unwrap();
    assert!((snr(&moved.plan) - snr(&base)).abs() > 1e-2, "{moved}");
}

/// What is far off rules squares and not means.
#[test]
fn one_start_at_a_border_does_not_rule() {
    let narrow = GaussianMixture::isotropic(&[(0.5, [-1.0], 0.002), (0.5, [1.0], 0.002)]).unwrap();
    let fine = fine(&Cosine, 300);
    let mut x = starts(&fine, (20, 1), 4);
    // The middle belongs to both.
    x[[0, 0]] = 1e-4;
    let lesson = Lesson::new(&fine, x, &mut narrow.clone()).unwrap();
    let fit = Fit::default();
    let fitted = fit.plan(&base(4), &lesson, &mut narrow.clone()).unwrap();
    let median = |refinement: Refinement| {
        let refined = refinement.coefficients(&fit, &fitted.plan, &lesson, &mut narrow.clone());
        let start = lesson.state_at(base(4).levels()[0]).unwrap();
        let plan = refined.unwrap().plan;
        let end: Array2<f64> = plan
            .sample(start, &mut narrow.clone(), &mut SeededNoise::new(0))
            .unwrap();
        let off = (end - lesson.end()).map_axis(Axis(1), |row| row[0].abs());
        let mut off = off.to_vec();
        off.sort_by(f64::total_cmp);
        off[10]
    };
    let (robust, squares) = (Refinement::default(), Refinement::default().with_squares());
    let (robust, squares) = (median(robust), median(squares));
    assert!(robust < squares, "{robust} {squares}");
}

/// A fit that is worse at the end than its base is not given.
#[test]
fn the_base_is_kept_where_it_is_nearer() {
    let narrow = GaussianMixture::isotropic(&[(0.5, [-1.0], 0.01), (0.5, [1.0], 0.01)]).unwrap();
    let fine = fine(&Cosine, 200);
    let mut kept = 0;
    for seed in 0..60 {
        let lesson = Lesson::new(&fine, starts(&fine, (3, 1), seed), &mut narrow.clone()).unwrap();
        let grid = Grid::uniform_time(&Cosine, 6).unwrap();
        let base = Plan::new(&Cosine, &grid, &Ddim::default()).unwrap();
        let fit = Fit::default()
            .with_memory(1)
            .unwrap()
            .with_state(StateCoefficient::Fixed);
        let fitted = fit.plan(&base, &lesson, &mut narrow.clone()).unwrap();
        assert!(fitted.after <= fitted.before);
        assert_eq!(fitted.kept_base, fitted.plan == base);
        if fitted.kept_base {
            kept += 1;
            assert!(fitted.to_string().contains("the base is kept"), "{fitted}");
        }
    }
    assert!(kept > 0);
}
