//! From a request to pictures.

mod asked;
mod begin;
mod program;
mod request;

use std::{
    fmt::Debug,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use candle_core::{DType, Device, Tensor};
use gaussian_diffusion::{
    Denoiser, NoiseLevel, NoiseSchedule, Plan, Run, SavedRun, Step,
    editing::{Edit, StepEnd},
    plan::Observation,
};
use serde::{Deserialize, Serialize};

use crate::{
    Outcome,
    model::Model,
    picture::Picture,
    seeds::{Batch, Seeds},
    unet::Told,
};

pub use asked::Clock;
pub use begin::{Begin, Paste};
pub use program::{Adaptive, Program};
pub use request::{ControlPicture, GuidanceRule, Request};

use asked::Asked;

/// A run that was left, with all that it needs to go on beside the model and the request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Saved {
    run: SavedRun<Batch>,
    seeds: Seeds,
    memory: Vec<Option<Batch>>,
    paste: Option<Paste>,
    masked: Option<Batch>,
}

impl Saved {
    /// Evaluations of the network that are done.
    pub fn evaluations_done(&self) -> usize {
        self.run.evaluations_done()
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Steps that are done.
    pub step: usize,
    pub steps: usize,
    /// Evaluations of the network that are done.
    pub evaluation: usize,
    pub evaluations: usize,
}

/// Somebody who looks on.
pub trait Watch {
    /// The network has answered; what it takes the latents to be can be had.
    fn answered(&mut self, place: Place, x0: &dyn Fn() -> Outcome<Batch>) -> Outcome<()> {
        let _ = (place, x0);
        Ok(())
    }

    /// A step is done; the run can be saved here, and ends here if told to.
    fn stepped(
        &mut self,
        place: Place,
        save: &dyn Fn() -> Outcome<Saved>,
    ) -> Outcome<ControlFlow<()>> {
        let _ = (place, save);
        Ok(ControlFlow::Continue(()))
    }
}

/// Nobody.
#[derive(Debug, Clone, Copy)]
pub struct Unwatched;

impl Watch for Unwatched {}

/// What a run has made, or where it was left.
#[derive(Debug, Clone)]
pub struct Made {
    /// Latents as the U-Net has them; `None` for a run that was left.
    pub latents: Option<Batch>,
    /// What was cut off the prompts.
    pub left_out: Vec<String>,
    /// How the sampler is called.
    pub sampler: String,
    /// Time of the whole loop, and of the networks in it.
    pub took: Duration,
    pub networks: Duration,
    pub evaluations: usize,
}

/// Runs a request, from its beginning or from where it was left.
pub fn run(
    model: &Model,
    request: &Request,
    saved: Option<Saved>,
    watch: &mut dyn Watch,
) -> Outcome<Made> {
    request.check(model)?;
    let (texts, left_out) = request.texts(model)?;
    let made = run_told(model, request, texts, saved, watch)?;
    Ok(Made { left_out, ..made })
}

/// The same with prompts as the U-Net is told them.
pub fn run_told(
    model: &Model,
    request: &Request,
    texts: [Told; 2],
    saved: Option<Saved>,
    watch: &mut dyn Watch,
) -> Outcome<Made> {
    let program = Program::new(model, request)?;
    let (begin, mut seeds, resumed) = match saved {
        None => {
            let mut seeds = Seeds::new(request.numbers, request.seed, request.count);
            let begin = Begin::new(model, request, &program, &mut seeds)?;
            (begin, seeds, None)
        }
        Some(saved) => {
            let begin = Begin {
                x: None,
                paste: saved.paste,
                masked: saved.masked,
            };
            (begin, saved.seeds, Some((saved.run, saved.memory)))
        }
    };
    let clock = Clock::default();
    let asked = Asked::new(model, request, texts, begin.masked.as_ref(), clock.clone())?;
    let now = Instant::now();
    let mut drive = Drive {
        begin,
        resumed,
        seeds: &mut seeds,
        watch,
        follows_file: matches!(program, Program::File(_)),
    };
    let (latents, evaluations) = match &program {
        Program::File(plan) => (
            drive.run(plan, &mut *asked.of_file(request)?)?,
            plan.evaluations(),
        ),
        Program::Named { plan, .. } => (
            drive.run(plan, &mut *asked.by_name(request)?)?,
            plan.evaluations(),
        ),
        Program::Adaptive(adaptive) => {
            let mut network = asked.by_name(request)?;
            let (latents, evaluations) = drive.adapt(adaptive, &mut *network)?;
            (Some(latents), evaluations)
        }
    };
    Ok(Made {
        latents,
        left_out: Vec::new(),
        sampler: program.name(model),
        took: now.elapsed(),
        networks: clock.read(),
        evaluations,
    })
}

/// The pictures of latents.
pub fn decode(model: &Model, latents: &Batch) -> Outcome<Vec<Picture>> {
    let scaled = (to_tensor(latents, &model.device)? / model.vae.config.scaling_factor)?;
    let mut pictures = Vec::new();
    for i in 0..scaled.dim(0)? {
        // One at a time: the autoencoder takes the most memory.
        pictures.push(Picture::of(&model.vae.decode(&scaled.narrow(0, i, 1)?)?)?);
    }
    Ok(pictures)
}

/// The loop over a plan.
struct Drive<'a> {
    begin: Begin,
    resumed: Option<(SavedRun<Batch>, Vec<Option<Batch>>)>,
    seeds: &'a mut Seeds,
    watch: &'a mut dyn Watch,
    /// Whether it is a run of the scheduler file, and as diffusers has it.
    follows_file: bool,
}

impl Drive<'_> {
    fn run<T: Copy + Debug>(
        &mut self,
        plan: &Plan<T>,
        network: &mut dyn Denoiser<Batch, T>,
    ) -> Outcome<Option<Batch>> {
        let mut run: Run<'_, Batch, T> = match self.resumed.take() {
            Some((saved, memory)) => {
                network.set_memory(memory)?;
                plan.resume(saved)?
            }
            None => {
                network.begin();
                if let Some(paste) = &mut self.begin.paste {
                    Edit::<Batch>::begin(paste);
                }
                let x = self.begin.x.take().ok_or("a run begins with latents")?;
                let mut run = plan.start_from(x, &mut *self.seeds)?;
                self.paste(&mut run)?;
                run
            }
        };
        while let Some((x, at)) = run.pending() {
            let prediction = network.predict(x, at)?;
            let place = Place {
                step: at.step,
                steps: plan.steps(),
                evaluation: at.evaluation + 1,
                evaluations: plan.evaluations(),
            };
            let seen = Observation {
                at,
                x,
                prediction: &prediction,
            };
            self.watch.answered(place, &|| Ok(seen.x0()?))?;
            run.advance(prediction, &mut *self.seeds)?;
            if run.pending().is_some_and(|(_, next)| next.step == at.step) {
                self.paste_within(&mut run, at.to)?;
                continue;
            }
            self.paste(&mut run)?;
            let place = Place {
                step: at.step + 1,
                ..place
            };
            let saved = network.memory();
            let save = || {
                Ok(Saved {
                    run: run.save()?,
                    seeds: self.seeds.clone(),
                    memory: saved.clone(),
                    paste: self.begin.paste.clone(),
                    masked: self.begin.masked.clone(),
                })
            };
            if self.watch.stepped(place, &save)?.is_break() {
                return Ok(None);
            }
        }
        Ok(Some(run.into_state()))
    }

    fn paste<T: Copy + Debug>(&mut self, run: &mut Run<'_, Batch, T>) -> Outcome<()> {
        if let Some(paste) = &mut self.begin.paste {
            run.edit(paste)?;
        }
        Ok(())
    }

    /// Between the evaluations of a step, where diffusers gives known parts the noise of the level to which the
    /// step goes, also where the network is asked on the way.
    fn paste_within<T: Copy + Debug>(
        &mut self,
        run: &mut Run<'_, Batch, T>,
        to: NoiseLevel,
    ) -> Outcome<()> {
        let Some(paste) = self.begin.paste.as_mut().filter(|_| self.follows_file) else {
            return Ok(());
        };
        run.edit(&mut |x: &mut Batch, mut at: StepEnd| {
            let alpha = at.level.alpha();
            at.level = NoiseLevel::new(alpha, alpha * to.noise_to_signal())?;
            // No longer the start, which is left alone.
            at.step = at.step.max(1);
            paste.edit(x, at)
        })?;
        Ok(())
    }

    /// The loop of a sampler that chooses its own steps.
    fn adapt(
        &mut self,
        adaptive: &Adaptive,
        network: &mut dyn Denoiser<Batch, Step>,
    ) -> Outcome<(Batch, usize)> {
        let Adaptive {
            solver, schedule, ..
        } = adaptive;
        let level = |step| schedule.level(Step::new(step));
        let (from, to) = (level(schedule.len() - 1)?.log_snr(), level(0)?.log_snr());
        let x = self.begin.x.take().ok_or("a run begins with latents")?;
        let (x, report) = solver.sample(schedule, from, to, x, network, &mut *self.seeds)?;
        Ok((x, report.evaluations))
    }
}

/// From ndarray to candle.
pub fn to_tensor(array: &Batch, device: &Device) -> candle_core::Result<Tensor> {
    let numbers: Vec<f32> = array.iter().copied().collect();
    Tensor::from_vec(numbers, array.dim(), device)
}

/// From candle to ndarray.
pub fn to_array(tensor: &Tensor) -> candle_core::Result<Batch> {
    let shape = tensor.dims4()?;
    let numbers = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    Batch::from_shape_vec(shape, numbers).map_err(candle_core::Error::wrap)
}
