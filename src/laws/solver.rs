//! The laws of a reverse step.

use std::fmt::Debug;

use ndarray::Array1;

use super::{Violation, close, require};
use crate::{
    Grid, LogSnr, NoiseLevel, Plan, Prediction, ReverseStep, SeededNoise, Sigma, Variance,
    plan::{Affine, Moments},
    schedule::{Cosine, Discrete, Edm, LogSnrLinear, NoiseSchedule, RectifiedFlow, Shifted, SubVp},
};

/// The laws of a [`ReverseStep`], on variance-preserving, sub-variance-preserving,
/// variance-exploding and flow schedules, for 1 to 60 steps.
///
/// 1. With exact predictions for data that is a point, mean and standard deviation are right wherever the
///    network is asked and at the end: the defect is below 1e-12. A rule that is exact for other data
///    ([`ReverseStep::follows_points`]) comes there with its order.
/// 2. A run to the clean level ends in the x0-prediction, of a rule that takes no earlier ones, and its last update
///    draws nothing.
/// 3. The order of convergence on Gaussian data is at least the stated one, to 0.2, on a
///    variance-preserving, a variance-exploding and a flow schedule: [`ReverseStep::order`] on even steps, and
///    [`ReverseStep::order_on_uneven_steps`] on steps that are short and long in turn.
///
/// # Errors
///
/// The law that is broken.
pub fn reverse_step<R: ReverseStep + ?Sized>(solver: &R) -> Result<(), Violation> {
    for n in (1..=8).chain([13, 20, 37, 60]) {
        let discrete = Discrete::cosine(60)?;
        consistent(solver, &discrete, &Grid::trailing(&discrete, n)?)?;
        let zero = Discrete::stable_diffusion()?.zero_terminal_snr()?;
        consistent(solver, &zero, &Grid::trailing(&zero, n)?)?;
        let edm = Edm::new(Sigma::new(0.002)?, Sigma::new(80.0)?)?;
        consistent(solver, &edm, &Grid::karras(&edm, n)?)?;
        let flow = Shifted::flow(3.0)?;
        consistent(solver, &flow, &Grid::uniform_time(&flow, n)?)?;
        let sub = SubVp::new(0.1, 20.0)?;
        consistent(solver, &sub, &Grid::uniform_time(&sub, n)?)?;
        let linear = LogSnrLinear::new(LogSnr::new(-8.0)?, LogSnr::new(10.0)?)?;
        consistent(solver, &linear, &Grid::uniform_log_snr(&linear, n)?)?;
    }
    let data = match solver.follows_points() {
        true => &[GAUSSIANS][..],
        false => &[GAUSSIANS, POINTS],
    };
    for (law, stated, steps) in [
        ("the stated order", solver.order(), EVEN),
        (
            "the stated order on uneven steps",
            solver.order_on_uneven_steps(),
            UNEVEN,
        ),
    ] {
        for data in data {
            for measured in [
                order_on(solver, &Cosine, data, steps)?,
                order_on(solver, &Edm::default(), data, steps)?,
                order_on(solver, &RectifiedFlow, data, steps)?,
            ] {
                require(law, measured > f64::from(stated) - 0.2, || {
                    format!("{measured} instead of {stated} for {}", solver.name())
                })?;
            }
        }
    }
    Ok(())
}

/// Laws 1 and 2 on one grid that ends clean.
fn consistent<R, S>(solver: &R, schedule: &S, grid: &Grid<S::Time>) -> Result<(), Violation>
where
    R: ReverseStep + ?Sized,
    S: NoiseSchedule,
    S::Time: Copy + Debug,
{
    let plan = Plan::new(schedule, grid, solver)?;
    if solver.follows_points() {
        let law = "point data is followed";
        close(law, (plan.name(), grid.len()), plan.defect()?, 0.0, 1e-12)?;
    }
    let last = plan
        .stages()
        .last()
        .and_then(|planned| planned.stage.commit.as_ref());
    require(
        "a step to the clean level draws nothing",
        last.is_some_and(|u| !u.noise.draws()),
        || format!("{last:?}"),
    )?;
    // Predictions that no data would give, so that only the last one can be the result.
    let mut noise = SeededNoise::new(1);
    let mut run = plan.start_from(Array1::from(vec![0.3_f64]), &mut noise)?;
    let mut answer = 0.0_f64;
    while let Some((_, at)) = run.pending() {
        answer = (at.evaluation as f64).cos();
        run.supply(Prediction::x0(Array1::from(vec![answer])), &mut noise)?;
    }
    let end = run.into_state()[0];
    if solver.memory() == 1 {
        let law = "a step to the clean level is the x0-prediction";
        close(
            law,
            (plan.name(), grid.len()),
            end,
            answer,
            1e-12 * (1.0 + answer.abs()),
        )?;
    }
    Ok(())
}

/// Means and variances of two laws, so that the error of one may change its sign.
type Data = [(f64, f64); 2];
const GAUSSIANS: Data = [(0.7, 0.09), (-0.4, 1.7)];
const POINTS: Data = [(0.7, 0.0), (-0.4, 0.0)];

/// As many steps, and by which share of a step every second node is moved toward the one before it.
type Steps = (usize, f64);
const EVEN: Steps = (60, 0.0);
/// The second step of two is twice as long as the first. With fewer of them, solvers of several terms
/// are not yet at the order that they come to.
const UNEVEN: Steps = (480, 1.0 / 3.0);

/// The order at which a solver converges on the exact probability flow of Gaussian data, in the
/// interior of a schedule (log-SNR -5 to 3.5), from 60 and 120 steps even in log-SNR.
///
/// For a deterministic solver: of the value; for a stochastic one: of the mean and the variance of
/// the law at the end, the weak order on Gaussian data. The first step is cut into short ones that
/// double in length: a multi-step rule starts with low orders, and on even steps the error of that
/// start, of the second order, would be all that is left to see.
///
/// # Errors
///
/// If the schedule or the solver refuses the grid.
pub fn measured_order<S, R>(solver: &R, schedule: &S) -> Result<f64, Violation>
where
    S: NoiseSchedule,
    R: ReverseStep + ?Sized,
{
    order_on(solver, schedule, &GAUSSIANS, EVEN)
}

/// The same where steps are short and long in turn, one to two: from 480 and 960 of them.
///
/// # Errors
///
/// As [`measured_order`].
pub fn measured_order_on_uneven_steps<S, R>(solver: &R, schedule: &S) -> Result<f64, Violation>
where
    S: NoiseSchedule,
    R: ReverseStep + ?Sized,
{
    order_on(solver, schedule, &GAUSSIANS, UNEVEN)
}

fn order_on<S, R>(
    solver: &R,
    schedule: &S,
    data: &Data,
    (count, moved): Steps,
) -> Result<f64, Violation>
where
    S: NoiseSchedule,
    R: ReverseStep + ?Sized,
{
    let error = |n| {
        let each = data.iter().map(|&(mean, variance)| {
            gaussian_error(solver, schedule, (n, moved), mean, Variance::new(variance)?)
        });
        each.sum::<Result<f64, Violation>>()
    };
    Ok((error(count)? / error(2 * count)?).log2())
}

fn gaussian_error<S, R>(
    solver: &R,
    schedule: &S,
    (n, moved): Steps,
    mean: f64,
    variance: Variance,
) -> Result<f64, Violation>
where
    S: NoiseSchedule,
    R: ReverseStep + ?Sized,
{
    const LEAD: i32 = 12;
    let (from, to) = (-5.0, 3.5);
    let snr = |steps: f64| LogSnr::new(from + (to - from) * steps / n as f64);
    let node = |i: usize| i as f64 - moved * (i % 2) as f64;
    let lead = (0..LEAD).map(|i| node(1) * 0.5_f64.powi(LEAD - i));
    let steps = [0.0].into_iter().chain(lead).chain((1..n).map(node));
    let nodes = steps.map(snr).collect::<Result<Vec<_>, _>>()?;
    let (start, end) = (
        schedule.level_at(snr(0.0)?)?,
        schedule.level_at(snr(n as f64)?)?,
    );
    let grid = Grid::at_log_snrs(schedule, &nodes)?.ending_at(end)?;
    let plan = Plan::new(schedule, &grid, solver)?;
    let spread = |level: NoiseLevel| level.alpha().powi(2) * variance.get() + level.sigma().powi(2);
    let exact = |level| Affine::of_gaussian(mean, variance, level);
    let stochastic = plan.stages().iter().any(|planned| {
        let stage = &planned.stage;
        let updates = [&stage.renoise, &stage.commit, &stage.trial];
        updates.into_iter().flatten().any(|u| u.noise.draws())
    });
    let scale = spread(end).sqrt();
    if stochastic {
        let law = Moments {
            mean: start.alpha() * mean,
            variance: spread(start),
        };
        let found = plan.carry(law, exact)?;
        let off = (found.mean - end.alpha() * mean).abs() / scale;
        return Ok(off + (found.variance / spread(end) - 1.0).abs());
    }
    // One deviation from the mean stays one deviation from the mean.
    let x = Moments {
        mean: start.alpha() * mean + spread(start).sqrt(),
        variance: 0.0,
    };
    let found = plan.carry(x, exact)?.mean;
    Ok((found - end.alpha() * mean - scale).abs() / scale)
}
