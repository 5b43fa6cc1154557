//! Steps in the middle of runs that follow each other, timed without the network.

use std::{
    fmt::Debug,
    thread,
    time::{Duration, Instant},
};

use gaussian_diffusion::{Error, Plan, Prediction, Run, SeededNoise};
use ndarray::{Array, Dimension};

/// After these, solvers with a memory of 4 have their history, and every step gives an array back.
const WARM: usize = 5;

type RunOf<'p, D, T> = Run<'p, Array<f32, D>, T>;

/// Runs of one plan, each from the same start and with the same answers.
pub struct Runs<'p, D: Dimension, T> {
    plan: &'p Plan<T>,
    start: Array<f32, D>,
    answer: Array<f32, D>,
    noise: SeededNoise,
    run: Option<RunOf<'p, D, T>>,
    /// An array to answer with.
    free: Option<Array<f32, D>>,
    pause: Duration,
    /// What every answer says of the variance.
    variance: Option<Array<f32, D>>,
}

impl<'p, D: Dimension, T: Copy + Debug> Runs<'p, D, T> {
    /// From this start, with this answer of the network to every question.
    pub fn new(plan: &'p Plan<T>, start: Array<f32, D>, answer: Array<f32, D>) -> Self {
        Self {
            plan,
            start,
            answer,
            noise: SeededNoise::new(1),
            run: None,
            free: None,
            pause: Duration::ZERO,
            variance: None,
        }
    }

    /// With this said of the variance in every answer.
    #[allow(dead_code, reason = "not every bench has a variance")]
    pub fn with_variance(mut self, variance: Array<f32, D>) -> Self {
        self.variance = Some(variance);
        self
    }

    /// With a rest before each step, in which threads fall asleep.
    #[allow(dead_code, reason = "not every bench rests")]
    pub fn resting(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Takes so many steps and gives the time that the crate took; plans need seven or more.
    ///
    /// # Errors
    ///
    /// As the run has them.
    pub fn steps(&mut self, count: u64) -> Result<Duration, Error> {
        let (mut took, mut left) = (Duration::ZERO, count);
        while left > 0 {
            let last = self.plan.evaluations().saturating_sub(1);
            let mut run = match self.run.take() {
                // The last step is none of the middle.
                Some(run) if run.evaluations_done() < last => run,
                ended => self.begin(ended)?,
            };
            let stretch = if self.pause.is_zero() && self.variance.is_none() {
                left.min((last - run.evaluations_done()) as u64)
            } else {
                thread::sleep(self.pause);
                1
            };
            // The network's own array, which the step takes.
            let variance = self.variance.clone();
            let start = Instant::now();
            if variance.is_some() {
                self.step(&mut run, variance)?;
            } else {
                for _ in 0..stretch {
                    self.step(&mut run, None)?;
                }
            }
            took += start.elapsed();
            left -= stretch;
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
        if let Some(free) = &mut self.free {
            // Predictions made answers grow a little with every step of a run.
            free.assign(&self.answer);
        }
        let mut run = self.plan.start_from(x, &mut self.noise)?;
        for _ in 0..WARM {
            let variance = self.variance.clone();
            self.step(&mut run, variance)?;
        }
        Ok(run)
    }

    /// One step. What the array that became free holds is a good answer too: the numbers stay finite.
    fn step(
        &mut self,
        run: &mut RunOf<'p, D, T>,
        variance: Option<Array<f32, D>>,
    ) -> Result<(), Error> {
        let answer = self.free.take().unwrap_or_else(|| self.answer.clone());
        let answer = Prediction::noise(answer);
        let answer = match variance {
            Some(variance) => answer.with_variance(variance),
            None => answer,
        };
        self.free = run.advance(answer, &mut self.noise)?;
        Ok(())
    }
}
