//! Samplers fitted to the exact denoiser of a mixture in the plane, beside every named one.
//!
//! `cargo run --release --example fitting` prints the tables of `docs/fitting.md`: mean distances of the end
//! points from those of the exact flow, from starts that no fit has seen.

#[path = "shared/ruler.rs"]
#[allow(dead_code, reason = "no sampler with noise is measured")]
mod ruler;

use std::{error::Error, fmt::Debug, process::ExitCode, time::Instant};

use gaussian_diffusion::{
    Clock, GaussianMixture, Grid, LogSnr, NoiseSchedule, Plan, Sampler, SeededNoise, Sigma, Step,
    fit::{Fit, Fitted, Gaussians, Lesson, Refinement, StepErrors},
    sampler::{GridName, Kind, SolverName},
    schedule::{Discrete, Edm, RectifiedFlow},
    solver::{Coordinates, Ddim, DpmSolver, ExponentialAdams},
};
use ndarray::{Array2, Axis};
use ruler::{Ruler, draws, within};

const BUDGETS: [usize; 5] = [4, 5, 6, 8, 10];
/// Starts that are measured, and those of a lesson: the exact denoiser costs nothing.
const MEASURED: usize = 1024;
const TAUGHT: usize = 512;
/// Questions that a refinement may ask.
const REFINED: usize = 4000;
/// Steps of the grids that are compared.
const COMPARED: usize = 6;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match tables() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fitting: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tables() -> Outcome<()> {
    let mut ruler = Ruler::new(MEASURED, 1)?;
    println!("mean distance from the exact flow, {MEASURED} starts\n");
    print!("{:<52}", "evaluations");
    BUDGETS.iter().for_each(|budget| print!("{budget:>8}"));
    println!();
    named(&mut ruler)?;
    fitted(&mut ruler)?;
    let network = ruler.network();
    println!(
        "\nmean distance on each family with {COMPARED} evaluations: DDIM, DPM++ 2M, DPM++ 2M fitted"
    );
    families(
        "the steps of Stable Diffusion",
        &Discrete::stable_diffusion()?,
        &network,
    )?;
    families("EDM, sigma 80 to 0.002", &Edm::default(), &network)?;
    families("rectified flow", &RectifiedFlow, &network)
}

fn row(name: &str, errors: impl IntoIterator<Item = f64>) {
    print!("{name:<52}");
    errors.into_iter().for_each(|error| print!("{error:>8.4}"));
    println!();
}

/// The best of all named samplers without noise, picked on the starts that are measured.
fn named(ruler: &mut Ruler) -> Outcome<()> {
    let mut best = vec![(f64::INFINITY, String::new()); BUDGETS.len()];
    for (solver, grid) in SolverName::all().flat_map(|s| GridName::all().map(move |g| (s, g))) {
        let sampler = Sampler::new(solver, grid);
        if sampler.kind() != Kind::Planned || solver.needs_cfg_plus_plus() {
            continue;
        }
        for (budget, best) in BUDGETS.into_iter().zip(&mut best) {
            let plan = within(sampler, ruler.schedule(), budget).filter(|plan| !draws(plan));
            let Some(plan) = plan else { continue };
            let (error, _) = ruler.error(&plan, false)?;
            if error < best.0 {
                *best = (error, sampler.to_string());
            }
        }
    }
    row("best named sampler", best.iter().map(|best| best.0));
    let names: Vec<_> = best.into_iter().map(|best| best.1).collect();
    println!("  {}", names.join("; "));
    Ok(())
}

fn fine<S: NoiseSchedule<Time = T>, T: Clock + Debug>(
    schedule: &S,
    steps: usize,
) -> Outcome<Plan<T>> {
    let (noisiest, cleanest) = schedule.ends();
    let finite = |snr: f64, bound: f64| LogSnr::new(if snr.is_finite() { snr } else { bound });
    let snr = |t| schedule.level(t).map(|level| level.log_snr().get());
    let (from, to) = (
        finite(snr(noisiest)?, -10.0)?,
        finite(snr(cleanest)?, 12.0)?,
    );
    let mut grid = Grid::uniform_log_snr_between(schedule, steps, from, to)?;
    if !snr(noisiest)?.is_finite() {
        // From no signal at all.
        grid = grid.starting_at(schedule, schedule.level(noisiest)?)?;
    }
    Ok(Plan::new(
        schedule,
        &grid,
        &ExponentialAdams::new(3, Coordinates::Data)?,
    )?)
}

fn lesson<T: Clock + Debug>(
    fine: &Plan<T>,
    network: &GaussianMixture,
    starts: usize,
    seed: u64,
) -> Outcome<Lesson<Array2<f64>, T>> {
    let starts: Array2<f64> = fine.prior((starts, 2), &mut SeededNoise::new(seed))?;
    Ok(Lesson::new(fine, starts, &mut network.clone())?)
}

/// Fits of many kinds.
fn fitted(ruler: &mut Ruler) -> Outcome<()> {
    let schedule = Discrete::stable_diffusion()?;
    let (mut network, solver) = (ruler.network(), DpmSolver::plus_plus(2)?);
    let fine = fine(&schedule, 100)?;
    let lesson = lesson(&fine, &network, TAUGHT, 7)?;
    let errors = StepErrors::along(&lesson, &Ddim::default())?;
    let base = |n| Plan::new(&schedule, &errors.even_grid(n)?, &solver);
    let bases = BUDGETS
        .into_iter()
        .map(base)
        .collect::<Result<Vec<_>, _>>()?;
    let mut print = |name: &str, plans: &[Plan<Step>]| -> Outcome<()> {
        let errors = plans.iter().map(|plan| Ok(ruler.error(plan, false)?.0));
        row(name, errors.collect::<Outcome<Vec<_>>>()?);
        Ok(())
    };
    let plans = |fits: &[Fitted<Step>]| fits.iter().map(|fit| fit.plan.clone()).collect::<Vec<_>>();
    print("DPM++ 2M on equal errors", &bases)?;

    let mut gaussians = Gaussians::of(&network);
    let told = Lesson::new(&fine, gaussians.starts(fine.prior_std()), &mut gaussians)?;
    let told = told.with_weights(&gaussians.weights())?;
    let fits = bases
        .iter()
        .map(|base| Fit::default().plan(base, &told, &mut gaussians));
    print(
        "fitted to each cloud for itself",
        &plans(&fits.collect::<Result<Vec<_>, _>>()?),
    )?;

    for memory in [2, 3] {
        let fit = Fit::default().with_memory(memory)?;
        let fits = bases
            .iter()
            .map(|base| fit.plan(base, &lesson, &mut network));
        let fits = fits.collect::<Result<Vec<_>, _>>()?;
        print(&format!("fitted, {memory} predictions"), &plans(&fits))?;
        let refinement = Refinement::default()
            .with_evaluations(REFINED)
            .with_difference(1e-4)?;
        let (mut moved, mut whole) = (Vec::new(), Vec::new());
        let clock = Instant::now();
        for n in BUDGETS {
            let grid = errors.even_grid(n)?;
            moved.push(refinement.nodes(&fit, &schedule, &grid, &solver, &lesson, &mut network)?);
            let plan = &moved[moved.len() - 1].plan;
            whole.push(refinement.coefficients(&fit, plan, &lesson, &mut network)?);
        }
        print(
            &format!("fitted, {memory} predictions, nodes refined"),
            &plans(&moved),
        )?;
        print(
            &format!("fitted, {memory} predictions, nodes, then numbers"),
            &plans(&whole),
        )?;
        for (moved, whole) in moved.iter().zip(&whole) {
            println!("  {moved}\n  {whole}");
        }
        println!("  {:.1} s", clock.elapsed().as_secs_f64());
        if memory == 3 {
            println!("{:#}", whole[1].plan);
            #[cfg(feature = "half")]
            half(&whole[1].plan, &fine, &network)?;
        }
    }
    Ok(())
}

/// The same table on numbers of half precision.
#[cfg(feature = "half")]
fn half(plan: &Plan<Step>, fine: &Plan<Step>, network: &GaussianMixture) -> Outcome<()> {
    let exact = lesson(fine, network, MEASURED, 9)?;
    let start: Array2<f64> = fine.prior((MEASURED, 2), &mut SeededNoise::new(9))?;
    let (noise, half) = (&mut SeededNoise::new(0), start.mapv(half::f16::from_f64));
    let double = plan.sample(start, &mut network.clone(), noise)?;
    let half = plan
        .sample(half, &mut network.clone(), noise)?
        .mapv(f64::from);
    let error = |end| distance(&end, exact.end());
    println!(
        "5 evaluations in f64 {:.4}, in f16 {:.4}",
        error(double),
        error(half)
    );
    Ok(())
}

fn distance(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    let squares = (a - b).mapv(|d| d * d).sum_axis(Axis(1));
    squares.mapv(f64::sqrt).mean().unwrap_or(f64::NAN)
}

/// Grids by every rule on a family of schedules.
fn families<S: NoiseSchedule<Time = T>, T: Clock + Debug>(
    name: &str,
    schedule: &S,
    network: &GaussianMixture,
) -> Outcome<()> {
    println!("\n{name}");
    let (fine, exact) = (fine(schedule, 100)?, fine(schedule, 1000)?);
    let (taught, exact) = (
        lesson(&fine, network, TAUGHT, 7)?,
        lesson(&exact, network, MEASURED, 8)?,
    );
    let straight = StepErrors::along(&taught, &Ddim::default())?;
    let second = StepErrors::along(&taught, &DpmSolver::plus_plus(2)?)?;
    let from = |sigma| Ok::<_, gaussian_diffusion::Error>(LogSnr::from_sigma(Sigma::new(sigma)?));
    let finite = fine
        .levels()
        .iter()
        .find(|level| !level.is_noise())
        .copied();
    let start = finite.map_or(80.0, |level| level.noise_to_signal());
    let nodes = Grid::uniform_log_snr_between(schedule, 100, from(start)?, from(0.03)?)?;
    let noise = &mut SeededNoise::new(3);
    let bound = StepErrors::kl_bound(&nodes, taught.end(), &mut network.clone(), noise)?;
    let n = COMPARED;
    let mut bounded = bound.grid(n)?;
    if fine.levels()[0].is_noise() {
        bounded = bounded
            .part(1..n)?
            .starting_at(schedule, fine.levels()[0])?;
    }
    let grids = [
        ("least sum of DDIM's errors (GITS)", straight.grid(n)?),
        ("equal errors of DDIM", straight.even_grid(n)?),
        ("least sum of DPM++ 2M's errors", second.grid(n)?),
        ("equal errors of DPM++ 2M", second.even_grid(n)?),
        ("least bound (Align Your Steps)", bounded),
        ("Karras", GridName::Karras.grid(schedule, n)?),
        ("even in time", Grid::uniform_time(schedule, n)?),
    ];
    let start: Array2<f64> = fine.prior((MEASURED, 2), &mut SeededNoise::new(8))?;
    for (name, grid) in grids {
        let plain = Plan::new(schedule, &grid, &Ddim::default())?;
        let base = Plan::new(schedule, &grid, &DpmSolver::plus_plus(2)?)?;
        let fitted = Fit::default().plan(&base, &taught, &mut network.clone())?;
        let error = |plan: &Plan<T>| -> Outcome<f64> {
            let x = start.clone();
            let end = plan.sample(x, &mut network.clone(), &mut SeededNoise::new(0))?;
            Ok(distance(&end, exact.end()))
        };
        row(name, [error(&plain)?, error(&base)?, error(&fitted.plan)?]);
    }
    Ok(())
}
