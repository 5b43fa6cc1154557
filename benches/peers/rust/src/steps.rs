//! Steps of this crate's runs, from the configurations that diffusers gets too.

use std::time::{Duration, Instant};

use gaussian_diffusion::{
    Error, Noise, Plan, Prediction, Run,
    config::{SchedulerConfig, Told},
    noise::{Interval, NoiseSource, Scale},
};

use crate::{Fallible, Row, Shape, Tensor, values};

const STEPS: usize = 50;
/// Multi-step solvers have their history after these.
const WARM: usize = 3;
/// What the probe runs, from a start with a warm history on.
const PROBED: usize = 5;

fn plan(name: &str) -> Fallible<Plan<Told>> {
    let schedulers: serde_json::Value =
        serde_json::from_str(include_str!("../../schedulers.json"))?;
    let scheduler = schedulers.get(name).ok_or(format!("no row {name}"))?;
    Ok(SchedulerConfig::from_json(&scheduler.to_string())?.plan(STEPS)?)
}

/// Steps in the middle of runs that follow each other.
pub fn row(name: &str, shape: Shape) -> Fallible<Row> {
    // As long as the program, so that a run can be kept beside it.
    let plan: &'static _ = Box::leak(Box::new(plan(name)?));
    let mut runs = Runs {
        plan,
        start: values(shape, 0),
        answer: values(shape, 1),
        free: None,
        noise: Noise::seeded(1),
        run: None,
    };
    Ok(Box::new(move |calls| runs.steps(calls)))
}

struct Runs {
    plan: &'static Plan<Told>,
    start: Tensor,
    answer: Tensor,
    /// An array to answer with.
    free: Option<Tensor>,
    noise: Noise,
    run: Option<Run<'static, Tensor, Told>>,
}

impl Runs {
    fn steps(&mut self, calls: usize) -> Fallible<Duration> {
        let mut took = Duration::ZERO;
        for _ in 0..calls {
            // The last step is none of the middle.
            let ended = |run: &Run<_, _>| run.evaluations_done() + 1 >= self.plan.evaluations();
            if self.run.as_ref().is_none_or(ended) {
                self.begin()?;
            }
            took += self.step()?;
        }
        Ok(took)
    }

    /// A run with a warm history, in the arrays of the one before.
    fn begin(&mut self) -> Fallible<()> {
        let mut x = match self.run.take() {
            Some(run) => run.into_state(),
            None => self.start.clone(),
        };
        x.assign(&self.start);
        self.run = Some(self.plan.start_from(x, &mut self.noise)?);
        for _ in 0..WARM {
            self.step()?;
        }
        Ok(())
    }

    /// One step; only the crate's part is timed.
    fn step(&mut self) -> Fallible<Duration> {
        let run = self.run.as_mut().ok_or("no run has begun")?;
        let answer = self.free.take().unwrap_or_else(|| self.answer.clone());
        let start = Instant::now();
        self.free = answered(run, answer, &mut self.noise)?;
        Ok(start.elapsed())
    }
}

/// Answers a run and gives the array that became free, if the crate gives one back.
fn answered(
    run: &mut Run<'static, Tensor, Told>,
    answer: Tensor,
    noise: &mut Noise,
) -> Result<Option<Tensor>, Error> {
    run.supply(Prediction::noise(answer), noise)?;
    Ok(None)
}

/// The state after some steps with answers and noise that diffusers gets too.
pub fn probe(name: &str, shape: Shape) -> Fallible<Vec<f32>> {
    let plan = plan(name)?;
    let mut run = plan.start_from(values(shape, 0), &mut Given)?;
    for i in 1..=PROBED {
        run.supply(Prediction::noise(values(shape, i)), &mut Given)?;
    }
    Ok(run.into_state().into_raw_vec_and_offset().0)
}

/// The last step of DDPM, which draws no noise.
pub fn end(shape: Shape) -> Fallible<Vec<f32>> {
    let config = plan("ddpm")?;
    let mut run = config.start_from(values(shape, 0), &mut Given)?;
    let mut reached = values(shape, 0);
    for _ in 0..STEPS {
        reached = run.state().clone();
        run.supply(Prediction::noise(values(shape, 1)), &mut Given)?;
    }
    // What candle is to be given, then what it is to answer.
    let mut numbers = reached.into_raw_vec_and_offset().0;
    numbers.extend(run.into_state());
    Ok(numbers)
}

/// The same noise on both sides.
struct Given;

impl NoiseSource<Tensor> for Given {
    fn add(
        &mut self,
        x: &mut Tensor,
        scale: Scale<'_, Tensor>,
        _: Option<Interval>,
    ) -> Result<(), Error> {
        if let Scale::Same(std) = scale {
            let z = values(x.dim(), 9);
            x.scaled_add(std as f32, &z);
        }
        Ok(())
    }
}
