//! The one loop, turned inside out.

mod answer;

use std::{collections::VecDeque, fmt::Debug, mem};

use answer::{PREDICTION, finite, keep, renoise};

use crate::{
    Edit, Error, NoiseLevel, Plan, Point, Prediction, StepEnd, noise::NoiseSource,
    plan::PlannedStage, state::State,
};

/// One run of a plan: it asks, and is answered, until it has ended.
///
/// [`Plan::sample`] is a loop over this. Drive it yourself from a server, a user interface or an
/// asynchronous runtime; a run owns its state and nothing else, and plans are shared.
///
/// ```
/// use gaussian_diffusion::{Grid, SeededNoise, Plan, Prediction, schedule::Discrete, solver::Ddim};
/// use ndarray::Array2;
/// let schedule = Discrete::cosine(1000)?;
/// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 4)?, &Ddim::default())?;
/// let mut noise = SeededNoise::new(1);
/// let start: Array2<f32> = plan.prior((2, 3), &mut noise)?;
/// let mut run = plan.start_from(start, &mut noise)?;
/// while let Some((x, at)) = run.pending() {
///     let answer = Prediction::noise(x.mapv(|x| 0.1 * x));
///     println!("step {} of {}, given {:?}", at.step, plan.steps(), at.time);
///     run.supply(answer, &mut noise)?;
/// }
/// assert_eq!(run.into_state().dim(), (2, 3));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Run<'p, V, T> {
    plan: &'p Plan<T>,
    state: V,
    /// The point of an evaluation apart from the state.
    trial: Option<V>,
    /// Whether the network is asked there.
    at_trial: bool,
    /// Predictions in the basis of their stages, the newest first.
    history: VecDeque<V>,
    /// Evaluations done.
    done: usize,
    /// Whether an answer was lost on the way, and the state with it.
    lost: bool,
    /// State and trial before an answer that may yet fail.
    before: [Option<V>; 2],
}

impl<'p, V: State, T: Copy + Debug> Run<'p, V, T> {
    pub(crate) fn new<N>(plan: &'p Plan<T>, state: V, noise: &mut N) -> Result<Self, Error>
    where
        N: NoiseSource<V> + ?Sized,
    {
        if !state.is_finite() {
            return Err(Error::NotFinite {
                what: "the start of the run",
                step: 0,
            });
        }
        let mut state = state;
        renoise(&mut state, plan.stages().first(), noise)?;
        Ok(Self {
            plan,
            state,
            trial: None,
            at_trial: false,
            // No run keeps more than it asks for.
            history: VecDeque::with_capacity(plan.memory().min(plan.evaluations()) + 1),
            done: 0,
            lost: false,
            before: [None, None],
        })
    }

    /// What the network is asked next: a state and what to tell it; `None` when the run has ended.
    pub fn pending(&self) -> Option<(&V, Point<T>)> {
        let planned = self.planned()?;
        Some((self.shown(), planned.point))
    }

    /// Answers the pending question and takes the run to the next one.
    ///
    /// # Errors
    ///
    /// If none is pending; if the answer has another shape, a NaN or an infinity, or lacks a variance
    /// that the plan needs, or does not determine what the solver works with at this level; or if the
    /// noise source fails. The run then stands where it stood and can be answered again.
    pub fn supply<N>(&mut self, answer: Prediction<V>, noise: &mut N) -> Result<(), Error>
    where
        N: NoiseSource<V> + ?Sized,
    {
        let planned = self.planned().ok_or(Error::Finished)?;
        let point = &planned.point;
        finite(answer.value.is_finite(), point)?;
        if let Some(shift) = &answer.shift {
            // Refused now, if of another shape, while nothing has changed.
            self.state
                .fits(shift)
                .map_err(|error| error.naming("the shift of a prediction"))?;
        }
        let kept = planned.draws(self.next()) && !self.is_direct(planned);
        if kept {
            // A source that draws between two combinations would have drawn before the second refuses.
            self.state
                .fits(&answer.value)
                .map_err(|error| error.naming(PREDICTION))?;
            keep(&mut self.before[0], &self.state)?;
            if let Some(trial) = &self.trial {
                keep(&mut self.before[1], trial)?;
            }
        }
        let result = self.take(answer, noise);
        if kept && result.is_err() {
            let places = [Some(&mut self.state), self.trial.as_mut()];
            for (kept, place) in self.before.iter_mut().zip(places) {
                if let (Some(kept), Some(place)) = (kept, place) {
                    mem::swap(kept, place);
                }
            }
        }
        result.map(|_| ())
    }

    /// The same for a loop that ends with the first error: it reads the answer once less, and gives the
    /// array that has become free, into which the next answer can be written.
    ///
    /// The first answers of a solver that keeps some give none back: they are kept.
    ///
    /// ```
    /// use gaussian_diffusion::{SeededNoise, Prediction, Sampler, schedule::Discrete};
    /// use ndarray::Array2;
    /// let schedule = Discrete::stable_diffusion()?;
    /// let plan = Sampler::from_name("DPM++ 2M Karras")?.plan(&schedule, 8)?;
    /// let mut noise = SeededNoise::new(1);
    /// let start: Array2<f32> = plan.prior((2, 3), &mut noise)?;
    /// let mut run = plan.start_from(start, &mut noise)?;
    /// let (mut free, mut made) = (None, 0);
    /// while let Some((x, at)) = run.pending() {
    ///     let mut answer = free.take().unwrap_or_else(|| {
    ///         made += 1;
    ///         x.clone()
    ///     });
    ///     answer.zip_mut_with(x, |answer, x| *answer = 0.1 * x); // the network writes its answer
    ///     free = run.advance(Prediction::noise(answer), &mut noise)?;
    /// }
    /// assert_eq!(made, 3);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`supply`](Self::supply). The run is then lost: it asks nothing more.
    pub fn advance<N>(&mut self, answer: Prediction<V>, noise: &mut N) -> Result<Option<V>, Error>
    where
        N: NoiseSource<V> + ?Sized,
    {
        let result = self.take(answer, noise);
        self.lost = result.is_err();
        result
    }

    /// Changes what the network is shown next, or the result where the run has ended.
    ///
    /// Where that is the guess of a predictor-corrector, its correction gets the same change.
    ///
    /// # Errors
    ///
    /// If the edit fails or leaves a NaN or an infinity.
    pub fn edit<E: Edit<V> + ?Sized>(&mut self, edit: &mut E) -> Result<(), Error> {
        let end = self.plan.levels().last().copied();
        let next = self.planned().map(|planned| &planned.point);
        let reached = StepEnd {
            step: next.map_or(self.plan.steps(), |point| point.step),
            level: next.map_or(end.unwrap_or(NoiseLevel::CLEAN), |point| point.level),
        };
        self.change(|x| edit.edit(x, reached))?;
        if self.shown().is_finite() {
            return Ok(());
        }
        Err(Error::NotFinite {
            what: "the edited state",
            step: reached.step,
        })
    }

    /// Adds a displacement of the data, if the stage that asked at `point` has ended its step.
    fn shift(&mut self, shift: &V, point: &Point<T>) -> Result<(), Error> {
        let next = self.planned().map(|planned| &planned.point);
        if next.is_some_and(|next| next.step == point.step) {
            // A slope taken at a displaced point would be one of another equation.
            return Ok(());
        }
        let alpha = next.map_or(point.to.alpha(), |next| next.level.alpha());
        self.change(|x| x.combine(1.0, &[(alpha, shift)]))
    }

    fn change(&mut self, f: impl FnOnce(&mut V) -> Result<(), Error>) -> Result<(), Error> {
        let trial = match &mut self.trial {
            Some(trial) if self.at_trial => trial,
            _ => return f(&mut self.state),
        };
        let mut change = trial.clone();
        f(trial)?;
        change.combine(-1.0, &[(1.0, &*trial)])?;
        // What the state would have to be for this to be its trial.
        let last = self.done.checked_sub(1);
        let last = last.and_then(|i| self.plan.stages().get(i));
        let scale = last.and_then(|planned| Some(planned.stage.trial.as_ref()?.state));
        if let Some(scale) = scale.filter(|scale| *scale != 0.0) {
            self.state.combine(1.0, &[(scale.recip(), &change)])?;
        }
        Ok(())
    }

    /// The state as it stands.
    pub fn state(&self) -> &V {
        &self.state
    }

    /// Ends the run and gives the state.
    pub fn into_state(self) -> V {
        self.state
    }

    /// The predictions kept for later steps, the newest first, each in the basis of its stage.
    pub fn predictions(&self) -> impl Iterator<Item = &V> {
        self.history.iter()
    }

    /// Number of evaluations done.
    pub fn evaluations_done(&self) -> usize {
        self.done
    }

    /// Number of predictions kept for later steps: never more than the memory of the plan.
    pub fn predictions_kept(&self) -> usize {
        self.history.len()
    }

    fn planned(&self) -> Option<&'p PlannedStage<T>> {
        self.plan.stages().get(self.done).filter(|_| !self.lost)
    }

    fn next(&self) -> Option<&'p PlannedStage<T>> {
        self.plan.stages().get(self.done + 1)
    }

    /// What the network is shown next.
    fn shown(&self) -> &V {
        match &self.trial {
            Some(trial) if self.at_trial => trial,
            _ => &self.state,
        }
    }
}
