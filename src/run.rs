//! The one loop, turned inside out.

mod answer;
mod checks;
mod controller;
mod dpm_adaptive;
mod draws;
mod drive;
mod lent;
mod observation;
mod picard;
mod progress;
mod sampling;
mod saved;
mod start;

use std::fmt::{self, Debug};

use lent::Lent;
use progress::Progress;

use crate::{
    Error, Point, Prediction,
    edit::Edit,
    noise::NoiseSource,
    state::{Keeping, Kept, State},
};

pub use checks::Checks;
pub use dpm_adaptive::{DpmAdaptive, DpmAdaptiveReport};
pub use observation::Observation;
pub use picard::ParallelRun;
#[cfg(feature = "serde")]
pub(crate) use sampling::{start_like, start_of};
pub use saved::SavedRun;

/// One run of a plan: it asks, and is answered, until it has ended.
///
/// [`Plan::sample`](crate::Plan::sample) is a loop over this. Drive it yourself from a server, a user interface or an
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
///
/// What it makes step by step it keeps in a type whose roundings do not add up ([`Kept`]): arrays of half
/// precision as f32, of which the network is shown the nearest, and all others as they are.
#[derive(Clone)]
pub struct Run<'p, V: State, T> {
    plan: Lent<'p, T>,
    progress: Progress<Kept<V>>,
    /// What the network is shown, where it is not what is kept.
    shown: Option<V>,
    /// A place for the next answer, likewise.
    spare: Option<Kept<V>>,
}

// Derived, this would not ask it of what is kept.
impl<V: State + Debug, T: Debug> Debug for Run<'_, V, T>
where
    Kept<V>: Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("plan", &self.plan)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

impl<'p, V: State, T: Copy + Debug> Run<'p, V, T> {
    fn new<N>(plan: Lent<'p, T>, state: V, noise: &mut N) -> Result<Self, Error>
    where
        N: NoiseSource<Kept<V>> + ?Sized,
    {
        Self::of_kept(plan, V::Keeping::keep(state, None).0, noise)
    }

    fn of_kept<N>(plan: Lent<'p, T>, state: Kept<V>, noise: &mut N) -> Result<Self, Error>
    where
        N: NoiseSource<Kept<V>> + ?Sized,
    {
        let progress = Progress::new(&plan, state, noise)?;
        Ok(Self::at(plan, progress))
    }

    fn at(plan: Lent<'p, T>, progress: Progress<Kept<V>>) -> Self {
        let mut run = Self {
            plan,
            progress,
            shown: None,
            spare: None,
        };
        run.show();
        run
    }

    /// Rounds what the network is shown, where it is not what is kept.
    fn show(&mut self) {
        let kept = self.progress.shown();
        if V::Keeping::as_shown(kept).is_none() {
            self.shown = Some(V::Keeping::round(kept, self.shown.take()));
        }
    }

    /// When answers are checked for a NaN or an infinity: at every evaluation unless said otherwise.
    ///
    /// ```
    /// use gaussian_diffusion::{Checks, Point, Sampler, SeededNoise, Step, predicts, schedule::Discrete};
    /// use ndarray::Array1;
    /// let plan = Sampler::from_name("DDIM")?.plan(&Discrete::stable_diffusion()?, 4)?;
    /// let mut net = predicts::noise(|x: &Array1<f32>, _: Point<Step>| x * f32::NAN);
    /// let mut noise = SeededNoise::new(1);
    /// let run = plan.start_from(plan.prior(2, &mut noise)?, &mut noise)?;
    /// let error = run.with_checks(Checks::AtTheEnd).sample(&mut net, &mut noise).unwrap_err();
    /// assert_eq!(error.to_string(), "the result of the run holds a NaN or an infinity at step 3");
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[must_use]
    pub fn with_checks(mut self, checks: Checks) -> Self {
        self.progress.checks = checks;
        self
    }

    /// What the network is asked next: a state and what to tell it; `None` when the run has ended.
    pub fn pending(&self) -> Option<(&V, Point<T>)> {
        let planned = self.progress.planned(&self.plan)?;
        let shown = V::Keeping::as_shown(self.progress.shown());
        Some((shown.or(self.shown.as_ref())?, planned.point))
    }

    /// An answer as it is kept, and what is free then.
    fn keep(&mut self, answer: Prediction<V>) -> (Prediction<Kept<V>>, Option<V>) {
        let (mut value, free) = V::Keeping::keep(answer.value, self.spare.take());
        let state = &self.progress.state;
        V::Keeping::answer(&mut value, state);
        let keep = |x| {
            let mut kept = V::Keeping::keep(x, None).0;
            V::Keeping::answer(&mut kept, state);
            kept
        };
        let kept = Prediction {
            value,
            parameterization: answer.parameterization,
            variance: answer.variance.map(keep),
            shift: answer.shift.map(keep),
            data: None,
        };
        (kept, free)
    }

    /// What has become free, of the type that is shown; the next answer is kept in any other.
    fn free(&mut self, kept: Option<Kept<V>>) -> Option<V> {
        match V::Keeping::into_shown(kept?) {
            Ok(free) => Some(free),
            Err(spare) => {
                self.spare = Some(spare);
                None
            }
        }
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
        N: NoiseSource<Kept<V>> + ?Sized,
    {
        let (answer, _) = self.keep(answer);
        let here = self.progress.here(&self.plan)?;
        let free = self.progress.supply(here, answer, noise)?;
        self.free(free);
        self.show();
        Ok(())
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
        N: NoiseSource<Kept<V>> + ?Sized,
    {
        self.take(answer, noise, false)
    }

    /// The same, without the noise before the next question where the run is to end here.
    fn take<N>(
        &mut self,
        answer: Prediction<V>,
        noise: &mut N,
        ends: bool,
    ) -> Result<Option<V>, Error>
    where
        N: NoiseSource<Kept<V>> + ?Sized,
    {
        let (answer, free) = self.keep(answer);
        let mut here = self.progress.here(&self.plan)?;
        here.next = here.next.filter(|_| !ends);
        let taken = self.progress.advance(here, answer, noise)?;
        let taken = self.free(taken);
        self.show();
        Ok(free.or(taken))
    }

    /// Changes what the network is shown next, or the result where the run has ended. What comes out as it
    /// was shown stays as it is kept.
    ///
    /// Where that is the guess of a predictor-corrector, its correction gets the same change.
    ///
    /// # Errors
    ///
    /// If the edit fails or leaves a NaN or an infinity.
    pub fn edit<E: Edit<V> + ?Sized>(&mut self, edit: &mut E) -> Result<(), Error> {
        let reached = self.progress.reached(&self.plan);
        let last = self.progress.done.checked_sub(1);
        let last = last.and_then(|last| self.plan.stages().get(last));
        let edit = |x: &mut Kept<V>| V::Keeping::change(x, |x| edit.edit(x, reached));
        let changed = self.progress.change(last, edit);
        self.show();
        changed?;
        if !self.progress.checks.each() || self.progress.shown().is_finite() {
            return Ok(());
        }
        Err(Error::NotFinite {
            what: "the edited state",
            step: reached.step,
        })
    }

    /// The state as it stands, and is kept; where a trial point is pending, what that was made of.
    pub fn state(&self) -> &Kept<V> {
        &self.progress.state
    }

    /// Ends the run and gives the state.
    pub fn into_state(self) -> V {
        V::Keeping::into_shown(self.progress.state)
            .unwrap_or_else(|kept| V::Keeping::round(&kept, self.shown))
    }

    /// Ends the run and gives what the network would be shown next.
    pub(crate) fn into_shown(self) -> V {
        let shown = self.progress.into_shown();
        V::Keeping::into_shown(shown).unwrap_or_else(|kept| V::Keeping::round(&kept, self.shown))
    }

    /// What the network is shown next, as it is kept.
    pub(crate) fn shown_kept(&self) -> &Kept<V> {
        self.progress.shown()
    }

    /// Ends the run and gives the state as it is kept.
    pub(crate) fn into_kept(self) -> Kept<V> {
        self.progress.state
    }

    /// The predictions kept for later steps, the newest first, each in the basis of its stage.
    pub fn predictions(&self) -> impl Iterator<Item = &Kept<V>> {
        self.progress.history.iter()
    }

    /// Number of evaluations done.
    pub fn evaluations_done(&self) -> usize {
        self.progress.done
    }

    /// Number of predictions kept for later steps: never more than the memory of the plan.
    pub fn predictions_kept(&self) -> usize {
        self.progress.history.len()
    }

    /// Number of draws of noise made, since the run began.
    pub fn draws(&self) -> u64 {
        self.progress.draws
    }
}
