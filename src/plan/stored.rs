//! A plan as it is read.

use std::fmt::Debug;

use serde::Deserialize;

use super::{Plan, PlannedStage, check_stage};
use crate::{Error, Grid, NoiseLevel, grid::Node};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored<T> {
    name: String,
    levels: Vec<NoiseLevel>,
    stages: Vec<PlannedStage<T>>,
    memory: usize,
}

impl<T: Copy + Debug> TryFrom<Stored<T>> for Plan<T> {
    type Error = Error;

    /// Refuses what no solver could have planned: levels that do not go one way, stages that are not
    /// in the order of the steps, updates that a run could not carry out.
    fn try_from(stored: Stored<T>) -> Result<Self, Error> {
        let Stored {
            name,
            levels,
            stages,
            memory,
        } = stored;
        let (end, visited) = levels
            .split_last()
            .ok_or_else(|| Error::range("number of steps", 0.0, "1 or more"))?;
        let node = |&level: &NoiseLevel| Node { level, time: () };
        Grid::new(visited.iter().map(node).collect(), *end)?;
        if memory == 0 {
            return Err(Error::range("memory", 0.0, "1 or more"));
        }
        let mut before = 0;
        for (index, planned) in stages.iter().enumerate() {
            let at = &planned.point;
            let here = levels.get(at.step).zip(levels.get(at.step + 1));
            if at.step < before || here != Some((&at.from, &at.to)) {
                let allowed = format!("{before} or more, between the levels of the plan");
                return Err(Error::element("steps", index, at.step as f64, allowed));
            }
            before = at.step;
            check_stage(&planned.stage, memory.min(index + 1))?;
        }
        Ok(Self {
            name,
            levels,
            stages,
            memory,
        })
    }
}
