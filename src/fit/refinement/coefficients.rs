//! Coefficients brought nearer to the end.

use std::fmt::Debug;

use crate::{
    Denoiser, Error,
    fit::{
        Fit,
        minimum::Problem,
        regression::product,
        stagewise::{Student, add, along},
        walk::{Counted, Walk},
    },
    state::{Kept, State},
};

/// The free coefficients of a plan.
pub(super) struct Coefficients<'a, D: ?Sized> {
    pub fit: &'a Fit,
    pub weights: &'a [f64],
    pub network: Counted<'a, D>,
    pub difference: f64,
    /// Of the next slopes, and of the next move.
    pub questions: (usize, usize),
}

/// A free change of a stage, and what it adds to its result.
struct Change<K> {
    stage: usize,
    direction: Vec<f64>,
    added: K,
}

impl Fit {
    /// What is free of a plan's stages, with what they were made of in this run.
    fn changes<V: State, T: Copy + Debug>(
        &self,
        at: &Student<V, T>,
    ) -> Result<Vec<Change<Kept<V>>>, Error> {
        let mut all = Vec::new();
        for stage in 0..at.plan.stages().len() {
            let features = at.walk.features(stage, self.memory)?;
            for direction in self.directions(features.len() - 1) {
                let added = along(&direction, &features)?;
                all.push(Change {
                    stage,
                    direction,
                    added,
                });
            }
        }
        Ok(all)
    }
}

impl<V, T, D> Problem<V, T> for Coefficients<'_, D>
where
    V: State,
    T: Copy + Debug,
    D: Denoiser<V, T> + ?Sized,
{
    type Point = Student<V, T>;

    fn end<'a>(&self, at: &'a Self::Point) -> Result<&'a Kept<V>, Error> {
        at.walk.last()
    }

    fn slopes(&mut self, at: &Self::Point) -> Result<Vec<Kept<V>>, Error> {
        let mut slopes = Vec::new();
        for Change {
            stage, mut added, ..
        } in self.fit.changes(at)?
        {
            let reached = at.walk.state(stage + 1)?;
            let size = product(reached, reached, self.weights)?;
            let own = product(&added, &added, self.weights)?;
            if stage + 1 < at.plan.stages().len() && own > 0.0 && size > 0.0 {
                let by = self.difference * (size / own).sqrt();
                added.combine(by, &[])?;
                let moved = at
                    .walk
                    .with_change(stage + 1, &added, &at.plan, &mut self.network)?;
                added.combine(0.0, &[(by.recip(), &moved), (-by.recip(), at.walk.last()?)])?;
            }
            slopes.push(added);
        }
        Ok(slopes)
    }

    fn moved(&mut self, at: &Self::Point, by: &[f64]) -> Result<Self::Point, Error> {
        let mut commits = at.plan.commits();
        for (change, by) in self.fit.changes(at)?.iter().zip(by) {
            if let Some(commit) = commits.get_mut(change.stage) {
                add(commit, *by, &change.direction);
            }
        }
        let plan = at.plan.with_commits(at.plan.name().to_owned(), commits)?;
        let start = at.walk.state(0)?.clone();
        Ok(Student {
            walk: Walk::of(&plan, start, &mut self.network)?,
            plan,
            condition: at.condition,
        })
    }

    fn questions(&self) -> (usize, usize, usize) {
        (self.network.evaluations, self.questions.0, self.questions.1)
    }
}
