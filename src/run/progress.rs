//! What a run has beside its plan.

use std::{collections::VecDeque, fmt::Debug, mem};

use super::{
    checks::{Checks, PREDICTION, finite},
    draws::renoise,
};
use crate::{
    Error, Plan, Prediction, edit::StepEnd, noise::NoiseSource, plan::PlannedStage, solver::Update,
    state::State,
};

/// How far a run has come.
#[derive(Debug, Clone)]
pub(super) struct Progress<V> {
    pub(super) state: V,
    /// The point of an evaluation apart from the state.
    pub(super) trial: Option<V>,
    /// Whether the network is asked there.
    pub(super) at_trial: bool,
    /// Predictions in the basis of their stages, the newest first.
    pub(super) history: VecDeque<V>,
    /// Evaluations done.
    pub(super) done: usize,
    /// Draws of noise made.
    pub(super) draws: u64,
    /// Whether an answer was lost on the way, and the state with it.
    pub(super) lost: bool,
    /// When numbers are checked.
    pub(super) checks: Checks,
    /// State and trial before an answer that may yet fail.
    before: [Option<V>; 2],
}

/// Where an answer is taken.
#[derive(Debug)]
pub(super) struct Here<'a, T> {
    pub(super) planned: &'a PlannedStage<T>,
    /// The stage after it, if the run goes on to that.
    pub(super) next: Option<&'a PlannedStage<T>>,
    /// How many predictions are kept.
    pub(super) memory: usize,
}

// Derived, these would ask the same of `T`.
impl<T> Clone for Here<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Here<'_, T> {}

impl<V: State> Progress<V> {
    pub(super) fn new<T, N>(plan: &Plan<T>, state: V, noise: &mut N) -> Result<Self, Error>
    where
        T: Copy + Debug,
        N: NoiseSource<V> + ?Sized,
    {
        let mut progress = Self::at_start(plan, state)?;
        let first = plan.stages().first();
        renoise(&mut progress.state, first, &mut progress.draws, noise)?;
        Ok(progress)
    }

    /// Before any noise.
    pub(super) fn at_start<T: Copy + Debug>(plan: &Plan<T>, state: V) -> Result<Self, Error> {
        let what = "the start of the run";
        // A tensor of numbers that no state has does not fit itself.
        state.fits(&state).map_err(|error| error.naming(what))?;
        if !state.is_finite() {
            return Err(Error::NotFinite { what, step: 0 });
        }
        Ok(Self {
            state,
            trial: None,
            at_trial: false,
            history: VecDeque::with_capacity(plan.most_kept() + 1),
            done: 0,
            draws: 0,
            lost: false,
            checks: Checks::default(),
            before: [None, None],
        })
    }

    /// What the network is shown next.
    pub(super) fn shown(&self) -> &V {
        match &self.trial {
            Some(trial) if self.at_trial => trial,
            _ => &self.state,
        }
    }

    pub(super) fn into_shown(self) -> V {
        self.trial.filter(|_| self.at_trial).unwrap_or(self.state)
    }

    /// The stage that asks next, unless the run is over.
    pub(super) fn planned<'a, T: Copy + Debug>(
        &self,
        plan: &'a Plan<T>,
    ) -> Option<&'a PlannedStage<T>> {
        plan.stages().get(self.done).filter(|_| !self.lost)
    }

    pub(super) fn here<'a, T: Copy + Debug>(
        &self,
        plan: &'a Plan<T>,
    ) -> Result<Here<'a, T>, Error> {
        Ok(Here {
            planned: self.planned(plan).ok_or(Error::Finished)?,
            next: plan.stages().get(self.done + 1),
            memory: plan.memory(),
        })
    }

    /// Where the run stands.
    pub(super) fn reached<T: Copy + Debug>(&self, plan: &Plan<T>) -> StepEnd {
        match self.planned(plan) {
            Some(planned) => StepEnd {
                step: planned.point.step,
                steps: plan.steps(),
                level: planned.point.level,
            },
            None => StepEnd {
                step: plan.steps(),
                steps: plan.steps(),
                level: plan.end(),
            },
        }
    }

    /// Takes an answer and gives the array that is free, or refuses it and is as it was.
    pub(super) fn supply<T, N>(
        &mut self,
        here: Here<'_, T>,
        answer: Prediction<V>,
        noise: &mut N,
    ) -> Result<Option<V>, Error>
    where
        N: NoiseSource<V> + ?Sized,
    {
        if self.checks.each() {
            finite(answer.value.is_finite(), &here.planned.point)?;
        }
        if let Some(shift) = &answer.shift {
            // Refused now, if of another shape, while nothing has changed.
            self.state
                .fits(shift)
                .map_err(|error| error.naming("the shift of a prediction"))?;
        }
        let kept = here.planned.draws(here.next) && !self.is_direct(here);
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
        let result = self.take(here, answer, noise);
        if kept && result.is_err() {
            let places = [Some(&mut self.state), self.trial.as_mut()];
            for (kept, place) in self.before.iter_mut().zip(places) {
                if let (Some(kept), Some(place)) = (kept, place) {
                    mem::swap(kept, place);
                }
            }
        }
        result
    }

    /// Takes an answer; the run is lost where that fails.
    pub(super) fn advance<T, N>(
        &mut self,
        here: Here<'_, T>,
        answer: Prediction<V>,
        noise: &mut N,
    ) -> Result<Option<V>, Error>
    where
        N: NoiseSource<V> + ?Sized,
    {
        let result = self.take(here, answer, noise);
        self.lost = result.is_err();
        result
    }

    /// Adds a displacement of the data: as the stage that was answered says, or else if it has ended its
    /// step.
    pub(super) fn shift<T>(&mut self, here: Here<'_, T>, shift: &V) -> Result<(), Error> {
        if here.planned.stage.places_shift() {
            return self.place_shift(here, shift);
        }
        let point = &here.planned.point;
        let next = here.next.map(|next| &next.point);
        if next.is_some_and(|next| next.step == point.step) {
            // A slope taken at a displaced point would be one of another equation.
            return Ok(());
        }
        let alpha = next.map_or(point.to.alpha(), |next| next.level.alpha());
        self.change(Some(here.planned), |x| x.combine(1.0, &[(alpha, shift)]))
    }

    fn place_shift<T>(&mut self, here: Here<'_, T>, shift: &V) -> Result<(), Error> {
        let stage = &here.planned.stage;
        let said = |update: Option<&Update>| update.and_then(|u| u.shift).unwrap_or(0.0);
        let in_state = said(stage.commit.as_ref());
        if let (Some(update), Some(trial)) = (&stage.trial, &mut self.trial) {
            // The trial is made from the state.
            let in_trial = update.state * in_state + said(Some(update));
            trial.combine(1.0, &[(in_trial, shift)])?;
        }
        // The state has gone on to what is done before the next evaluation.
        let renoise = here.next.and_then(|next| next.stage.renoise.as_ref());
        let scale = renoise.map_or(1.0, |update| update.state);
        self.state.combine(1.0, &[(in_state * scale, shift)])
    }

    /// Changes what is shown next, after this stage.
    pub(super) fn change<T>(
        &mut self,
        last: Option<&PlannedStage<T>>,
        f: impl FnOnce(&mut V) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let trial = match &mut self.trial {
            Some(trial) if self.at_trial => trial,
            _ => return f(&mut self.state),
        };
        let mut change = trial.clone();
        f(trial)?;
        change.combine(-1.0, &[(1.0, &*trial)])?;
        // What the state would have to be for this to be its trial.
        let scale = last.and_then(|planned| Some(planned.stage.trial.as_ref()?.state));
        if let Some(scale) = scale.filter(|scale| *scale != 0.0) {
            self.state.combine(1.0, &[(scale.recip(), &change)])?;
        }
        Ok(())
    }
}

/// Copies a state into an array that is there already, if one is.
fn keep<V: State>(place: &mut Option<V>, state: &V) -> Result<(), Error> {
    match place {
        Some(copy) => copy.combine(0.0, &[(1.0, state)]),
        None => {
            *place = Some(state.clone());
            Ok(())
        }
    }
}
