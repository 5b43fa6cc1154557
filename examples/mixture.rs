//! The forward and the reverse flow of a mixture in the plane, without any network.
//!
//! `cargo run --release --example mixture [folder]` writes two pictures and prints how close both
//! samplers came to the exact law at each level.
//!
//! - `flow.png`: columns from data to noise; rows: exact density, forward process, DDPM, DDIM.
//! - `paths.png`: the way of some points from noise to data along the deterministic flow.

#[path = "shared/plane.rs"]
mod plane;

use std::{error::Error, fs, io::BufWriter, path::Path, process::ExitCode, time::Instant};

use gaussian_diffusion::{
    ForwardProcess, GaussianMixture, Grid, NoiseLevel, Plan, SeededNoise,
    rand::{SeedableRng, rngs::StdRng},
    schedule::Discrete,
    solver::{Ddim, Ddpm},
};
use ndarray::Array2;
use plane::{Panel, colour, density_panel, petals, pixel, points_panel, states};

const POINTS: usize = 3000;
const STEPS: usize = 60;
/// Which levels of a run are shown, counted in steps from its start.
const SHOWN: [usize; 8] = [60, 58, 55, 51, 45, 36, 24, 0];
/// Pixels of a panel's side.
const PANEL: usize = 180;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let folder = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "out/mixture".to_owned());
    match run(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mixture, writing to {folder}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &Path) -> Outcome<()> {
    let begin = Instant::now();
    fs::create_dir_all(folder)?;
    let mixture = petals(7)?;
    let schedule = Discrete::cosine(1000)?;
    let grid = Grid::trailing(&schedule, STEPS)?;
    let mut noise = SeededNoise::new(1);
    let data = mixture.sample(POINTS, &mut StdRng::seed_from_u64(2));

    // Both samplers start from the same noise.
    let ddpm = Plan::new(&schedule, &grid, &Ddpm::default())?;
    let ddim = Plan::new(&schedule, &grid, &Ddim::default())?;
    println!("{ddpm}\n{ddim}\n");
    let start: Array2<f64> = ddpm.prior((POINTS, 2), &mut noise)?;
    let mut network = mixture.clone();
    let drawn = states(&ddpm, &mut network, start.clone(), &mut noise)?;
    let flowed = states(&ddim, &mut network, start, &mut noise)?;

    let mut rows = [const { Vec::new() }; 4];
    println!("variance of a coordinate");
    println!(
        "{:>8} {:>8} {:>9} {:>9} {:>9} {:>9}",
        "alpha", "sigma", "exact", "forward", "DDPM", "DDIM"
    );
    for index in SHOWN {
        let level = ddpm.levels()[index];
        let forward = match grid.nodes().get(index) {
            Some(node) => schedule.draw_jump(&data, node.time, &mut noise)?.0,
            None => data.clone(),
        };
        let exact = mixture.variances()[0] * level.alpha().powi(2) + level.sigma().powi(2);
        let [a, b, c] = [&forward, &drawn[index], &flowed[index]].map(|x| x.column(0).var(0.0));
        println!(
            "{:>8.4} {:>8.4} {exact:>9.4} {a:>9.4} {b:>9.4} {c:>9.4}",
            level.alpha(),
            level.sigma()
        );
        rows[0].push(density_panel(&mixture, level, PANEL)?);
        for (row, x) in rows[1..]
            .iter_mut()
            .zip([&forward, &drawn[index], &flowed[index]])
        {
            row.push(points_panel(x, PANEL));
        }
    }

    println!("\nmean log-density of the result, nats");
    for (name, x) in [
        ("data", &data),
        ("DDPM", &drawn[STEPS]),
        ("DDIM", &flowed[STEPS]),
    ] {
        println!("{name:>8} {:>8.3}", mean_log_density(&mixture, x)?);
    }
    write_rows(&folder.join("flow.png"), &rows)?;
    write_paths(&folder.join("paths.png"), &flowed)?;
    println!(
        "\nflow.png and paths.png in {}, {:.2} s",
        folder.display(),
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}

fn mean_log_density(
    mixture: &GaussianMixture,
    x: &Array2<f64>,
) -> Result<f64, gaussian_diffusion::Error> {
    let mut sum = 0.0;
    for row in x.rows() {
        sum += mixture.log_density(&row.to_vec(), NoiseLevel::CLEAN)?;
    }
    Ok(sum / x.nrows() as f64)
}

fn write_rows(path: &Path, rows: &[Vec<Panel>; 4]) -> Outcome<()> {
    const GAP: usize = 3;
    let place = |i: usize| GAP + i * (PANEL + GAP);
    let (width, height) = (place(rows[0].len()), place(rows.len()));
    let mut pixels = Array2::from_elem((height, width), [60_u8, 60, 70]);
    for (i, row) in rows.iter().enumerate() {
        for (j, panel) in row.iter().enumerate() {
            for ((y, x), value) in panel.indexed_iter() {
                pixels[[place(i) + y, place(j) + x]] = colour(*value);
            }
        }
    }
    write_png(path, &pixels)
}

/// The ways of the first points, brighter as they come to the data.
fn write_paths(path: &Path, states: &[Array2<f64>]) -> Outcome<()> {
    const SIDE: usize = 720;
    const DOTS: usize = 60;
    let mut pixels = Array2::from_elem((SIDE, SIDE), colour(0.0));
    for (step, pair) in states.windows(2).enumerate() {
        let bright = colour(0.25 + 0.7 * (step as f64 / states.len() as f64));
        for point in 0..160.min(POINTS) {
            for dot in 0..DOTS {
                let share = dot as f64 / DOTS as f64;
                let along = |k| pair[0][[point, k]] * (1.0 - share) + pair[1][[point, k]] * share;
                if let Some(at) = pixel(along(0), along(1), SIDE) {
                    pixels[at] = bright;
                }
            }
        }
    }
    write_png(path, &pixels)
}

fn write_png(path: &Path, pixels: &Array2<[u8; 3]>) -> Outcome<()> {
    let (height, width) = pixels.dim();
    let file = BufWriter::new(fs::File::create(path)?);
    let mut encoder = png::Encoder::new(file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let bytes: Vec<u8> = pixels.iter().flatten().copied().collect();
    encoder.write_header()?.write_image_data(&bytes)?;
    Ok(())
}
