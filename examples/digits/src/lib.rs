//! Trains a small network on handwritten digits and draws new ones: `cargo run --release -p digits`.
//!
//! What the crate does is in `train` (noised digits and what the network should say of them),
//! [`asked`] (the network as a denoiser, guided by a class) and `sample` (a plan, run). Further
//! reports: `bound` and `flow` (likelihoods), `sweep` (guidance), `inpaint`, and `why`
//! (regression and autoregression beside it). `mixture` has no network at all. [`part`] draws a part of a large batch.

// No panic on any data; tests may.
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod asked;
pub mod blocks;
mod bound;
pub mod data;
mod descent;
mod fit;
mod flow;
mod inpaint;
mod judge;
mod measure;
mod mixture;
pub mod network;
pub mod options;
pub mod part;
mod picture;
mod recipe;
mod report;
mod sample;
mod sweep;
mod train;
pub mod weights;
mod why;

#[path = "../../shared/chart.rs"]
#[allow(dead_code)]
mod chart;
#[path = "../../shared/panels.rs"]
mod panels;

use std::{
    error::Error,
    path::{Path, PathBuf},
    time::Instant,
};

use gaussian_diffusion::{
    Grid, ModelVariance, Plan, SeededNoise,
    schedule::Discrete,
    solver::{Ddim, Ddpm},
};

use data::{CLASSES, Digits};
use judge::Judge;
use network::{Class, Network};
use options::Options;
use picture::Gallery;
use sample::draw;
use weights::{Layer, Weights};

/// Held-out digits whose likelihood is given: each is shown to the network thousands of times.
const LIKELIHOOD_OF: usize = 100;

/// What fails, fails with a sentence.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// Matrices of this size are multiplied sooner by one thread than by several that wait for each other, the
/// more so beside other programs.
pub fn use_one_thread() {
    gemm::set_threading_threshold(usize::MAX);
}

/// Does what the options ask.
pub fn run(options: &Options) -> Outcome<()> {
    use_one_thread();
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

    // From a draw on that training does not come to, so that loaded weights give the same samples.
    let noise = SeededNoise::new(options.seed).with_first_draw(1 << 40);
    if let Some(part) = options.part()? {
        return part.draw(&ddpm, options.guidance, noise);
    }

    let (train, held_out) = Digits::load(&options.data)?.split(options.seed)?;
    let mut gallery = Gallery::new(options.out.clone())?;
    if options.mixture {
        let count = usize::from(options.measure).max(10);
        mixture::report(
            &mut gallery,
            &schedule,
            &train,
            &held_out,
            count,
            options.seed,
        )?;
        gallery.report();
        return Ok(());
    }
    let network = match &options.weights {
        Some(path) => Network::new(Weights::load(&Network::of_diffusion(), path)?)?,
        None => trained(options, &schedule, &train)?,
    };
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

    gallery.add(
        "digits",
        "a digit on its way to noise, and noise on its way to digits: what DDPM and DDIM are at, and the \
         digit that the network expects",
        &picture::way(&schedule, &train, &[&ddpm, &ddim], &mut noise.clone())?,
    )?;
    for (name, run) in [("ddpm", &ddpm), ("ddim", &ddim)] {
        let title = format!("{}, {} steps", run.short_name(), run.steps);
        gallery.add(
            name,
            &format!("{title}: a row for each class"),
            &picture::classes(&title, &run.pixels, per_class)?,
        )?;
    }

    let judge = Judge::new(&train, &held_out);
    report::quality(&judge, &train, &asked, &[&ddpm, &ddim], noise.clone())?;
    report::times(&[&ddpm, &ddim]);

    if options.bound {
        let some: Vec<usize> = (0..held_out.len().min(LIKELIHOOD_OF)).collect();
        let some = held_out.select(&some);
        bound::report(&mut gallery, &network, &schedule, &train, &some, &noise)?;
        flow::report(&network, &schedule, &some, &noise)?;
    }
    if options.guidance_sweep {
        sweep::report(&mut gallery, &ddim_plan, &network, &judge, &asked, &noise)?;
    }
    if options.inpaint {
        inpaint::report(&mut gallery, &network, &schedule, &train, &held_out, &noise)?;
    }
    if options.why {
        let subject = why::Subject {
            diffusion: &network,
            schedule: &schedule,
            trained_on: &train,
            judge: &judge,
            asked: &asked,
        };
        why::report(&mut gallery, &subject, options, &noise)?;
    }
    if options.fit {
        let here = fit::Setting {
            network: &network,
            schedule: &schedule,
            guidance: 1.0,
        };
        let found = fit::report(&options.out, here, &train, options.seed)?;
        fit::pictures(&mut gallery, &found)?;
        let other = kept(options, "another", &Network::of_diffusion(), || {
            trained_with(options, &schedule, &train, options.seed + 1)
        })?;
        let other = fit::Setting {
            network: &other,
            ..here
        };
        fit::transfers(&found, here, other, options.seed)?;
    }
    gallery.report();
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

/// The network of this name: that beside given weights, or a new one, trained and saved.
fn kept(
    options: &Options,
    name: &str,
    layers: &[Layer],
    train: impl FnOnce() -> Outcome<Network>,
) -> Outcome<Network> {
    let file = |folder: &Path| -> PathBuf { folder.join(format!("{name}.safetensors")) };
    let given = options.weights.as_deref().and_then(Path::parent).map(file);
    if let Some(path) = given.filter(|path| path.exists()) {
        return Network::new(Weights::load(layers, &path)?);
    }
    let network = train()?;
    network.weights.save(&file(&options.out))?;
    Ok(network)
}

/// A new network of this seed, trained.
fn trained_with(
    options: &Options,
    schedule: &Discrete,
    digits: &Digits,
    seed: u64,
) -> Outcome<Network> {
    let network = Network::new(Weights::seeded(&Network::of_diffusion(), seed)?)?;
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
