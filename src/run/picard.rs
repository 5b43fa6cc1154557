//! A run that asks about many of its steps at once.

use std::fmt::{self, Debug};

use super::Run;
use crate::{
    Error, Parameterization, Plan, Point, Prediction,
    noise::NoiseSource,
    state::{Kept, State, item_sizes},
};

/// A run whose next questions are asked all at once, about states that are guessed, until the guesses are right:
/// parallel sampling by Picard iterations.
///
/// A run that knew every answer would need no network. This one goes through its plan with the answers it has, which
/// belong to the states it guessed before, and so finds better guesses; those are asked about in one batch. The first
/// state of the window is no guess, so that every batch takes the run on by a step at least, and by all the steps
/// whose guesses did not move. It comes to the result of the plan itself, with fewer questions one after another, and
/// more of them in all.
///
/// A guess is right when no item of it moves, in root mean square, by more than the tolerance times the noise at its
/// level. With a tolerance of 0 the result has the bits of [`Plan::sample`]. Every sampler of a plan can be run so,
/// with noise too: the noise of a step is the same at every try. A network that remembers (self-conditioning,
/// momentum) cannot.
///
/// [Source](crate::docs::papers#arxiv-2305.16317): Parallel Sampling of Diffusion Models, Shih, Belkhale, Ermon, Sadigh,
/// Anari, 2023 (ParaDiGMS), whose steps add up the drifts; here the linear part of every step is taken anew.
///
/// ```
/// use gaussian_diffusion::{Denoiser, GaussianMixture, Sampler, SeededNoise, schedule::Discrete};
/// use ndarray::Array2;
/// let plan = Sampler::from_name("DDIM")?.plan(&Discrete::stable_diffusion()?, 50)?;
/// let mut net = GaussianMixture::isotropic(&[(0.5, [-1.0], 0.04), (0.5, [1.0], 0.04)])?;
/// let noise = SeededNoise::new(1);
/// let start: Array2<f64> = plan.prior((4, 1), &mut noise.clone())?;
///
/// let mut run = plan.start_parallel(start.clone(), noise.clone(), 50)?.with_tolerance(0.0)?;
/// while !run.pending().is_empty() {
///     // One batch for a network: the states stacked, with a time for each.
///     let answers = run.pending().iter().map(|(x, at)| net.predict(x, *at)).collect::<Result<_, _>>()?;
///     run.supply(answers)?;
/// }
/// assert!(run.batches() < 40 && run.evaluations() > 50);
/// let one_by_one = plan.sample(start, &mut net, &mut noise.clone())?;
/// assert_eq!(run.into_state(), one_by_one);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "ParaDiGMS",
    "Picard iteration",
    "parallel sampling",
    "DDIMParallelScheduler",
    "DDPMParallelScheduler"
))]
#[derive(Clone)]
pub struct ParallelRun<'p, V: State, T, N> {
    /// As far as the states are right.
    run: Run<'p, V, T>,
    noise: N,
    window: usize,
    tolerance: f64,
    /// What is asked, from the state of the run on.
    asked: Vec<(V, Point<T>)>,
    batches: usize,
    evaluations: usize,
}

// Derived, this would not ask it of what is kept.
impl<V: State + Debug, T: Debug, N> Debug for ParallelRun<'_, V, T, N>
where
    Kept<V>: Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParallelRun")
            .field("run", &self.run)
            .field("window", &self.window)
            .field("tolerance", &self.tolerance)
            .field("asked", &self.asked)
            .field("batches", &self.batches)
            .field("evaluations", &self.evaluations)
            .finish_non_exhaustive()
    }
}

impl<T: Copy + Debug> Plan<T> {
    /// A run that asks about up to `window` evaluations at once.
    ///
    /// The first guesses are those of data that is 0. The source of noise must give the same numbers again when it is
    /// cloned, as [`SeededNoise`](crate::SeededNoise) does. The tolerance is 0.1, as in the paper for pictures.
    ///
    /// # Errors
    ///
    /// If the window is 0, or `x` holds a NaN or an infinity.
    pub fn start_parallel<V, N>(
        &self,
        x: V,
        mut noise: N,
        window: usize,
    ) -> Result<ParallelRun<'_, V, T, N>, Error>
    where
        V: State,
        N: NoiseSource<Kept<V>> + Clone,
    {
        if window == 0 {
            return Err(Error::range("window of a parallel run", 0.0, "1 or more"));
        }
        let mut zeros = x.clone();
        zeros.combine(0.0, &[])?;
        let run = self.start_from(x, &mut noise)?;
        let mut parallel = ParallelRun {
            run,
            noise,
            window,
            tolerance: 0.1,
            asked: Vec::new(),
            batches: 0,
            evaluations: 0,
        };
        parallel.guess(&[], Prediction::x0(zeros));
        Ok(parallel)
    }
}

impl<V: State, T: Copy + Debug, N: NoiseSource<Kept<V>> + Clone> ParallelRun<'_, V, T, N> {
    /// The same with another tolerance; 0 asks until no guess moves at all.
    ///
    /// # Errors
    ///
    /// If it is negative, NaN or infinite.
    pub fn with_tolerance(mut self, tolerance: f64) -> Result<Self, Error> {
        if !(tolerance >= 0.0 && tolerance.is_finite()) {
            let allowed = "a finite number from 0 on";
            return Err(Error::range("tolerance", tolerance, allowed));
        }
        self.tolerance = tolerance;
        Ok(self)
    }

    /// What the network is asked next, in one batch; nothing when the run has ended.
    pub fn pending(&self) -> &[(V, Point<T>)] {
        &self.asked
    }

    /// Answers what is pending, in its order.
    ///
    /// # Errors
    ///
    /// If there are not as many answers as questions, or as [`Run::supply`]. The run then asks the same again, from the
    /// answer on that it refused.
    pub fn supply(&mut self, answers: Vec<Prediction<V>>) -> Result<(), Error> {
        Error::check_length("answers", self.asked.len(), answers.len())?;
        let mut right = 0;
        for (answer, (guessed, at)) in answers.iter().zip(&self.asked) {
            let Some((x, _)) = self.run.pending() else {
                break;
            };
            if !is_near(x, guessed, self.tolerance * at.level.sigma())? {
                break;
            }
            if let Err(error) = self.run.supply(answer.clone(), &mut self.noise) {
                self.asked.drain(..right);
                return Err(error);
            }
            right += 1;
        }
        self.batches += 1;
        self.evaluations += answers.len();
        // Beyond them, what was last said of the data.
        let last = answers.into_iter().zip(std::mem::take(&mut self.asked));
        let mut left: Vec<_> = last.collect();
        let Some((answer, (x, at))) = left.last() else {
            return Ok(());
        };
        let guess = answer.clone().to(Parameterization::X0, x, at.level);
        let guess = guess.unwrap_or_else(|_| answer.clone());
        left.drain(..right);
        let known: Vec<_> = left.into_iter().map(|(answer, _)| answer).collect();
        self.guess(&known, guess);
        Ok(())
    }

    /// Goes on from what is right with these answers, and then this one, and asks what it is shown on the way.
    fn guess(&mut self, known: &[Prediction<V>], then: Prediction<V>) {
        let (mut ahead, mut noise) = (self.run.clone(), self.noise.clone());
        for i in 0..self.window {
            let Some((x, at)) = ahead.pending() else {
                break;
            };
            self.asked.push((x.clone(), at));
            let answer = known.get(i).unwrap_or(&then).clone();
            // What cannot be gone on from, for want of a variance or at no signal, is asked about first.
            if ahead.supply(answer, &mut noise).is_err() {
                break;
            }
        }
    }

    /// Asks the network, a batch at a time, until the run has ended.
    ///
    /// # Errors
    ///
    /// As [`supply`](Self::supply), or what the network says.
    pub fn sample(
        mut self,
        mut network: impl FnMut(&[(V, Point<T>)]) -> Result<Vec<Prediction<V>>, Error>,
    ) -> Result<V, Error> {
        while !self.asked.is_empty() {
            let answers = network(&self.asked)?;
            self.supply(answers)?;
        }
        Ok(self.into_state())
    }

    /// Ends the run and gives the state.
    pub fn into_state(self) -> V {
        self.run.into_state()
    }

    /// The run as far as its states are right.
    pub fn run(&self) -> &Run<'_, V, T> {
        &self.run
    }

    /// Batches answered: the evaluations one after another.
    pub fn batches(&self) -> usize {
        self.batches
    }

    /// Questions answered in all.
    pub fn evaluations(&self) -> usize {
        self.evaluations
    }
}

/// Whether every item of `x` is within this root mean square of the other.
fn is_near<V: State>(x: &V, other: &V, within: f64) -> Result<bool, Error> {
    let mut off = x.clone();
    off.combine(1.0, &[(-1.0, other)])?;
    let squares = off.dot_items(&off)?;
    let mut sizes = squares.iter().zip(item_sizes(&off)?);
    Ok(sizes.all(|(square, size)| *square <= within * within * size))
}
