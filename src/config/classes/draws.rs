//! Draws of diffusers of which its steps make nothing.

use super::section::{Section, Solver};
use crate::{
    Error,
    solver::{Path, ReverseStep, Stage},
};

/// Where the steps of a class draw noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Draws {
    /// Where they add some.
    Needed,
    /// Once in every step, also where the deviation is 0.
    EveryStep,
    /// The same, but for step 0 of the training.
    AboveStep0,
    /// Twice in all steps but the first and the last of the list: the first of the two is for a step that is not
    /// taken.
    TwiceWithin,
}

impl Draws {
    /// This solver with the draws of which nothing is made.
    pub fn made_by(self, solver: Solver, section: &Section<'_>) -> Solver {
        if self == Self::Needed {
            return solver;
        }
        let times = section.grid.nodes().iter().map(|node| node.time.0);
        Box::new(Drawing {
            solver,
            draws: self,
            first_at_0: times.take_while(|t| *t > 0.0).count(),
            last: section.len() - 1,
        })
    }
}

struct Drawing {
    solver: Solver,
    draws: Draws,
    /// The step that leaves training step 0.
    first_at_0: usize,
    /// The last step of the list, which the grid may lack.
    last: usize,
}

impl ReverseStep for Drawing {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let mut stages = self.solver.stages(path)?;
        let adds = stages.iter().any(Stage::draws);
        let discards = match self.draws {
            Draws::Needed => false,
            Draws::EveryStep => !adds,
            Draws::AboveStep0 => !adds && path.index() < self.first_at_0,
            Draws::TwiceWithin => !adds || (1..self.last).contains(&path.index()),
        };
        if discards && let Some(first) = stages.first_mut() {
            first.discards = true;
        }
        Ok(stages)
    }

    fn name(&self) -> &str {
        self.solver.name()
    }

    fn memory(&self) -> usize {
        self.solver.memory()
    }
}
