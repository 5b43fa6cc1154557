//! What can go wrong, in one enum.

use std::{borrow::Cow, error, fmt, sync::Arc};

/// Everything this crate refuses, with the thing, the value and what is allowed.
///
/// ```
/// use gaussian_diffusion::schedule::Discrete;
/// let error = Discrete::linear(1000, 1e-4, 1.5).unwrap_err();
/// assert_eq!(error.to_string(), "betas[666] is 1.0000333333333333, allowed: 1e-300 to below 1");
/// ```
///
/// A number is written in full where that is short, and with an exponent where it is not.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// A number that is NaN, infinite or outside its range.
    OutOfRange {
        /// What was given.
        what: &'static str,
        /// The number given.
        value: f64,
        /// What would have been accepted.
        allowed: Cow<'static, str>,
    },
    /// A number of a list that is NaN, infinite or outside its range.
    ElementOutOfRange {
        /// What was given.
        what: &'static str,
        /// Where in the list.
        index: usize,
        /// The number given.
        value: f64,
        /// What would have been accepted.
        allowed: Cow<'static, str>,
    },
    /// Noise levels that do not go one way.
    NotMonotone {
        /// The list.
        what: &'static str,
        /// The first element that breaks the order.
        index: usize,
        /// Log-SNR of the element before.
        before: f64,
        /// Log-SNR of this element.
        this: f64,
    },
    /// A map that has no value at this noise level, such as data from a noise prediction where no
    /// signal is left.
    Singular {
        /// The map.
        what: &'static str,
        /// Signal scale of the level.
        alpha: f64,
        /// Noise scale of the level.
        sigma: f64,
    },
    /// Arrays whose shapes do not agree.
    Shape {
        /// Which array.
        what: &'static str,
        /// The shape that was needed.
        expected: Vec<usize>,
        /// The shape that came.
        found: Vec<usize>,
    },
    /// A list with one entry per batch item that has another length than the batch.
    BatchLength {
        /// The list.
        what: &'static str,
        /// Number of batch items.
        expected: usize,
        /// Length of the list.
        found: usize,
    },
    /// A NaN or an infinity where numbers were expected.
    NotFinite {
        /// What holds it.
        what: &'static str,
        /// Position of the step in the run, counted from 0.
        step: usize,
    },
    /// A network whose answers jump from one state to the next, so that shorter steps are no more exact, and
    /// steps as short as the tolerance asks too many.
    Rough {
        /// What chose the steps.
        what: &'static str,
        /// The tolerance.
        tolerance: f64,
        /// About the least one that its limit of evaluations allows.
        possible: f64,
    },
    /// Adaptive steps that have not come to their end within their limit.
    Unfinished {
        /// What chose the steps.
        what: &'static str,
        /// Network evaluations done.
        evaluations: usize,
        /// The share of the way that is done.
        done: f64,
        /// The tolerance.
        tolerance: f64,
    },
    /// Something a plan needs and was not given.
    Missing {
        /// What is missing.
        what: &'static str,
        /// What needs it.
        needed_by: &'static str,
    },
    /// A text that does not follow its form.
    Parse {
        /// What was to be read.
        what: &'static str,
        /// The text.
        text: String,
        /// The form.
        allowed: &'static str,
    },
    /// A name that nothing has.
    UnknownName {
        /// What was named.
        what: &'static str,
        /// The name.
        name: String,
        /// Names that look like it, the nearest first.
        nearest: Vec<String>,
    },
    /// A key of a configuration whose value is not supported.
    Configuration {
        /// The class of the configuration.
        class: String,
        /// The key.
        key: &'static str,
        /// The value it has.
        value: String,
        /// What would have been accepted.
        allowed: Cow<'static, str>,
    },
    /// A plan that nothing can be fitted of, or learned from.
    Unsuited {
        /// Its name.
        plan: String,
        /// What it has.
        found: &'static str,
        /// What would have been accepted.
        allowed: &'static str,
    },
    /// A saved run that another plan left.
    OtherPlan {
        /// The fingerprint of the plan.
        expected: u64,
        /// That of the plan of the run.
        found: u64,
    },
    /// A prediction supplied to a run that asked for none.
    Finished,
    /// The user's network failed.
    Network(Arc<dyn error::Error + Send + Sync>),
    /// The tensor library of a state failed.
    Tensor(Arc<dyn error::Error + Send + Sync>),
}

impl Error {
    /// Wraps a failure of the user's own network, which becomes the source; an error of this crate stays what
    /// it is.
    ///
    /// ```
    /// use gaussian_diffusion::Error;
    /// let error = Error::network(std::io::Error::other("device lost"));
    /// assert_eq!(error.to_string(), "the network failed: device lost");
    /// assert_eq!(Error::network(error).to_string(), "the network failed: device lost");
    /// ```
    pub fn network(source: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        match source.into().downcast() {
            Ok(own) => *own,
            Err(source) => Self::Network(Arc::from(source)),
        }
    }

    /// Wraps a failure of a tensor library in an operation of [`State`](crate::State), likewise.
    ///
    /// ```
    /// use gaussian_diffusion::Error;
    /// let error = Error::tensor("out of memory");
    /// assert_eq!(error.to_string(), "a tensor operation failed: out of memory");
    /// ```
    pub fn tensor(source: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        match source.into().downcast() {
            Ok(own) => *own,
            Err(source) => Self::Tensor(Arc::from(source)),
        }
    }

    /// The same error of a shape, by the name its caller knows the array by.
    pub(crate) fn naming(self, name: &'static str) -> Self {
        match self {
            Self::Shape {
                expected, found, ..
            } => Self::Shape {
                what: name,
                expected,
                found,
            },
            other => other,
        }
    }

    /// The same error of a shape, where the array that was found is the one that is right.
    pub(crate) fn turned(self) -> Self {
        match self {
            Self::Shape {
                what,
                expected,
                found,
            } => Self::Shape {
                what,
                expected: found,
                found: expected,
            },
            other => other,
        }
    }

    #[cold]
    pub(crate) fn range(
        what: &'static str,
        value: f64,
        allowed: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::OutOfRange {
            what,
            value,
            allowed: allowed.into(),
        }
    }

    #[cold]
    pub(crate) fn element(
        what: &'static str,
        index: usize,
        value: f64,
        allowed: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::ElementOutOfRange {
            what,
            index,
            value,
            allowed: allowed.into(),
        }
    }
}

/// A number as errors write it: all of its digits, and an exponent outside 1e-12 to 1e21.
pub(crate) struct Number(pub(crate) f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        match size != 0.0 && !(1e-12..1e21).contains(&size) && size.is_finite() {
            true => write!(f, "{:e}", self.0),
            false => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange {
                what,
                value,
                allowed,
            } => {
                let value = Number(*value);
                write!(f, "{what} is {value}, allowed: {allowed}")
            }
            Self::ElementOutOfRange {
                what,
                index,
                value,
                allowed,
            } => {
                let value = Number(*value);
                write!(f, "{what}[{index}] is {value}, allowed: {allowed}")
            }
            Self::NotMonotone {
                what,
                index,
                before,
                this,
            } => {
                let (this, before) = (Number(*this), Number(*before));
                write!(
                    f,
                    "{what}[{index}] has log-SNR {this} after {before}, allowed: strictly one way"
                )
            }
            Self::Singular { what, alpha, sigma } => {
                let (alpha, sigma) = (Number(*alpha), Number(*sigma));
                write!(f, "{what} has no value at alpha = {alpha}, sigma = {sigma}")
            }
            Self::Shape {
                what,
                expected,
                found,
            } => {
                write!(f, "{what} has shape {found:?}, expected {expected:?}")
            }
            Self::BatchLength {
                what,
                expected,
                found,
            } => {
                write!(f, "{what} has {found} entries for a batch of {expected}")
            }
            Self::NotFinite { what, step } => {
                write!(f, "{what} holds a NaN or an infinity at step {step}")
            }
            Self::Rough {
                what,
                tolerance,
                possible,
            } => write!(
                f,
                "tolerance of {what} is {tolerance:e}, allowed: about {possible:.0e} or more: the answers of \
                 the network jump, and shorter steps are no more exact"
            ),
            Self::Unfinished {
                what,
                evaluations,
                done,
                tolerance,
            } => write!(
                f,
                "{what} has done {:.3} % of its way in {evaluations} evaluations, its limit; the tolerance of \
                 {tolerance:e} needs more",
                100.0 * done
            ),
            Self::Missing { what, needed_by } => {
                write!(f, "{what} is missing, {needed_by} needs it")
            }
            Self::Parse {
                what,
                text,
                allowed,
            } => {
                write!(f, "{what} {text:?} cannot be read, allowed: {allowed}")
            }
            Self::UnknownName {
                what,
                name,
                nearest,
            } => {
                write!(
                    f,
                    "{what} {name:?} is unknown, nearest: {}",
                    nearest.join(", ")
                )
            }
            Self::Configuration {
                class,
                key,
                value,
                allowed,
            } => {
                write!(f, "{key} of {class} is {value}, allowed: {allowed}")
            }
            Self::Unsuited {
                plan,
                found,
                allowed,
            } => write!(f, "the plan {plan:?} {found}, allowed for a fit: {allowed}"),
            Self::OtherPlan { expected, found } => write!(
                f,
                "the saved run is of a plan with fingerprint {found:016x}, this plan has {expected:016x}"
            ),
            Self::Finished => f.write_str("a prediction was supplied to a run that has ended"),
            Self::Network(source) => write!(f, "the network failed: {source}"),
            Self::Tensor(source) => write!(f, "a tensor operation failed: {source}"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Network(source) | Self::Tensor(source) => Some(source.as_ref()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_many_digits_have_an_exponent() {
        let allowed = format!(
            "above {} and up to {}, step 3.5",
            Number(1e-300),
            Number(1e300)
        );
        assert_eq!(
            Error::range("x", -2.5e200, allowed.clone()).to_string(),
            "x is -2.5e200, allowed: above 1e-300 and up to 1e300, step 3.5"
        );
        assert_eq!(
            Error::element("x", 3, 1e-13, allowed).to_string(),
            "x[3] is 1e-13, allowed: above 1e-300 and up to 1e300, step 3.5"
        );
        let error = Error::range("x", 16_777_217.0, "0.1 to 16777216");
        assert_eq!(error.to_string(), "x is 16777217, allowed: 0.1 to 16777216");
        let error = Error::range("x", f64::NAN, "0 to 1");
        assert_eq!(error.to_string(), "x is NaN, allowed: 0 to 1");
    }
}
