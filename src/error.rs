//! What can go wrong, in one enum.

mod message;

use std::{borrow::Cow, error, mem, sync::Arc};

pub(crate) use message::Number;

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
    /// A tensor of another type of numbers, or on another device.
    Unlike {
        /// Which tensor.
        what: &'static str,
        /// In what it differs: "numbers of type", or "device".
        property: &'static str,
        /// What was needed.
        expected: String,
        /// What came.
        found: String,
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

    /// The same error of a shape or a type, by the name its caller knows the array by.
    pub(crate) fn naming(mut self, name: &'static str) -> Self {
        if let Self::Shape { what, .. } | Self::Unlike { what, .. } = &mut self {
            *what = name;
        }
        self
    }

    /// The same error of a shape or a type, where the array that was found is the one that is right.
    pub(crate) fn turned(mut self) -> Self {
        match &mut self {
            Self::Shape {
                expected, found, ..
            } => mem::swap(expected, found),
            Self::Unlike {
                expected, found, ..
            } => mem::swap(expected, found),
            _ => {}
        }
        self
    }

    /// Refuses a list that has not one entry per batch item.
    pub(crate) const fn check_length(
        what: &'static str,
        expected: usize,
        found: usize,
    ) -> Result<(), Self> {
        match expected == found {
            true => Ok(()),
            false => Err(Self::BatchLength {
                what,
                expected,
                found,
            }),
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

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Network(source) | Self::Tensor(source) => Some(source.as_ref()),
            _ => None,
        }
    }
}
