//! Digits drawn in every way, with one evaluation of a network to as many as there are pixels.

use gaussian_diffusion::{
    Grid, ModelVariance, Plan, ReverseStep, SeededNoise, Step,
    noise::{NoiseSource, Scale},
    schedule::Discrete,
    solver::{Ddim, Ddpm, DpmSolver},
};
use indicatif::{ProgressBar, ProgressStyle};
use ndarray::Array2;

use super::{autoregression::Autoregression, grey::rounded, regression::Regression};
use crate::{
    Outcome,
    asked::Asked,
    data::PIXELS,
    network::{Class, Network},
};

pub const EVALUATIONS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Those of DDIM beside the other ways without noise.
const STILL: usize = 16;

/// What draws digits, all trained alike.
#[derive(Debug)]
pub struct Networks<'a> {
    pub regression: Regression,
    /// In each order.
    pub autoregression: [Autoregression; 2],
    pub diffusion: &'a Network,
    pub schedule: &'a Discrete,
}

/// Digits of the same classes by one way of drawing them.
#[derive(Debug)]
pub struct Way {
    pub name: &'static str,
    /// By the number of evaluations.
    pub drawn: Vec<(usize, Array2<f32>)>,
}

impl Way {
    pub fn with(&self, evaluations: usize) -> Option<&Array2<f32>> {
        let mut drawn = self.drawn.iter();
        drawn
            .find(|(count, _)| *count == evaluations)
            .map(|(_, digits)| digits)
    }
}

/// Digits of one class without noise, and with it.
#[derive(Debug)]
pub struct Pair {
    pub name: String,
    pub still: Array2<f32>,
    pub drawn: Array2<f32>,
}

impl Pair {
    fn new(
        name: &str,
        evaluations: usize,
        [still, drawn]: [Outcome<Array2<f32>>; 2],
    ) -> Outcome<Self> {
        Ok(Self {
            name: format!("{name}, {evaluations}"),
            still: still?,
            drawn: drawn?,
        })
    }
}

/// A sampler by the name that its curve has.
type Sampler = (&'static str, Box<dyn ReverseStep>);

fn samplers() -> Outcome<[Sampler; 3]> {
    Ok([
        ("DDPM", Box::new(Ddpm::new(ModelVariance::LearnedRange))),
        ("DDIM", Box::new(Ddim::default())),
        ("DPM++ 2M", Box::new(DpmSolver::plus_plus(2)?)),
    ])
}

impl Networks<'_> {
    /// Every way, with noise: regression, both orders, three samplers.
    pub fn draw(&self, classes: &[Class], seed: u64, noise: &SeededNoise) -> Outcome<Vec<Way>> {
        let samplers = samplers()?;
        let draws = 1 + EVALUATIONS.len() * (self.autoregression.len() + samplers.len());
        let style =
            ProgressStyle::with_template("drawing {prefix} {bar:40} {pos}/{len}, {eta} left")?;
        let bar = ProgressBar::new(draws as u64).with_style(style);
        let mut z = Array2::zeros((classes.len(), PIXELS));
        noise.clone().add(&mut z, Scale::Same(1.0), None)?;
        let mut ways = vec![Way {
            name: "regression",
            drawn: vec![(1, rounded(&self.regression.draw(classes, &z)?))],
        }];
        bar.inc(1);
        let mut way = |name, draw: &dyn Fn(usize) -> Outcome<Array2<f32>>| {
            bar.set_prefix(name);
            let mut drawn = Vec::new();
            for evaluations in EVALUATIONS {
                drawn.push((evaluations, draw(evaluations)?));
                bar.inc(1);
            }
            ways.push(Way { name, drawn });
            Outcome::Ok(())
        };
        for network in &self.autoregression {
            way(network.order.name(), &|evaluations| {
                network.draw(classes, PIXELS / evaluations, true, seed)
            })?;
        }
        for (name, solver) in &samplers {
            way(name, &|evaluations| {
                let mut noise = noise.clone();
                let plan = self.plan(evaluations, solver)?;
                let start = plan.prior((classes.len(), PIXELS), &mut noise)?;
                self.run(&plan, classes, start, noise)
            })?;
        }
        bar.finish_and_clear();
        Ok(ways)
    }

    /// Digits of one class: regression, both orders a pixel at a time, and DDIM, each without noise and
    /// with it.
    pub fn draw_pairs(
        &self,
        class: usize,
        count: usize,
        seed: u64,
        noise: &SeededNoise,
    ) -> Outcome<Vec<Pair>> {
        let classes = vec![Some(class); count];
        let zeros = Array2::zeros((count, PIXELS));
        let mut z = zeros.clone();
        noise.clone().add(&mut z, Scale::Same(1.0), None)?;
        let regression = |from: &Array2<f32>| Ok(rounded(&self.regression.draw(&classes, from)?));
        let mut pairs = vec![Pair::new("regression", 1, [&zeros, &z].map(regression))?];
        for network in &self.autoregression {
            let draw = |random| network.draw(&classes, 1, random, seed);
            pairs.push(Pair::new(
                network.order.name(),
                PIXELS,
                [false, true].map(draw),
            )?);
        }
        let plan = self.plan(STILL, &Ddim::default())?;
        let draw = |start: &Array2<f32>| self.run(&plan, &classes, start.clone(), noise.clone());
        pairs.push(Pair::new("DDIM", STILL, [&zeros, &z].map(draw))?);
        Ok(pairs)
    }

    fn plan(&self, steps: usize, solver: &dyn ReverseStep) -> Outcome<Plan<Step>> {
        let grid = Grid::trailing(self.schedule, steps)?;
        Ok(Plan::new(self.schedule, &grid, solver)?)
    }

    fn run(
        &self,
        plan: &Plan<Step>,
        classes: &[Class],
        start: Array2<f32>,
        mut noise: SeededNoise,
    ) -> Outcome<Array2<f32>> {
        let mut network = Asked::new(self.diffusion, classes.to_vec()).guided(1.0)?;
        Ok(rounded(&plan.sample(start, &mut network, &mut noise)?))
    }
}
