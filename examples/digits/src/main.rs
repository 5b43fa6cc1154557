//! Trains a small network on handwritten digits and draws new ones: `cargo run --release -p digits`.
//!
//! What the crate does is in [`train`] (noised digits and what the network should say of them),
//! [`network`] (the network as a denoiser) and [`sample`] (a plan, run).

// No panic on any data; tests may.
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod data;
mod measure;
mod network;
mod picture;
mod report;
mod sample;
mod train;

use std::{error::Error, fs, path::PathBuf, process::ExitCode, time::Instant};

use clap::{Parser, value_parser};
use gaussian_diffusion::{
    Grid, Noise, Plan,
    schedule::Discrete,
    solver::{Ddim, Ddpm},
};

use data::{CLASSES, Digits};
use network::Network;
use sample::draw;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Train a small network on 8x8 handwritten digits, draw new ones by DDPM and by DDIM, and measure
/// how good they are.
///
/// Training takes about a minute. Its weights are saved as weights.safetensors, and the
/// pictures are
///
///   forward.png     digits on their way to noise
///   generation.png  noise on its way to digits, by DDPM and DDIM in turn:
///                   a row of states, a row of the digits expected to come of them
///   ddpm.png        digits drawn by DDPM, a row for each class
///   ddim.png        the same by DDIM, from the same noise
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Options {
    /// Folder for the pictures and the weights
    #[arg(long, default_value = "out", value_name = "FOLDER")]
    out: PathBuf,
    /// Digits: gzipped lines of 64 pixels of 0 to 16 and the label [default: those of the example]
    #[arg(
        long,
        value_name = "FILE",
        default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/data/digits.csv.gz"),
        hide_default_value = true
    )]
    data: PathBuf,
    /// Weights of an earlier run with the same seed, instead of training
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Batches to train on
    #[arg(long, default_value_t = 3000, value_name = "N")]
    train_steps: usize,
    /// Steps of DDPM, at most 1000
    #[arg(long, default_value_t = 1000, value_name = "N")]
    ddpm_steps: usize,
    /// Steps of DDIM, at most 1000
    #[arg(long, default_value_t = 25, value_name = "N")]
    ddim_steps: usize,
    /// Digits of each class in a picture
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = value_parser!(u16).range(1..=100))]
    per_class: u16,
    /// Digits to draw and measure, if more than those of the picture
    #[arg(long, default_value_t = 360, value_name = "N")]
    measure: u16,
    /// Fixes all that is random: which digits are held out, the first weights, training and samples
    #[arg(long, default_value_t = 1, value_name = "N")]
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
    // Matrices of this size are multiplied sooner by one thread than by several that wait for each
    // other, the more so beside other programs.
    gemm::set_threading_threshold(usize::MAX);

    let schedule = Discrete::cosine(1000)?;
    // Before training, so that a number of steps which the schedule does not have is refused at once.
    let grid = |option: &str, steps| {
        Grid::trailing(&schedule, steps).map_err(|error| format!("--{option}-steps: {error}"))
    };
    let ddpm = Plan::new(
        &schedule,
        &grid("ddpm", options.ddpm_steps)?,
        &Ddpm::default(),
    )?;
    let ddim = Plan::new(
        &schedule,
        &grid("ddim", options.ddim_steps)?,
        &Ddim::default(),
    )?;

    let (train, held_out) = Digits::load(&options.data)?.split(options.seed)?;
    fs::create_dir_all(&options.out)
        .map_err(|error| format!("{}: {error}", options.out.display()))?;
    let network = match &options.weights {
        Some(path) => Network::load(path)?,
        None => trained(options, &schedule, &train)?,
    };
    // From a draw on that training does not come to, so that loaded weights give the same samples.
    let noise = Noise::seeded(options.seed).at_draw(1 << 40);
    report::losses(&network, &schedule, &train, &held_out, &noise)?;

    // The classes go round, and the noise of an item does not depend on the other items: the first
    // digits, those of the pictures, are the same however many more are measured.
    let per_class = usize::from(options.per_class);
    let count = usize::from(options.measure).max(CLASSES * per_class);
    let asked: Vec<usize> = (0..count).map(|i| i % CLASSES).collect();
    println!("drawing {count} digits by each of\n  {ddpm}\n  {ddim}");
    let ddpm = draw(&ddpm, &network, &asked, &mut noise.clone())?;
    let ddim = draw(&ddim, &network, &asked, &mut noise.clone())?;

    let picture = |name: &str| options.out.join(name);
    picture::forward(
        &picture("forward.png"),
        &schedule,
        &train,
        &mut noise.clone(),
    )?;
    picture::generation(&picture("generation.png"), &[&ddpm, &ddim])?;
    picture::classes(&picture("ddpm.png"), &ddpm.pixels, per_class)?;
    picture::classes(&picture("ddim.png"), &ddim.pixels, per_class)?;

    report::quality(&train, &held_out, &asked, &[&ddpm, &ddim], noise)?;
    report::times(&[&ddpm, &ddim]);
    println!(
        "\nforward.png, generation.png, ddpm.png and ddim.png are in {}",
        options.out.display()
    );
    Ok(())
}

/// A new network, trained and saved.
fn trained(options: &Options, schedule: &Discrete, digits: &Digits) -> Outcome<Network> {
    let network = Network::seeded(options.seed)?;
    println!(
        "training {} parameters on {} digits",
        network.parameters(),
        digits.len()
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
    println!(
        "{} batches in {:.1} s; --weights {} draws without training",
        options.train_steps,
        clock.elapsed().as_secs_f64(),
        path.display()
    );
    Ok(network)
}
