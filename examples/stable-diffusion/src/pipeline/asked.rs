//! The networks as the denoiser of a run.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use candle_core::Tensor;
use gaussian_diffusion::{
    Denoiser, Error, Parameterization, Point, Prediction, Step,
    config::{Clipping, SchedulerConfig, Timestep},
    guidance::{CfgPlusPlus, Guided, Predictors, Rule},
};

use super::{GuidanceRule, Request, program, to_array, to_tensor};
use crate::{
    Outcome,
    controlnet::ControlNet,
    model::Model,
    picture::Picture,
    seeds::Batch,
    unet::{Told, UNet},
};

/// The time that networks took.
#[derive(Debug, Clone, Default)]
pub struct Clock(Rc<Cell<Duration>>);

impl Clock {
    pub fn read(&self) -> Duration {
        self.0.get()
    }

    fn add(&self, duration: Duration) {
        self.0.set(self.0.get() + duration);
    }
}

/// The U-Net asked for prompt and negative prompt, in one batch.
#[derive(Debug)]
pub struct Asked<'a> {
    model: &'a Model,
    unet: &'a UNet,
    texts: [Told; 2],
    /// The mask and what it leaves of the picture, which a U-Net for painting over is shown, too.
    masked: Option<Tensor>,
    controls: Vec<(&'a ControlNet, Tensor, f64)>,
    terms: Parameterization,
    clock: Clock,
}

impl<'a> Asked<'a> {
    pub fn new(
        model: &'a Model,
        request: &Request,
        texts: [Told; 2],
        masked: Option<&Batch>,
        clock: Clock,
    ) -> Outcome<Self> {
        let given = request.image.as_deref().map(Picture::open).transpose()?;
        let size = request.size(model, given.as_ref())?;
        let mut controls = Vec::new();
        for (network, control) in model.controls.iter().zip(&request.controls) {
            let picture = Picture::open(&control.path)?.resized(size);
            controls.push((
                network,
                network.hint(&picture.tensor(&model.device)?)?,
                control.scale,
            ));
        }
        Ok(Self {
            model,
            unet: &model.unet,
            texts,
            masked: masked
                .map(|masked| to_tensor(masked, &model.device))
                .transpose()?,
            controls,
            terms: model.scheduler.prediction(),
            clock,
        })
    }

    /// The answers that are needed.
    fn answers(&self, x: &Batch, time: f64, needed: &[bool]) -> Outcome<Vec<Option<Batch>>> {
        let now = Instant::now();
        let told: Vec<_> = self
            .texts
            .iter()
            .zip(needed)
            .filter(|(_, needed)| **needed)
            .collect();
        let count = told.len();
        let texts: Vec<_> = told.iter().map(|(told, _)| *told).collect();
        let told = Told::cat(&texts)?;
        let mut shown = to_tensor(x, &self.model.device)?;
        let batch = shown.dim(0)?;
        // A ControlNet is not shown the mask.
        let plain = shown.repeat((count, 1, 1, 1))?;
        if let Some(masked) = &self.masked {
            shown = Tensor::cat(&[&shown, masked], 1)?.repeat((count, 1, 1, 1))?;
        } else {
            shown = plain.clone();
        }
        let added = self
            .controls
            .iter()
            .map(|(network, hint, scale)| network.forward(&plain, time, &told, hint, *scale));
        let added = added.collect::<candle_core::Result<Vec<_>>>()?;
        let answer = self.unet.forward(&shown, time, &told, &added)?;
        let mut place = 0;
        let mut answers = Vec::new();
        for needed in needed {
            answers.push(match needed {
                true => Some(to_array(&answer.narrow(0, place, batch)?)?),
                false => None,
            });
            place += batch * usize::from(*needed);
        }
        self.clock.add(now.elapsed());
        Ok(answers)
    }

    /// Guided, and corrected as the scheduler file has it.
    pub fn of_file(self, request: &Request) -> Outcome<Box<dyn Denoiser<Batch, Timestep> + 'a>> {
        if request.rule == GuidanceRule::PlusPlus {
            return Err("CFG++ needs a sampler of its name, such as euler_cfg_pp".into());
        }
        let config = program::of_file(self.model, request);
        let inner = self.guided(request)?;
        Ok(Box::new(OfFile { config, inner }))
    }

    /// Guided, for a sampler by name.
    pub fn by_name(self, request: &Request) -> Outcome<Box<dyn Denoiser<Batch, Step> + 'a>> {
        let clipping = self.model.scheduler.clipping();
        if request.rule == GuidanceRule::PlusPlus {
            let rule = request.guidance(self.model)?;
            return Ok(Box::new(CfgPlusPlus::new(self, rule)));
        }
        let guided = self.guided(request)?;
        Ok(match clipping {
            Clipping::Nothing => Box::new(guided),
            clipping => Box::new(gaussian_diffusion::denoiser::Corrected::new(
                guided, clipping,
            )),
        })
    }

    fn guided(self, request: &Request) -> Outcome<Guided<Self, Box<dyn Rule<Batch>>>> {
        let rule = request.guidance(self.model)?;
        let guided = Guided::new(self, rule);
        Ok(match request.rule {
            GuidanceRule::Apg => guided.with_parameterization(Parameterization::X0),
            _ => guided,
        })
    }
}

impl<T: gaussian_diffusion::Clock> Predictors<Batch, T> for Asked<'_> {
    fn count(&self) -> usize {
        2
    }

    fn predict(
        &mut self,
        x: &Batch,
        at: Point<T>,
        needed: &[bool],
    ) -> Result<Vec<Option<Prediction<Batch>>>, Error> {
        let answers = self
            .answers(x, at.time.reading(), needed)
            .map_err(Error::network)?;
        let named =
            |answer: Option<Batch>| answer.map(|answer| Prediction::new(answer, self.terms));
        Ok(answers.into_iter().map(named).collect())
    }
}

/// Guidance of what the network says itself, and then what the scheduler file does with it.
struct OfFile<D> {
    config: SchedulerConfig,
    inner: D,
}

impl<D: Denoiser<Batch, Timestep>> Denoiser<Batch, Timestep> for OfFile<D> {
    fn predict(&mut self, x: &Batch, at: Point<Timestep>) -> Result<Prediction<Batch>, Error> {
        let terms = self.config.prediction();
        let inner = &mut self.inner;
        let mut corrected = self.config.denoiser(|shown: &Batch, _time: f64| {
            let answer = inner.predict(shown, at)?;
            Ok(answer.to(terms, shown, at.level)?.value)
        });
        corrected.predict(x, at)
    }

    fn begin(&mut self) {
        self.inner.begin();
    }

    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<Batch>)) {
        self.inner.visit_memory(visit);
    }
}
