//! All named samplers on a mixture in the plane, whose exact flow is known: error against network
//! evaluations.
//!
//! `cargo run --release --example samplers [folder]` prints a table and writes `samplers.png`: a panel
//! for each sampler, with evaluations to the right and error upwards, both as logarithms, and below them
//! its end points after 10 evaluations over the exact ones.
//!
//! - Deterministic samplers: mean distance of the end points from those of the exact flow from the same
//!   starts (a run of 2000 steps of order 3).
//! - Stochastic ones: sliced Wasserstein distance of the end points from exact samples, next to that
//!   between two sets of exact samples, below which nothing can be told.

#[path = "shared/ruler.rs"]
mod ruler;

use std::{error::Error, fs, io::BufWriter, path::Path, process::ExitCode, time::Instant};

use gaussian_diffusion::{
    Sampler,
    sampler::{GridName, Kind, SolverName},
};
use ndarray::Array2;
use ruler::{Ruler, draws, within};

/// Points of a deterministic run, and of a stochastic one.
const POINTS: (usize, usize) = (256, 6000);
/// Evaluations that the table shows: the run with the most steps that needs no more.
const BUDGETS: [usize; 4] = [5, 10, 20, 50];
/// The budget whose end points are drawn, how many of them, and the half-width of their square.
const PICTURED: usize = 10;
const DRAWN: usize = 256;
const REACH: f64 = 2.0;
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
    /// End points of the run that is drawn.
    end: Option<Array2<f64>>,
}

impl Row {
    fn figures(&self) -> Vec<String> {
        figures(&self.points)
    }
}

/// The errors as they are printed.
fn figures(points: &[Option<(usize, f64)>]) -> Vec<String> {
    let figure = |point: &Option<(usize, f64)>| match point {
        Some((_, error)) => format!("{error:.4}"),
        None => "-".to_owned(),
    };
    points.iter().map(figure).collect()
}

fn run(folder: &Path) -> Outcome<()> {
    let begin = Instant::now();
    fs::create_dir_all(folder)?;
    let mut ruler = Ruler::new(POINTS.0, POINTS.1)?;
    let mut rows: Vec<Row> = Vec::new();
    for sampler in samplers() {
        // One that draws noise in long runs only is held to one measure all the same.
        let plans = BUDGETS.map(|budget| within(sampler, ruler.schedule(), budget));
        let stochastic = plans.iter().flatten().any(draws);
        let mut pictured = None;
        let mut points = Vec::new();
        for (budget, plan) in BUDGETS.into_iter().zip(plans) {
            let Some(plan) = plan else {
                points.push(None);
                continue;
            };
            let (error, end) = ruler.error(&plan, stochastic)?;
            points.push(Some((plan.evaluations(), error)));
            if budget == PICTURED {
                pictured = Some(end);
            }
        }
        let name = sampler.to_string();
        // Names for the same thing share a row.
        let same =
            |row: &&mut Row| row.stochastic == stochastic && row.figures() == figures(&points);
        if let Some(row) = rows.iter_mut().find(same) {
            row.name += &format!("; {name}");
            continue;
        }
        rows.push(Row {
            name,
            stochastic,
            points,
            end: pictured,
        });
    }
    rows.sort_by_key(|row| row.stochastic);
    print(&rows, ruler.floor());
    write_panels(
        &folder.join("samplers.png"),
        &rows,
        ruler.floor(),
        ruler.exact(),
    )?;
    println!(
        "\nsamplers.png in {}, {:.1} s",
        folder.display(),
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}

/// All of the list that have plans and need no guidance, and each solver of uniform steps on a grid of Karras too.
fn samplers() -> Vec<Sampler> {
    let mut samplers: Vec<_> = Sampler::all().collect();
    for solver in SolverName::all() {
        let more = Sampler::new(solver, GridName::Karras);
        let fast = matches!(solver, SolverName::DpmFast | SolverName::DpmFastOde);
        let fitting = solver.default_grid() == GridName::Uniform && !fast;
        if fitting && !samplers.contains(&more) {
            samplers.push(more);
        }
    }
    samplers.retain(|sampler| {
        sampler.kind() == Kind::Planned && !sampler.solver().needs_cfg_plus_plus()
    });
    samplers
}

fn print(rows: &[Row], floor: f64) {
    let heading = |title: &str| {
        println!("\n{title}");
        print!("{:<61}", "evaluations, at most");
        BUDGETS.iter().for_each(|budget| print!("{budget:>10}"));
        println!();
    };
    heading("deterministic: mean distance from the exact flow");
    let mut headed = false;
    for (number, row) in (1..).zip(rows) {
        if row.stochastic && !headed {
            heading("stochastic: sliced Wasserstein distance from exact samples");
            println!("{:<61}{floor:>10.4}", "(two sets of exact samples)");
            headed = true;
        }
        print!("{number:>3}  {:<56}", row.name);
        row.figures()
            .iter()
            .for_each(|figure| print!("{figure:>10}"));
        println!();
    }
}

/// Width of a panel, and heights of its two parts.
const PANEL: (usize, usize, usize) = (96, 60, 96);
const COLUMNS: usize = 12;
const BACK: [u8; 3] = [12, 10, 26];
/// What the exact law is drawn in, and each sampler's own.
const EXACT: [u8; 3] = [80, 100, 130];
const DETERMINISTIC: [u8; 3] = [120, 220, 160];
const STOCHASTIC: [u8; 3] = [249, 142, 34];
/// Digits of 3 by 5 pixels, rows from the top.
const DIGITS: [u16; 10] = [
    0o75557, 0o26227, 0o71747, 0o71717, 0o55711, 0o74717, 0o74757, 0o71111, 0o75757, 0o75717,
];

/// A panel a sampler. Above: its number, evaluations from 4 to 64, error from 1e-4 to 10. Below: its end
/// points over those of the exact flow, or over exact samples.
fn write_panels(path: &Path, rows: &[Row], floor: f64, exact: [&Array2<f64>; 2]) -> Outcome<()> {
    const GAP: usize = 4;
    let (width, height) = (PANEL.0, PANEL.1 + PANEL.2);
    let lines = rows.len().div_ceil(COLUMNS);
    let size = (lines * (height + GAP) + GAP, COLUMNS * (width + GAP) + GAP);
    let mut pixels = Array2::from_elem(size, [60_u8, 60, 70]);
    for (i, row) in rows.iter().enumerate() {
        let left = GAP + i % COLUMNS * (width + GAP);
        let top = GAP + i / COLUMNS * (height + GAP);
        let mut panel = Array2::from_elem((height, width), BACK);
        draw_errors(&mut panel, row, floor);
        draw_number(&mut panel, i + 1);
        draw_points(&mut panel, exact[usize::from(row.stochastic)], EXACT);
        if let Some(end) = &row.end {
            draw_points(&mut panel, end, colour_of(row));
        }
        for ((y, x), colour) in panel.indexed_iter() {
            pixels[[top + y, left + x]] = *colour;
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

fn colour_of(row: &Row) -> [u8; 3] {
    match row.stochastic {
        true => STOCHASTIC,
        false => DETERMINISTIC,
    }
}

fn draw_errors(panel: &mut Array2<[u8; 3]>, row: &Row, floor: f64) {
    let (width, height) = (PANEL.0, PANEL.1);
    let mut set = |x: f64, y: f64, colour| {
        let column = (x.clamp(0.0, 1.0) * (width - 1) as f64) as usize;
        let line = ((1.0 - y.clamp(0.0, 1.0)) * (height - 1) as f64) as usize;
        panel[[line, column]] = colour;
    };
    let shares = (0..=2 * width).map(|step| step as f64 / (2 * width) as f64);
    let high = |error: f64| (error.max(1e-12).log10() + 4.0) / 5.0;
    for x in shares.clone() {
        // A line for each power of ten, and one for what exact samples differ by.
        (0..=5).for_each(|power| set(x, f64::from(power) / 5.0, [44, 40, 60]));
        if row.stochastic {
            set(x, high(floor), EXACT);
        }
    }
    let place = |&(count, error): &(usize, f64)| ((count as f64).log2() / 4.0 - 0.5, high(error));
    let places: Vec<_> = row.points.iter().flatten().map(place).collect();
    for pair in places.windows(2) {
        for f in shares.clone() {
            let along = |a: f64, b: f64| a + (b - a) * f;
            let (x, y) = (along(pair[0].0, pair[1].0), along(pair[0].1, pair[1].1));
            set(x, y, colour_of(row));
        }
    }
    for (x, y) in places {
        set(x, y, [255; 3]);
    }
}

/// In the upper right corner, each pixel of a digit a square of four.
fn draw_number(panel: &mut Array2<[u8; 3]>, number: usize) {
    let mut left = PANEL.0;
    for digit in number.to_string().bytes().rev() {
        left -= 8;
        let digit = DIGITS[usize::from(digit - b'0')];
        for pixel in 0..60 {
            let (y, x) = (pixel / 6, pixel % 6);
            if digit >> (14 - (y / 2 * 3 + x / 2)) & 1 == 1 {
                panel[[2 + y, left + x]] = [200, 200, 210];
            }
        }
    }
}

/// The first of these points, in the square below.
fn draw_points(panel: &mut Array2<[u8; 3]>, points: &Array2<f64>, colour: [u8; 3]) {
    let (side, top) = (PANEL.2, PANEL.1);
    for point in points.rows().into_iter().take(DRAWN) {
        let place = |x: f64| {
            let place = (x / REACH + 1.0) * 0.5 * side as f64;
            (place >= 0.0 && place < side as f64).then_some(place as usize)
        };
        if let (Some(x), Some(y)) = (place(point[0]), place(-point[1])) {
            panel[[top + y, x]] = colour;
        }
    }
}
