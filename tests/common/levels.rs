//! Times and levels that are known to be valid, and numbers that are close.
#![allow(dead_code)] // Each test takes what it needs.

use std::fmt::Debug;

use gaussian_diffusion::{LogSnr, Sigma, Time};

pub fn time(value: f64) -> Time {
    Time::new(value).unwrap()
}

pub fn sigma(value: f64) -> Sigma {
    Sigma::new(value).unwrap()
}

pub fn snr(value: f64) -> LogSnr {
    LogSnr::new(value).unwrap()
}

/// Refuses a difference above the tolerance, which is relative for numbers above 1.
#[track_caller]
pub fn close(found: f64, expected: f64, tolerance: f64, what: impl Debug) {
    let off = (found - expected).abs() / expected.abs().max(1.0);
    assert!(off <= tolerance, "{what:?}: {found} instead of {expected}");
}
