//! A student's run, with all it can be taken up from.

use std::fmt::Debug;

use super::{lesson::data, suited};
use crate::{
    Denoiser, Error, Plan,
    plan::PlannedStage,
    solver::Update,
    state::{Keeping, Kept, State},
};

/// A run of a table of single updates, with every state and prediction on the way.
#[derive(Clone)]
pub(super) struct Walk<V: State> {
    /// Before each question, and at the end.
    states: Vec<Kept<V>>,
    /// The oldest first.
    predictions: Vec<Kept<V>>,
    /// What the network remembered before each question.
    memories: Vec<Vec<Option<V>>>,
}

impl<V: State> Walk<V> {
    pub(super) fn new(start: Kept<V>) -> Self {
        Self {
            states: vec![start],
            predictions: Vec::new(),
            memories: Vec::new(),
        }
    }

    /// The whole run of a plan.
    pub(super) fn of<T, D>(plan: &Plan<T>, start: Kept<V>, network: &mut D) -> Result<Self, Error>
    where
        T: Copy + Debug,
        D: Denoiser<V, T> + ?Sized,
    {
        network.begin();
        let mut walk = Self::new(start);
        walk.go_on(plan, network)?;
        Ok(walk)
    }

    /// Asks the network at the pending stage, of this plan.
    pub(super) fn ask<T, D>(
        &mut self,
        plan: &str,
        planned: &PlannedStage<T>,
        network: &mut D,
    ) -> Result<(), Error>
    where
        T: Copy + Debug,
        D: Denoiser<V, T> + ?Sized,
    {
        let (at, kept) = (planned.point, self.last()?);
        let memory = network.memory();
        let answer = match V::Keeping::as_shown(kept) {
            Some(x) => network.predict(x, at)?,
            None => network.predict(&V::Keeping::round(kept, None), at)?,
        };
        suited::answer(plan, &answer)?;
        let x0 = data(answer, kept, at.level)?;
        if !x0.is_finite() {
            return Err(Error::NotFinite {
                what: "the prediction of the network",
                step: at.step,
            });
        }
        self.predictions.push(x0);
        self.memories.push(memory);
        Ok(())
    }

    /// What the update of a stage is made of: the state, and up to so many predictions, the newest first.
    pub(super) fn features(&self, stage: usize, most: usize) -> Result<Vec<&Kept<V>>, Error> {
        let asked = self.predictions.get(..=stage).unwrap_or_default();
        let newest = asked.iter().rev().take(most);
        Ok([self.state(stage)?].into_iter().chain(newest).collect())
    }

    /// What an update makes of the state.
    pub(super) fn updated(&self, update: &Update) -> Result<Kept<V>, Error> {
        let mut x = self.last()?.clone();
        let newest = self.predictions.iter().rev();
        let terms: Vec<_> = update.model.iter().copied().zip(newest).collect();
        x.combine(update.state, &terms)?;
        Ok(x)
    }

    pub(super) fn push(&mut self, state: Kept<V>) {
        self.states.push(state);
    }

    /// The part before this question, which is pending then.
    fn cut(&self, question: usize) -> Self {
        let first = |count: usize| 0..count.min(self.predictions.len());
        Self {
            states: self.states.iter().take(question + 1).cloned().collect(),
            predictions: self.predictions[first(question)].to_vec(),
            memories: self.memories[first(question)].to_vec(),
        }
    }

    /// Where the run ends with a change of the state before this question.
    pub(super) fn with_change<T, D>(
        &self,
        question: usize,
        change: &Kept<V>,
        plan: &Plan<T>,
        network: &mut D,
    ) -> Result<Kept<V>, Error>
    where
        T: Copy + Debug,
        D: Denoiser<V, T> + ?Sized,
    {
        let mut walk = self.cut(question);
        if let Some(x) = walk.states.last_mut() {
            x.combine(1.0, &[(1.0, change)])?;
        }
        if let Some(memory) = self.memories.get(question) {
            network.set_memory(memory.clone())?;
        }
        walk.go_on(plan, network)?;
        Ok(walk.last()?.clone())
    }

    /// Goes the rest of the way.
    fn go_on<T, D>(&mut self, plan: &Plan<T>, network: &mut D) -> Result<(), Error>
    where
        T: Copy + Debug,
        D: Denoiser<V, T> + ?Sized,
    {
        for planned in plan.stages().iter().skip(self.predictions.len()) {
            self.ask(plan.name(), planned, network)?;
            if let Some(commit) = &planned.stage.commit {
                let next = self.updated(commit)?;
                self.states.push(next);
            }
        }
        Ok(())
    }

    /// The state before this question; the end comes after the last.
    pub(super) fn state(&self, question: usize) -> Result<&Kept<V>, Error> {
        self.states.get(question).ok_or(Error::Finished)
    }

    /// The newest state.
    pub(super) fn last(&self) -> Result<&Kept<V>, Error> {
        self.states.last().ok_or(Error::Finished)
    }
}

/// A network whose questions are counted.
pub(super) struct Counted<'n, D: ?Sized> {
    pub network: &'n mut D,
    pub evaluations: usize,
}

impl<'n, D: ?Sized> Counted<'n, D> {
    pub(super) fn new(network: &'n mut D) -> Self {
        Self {
            network,
            evaluations: 0,
        }
    }
}

impl<V, T, D: Denoiser<V, T> + ?Sized> Denoiser<V, T> for Counted<'_, D> {
    fn predict(&mut self, x: &V, at: crate::Point<T>) -> Result<crate::Prediction<V>, Error> {
        self.evaluations += 1;
        self.network.predict(x, at)
    }

    fn begin(&mut self) {
        self.network.begin();
    }

    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<V>)) {
        self.network.visit_memory(visit);
    }
}
