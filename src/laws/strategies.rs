//! Proptest strategies for the nouns of this crate.
//!
//! ```
//! use gaussian_diffusion::{Markov, laws};
//! use proptest::{prelude::*, test_runner::TestRunner};
//! TestRunner::default()
//!     .run(&laws::strategies::step(), |(from, to)| {
//!         laws::posterior(&Markov, from, to).map_err(|e| TestCaseError::fail(e.to_string()))
//!     })
//!     .unwrap();
//! ```

use ndarray::Array2;
use proptest::prelude::*;

use crate::{
    Grid, LogSnr, NoiseLevel, Step,
    schedule::{Discrete, NoiseSchedule},
    state::Real,
};

/// A noise level of any family - variance preserving, exploding, flow, or none - with a log-SNR from
/// -40 to 40.
pub fn level() -> impl Strategy<Value = NoiseLevel> {
    (-40.0..40.0, 0..4_u8, 0.1..10.0).prop_filter_map("a valid level", |(snr, family, scale)| {
        family_level(snr, family, scale)
    })
}

/// Two levels of one family, the noisier one first, from a hair to 40 apart in log-SNR.
pub fn step() -> impl Strategy<Value = (NoiseLevel, NoiseLevel)> {
    (-40.0..40.0, -9.0..1.6_f64, 0..4_u8, 0.1..10.0).prop_filter_map(
        "two levels in order",
        |(snr, gap, family, scale)| {
            let from = family_level(snr, family, scale)?;
            let to = family_level(snr + 10.0_f64.powf(gap), family, scale)?;
            from.is_noisier_than(to).then_some((from, to))
        },
    )
}

fn family_level(snr: f64, family: u8, scale: f64) -> Option<NoiseLevel> {
    let snr = LogSnr::new(snr).ok()?;
    match family {
        0 => NoiseLevel::variance_preserving(snr).ok(),
        1 => NoiseLevel::new(1.0, (-0.5 * snr.get()).exp()).ok(),
        2 => NoiseLevel::rectified_flow(snr).ok(),
        _ => NoiseLevel::new(scale, scale * (-0.5 * snr.get()).exp()).ok(),
    }
}

/// A discrete schedule of 1 to 60 betas from 1e-6 to 0.999, in no order.
pub fn discrete() -> impl Strategy<Value = Discrete> {
    prop::collection::vec(
        (-6.0..-0.0005_f64).prop_map(|power| 10.0_f64.powf(power)),
        1..=60,
    )
    .prop_filter_map("a valid table", |betas| Discrete::from_betas(betas).ok())
}

/// A grid on a schedule: some of its steps, at least one, from the noisiest down.
pub fn grid(schedule: &Discrete) -> impl Strategy<Value = Grid<Step>> + use<> {
    let schedule = schedule.clone();
    let total = schedule.ends().0.get() as usize + 1;
    prop::sample::subsequence((0..total).rev().collect::<Vec<_>>(), 1..=total).prop_filter_map(
        "a valid grid",
        move |steps| {
            let steps: Vec<_> = steps.into_iter().map(Step::new).collect();
            Grid::at(&schedule, &steps).ok()
        },
    )
}

/// A batch of 0 to 5 items of 0 to 7 numbers from -3 to 3.
pub fn batch<A: Real>() -> impl Strategy<Value = Array2<A>> {
    (0..6_usize, 0..8_usize).prop_flat_map(|(items, length)| {
        prop::collection::vec(-3.0..3.0_f64, items * length).prop_map(move |values| {
            Array2::from_shape_fn((items, length), |(i, j)| A::of(values[i * length + j]))
        })
    })
}
