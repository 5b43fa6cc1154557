//! Trains a small network on handwritten digits and draws new ones: `cargo run --release -p digits`.

mod data;
mod measure;
mod network;
mod picture;
mod sample;
mod train;

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::Parser;
use gaussian_diffusion::{
    ForwardProcess, Grid, Noise, Plan, Step,
    schedule::Discrete,
    solver::{Ddim, Ddpm},
};
use ndarray::Array2;

use data::{CLASSES, Digits};
use measure::{Fit, Neighbours, told_apart};
use network::Network;
use sample::{Drawn, draw};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Train a small network on 8x8 handwritten digits, draw new ones with DDPM and DDIM, and measure
/// how good they are.
///
/// Writes the pictures forward.png, generation.png, ddpm.png and ddim.png and the trained
/// weights.safetensors.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Folder for the pictures and the weights
    #[arg(long, default_value = "out")]
    out: PathBuf,
    /// Digits: a gzipped CSV file, 64 pixels of 0 to 16 and the label on each line
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/data/digits.csv.gz"), hide_default_value = true)]
    data: PathBuf,
    /// Use these weights, saved by an earlier run, instead of training
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Batches to train for
    #[arg(long, default_value_t = 6000)]
    train_steps: usize,
    /// Steps of DDPM, at most 1000
    #[arg(long, default_value_t = 1000)]
    ddpm_steps: usize,
    /// Steps of DDIM, at most 1000
    #[arg(long, default_value_t = 25)]
    ddim_steps: usize,
    /// Digits of each class in a picture
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    per_class: u16,
    /// Digits to draw for the measurement, at least those of the picture
    #[arg(long, default_value_t = 360, value_parser = clap::value_parser!(u16).range(10..))]
    measure: u16,
    /// Fixes the split of the data, the first weights, the training and the samples
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("digits: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Outcome<()> {
    let (train, held_out) = Digits::load(&options.data)?.split(options.seed)?;
    println!(
        "{} digits to train on, {} held out",
        train.len(),
        held_out.len()
    );
    // A step count that the schedule does not have is refused here, before any training.
    let schedule = Discrete::cosine(1000)?;
    let ddpm = Grid::trailing(&schedule, options.ddpm_steps)?;
    let ddpm = Plan::new(&schedule, &ddpm, &Ddpm::default())?;
    let ddim = Grid::trailing(&schedule, options.ddim_steps)?;
    let ddim = Plan::new(&schedule, &ddim, &Ddim::default())?;
    fs::create_dir_all(&options.out).map_err(|error| describe(&options.out, &error))?;

    let network = match &options.weights {
        Some(path) => Network::load(path)?,
        None => trained(options, &schedule, &train)?,
    };
    // Draws that training does not come to, so that loaded weights give the samples of trained ones.
    let noise = Noise::seeded(options.seed).at_draw(1 << 40);
    println!(
        "loss {:.4} on the digits trained on, {:.4} on those held out",
        train::loss(&network, &schedule, &train, &mut noise.clone())?,
        train::loss(&network, &schedule, &held_out, &mut noise.clone())?,
    );

    write_forward(
        &options.out.join("forward.png"),
        &schedule,
        &train,
        noise.clone(),
    )?;

    // Item by item the classes go round, and an item's noise does not depend on the others: however
    // many are drawn, the picture shows the same first ones. Both samplers start from the same noise.
    let per_class = usize::from(options.per_class);
    let count = usize::from(options.measure).max(CLASSES * per_class);
    let labels: Vec<usize> = (0..count).map(|i| i % CLASSES).collect();
    println!("drawing {count} digits by each of\n  {ddpm}\n  {ddim}");
    let by_ddpm = draw(&ddpm, &network, &labels, &mut noise.clone(), WATCHED)?;
    let by_ddim = draw(&ddim, &network, &labels, &mut noise.clone(), WATCHED)?;
    for (plan, drawn) in [(&ddpm, &by_ddpm), (&ddim, &by_ddim)] {
        let name = plan.name().to_lowercase() + ".png";
        write_classes(&options.out.join(name), &drawn.pixels, per_class)?;
    }
    write_generation(&options.out.join("generation.png"), &[&by_ddpm, &by_ddim])?;

    print_quality(
        &train,
        &held_out,
        &labels,
        &[(&ddpm, &by_ddpm), (&ddim, &by_ddim)],
        noise,
    )?;
    print_times(&[(&ddpm, &by_ddpm), (&ddim, &by_ddim)]);
    println!(
        "\nforward.png, generation.png, ddpm.png and ddim.png in {}",
        options.out.display()
    );
    Ok(())
}

/// A new network, trained and saved.
fn trained(options: &Options, schedule: &Discrete, digits: &Digits) -> Outcome<Network> {
    let network = Network::seeded(options.seed)?;
    println!(
        "training {} parameters for {} batches",
        network.parameters(),
        options.train_steps
    );
    let clock = Instant::now();
    train::train(
        &network,
        schedule,
        digits,
        options.train_steps,
        options.seed,
    )?;
    let path = options.out.join("weights.safetensors");
    network.save(&path)?;
    let seconds = clock.elapsed().as_secs_f64();
    println!(
        "trained in {seconds:.1} s; --weights {} uses it again",
        path.display()
    );
    Ok(network)
}

fn describe(path: &Path, error: &dyn Error) -> String {
    format!("{}: {error}", path.display())
}

/// Digits watched on their way, and frames of each.
const WATCHED: (usize, usize) = (4, 12);

/// A digit at ten levels, from the data to nothing but noise: the same noise, more and more of it.
fn write_forward(
    path: &Path,
    schedule: &Discrete,
    digits: &Digits,
    mut noise: Noise,
) -> Outcome<()> {
    let last = schedule.len() - 1;
    let times: Vec<Step> = (0..10).map(|i| Step::new(i * last / 9)).collect();
    let rows = (0..WATCHED.0.min(digits.len())).map(|i| {
        let x0 = digits.select(&[i]).pixels;
        let (_, eps) = schedule.draw_jump(&x0, times[0], &mut noise)?;
        times
            .iter()
            .map(|&t| Ok(schedule.jump(&x0, t, &eps)?))
            .collect()
    });
    let rows: Vec<Vec<Array2<f32>>> = rows.collect::<Outcome<_>>()?;
    let views: Vec<Vec<_>> = rows
        .iter()
        .map(|row| row.iter().map(|x| x.row(0)).collect())
        .collect();
    picture::write(path, &views)
}

/// A row for each class.
fn write_classes(path: &Path, pixels: &Array2<f32>, per_class: usize) -> Outcome<()> {
    let digit = |class, i| pixels.row(i * CLASSES + class);
    let rows: Vec<Vec<_>> = (0..CLASSES)
        .map(|class| (0..per_class).map(|i| digit(class, i)).collect())
        .collect();
    picture::write(path, &rows)
}

/// For each digit and sampler a row of states and a row of the data that the network expects.
fn write_generation(path: &Path, runs: &[&Drawn]) -> Outcome<()> {
    let mut rows: Vec<Vec<_>> = Vec::new();
    for i in 0..WATCHED.0 {
        for run in runs {
            rows.push(run.frames.iter().map(|frame| frame.state.row(i)).collect());
            rows.push(run.frames.iter().map(|frame| frame.x0.row(i)).collect());
        }
    }
    picture::write(path, &rows)
}

fn print_quality(
    train: &Digits,
    held_out: &Digits,
    labels: &[usize],
    runs: &[(&Plan<Step>, &Drawn)],
    mut noise: Noise,
) -> Outcome<()> {
    let neighbours = Neighbours(train);
    let truth = Fit::of(&held_out.pixels);
    let row = |name: &str, pixels: &Array2<f32>, labels: Option<&[usize]>| {
        println!(
            "{name:<26} {:>6} {:>8.2} {:>11.1} % {:>9} {:>8.2}",
            pixels.nrows(),
            Fit::of(pixels).frechet(&truth),
            100.0 * told_apart(pixels, &held_out.pixels),
            labels.map_or("-".to_owned(), |labels| {
                format!("{:.1} %", 100.0 * neighbours.accuracy(pixels, labels))
            }),
            neighbours.mean_distance(pixels),
        );
    };
    println!(
        "\n{:<26} {:>6} {:>8} {:>13} {:>9} {:>8}",
        "", "digits", "Frechet", "told apart", "as asked", "nearest"
    );
    let same_size: Vec<usize> = (0..labels.len().min(train.len())).collect();
    row("held out", &held_out.pixels, Some(&held_out.labels));
    row("trained on", &train.select(&same_size).pixels, None);
    row(
        "Gaussian fit",
        &Fit::of(&train.pixels).draw(labels.len(), &mut noise)?,
        None,
    );
    for (plan, drawn) in runs {
        let name = format!("{}, {} steps", plan.name(), plan.steps());
        row(&name, &drawn.pixels, Some(labels));
    }
    Ok(())
}

fn print_times(runs: &[(&Plan<Step>, &Drawn)]) {
    for (plan, drawn) in runs {
        let per_step = |time: std::time::Duration| 1e3 * time.as_secs_f64() / plan.steps() as f64;
        println!(
            "{}: {:.2} ms network, {:.2} ms sampler",
            plan.name(),
            per_step(drawn.network),
            per_step(drawn.sampler)
        );
    }
}
