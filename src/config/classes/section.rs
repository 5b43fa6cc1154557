//! What a solver of a class is made for.

use crate::{Grid, config::schedule::Timestep, solver::ReverseStep};

pub(super) type Solver = Box<dyn ReverseStep>;

/// The steps that a solver is for, of a list that may begin before them.
pub(in crate::config) struct Section<'a> {
    pub grid: &'a Grid<Timestep>,
    /// Whether the list ends with a step from the last sigma to itself, which no grid has.
    pub empty_step: bool,
    /// Steps of the list before the first of these.
    pub before: usize,
}

impl Section<'_> {
    /// Steps of the whole list.
    pub fn total(&self) -> usize {
        self.before + self.len()
    }

    /// These steps, the empty one included.
    pub fn len(&self) -> usize {
        self.grid.len() + usize::from(self.empty_step)
    }
}
