//! Starts, and how far a plan ends from the exact flow.

use gaussian_diffusion::{
    Denoiser, Error, Grid, Plan, Point, Prediction, SeededNoise, Step,
    fit::Lesson,
    schedule::Discrete,
    solver::{Coordinates, ExponentialAdams},
};
use half::f16;
use ndarray::Array2;

use crate::{
    Outcome,
    asked::{Asked, Sampled},
    data::PIXELS,
    network::{Class, Network},
};

/// Steps of a lesson, and of what counts as the exact flow.
const STEPS: usize = 100;
const EXACT_STEPS: usize = 400;

/// A network, and how it is asked.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    pub network: &'a Network,
    pub schedule: &'a Discrete,
    pub guidance: f64,
}

/// Starts, and the network asked for their classes.
#[derive(Debug)]
pub struct Starts<'a> {
    pub setting: Setting<'a>,
    classes: Vec<Class>,
    x: Array2<f32>,
}

impl<'a> Starts<'a> {
    fn new(setting: Setting<'a>, classes: &[usize], seed: u64) -> Outcome<Self> {
        let classes: Vec<Class> = classes.iter().copied().map(Some).collect();
        let prior = teacher(setting.schedule)?;
        let x = prior.prior((classes.len(), PIXELS), &mut SeededNoise::new(seed))?;
        Ok(Self {
            setting,
            classes,
            x,
        })
    }

    pub fn asked(&self) -> Outcome<Sampled<'a>> {
        let asked = Asked::new(self.setting.network, self.classes.clone());
        Ok(asked.guided(self.setting.guidance)?)
    }

    pub fn drawn(&self, plan: &Plan<Step>) -> Outcome<Array2<f32>> {
        let noise = &mut SeededNoise::new(0);
        Ok(plan.sample(self.x.clone(), &mut self.asked()?, noise)?)
    }
}

/// Starts, and where the exact flow takes them.
#[derive(Debug)]
pub struct Course<'a> {
    pub starts: Starts<'a>,
    pub end: Array2<f32>,
}

impl<'a> Course<'a> {
    /// Starts for these classes.
    pub fn new(setting: Setting<'a>, classes: &[usize], seed: u64) -> Outcome<Self> {
        Self::to(setting, classes, seed, EXACT_STEPS)
    }

    /// With so many steps for the exact flow.
    pub fn to(setting: Setting<'a>, classes: &[usize], seed: u64, steps: usize) -> Outcome<Self> {
        let starts = Starts::new(setting, classes, seed)?;
        let end = starts.drawn(&fine(setting.schedule, steps)?)?;
        Ok(Self { starts, end })
    }

    /// The root mean square of a pixel's distance from the exact flow.
    pub fn error(&self, plan: &Plan<Step>) -> Outcome<f64> {
        Ok(self.off(&self.starts.drawn(plan)?))
    }

    /// The same where states and answers are numbers of f16.
    pub fn error_in_half(&self, plan: &Plan<Step>) -> Outcome<f64> {
        let x = self.starts.x.mapv(f16::from_f32);
        let network = &mut Halved(self.starts.asked()?);
        let end = plan.sample(x, network, &mut SeededNoise::new(0))?;
        Ok(self.off(&end.mapv(f32::from)))
    }

    fn off(&self, drawn: &Array2<f32>) -> f64 {
        let squares = (drawn - &self.end).mapv(|x| f64::from(x).powi(2));
        squares.mean().unwrap_or(f64::NAN).sqrt()
    }
}

/// Starts, and the fine run of the network from them.
#[derive(Debug)]
pub struct Taught<'a> {
    pub starts: Starts<'a>,
    pub lesson: Lesson<Array2<f32>, Step>,
}

impl<'a> Taught<'a> {
    pub fn new(setting: Setting<'a>, classes: &[usize], seed: u64) -> Outcome<Self> {
        let starts = Starts::new(setting, classes, seed)?;
        let fine = teacher(setting.schedule)?;
        let lesson = Lesson::new(&fine, starts.x.clone(), &mut starts.asked()?)?;
        Ok(Self { starts, lesson })
    }

    /// The mean distance of a plan's ends from those of the lesson.
    pub fn distance(&self, plan: &Plan<Step>) -> Outcome<f64> {
        Ok(self.lesson.distance(plan, &mut self.starts.asked()?)?)
    }

    pub fn schedule(&self) -> &'a Discrete {
        self.starts.setting.schedule
    }
}

/// A run of so many steps even in log-SNR.
pub fn fine(schedule: &Discrete, steps: usize) -> Outcome<Plan<Step>> {
    let grid = Grid::uniform_log_snr(schedule, steps)?;
    let solver = ExponentialAdams::new(3, Coordinates::Data)?;
    Ok(Plan::new(schedule, &grid, &solver)?)
}

/// The steps of a lesson.
pub fn teacher(schedule: &Discrete) -> Outcome<Plan<Step>> {
    fine(schedule, STEPS)
}

/// A network that reads and answers in f16.
struct Halved<'a>(Sampled<'a>);

impl Denoiser<Array2<f16>, Step> for Halved<'_> {
    fn predict(
        &mut self,
        x: &Array2<f16>,
        at: Point<Step>,
    ) -> Result<Prediction<Array2<f16>>, Error> {
        let answer = self.0.predict(&x.mapv(f32::from), at)?;
        let value = answer.value.mapv(f16::from_f32);
        Ok(Prediction::new(value, answer.parameterization))
    }
}
