//! What an answer does to a run.

use std::mem;

use smallvec::{SmallVec, smallvec};

use super::{
    checks::{PREDICTION, finite},
    draws::{count, deviation, renoise, scale, sweep},
    progress::{Here, Progress},
};
use crate::{
    Error, LinearMap, Prediction, UpdateNoise,
    noise::NoiseSource,
    plan::PlannedStage,
    solver::Update,
    state::{Assignment, State},
};

impl<V: State> Progress<V> {
    /// Takes the run on. Where that fails, the history is as it was, and so is the state if the solver
    /// keeps no more than the answer; a state that is combined with other predictions may have changed.
    pub(super) fn take<T, N>(
        &mut self,
        here: Here<'_, T>,
        answer: Prediction<V>,
        noise: &mut N,
    ) -> Result<Option<V>, Error>
    where
        N: NoiseSource<V> + ?Sized,
    {
        let (stage, point) = (&here.planned.stage, &here.planned.point);
        let Prediction {
            value,
            parameterization,
            variance,
            shift,
            ..
        } = answer;
        if self.checks.each() {
            let extras = [variance.as_ref(), shift.as_ref()];
            finite(extras.into_iter().flatten().all(State::is_finite), point)?;
        }
        if shift.is_none() && stage.places_shift() {
            return Err(Error::Missing {
                what: "the displacement of a prediction, as guidance::CfgPlusPlus gives it,",
                needed_by: "a solver of the CFG++ family",
            });
        }
        let std = match &stage.commit {
            Some(commit) => {
                deviation(commit.noise, variance, &self.state, point.step, self.checks)?
            }
            None => None,
        };
        let map = parameterization.to(stage.basis, point.level)?;
        let same = parameterization == stage.basis;
        if stage.discards {
            // Of an answer that is refused nothing is drawn.
            self.state
                .fits(&value)
                .map_err(|error| error.naming(PREDICTION))?;
            noise.discard(&self.state)?;
        }
        let free = if self.is_direct(here) {
            self.direct(here, value, map, std.as_ref(), noise)?
        } else {
            self.keeping(here, value, (!same).then_some(map), std.as_ref(), noise)?
        };
        self.done += 1;
        if let Some(shift) = &shift {
            self.shift(here, shift)?;
        }
        if here.next.is_none() && !self.checks.each() && !self.state.is_finite() {
            let (what, step) = ("the result of the run", point.step);
            return Err(Error::NotFinite { what, step });
        }
        Ok(free)
    }

    /// Whether nothing but the new state is made of the answer.
    pub(super) fn is_direct<T>(&self, here: Here<'_, T>) -> bool {
        here.memory == 1 && !self.at_trial && here.planned.stage.trial.is_none()
    }

    /// The new state, written over the answer: the conversion joins the update, the answer is read
    /// once, and the old state stands until all has gone well.
    fn direct<T, N>(
        &mut self,
        here: Here<'_, T>,
        mut value: V,
        map: LinearMap,
        std: Option<&V>,
        noise: &mut N,
    ) -> Result<Option<V>, Error>
    where
        N: NoiseSource<V> + ?Sized,
    {
        let planned = here.planned;
        let (own, newest, drawn) = match &planned.stage.commit {
            Some(commit) => {
                let newest = commit.model.first().copied().unwrap_or(0.0);
                (commit.state, newest, commit.noise)
            }
            None => (1.0, 0.0, UpdateNoise::NONE),
        };
        let scale = scale(drawn, std)?;
        let terms = [(own + newest * map.state, 1)];
        let assignment = Assignment::new(0, newest * map.prediction, &terms);
        let assignment = assignment
            .with_noise(scale.is_some())
            .watched(self.checks.each());
        let (states, fixed) = (&mut [&mut value], &[&self.state]);
        let is_finite = sweep(states, fixed, &[assignment], scale, planned, noise)
            .map_err(|error| error.turned().naming(PREDICTION))?;
        finite(is_finite, &planned.point)?;
        count(&mut self.draws, scale.is_some());
        renoise(&mut value, here.next, &mut self.draws, noise)?;
        Ok(Some(mem::replace(&mut self.state, value)))
    }

    /// The new state and the point of the next evaluation, made of the answer, which is kept.
    fn keeping<T, N>(
        &mut self,
        here: Here<'_, T>,
        mut value: V,
        map: Option<LinearMap>,
        std: Option<&V>,
        noise: &mut N,
    ) -> Result<Option<V>, Error>
    where
        N: NoiseSource<V> + ?Sized,
    {
        self.combine(&mut value, map, std, here.planned, noise)?;
        renoise(&mut self.state, here.next, &mut self.draws, noise)?;
        self.at_trial = here.planned.stage.trial.is_some();
        self.history.push_front(value);
        let full = self.history.len() > here.memory;
        Ok(if full { self.history.pop_back() } else { None })
    }

    /// In one pass: the answer in the terms of the solver, the new state, the point of the next
    /// evaluation.
    fn combine<T, N>(
        &mut self,
        value: &mut V,
        map: Option<LinearMap>,
        std: Option<&V>,
        planned: &PlannedStage<T>,
        noise: &mut N,
    ) -> Result<(), Error>
    where
        N: NoiseSource<V> + ?Sized,
    {
        const VALUE: usize = 0;
        const STATE: usize = 1;
        const TRIAL: usize = 2;
        let (commit, trial) = (&planned.stage.commit, &planned.stage.trial);
        if self.trial.is_none() && trial.is_some() {
            self.trial = Some(self.state.clone());
        }
        let seen = if self.at_trial { TRIAL } else { STATE };
        let mut states: SmallVec<[&mut V; 3]> = smallvec![value, &mut self.state];
        states.extend(self.trial.as_mut());
        let kept: SmallVec<[&V; 8]> = self.history.iter().collect();

        let first_kept = states.len();
        let terms = |update: &Update, own: Option<(f64, usize)>| {
            let place = |i: usize| i.checked_sub(1).map_or(VALUE, |i| first_kept + i);
            let model = update.model.iter().take(kept.len() + 1).enumerate();
            // Some that are kept are not used.
            let model = model.filter(|(i, c)| *i == 0 || **c != 0.0);
            let model = model.map(|(i, c)| (*c, place(i)));
            own.into_iter().chain(model).collect::<SmallVec<[_; 6]>>()
        };
        let of_map = map.map(|map| (map.prediction, [(map.state, seen)]));
        let of_commit = commit.as_ref().map(|update| terms(update, None));
        let of_trial = trial
            .as_ref()
            .map(|update| terms(update, Some((update.state, STATE))));

        let drawn =
            |update: &Option<Update>| update.as_ref().map_or(UpdateNoise::NONE, |u| u.noise);
        let scales = [scale(drawn(commit), std)?, scale(drawn(trial), None)?];
        let noisy = scales.map(|scale| scale.is_some());
        let watched = self.checks.each();
        let mut first: SmallVec<[Assignment<'_>; 3]> = SmallVec::new();
        if let Some((own, terms)) = &of_map {
            first.push(Assignment::new(VALUE, *own, terms));
        }
        if let (Some(update), Some(terms)) = (commit, &of_commit) {
            first.push(Assignment::new(STATE, update.state, terms).with_noise(noisy[0]));
        }
        if !watched {
            first.iter_mut().for_each(|sum| sum.watched = false);
        }
        // A trial with noise of its own is a second draw.
        let mut second: SmallVec<[Assignment<'_>; 1]> = SmallVec::new();
        if let Some(terms) = &of_trial {
            let trial = Assignment::new(TRIAL, 0.0, terms)
                .with_noise(noisy[1])
                .watched(watched);
            match noisy[1] {
                true => second.push(trial),
                false => first.push(trial),
            }
        }
        let misshapen = |error: Error| match map {
            Some(_) => error.turned().naming(PREDICTION),
            None => error.naming(PREDICTION),
        };
        let is_finite =
            sweep(&mut states, &kept, &first, scales[0], planned, noise).map_err(misshapen)?;
        count(&mut self.draws, noisy[0]);
        finite(is_finite, &planned.point)?;
        if !second.is_empty() {
            sweep(&mut states, &kept, &second, scales[1], planned, noise).map_err(misshapen)?;
            count(&mut self.draws, true);
        }
        Ok(())
    }
}
