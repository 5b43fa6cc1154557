//! What can be taught, and by whom.

use std::fmt::Debug;

use crate::{
    Error, Parameterization, Plan, Prediction,
    noise::{Interval, NoiseSource, Scale},
};

/// Refuses a plan that no run can be repeated of without its noise, or that goes up.
pub(super) fn as_teacher<T: Copy + Debug>(plan: &Plan<T>) -> Result<(), Error> {
    let draws = plan.stages().iter().any(|planned| {
        let stage = &planned.stage;
        let updates = [&stage.renoise, &stage.commit, &stage.trial];
        updates
            .into_iter()
            .flatten()
            .any(|update| update.noise.draws())
    });
    if draws {
        return Err(unsuited(plan.name(), "draws noise", "a run without noise"));
    }
    match plan.levels() {
        [first, second, ..] if first.is_noisier_than(*second) => Ok(()),
        _ => Err(unsuited(plan.name(), "goes up", "a run that goes down")),
    }
}

/// Refuses a plan whose every step is not one update by predictions of the data.
pub(super) fn as_base<T: Copy + Debug>(plan: &Plan<T>) -> Result<(), Error> {
    as_teacher(plan)?;
    const ALLOWED: &str = "one evaluation a step and one update by predictions of the data";
    let refuse = |found| Err(unsuited(plan.name(), found, ALLOWED));
    for (index, planned) in plan.stages().iter().enumerate() {
        let stage = &planned.stage;
        if stage.trial.is_some() {
            return refuse("has trial points");
        }
        if planned.point.step != index {
            return refuse("has steps of several evaluations");
        }
        if stage.renoise.is_some() {
            return refuse("changes the state before a question");
        }
        let Some(commit) = &stage.commit else {
            return refuse("has evaluations without an update");
        };
        if commit.shift.is_some() {
            return refuse("displaces the data");
        }
        match stage.basis {
            Parameterization::X0 => {}
            Parameterization::Noise => return refuse("takes predictions of the noise"),
            Parameterization::Flow => return refuse("takes predictions of the flow"),
            _ => return refuse("takes other predictions"),
        }
    }
    match plan.stages().len() == plan.steps() {
        true => Ok(()),
        false => refuse("has steps without an evaluation"),
    }
}

/// Refuses an answer that a table of coefficients cannot hold all of.
pub(super) fn answer<V>(plan: &str, answer: &Prediction<V>) -> Result<(), Error> {
    match answer.shift {
        None => Ok(()),
        Some(_) => Err(unsuited(
            plan,
            "has a network that displaces the data",
            "answers without a displacement",
        )),
    }
}

pub(super) fn unsuited(plan: &str, found: &'static str, allowed: &'static str) -> Error {
    Error::Unsuited {
        plan: plan.to_owned(),
        found,
        allowed,
    }
}

/// Where no noise is drawn.
pub(super) struct NoNoise;

impl<V> NoiseSource<V> for NoNoise {
    fn add(&mut self, _: &mut V, _: Scale<'_, V>, _: Option<Interval>) -> Result<(), Error> {
        Err(Error::Missing {
            what: "a source of noise",
            needed_by: "a plan that draws noise",
        })
    }
}
