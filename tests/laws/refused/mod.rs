//! An implementation that breaks a law is refused, law by law, and one within its tolerance is not.

mod faulty;
mod levels;
mod networks;
mod solvers;
mod tensors;
mod times;

use gaussian_diffusion::{Error, laws::Violation};

/// The law of an implementation that errs where it should not.
const VALID: &str = "what is valid is not refused";

/// An implementation's own error.
fn error() -> Error {
    Error::network("broken")
}

/// This law is the broken one, and this is a part of how.
#[track_caller]
fn refused(outcome: Result<(), Violation>, law: &str, found: &str) {
    let broken = outcome.expect_err(law);
    let named = broken.law == law && broken.found.contains(found);
    assert!(named, "{broken}; not: {law}; {found}");
    assert_eq!(
        broken.to_string(),
        format!("law broken: {law}; {}", broken.found)
    );
}
