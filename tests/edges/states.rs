//! States of every shape and layout against a plain loop, to the bit.

use std::fmt::Debug;

use gaussian_diffusion::{
    Grid, Plan, Point, SeededNoise, State, Step,
    noise::{NoiseSource, Scale},
    predicts,
    schedule::Discrete,
    solver::{Ddim, Ddpm},
    state::Real,
    training::squared_error,
};
use ndarray::{Array, ArrayD, Axis, Dimension, IxDyn, ShapeBuilder};

const SHAPES: [&[usize]; 13] = [
    &[],
    &[0],
    &[1],
    &[5],
    &[2, 3],
    &[3, 1],
    &[0, 3],
    &[2, 0],
    &[2, 3, 2],
    &[1, 2, 1, 3],
    &[2, 0, 3, 1],
    &[2, 1, 2, 1, 2],
    &[1, 2, 2, 1, 2, 3],
];

/// Numbers of usual and unusual size, with every kind that is not finite.
fn number(i: usize) -> f64 {
    const EDGES: [f64; 9] = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        -0.0,
        0.0,
        1e-40,
    ];
    match i % 7 {
        3 => EDGES[(i / 7) % EDGES.len()],
        _ => ((i as u64 * 2_654_435_761) % 1_000_003) as f64 / 3e5 - 1.6,
    }
}

/// The same array in every layout an owned array can have: rows first, columns first, an axis
/// reversed, every axis reversed, every second of a larger one, a column repeated.
fn layouts<A: Real>(shape: &[usize], seed: usize) -> Vec<ArrayD<A>> {
    let plain = {
        let mut i = 7 * seed;
        ArrayD::from_shape_simple_fn(IxDyn(shape), || {
            i += 1;
            A::of(number(i))
        })
    };
    let copied = |mut target: ArrayD<A>| {
        target.assign(&plain);
        target
    };
    let zero = A::of(0.0);
    let mut all = vec![copied(ArrayD::from_elem(IxDyn(shape).f(), zero))];
    let mut reversed = ArrayD::from_elem(IxDyn(shape), zero);
    for axis in 0..shape.len() {
        reversed.invert_axis(Axis(axis));
        all.push(copied(reversed.clone()));
    }
    for axis in 0..shape.len() {
        let mut larger = shape.to_vec();
        larger[axis] *= 2;
        let mut sparse = ArrayD::from_elem(IxDyn(&larger), A::of(f64::NAN));
        sparse.slice_axis_inplace(Axis(axis), ndarray::Slice::new(0, None, 2));
        all.push(copied(sparse));
    }
    if let Some(column) = ArrayD::from_elem(IxDyn(&[1]), zero).broadcast(IxDyn(shape)) {
        all.push(copied(column.to_owned()));
    }
    all.push(plain);
    all
}

fn same<A: Real>(found: &ArrayD<A>, expected: &[A], what: &dyn Debug) {
    assert_eq!(found.len(), expected.len());
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        let (a, b) = (a.get(), b.get());
        // Which NaN it is belongs to the processor.
        let equal = a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        assert!(equal, "{a:e} for {b:e} at {i} of {what:?}");
    }
}

/// `own * y` and then term after term, in the precision of sums, rounded once; an own of 0 does not
/// read.
fn slow<A: Real>(own: f64, y: A, terms: impl Iterator<Item = (f64, A)>) -> A {
    let own = A::Wide::of(own);
    let zero = A::Wide::of(0.0);
    let first = if own == zero { zero } else { own * y.widen() };
    A::narrow(terms.fold(first, |sum, (c, t)| sum + A::Wide::of(c) * t.widen()))
}

const COEFFICIENTS: [f64; 7] = [0.5, -2.0, 0.1, 3.0, 0.0, -0.7, 1e-30];
const OWN: [f64; 6] = [0.0, -0.0, 1.0, -0.3, 1e-60, 1.0 + 1e-12];

fn combinations<A: Real>() {
    for shape in SHAPES {
        let of_y = layouts::<A>(shape, 0);
        let of_terms: Vec<_> = (1..=7).map(|seed| layouts::<A>(shape, seed)).collect();
        let logical: Vec<Vec<A>> = of_terms
            .iter()
            .map(|all| all[0].iter().copied().collect())
            .collect();
        let items = shape.first().copied().unwrap_or(1);
        let length = shape.iter().skip(1).product::<usize>().max(1);
        for (i, y) in of_y.iter().enumerate() {
            for count in 0..=7 {
                for rotation in 0..=of_y.len() {
                    // All in the layout of y, all in another one, and every one in a different one.
                    let pick = |k: usize| match rotation == of_y.len() {
                        true => &of_terms[k][(i + k) % of_y.len()],
                        false => &of_terms[k][rotation],
                    };
                    let own = OWN[(i + count + rotation) % OWN.len()];
                    let what = (shape, i, count, rotation, own);
                    let terms: Vec<_> = (0..count).map(|k| (COEFFICIENTS[k], pick(k))).collect();
                    let mut found = y.clone();
                    found.combine(own, &terms).unwrap();
                    let expected: Vec<A> = y
                        .iter()
                        .enumerate()
                        .map(|(e, &y)| {
                            slow(own, y, (0..count).map(|k| (COEFFICIENTS[k], logical[k][e])))
                        })
                        .collect();
                    same(&found, &expected, &what);

                    // An own coefficient and coefficients of its own for every item.
                    let list = |k: usize| -> Vec<f64> {
                        (0..items)
                            .map(|item| COEFFICIENTS[(k + 3 * item) % 7])
                            .collect()
                    };
                    let owns: Vec<f64> = (0..items)
                        .map(|item| OWN[(count + item) % OWN.len()])
                        .collect();
                    let lists: Vec<_> = (0..count).map(list).collect();
                    let terms: Vec<_> =
                        (0..count).map(|k| (lists[k].as_slice(), pick(k))).collect();
                    let mut found = y.clone();
                    found.combine_items(&owns, &terms).unwrap();
                    let expected: Vec<A> = y
                        .iter()
                        .enumerate()
                        .map(|(e, &y)| {
                            let item = e / length;
                            slow(
                                owns[item],
                                y,
                                (0..count).map(|k| (lists[k][item], logical[k][e])),
                            )
                        })
                        .collect();
                    same(&found, &expected, &what);
                }
            }
        }
    }
}

#[test]
fn combinations_in_single_precision() {
    combinations::<f32>();
}

#[test]
fn combinations_in_double_precision() {
    combinations::<f64>();
}

fn elementwise<A: Real>() {
    for shape in SHAPES {
        // From the first number on come NaN and the infinities, later the smallest ones.
        for y in [0, 3]
            .into_iter()
            .flat_map(|seed| layouts::<A>(shape, seed))
        {
            let old: Vec<A> = y.iter().copied().collect();
            let map = |f: &dyn Fn(A) -> A| old.iter().map(|&y| f(y)).collect::<Vec<_>>();
            for (low, high) in [
                (-0.5, 0.75),
                (f64::NEG_INFINITY, 0.0),
                (1.0, f64::INFINITY),
                (-0.0, 0.0),
            ] {
                let mut found = y.clone();
                found.clamp(low, high).unwrap();
                let (low, high) = (A::of(low), A::of(high));
                let expected = map(&|y| {
                    if y < low {
                        low
                    } else if y > high {
                        high
                    } else {
                        y
                    }
                });
                same(&found, &expected, &("clamp", shape, low, high));
            }
            for (offset, scale) in [
                (0.1, 0.5),
                (0.0, 0.0),
                (f64::NEG_INFINITY, 1.0),
                (1e300, -1e300),
            ] {
                let mut found = y.clone();
                found.exp_affine(offset, scale).unwrap();
                let expected = map(&|y| A::of(libm::exp(offset + scale * y.get())));
                // Two exponentials, each to a unit in the last place of f64.
                for (found, expected) in found.iter().zip(&expected) {
                    let (found, expected) = (found.get(), expected.get());
                    let is_same = found.total_cmp(&expected).is_eq() || found == expected;
                    let is_nan = found.is_nan() && expected.is_nan();
                    let is_next = (found - expected).abs() <= 2.0 * f64::EPSILON * expected;
                    assert!(is_same || is_nan || is_next, "{found} for {expected}");
                }
            }
            assert_eq!(
                y.is_finite(),
                old.iter().all(|y| y.get().is_finite()),
                "{shape:?}"
            );
            assert_eq!(y.items(), shape.first().copied().unwrap_or(1));
        }
    }
    // A single bad element, wherever it is.
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for at in 0..40 {
            for shape in [(5, 8).into_shape_with_order(), (5, 8).f()] {
                let mut y = Array::from_elem(shape, A::of(1.0));
                assert!(y.is_finite());
                y[[at / 8, at % 8]] = A::of(bad);
                assert!(!y.is_finite(), "{bad} at {at}");
            }
        }
    }
}

#[test]
fn elementwise_functions() {
    elementwise::<f32>();
    elementwise::<f64>();
}

#[test]
fn noise_and_losses_do_not_see_the_layout() {
    for shape in SHAPES {
        let (scales, targets) = (layouts::<f64>(shape, 1), layouts::<f64>(shape, 2));
        let items = shape.first().copied().unwrap_or(1);
        let list: Vec<f64> = (0..items).map(|i| 0.5 + i as f64).collect();
        let mut first: Option<(ArrayD<f64>, Vec<f64>)> = None;
        for (i, y) in layouts::<f64>(shape, 0).into_iter().enumerate() {
            let mut found = y.clone();
            let mut noise = SeededNoise::new(9);
            noise.add(&mut found, Scale::Same(0.3), None).unwrap();
            noise.add(&mut found, Scale::PerItem(&list), None).unwrap();
            let scale = &scales[(i + 1) % scales.len()];
            noise
                .add(&mut found, Scale::PerElement(scale), None)
                .unwrap();
            let loss = squared_error(&y, &targets[(i + 2) % targets.len()])
                .unwrap()
                .to_vec();
            assert_eq!(loss.len(), items);
            let (x, before) = first.get_or_insert_with(|| (found.clone(), loss.clone()));
            let x: Vec<f64> = x.iter().copied().collect();
            same(&found, &x, &(shape, i));
            assert!(
                loss.iter()
                    .zip(before)
                    .all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
            );
        }
    }
}

/// A run in every shape, from every layout, with a network that answers in another one.
#[test]
fn runs_of_every_shape_and_layout() {
    let schedule = Discrete::cosine(50).unwrap();
    let grid = Grid::trailing(&schedule, 4).unwrap();
    for shape in SHAPES {
        for solver in [
            &Ddim::default() as &dyn gaussian_diffusion::ReverseStep,
            &Ddpm::default(),
        ] {
            let plan = Plan::new(&schedule, &grid, solver).unwrap();
            let run = |start: ArrayD<f32>, network_order_is_f: bool| {
                let mut network = predicts::velocity(|x: &ArrayD<f32>, at: Point<Step>| {
                    let said = x.mapv(|x| 0.5 * x - at.time.get() as f32 / 100.0);
                    match network_order_is_f {
                        true => {
                            let mut answer = ArrayD::zeros(IxDyn(shape).f());
                            answer.assign(&said);
                            answer
                        }
                        false => said,
                    }
                });
                plan.sample(start, &mut network, &mut SeededNoise::new(3))
                    .unwrap()
            };
            let starts = layouts::<f32>(shape, 4).into_iter().map(|mut x| {
                x.mapv_inplace(|x| if x.abs() < 10.0 { x } else { 1.0 });
                x
            });
            let mut expected: Option<Vec<f32>> = None;
            for start in starts {
                for order in [false, true] {
                    let found = run(start.clone(), order);
                    let expected = expected.get_or_insert_with(|| found.iter().copied().collect());
                    same(&found, expected, &(shape, solver.name()));
                }
            }
        }
    }
}

/// Dimensions known to the compiler, an empty batch among them.
#[test]
fn static_dimensions() {
    fn check<D: Dimension>(shape: D) {
        let plan = {
            let schedule = Discrete::cosine(10).unwrap();
            let grid = Grid::every(&schedule).unwrap();
            Plan::new(&schedule, &grid, &Ddpm::default()).unwrap()
        };
        let mut noise = SeededNoise::new(1);
        let start: Array<f64, D> = plan.prior(shape, &mut noise).unwrap();
        let mut network = predicts::x0(|x: &Array<f64, D>, _: Point<Step>| x.mapv(|_| 0.25));
        let end = plan.sample(start, &mut network, &mut noise).unwrap();
        assert!(end.iter().all(|x| (x - 0.25).abs() < 1e-12));
    }
    check(ndarray::Ix0());
    check(ndarray::Ix1(3));
    check(ndarray::Ix2(0, 4));
    check(ndarray::Ix3(2, 0, 3));
    check(ndarray::Ix4(2, 1, 3, 2));
    check(ndarray::Ix5(1, 2, 1, 2, 1));
    check(ndarray::Ix6(2, 1, 2, 1, 2, 1));
    check(IxDyn(&[2, 1, 2, 1, 2, 1, 2]));
}
