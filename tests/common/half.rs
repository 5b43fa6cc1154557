//! The two types of half precision.

use gaussian_diffusion::state::Real;
use half::{bf16, f16};

/// Half a unit in the last place, relative to a number.
pub trait Half: Real {
    const ROUNDING: f64;
}

impl Half for f16 {
    const ROUNDING: f64 = 1.0 / 2048.0;
}

impl Half for bf16 {
    const ROUNDING: f64 = 1.0 / 256.0;
}
