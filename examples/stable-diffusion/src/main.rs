//! Stable Diffusion from a prompt to a picture: `cargo run --release -p stable-diffusion -- --help`.

#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use candle_core::DType;
use clap::Parser;
use gaussian_diffusion::Sampler;
use indicatif::{ProgressBar, ProgressStyle};
use stable_diffusion::{
    Outcome, cases,
    job::Job,
    model::{Model, ModelFiles},
    options::{HalfName, Options},
    parameters,
    picture::Picture,
    pipeline::{self, Place, Request, Saved, Watch},
    random,
    seeds::Batch,
    sheet::sheet,
};

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Errors of the tensor library bring a backtrace along.
            let text = error.to_string();
            eprintln!(
                "stable-diffusion: {}",
                text.lines().next().unwrap_or_default()
            );
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Outcome<bool> {
    if options.other.samplers {
        Sampler::all().for_each(|sampler| println!("{sampler}"));
        return Ok(true);
    }
    if let Some(folder) = &options.other.cases {
        return cases::print(&folder.clone().unwrap_or_else(cases::data));
    }
    if let Some(size) = options.other.random {
        let dtype = match options.model.half {
            None => DType::F32,
            Some(HalfName::F16) => DType::F16,
            Some(HalfName::Bf16) => DType::BF16,
        };
        let mut screen = Screen::new(None, None);
        random::measure(
            size,
            &options.request(),
            dtype,
            &options.device()?,
            &mut screen,
        )?;
        return Ok(true);
    }
    let (files, request, out, saved) = match &options.output.resume {
        None => (
            options.files()?,
            options.request(),
            options.output.out.clone(),
            None,
        ),
        Some(path) => {
            let Job {
                files,
                request,
                out,
                saved,
            } = Job::open(path)?;
            (files, request, out, Some(saved))
        }
    };
    let now = Instant::now();
    let model = Model::open(&files, &options.device()?)?;
    println!(
        "{}: read in {:.1} s",
        model.name,
        now.elapsed().as_secs_f64()
    );
    if !options.other.sheet.is_empty() {
        return draw_sheet(&model, &request, options, &out);
    }
    let previews = options.output.previews.as_deref();
    if let Some(folder) = previews {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let keeper = options
        .output
        .keep
        .clone()
        .or(options.output.resume.clone())
        .map(|path| Keeper {
            path,
            files: files.clone(),
            request: request.clone(),
            out: out.clone(),
            stop_after: options.output.stop_after,
        });
    let mut screen = Screen::new(
        previews.map(|folder| (folder.to_owned(), model.is_xl())),
        keeper,
    );
    let made = pipeline::run(&model, &request, saved, &mut screen)?;
    screen.bar.finish_and_clear();
    for text in &made.left_out {
        println!("too long for the text model, and left out: {text:?}");
    }
    let Some(latents) = &made.latents else {
        println!("stopped; --resume goes on");
        return Ok(true);
    };
    println!(
        "{}: {} evaluations in {:.1} s, of which the sampler took {:.2} %",
        made.sampler,
        made.evaluations,
        made.took.as_secs_f64(),
        100.0 * (1.0 - made.networks.as_secs_f64() / made.took.as_secs_f64())
    );
    let pictures = pipeline::decode(&model, latents)?;
    for (i, picture) in pictures.iter().enumerate() {
        let path = numbered(&out, i, pictures.len());
        let text = parameters::text(&model, &request, &made, picture, i);
        picture.save(&path, Some(&text))?;
        println!("{}", path.display());
    }
    Ok(true)
}

/// `picture.png`, or `picture-1.png` of several.
fn numbered(path: &Path, i: usize, count: usize) -> PathBuf {
    if count == 1 {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{}.png", i + 1))
}

/// Samplers against steps, with the same noise.
fn draw_sheet(model: &Model, request: &Request, options: &Options, out: &Path) -> Outcome<bool> {
    let steps = &options.other.sheet_steps;
    let mut rows = Vec::new();
    for name in &options.other.sheet {
        let mut row = Vec::new();
        for &steps in steps {
            let request = Request {
                sampler: Some(name.trim().to_owned()),
                steps,
                count: 1,
                ..request.clone()
            };
            let mut screen = Screen::new(None, None);
            screen
                .bar
                .set_message(format!("{}, {steps} steps", name.trim()));
            let made = pipeline::run(model, &request, None, &mut screen)?;
            screen.bar.finish_and_clear();
            let latents = made.latents.ok_or("a run was left")?;
            row.extend(pipeline::decode(model, &latents)?);
        }
        rows.push((name.trim().to_owned(), row));
    }
    let columns: Vec<String> = steps.iter().map(|steps| format!("{steps} steps")).collect();
    sheet(&rows, &columns).save(out, Some(&request.prompt))?;
    println!("{}", out.display());
    Ok(true)
}

/// What is shown and stored while a run goes on.
struct Screen {
    bar: ProgressBar,
    previews: Option<(PathBuf, bool)>,
    keeper: Option<Keeper>,
}

/// Where a run is stored after every step.
struct Keeper {
    path: PathBuf,
    files: ModelFiles,
    request: Request,
    out: PathBuf,
    stop_after: Option<usize>,
}

impl Screen {
    fn new(previews: Option<(PathBuf, bool)>, keeper: Option<Keeper>) -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self {
            bar,
            previews,
            keeper,
        }
    }
}

impl Watch for Screen {
    fn answered(&mut self, place: Place, x0: &dyn Fn() -> Outcome<Batch>) -> Outcome<()> {
        self.bar.set_length(place.evaluations as u64);
        self.bar.set_position(place.evaluation as u64);
        if let Some((folder, is_xl)) = &self.previews {
            let latents = x0()?;
            for item in 0..latents.dim().0 {
                let path = folder.join(format!("{:03}.png", place.evaluation));
                let preview = Picture::preview(&latents, item, *is_xl).enlarged(4);
                preview.save(&numbered(&path, item, latents.dim().0), None)?;
            }
        }
        Ok(())
    }

    fn stepped(
        &mut self,
        place: Place,
        save: &dyn Fn() -> Outcome<Saved>,
    ) -> Outcome<ControlFlow<()>> {
        let Some(keeper) = self.keeper.as_ref().filter(|_| place.step < place.steps) else {
            return Ok(ControlFlow::Continue(()));
        };
        let job = Job {
            files: keeper.files.clone(),
            request: keeper.request.clone(),
            out: keeper.out.clone(),
            saved: save()?,
        };
        job.save(&keeper.path)?;
        Ok(match keeper.stop_after == Some(place.step) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    }
}
