//! The forward and the reverse flow of a mixture in the plane, without any network.
//!
//! `cargo run --release --example mixture [folder]` writes two pictures and prints how close both
//! samplers came to the exact law at each level.
//!
//! - `flow.png`: columns from data to noise; rows: exact density, forward process, DDPM, DDIM.
//! - `paths.png`: the way of some points from noise to data along the deterministic flow.

use std::{
    error::Error, f64::consts::TAU, fs, io::BufWriter, path::Path, process::ExitCode, time::Instant,
};

use gaussian_diffusion::{
    Denoiser, ForwardProcess, GaussianMixture, Grid, NoiseLevel, Plan, SeededNoise, Step,
    rand::{SeedableRng, rngs::StdRng},
    schedule::Discrete,
    solver::{Ddim, Ddpm},
};
use ndarray::{Array2, array};

const POINTS: usize = 3000;
const STEPS: usize = 60;
/// Which levels of a run are shown, counted in steps from its start.
const SHOWN: [usize; 8] = [60, 58, 55, 51, 45, 36, 24, 0];
/// Pixels of a panel's side, and the half-width of the square it shows.
const PANEL: usize = 180;
const REACH: f64 = 2.6;

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
    let drawn = states(&ddpm, &mixture, start.clone(), &mut noise)?;
    let flowed = states(&ddim, &mixture, start, &mut noise)?;

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
        rows[0].push(density_panel(&mixture, level)?);
        for (row, x) in rows[1..]
            .iter_mut()
            .zip([&forward, &drawn[index], &flowed[index]])
        {
            row.push(points_panel(x));
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

/// Narrow components on a ring, turned like the petals of a flower.
fn petals(count: usize) -> Result<GaussianMixture, gaussian_diffusion::Error> {
    let petal = |i: usize| {
        let (sin, cos) = (i as f64 * TAU / count as f64).sin_cos();
        let axes = array![[cos, sin], [-sin, cos]];
        (1.0, vec![1.2 * cos, 1.2 * sin], vec![0.09, 0.006], axes)
    };
    GaussianMixture::rotated(&(0..count).map(petal).collect::<Vec<_>>())
}

/// The states of a run at every level, its start included: a run is a loop of one's own.
fn states(
    plan: &Plan<Step>,
    mixture: &GaussianMixture,
    start: Array2<f64>,
    noise: &mut SeededNoise,
) -> Result<Vec<Array2<f64>>, gaussian_diffusion::Error> {
    let mut network = mixture.clone();
    let mut states = vec![start.clone()];
    let mut run = plan.start_from(start, noise)?;
    while let Some((x, at)) = run.pending() {
        let answer = network.predict(x, at)?;
        run.supply(answer, noise)?;
        states.push(run.state().clone());
    }
    Ok(states)
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

/// Brightness of every pixel, rows from the top, 0 to 1.
type Panel = Array2<f64>;

/// The exact density at a level, as a share of its largest value.
fn density_panel(
    mixture: &GaussianMixture,
    level: NoiseLevel,
) -> Result<Panel, gaussian_diffusion::Error> {
    let mut panel = Panel::zeros((PANEL, PANEL));
    for ((row, column), value) in panel.indexed_iter_mut() {
        let at = |i: usize| ((i as f64 + 0.5) / PANEL as f64 * 2.0 - 1.0) * REACH;
        *value = mixture.log_density(&[at(column), -at(row)], level)?.exp();
    }
    Ok(scaled(panel))
}

/// How many points fall near each pixel, as a share of the largest number.
fn points_panel(points: &Array2<f64>) -> Panel {
    let mut counts = Panel::zeros((PANEL, PANEL));
    for point in points.rows() {
        // A small disc for each point, so that a panel of few points is not a scatter of pixels.
        if let Some((row, column)) = pixel(point[0], point[1], PANEL) {
            for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                if let Some(count) = counts.get_mut((row + i, column + j)) {
                    *count += 1.0;
                }
            }
        }
    }
    scaled(counts.mapv(f64::sqrt))
}

fn scaled(panel: Panel) -> Panel {
    let most = panel.iter().fold(f64::MIN_POSITIVE, |most, x| most.max(*x));
    panel / most
}

fn pixel(x: f64, y: f64, side: usize) -> Option<(usize, usize)> {
    let place = |x: f64| {
        let place = (x / REACH + 1.0) * 0.5 * side as f64;
        (place >= 0.0 && place < side as f64).then_some(place as usize)
    };
    Some((place(-y)?, place(x)?))
}

/// From near black over violet and orange to near white.
fn colour(value: f64) -> [u8; 3] {
    const STOPS: [[f64; 3]; 5] = [
        [12.0, 10.0, 26.0],
        [72.0, 22.0, 108.0],
        [186.0, 54.0, 85.0],
        [249.0, 142.0, 34.0],
        [252.0, 255.0, 190.0],
    ];
    let place = value.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let low = (place as usize).min(STOPS.len() - 2);
    let share = place - low as f64;
    std::array::from_fn(|k| (STOPS[low][k] + (STOPS[low + 1][k] - STOPS[low][k]) * share) as u8)
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
