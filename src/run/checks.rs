//! When the numbers of a run are checked, and what is said of those that fail.

use crate::{Error, Point};

/// When a run looks for a NaN or an infinity in what it is answered.
///
/// For an array that costs nothing. A tensor on a device has to be waited for, so that the host falls behind
/// by the time that the network takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checks {
    /// At every evaluation; the error names the step.
    #[default]
    EveryEvaluation,
    /// Of the result alone. What is not finite on the way stays so until then, but where a network or a bound makes a
    /// number of it again.
    AtTheEnd,
}

impl Checks {
    /// Whether answers are looked at.
    pub(super) fn each(self) -> bool {
        self == Self::EveryEvaluation
    }
}

pub(super) const PREDICTION: &str = "the prediction of the network";

pub(super) fn finite<T>(is_finite: bool, point: &Point<T>) -> Result<(), Error> {
    match is_finite {
        true => Ok(()),
        false => Err(Error::NotFinite {
            what: PREDICTION,
            step: point.step,
        }),
    }
}
