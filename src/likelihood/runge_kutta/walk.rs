//! Steps of the method along a way, and their errors.

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

/// A step that is this much longer has an error `STRETCH^5` times as large where the network is smooth, and
/// `STRETCH` times where it jumps from one evaluation to the next.
const STRETCH: f64 = 8.0;
/// Between the two.
const ROUGH: f64 = 128.0;
/// Evaluations of a step.
pub(super) const COST: usize = NODES.len();

/// Where an integration stands.
pub(super) struct Walk<F> {
    pub(super) f: F,
    pub(super) tolerance: f64,
    pub(super) end: f64,
    pub(super) u: f64,
    pub(super) z: Vec<f64>,
    pub(super) slope: Vec<f64>,
    pub(super) error: Vec<f64>,
    pub(super) evaluations: usize,
}

/// A step that may be taken.
pub(super) struct Step {
    pub(super) length: f64,
    pub(super) to: f64,
    pub(super) z: Vec<f64>,
    pub(super) slope: Vec<f64>,
    pub(super) error: Vec<f64>,
    /// The largest error, in tolerances.
    pub(super) worst: f64,
}

impl<F: FnMut(f64, &[f64]) -> Result<Vec<f64>, Error>> Walk<F> {
    /// A step of this length, or of what is left.
    pub(super) fn step(&mut self, length: f64) -> Result<Step, Error> {
        // The last step ends where it should to the last digit.
        let is_last = (self.end - self.u).abs() <= length.abs() * (1.0 + 1e-9);
        let h = if is_last { self.end - self.u } else { length };
        let mut slopes = vec![self.slope.clone()];
        let mut z = Vec::new();
        for (node, row) in NODES.iter().zip(ROWS) {
            z = moved(&self.z, row, &slopes, h);
            let at = if is_last && *node == 1.0 {
                self.end
            } else {
                self.u + node * h
            };
            slopes.push((self.f)(at, &z)?);
            self.evaluations += 1;
        }
        let error = moved(&vec![0.0; z.len()], &ERROR, &slopes, h);
        let sizes = self.z.iter().zip(&z).map(|(a, b)| a.abs().max(b.abs()));
        let worst = error.iter().zip(sizes).fold(0.0, |worst, (e, size)| {
            let ratio = e.abs() / (self.tolerance * (1.0 + size));
            // A NaN is worse than any number.
            if ratio > worst || ratio.is_nan() {
                ratio
            } else {
                worst
            }
        });
        Ok(Step {
            length: h,
            to: if is_last { self.end } else { self.u + h },
            z,
            slope: slopes.pop().unwrap_or_default(),
            error,
            worst,
        })
    }

    pub(super) fn take(&mut self, step: Step) {
        self.u = step.to;
        self.z = step.z;
        self.slope = step.slope;
        let errors = self.error.iter_mut().zip(&step.error);
        errors.for_each(|(sum, e)| *sum += e.abs());
    }

    /// A longer step than one that had this error, where its own is not as much larger as that of a smooth
    /// network: another one was no more exact for being shorter.
    pub(super) fn stretched(&mut self, length: f64, worst: f64) -> Result<Option<Step>, Error> {
        let long = self.step(STRETCH * length)?;
        Ok((long.worst < ROUGH * worst).then_some(long))
    }

    /// How many steps of this length are left.
    pub(super) fn left(&self, length: f64) -> f64 {
        (self.end - self.u).abs() / length.abs()
    }
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

    /// A step of `z' = k z` is a polynomial of `x = k h`, and its error that less the one of order 4, whose last terms are
    /// 1097 / 120000, 161 / 120000 and 1 / 24000; for numbers of several sizes, of which the worst relative to
    /// `1 + |z|` counts.
    #[test]
    fn a_step_of_linear_growth_is_a_polynomial() {
        let (k, tolerance) = ([-0.5, 0.3, 1.0], 1e-3);
        let f = |_: f64, z: &[f64]| Ok(z.iter().zip(k).map(|(z, k)| k * z).collect());
        let z = vec![2.0, -30.0, 0.25];
        let mut walk = Walk {
            slope: z.iter().zip(k).map(|(z, k)| k * z).collect(),
            error: vec![0.0; 3],
            evaluations: 1,
            u: 1.0,
            end: 3.0,
            f,
            tolerance,
            z: z.clone(),
        };
        for h in [0.5, 2.0, 5.0] {
            let step = walk.step(h).unwrap();
            // No further than the end.
            let h: f64 = h.min(2.0);
            assert_eq!((step.length, step.to), (h, 1.0 + h));
            let mut worst = 0.0_f64;
            for i in 0..3 {
                let x = k[i] * h;
                let next = z[i]
                    * (1.0
                        + x
                        + x.powi(2) / 2.0
                        + x.powi(3) / 6.0
                        + x.powi(4) / 24.0
                        + x.powi(5) / 120.0
                        + x.powi(6) / 600.0);
                let error = z[i]
                    * (x.powi(5) * (1.0 / 120.0 - 1097.0 / 120_000.0)
                        + x.powi(6) * (1.0 / 600.0 - 161.0 / 120_000.0)
                        - x.powi(7) / 24_000.0);
                assert!((step.z[i] - next).abs() < 1e-14 * next.abs());
                assert!((step.slope[i] - k[i] * next).abs() < 1e-14 * next.abs());
                assert!((step.error[i] - error).abs() < 1e-14 * next.abs());
                let size = z[i].abs().max(next.abs());
                worst = worst.max(error.abs() / (tolerance * (1.0 + size)));
            }
            assert!(
                (step.worst / worst - 1.0).abs() < 1e-9,
                "{h}: {} {worst}",
                step.worst
            );
        }
        assert_eq!(walk.evaluations, 1 + 3 * COST);
        // What is left after a step is none where it is less than a billionth of the step.
        for (share, to) in [
            (1.0, 3.0),
            (1.0 + 0.9e-9, 3.0),
            (1.0 + 1.1e-9, 1.0 + 2.0 / (1.0 + 1.1e-9)),
        ] {
            assert_eq!(walk.step(2.0 / share).unwrap().to, to);
        }
        assert_eq!((walk.left(0.25), walk.left(-0.5)), (8.0, 4.0));
        // Errors add up by their sizes.
        let first = walk.step(0.5).unwrap();
        let errors = first.error.clone();
        walk.take(first);
        let second = walk.step(0.5).unwrap();
        let both: Vec<f64> = errors
            .iter()
            .zip(&second.error)
            .map(|(a, b)| a.abs() + b.abs())
            .collect();
        walk.take(second);
        assert_eq!((walk.u, walk.error), (2.0, both));
    }
}
