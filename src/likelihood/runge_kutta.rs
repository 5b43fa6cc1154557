//! An embedded Runge-Kutta method of orders 5 and 4 with step size control.
//!
//! Source: A Family of Embedded Runge-Kutta Formulae, Dormand, Prince, 1980.

mod walk;

use crate::Error;
use walk::{COST, Walk};

/// How exact an integration is to be, and what it may cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Accuracy {
    pub(super) tolerance: f64,
    /// Whether a network that is too rough for the tolerance is an error, or is followed as nearly as few
    /// steps do.
    pub(super) strict: bool,
    /// Evaluations.
    pub(super) limit: usize,
}

/// So many steps of one length may be left to a rough network that is not asked for more.
const FEW: f64 = 128.0;
/// So many steps are made before a longer one is tried again.
const PATIENCE: usize = 16;

const WHAT: &str = "the probability flow";

/// The end of an integration.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Solution {
    pub(super) value: Vec<f64>,
    /// The sizes of the estimated errors of all steps, added up for each number.
    pub(super) error: Vec<f64>,
    pub(super) evaluations: usize,
}

/// Solves `dz/du = f(u, z)` from `u` to `end`, with an error of each step below
/// `tolerance * (1 + |z|)` in every number, or what a rough network allows.
///
/// The largest error decides, not a mean, so that a batch item is at least as accurate as alone.
pub(super) fn integrate(
    mut f: impl FnMut(f64, &[f64]) -> Result<Vec<f64>, Error>,
    (start, end): (f64, f64),
    z: Vec<f64>,
    accuracy: Accuracy,
) -> Result<Solution, Error> {
    let Accuracy {
        tolerance,
        strict,
        limit,
    } = accuracy;
    let span = end - start;
    let mut walk = Walk {
        slope: f(start, &z)?,
        error: vec![0.0; z.len()],
        evaluations: 1,
        u: start,
        f,
        tolerance,
        end,
        z,
    };
    let too_rough = |length: f64, worst: f64| Error::Rough {
        what: WHAT,
        tolerance,
        // Errors are as the lengths of the steps, of which there may be so many; they scatter, and half the
        // steps may be refused.
        possible: 4.0 * tolerance * worst * (span / length).abs() * COST as f64 / limit as f64,
    };
    let mut h = 0.01 * span;
    // The error that a step may have, in tolerances.
    let mut allowed = 1.0;
    let mut patience = 0;
    let mut last = None;
    while walk.u != end {
        if walk.evaluations + 2 * COST > limit {
            // What is left goes to tell what was wrong.
            return Err(match last {
                Some((length, worst)) if walk.stretched(length, worst)?.is_some() => {
                    too_rough(length, worst)
                }
                _ => Error::Unfinished {
                    what: WHAT,
                    evaluations: walk.evaluations,
                    done: (walk.u - start) / span,
                    tolerance,
                },
            });
        }
        let step = walk.step(h)?;
        let (length, worst) = (step.length, step.worst);
        if worst.is_nan() {
            return Err(Error::NotFinite {
                what: WHAT,
                step: walk.evaluations,
            });
        }
        last = Some((length, worst));
        let is_taken = worst <= allowed;
        if is_taken {
            walk.take(step);
            patience += 1;
        }
        h = length * (0.9 * (worst / allowed).powf(-0.2)).clamp(0.2, 5.0);
        if !(h.abs() > 1e-14 * span.abs()) {
            let least = "above 1e-14 of the way: the network has no slope that steps could follow";
            return Err(Error::range("step of the integration", h, least));
        }
        let affordable = limit.saturating_sub(walk.evaluations) as f64 / COST as f64;
        let most = if strict {
            affordable
        } else {
            affordable.min(FEW)
        };
        if !(is_taken && patience >= PATIENCE && walk.left(h) > most) {
            continue;
        }
        patience = 0;
        let Some(long) = walk.stretched(length, worst)? else {
            continue;
        };
        if long.worst > allowed {
            if strict {
                return Err(too_rough(length, worst));
            }
            allowed = long.worst;
            // It may be rougher still.
            patience = PATIENCE;
        }
        h = long.length;
        walk.take(long);
    }
    Ok(Solution {
        value: walk.z,
        error: walk.error,
        evaluations: walk.evaluations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(tolerance: f64) -> Accuracy {
        Accuracy {
            tolerance,
            strict: true,
            limit: 1_000_000,
        }
    }

    /// Numbers from -1 to 1 that differ for any two arguments.
    fn jumps(u: f64, z: f64) -> f64 {
        let bits = (u.to_bits() ^ z.to_bits().rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (bits >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    /// `z' = -z` with relative jumps of the slope: few steps, and an error of the size of the jumps.
    #[test]
    fn a_rough_slope_costs_no_more_than_a_smooth_one_may() {
        for rough in [1e-7, 1e-5, 1e-3, 0.1, 1.0] {
            let f = |u: f64, z: &[f64]| Ok(vec![-z[0] * (1.0 + rough * jumps(u, z[0]))]);
            for tolerance in [1e-12, 1e-8, 1e-4] {
                let accuracy = Accuracy {
                    strict: false,
                    ..to(tolerance)
                };
                let found = integrate(f, (0.0, 3.0), vec![1.0], accuracy).unwrap();
                let off = (found.value[0] - (-3.0_f64).exp()).abs();
                assert!(
                    found.evaluations < 4000,
                    "{rough}, {tolerance}: {}",
                    found.evaluations
                );
                assert!(
                    off < 0.1 * rough + 30.0 * tolerance,
                    "{rough}, {tolerance}: {off:e}"
                );
                assert!(
                    off < 20.0 * found.error[0] + 1e-12,
                    "{off:e}, {:e}",
                    found.error[0]
                );
            }
        }
    }

    /// Where the tolerance is asked for, and the limit too small for it: which of the two is wrong.
    #[test]
    fn errors_tell_a_rough_slope_from_a_small_tolerance() {
        let f = |u: f64, z: &[f64]| Ok(vec![-z[0] * (1.0 + 1e-3 * jumps(u, z[0]))]);
        let accuracy = Accuracy {
            limit: 20_000,
            ..to(1e-8)
        };
        let mut asked = 0;
        let mut counted = |u: f64, z: &[f64]| {
            asked += 1;
            f(u, z)
        };
        let error = integrate(&mut counted, (0.0, 3.0), vec![1.0], accuracy).unwrap_err();
        assert!(matches!(error, Error::Rough { .. }), "{error}");
        assert!(asked < 1000, "{asked}");
        let Error::Rough { possible, .. } = error else {
            return;
        };
        // It is near the least that the limit allows.
        let ends = |tolerance: f64| {
            let accuracy = Accuracy {
                tolerance,
                ..accuracy
            };
            integrate(f, (0.0, 3.0), vec![1.0], accuracy).is_ok()
        };
        assert!(
            ends(2.0 * possible) && !ends(0.1 * possible),
            "{possible:e}"
        );
        let mut reached = 1.0_f64;
        let smooth = |u: f64, z: &[f64]| {
            reached = reached.max(u);
            Ok(vec![-z[0] + (200.0 * u).cos()])
        };
        let accuracy = Accuracy {
            limit: 2000,
            ..to(1e-13)
        };
        let error = integrate(smooth, (1.0, 4.0), vec![1.0], accuracy).unwrap_err();
        let Error::Unfinished {
            evaluations: 1980..=2000,
            done,
            ..
        } = error
        else {
            panic!("{error}");
        };
        // The last question was of a step that is eight times as long.
        let asked = (reached - 1.0) / 3.0;
        assert!(done < asked && done > 0.9 * asked, "{done} {asked}");
    }

    /// A slope with jumps at some places is not rough: no tolerance is given up for them.
    #[test]
    fn a_few_jumps_are_met_to_the_tolerance() {
        let f = |u: f64, z: &[f64]| Ok(vec![if (3.0 * u).fract() < 0.5 { -z[0] } else { 1.0 }]);
        let exact = (0..9).fold(1.0, |z: f64, _| z * (-1.0_f64 / 6.0).exp() + 1.0 / 6.0);
        let accuracy = Accuracy {
            strict: false,
            limit: 20_000,
            tolerance: 1e-8,
        };
        let found = integrate(f, (0.0, 3.0), vec![1.0], accuracy).unwrap();
        assert!(found.error[0] < 1e-6, "{:e}", found.error[0]);
        // A jump lies anywhere in its step.
        let off = found.value[0] - exact;
        assert!(off.abs() < 1e-5, "{off:e}");
    }

    #[test]
    fn errors_follow_the_tolerance_in_both_directions() {
        // z' = -z and z' = cos u, from 0 to 3 and back.
        let f = |u: f64, z: &[f64]| Ok(vec![-z[0], u.cos()]);
        for tolerance in [1e-4, 1e-6, 1e-8, 1e-10] {
            let there = integrate(f, (0.0, 3.0), vec![1.0, 0.0], to(tolerance)).unwrap();
            let off = (there.value[0] - (-3.0_f64).exp()).abs();
            assert!(off <= 20.0 * tolerance, "{tolerance}: {off:e}");
            assert!((there.value[1] - 3.0_f64.sin()).abs() <= there.error[1] + 1e-15);
            let back = integrate(f, (3.0, 0.0), there.value, to(tolerance)).unwrap();
            assert!((back.value[0] - 1.0).abs() <= 1e3 * tolerance);
        }
    }

    #[test]
    fn a_wall_and_a_nan_are_errors() {
        let wall = integrate(
            |_, z| Ok(vec![z[0] * z[0]]),
            (0.0, 2.0),
            vec![1.0],
            to(1e-8),
        );
        assert!(wall.is_err());
        // As long a way as one likes, by powers of two, ends after as many questions.
        let asked = [0, -40, 40].map(|power: i32| {
            let (scale, mut asked) = (2.0_f64.powi(power), 0);
            let slope = |_: f64, z: &[f64]| {
                asked += 1;
                Ok(vec![z[0] * z[0] / scale])
            };
            let wall = integrate(slope, (0.0, 2.0 * scale), vec![1.0], to(1e-8)).unwrap_err();
            let text = wall.to_string();
            assert!(text.starts_with("step of the integration is"), "{text}");
            asked
        });
        assert_eq!(asked, [asked[0]; 3]);
        let nan = integrate(|_, _| Ok(vec![f64::NAN]), (0.0, 2.0), vec![1.0], to(1e-8));
        let text = nan.unwrap_err().to_string();
        assert!(
            text.starts_with("the probability flow holds a NaN"),
            "{text}"
        );
    }

    #[test]
    fn nothing_to_integrate_and_no_way_to_go() {
        let empty = integrate(|_, _| Ok(vec![]), (0.0, 1.0), vec![], to(1e-8)).unwrap();
        assert!(empty.value.is_empty());
        let still = integrate(|_, _| Ok(vec![1.0]), (1.0, 1.0), vec![2.0], to(1e-8)).unwrap();
        assert_eq!(still.value, [2.0]);
    }
}
