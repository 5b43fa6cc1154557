//! FDG, Perp-Neg, Mahiro and epsilon scaling.

use std::{cell::Cell, rc::Rc};

use gaussian_diffusion::{
    Denoiser, Error, Grid, LogSnr, NoiseLevel, Parameterization, Plan, Point, SeededNoise, Sigma,
    State,
    guidance::{
        Bands, Combination, EpsilonScaling, GuidanceInterval, Guided, InBands, LaplacianPyramid,
        Mahiro, PerpNeg, Predictions, Projected, Rule, Strength, Within,
    },
    predicts,
    schedule::{Cosine, Discrete, Edm, RectifiedFlow, SubVp, VpLinear},
    solver::Ddim,
};
use ndarray::{Array1, Array2, Array4, ArrayD, Axis, IxDyn, array};
use serde_json::Value;

use super::{close, list, reference};

/// Both sides of these numbers are sums of a few dozen products of numbers up to 20.
const PEER: f64 = 1e-12;

fn shape(row: &Value) -> Vec<usize> {
    list(&row["shape"])
        .into_iter()
        .map(|n| n as usize)
        .collect()
}

fn filled(shape: &[usize], number: impl Fn(f64) -> f64) -> ArrayD<f64> {
    let count = shape.iter().product::<usize>();
    let numbers = (0..count).map(|k| number(k as f64)).collect();
    ArrayD::from_shape_vec(IxDyn(shape), numbers).unwrap()
}

fn with(shape: &[usize]) -> ArrayD<f64> {
    filled(shape, |k| (0.7 * k + 0.3).sin())
}

fn without(shape: &[usize]) -> ArrayD<f64> {
    filled(shape, |k| 0.8 * (0.4 * k).cos() - 0.1)
}

fn unwanted(shape: &[usize]) -> ArrayD<f64> {
    filled(shape, |k| (1.1 * k).sin() + 0.2)
}

fn at(level: NoiseLevel) -> Point<()> {
    Point::new((), level, NoiseLevel::CLEAN)
}

fn here() -> Point<()> {
    at(NoiseLevel::new(0.6, 0.8).unwrap())
}

fn combined<R: Rule<ArrayD<f64>>>(rule: &mut R, given: &[ArrayD<f64>]) -> ArrayD<f64> {
    let given = given.iter().cloned().map(Some).collect();
    rule.combine(Predictions::new(given), here()).unwrap()
}

fn meets(found: &ArrayD<f64>, row: &Value) {
    let expected = list(&row["value"]);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        close(*found, expected, PEER, row["shape"].to_string());
    }
}

#[test]
fn rules_meet_the_numbers_of_their_programs() {
    let rows = reference("guidance.json");
    let mut cases = 0;
    for row in rows["frequency_decoupled"].as_array().unwrap() {
        let (shape, scales) = (shape(row), list(&row["scales"]));
        let given = [with(&shape), without(&shape)];
        let found = match row["parallel"].is_null() {
            true => combined(&mut InBands::frequency_decoupled(scales).unwrap(), &given),
            false => {
                let rules: Vec<_> = scales
                    .iter()
                    .zip(list(&row["parallel"]))
                    .map(|(w, along)| Projected::new(*w).unwrap().with_parallel(along).unwrap())
                    .collect();
                let pyramid = LaplacianPyramid::new(rules.len()).unwrap();
                combined(&mut InBands::new(pyramid, rules).unwrap(), &given)
            }
        };
        meets(&found, row);
        cases += 1;
    }
    for row in rows["perpendicular"].as_array().unwrap() {
        let (w, s) = (
            row["scale"].as_f64().unwrap(),
            row["negative"].as_f64().unwrap(),
        );
        let shape = shape(row);
        let given = [with(&shape), unwanted(&shape), without(&shape)];
        meets(&combined(&mut PerpNeg::new(w, [s]).unwrap(), &given), row);
        cases += 1;
    }
    for row in rows["mahiro"].as_array().unwrap() {
        let shape = shape(row);
        let mut rule = Mahiro::new(row["scale"].as_f64().unwrap()).unwrap();
        meets(&combined(&mut rule, &[with(&shape), without(&shape)]), row);
        cases += 1;
    }
    for row in rows["epsilon_scaling"].as_array().unwrap() {
        let scale = row["scale"].as_f64().unwrap();
        let x = unwanted(&[1, 6]);
        // ComfyUI's x / alpha, and its x on a flow.
        for (level, terms) in [
            (NoiseLevel::new(1.0, 2.5).unwrap(), Parameterization::Noise),
            (NoiseLevel::new(0.3, 0.7).unwrap(), Parameterization::Flow),
        ] {
            let net = predicts::x0(|_: &ArrayD<f64>, _: Point<()>| with(&[1, 6]));
            let mut net = EpsilonScaling::new(net, scale)
                .unwrap()
                .with_parameterization(terms);
            // On a flow the node's "x - denoised" is sigma times the velocity, also where alpha + sigma = 1.
            let answer = net.predict(&x, at(level)).unwrap();
            let found = answer.to(Parameterization::X0, &x, level).unwrap().value;
            for (found, expected) in found.iter().zip(list(&row["value"])) {
                close(*found, expected, PEER, (scale, level));
            }
            cases += 1;
        }
    }
    assert_eq!(cases, 23);
}

/// A network that counts how often it is asked.
fn counted<V: State>(value: V, calls: &Rc<Cell<usize>>) -> impl Denoiser<V, ()> + use<V> {
    let calls = Rc::clone(calls);
    predicts::x0(move |_: &V, _: Point<()>| {
        calls.set(calls.get() + 1);
        value.clone()
    })
}

/// What a rule makes of three networks, and how often each is asked.
fn asked<R: Rule<Array4<f64>>>(rule: R, values: &[Array4<f64>]) -> (Array4<f64>, Vec<usize>) {
    let calls: Vec<Rc<Cell<usize>>> = values.iter().map(|_| Rc::default()).collect();
    let nets: Vec<_> = values
        .iter()
        .zip(&calls)
        .map(|(value, calls)| counted(value.clone(), calls))
        .collect();
    let found = Guided::new(nets, rule)
        .predict(&values[0], here())
        .unwrap()
        .value;
    (found, calls.iter().map(|calls| calls.get()).collect())
}

fn images() -> [Array4<f64>; 3] {
    let shape = [2, 3, 8, 4];
    [with(&shape), without(&shape), unwanted(&shape)].map(|x| x.into_dimensionality().unwrap())
}

fn cfg(scale: f64) -> Combination {
    Combination::classifier_free(scale).unwrap()
}

fn in_two<R>(fine: R, coarse: R) -> InBands<LaplacianPyramid, R> {
    InBands::new(LaplacianPyramid::new(2).unwrap(), vec![fine, coarse]).unwrap()
}

fn nearly(a: &Array4<f64>, b: &Array4<f64>) -> bool {
    a.dim() == b.dim()
        && a.iter()
            .zip(b)
            .all(|(a, b)| (a - b).abs() <= 2e-14 * b.abs().max(1.0))
}

#[test]
fn scales_of_0_and_1_and_equal_predictions_are_special() {
    let [c, u, n] = images();
    let two = [c.clone(), u.clone()];
    // To the last bit, and nothing else is asked for.
    assert_eq!(
        asked(in_two(cfg(1.0), cfg(1.0)), &two),
        (c.clone(), vec![1, 0])
    );
    assert_eq!(
        asked(in_two(cfg(0.0), cfg(0.0)), &two),
        (u.clone(), vec![0, 1])
    );
    assert_eq!(
        asked(Mahiro::new(1.0).unwrap(), &two),
        (c.clone(), vec![1, 0])
    );
    assert_eq!(
        asked(Mahiro::new(0.0).unwrap(), &two),
        (u.clone(), vec![0, 1])
    );
    // Small scales are near the scale 0, which ComfyUI's code is not.
    let (found, _) = asked(Mahiro::new(1e-12).unwrap(), &two);
    assert!((found - &u).iter().all(|d| d.abs() < 1e-11));
    let three = [c.clone(), n.clone(), u.clone()];
    let perp = |w: f64, s: f64| PerpNeg::new(w, [s]).unwrap();
    assert_eq!(asked(perp(1.0, 0.0), &three), (c.clone(), vec![1, 0, 0]));
    assert_eq!(asked(perp(0.0, 2.0), &three), (u.clone(), vec![0, 0, 1]));
    let (found, calls) = asked(perp(3.0, 0.0), &three);
    assert_eq!(calls, [1, 0, 1]);
    assert!(nearly(&found, &(&u + &(&(&c - &u) * 3.0))));
    assert_eq!(asked(perp(3.0, 0.5), &three).1, [1, 1, 1]);
    // One scale for all bands is classifier-free guidance.
    let (found, _) = asked(in_two(cfg(3.0), cfg(3.0)), &two);
    assert!(nearly(&found, &(&u + &(&(&c - &u) * 3.0))));
    // Within its interval alone, a band is guided.
    let outside = Within::new(cfg(3.0), GuidanceInterval::steps(5, 9));
    let within = Within::new(cfg(3.0), GuidanceInterval::steps(0, 9));
    let (found, _) = asked(in_two(within.clone(), outside.clone()), &two);
    let (expected, _) = asked(in_two(cfg(3.0), cfg(1.0)), &two);
    assert_eq!(found, expected);
    assert_eq!(
        asked(in_two(outside.clone(), outside), &two),
        (c.clone(), vec![1, 0])
    );
    // Predictions that agree are what is predicted.
    let same = [c.clone(), c.clone()];
    assert!(nearly(&asked(in_two(cfg(9.0), cfg(4.0)), &same).0, &c));
    assert!(nearly(&asked(Mahiro::new(9.0).unwrap(), &same).0, &c));
    let same = [c.clone(), c.clone(), c.clone()];
    assert!(nearly(&asked(perp(9.0, 2.0), &same).0, &c));
    // An unwanted condition along the wanted one changes nothing.
    let along = &u + &(&(&c - &u) * 2.5);
    let (found, _) = asked(perp(4.0, 1.5), &[c.clone(), along, u.clone()]);
    assert!(nearly(&found, &(&u + &(&(&c - &u) * 4.0))));
    // Where the wanted condition says nothing, all of the unwanted one counts.
    let (found, _) = asked(perp(4.0, 0.5), &[u.clone(), n.clone(), u.clone()]);
    assert!(nearly(&found, &(&u - &(&(&n - &u) * 2.0))));
}

/// Against a loop over items; two unwanted conditions; a scale that follows the level.
#[test]
fn several_unwanted_conditions_are_taken_away_item_by_item() {
    let [c, n, u] = images();
    let m = n.mapv(|x| (3.0 * x).cos());
    let scale = Strength::of_level(|level| 10.0 * level.sigma());
    let rule = PerpNeg::new(scale, [0.5, -0.25]).unwrap();
    let (found, _) = asked(rule, &[c.clone(), n.clone(), m.clone(), u.clone()]);
    for i in 0..2 {
        let row = |x: &Array4<f64>| Array1::from_iter(x.index_axis(Axis(0), i).iter().copied());
        let u = row(&u);
        let (p, d, e) = (row(&c) - &u, row(&n) - &u, row(&m) - &u);
        let perpendicular = |d: &Array1<f64>| d - &(&p * (d.dot(&p) / p.dot(&p)));
        let expected =
            &u + &((&p - &(perpendicular(&d) * 0.5) + &(perpendicular(&e) * 0.25)) * 8.0);
        for (found, expected) in row(&found).iter().zip(&expected) {
            close(*found, *expected, 1e-13, i);
        }
    }
}

/// The pyramid in one, two and three dimensions of space: bands add up, a constant is in the last one.
#[test]
fn pyramids_have_what_they_were_made_of() {
    for shape in [
        vec![2, 3, 16],
        vec![1, 2, 5, 7],
        vec![1, 1, 4, 8, 12],
        vec![2, 1, 9, 1, 16],
        vec![1, 2, 3, 0],
        vec![0, 2, 8, 8],
    ] {
        let x = with(&shape);
        for bands in 1..=3 {
            let pyramid = LaplacianPyramid::new(bands).unwrap();
            let Ok(parts) = pyramid.split(&x) else {
                // A side of 1 cannot be halved.
                assert!(
                    bands > 1 && shape.contains(&1) && shape.len() > 4,
                    "{shape:?} {bands}"
                );
                continue;
            };
            assert_eq!(parts.len(), bands);
            let again = pyramid.join(&parts, &x).unwrap();
            assert!(
                (&again - &x).iter().all(|d| d.abs() < 1e-15),
                "{shape:?} {bands}"
            );
            let constant = pyramid.split(&x.mapv(|_| 0.7)).unwrap();
            for (i, part) in constant.iter().enumerate() {
                let expected: f64 = if i + 1 == bands { 0.7 } else { 0.0 };
                assert!(
                    part.iter().all(|x| (x - expected).abs() < 1e-15),
                    "{shape:?}"
                );
            }
        }
    }
    // In single precision as in double.
    let [c, u, _] = images();
    let single = [c.mapv(|x| x as f32), u.mapv(|x| x as f32)];
    let mut rule = in_two(cfg(8.0), cfg(3.0));
    let found = rule
        .combine(Predictions::new(single.map(Some).to_vec()), here())
        .unwrap();
    let (expected, _) = asked(in_two(cfg(8.0), cfg(3.0)), &[c, u]);
    assert!(
        found
            .iter()
            .zip(&expected)
            .all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5)
    );
}

/// Runs a rule on two networks, in the given terms.
fn run<R: Rule<Array4<f64>>, T: Copy + std::fmt::Debug>(
    plan: &Plan<T>,
    rule: R,
    terms: Parameterization,
) -> Array4<f64> {
    let answer = |k: f64| move |x: &Array4<f64>, _: Point<T>| x.mapv(|x| (k * x).tanh());
    let nets = (predicts::x0(answer(0.9)), predicts::x0(answer(0.4)));
    let mut net = Guided::new(nets, rule).with_parameterization(terms);
    let mut noise = SeededNoise::new(4);
    let start = plan.prior((2, 3, 4, 4), &mut noise).unwrap();
    plan.sample(start, &mut net, &mut noise).unwrap()
}

/// Every family of levels: what is linear is the same in all terms; the items of a batch do not mix; and what is
/// in terms of the data is the same run on levels of one ratio of noise to signal.
#[test]
fn rules_hold_on_every_schedule() {
    fn check<T: Copy + std::fmt::Debug>(plan: &Plan<T>) {
        use Parameterization::{Flow, Noise, Velocity, X0};
        let bands = || in_two(cfg(4.0), cfg(2.0));
        let expected = run(plan, bands(), X0);
        let first = plan.levels()[0];
        for terms in [Noise, Velocity, Flow] {
            if first.is_noise() && terms == Noise {
                continue;
            }
            let found = run(plan, bands(), terms);
            let off = (&found - &expected)
                .iter()
                .fold(0.0_f64, |m, d| m.max(d.abs()));
            // Noise is a difference of numbers `sigma / alpha` times as large as the data.
            assert!(
                off < 1e-11 * (1.0 + first.noise_to_signal().min(1e3)),
                "{terms:?} {off}"
            );
        }
        let one = || PerpNeg::new(3.0, [0.0]).unwrap();
        let nets =
            |k: f64| predicts::x0(move |x: &Array4<f64>, _: Point<T>| x.mapv(|x| (k * x).tanh()));
        let mut noise = SeededNoise::new(4);
        let start: Array4<f64> = plan.prior((2, 3, 4, 4), &mut noise).unwrap();
        let mut perp = Guided::new((nets(0.9), nets(0.1), nets(0.4)), one());
        let found = plan
            .sample(start.clone(), &mut perp, &mut noise.clone())
            .unwrap();
        let plain = run(plan, cfg(3.0), X0);
        assert!((&found - &plain).iter().all(|d| d.abs() < 1e-12));

        let perp = || PerpNeg::new(3.0, [0.7]).unwrap();
        let together = |start: Array4<f64>| {
            let guided = Guided::new((nets(0.9), nets(0.1), nets(0.4)), perp());
            let mahiro = Guided::new((nets(0.9), nets(0.4)), Mahiro::new(4.0).unwrap());
            let mut scaled = EpsilonScaling::new(mahiro, 1.01).unwrap();
            let mut guided = guided;
            let x = plan
                .sample(start, &mut guided, &mut SeededNoise::new(0))
                .unwrap();
            let levels = plan.levels();
            let again = x * levels[0].alpha().hypot(levels[0].sigma());
            plan.sample(again, &mut scaled, &mut SeededNoise::new(0))
                .unwrap()
        };
        let both = together(start.clone());
        assert!(both.iter().all(|x| x.is_finite()));
        for i in 0..2 {
            let alone = together(start.select(Axis(0), &[i]));
            assert_eq!(alone, both.select(Axis(0), &[i]));
        }
    }
    let sigma = |s| Sigma::new(s).unwrap();
    let s = Discrete::stable_diffusion().unwrap();
    check(&Plan::new(&s, &Grid::trailing(&s, 6).unwrap(), &Ddim::default()).unwrap());
    let s = Discrete::cosine(1000).unwrap();
    check(&Plan::new(&s, &Grid::trailing(&s, 6).unwrap(), &Ddim::default()).unwrap());
    let s = Edm::new(sigma(0.01), sigma(20.0)).unwrap();
    check(&Plan::new(&s, &Grid::karras(&s, 6).unwrap(), &Ddim::default()).unwrap());
    let s = VpLinear::new(0.1, 20.0).unwrap();
    check(&Plan::new(&s, &Grid::uniform_time(&s, 6).unwrap(), &Ddim::default()).unwrap());
    let s = SubVp::new(0.1, 20.0).unwrap();
    check(&Plan::new(&s, &Grid::uniform_time(&s, 6).unwrap(), &Ddim::default()).unwrap());
    check(
        &Plan::new(
            &Cosine,
            &Grid::uniform_time(&Cosine, 6).unwrap(),
            &Ddim::default(),
        )
        .unwrap(),
    );
    let grid = Grid::uniform_time(&RectifiedFlow, 6).unwrap();
    check(&Plan::new(&RectifiedFlow, &grid, &Ddim::default()).unwrap());
}

/// Of one network in all terms and at all levels: the noise is divided, and the data follows.
#[test]
fn scaled_noise_says_what_the_data_is() {
    let x = array![[0.3, -1.2, 2.0]];
    for level in [
        NoiseLevel::variance_preserving(LogSnr::new(1.0).unwrap()).unwrap(),
        NoiseLevel::variance_preserving(LogSnr::new(-6.0).unwrap()).unwrap(),
        NoiseLevel::new(1.0, 3.0).unwrap(),
        NoiseLevel::new(0.4, 0.6).unwrap(),
        NoiseLevel::new(0.7, 0.2).unwrap(),
    ] {
        let eps = x.mapv(|x: f64| (2.0 * x).sin());
        for terms in [
            Parameterization::X0,
            Parameterization::Velocity,
            Parameterization::Flow,
        ] {
            let answer = gaussian_diffusion::Prediction::noise(eps.clone());
            let answer = answer.to(terms, &x, level).unwrap();
            let net =
                predicts::with(move |_: &Array2<f64>, _: Point<()>| Ok::<_, Error>(answer.clone()));
            let mut net = EpsilonScaling::new(net, vec![1.1, 1.2]).unwrap();
            let mut place = at(level);
            place.step = 5;
            let found = net.predict(&x, place).unwrap();
            assert_eq!(found.parameterization, Parameterization::Noise);
            let data = found
                .clone()
                .to(Parameterization::X0, &x, level)
                .unwrap()
                .value;
            for ((found, data), (x, eps)) in found.value.iter().zip(&data).zip(x.iter().zip(&eps)) {
                let size = 1.0 + level.noise_to_signal();
                close(*found, eps / 1.2, 1e-13 * size, level);
                let expected = (x - level.sigma() * eps / 1.2) / level.alpha();
                close(*data, expected, 1e-13 * size, level);
            }
        }
    }
    // Nothing but noise, and a scale of 1: as it was, to the last bit.
    let net = || predicts::velocity(|x: &Array2<f64>, _: Point<()>| x * 0.3);
    let mut scaled = EpsilonScaling::new(net(), 1.01).unwrap();
    let expected = net().predict(&x, at(NoiseLevel::NOISE)).unwrap();
    assert_eq!(scaled.predict(&x, at(NoiseLevel::NOISE)).unwrap(), expected);
    let mut none = EpsilonScaling::new(net(), 1.0).unwrap();
    assert_eq!(
        none.predict(&x, here()).unwrap(),
        net().predict(&x, here()).unwrap()
    );
}

#[test]
fn bad_input_is_refused() {
    let message = |error: Error| error.to_string();
    let none: [f64; 0] = [];
    assert_eq!(
        message(PerpNeg::new(3.0, none).unwrap_err()),
        "number of negative scales is 0, allowed: 1 or more"
    );
    assert_eq!(
        message(PerpNeg::new(3.0, [f64::NAN]).unwrap_err()),
        "guidance scale is NaN, allowed: a finite number"
    );
    assert!(PerpNeg::new(f64::INFINITY, [1.0]).is_err());
    assert!(Mahiro::new(f64::NAN).is_err());
    assert!(InBands::frequency_decoupled([1.0, f64::NAN]).is_err());
    assert_eq!(
        message(InBands::frequency_decoupled(none).unwrap_err()),
        "number of bands is 0, allowed: 1 to 32"
    );
    assert!(LaplacianPyramid::new(33).is_err());
    assert_eq!(
        message(
            InBands::new(LaplacianPyramid::new(2).unwrap(), Vec::<Combination>::new()).unwrap_err()
        ),
        "number of rules is 0, allowed: 1 or more"
    );
    let net = || predicts::x0(|x: &Array2<f64>, _: Point<()>| x.clone());
    assert_eq!(
        message(EpsilonScaling::new((), vec![1.0, 0.0]).unwrap_err()),
        "scale of a prediction is 0, allowed: a finite number but 0"
    );
    let zero = Strength::of_level(|_| 0.0);
    let mut net = EpsilonScaling::new(net(), zero).unwrap();
    assert!(net.predict(&array![[1.0]], here()).is_err());
    let pyramid = LaplacianPyramid::new(2).unwrap();
    assert_eq!(
        message(pyramid.split(&array![[1.0, 2.0]]).unwrap_err()),
        "an axis after items and channels is missing, a Laplacian pyramid needs it"
    );
    assert_eq!(
        message(
            LaplacianPyramid::new(4)
                .unwrap()
                .split(&with(&[1, 1, 3, 8]))
                .unwrap_err()
        ),
        "side of an image is 3, allowed: more than 4 for 4 bands"
    );
    let three = InBands::new(LaplacianPyramid::new(2).unwrap(), vec![cfg(2.0); 3]).unwrap();
    let given = Predictions::new(vec![
        Some(with(&[1, 1, 4, 4])),
        Some(without(&[1, 1, 4, 4])),
    ]);
    let mut three = three;
    assert_eq!(
        message(three.combine(given, here()).unwrap_err()),
        "number of rules is 3, allowed: 2, the number of bands"
    );
    let parts = pyramid.split(&with(&[1, 1, 4, 4])).unwrap();
    for bad in [&parts[..1], &[], &[parts[1].clone(), parts[0].clone()][..]] {
        assert!(pyramid.join(bad, &with(&[1, 1, 4, 4])).is_err());
    }
    // Bands of a smaller image, and of one of fewer axes.
    for other in [
        vec![1, 1, 8, 4],
        vec![1, 1, 4, 8],
        vec![1, 1, 4, 4, 1],
        vec![1, 1, 4],
    ] {
        assert_eq!(
            message(pyramid.join(&parts, &with(&other)).unwrap_err()),
            format!("band of a Laplacian pyramid has shape [1, 1, 4, 4], expected {other:?}")
        );
    }
}

/// One band is what it was made of, with no axes of space and any sides.
#[test]
fn one_band_is_the_image_as_it_is() {
    let pyramid = LaplacianPyramid::new(1).unwrap();
    for shape in [vec![3], vec![2, 3], vec![1, 2, 5], vec![2, 1, 1, 7]] {
        let x = with(&shape);
        let parts = pyramid.split(&x).unwrap();
        assert_eq!(parts, std::slice::from_ref(&x));
        assert_eq!(pyramid.join(&parts, &x).unwrap(), x);
    }
}

/// An item of a batch is guided as it is alone.
#[test]
fn items_do_not_mix() {
    let shape = [3, 2, 4, 6];
    let given = [with(&shape), without(&shape)];
    type Made = Box<dyn Fn() -> Box<dyn Rule<ArrayD<f64>>>>;
    let rules: [Made; 3] = [
        Box::new(|| Box::new(Mahiro::new(5.0).unwrap())),
        Box::new(|| Box::new(InBands::frequency_decoupled([4.0, 2.0]).unwrap())),
        Box::new(|| Box::new(PerpNeg::new(3.0, [1.5]).unwrap())),
    ];
    for (k, rule) in rules.iter().enumerate() {
        let given = match k {
            2 => vec![given[0].clone(), unwanted(&shape), given[1].clone()],
            _ => given.to_vec(),
        };
        let together = combined(&mut rule(), &given);
        for item in 0..3 {
            let alone: Vec<_> = given.iter().map(|x| x.select(Axis(0), &[item])).collect();
            assert_eq!(
                combined(&mut rule(), &alone),
                together.select(Axis(0), &[item]),
                "{k}"
            );
        }
        assert_ne!(together, given[0]);
    }
}

/// The first prediction, which would not be asked what it needs beyond it.
struct First;

impl<V: State> Rule<V> for First {
    fn count(&self) -> usize {
        1
    }

    fn needs(&self, index: usize, _: Point<()>) -> Result<bool, Error> {
        assert_eq!(index, 0);
        Ok(true)
    }

    fn combine(&mut self, mut predictions: Predictions<V>, _: Point<()>) -> Result<V, Error> {
        predictions.take(0)
    }
}

#[test]
fn rules_of_bands_are_asked_for_their_own_predictions() {
    type Rules = Vec<Box<dyn Rule<Array4<f64>>>>;
    let rules = |scale: f64| -> Rules { vec![Box::new(First), Box::new(cfg(scale))] };
    let made = |scale: f64| InBands::new(LaplacianPyramid::new(2).unwrap(), rules(scale)).unwrap();
    let [c, u, _] = images();
    // A scale of 1 leaves the other network unasked.
    assert_eq!(
        asked(made(1.0), &[c.clone(), u.clone()]),
        (c.clone(), vec![1, 0])
    );
    let (found, calls) = asked(made(3.0), &[c.clone(), u.clone()]);
    assert_eq!(calls, [1, 1]);
    // The coarse band alone is guided.
    let pyramid = LaplacianPyramid::new(2).unwrap();
    let (of_c, of_u) = (pyramid.split(&c).unwrap(), pyramid.split(&u).unwrap());
    let coarse = &of_u[1] + &((&of_c[1] - &of_u[1]) * 3.0);
    let expected = pyramid.join(&[of_c[0].clone(), coarse], &c).unwrap();
    assert!(
        found
            .iter()
            .zip(&expected)
            .all(|(a, b)| (a - b).abs() < 1e-13)
    );
}
