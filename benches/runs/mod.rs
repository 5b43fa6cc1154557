//! Steps in the middle of runs that follow each other, timed without the network.

use std::{
    fmt::Debug,
    thread,
    time::{Duration, Instant},
};

use gaussian_diffusion::{Error, Noise, Plan, Prediction, Run};
use ndarray::{Array, Dimension};

/// Multi-step solvers have their history after these.
const WARM: usize = 4;

type RunOf<'p, D, T> = Run<'p, Array<f32, D>, T>;

/// Runs of one plan, each from the same start and with the same answers.
pub struct Runs<'p, D: Dimension, T> {
    plan: &'p Plan<T>,
    start: Array<f32, D>,
    answer: Array<f32, D>,
    noise: Noise,
    run: Option<RunOf<'p, D, T>>,
    /// An array to answer with.
    free: Option<Array<f32, D>>,
    pause: Duration,
}

impl<'p, D: Dimension, T: Copy + Debug> Runs<'p, D, T> {
    /// From this start, with this answer of the network to every question.
    pub fn new(plan: &'p Plan<T>, start: Array<f32, D>, answer: Array<f32, D>) -> Self {
        Self {
            plan,
            start,
            answer,
            noise: Noise::seeded(1),
            run: None,
            free: None,
            pause: Duration::ZERO,
        }
    }

    /// With a rest before each step, in which threads fall asleep.
    #[allow(dead_code, reason = "not every bench rests")]
    pub fn resting(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Takes so many steps and gives the time that the crate took.
    ///
    /// # Errors
    ///
    /// As the run has them.
    pub fn steps(&mut self, count: u64) -> Result<Duration, Error> {
        let mut took = Duration::ZERO;
        for _ in 0..count {
            let mut run = match self.run.take() {
                // The last step is none of the middle.
                Some(run) if run.evaluations_done() + 1 < self.plan.evaluations() => run,
                ended => self.begin(ended)?,
            };
            took += self.step(&mut run)?;
            self.run = Some(run);
        }
        Ok(took)
    }

    /// A new run with a warm history, in the array of the one before.
    fn begin(&mut self, ended: Option<RunOf<'p, D, T>>) -> Result<RunOf<'p, D, T>, Error> {
        let mut x = match ended {
            Some(run) => run.into_state(),
            None => self.start.clone(),
        };
        x.assign(&self.start);
        let mut run = self.plan.start_from(x, &mut self.noise)?;
        for _ in 0..WARM {
            self.step(&mut run)?;
        }
        Ok(run)
    }

    /// One step; making the answer is the network's part.
    fn step(&mut self, run: &mut RunOf<'p, D, T>) -> Result<Duration, Error> {
        let answer = self.free.take().unwrap_or_else(|| self.answer.clone());
        if !self.pause.is_zero() {
            thread::sleep(self.pause);
        }
        let start = Instant::now();
        self.free = answered(run, answer, &mut self.noise)?;
        Ok(start.elapsed())
    }
}

/// Answers a run and gives the array that became free, where the run gives it back.
///
/// What that array holds is a good answer too: the numbers stay finite.
fn answered<D: Dimension, T: Copy + Debug>(
    run: &mut RunOf<'_, D, T>,
    answer: Array<f32, D>,
    noise: &mut Noise,
) -> Result<Option<Array<f32, D>>, Error> {
    run.supply(Prediction::noise(answer), noise)?;
    Ok(None)
}
