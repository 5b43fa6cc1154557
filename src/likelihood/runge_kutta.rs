//! An embedded Runge-Kutta method of orders 5 and 4 with step size control.
//!
//! Source: A Family of Embedded Runge-Kutta Formulae, Dormand, Prince, 1980.

use crate::Error;

const NODES: [f64; 6] = [0.2, 0.3, 0.8, 8.0 / 9.0, 1.0, 1.0];

/// The row of each stage after the first; the last one is the result of order 5.
const ROWS: [&[f64]; 6] = [
    &[0.2],
    &[3.0 / 40.0, 9.0 / 40.0],
    &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
    &[
        19372.0 / 6561.0,
        -25360.0 / 2187.0,
        64448.0 / 6561.0,
        -212.0 / 729.0,
    ],
    &[
        9017.0 / 3168.0,
        -355.0 / 33.0,
        46732.0 / 5247.0,
        49.0 / 176.0,
        -5103.0 / 18656.0,
    ],
    &[
        35.0 / 384.0,
        0.0,
        500.0 / 1113.0,
        125.0 / 192.0,
        -2187.0 / 6784.0,
        11.0 / 84.0,
    ],
];

/// Order 5 minus order 4.
const ERROR: [f64; 7] = [
    71.0 / 57600.0,
    0.0,
    -71.0 / 16695.0,
    71.0 / 1920.0,
    -17253.0 / 339200.0,
    22.0 / 525.0,
    -1.0 / 40.0,
];

/// Beyond this many evaluations an integration is given up.
const MOST: usize = 1_000_000;

/// The end of an integration.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Solution {
    pub(super) value: Vec<f64>,
    /// The sizes of the estimated errors of all steps, added up for each number.
    pub(super) error: Vec<f64>,
    pub(super) evaluations: usize,
}

/// Solves `dz/du = f(u, z)` from `u` to `end`, with an error of each step below
/// `tolerance * (1 + |z|)` in every number.
///
/// The largest error decides, not a mean, so that a batch item is at least as accurate as alone.
pub(super) fn integrate(
    mut f: impl FnMut(f64, &[f64]) -> Result<Vec<f64>, Error>,
    (start, end): (f64, f64),
    mut z: Vec<f64>,
    tolerance: f64,
) -> Result<Solution, Error> {
    let span = end - start;
    let mut error = vec![0.0; z.len()];
    let mut slopes = vec![f(start, &z)?];
    let mut evaluations = 1;
    let (mut u, mut h) = (start, 0.01 * span);
    while u != end {
        // The last step ends where it should to the last digit.
        let last = (end - u).abs() <= h.abs() * (1.0 + 1e-9);
        if last {
            h = end - u;
        }
        slopes.truncate(1);
        let mut next = Vec::new();
        for (node, row) in NODES.iter().zip(ROWS) {
            next = moved(&z, row, &slopes, h);
            let at = if last && *node == 1.0 {
                end
            } else {
                u + node * h
            };
            slopes.push(f(at, &next)?);
            evaluations += 1;
        }
        let off = moved(&vec![0.0; z.len()], &ERROR, &slopes, h);
        let worst = off
            .iter()
            .zip(&z)
            .zip(&next)
            .fold(0.0, |worst, ((e, a), b)| {
                let ratio = e.abs() / (tolerance * (1.0 + a.abs().max(b.abs())));
                // A NaN is worse than any number.
                if ratio > worst || ratio.is_nan() {
                    ratio
                } else {
                    worst
                }
            });
        if worst.is_nan() || evaluations > MOST {
            let what = "the probability flow";
            return Err(Error::NotFinite {
                what,
                step: evaluations,
            });
        }
        if worst <= 1.0 {
            u = if last { end } else { u + h };
            z = next;
            slopes.swap_remove(0);
            error
                .iter_mut()
                .zip(&off)
                .for_each(|(sum, e)| *sum += e.abs());
        }
        h *= (0.9 * worst.powf(-0.2)).clamp(0.2, 5.0);
        if !(h.abs() > 1e-14 * span.abs()) {
            let allowed =
                "above 1e-14 of the way: the network is not smooth, or the tolerance too small";
            return Err(Error::range("step of the integration", h, allowed));
        }
    }
    Ok(Solution {
        value: z,
        error,
        evaluations,
    })
}

fn moved(z: &[f64], row: &[f64], slopes: &[Vec<f64>], h: f64) -> Vec<f64> {
    let mut next = z.to_vec();
    for (c, slope) in row.iter().zip(slopes) {
        next.iter_mut()
            .zip(slope)
            .for_each(|(z, s)| *z += h * c * s);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_sum_to_their_nodes_and_errors_to_nothing() {
        for (node, row) in NODES.iter().zip(ROWS) {
            assert!((row.iter().sum::<f64>() - node).abs() < 1e-14);
        }
        assert!(ERROR.iter().sum::<f64>().abs() < 1e-16);
    }

    #[test]
    fn errors_follow_the_tolerance_in_both_directions() {
        // z' = -z and z' = cos u, from 0 to 3 and back.
        let f = |u: f64, z: &[f64]| Ok(vec![-z[0], u.cos()]);
        for tolerance in [1e-4, 1e-6, 1e-8, 1e-10] {
            let there = integrate(f, (0.0, 3.0), vec![1.0, 0.0], tolerance).unwrap();
            let off = (there.value[0] - (-3.0_f64).exp()).abs();
            assert!(off <= 20.0 * tolerance, "{tolerance}: {off:e}");
            assert!((there.value[1] - 3.0_f64.sin()).abs() <= there.error[1] + 1e-15);
            let back = integrate(f, (3.0, 0.0), there.value, tolerance).unwrap();
            assert!((back.value[0] - 1.0).abs() <= 1e3 * tolerance);
        }
    }

    #[test]
    fn a_wall_and_a_nan_are_errors() {
        let wall = integrate(|_, z| Ok(vec![z[0] * z[0]]), (0.0, 2.0), vec![1.0], 1e-8);
        assert!(wall.is_err());
        let nan = integrate(|_, _| Ok(vec![f64::NAN]), (0.0, 2.0), vec![1.0], 1e-8);
        let text = nan.unwrap_err().to_string();
        assert!(
            text.starts_with("the probability flow holds a NaN"),
            "{text}"
        );
    }

    #[test]
    fn nothing_to_integrate_and_no_way_to_go() {
        let empty = integrate(|_, _| Ok(vec![]), (0.0, 1.0), vec![], 1e-8).unwrap();
        assert!(empty.value.is_empty());
        let still = integrate(|_, _| Ok(vec![1.0]), (1.0, 1.0), vec![2.0], 1e-8).unwrap();
        assert_eq!(still.value, [2.0]);
    }
}
