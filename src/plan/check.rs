//! What a plan refuses of a solver.

use crate::{
    Error, UpdateNoise,
    solver::{Stage, Update},
};

/// Refuses a stage that a run with this many predictions could not carry out.
pub(super) fn check_stage(stage: &Stage, predictions: usize) -> Result<(), Error> {
    let updates = [
        (&stage.renoise, 0, false),
        (&stage.commit, predictions, true),
        (&stage.trial, predictions, false),
    ];
    for (update, predictions, may_learn) in updates {
        let Some(Update {
            state,
            model,
            shift,
            noise,
        }) = update
        else {
            continue;
        };
        if model.len() > predictions {
            return Err(Error::range(
                "number of predictions in an update",
                model.len() as f64,
                format!("0 to {predictions}, those that are kept"),
            ));
        }
        let mut numbers = model.iter().chain([state]).chain(shift);
        if let Some(bad) = numbers.find(|number| !number.is_finite()) {
            return Err(Error::range(
                "coefficient of an update",
                *bad,
                "a finite number",
            ));
        }
        match noise {
            UpdateNoise::Std(std) if !(*std >= 0.0 && std.is_finite()) => {
                let allowed = "a finite number from 0 on";
                return Err(Error::range("deviation of an update", *std, allowed));
            }
            UpdateNoise::Learned | UpdateNoise::LearnedRange { .. } if !may_learn => {
                return Err(Error::Missing {
                    what: "the variance of a prediction",
                    needed_by: "noise outside the commit of a stage",
                });
            }
            _ => {}
        }
    }
    Ok(())
}
