//! Trains a small network on handwritten digits and draws new ones: `cargo run --release -p digits`.
//!
//! What the crate does is in [`train`] (noised digits and what the network should say of them),
//! [`asked`] (the network as a denoiser, guided by a class) and [`sample`] (a plan, run). Further
//! reports: [`bound`] and [`flow`] (likelihoods), [`sweep`] (guidance), [`inpaint`].

// No panic on any data; tests may.
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod asked;
mod bound;
mod data;
mod fit;
mod flow;
mod inpaint;
mod measure;
mod network;
mod options;
mod picture;
mod plot;
mod recipe;
mod report;
mod sample;
mod sweep;
mod train;
mod weights;

use std::{error::Error, fs, process::ExitCode, time::Instant};

use clap::Parser;
use gaussian_diffusion::{
    Grid, ModelVariance, Plan, SeededNoise,
    schedule::Discrete,
    solver::{Ddim, Ddpm},
};

use data::{CLASSES, Digits};
use network::{Class, Network};
use options::Options;
use sample::draw;
use weights::Weights;

/// Held-out digits whose likelihood is given: each is shown to the network thousands of times.
const LIKELIHOOD_OF: usize = 100;

type Outcome<T> = Result<T, Box<dyn Error>>;

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
        &Ddpm::new(ModelVariance::LearnedRange),
    )?;
    let ddim_plan = Plan::new(
        &schedule,
        &grid("ddim", options.ddim_steps)?,
        &Ddim::default(),
    )?;

    let (train, held_out) = Digits::load(&options.data)?.split(options.seed)?;
    fs::create_dir_all(&options.out)
        .map_err(|error| format!("{}: {error}", options.out.display()))?;
    let network = match &options.weights {
        Some(path) => Network::new(Weights::load(&Network::layers(), path)?)?,
        None => trained(options, &schedule, &train)?,
    };
    // From a draw on that training does not come to, so that loaded weights give the same samples.
    let noise = SeededNoise::new(options.seed).with_first_draw(1 << 40);
    report::losses(&network, &schedule, &train, &held_out, &noise)?;

    // The classes go round, and the noise of an item does not depend on the other items: the first
    // digits, those of the pictures, are the same however many more are measured.
    let per_class = usize::from(options.per_class);
    let count = usize::from(options.measure).max(CLASSES * per_class);
    let asked: Vec<usize> = (0..count).map(|i| i % CLASSES).collect();
    let classes: Vec<Class> = asked.iter().copied().map(Some).collect();
    println!("drawing {count} digits by each of\n  {ddpm}\n  {ddim_plan}");
    let draw = |plan| {
        draw(
            plan,
            &network,
            &classes,
            options.guidance,
            &mut noise.clone(),
        )
    };
    let (ddpm, ddim) = (draw(&ddpm)?, draw(&ddim_plan)?);

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

    report::quality(&train, &held_out, &asked, &[&ddpm, &ddim], noise.clone())?;
    report::times(&[&ddpm, &ddim]);

    if options.bound {
        let some: Vec<usize> = (0..held_out.len().min(LIKELIHOOD_OF)).collect();
        let some = held_out.select(&some);
        bound::report(&picture("bound.png"), &network, &schedule, &some, &noise)?;
        flow::report(&network, &schedule, &some, &noise)?;
    }
    if options.guidance_sweep {
        let drawn = sweep::draws(&ddim_plan, &network, &asked, &noise)?;
        sweep::report(&drawn, &train, &held_out, &asked);
        sweep::pictures(
            &picture("guided.png"),
            &picture("guidance.png"),
            &drawn,
            &train,
            &asked,
        )?;
    }
    if options.inpaint {
        inpaint::report(
            &picture("inpaint.png"),
            &network,
            &schedule,
            &train,
            &held_out,
            &noise,
        )?;
    }
    if options.fit {
        let found = fit::report(&options.out, &network, &schedule, &train, options.seed)?;
        fit::pictures(&options.out, &found)?;
        let other = trained_with(options, &schedule, &train, options.seed + 1)?;
        fit::transfers(&found, &network, &other, &schedule, options.seed)?;
    }
    println!("\nthe pictures are in {}", options.out.display());
    Ok(())
}

/// A new network, trained and saved.
fn trained(options: &Options, schedule: &Discrete, digits: &Digits) -> Outcome<Network> {
    let network = trained_with(options, schedule, digits, options.seed)?;
    let path = options.out.join("weights.safetensors");
    network.weights.save(&path)?;
    println!("--weights {} draws without training", path.display());
    Ok(network)
}

/// A new network of this seed, trained.
fn trained_with(
    options: &Options,
    schedule: &Discrete,
    digits: &Digits,
    seed: u64,
) -> Outcome<Network> {
    let network = Network::new(Weights::seeded(&Network::layers(), seed)?)?;
    println!(
        "training {} parameters on {} digits",
        network.weights.count(),
        digits.len()
    );
    let clock = Instant::now();
    train::train(&network, schedule, digits, &options.recipe, seed)?;
    println!(
        "{} batches in {:.1} s",
        options.recipe.train_steps,
        clock.elapsed().as_secs_f64()
    );
    Ok(network)
}
