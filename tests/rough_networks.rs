//! Adaptive solvers on networks that jump: what they cost, how near they come, and what errors say.

use std::collections::BTreeSet;

use gaussian_diffusion::{
    Denoiser, Error, LogSnr, NoiseLevel, Point, Prediction, SeededNoise, Sigma, Time,
    likelihood::{Exact, ProbabilityFlow},
    predicts,
    schedule::{Cosine, Edm, RectifiedFlow},
    solver::{DpmAdaptive, DpmAdaptiveReport},
    state::Real,
};
use ndarray::{Array2, array};

const VARIANCE: f64 = 0.25;

/// Numbers from -1 to 1 that differ for any two arguments.
fn jump(x: f64, sigma: f64) -> f64 {
    let bits = x.to_bits() ^ sigma.to_bits().rotate_left(17);
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// The exact denoiser of `N(0, VARIANCE)` with a relative error of this size, counting its calls.
fn net<'a, A: Real, T: Copy + 'a>(
    rough: f64,
    calls: &'a mut usize,
) -> impl Denoiser<Array2<A>, T> + 'a {
    predicts::x0(move |x: &Array2<A>, at: Point<T>| {
        *calls += 1;
        let (alpha, sigma) = (at.level.alpha(), at.level.sigma());
        let gain = VARIANCE * alpha / (alpha * alpha * VARIANCE + sigma * sigma);
        x.mapv(|x| A::of(gain * x.get() * (1.0 + rough * jump(x.get(), sigma))))
    })
}

/// Where the exact flow takes `x`.
fn exact(x: f64, from: NoiseLevel, to: NoiseLevel) -> f64 {
    let std = |level: NoiseLevel| (level.alpha().powi(2) * VARIANCE + level.sigma().powi(2)).sqrt();
    x * std(to) / std(from)
}

fn values<A: Real>() -> Array2<A> {
    Array2::from_shape_fn((2, 8), |(i, j)| {
        A::of(0.1 + 0.37 * i as f64 - 0.13 * j as f64)
    })
}

/// Both directions, with the default tolerance: few evaluations, and an error of the size of the jumps, as
/// is told.
fn follows<A: Real>(rough: f64, most: usize) {
    let schedule = RectifiedFlow;
    let time = |t| Time::new(t).unwrap();
    let flow = ProbabilityFlow::between(&schedule, time(0.999), time(0.01)).unwrap();
    let (first, last) = (NoiseLevel::new(0.001, 0.999), NoiseLevel::new(0.99, 0.01));
    let (first, last) = (first.unwrap(), last.unwrap());
    for inverse in [false, true] {
        let mut calls = 0;
        let x = values::<A>();
        let (found, from, to) = match inverse {
            true => (flow.encode(&x, &mut net(rough, &mut calls)), last, first),
            false => (flow.decode(&x, &mut net(rough, &mut calls)), first, last),
        };
        let found = found.unwrap();
        assert_eq!(found.evaluations, calls);
        let off = found
            .value
            .iter()
            .zip(&x)
            .fold(0.0_f64, |worst, (found, x)| {
                worst.max((found.get() - exact(x.get(), from, to)).abs())
            });
        println!(
            "rough {rough:e}, inverse {inverse}: {calls} evaluations, off {off:.1e}, told {:.1e}",
            found.error
        );
        assert!(calls < most, "{rough}: {calls}");
    }
}

#[test]
fn no_network_blows_up_the_default() {
    for rough in [0.0, 1e-7, 1e-5, 1e-3, 1e-1, 1.0] {
        follows::<f64>(rough, 4000);
        follows::<f32>(rough, 4000);
    }
}

#[cfg(feature = "half")]
#[test]
fn half_precision_does_not_blow_up_the_default() {
    for rough in [0.0, 1e-3] {
        follows::<half::bf16>(rough, 4000);
        follows::<half::f16>(rough, 4000);
    }
}

/// The log-density as well.
#[test]
fn log_densities_do_not_blow_up() {
    let schedule = Cosine;
    let time = |t| Time::new(t).unwrap();
    let flow = ProbabilityFlow::between(&schedule, time(0.999), time(0.01)).unwrap();
    let mut calls = 0;
    let mut net = Exact(|x: &Array2<f64>, at: Point<Time>| {
        calls += 1;
        let (alpha, sigma) = (at.level.alpha(), at.level.sigma());
        let gain = VARIANCE * alpha / (alpha * alpha * VARIANCE + sigma * sigma);
        let rough = |x: f64| 1.0 + 1e-3 * jump(x, sigma);
        let trace = x
            .outer_iter()
            .map(|x| x.iter().map(|x| gain * rough(0.5 * x)).sum());
        Ok::<_, Error>((
            Prediction::x0(x.mapv(|x| gain * x * rough(x))),
            trace.collect(),
        ))
    });
    let found = flow.log_density(&values(), &mut net).unwrap();
    println!("log-density: {calls}, told {:?}", found.integration_error);
    assert!(calls < 4000, "{calls}");
    for (found, x) in found.log_density.iter().zip(values::<f64>().outer_iter()) {
        let variance = VARIANCE * (0.01 * std::f64::consts::FRAC_PI_2).cos().powi(2)
            + (0.01 * std::f64::consts::FRAC_PI_2).sin().powi(2);
        let wanted: f64 = x
            .iter()
            .map(|x| -0.5 * (x * x / variance + (std::f64::consts::TAU * variance).ln()))
            .sum();
        let off = found.value.nats().get() - wanted;
        assert!(off.abs() < 0.02, "{off}");
    }
}

/// What is asked for is held to, or refused with the reason.
#[test]
fn tolerance_and_roughness_are_told_apart() {
    let schedule = RectifiedFlow;
    let time = |t| Time::new(t).unwrap();
    let flow = || ProbabilityFlow::between(&schedule, time(0.999), time(0.01)).unwrap();
    let mut calls = 0;
    let asked = flow().with_tolerance(1e-8).unwrap();
    let error = asked
        .encode(&values::<f64>(), &mut net(1e-3, &mut calls))
        .unwrap_err();
    println!("{error}");
    let Error::Rough {
        tolerance,
        possible,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert!(
        tolerance == 1e-8 && possible > 1e-8 && possible < 1e-3,
        "{possible}"
    );
    assert!(calls < 1000, "{calls}");
    let mut calls = 0;
    let looser = flow().with_tolerance(4.0 * possible).unwrap();
    looser
        .encode(&values::<f64>(), &mut net(1e-3, &mut calls))
        .unwrap();
    assert!(calls <= 20_010, "{calls}");

    let mut calls = 0;
    let little = flow().with_tolerance(1e-13).unwrap().with_limit(100);
    let error = little
        .encode(&values::<f64>(), &mut net(0.0, &mut calls))
        .unwrap_err();
    println!("{error}");
    assert!(
        matches!(error, Error::Unfinished { done, .. } if done > 0.0 && done < 1.0),
        "{error}"
    );
    assert!((80..=100).contains(&calls), "{calls}");
}

/// The same of the adaptive DPM-Solver: at tolerances that no network of such jumps can meet.
#[test]
fn adaptive_dpm_solvers_do_not_blow_up() {
    let schedule = Edm::default();
    let snr = |sigma| LogSnr::from_sigma(Sigma::new(sigma).unwrap());
    for order in [2, 3] {
        for (rough, tolerance) in [(1e-3, 1e-8), (1e-1, 1e-6), (1.0, 1e-5)] {
            let mut calls = 0;
            let solver = DpmAdaptive::new(order).unwrap();
            let strict = solver
                .clone()
                .with_tolerances(tolerance, tolerance)
                .unwrap();
            let (from, to) = (snr(80.0), snr(0.01));
            let x = array![[80.0, -30.0, 5.0]];
            let mut noise = SeededNoise::new(0);
            let error = strict
                .sample(
                    &schedule,
                    from,
                    to,
                    x.clone(),
                    &mut net::<f64, _>(rough, &mut calls),
                    &mut noise,
                )
                .unwrap_err();
            println!("{order}, {rough}: {error}, {calls}");
            assert!(matches!(error, Error::Rough { .. }), "{error}");
            assert!(calls < 3000, "{calls}");
            // The default is not one of them.
            let mut calls = 0;
            solver
                .sample(
                    &schedule,
                    from,
                    to,
                    x,
                    &mut net::<f64, _>(rough, &mut calls),
                    &mut noise,
                )
                .unwrap();
            println!("{order}, {rough}: {calls} by default");
            assert!(calls < 3000, "{calls}");
        }
        // A smooth network that needs more than it may have.
        let mut calls = 0;
        let solver = DpmAdaptive::new(order).unwrap().with_limit(20);
        let solver = solver.with_tolerances(1e-9, 1e-9).unwrap();
        let error = solver
            .sample(
                &schedule,
                snr(80.0),
                snr(0.01),
                array![[80.0]],
                &mut net::<f64, _>(0.0, &mut calls),
                &mut SeededNoise::new(0),
            )
            .unwrap_err();
        println!("{error}");
        assert!(matches!(error, Error::Unfinished { .. }), "{error}");
    }
}

/// An adaptive run as it is described, on lists: what DPM-Solver-12 or -23 makes of every step, the controller, and
/// the longer step that tells whether a network is too rough. On `alpha = 1`, in half log-SNR.
struct Plain {
    order: usize,
    tolerance: f64,
    limit: usize,
    /// How much the network jumps, and how often.
    rough: (f64, f64),
    /// Evaluations, steps made and refused, and longer steps tried.
    counts: [usize; 4],
}

impl Plain {
    fn noise(&mut self, x: &[f64], lambda: f64) -> Vec<f64> {
        self.counts[0] += 1;
        let (sigma, (size, pace)) = ((-lambda).exp(), self.rough);
        let gain = VARIANCE / (VARIANCE + sigma * sigma) * (1.0 + size * (pace * lambda).sin());
        x.iter().map(|x| x * (1.0 - gain) / sigma).collect()
    }

    /// The step of both orders and its error.
    fn attempt(&mut self, x: &[f64], before: &[f64], from: f64, to: f64) -> [Vec<f64>; 3] {
        let h = to - from;
        let sum = |terms: &[(f64, &[f64])]| -> Vec<f64> {
            let element = |i: usize| x[i] + terms.iter().map(|(c, e)| c * e[i]).sum::<f64>();
            (0..x.len()).map(element).collect()
        };
        let noisy = |lambda: f64| (-lambda).exp();
        let grown = (h.exp() - 1.0) * noisy(to);
        let first = self.noise(x, from);
        let part = h / self.order as f64;
        let near = from + part;
        let trial = sum(&[(-noisy(near) * part.exp_m1(), &first)]);
        let second = self.noise(&trial, near);
        // Through the first answer and the one at the part.
        let slope = 0.5 * self.order as f64 * grown;
        let two = sum(&[(slope - grown, &first), (-slope, &second)]);
        let (low, high) = match self.order {
            2 => (sum(&[(-grown, &first)]), two),
            _ => {
                let (far, r) = (from + 2.0 * part, 2.0 * part);
                let bend = 2.0 * noisy(far) * (r.exp_m1() / r - 1.0);
                let trial = sum(&[(bend - noisy(far) * r.exp_m1(), &first), (-bend, &second)]);
                let third = self.noise(&trial, far);
                let bend = 1.5 * noisy(to) * (h.exp_m1() / h - 1.0);
                (two, sum(&[(bend - grown, &first), (-bend, &third)]))
            }
        };
        let square = |i: usize| {
            let size = low[i].abs().max(before[i].abs()).max(1.0);
            ((low[i] - high[i]) / (self.tolerance * size)).powi(2)
        };
        let error = ((0..x.len()).map(square).sum::<f64>() / x.len() as f64).sqrt();
        [low, high, vec![error]]
    }

    /// Where it ends, or what it is refused with.
    fn run(&mut self, x: &[f64], (start, end): (f64, f64), first: f64) -> Result<Vec<f64>, Error> {
        let (mut x, mut before, mut at, mut length) = (x.to_vec(), x.to_vec(), start, first);
        let mut last: Option<(f64, f64)> = None;
        let mut since = 0;
        while end - at > 1e-5 {
            let left = self.limit - self.counts[1] - self.counts[2];
            let too_many = left == 0 || since >= 16 && (end - at) > left as f64 * length;
            if let (true, Some((h, error))) = (too_many, last) {
                let [.., long] = self.attempt(&x, &before, at, (at + 8.0 * h).min(end));
                (since, self.counts[3]) = (0, self.counts[3] + 1);
                // Of a smooth network it is 8^order as large, of one that jumps 8 times: halfway.
                if long[0] < error * 8.0_f64.powf((1 + self.order) as f64 / 2.0) {
                    return Err(Error::Rough {
                        what: "the adaptive DPM-Solver",
                        tolerance: self.tolerance,
                        possible: 4.0 * self.tolerance * error * (end - start)
                            / h
                            / self.limit as f64,
                    });
                }
            }
            if left == 0 {
                return Err(Error::Unfinished {
                    what: "the adaptive DPM-Solver",
                    evaluations: self.counts[0],
                    done: (at - start) / (end - start),
                    tolerance: self.tolerance,
                });
            }
            let to = (at + length).min(end);
            let [low, high, error] = self.attempt(&x, &before, at, to);
            last = Some((length, error[0]));
            // The integral controller alone.
            let factor = (error[0] + 1e-8).powf(-1.0 / self.order as f64);
            let factor = 1.0 + (factor - 1.0).atan();
            length *= factor;
            if factor < 0.81 {
                self.counts[2] += 1;
                continue;
            }
            (self.counts[1], since) = (self.counts[1] + 1, since + 1);
            (x, before, at) = (high, low, to);
        }
        Ok(x)
    }
}

/// Every step, every refused one and every longer one that is tried on the way, by both orders, to the end or to
/// either error.
#[test]
fn adaptive_dpm_solvers_step_as_a_plain_loop_does() {
    let snr = |sigma| LogSnr::from_sigma(Sigma::new(sigma).unwrap());
    let (from, to) = (snr(80.0), snr(0.01));
    let x = [80.0, -30.0, 5.0];
    let mut ends = [0; 3];
    for order in [2, 3] {
        for (rough, tolerance, limit, first) in [
            ((0.3, 5.0), 0.01, 10_000, 0.05),
            ((0.3, 5.0), 1e-4, 10_000, 0.05),
            ((0.3, 5.0), 1e-3, 120, 0.05),
            // Ten longer steps on the way.
            ((0.0, 1.0), 1e-5, 300, 1e-3),
            ((0.0, 1.0), 1e-6, 200, 0.01),
            ((0.0, 1.0), 1e-9, 20, 0.05),
            ((0.2, 12.0), 1e-4, 60, 0.05),
            ((0.3, 40.0), 1e-4, 80, 0.05),
            ((0.3, 5.0), 1e-3, 1, 0.05),
            ((0.3, 5.0), 1e-3, 0, 0.05),
        ] {
            let name = format!("order {order}, {rough:?}, {tolerance}, {limit}");
            let mut plain = Plain {
                order,
                tolerance,
                limit,
                rough,
                counts: [0; 4],
            };
            let expected = plain.run(&x, (0.5 * from.get(), 0.5 * to.get()), first);
            let (mut calls, mut steps) = (0, BTreeSet::new());
            let mut net = predicts::x0(|x: &Array2<f64>, at: Point<Sigma>| {
                assert_eq!(at.evaluation, calls, "{name}");
                assert!(at.step <= calls / order, "{name}");
                steps.insert(at.step);
                calls += 1;
                let (sigma, (size, pace)) = (at.level.sigma(), rough);
                let lambda = -sigma.ln();
                x * (VARIANCE / (VARIANCE + sigma * sigma) * (1.0 + size * (pace * lambda).sin()))
            });
            let solver = DpmAdaptive::new(order)
                .and_then(|solver| solver.with_tolerances(tolerance, tolerance))
                .and_then(|solver| solver.with_first_step(first))
                .unwrap()
                .with_limit(limit);
            let start = Array2::from_shape_vec((1, 3), x.to_vec()).unwrap();
            let noise = &mut SeededNoise::new(0);
            let found = solver.sample(&Edm::default(), from, to, start, &mut net, noise);
            assert_eq!(calls, plain.counts[0], "{name}");
            let [evaluations, accepted, rejected, _] = plain.counts;
            // Each is tried, and the last of them where it is the last.
            let tried = accepted..=accepted + 1;
            assert!(tried.contains(&steps.len()), "{name}: {steps:?}");
            assert!(
                steps.last().is_none_or(|last| last + 1 == steps.len()),
                "{name}"
            );
            match (found, expected) {
                (Ok((found, report)), Ok(expected)) => {
                    ends[0] += 1;
                    let counts = DpmAdaptiveReport {
                        accepted,
                        rejected,
                        evaluations,
                    };
                    assert_eq!(report, counts, "{name}");
                    for (found, expected) in found.iter().zip(&expected) {
                        let off = (found - expected).abs();
                        assert!(
                            off < 1e-9 * expected.abs(),
                            "{name}: {found} for {expected}"
                        );
                    }
                }
                (Err(found), Err(expected)) => {
                    ends[1 + usize::from(matches!(found, Error::Rough { .. }))] += 1;
                    // The numbers of a message are rounded.
                    assert_eq!(found.to_string(), expected.to_string(), "{name}");
                    let possible = |error: &Error| match error {
                        Error::Rough { possible, .. } => *possible,
                        Error::Unfinished { done, .. } => *done,
                        _ => f64::NAN,
                    };
                    let (found, expected) = (possible(&found), possible(&expected));
                    assert!(
                        (found - expected).abs() <= 1e-6 * expected,
                        "{name}: {found} for {expected}"
                    );
                }
                (found, expected) => panic!("{name}: {found:?} for {expected:?}"),
            }
        }
    }
    // All three ends were met.
    assert_eq!(ends, [9, 8, 3]);
    // What is left out is no step.
    let (from, to) = (LogSnr::new(0.0).unwrap(), LogSnr::new(2e-5).unwrap());
    let mut calls = 0;
    let (x, report) = DpmAdaptive::new(2)
        .unwrap()
        .sample(
            &Edm::default(),
            from,
            to,
            array![[0.7]],
            &mut net::<f64, _>(0.0, &mut calls),
            &mut SeededNoise::new(0),
        )
        .unwrap();
    assert_eq!((x, report), (array![[0.7]], DpmAdaptiveReport::default()));
}
