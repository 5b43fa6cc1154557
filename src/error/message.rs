//! What errors say.

use std::fmt;

use super::Error;

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
            Self::Unlike {
                what,
                property,
                expected,
                found,
            } => {
                write!(f, "{what} has {property} {found}, expected {expected}")
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
