//! Bad input of every kind to every entry point, and the exact words it is refused with.

use std::fmt::Debug;

use gaussian_diffusion::{Error, NoiseLevel};
use levels::{sigma, snr, time};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

/// The message of a refusal.
fn message<T: Debug>(outcome: Result<T, Error>) -> String {
    match outcome {
        Ok(value) => format!("accepted: {value:?}"),
        Err(error) => error.to_string(),
    }
}

/// `expression => message;` rows, every one of which must be refused in these words.
macro_rules! refused {
    ($($outcome:expr => $message:expr;)*) => {{
        let mut wrong = Vec::new();
        $(
            let found = message($outcome);
            if found != $message {
                wrong.push(format!("{}\n  gave      {found}\n  expected  {}", stringify!($outcome), $message));
            }
        )*
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }};
}

#[path = "../common/levels.rs"]
mod levels;
mod numbers;
mod ranges;
mod runs;

fn level(alpha: f64, sigma: f64) -> NoiseLevel {
    NoiseLevel::new(alpha, sigma).unwrap()
}
