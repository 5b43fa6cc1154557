//! Averages of parameters against plain loops and integrals.

use gaussian_diffusion::training::{Ema, EmaRule, PowerProfile};
use ndarray::{Array1, Array2, array};

fn walk(steps: usize) -> Vec<f64> {
    let mut x = 0.0;
    (0..steps)
        .map(|i| {
            x += (i as f64 * 0.37).sin() + 0.02 * (i as f64 * 2.3).cos();
            x
        })
        .collect()
}

/// Decays by the formulas of the field's code, which counts updates from 0.
#[test]
fn decays_are_the_published_ones() {
    let ramped = EmaRule::ramped(0.999).unwrap();
    let warm = EmaRule::warm_up(2.0, 0.75, 0.99).unwrap();
    let power = EmaRule::power(PowerProfile::new(6.94).unwrap());
    for n in 1..20_000_u64 {
        let step = (n - 1) as f64;
        let wanted = if n == 1 {
            0.0
        } else {
            ((1.0 + step) / (10.0 + step)).min(0.999)
        };
        assert!((ramped.decay(n) - wanted).abs() < 1e-15);
        let wanted = (1.0 - (1.0 + step / 2.0).powf(-0.75)).min(0.99);
        assert!((warm.decay(n) - wanted).abs() < 1e-14);
        let wanted = (1.0 - 1.0 / n as f64).powf(7.94);
        assert!((power.decay(n) - wanted).abs() < 1e-14);
    }
    // The figures of its documentation, with inverse gamma 1.
    let reaches = |p: f64, n: u64| EmaRule::warm_up(1.0, p, 0.99999).unwrap().decay(n);
    assert!((reaches(2.0 / 3.0, 31_600) - 0.999).abs() < 1e-5);
    assert!((reaches(0.75, 10_000) - 0.999).abs() < 1e-5);
    assert_eq!(EmaRule::constant(0.9).unwrap().decay(1), 0.9);
    assert!(power.decay(u64::MAX) <= 1.0);
}

#[test]
fn averages_are_the_plain_loop() {
    let rules = [
        EmaRule::constant(0.95).unwrap(),
        EmaRule::ramped(0.9999).unwrap(),
        EmaRule::warm_up(1.0, 0.75, 0.99).unwrap(),
        EmaRule::power(PowerProfile::new(3.0).unwrap()),
    ];
    for rule in rules {
        let mut ema = Ema::new(rule, Array2::from_elem((2, 3), -1.0));
        let mut plain = -1.0;
        for (i, theta) in walk(300).into_iter().enumerate() {
            ema.update(&Array2::from_elem((2, 3), theta)).unwrap();
            let decay = rule.decay(i as u64 + 1);
            plain = decay * plain + (1.0 - decay) * theta;
        }
        assert_eq!(ema.updates(), 300);
        assert!(ema.average().iter().all(|a| (a - plain).abs() < 1e-12));
        // Saved and resumed.
        let mut again = Ema::resumed(rule, ema.average().clone(), ema.updates());
        let theta = Array2::from_elem((2, 3), 0.3);
        ema.update(&theta).unwrap();
        again.update(&theta).unwrap();
        assert_eq!(ema, again);
        // Refused, and unchanged.
        let error = ema.update(&Array2::zeros((1, 3))).unwrap_err();
        assert_eq!(error.to_string(), "array has shape [1, 3], expected [2, 3]");
        assert_eq!(ema, again);
    }
}

/// The average by the power rule, unrolled: each update weighs as much as the profile does over its
/// unit of time, exactly, since (1 - 1 / n)^(gamma + 1) telescopes.
/// Two averages are the same if their rules, their updates and their numbers are.
#[test]
fn averages_are_told_apart() {
    let made = |decay: f64, parameters: &[f64]| {
        let mut ema = Ema::new(EmaRule::constant(decay).unwrap(), array![0.0]);
        for parameter in parameters {
            ema.update(&array![*parameter]).unwrap();
        }
        ema
    };
    let ema = made(0.5, &[1.0, 2.0]);
    assert_eq!(ema, ema.clone());
    assert_eq!(ema, made(0.5, &[1.0, 2.0]));
    assert_ne!(ema, made(0.5, &[1.0, 3.0]));
    // Another rule and another number of updates that come to the same number.
    assert_ne!(made(0.5, &[0.0, 0.0]), made(0.25, &[0.0, 0.0]));
    assert_ne!(made(0.5, &[0.0, 0.0]), made(0.5, &[0.0]));
    let text = format!("{ema:?}");
    assert!(
        text.starts_with("Ema {") && text.contains("updates: 2"),
        "{text}"
    );
}

#[test]
fn power_rule_weighs_by_a_power_of_time() {
    let gamma = 5.0;
    let rule = EmaRule::power(PowerProfile::new(gamma).unwrap());
    for n in [100_usize, 200, 400] {
        let mut weights = vec![0.0; n];
        for i in 0..n {
            let decay = rule.decay(i as u64 + 1);
            weights.iter_mut().for_each(|w| *w *= decay);
            weights[i] = 1.0 - decay;
        }
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-13);
        let share = |i: f64| (i / n as f64).powf(gamma + 1.0);
        let worst = weights
            .iter()
            .enumerate()
            .map(|(i, w)| (w - (share(i as f64 + 1.0) - share(i as f64))).abs())
            .fold(0.0, f64::max);
        assert!(worst < 1e-14, "{worst}");
    }
    // Mean and width of the profile by the midpoint rule.
    let profile = PowerProfile::new(gamma).unwrap();
    let (mut mean, mut square) = (0.0, 0.0);
    for i in 0..100_000 {
        let t = (f64::from(i) + 0.5) / 1e5;
        let p = (gamma + 1.0) * t.powf(gamma) / 1e5;
        mean += p * t;
        square += p * t * t;
    }
    assert!((profile.relative_width() - (square - mean * mean).sqrt()).abs() < 1e-9);
}

/// The table of the paper: relative widths and exponents, and the cubic it solves.
#[test]
fn widths_and_exponents() {
    for (width, gamma) in [
        (0.25, 0.72),
        (0.2, 1.83),
        (0.15, 3.56),
        (0.1, 6.94),
        (0.05, 16.97),
    ] {
        let found = PowerProfile::of_relative_width(width).unwrap().gamma();
        assert!((found - gamma).abs() < 0.006, "{width}: {found}");
        let cubic = found.powi(3) + 7.0 * found * found + (16.0 - width.powi(-2)) * found + 12.0
            - width.powi(-2);
        assert!(
            cubic.abs() < 1e-9 * found.powi(3).max(1.0),
            "{width}: {cubic}"
        );
    }
}

#[test]
fn rules_refuse_what_is_out_of_range() {
    let message = |rule: Result<EmaRule, gaussian_diffusion::Error>| rule.unwrap_err().to_string();
    assert_eq!(
        message(EmaRule::constant(1.0)),
        "decay is 1, allowed: 0 to below 1"
    );
    assert_eq!(
        message(EmaRule::ramped(f64::NAN)),
        "decay is NaN, allowed: 0 to below 1"
    );
    assert_eq!(
        message(EmaRule::warm_up(0.0, 1.0, 0.9)),
        "inverse gamma is 0, allowed: 1e-6 to 1e12"
    );
    assert_eq!(
        message(EmaRule::warm_up(1.0, -1.0, 0.9)),
        "power is -1, allowed: 1e-6 to 1e12"
    );
    let profile =
        |made: Result<PowerProfile, gaussian_diffusion::Error>| made.unwrap_err().to_string();
    assert_eq!(
        profile(PowerProfile::new(-0.5)),
        "gamma is -0.5, allowed: 0 to 1e6"
    );
    assert_eq!(
        profile(PowerProfile::of_relative_width(0.3)),
        "relative width is 0.3, allowed: 1e-5 to 0.288"
    );
}

#[test]
fn single_numbers_and_empty_tensors() {
    let rule = EmaRule::constant(0.5).unwrap();
    let mut ema = Ema::new(rule, ndarray::arr0(1.0_f32));
    ema.update(&ndarray::arr0(3.0)).unwrap();
    assert_eq!(ema.into_average(), ndarray::arr0(2.0));
    let mut none = Ema::new(rule, Array1::<f64>::zeros(0));
    none.update(&Array1::zeros(0)).unwrap();
    let mut first = Ema::new(EmaRule::ramped(0.9).unwrap(), array![f64::NAN]);
    first.update(&array![4.0]).unwrap();
    assert_eq!(first.average(), &array![4.0]);
}

#[cfg(feature = "half")]
mod drift {
    use gaussian_diffusion::{
        state::Real,
        training::{Ema, EmaRule, PostHoc, PowerProfile},
    };
    use half::{bf16, f16};
    use ndarray::{Array1, array};

    /// Half a unit in the last place, relative to a number.
    fn rounding<A: Real>() -> f64 {
        let (mut unit, one) = (1.0, A::of(1.0));
        while A::of(1.0 + unit) != one {
            unit *= 0.5;
        }
        unit
    }

    fn rules() -> Vec<(f64, EmaRule)> {
        let mut rules = Vec::new();
        for decay in [0.0, 0.5, 0.99, 0.999, 0.9999, 0.99999] {
            rules.push((decay, EmaRule::constant(decay).unwrap()));
            rules.push((decay, EmaRule::ramped(decay).unwrap()));
            rules.push((decay, EmaRule::warm_up(1.0, 0.75, decay).unwrap()));
        }
        for gamma in [0.0, 6.94, 16.97] {
            rules.push((0.999, EmaRule::power(PowerProfile::new(gamma).unwrap())));
        }
        rules
    }

    /// Every rule in every type, from 0.5 towards parameters that stay, against the product of the
    /// decays: to the rounding of the type, and 1e-6 relative in f32 and f64.
    fn follows_constant_parameters<A: Real>() {
        for (decay, rule) in rules() {
            for target in [1.0, 0.5, -3.0] {
                let theta = array![A::of(target)];
                let mut ema = Ema::new(rule, array![A::of(0.5)]);
                let (mut log_left, updates) = (0.0, (5.0 / (1.0 - decay)) as u64);
                for update in 1..=updates.min(100_000) {
                    ema.update(&theta).unwrap();
                    log_left += rule.decay(update).ln();
                }
                let wanted = target + (0.5 - target) * log_left.exp();
                let found = ema.average()[0].get();
                let allowed = rounding::<A>().max(1e-9) * wanted.abs();
                assert!(
                    (found - wanted).abs() <= 1.01 * allowed,
                    "{rule:?} to {target}: {found} for {wanted}"
                );
            }
        }
    }

    #[test]
    fn no_rule_drifts_in_any_type() {
        follows_constant_parameters::<f64>();
        follows_constant_parameters::<f32>();
        follows_constant_parameters::<f16>();
        follows_constant_parameters::<bf16>();
    }

    /// The figure of the thread: 0.999, from 0.5 towards 1, 4999 updates.
    #[test]
    fn half_precision_moves() {
        let mut ema = Ema::new(
            EmaRule::constant(0.999).unwrap(),
            array![bf16::from_f64(0.5)],
        );
        for _ in 0..4999 {
            ema.update(&array![bf16::from_f64(1.0)]).unwrap();
        }
        assert!((ema.kept()[0] - 0.99664).abs() < 2e-5, "{}", ema.kept()[0]);
        assert_eq!(ema.average()[0], bf16::from_f64(0.99664));
        assert_eq!(ema.clone().into_average(), *ema.average());
    }

    /// Parameters that move: against the sum with its weights, each to all digits.
    fn follows_moving_parameters<A: Real>() {
        let theta: Vec<f64> = super::walk(3000).iter().map(|x| A::of(*x).get()).collect();
        for (_, rule) in rules() {
            let mut ema = Ema::new(rule, array![A::of(0.0)]);
            theta
                .iter()
                .for_each(|x| ema.update(&array![A::of(*x)]).unwrap());
            let (mut wanted, mut size, mut kept) = (0.0, 0.0_f64, 1.0);
            for (i, x) in theta.iter().enumerate().rev() {
                let decay = rule.decay(i as u64 + 1);
                wanted += kept * (1.0 - decay) * x;
                size = size.max(x.abs());
                kept *= decay;
            }
            let off = (ema.average()[0].get() - wanted).abs();
            let allowed = rounding::<A>() * wanted.abs() + 1e-12 * size;
            assert!(off <= 1.01 * allowed, "{rule:?}: {off:e}, {wanted}");
        }
    }

    #[test]
    fn averages_are_rounded_once() {
        follows_moving_parameters::<f64>();
        follows_moving_parameters::<f32>();
        follows_moving_parameters::<f16>();
        follows_moving_parameters::<bf16>();
    }

    /// After as many updates as there are, the power rule still moves.
    #[test]
    fn shares_keep_their_digits() {
        let rule = EmaRule::power(PowerProfile::new(6.94).unwrap());
        let mut ema =
            Ema::<Array1<f32>>::resumed_from_kept(rule, array![0.0], 1_000_000_000_000_000);
        ema.update(&array![1.0]).unwrap();
        assert!(
            (ema.kept()[0] * 1e15 / 7.94 - 1.0).abs() < 1e-12,
            "{}",
            ema.kept()[0]
        );
    }

    /// Snapshots in half precision: the average of constant parameters is what they are.
    #[test]
    fn averages_after_training_are_rounded_once() {
        let mut snapshots = PostHoc::new();
        for width in [0.05, 0.051, 0.1] {
            for time in [64, 128, 192, 256] {
                let profile = PowerProfile::of_relative_width(width).unwrap();
                snapshots
                    .add(profile, time, array![bf16::from_f64(0.3)])
                    .unwrap();
            }
        }
        let wanted = PowerProfile::of_relative_width(0.07).unwrap();
        assert_eq!(
            snapshots.average(wanted, 256).unwrap()[0],
            bf16::from_f64(0.3)
        );
    }
}
mod post_hoc {
    use super::walk;
    use gaussian_diffusion::training::{Ema, EmaRule, PostHoc, PowerProfile};
    use ndarray::{Array1, array};

    fn width(width: f64) -> PowerProfile {
        PowerProfile::of_relative_width(width).unwrap()
    }

    /// Snapshots of two averages over a run of 4096 updates, 16 of each.
    fn snapshots(theta: &[f64]) -> PostHoc<Array1<f64>> {
        let mut found = PostHoc::new();
        for profile in [width(0.05), width(0.1)] {
            let mut ema = Ema::new(EmaRule::power(profile), array![0.0]);
            for theta in theta {
                ema.update(&array![*theta]).unwrap();
                if ema.updates() % 256 == 0 {
                    found
                        .add(profile, ema.updates(), ema.average().clone())
                        .unwrap();
                }
            }
        }
        found
    }

    /// Against the average kept during training, of parameters that move between -8 and 8. Measured:
    /// 9e-4 for the width 0.07, 4e-3 for 0.15, 4e-2 for 0.2, which is wide for these snapshots.
    #[test]
    fn averages_made_after_training_are_those_of_training() {
        let theta: Vec<f64> = walk(4096)
            .iter()
            .enumerate()
            .map(|(i, x)| x + (i as f64 / 500.0).sin() * 5.0)
            .collect();
        let found = snapshots(&theta);
        for (wanted, tolerance) in [
            (0.05, 1e-12),
            (0.1, 1e-12),
            (0.07, 2e-3),
            (0.15, 1e-2),
            (0.2, 8e-2),
        ] {
            for end in [4096_usize, 3072] {
                let mut ema = Ema::new(EmaRule::power(width(wanted)), array![0.0]);
                for theta in &theta[..end] {
                    ema.update(&array![*theta]).unwrap();
                }
                let made = found.average(width(wanted), end as u64).unwrap();
                let off = (made[0] - ema.average()[0]).abs();
                assert!(off < tolerance, "{wanted} at {end}: {off}");
            }
        }
        // A snapshot is itself, and nothing else.
        let factors = found.factors(width(0.1), 2048).unwrap();
        for (i, factor) in factors.iter().enumerate() {
            let wanted = if i == 16 + 7 { 1.0 } else { 0.0 };
            assert!((factor - wanted).abs() < 1e-7, "{i}: {factor}");
        }
    }

    /// Two snapshots by Cramer's rule with overlaps integrated by the midpoint rule.
    #[test]
    fn factors_solve_the_normal_equations() {
        let (a, b, wanted) = ((2.0, 60.0), (7.0, 100.0), (4.0, 90.0));
        let profile = |(gamma, t): (f64, f64), tau: f64| match tau <= t {
            true => (gamma + 1.0) / t * (tau / t).powf(gamma),
            false => 0.0,
        };
        let overlap = |p, q| {
            (0..200_000)
                .map(|i| {
                    let tau = (f64::from(i) + 0.5) / 2000.0;
                    profile(p, tau) * profile(q, tau) / 2000.0
                })
                .sum::<f64>()
        };
        let (aa, ab, bb) = (overlap(a, a), overlap(a, b), overlap(b, b));
        let (ra, rb) = (overlap(a, wanted), overlap(b, wanted));
        let exact = [ra * bb - rb * ab, rb * aa - ra * ab];
        let exact = exact.map(|factor| factor / exact.iter().sum::<f64>());
        let made = |gamma| PowerProfile::new(gamma).unwrap();
        let mut snapshots = PostHoc::new();
        snapshots.add(made(2.0), 60, array![1.0]).unwrap();
        snapshots.add(made(7.0), 100, array![10.0]).unwrap();
        let found = snapshots.factors(made(4.0), 90).unwrap();
        for (found, exact) in found.iter().zip(exact) {
            assert!((found - exact).abs() < 1e-5, "{found}, {exact}");
        }
        let average = snapshots.average(made(4.0), 90).unwrap();
        assert!((average[0] - (found[0] + 10.0 * found[1])).abs() < 1e-14);
    }

    /// Factors add up to 1, however coarse the snapshots: constant parameters stay what they are. Least
    /// squares alone gives 0.881 for the first, which is what the paper has.
    #[test]
    fn factors_add_up_to_one() {
        for (times, widths, wanted) in [
            (&[64, 128, 256][..], &[0.05, 0.1][..], 0.15),
            (&[64, 128, 256], &[0.05, 0.1], 0.25),
            (&[64, 128, 256], &[0.05, 0.1], 0.02),
            (&[10], &[0.05], 0.2),
            (&[1, 2, 3, 1000], &[0.01, 0.28], 0.1),
            (&[1000, 2000, 3000, 4000, 5000], &[0.05, 0.051, 0.1], 0.07),
        ] {
            let mut snapshots = PostHoc::new();
            for width_of in widths {
                for &time in times {
                    snapshots
                        .add(width(*width_of), time, array![3.0_f32])
                        .unwrap();
                }
            }
            for end in [1, 50, 200, 256, 10_000] {
                let factors = snapshots.factors(width(wanted), end).unwrap();
                let (sum, size) = factors
                    .iter()
                    .fold((0.0, 0.0), |(sum, size), f| (sum + f, size + f.abs()));
                assert!((sum - 1.0).abs() < 1e-15 * (1.0 + size), "{wanted}: {sum}");
                let made = snapshots.average(width(wanted), end).unwrap()[0];
                let rounding = f32::EPSILON * (1.0 + size as f32);
                assert!(
                    (made - 3.0).abs() < 3.0 * rounding,
                    "{wanted} at {end}: {made}"
                );
            }
        }
    }

    #[test]
    fn errors() {
        let mut none = PostHoc::<Array1<f64>>::new();
        let missing = none.average(width(0.1), 5).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "a snapshot is missing, an average made after training needs it"
        );
        let zero = none.add(width(0.1), 0, array![1.0]).unwrap_err();
        assert_eq!(zero.to_string(), "updates is 0, allowed: 1 or more");
        none.add(width(0.1), 4, array![1.0]).unwrap();
        let twice = none.add(width(0.1), 4, array![1.0]).unwrap_err();
        assert_eq!(
            twice.to_string(),
            "updates is 4, allowed: a time the profile has no snapshot of"
        );
        let mut far = PostHoc::new();
        far.add(PowerProfile::new(1000.0).unwrap(), 1000, array![1.0])
            .unwrap();
        let nothing = far
            .factors(PowerProfile::new(10.0).unwrap(), 1)
            .unwrap_err();
        assert_eq!(
            nothing.to_string(),
            "sum of the factors is 0, allowed: above 0"
        );
        none.add(width(0.1), 8, array![1.0, 2.0]).unwrap();
        assert!(none.average(width(0.05), 8).is_err());
    }
}
