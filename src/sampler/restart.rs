//! How the WebUI restarts.

use std::fmt::Debug;

use super::on_steps::OnSteps;
use crate::{
    Clock, Error, Grid, NoiseLevel, NoiseSchedule, Plan, grid::Karras, plan::Restart,
    solver::ReverseStep,
};

/// The share of `n` steps that goes into restarts: steps of one, and how many.
fn rule(n: usize) -> Option<(usize, usize)> {
    match n {
        0..20 => None,
        20..36 => Some((9, 1)),
        _ => Some((n / 4, 2)),
    }
}

/// The plan of as many steps as the grid has, restarts included. With restarts, the other steps lie
/// on a curve of Karras between the ends of the grid; the restarts are those of `sigma / alpha` on flows too.
///
/// [Source](crate::docs::papers#arxiv-2306.14878): the code of the WebUI, after Restart Sampling for Improving Generative
/// Processes, Xu, Deng, Cheng, Tian, Liu, Jaakkola, 2023.
pub(super) fn plan<S, R>(
    schedule: &S,
    grid: Grid<S::Time>,
    solver: &R,
) -> Result<Plan<S::Time>, Error>
where
    S: NoiseSchedule<Time: Clock> + ?Sized,
    R: ReverseStep + ?Sized,
{
    let (Some((steps, times)), [first, .., last]) = (rule(grid.len()), grid.nodes()) else {
        return Plan::new(schedule, &grid, solver);
    };
    let table = OnSteps::new(schedule)?;
    let curve = Karras::new(table.sigma(first.level)?, table.sigma(last.level)?, 7.0)?;
    let grid = table.along(grid.len() - steps * times, &curve)?;
    let (low, high) = (nearest(&grid, 0.1), nearest(&grid, 2.0));
    let restarts = match (low, high) {
        (Some(low), Some(high)) if high.is_noisier_than(low) => vec![Restart {
            high: high.log_snr(),
            low: low.log_snr(),
            steps,
            times,
        }],
        _ => Vec::new(),
    };
    Plan::restarting(schedule, &grid, solver, &restarts)
}

/// The node whose ratio is nearest to this one.
fn nearest<T: Copy + Debug>(grid: &Grid<T>, ratio: f64) -> Option<NoiseLevel> {
    let distance = |level: &NoiseLevel| (level.noise_to_signal() - ratio).abs();
    let levels = grid.nodes().iter().map(|node| node.level);
    levels.min_by(|a, b| distance(a).total_cmp(&distance(b)))
}
