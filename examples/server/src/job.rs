//! A picture that is asked for, and how far it has come.

use std::sync::Arc;

use digits::{data::PIXELS, network::Class};
use gaussian_diffusion::{
    Denoiser, Error, Plan, Point, Prediction, Run, Sampler, SavedRun, SeededNoise, Step,
    denoiser::Clip,
    guidance::{Combination, Guided},
    predicts,
    schedule::Discrete,
};
use serde::{Deserialize, Serialize};

use crate::Pictures;

/// Steps of a job, at most.
pub const MOST_STEPS: usize = 1000;

/// What a client asks for. It fixes the picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// A sampler by its name, such as "DPM++ 2M Karras".
    pub sampler: String,
    pub steps: usize,
    pub seed: u64,
    /// The digit; left to the network where there is none.
    #[serde(default)]
    pub digit: Class,
    /// Scale of guidance towards the digit: 1 does not guide.
    #[serde(default = "unguided")]
    pub guidance: f64,
}

fn unguided() -> f64 {
    1.0
}

impl Order {
    /// The plan of its run.
    pub fn plan(&self) -> Result<Plan<Step>, Error> {
        let schedule = Discrete::cosine(1000)?;
        Sampler::from_name(&self.sampler)?.plan(&schedule, self.steps)
    }

    /// Refuses what the network or the server does not have.
    pub fn check(&self) -> Result<(), String> {
        if self.steps > MOST_STEPS {
            return Err(format!("steps {} are more than {MOST_STEPS}", self.steps));
        }
        match self.digit {
            Some(digit) if digit >= digits::data::CLASSES => {
                Err(format!("digit {digit} is not 0 to 9"))
            }
            _ => Ok(()),
        }
    }
}

/// A run with what it needs beside its plan.
#[derive(Debug)]
pub struct Job {
    order: Order,
    plan: Arc<Plan<Step>>,
    rule: Combination,
    clip: Clip,
    run: Run<'static, Pictures, Step>,
    noise: SeededNoise,
}

/// A job as it is stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedJob {
    order: Order,
    run: SavedRun<Pictures>,
    noise: SeededNoise,
}

impl SavedJob {
    /// Evaluations of the network that are done.
    pub fn evaluations_done(&self) -> usize {
        self.run.evaluations_done()
    }
}

/// A picture that the network is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub x: &'a Pictures,
    pub time: Step,
    pub digit: Class,
}

impl Job {
    /// At its beginning.
    pub fn new(order: Order) -> Result<Self, Error> {
        let plan = Arc::new(order.plan()?);
        let mut noise = SeededNoise::new(order.seed);
        let start = plan.prior((1, PIXELS), &mut noise)?;
        let run = plan.start_shared(start, &mut noise)?;
        Self::of(order, plan, run, noise)
    }

    /// Where it was saved.
    pub fn resume(saved: SavedJob) -> Result<Self, Error> {
        let plan = Arc::new(saved.order.plan()?);
        let run = plan.resume_shared(saved.run)?;
        Self::of(saved.order, plan, run, saved.noise)
    }

    fn of(
        order: Order,
        plan: Arc<Plan<Step>>,
        run: Run<'static, Pictures, Step>,
        noise: SeededNoise,
    ) -> Result<Self, Error> {
        Ok(Self {
            rule: Combination::classifier_free(order.guidance)?,
            clip: Clip::new(-1.0, 1.0)?,
            order,
            plan,
            run,
            noise,
        })
    }

    pub fn save(&self) -> Result<SavedJob, Error> {
        Ok(SavedJob {
            order: self.order.clone(),
            run: self.run.save()?,
            noise: self.noise.clone(),
        })
    }

    pub fn order(&self) -> &Order {
        &self.order
    }

    /// Evaluations of the network that are done, and all that there are.
    pub fn evaluations(&self) -> (usize, usize) {
        (self.run.evaluations_done(), self.plan.evaluations())
    }

    /// What it asks the network: once, or with and without the digit. Nothing when it has ended.
    pub fn questions(&self) -> impl Iterator<Item = Question<'_>> {
        let unguided = self.order.guidance == 1.0 || self.order.digit.is_none();
        let digits = [Some(self.order.digit), (!unguided).then_some(None)];
        let pending = self.run.pending().into_iter();
        pending.flat_map(move |(x, at)| {
            let ask = move |digit| Question {
                x,
                time: at.time,
                digit,
            };
            digits.into_iter().flatten().map(ask)
        })
    }

    /// Takes the answers to its questions, and gives the picture that is expected to come of it.
    ///
    /// The adapters of a denoiser do as well around answers that are there already.
    pub fn answer(
        &mut self,
        answers: impl IntoIterator<Item = Prediction<Pictures>>,
    ) -> Result<Pictures, Error> {
        let mut answers = answers.into_iter();
        let (with, without) = (answers.next(), answers.next());
        let without = without.or_else(|| with.clone());
        let guided = Guided::new((given(with), given(without)), self.rule.clone());
        let mut network = Denoiser::<Pictures, Step>::corrected(guided, self.clip);
        let (x, at) = self.run.pending().ok_or(Error::Finished)?;
        let answer = network.predict(x, at)?;
        let preview = answer.value.clone();
        self.run.supply(answer, &mut self.noise)?;
        Ok(preview)
    }

    /// The state as it stands: the picture, once the run has ended.
    pub fn picture(&self) -> &Pictures {
        self.run.state()
    }
}

/// An answer as a denoiser.
fn given(answer: Option<Prediction<Pictures>>) -> impl Denoiser<Pictures, Step> {
    let answer = move || {
        answer.clone().ok_or(Error::Missing {
            what: "an answer of the network",
            needed_by: "a job",
        })
    };
    predicts::with(move |_: &Pictures, _: Point<Step>| answer())
}
