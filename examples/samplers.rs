//! All named samplers on a mixture in the plane, whose exact flow is known: error against network
//! evaluations.
//!
//! `cargo run --release --example samplers [folder]` prints a table and writes `samplers.png`: a panel
//! for each sampler, evaluations to the right and error upwards, both as logarithms.
//!
//! - Deterministic samplers: mean distance of the end points from those of the exact flow from the same
//!   starts (a run of 2000 steps of order 3).
//! - Stochastic ones: sliced Wasserstein distance of the end points from exact samples, next to that
//!   between two sets of exact samples, below which nothing can be told.

use std::{
    error::Error, f64::consts::PI, fs, io::BufWriter, path::Path, process::ExitCode, time::Instant,
};

use gaussian_diffusion::{
    GaussianMixture, Grid, Noise, Plan, Sampler, Step,
    rand::{SeedableRng, rngs::StdRng},
    sampler::Kind,
    schedule::Discrete,
    solver::ExponentialAdams,
};
use ndarray::Array2;

/// Points of a deterministic run, and of a stochastic one.
const POINTS: (usize, usize) = (256, 8000);
/// Evaluations that the table shows: the run with the most steps that needs no more.
const BUDGETS: [usize; 4] = [5, 10, 20, 50];
const REFERENCE_STEPS: usize = 2000;
/// Other sets of exact samples that the first is compared with.
const PAIRS: usize = 8;
/// Directions in which distributions are compared.
const DIRECTIONS: usize = 24;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let folder = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "out/samplers".to_owned());
    match run(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("samplers, writing to {folder}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A sampler with its error at each budget, where it has a run of so few evaluations.
struct Row {
    name: String,
    stochastic: bool,
    points: Vec<Option<(usize, f64)>>,
}

fn run(folder: &Path) -> Outcome<()> {
    let begin = Instant::now();
    fs::create_dir_all(folder)?;
    let schedule = Discrete::stable_diffusion()?;
    let mut network = three_clouds()?;
    let mut rng = StdRng::seed_from_u64(2);
    let data = network.sample(POINTS.1, &mut rng);
    let mut floor = 0.0;
    for _ in 0..PAIRS {
        let other = network.sample(POINTS.1, &mut rng);
        floor += distribution_distance(&data, &other) / PAIRS as f64;
    }

    let fine = Plan::new(
        &schedule,
        &Grid::uniform_log_snr(&schedule, REFERENCE_STEPS)?,
        &ExponentialAdams::deis(3)?,
    )?;
    let start: Array2<f64> = fine.prior((POINTS.0, 2), &mut Noise::seeded(1))?;
    let flow = fine.sample(start.clone(), &mut network, &mut Noise::seeded(3))?;

    let mut rows = Vec::new();
    for sampler in Sampler::all().filter(|sampler| sampler.kind() == Kind::Planned) {
        let mut stochastic = false;
        let mut points = Vec::new();
        for budget in BUDGETS {
            let Some(plan) = within(sampler, &schedule, budget) else {
                points.push(None);
                continue;
            };
            stochastic |= draws(&plan);
            let mut noise = Noise::seeded(4);
            let error = if draws(&plan) {
                let start = plan.prior((POINTS.1, 2), &mut noise)?;
                let end = plan.sample(start, &mut network, &mut noise)?;
                distribution_distance(&data, &end)
            } else {
                let end = plan.sample(start.clone(), &mut network, &mut noise)?;
                mean_distance(&flow, &end)
            };
            points.push(Some((plan.evaluations(), error)));
        }
        let name = sampler.to_string();
        rows.push(Row {
            name,
            stochastic,
            points,
        });
    }
    rows.sort_by_key(|row| row.stochastic);
    print(&rows, floor);
    write_panels(&folder.join("samplers.png"), &rows, floor)?;
    println!(
        "\nsamplers.png in {}, {:.1} s",
        folder.display(),
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Three narrow clouds of unequal weight, neither round nor in a line.
fn three_clouds() -> Result<GaussianMixture, gaussian_diffusion::Error> {
    GaussianMixture::diagonal(&[
        (0.5, [-1.0, -0.4], [0.04, 0.01]),
        (0.3, [0.9, -0.6], [0.01, 0.05]),
        (0.2, [0.2, 1.1], [0.03, 0.02]),
    ])
}

/// The plan with the most steps that makes no more evaluations than allowed.
fn within(sampler: Sampler, schedule: &Discrete, budget: usize) -> Option<Plan<Step>> {
    let plans = (1..=budget).rev().map(|n| sampler.plan(schedule, n).ok());
    plans.flatten().find(|plan| plan.evaluations() <= budget)
}

fn draws(plan: &Plan<Step>) -> bool {
    let stages = plan.stages().iter().map(|planned| &planned.stage);
    let mut updates = stages.flat_map(|stage| [&stage.renoise, &stage.commit, &stage.trial]);
    updates.any(|update| {
        let update = update.as_ref();
        update.is_some_and(|update| update.spread.draws())
    })
}

fn mean_distance(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    let rows = a.rows().into_iter().zip(b.rows());
    let sum: f64 = rows.map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1])).sum();
    sum / a.nrows() as f64
}

/// Mean distance of equal quantiles, over directions: sliced Wasserstein-1.
fn distribution_distance(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    let mut sum = 0.0;
    for k in 0..DIRECTIONS {
        let (sin, cos) = (k as f64 * PI / DIRECTIONS as f64).sin_cos();
        let along = |points: &Array2<f64>| {
            let rows = points.rows().into_iter();
            let mut places: Vec<_> = rows.map(|row| cos * row[0] + sin * row[1]).collect();
            places.sort_by(f64::total_cmp);
            places
        };
        let (a, b) = (along(a), along(b));
        let distance: f64 = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).sum();
        sum += distance / a.len() as f64;
    }
    sum / DIRECTIONS as f64
}

fn print(rows: &[Row], floor: f64) {
    let heading = |title: &str| {
        println!("\n{title}");
        print!("{:<30}", "evaluations, at most");
        BUDGETS.iter().for_each(|budget| print!("{budget:>10}"));
        println!();
    };
    heading("deterministic: mean distance from the exact flow");
    let (mut told, mut shown) = (false, 0);
    for row in rows {
        if row.stochastic && !told {
            heading("stochastic: sliced Wasserstein distance from exact samples");
            println!("{:<30}{floor:>10.4}", "(two sets of exact samples)");
            told = true;
        }
        print!("{:<30}", row.name);
        for point in &row.points {
            match point {
                Some((_, error)) => print!("{error:>10.4}"),
                None => print!("{:>10}", "-"),
            }
        }
        println!();
        shown += 1;
    }
    println!("\n{shown} samplers, in the picture from left to right and from the top");
}

const PANEL: (usize, usize) = (96, 72);
const COLUMNS: usize = 8;
const BACK: [u8; 3] = [12, 10, 26];

/// A panel a sampler: evaluations from 4 to 64, error from 1e-4 to 10; the line of stochastic ones is
/// that of two exact samples.
fn write_panels(path: &Path, rows: &[Row], floor: f64) -> Outcome<()> {
    const GAP: usize = 4;
    let (width, height) = PANEL;
    let lines = rows.len().div_ceil(COLUMNS);
    let size = (lines * (height + GAP) + GAP, COLUMNS * (width + GAP) + GAP);
    let mut pixels = Array2::from_elem(size, [60_u8, 60, 70]);
    for (i, row) in rows.iter().enumerate() {
        let left = GAP + i % COLUMNS * (width + GAP);
        let top = GAP + i / COLUMNS * (height + GAP);
        let mut set = |x: f64, y: f64, colour: [u8; 3]| {
            let column = (x.clamp(0.0, 1.0) * (width - 1) as f64) as usize;
            let line = ((1.0 - y.clamp(0.0, 1.0)) * (height - 1) as f64) as usize;
            pixels[[top + line, left + column]] = colour;
        };
        let steps = |end: usize| (0..=end).map(move |step| step as f64 / end as f64);
        for x in steps(width) {
            steps(height).for_each(|y| set(x, y, BACK));
        }
        let high = |error: f64| (error.max(1e-12).log10() + 4.0) / 5.0;
        for x in steps(width) {
            // A line for each power of ten.
            (0..5).for_each(|power| set(x, f64::from(power) / 5.0, [44, 40, 60]));
            if row.stochastic {
                set(x, high(floor), [90, 110, 130]);
            }
        }
        let places: Vec<_> = row
            .points
            .iter()
            .flatten()
            .map(|&(evaluations, error)| (((evaluations as f64).log2() - 2.0) / 4.0, high(error)))
            .collect();
        let colour = match row.stochastic {
            true => [249, 142, 34],
            false => [120, 220, 160],
        };
        for pair in places.windows(2) {
            for f in steps(2 * width) {
                let along = |a: f64, b: f64| a + (b - a) * f;
                set(
                    along(pair[0].0, pair[1].0),
                    along(pair[0].1, pair[1].1),
                    colour,
                );
            }
        }
        for (x, y) in places {
            let dot = |d: i32, side: usize| f64::from(d) / side as f64;
            for (i, j) in [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)] {
                set(x + dot(i, width), y + dot(j, height), [255, 255, 255]);
            }
        }
    }
    let file = BufWriter::new(fs::File::create(path)?);
    let mut encoder = png::Encoder::new(file, size.1 as u32, size.0 as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let bytes: Vec<u8> = pixels.iter().flatten().copied().collect();
    encoder.write_header()?.write_image_data(&bytes)?;
    Ok(())
}
