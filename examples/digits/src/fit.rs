//! Samplers fitted to the network, beside every named one.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
    time::Instant,
};

use gaussian_diffusion::{
    GaussianMixture, Grid, Plan, Sampler, SeededNoise, Step,
    fit::{Fit, Fitted, Gaussians, Lesson, Refinement, StepErrors},
    sampler::{GridName, Kind, SolverName},
    schedule::Discrete,
    solver::{Coordinates, Ddim, DpmSolver, ExponentialAdams},
};
use ndarray::{Array2, Slice};

use crate::{
    Outcome,
    asked::{Asked, Sampled},
    chart::{Axis, Chart, Curve, Scale, Stroke},
    data::{CLASSES, Digits, PIXELS},
    network::{Class, Network},
    picture::{self, Gallery},
};

pub const BUDGETS: [usize; 5] = [4, 5, 6, 8, 10];
/// Starts of a lesson, and those that a sampler is measured with.
const TAUGHT: usize = 8;
const MEASURED: usize = 50;
/// Steps of a lesson, and of what counts as the exact flow.
const STEPS: usize = 100;
const EXACT_STEPS: usize = 400;
/// Evaluations of the fits that are transferred, refined, printed and kept.
const SHOWN: usize = 5;

/// Starts, the network asked for their classes, and where the exact flow takes them.
struct Course<'a> {
    network: &'a Network,
    guidance: f64,
    classes: Vec<Class>,
    start: Array2<f32>,
    end: Array2<f32>,
}

impl<'a> Course<'a> {
    fn new(
        network: &'a Network,
        schedule: &Discrete,
        guidance: f64,
        classes: impl Iterator<Item = usize>,
        seed: u64,
    ) -> Outcome<Self> {
        let classes: Vec<Class> = classes.map(Some).collect();
        let exact = fine(schedule, EXACT_STEPS)?;
        let noise = &mut SeededNoise::new(seed);
        let start: Array2<f32> = exact.prior((classes.len(), PIXELS), noise)?;
        let mut course = Self {
            network,
            guidance,
            classes,
            end: start.clone(),
            start,
        };
        course.end = course.drawn(&exact)?;
        Ok(course)
    }

    fn asked(&self) -> Outcome<Sampled<'a>> {
        Ok(Asked::new(self.network, self.classes.clone()).guided(self.guidance)?)
    }

    fn drawn(&self, plan: &Plan<Step>) -> Outcome<Array2<f32>> {
        let noise = &mut SeededNoise::new(0);
        Ok(plan.sample(self.start.clone(), &mut self.asked()?, noise)?)
    }

    fn lesson(&self, schedule: &Discrete) -> Outcome<Lesson<Array2<f32>, Step>> {
        let fine = fine(schedule, STEPS)?;
        Ok(Lesson::new(&fine, self.start.clone(), &mut self.asked()?)?)
    }

    /// The root mean square of a pixel's distance from the exact flow.
    fn error(&self, plan: &Plan<Step>) -> Outcome<f64> {
        let off = self.drawn(plan)? - &self.end;
        let square = off.mapv(|x| f64::from(x).powi(2)).mean();
        Ok(square.unwrap_or(f64::NAN).sqrt())
    }

    fn fitted(
        &self,
        fit: &Fit,
        base: &Plan<Step>,
        lesson: &Lesson<Array2<f32>, Step>,
    ) -> Outcome<Fitted<Step>> {
        Ok(fit.plan(base, lesson, &mut self.asked()?)?)
    }
}

fn fine(schedule: &Discrete, steps: usize) -> Outcome<Plan<Step>> {
    let grid = Grid::uniform_log_snr(schedule, steps)?;
    Ok(Plan::new(
        schedule,
        &grid,
        &ExponentialAdams::new(3, Coordinates::Data)?,
    )?)
}

fn base(schedule: &Discrete, grid: &Grid<Step>) -> Outcome<Plan<Step>> {
    Ok(Plan::new(schedule, grid, &DpmSolver::plus_plus(2)?)?)
}

/// The errors of a sampler or a family of them at each budget.
pub struct Row {
    pub name: String,
    pub errors: Vec<f64>,
}

/// What the pictures are made of.
pub struct Report {
    pub rows: Vec<Row>,
    /// Ten digits at the fewest evaluations: the best named sampler's, the fitted plan's, the exact flow's.
    pub digits: Vec<(String, Array2<f32>)>,
    /// The plan fitted to the network, and that without one, and the grid of the first.
    plans: [Plan<Step>; 2],
    grid: Grid<Step>,
}

/// Prints all tables, and keeps the fitted plan as JSON in the folder.
pub fn report(
    folder: &Path,
    network: &Network,
    schedule: &Discrete,
    digits: &Digits,
    seed: u64,
) -> Outcome<Report> {
    let all = || (0..MEASURED).map(|i| i % CLASSES);
    let taught = Course::new(network, schedule, 1.0, 0..TAUGHT, seed + 1000)?;
    let held_out = Course::new(network, schedule, 1.0, all(), seed + 2000)?;
    let clock = Instant::now();
    let lesson = taught.lesson(schedule)?;
    println!(
        "\na lesson of {TAUGHT} starts: {} evaluations, {:.2} s",
        lesson.evaluations(),
        clock.elapsed().as_secs_f64()
    );
    println!("root mean square of a pixel's distance from the exact flow, {MEASURED} other starts");
    print!("{:<46}", "evaluations");
    BUDGETS.iter().for_each(|budget| print!("{budget:>8}"));
    println!();
    let (mut rows, best) = named(schedule, &held_out)?;
    let grids = StepErrors::along(&lesson, &Ddim::default())?;
    let fit = Fit::default();
    let mut gaussians = expected(digits)?;
    let teacher = fine(schedule, STEPS)?;
    let rows_of_gaussians = gaussians.starts(teacher.prior_std());
    let told = Lesson::new(&teacher, rows_of_gaussians, &mut gaussians)?;
    let told = told.with_weights(&gaussians.weights())?;
    let told_grids = StepErrors::along(&told, &Ddim::default())?;

    let mut fits: Vec<(&str, Vec<Fitted<Step>>)> = Vec::new();
    let on = |grid: &dyn Fn(usize) -> Outcome<Grid<Step>>| -> Outcome<Vec<Fitted<Step>>> {
        let fitted = |n| taught.fitted(&fit, &base(schedule, &grid(n)?)?, &lesson);
        BUDGETS.into_iter().map(fitted).collect()
    };
    let least = |n| Ok(grids.grid(n)?);
    fits.push(("fitted, least sum of errors", on(&least)?));
    fits.push(("fitted, equal errors", on(&|n| Ok(grids.even_grid(n)?))?));
    fits.push((
        "fitted, Karras",
        on(&|n| Ok(GridName::Karras.grid(schedule, n)?))?,
    ));
    let no_call = |n| -> Outcome<Fitted<Step>> {
        let base = base(schedule, &told_grids.grid(n)?)?;
        Ok(fit.plan(&base, &told, &mut gaussians.clone())?)
    };
    let no_call: Vec<_> = BUDGETS.into_iter().map(no_call).collect::<Outcome<_>>()?;
    fits.push(("fitted to a Gaussian a class, no network", no_call));
    let refinement = Refinement::default().with_evaluations(600);
    let refined = |fitted: &Fitted<Step>| -> Outcome<Fitted<Step>> {
        Ok(refinement.coefficients(&fit, &fitted.plan, &lesson, &mut taught.asked()?)?)
    };
    let refined: Vec<_> = fits[0].1.iter().map(refined).collect::<Outcome<_>>()?;
    fits.push(("fitted, least sum, refined", refined));
    for (name, fits) in &fits {
        let errors = fits.iter().map(|fitted| held_out.error(&fitted.plan));
        let errors = errors.collect::<Outcome<Vec<_>>>()?;
        rows.push(Row {
            name: (*name).to_owned(),
            errors,
        });
        print_row(&rows[rows.len() - 1]);
    }
    println!("\nwhat the fits report of their own starts");
    for (name, fits) in &fits {
        fits.iter().for_each(|fitted| println!("{name}: {fitted}"));
    }
    let shown = BUDGETS
        .iter()
        .position(|budget| *budget == SHOWN)
        .unwrap_or(0);
    let plan = &fits[0].1[shown].plan;
    println!("\n{plan:#}");
    let path = folder.join("fitted.json");
    fs::write(&path, serde_json::to_string_pretty(plan)?)?;
    Ok(Report {
        digits: vec![
            (
                format!("{}, {} evaluations", best.0, BUDGETS[0]),
                ten(held_out.drawn(&best.1)?),
            ),
            (
                format!("fitted, {} evaluations", BUDGETS[0]),
                ten(held_out.drawn(&fits[0].1[0].plan)?),
            ),
            ("the exact flow".to_owned(), ten(held_out.end.clone())),
        ],
        plans: [0, 3].map(|kind: usize| fits[kind].1[shown].plan.clone()),
        grid: grids.grid(SHOWN)?,
        rows,
    })
}

fn ten(drawn: Array2<f32>) -> Array2<f32> {
    drawn
        .slice_axis(ndarray::Axis(0), Slice::from(..CLASSES))
        .to_owned()
}

fn print_row(row: &Row) {
    print!("{:<46}", row.name);
    row.errors.iter().for_each(|error| print!("{error:>8.4}"));
    println!();
}

/// The name of a sampler, and its plan.
type Named = (String, Plan<Step>);

/// Every solver without noise on the grid that suits it best, and the best of all; and that one's plan at
/// the fewest evaluations.
fn named(schedule: &Discrete, course: &Course) -> Outcome<(Vec<Row>, Named)> {
    let mut rows = Vec::new();
    let mut all: Vec<(f64, String)> = vec![(f64::INFINITY, String::new()); BUDGETS.len()];
    let mut fewest = None;
    let (mut solvers, mut grids) = (0, HashSet::new());
    // Some names are others of the same plan.
    let mut known = HashMap::new();
    for solver in SolverName::all() {
        let mut best = vec![f64::INFINITY; BUDGETS.len()];
        for (place, budget) in BUDGETS.into_iter().enumerate() {
            for grid in GridName::all() {
                let sampler = Sampler::new(solver, grid);
                let Some(plan) = within(sampler, schedule, budget) else {
                    continue;
                };
                grids.insert(grid);
                // Some grids lead a network whose answers are clipped to no number.
                let known = known.entry(plan.fingerprint());
                let error = *known.or_insert_with(|| course.error(&plan).unwrap_or(f64::INFINITY));
                best[place] = best[place].min(error);
                if error < all[place].0 {
                    all[place] = (error, sampler.to_string());
                    if place == 0 {
                        fewest = Some((sampler.to_string(), plan));
                    }
                }
            }
        }
        if best.iter().all(|error| error.is_finite()) {
            solvers += 1;
            let row = Row {
                name: format!("{solver}, its best grid"),
                errors: best,
            };
            print_row(&row);
            rows.push(row);
        }
    }
    let best = Row {
        name: format!("best of {solvers} solvers and {} grids", grids.len()),
        errors: all.iter().map(|(error, _)| *error).collect(),
    };
    print_row(&best);
    println!(
        "  {}",
        all.iter()
            .map(|(_, name)| name.as_str())
            .collect::<Vec<_>>()
            .join("; ")
    );
    rows.push(best);
    Ok((rows, fewest.ok_or("no named sampler has a plan")?))
}

/// The plan without noise with the most steps that makes no more evaluations than allowed.
fn within(sampler: Sampler, schedule: &Discrete, budget: usize) -> Option<Plan<Step>> {
    if sampler.kind() != Kind::Planned || sampler.solver().needs_cfg_plus_plus() {
        return None;
    }
    let plans = (1..=budget).rev().map(|n| sampler.plan(schedule, n).ok());
    let plan = plans.flatten().find(|plan| plan.evaluations() <= budget)?;
    Some(plan).filter(|plan| !draws(plan))
}

fn draws(plan: &Plan<Step>) -> bool {
    let stages = plan.stages().iter().map(|planned| &planned.stage);
    let mut updates = stages.flat_map(|stage| [&stage.renoise, &stage.commit, &stage.trial]);
    updates.any(|update| update.as_ref().is_some_and(|update| update.noise.draws()))
}

/// The mean and the covariance of the digits of each class.
fn expected(digits: &Digits) -> Outcome<Gaussians> {
    let class = |class| {
        let places = (0..digits.len()).filter(|&i| digits.labels[i] == class);
        digits.select(&places.collect::<Vec<_>>()).pixels
    };
    let classes: Vec<_> = (0..CLASSES).map(class).collect();
    Ok(Gaussians::of(&GaussianMixture::of_samples(&classes)?))
}

/// How well the fit does elsewhere than where it was taught, beside one that was taught there.
pub fn transfers(
    report: &Report,
    network: &Network,
    other: &Network,
    schedule: &Discrete,
    seed: u64,
) -> Outcome<()> {
    let [plan, no_network] = &report.plans;
    println!("\nthe fit of {SHOWN} evaluations elsewhere");
    println!(
        "{:<34}{:>8}{:>12}{:>12}{:>12}",
        "", "fitted", "no network", "refitted", "base"
    );
    let many = |classes: std::ops::Range<usize>| {
        let classes: Vec<_> = classes.collect();
        (0..MEASURED).map(move |i| classes[i % classes.len()])
    };
    let places: [(&str, &Network, f64, std::ops::Range<usize>); 6] = [
        ("as taught", network, 1.0, 0..CLASSES),
        (
            "the classes that it was not taught",
            network,
            1.0,
            TAUGHT..CLASSES,
        ),
        ("no guidance, no class", network, 0.0, 0..CLASSES),
        ("guidance of scale 2", network, 2.0, 0..CLASSES),
        ("guidance of scale 3", network, 3.0, 0..CLASSES),
        ("another network of the same digits", other, 1.0, 0..CLASSES),
    ];
    let fit = Fit::default();
    for (name, network, guidance, classes) in places {
        let measured = Course::new(
            network,
            schedule,
            guidance,
            many(classes.clone()),
            seed + 3000,
        )?;
        let few = many(classes).take(TAUGHT);
        let taught = Course::new(network, schedule, guidance, few, seed + 4000)?;
        let lesson = taught.lesson(schedule)?;
        let own = StepErrors::along(&lesson, &Ddim::default())?.grid(SHOWN)?;
        let again = taught.fitted(&fit, &base(schedule, &own)?, &lesson)?.plan;
        let base = base(schedule, &report.grid)?;
        println!(
            "{name:<34}{:>8.4}{:>12.4}{:>12.4}{:>12.4}",
            measured.error(plan)?,
            measured.error(no_network)?,
            measured.error(&again)?,
            measured.error(&base)?
        );
    }
    Ok(())
}

/// Draws the errors against the evaluations, and the ten digits.
pub fn pictures(gallery: &mut Gallery, report: &Report) -> Outcome<()> {
    let row = |name: &&str| report.rows.iter().find(|row| row.name.starts_with(*name));
    let shown = [
        "best of",
        "DPM++ 2M,",
        "fitted, least sum of",
        "fitted to a Gaussian",
    ];
    let curves = shown
        .iter()
        .filter_map(row)
        .enumerate()
        .map(|(colour, row)| {
            let places = BUDGETS.iter().map(|n| *n as f64);
            let points = places.zip(row.errors.iter().copied()).collect();
            Curve::new(&row.name, colour, Stroke::Both, points)
        });
    let chart = Chart {
        title: "Distance from the exact flow".to_owned(),
        x: Axis::log("network evaluations", Scale::Log2, 4.0, 16.0),
        y: Axis::log("root mean square of a pixel", Scale::Log10, 1e-3, 1.0),
        curves: curves.collect(),
        left: 76,
    };
    gallery.add(
        "fitted",
        "distance from the exact flow against evaluations",
        &chart.svg(420)?,
    )?;
    let rows = report.digits.iter();
    let rows = rows.map(|(name, digits)| picture::row(name.clone(), digits.rows()));
    let title = "Ten digits by few evaluations and by the exact flow";
    gallery.add(
        "fitted_digits",
        "ten digits by the best named sampler, by a fitted one and by the exact flow",
        &picture::sheet(title, &rows.collect::<Vec<_>>())?,
    )
}
