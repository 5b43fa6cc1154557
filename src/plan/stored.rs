//! A plan as it is read.

use std::fmt::Debug;

use serde::Deserialize;

use super::{Plan, PlannedStage, check_stage};
use crate::{Error, NoiseLevel};

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
        let ends = check_levels(&levels, &stages)?;
        if memory == 0 {
            return Err(Error::range("memory", 0.0, "1 or more"));
        }
        let mut before = 0;
        for (index, planned) in stages.iter().enumerate() {
            let at = &planned.point;
            let here = levels.get(at.step).zip(ends.get(at.step));
            if at.step < before || here != Some((&at.from, &at.to)) {
                let allowed = format!("{before} or more, between the levels of the plan");
                return Err(Error::element("steps", index, at.step as f64, allowed));
            }
            if at.evaluation != index {
                let (found, allowed) = (at.evaluation as f64, format!("{index}, its place"));
                return Err(Error::element("evaluations", index, found, allowed));
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

/// Where each step ends, if the steps go one way: each to the next level, or, where noise takes the
/// state back up before the next one, to a cleaner one.
fn check_levels<T>(
    levels: &[NoiseLevel],
    stages: &[PlannedStage<T>],
) -> Result<Vec<NoiseLevel>, Error> {
    let steps = levels.len().saturating_sub(1);
    if steps == 0 {
        return Err(Error::range("number of steps", 0.0, "1 or more"));
    }
    let mut ends = levels[1..].to_vec();
    let mut renoised = vec![false; steps];
    for planned in stages {
        if let Some(end) = ends.get_mut(planned.point.step) {
            *end = planned.point.to;
        }
        if let Some(renoised) = renoised.get_mut(planned.point.step) {
            *renoised |= planned.stage.renoise.is_some();
        }
    }
    let is_down = levels[0].is_noisier_than(ends[0]);
    for (index, (pair, &end)) in levels.windows(2).zip(&ends).enumerate() {
        let (from, next) = (pair[0], pair[1]);
        let goes_on = match is_down {
            true => from.is_noisier_than(end),
            false => end.is_noisier_than(from),
        };
        let goes_back = is_down
            && next.is_noisier_than(end)
            && renoised.get(index + 1).copied().unwrap_or_default();
        if !(goes_on && (next == end || goes_back)) {
            return Err(Error::NotMonotone {
                what: "grid",
                index: index + 1,
                before: from.log_snr().get(),
                this: next.log_snr().get(),
            });
        }
    }
    Ok(ends)
}
