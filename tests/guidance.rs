//! Guidance rules: closed forms on mixtures, slow loops, special cases, items that do not mix.

mod common {
    pub mod levels;
}

use std::{cell::Cell, fmt::Debug, rc::Rc};

use common::levels::{close, sigma, snr};
use gaussian_diffusion::{
    Denoiser, Error, GaussianMixture, Grid, NoiseLevel, NoiseSchedule, Parameterization, Plan,
    Point, Prediction, ReverseStep, SeededNoise, Sigma, State, Step,
    denoiser::{Correction, DynamicThreshold},
    guidance::{
        CfgPlusPlus, CfgZeroStar, Classifier, Combination, GuidanceInterval, Guided, InBands,
        LaplacianPyramid, MagnitudeAwareCfg, Predictions, Predictors, Projected, Rescaled, Rule,
        Strength, TangentialCfg, Together, Within,
    },
    noise::{NoiseSource, Scale},
    predicts,
    schedule::{
        Cosine, Discrete, Edm, LogSnrLinear, RectifiedFlow, Shifted, SubVp, VeGeometric, VpLinear,
    },
    solver::{At, Ddim, Ddpm, Path, Stage, Update},
    state::Real,
};
use nalgebra::DMatrix;
use ndarray::{Array1, Array2, Axis, array};

/// Runs the body for a schedule of every family.
macro_rules! every_schedule {
    (|$schedule:ident, $grid:ident| $body:block) => {
        every_schedule!(@ Discrete::cosine(1000), |s| Grid::trailing(s, 8), $schedule, $grid, $body);
        every_schedule!(@ Discrete::stable_diffusion(), |s| Grid::trailing(s, 8), $schedule, $grid, $body);
        every_schedule!(@ Edm::new(sigma(0.002), sigma(80.0)), |s| Grid::karras(s, 8), $schedule, $grid, $body);
        every_schedule!(@ VeGeometric::new(sigma(0.01), sigma(50.0)), |s| Grid::uniform_time(s, 8), $schedule, $grid, $body);
        every_schedule!(@ VpLinear::new(0.1, 20.0), |s| Grid::uniform_time(s, 8), $schedule, $grid, $body);
        every_schedule!(@ SubVp::new(0.1, 20.0), |s| Grid::uniform_time(s, 8), $schedule, $grid, $body);
        every_schedule!(@ Ok::<_, Error>(Cosine), |s| Grid::uniform_time(s, 8), $schedule, $grid, $body);
        every_schedule!(@ Ok::<_, Error>(RectifiedFlow), |s| Grid::uniform_time(s, 8), $schedule, $grid, $body);
        every_schedule!(@ Shifted::flow(3.0), |s| Grid::uniform_time(s, 8), $schedule, $grid, $body);
        every_schedule!(@ LogSnrLinear::new(snr(-8.0), snr(10.0)), |s| Grid::uniform_log_snr(s, 8), $schedule, $grid, $body);
    };
    (@ $make:expr, |$s:ident| $spaced:expr, $schedule:ident, $grid:ident, $body:block) => {{
        let $schedule = $make.unwrap();
        let $grid = {
            let $s = &$schedule;
            $spaced.unwrap()
        };
        $body
    }};
}

fn levels() -> Vec<NoiseLevel> {
    vec![
        NoiseLevel::variance_preserving(snr(1.0)).unwrap(),
        NoiseLevel::variance_preserving(snr(-6.0)).unwrap(),
        NoiseLevel::variance_exploding(sigma(3.0)).unwrap(),
        NoiseLevel::rectified_flow(snr(-2.0)).unwrap(),
        NoiseLevel::new(0.7, 0.2).unwrap(),
    ]
}

fn at(level: NoiseLevel) -> Point<()> {
    Point::new((), level, NoiseLevel::CLEAN)
}

/// A place in a run.
fn place(step: usize, evaluation: usize) -> Point<()> {
    let mut at = at(NoiseLevel::new(0.6, 0.8).unwrap());
    (at.step, at.evaluation) = (step, evaluation);
    at
}

fn normals(items: usize, seed: u64) -> Array2<f64> {
    let mut z = Array2::zeros((items, 6));
    let mut noise = SeededNoise::new(seed);
    noise.add(&mut z, Scale::Same(1.0), None).unwrap();
    z
}

/// One class, the other, and all data; all in two dimensions.
fn classes() -> [GaussianMixture; 3] {
    let parts = [
        (0.4, [-1.0, 0.3], 0.1),
        (0.6, [0.7, -0.2], 0.2),
        (0.5, [0.2, 1.0], 0.15),
    ];
    [
        GaussianMixture::isotropic(&parts[..1]).unwrap(),
        GaussianMixture::isotropic(&parts[1..]).unwrap(),
        GaussianMixture::isotropic(&parts).unwrap(),
    ]
}

/// The gradient of the log-density by central differences of 1e-5: off by about 1e-9.
fn score(mixture: &GaussianMixture, x: [f64; 2], level: NoiseLevel) -> [f64; 2] {
    let h = 1e-5 * level.sigma().max(0.1);
    [0, 1].map(|i| {
        let moved = |by: f64| {
            let mut x = x;
            x[i] += by;
            mixture.log_density(&x, level).unwrap()
        };
        (moved(h) - moved(-h)) / (2.0 * h)
    })
}

/// Every linear rule guides the score as it says, on every family of levels and in all terms.
#[test]
fn linear_rules_combine_the_scores_of_mixtures() {
    let [a, b, all] = classes();
    let three = || (a.clone(), b.clone(), all.clone());
    let two = || (a.clone(), all.clone());
    let x = array![[0.3, -0.4], [1.2, 0.5]];
    for level in levels() {
        for terms in [
            Parameterization::X0,
            Parameterization::Noise,
            Parameterization::Velocity,
            Parameterization::Flow,
            Parameterization::Score,
        ] {
            let pair = |rule| Guided::new(two(), rule).with_parameterization(terms);
            let triple = |rule| Guided::new(three(), rule).with_parameterization(terms);
            type Net = Box<dyn Denoiser<Array2<f64>, ()>>;
            let rules: [(Net, [f64; 3]); 6] = [
                (
                    Box::new(pair(Combination::classifier_free(3.5).unwrap())),
                    [3.5, 0.0, -2.5],
                ),
                (
                    Box::new(pair(Combination::classifier_free(-0.5).unwrap())),
                    [-0.5, 0.0, 1.5],
                ),
                (
                    Box::new(pair(Combination::perturbed(2.0).unwrap())),
                    [3.0, 0.0, -2.0],
                ),
                (
                    Box::new(triple(Combination::composed([2.0, -0.7]).unwrap())),
                    [2.0, -0.7, -0.3],
                ),
                (
                    Box::new(triple(Combination::image_and_text(1.5, 4.0).unwrap())),
                    [4.0, -2.5, -0.5],
                ),
                (
                    Box::new(
                        Guided::new(
                            (a.clone(), all.clone(), b.clone()),
                            Combination::classifier_free(2.0)
                                .unwrap()
                                .with_perturbed(0.5)
                                .unwrap(),
                        )
                        .with_parameterization(terms),
                    ),
                    [2.5, -0.5, -1.0],
                ),
            ];
            for (mut net, weights) in rules {
                let answer = net.predict(&x, at(level)).unwrap();
                let found = answer.to(Parameterization::Score, &x, level).unwrap().value;
                for (row, found) in x.rows().into_iter().zip(found.rows()) {
                    let row = [row[0], row[1]];
                    let scores = [&a, &b, &all].map(|m| score(m, row, level));
                    for i in 0..2 {
                        let expected: f64 =
                            weights.iter().zip(&scores).map(|(w, s)| w * s[i]).sum();
                        close(found[i], expected, 1e-6, (level, terms, weights));
                    }
                }
            }
        }
    }
}

/// A network that counts how often it is asked.
fn counted(value: f64, calls: &Rc<Cell<usize>>) -> impl Denoiser<Array2<f64>, ()> + use<> {
    let calls = Rc::clone(calls);
    predicts::x0(move |x: &Array2<f64>, _: Point<()>| {
        calls.set(calls.get() + 1);
        x.mapv(|x| (value * x).sin())
    })
}

/// What a rule makes of two networks that answer `sin(x)` and `sin(2 x)`, and how often each is asked.
fn asked<R: Rule<Array2<f64>>>(rule: R, at: Point<()>) -> (Array2<f64>, [usize; 2]) {
    let calls = [Rc::new(Cell::new(0)), Rc::new(Cell::new(0))];
    let nets = (counted(1.0, &calls[0]), counted(2.0, &calls[1]));
    let mut net = Guided::new(nets, rule);
    let found = net.predict(&normals(3, 1), at).unwrap().value;
    (found, calls.map(|calls| calls.get()))
}

/// The first of two predictions, and what it was at the question before.
#[derive(Clone, Default)]
struct Remembers(Option<Array2<f64>>);

impl Rule<Array2<f64>> for Remembers {
    fn count(&self) -> usize {
        2
    }

    fn combine(
        &mut self,
        mut predictions: Predictions<Array2<f64>>,
        _: Point<()>,
    ) -> Result<Array2<f64>, Error> {
        let own = predictions.take(0)?;
        let before = self.0.replace(own.clone());
        Ok(before.map_or(own.clone(), |before| own + before))
    }

    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<Array2<f64>>)) {
        visit(&mut self.0);
    }
}

/// Networks of the user's own, with what they remember.
struct Own(Option<Array2<f64>>);

impl Predictors<Array2<f64>, ()> for Own {
    fn count(&self) -> usize {
        2
    }

    fn predict(
        &mut self,
        x: &Array2<f64>,
        _: Point<()>,
        needed: &[bool],
    ) -> Result<Vec<Option<Prediction<Array2<f64>>>>, Error> {
        let one = |needed: &bool| needed.then(|| Prediction::x0(x.clone()));
        Ok(needed.iter().map(one).collect())
    }

    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<Array2<f64>>)) {
        visit(&mut self.0);
    }
}

#[test]
fn networks_of_ones_own_forget_too() {
    let mut own = Own(Some(array![[1.0]]));
    own.begin();
    assert_eq!(own.0, None);
    for (strength, shown) in [
        (Strength::from(2.5), "Strength(2.5)"),
        (Strength::from(vec![1.0, 3.0]), "Strength([1.0, 3.0])"),
        (Strength::of_level(|_| 1.0), "Strength(of level)"),
    ] {
        assert_eq!(format!("{strength:?}"), shown);
    }
}

/// The first question of a run forgets what an earlier run left, and no later one does.
#[test]
fn what_is_remembered_is_of_one_run() {
    let net =
        || predicts::x0(|_: &Array2<f64>, at: Point<()>| array![[1.0 + at.evaluation as f64]]);
    let check = |name: &str, guided: &mut dyn Denoiser<Array2<f64>, ()>| {
        for _ in 0..2 {
            let said = [0, 1, 2].map(|evaluation| {
                let answer = guided
                    .predict(&array![[0.5]], place(0, evaluation))
                    .unwrap();
                answer.data.unwrap_or(answer.value)[[0, 0]]
            });
            assert_eq!(said, [1.0, 3.0, 5.0], "{name}");
        }
    };
    check(
        "guided",
        &mut Guided::new((net(), net()), Remembers::default()),
    );
    let one_band = LaplacianPyramid::new(1).unwrap();
    let in_bands = InBands::new(one_band, vec![Remembers::default()]).unwrap();
    check("in bands", &mut Guided::new((net(), net()), in_bands));
    check(
        "CFG++",
        &mut CfgPlusPlus::new((net(), net()), Remembers::default()),
    );
}

#[test]
fn predictions_without_weight_are_not_asked_for() {
    let x = normals(3, 1);
    let (c, u) = (x.mapv(f64::sin), x.mapv(|x| (2.0 * x).sin()));
    let inside = place(3, 5);
    let cfg = |scale: f64| Combination::classifier_free(scale).unwrap();
    // To the last bit: nothing is computed.
    assert_eq!(asked(cfg(1.0), inside), (c.clone(), [1, 0]));
    assert_eq!(asked(cfg(0.0), inside), (u.clone(), [0, 1]));
    assert_eq!(
        asked(Combination::perturbed(0.0).unwrap(), inside),
        (c.clone(), [1, 0])
    );
    assert_eq!(
        asked(Projected::new(1.0).unwrap(), inside),
        (c.clone(), [1, 0])
    );
    let rules: [Box<dyn Rule<Array2<f64>>>; 3] = [
        Box::new(CfgZeroStar::new(1.0, 0).unwrap()),
        Box::new(TangentialCfg::new(1.0).unwrap()),
        Box::new(MagnitudeAwareCfg::new(1.0, 8.0).unwrap()),
    ];
    for rule in rules {
        assert_eq!(asked(rule, inside), (c.clone(), [1, 0]));
    }
    assert_eq!(asked(cfg(2.0), inside).1, [1, 1]);
    // Outside an interval, in an empty one, in a full one.
    let within = |interval| Within::new(cfg(2.0), interval);
    let guided = asked(cfg(2.0), inside);
    let sigmas = |low, high| GuidanceInterval::sigmas(low, high).unwrap();
    let sigma = 0.8 / 0.6;
    for (interval, holds) in [
        (GuidanceInterval::steps(3, 4), true),
        (GuidanceInterval::steps(0, 3), false),
        (GuidanceInterval::steps(4, 9), false),
        (GuidanceInterval::steps(3, 3), false),
        (GuidanceInterval::fraction(0.0, 1.0, 8).unwrap(), true),
        (GuidanceInterval::fraction(0.5, 0.5, 8).unwrap(), false),
        (GuidanceInterval::fraction(0.375, 0.5, 8).unwrap(), true),
        (sigmas(0.0, f64::INFINITY), true),
        (sigmas(sigma, sigma), false),
        (sigmas(sigma, 9.0), false),
        (sigmas(0.5, sigma), true),
    ] {
        let expected = if holds {
            guided.clone()
        } else {
            (c.clone(), [1, 0])
        };
        assert_eq!(asked(within(interval), inside), expected, "{interval:?}");
    }
    assert_eq!(
        GuidanceInterval::fraction(0.29, 1.0, 100).unwrap(),
        GuidanceInterval::steps(29, 100)
    );
    // No rescaling is no change; a full one has the deviation of the condition, and asks for it.
    assert_eq!(asked(Rescaled::new(cfg(2.0), 0.0).unwrap(), inside), guided);
    assert_eq!(
        asked(Rescaled::new(cfg(0.0), 0.0).unwrap(), inside).1,
        [0, 1]
    );
    let (full, calls) = asked(Rescaled::new(cfg(0.0), 1.0).unwrap(), inside);
    assert_eq!(calls, [1, 1]);
    for (row, c) in full.rows().into_iter().zip(c.rows()) {
        close(row.std(1.0), c.std(1.0), 1e-14, "full rescaling");
    }
    // Zero first: the condition is asked for its terms, the other not at all.
    let zero = CfgZeroStar::new(2.0, 4).unwrap();
    assert_eq!(asked(zero, inside), (&c * 0.0, [1, 0]));
}

/// Lists and functions of the level are read where they should be.
#[test]
fn strengths_follow_the_run() {
    let x = normals(3, 1);
    let (c, u) = (x.mapv(f64::sin), x.mapv(|x| (2.0 * x).sin()));
    let list = Combination::classifier_free(vec![1.0, 0.0, 3.0]).unwrap();
    for (step, scale) in [(0, 1.0), (1, 0.0), (2, 3.0), (9, 3.0)] {
        let found = asked(list.clone(), place(step, step)).0;
        assert!(
            (found - (&u + (&c - &u) * scale))
                .iter()
                .all(|d| d.abs() < 1e-15)
        );
    }
    let strength = Strength::of_level(|level| 10.0 * level.sigma());
    let found = asked(Combination::classifier_free(strength).unwrap(), place(0, 0)).0;
    assert!(
        (found - (&u + (&c - &u) * 8.0))
            .iter()
            .all(|d| d.abs() < 1e-14)
    );
}

/// A rule on given predictions.
fn combined<R: Rule<Array2<f64>>>(
    rule: &mut R,
    c: &Array2<f64>,
    u: &Array2<f64>,
    at: Point<()>,
) -> Array2<f64> {
    let predictions = Predictions::new(vec![Some(c.clone()), Some(u.clone())]);
    rule.combine(predictions, at).unwrap()
}

/// Each rule of inner products against loops over the items in other formulas.
#[test]
fn rules_of_inner_products_agree_with_slow_loops() {
    let (c, u) = (normals(7, 2), normals(7, 3) * 0.7 + normals(7, 2) * 0.5);
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    type Item<'a> = &'a dyn Fn(&[f64], &[f64]) -> Vec<f64>;
    let check = |what: &str, found: Array2<f64>, item: Item<'_>| {
        for (i, row) in found.rows().into_iter().enumerate() {
            let (c, u) = (c.row(i).to_vec(), u.row(i).to_vec());
            for (found, expected) in row.iter().zip(item(&c, &u)) {
                close(*found, expected, 1e-13, what);
            }
        }
    };
    let w = 4.5;
    let cfg = |c: &[f64], u: &[f64], w: f64| -> Vec<f64> {
        c.iter().zip(u).map(|(c, u)| u + w * (c - u)).collect()
    };
    let here = place(2, 2);

    let mut rule = Rescaled::new(Combination::classifier_free(w).unwrap(), 0.7).unwrap();
    check("rescaled", combined(&mut rule, &c, &u, here), &|c, u| {
        let g = cfg(c, u, w);
        let std = |v: &[f64]| {
            let mean = v.iter().sum::<f64>() / 6.0;
            (v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 5.0).sqrt()
        };
        let rescaled = g.iter().map(|g| g * std(c) / std(&cfg(c, u, w)));
        rescaled.zip(&g).map(|(r, g)| 0.7 * r + 0.3 * g).collect()
    });

    let mut rule = CfgZeroStar::new(w, 2).unwrap();
    check("zero star", combined(&mut rule, &c, &u, here), &|c, u| {
        let s = dot(c, u) / dot(u, u);
        c.iter()
            .zip(u)
            .map(|(c, u)| (1.0 - w) * s * u + w * c)
            .collect()
    });

    let mut rule = TangentialCfg::new(w).unwrap();
    check("tangential", combined(&mut rule, &c, &u, here), &|c, u| {
        let rows = DMatrix::from_fn(2, 6, |i, j| if i == 0 { c[j] } else { u[j] });
        let svd = rows.svd(false, true);
        let most = svd.singular_values.imax();
        let v: Vec<f64> = svd.v_t.unwrap().row(most).iter().copied().collect();
        let along = dot(u, &v);
        cfg(c, &v.iter().map(|v| along * v).collect::<Vec<_>>(), w)
    });

    let mut rule = MagnitudeAwareCfg::new(w, 8.0).unwrap();
    check("magnitude", combined(&mut rule, &c, &u, here), &|c, u| {
        let d: Vec<f64> = c.iter().zip(u).map(|(c, u)| c - u).collect();
        let w = 1.0 + (w - 1.0) * (-8.0 * dot(&d, &d).sqrt() / dot(u, u).sqrt()).exp();
        cfg(c, u, w)
    });
    let mut rule = MagnitudeAwareCfg::new(w, 0.0).unwrap();
    check(
        "magnitude without",
        combined(&mut rule, &c, &u, here),
        &|c, u| cfg(c, u, w),
    );

    // Three calls with momentum; then a new run, which begins with none.
    let mut rule = Projected::new(w).unwrap();
    rule = rule
        .with_momentum(-0.5)
        .unwrap()
        .with_norm(2.0)
        .unwrap()
        .with_parallel(0.3)
        .unwrap();
    for _ in 0..2 {
        let mut before = vec![[0.0; 6]; 7];
        for call in 0..3 {
            let (c, u) = (&c + f64::from(call), &u * f64::from(call + 1));
            let found = combined(&mut rule, &c, &u, place(call as usize, call as usize));
            for i in 0..7 {
                let (c, u) = (c.row(i).to_vec(), u.row(i).to_vec());
                let mut d = [0.0; 6];
                for j in 0..6 {
                    d[j] = c[j] - u[j] - 0.5 * before[i][j];
                }
                before[i] = d;
                let norm = dot(&d, &d).sqrt();
                let d = d.map(|d| d * f64::min(1.0, 2.0 / norm));
                let unit = dot(&c, &c).sqrt();
                let along: f64 = (0..6).map(|j| d[j] * c[j] / unit).sum();
                for j in 0..6 {
                    let parallel = along * c[j] / unit;
                    let expected = c[j] + (w - 1.0) * (d[j] - parallel + 0.3 * parallel);
                    close(found[[i, j]], expected, 1e-13, ("projected", call, i));
                }
            }
        }
    }
    let mut plain = Projected::new(w).unwrap().with_parallel(1.0).unwrap();
    check(
        "projected, plain",
        combined(&mut plain, &c, &u, here),
        &|c, u| cfg(c, u, w),
    );
}

/// Where a quotient has no value: equal predictions, zeros, constants, one element.
#[test]
fn degenerate_predictions_stay_finite() {
    let cases = [
        (array![[1.0, 2.0]], array![[1.0, 2.0]]),
        (array![[0.0, 0.0]], array![[1.0, 2.0]]),
        (array![[1.0, 2.0]], array![[0.0, 0.0]]),
        (array![[0.0, 0.0]], array![[0.0, 0.0]]),
        (array![[3.0, 3.0]], array![[1.0, 1.0]]),
        (array![[1.0, 0.0]], array![[0.0, 1.0]]),
        (array![[1.0]], array![[2.0]]),
        (Array2::zeros((0, 4)), Array2::zeros((0, 4))),
        (Array2::zeros((2, 0)), Array2::zeros((2, 0))),
    ];
    for (c, u) in cases {
        let rules: [Box<dyn Rule<Array2<f64>>>; 5] = [
            Box::new(Rescaled::new(Combination::classifier_free(3.0).unwrap(), 1.0).unwrap()),
            Box::new(CfgZeroStar::new(3.0, 0).unwrap()),
            Box::new(TangentialCfg::new(3.0).unwrap()),
            Box::new(MagnitudeAwareCfg::new(3.0, 8.0).unwrap()),
            Box::new(Projected::new(3.0).unwrap().with_norm(1.0).unwrap()),
        ];
        for mut rule in rules {
            let predictions = Predictions::new(vec![Some(c.clone()), Some(u.clone())]);
            let found = rule.combine(predictions, place(0, 0)).unwrap();
            assert!(State::is_finite(&found), "{c} {u}: {found}");
            assert_eq!(found.dim(), c.dim());
        }
    }
}

/// All rules by name, for the tests of what all have in common.
fn rules<V: State + 'static>() -> Vec<(&'static str, Box<dyn Rule<V>>)> {
    let cfg = || Combination::classifier_free(3.0).unwrap();
    let apg = Projected::new(3.0).unwrap().with_momentum(-0.5).unwrap();
    vec![
        ("classifier-free", Box::new(cfg())),
        ("perturbed", Box::new(Combination::perturbed(1.5).unwrap())),
        (
            "rescaled",
            Box::new(Within::new(
                Rescaled::new(BoxedCfg, 0.7).unwrap(),
                GuidanceInterval::steps(1, 7),
            )),
        ),
        ("projected", Box::new(apg.with_norm(1.0).unwrap())),
        ("zero star", Box::new(CfgZeroStar::new(3.0, 1).unwrap())),
        ("tangential", Box::new(TangentialCfg::new(3.0).unwrap())),
        (
            "magnitude-aware",
            Box::new(MagnitudeAwareCfg::new(3.0, 2.0).unwrap()),
        ),
    ]
}

/// A rule of one's own.
struct BoxedCfg;

impl<V: State> Rule<V> for BoxedCfg {
    fn count(&self) -> usize {
        2
    }

    fn combine(&mut self, mut predictions: Predictions<V>, _: Point<()>) -> Result<V, Error> {
        let mut c = predictions.take(0)?;
        c.combine(3.0, &[(-2.0, predictions.get(1)?)])?;
        Ok(c)
    }
}

/// The item in row `i` of a batch is what the item alone gives, wherever it stands: to the last bit.
fn items_do_not_mix<A: Real, T: Copy + Debug>(plan: &Plan<T>) {
    let [a, _, all] = classes();
    let start: Array2<A> = plan.prior((5, 2), &mut SeededNoise::new(3)).unwrap();
    let order = [3, 0, 4, 2, 1];
    for kind in 0..rules::<Array2<A>>().len() + 1 {
        let run = |x: &Array2<A>| {
            let nets = (a.clone(), all.clone());
            let mut noise = SeededNoise::new(0);
            let mut rules = rules::<Array2<A>>();
            if kind == rules.len() {
                let rule = Combination::classifier_free(0.8).unwrap();
                let mut net = CfgPlusPlus::new(nets, rule);
                return plan.sample(x.clone(), &mut net, &mut noise).unwrap();
            }
            let net = Guided::new(nets, rules.swap_remove(kind).1);
            let threshold = DynamicThreshold::new(0.9)
                .unwrap()
                .with_maximum(3.0)
                .unwrap();
            let mut net = Denoiser::<Array2<A>, T>::corrected(net, threshold);
            plan.sample(x.clone(), &mut net, &mut noise).unwrap()
        };
        let together = run(&start);
        assert_eq!(
            run(&start.select(Axis(0), &order)),
            together.select(Axis(0), &order),
            "{kind}"
        );
        for i in 0..5 {
            assert_eq!(
                run(&start.select(Axis(0), &[i])),
                together.select(Axis(0), &[i]),
                "{kind}"
            );
        }
        assert!(together.iter().all(|x| x.get().is_finite()));
    }
}

#[test]
fn no_rule_mixes_items_on_any_schedule() {
    every_schedule!(|schedule, grid| {
        let plan = Plan::new(&schedule, &grid, &Ddim::default()).unwrap();
        items_do_not_mix::<f64, _>(&plan);
        items_do_not_mix::<f32, _>(&plan);
    });
}

/// A doubled batch gives what two networks give.
#[test]
fn one_network_asked_for_all_is_the_same_as_several() {
    let x = normals(4, 5);
    let value = |x: f64, which: usize| (x * (1.0 + which as f64)).tanh();
    let net = |which: usize| {
        predicts::noise(move |x: &Array2<f64>, _: Point<()>| x.mapv(|x| value(x, which)))
    };
    let whole = predicts::with(|x: &Array2<f64>, _: Point<()>| {
        let items = x.nrows();
        let value = Array2::from_shape_fn(x.dim(), |(i, j)| value(x[[i, j]], i / 4));
        assert!(items == 4 || items == 12);
        Ok(Prediction::noise(value).with_variance(x.mapv(f64::cos)))
    });
    let here = place(1, 1);
    let rule = || Combination::image_and_text(1.5, 4.0).unwrap();
    let expected = Guided::new((net(0), net(1), net(2)), rule())
        .predict(&x, here)
        .unwrap();
    let listed = Guided::new(vec![net(0), net(1), net(2)], rule())
        .predict(&x, here)
        .unwrap();
    let mut together = Guided::new(Together::new(whole, 3).unwrap(), rule());
    let found = together.predict(&x, here).unwrap();
    assert_eq!(
        (&found.value, found.parameterization),
        (&expected.value, Parameterization::Noise)
    );
    assert_eq!(listed.value, expected.value);
    assert_eq!(found.variance, Some(x.mapv(f64::cos)));
    let mut alone = Guided::new(
        Together::new(net(0), 2).unwrap(),
        Combination::classifier_free(1.0).unwrap(),
    );
    assert_eq!(
        alone.predict(&x, here).unwrap().value,
        x.mapv(|x| value(x, 0))
    );
    // A network that does not answer for all of them.
    let short = predicts::x0(|_: &Array2<f64>, _: Point<()>| Array2::<f64>::zeros((4, 6)));
    let mut short = Together::new(short, 2).unwrap();
    let error = short.predict(&x, here, &[true, true]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "answer for all predictions has shape [4, 6], expected [8, 6]"
    );
}

/// Equation 12 of DDIM with the noise of the unconditional and the data of the guided prediction.
#[test]
fn cfg_plus_plus_is_ddim_with_unconditional_noise() {
    let [a, _, all] = classes();
    every_schedule!(|schedule, grid| {
        let plan = Plan::new(&schedule, &grid, &Ddim::default()).unwrap();
        for scale in [0.0, 0.6, 1.0] {
            let rule = Combination::classifier_free(scale).unwrap();
            let mut net = CfgPlusPlus::new((a.clone(), all.clone()), rule);
            let mut noise = SeededNoise::new(1);
            let start: Array2<f64> = plan.prior((3, 2), &mut noise).unwrap();
            let found = plan.sample(start.clone(), &mut net, &mut noise).unwrap();
            let mut x = start.clone();
            for pair in plan.levels().windows(2) {
                let (from, to) = (pair[0], pair[1]);
                for mut row in x.rows_mut() {
                    let point = [row[0], row[1]];
                    let c = a.posterior_mean(&point, from).unwrap();
                    let u = all.posterior_mean(&point, from).unwrap();
                    for i in 0..2 {
                        let eps = (point[i] - from.alpha() * u[i]) / from.sigma();
                        row[i] = to.alpha() * (u[i] + scale * (c[i] - u[i])) + to.sigma() * eps;
                    }
                }
            }
            for (found, expected) in found.iter().zip(&x) {
                close(*found, *expected, 1e-9, (scale, plan.levels()[0]));
            }
            if scale == 0.0 {
                let free = plan
                    .sample(start, &mut all.clone(), &mut SeededNoise::new(0))
                    .unwrap();
                assert_eq!(found, free);
            }
        }
    });
}

/// DPM-Solver++(2M) for alpha = 1.
#[derive(Debug)]
struct TwoM;

impl ReverseStep for TwoM {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (s, t) = (path.from().sigma(), path.to().sigma());
        let (state, gain) = (t / s, 1.0 - t / s);
        let model = match path.previous() {
            Some((before, _)) if t > 0.0 => {
                let r = (before.sigma() / s).ln() / (s / t).ln();
                vec![gain * (1.0 + 0.5 / r), -gain * 0.5 / r]
            }
            _ => vec![gain],
        };
        let update = Update::new(state).with_model(model);
        Ok(vec![
            Stage::new(At::From, Parameterization::X0).with_commit(update),
        ])
    }

    fn name(&self) -> &str {
        "2M"
    }

    fn memory(&self) -> usize {
        2
    }
}

/// A predictor-corrector with one evaluation a step: Euler, corrected by the trapezoid rule in sigma.
#[derive(Debug)]
struct Corrector;

impl ReverseStep for Corrector {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (s, t) = (path.from().sigma(), path.to().sigma());
        let mut stage = Stage::new(At::From, Parameterization::Noise);
        let commit = match path.previous() {
            Some((before, _)) => {
                let h = 0.5 * (s - before.sigma());
                Update::new(1.0).with_model([h, h])
            }
            None => Update::new(1.0),
        };
        stage = stage.with_commit(commit);
        let euler = Update::new(1.0).with_model([t - s]);
        if path.index() + 1 == path.steps() {
            // The last step has nothing to be corrected by.
            let commit = stage.commit.unwrap();
            let mut model = commit.model;
            model.resize(2, 0.0);
            model[0] += t - s;
            let last = Update::new(1.0).with_model(model);
            return Ok(vec![
                Stage::new(At::From, Parameterization::Noise).with_commit(last),
            ]);
        }
        Ok(vec![stage.with_trial(euler)])
    }

    fn name(&self) -> &str {
        "predictor-corrector"
    }

    fn memory(&self) -> usize {
        2
    }
}

/// Heun's method for alpha = 1, and Euler's at the end.
#[derive(Debug)]
struct Heun;

impl ReverseStep for Heun {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (s, t) = (path.from().sigma(), path.to().sigma());
        let euler = Update::new(1.0).with_model([t - s]);
        let first = Stage::new(At::From, Parameterization::Noise);
        if t == 0.0 {
            return Ok(vec![first.with_commit(euler)]);
        }
        let h = 0.5 * (t - s);
        let second = Stage::new(At::To, Parameterization::Noise);
        Ok(vec![
            first.with_trial(euler),
            second.with_commit(Update::new(1.0).with_model([h, h])),
        ])
    }

    fn name(&self) -> &str {
        "Heun"
    }

    fn memory(&self) -> usize {
        2
    }
}

/// By hand: the solver on the unconditional flow, and the displacement after each step.
#[test]
fn cfg_plus_plus_works_on_every_kind_of_solver() {
    let schedule = Edm::new(sigma(0.05), sigma(20.0)).unwrap();
    let grid = Grid::karras(&schedule, 9).unwrap();
    let sigmas: Vec<f64> = grid.levels().map(|level| level.sigma()).collect();
    let (c, u) = (
        |x: f64, s: f64| (0.7 * x + s).sin(),
        |x: f64, s: f64| (0.5 * x - s).cos(),
    );
    let net = |f: fn(f64, f64) -> f64| {
        predicts::x0(move |x: &Array1<f64>, at: Point<Sigma>| x.mapv(|x| f(x, at.time.get())))
    };
    let w = 0.7;
    let run = |solver: &dyn ReverseStep| {
        let plan = Plan::new(&schedule, &grid, solver).unwrap();
        let rule = Combination::classifier_free(w).unwrap();
        let mut net = CfgPlusPlus::new((net(c), net(u)), rule);
        plan.sample(array![13.0], &mut net, &mut SeededNoise::new(0))
            .unwrap()[0]
    };

    // As ComfyUI writes its multistep one: the guided data, and a mix of unconditional ones.
    let (mut x, mut old): (f64, Option<(f64, f64)>) = (13.0, None);
    for pair in sigmas.windows(2) {
        let (s, t) = (pair[0], pair[1]);
        let free = u(x, s);
        let guided = free + w * (c(x, s) - free);
        let h = (s / t).ln();
        let mix = match old {
            Some((old, s_old)) if t > 0.0 => {
                let r = (s_old / s).ln() / h;
                -(-h).exp() * free - (-h).exp_m1() / (2.0 * r) * (free - old)
            }
            _ => -(t / s) * free,
        };
        x = guided + mix + t / s * x;
        old = Some((free, s));
    }
    close(run(&TwoM), x, 1e-12, "2M");

    // The predicted state is shown with its displacement, and the corrected one keeps it.
    let (mut x, mut seen, mut before) = (13.0, 13.0, None);
    for (i, pair) in sigmas.windows(2).enumerate() {
        let (s, t) = (pair[0], pair[1]);
        let free = u(seen, s);
        let (shift, eps) = (w * (c(seen, s) - free), (seen - free) / s);
        if let Some((eps_before, s_before, shift_before)) = before {
            let h: f64 = 0.5 * (s - s_before);
            x += h * (eps_before + eps) + shift_before;
        }
        seen = x + (t - s) * eps + shift;
        before = Some((eps, s, shift));
        if i + 2 == sigmas.len() {
            x = seen;
        }
    }
    close(run(&Corrector), x, 1e-12, "predictor-corrector");

    // The new state is displaced, by the last evaluation; the trial is the solver's own.
    let mut x = 13.0;
    let predictions = |x: f64, s: f64| {
        let free = u(x, s);
        ((x - free) / s, w * (c(x, s) - free))
    };
    for pair in sigmas.windows(2) {
        let (s, t) = (pair[0], pair[1]);
        let (first, shift) = predictions(x, s);
        let trial = x + (t - s) * first;
        if t == 0.0 {
            x = trial + shift;
            break;
        }
        let (second, shift) = predictions(trial, t);
        x += 0.5 * (t - s) * (first + second) + shift;
    }
    close(run(&Heun), x, 1e-12, "Heun");
}

/// Zero steps of CFG-zero* leave the state of a flow as it is.
#[test]
fn zero_velocity_leaves_a_flow_where_it_is() {
    let grid = Grid::uniform_time(&RectifiedFlow, 4).unwrap();
    let grid = Grid::new(grid.nodes()[..1].to_vec(), grid.nodes()[1].level).unwrap();
    let plan = Plan::new(&RectifiedFlow, &grid, &Ddim::default()).unwrap();
    let [a, _, all] = classes();
    let rule = CfgZeroStar::new(3.0, 1).unwrap();
    let mut net = Guided::new((a, all), rule).with_parameterization(Parameterization::Flow);
    let error = plan.sample(array![[0.5_f64, -0.5]], &mut net, &mut SeededNoise::new(0));
    let found: Array2<f64> = error.unwrap();
    assert!(
        (found - array![[0.5, -0.5]])
            .iter()
            .all(|d| d.abs() < 1e-15)
    );
}

/// Gradients of `log p(class | x)`, in closed form, make all data that class; both forms.
#[test]
fn classifier_guidance_by_the_exact_gradient_is_the_class() {
    let [a, _, all] = classes();
    let gradient = |w: f64| {
        let (a, all) = (a.clone(), all.clone());
        move |x: &Array2<f64>, at: Point<()>| {
            let mut g = x.clone();
            for (mut g, x) in g.rows_mut().into_iter().zip(x.rows()) {
                let x = x.to_vec();
                let (c, u) = (a.score(&x, at.level)?, all.score(&x, at.level)?);
                g.assign(&((c - u) * w));
            }
            Ok(g)
        }
    };
    let x = array![[0.3, -0.4], [1.2, 0.5]];
    for level in levels() {
        let mut net = Classifier::new(all.clone(), gradient(1.0), 1.0).unwrap();
        let found = net.predict(&x, at(level)).unwrap();
        let found = found.to(Parameterization::X0, &x, level).unwrap().value;
        for (x, found) in x.rows().into_iter().zip(found.rows()) {
            let exact = a.posterior_mean(&x.to_vec(), level).unwrap();
            for (found, exact) in found.iter().zip(&exact) {
                // One over the signal is up to 1/0.05.
                close(*found, *exact, 1e-12, level);
            }
        }
        // The mean of a DDPM step moves by its variance times the gradient.
        let to = NoiseLevel::new(level.alpha(), 0.5 * level.sigma()).unwrap();
        let mut point = at(level);
        point.to = to;
        let q = gaussian_diffusion::Posterior::coefficients(&gaussian_diffusion::Markov, level, to)
            .unwrap();
        let mut net = Classifier::new(all.clone(), gradient(1.0), 2.0)
            .unwrap()
            .moving_the_mean(gaussian_diffusion::Markov);
        let shift = net.predict(&x, point).unwrap().shift.unwrap();
        let expected = gradient(2.0 * q.std * q.std / to.alpha())(&x, at(level)).unwrap();
        for (found, expected) in shift.iter().zip(&expected) {
            close(*found, *expected, 1e-13, level);
        }
    }
    let asked = |_: &Array2<f64>, _: Point<()>| -> Result<Array2<f64>, Error> { panic!("asked") };
    let mut off = Classifier::new(all.clone(), asked, 0.0).unwrap();
    assert_eq!(
        off.predict(&x, at(levels()[0])).unwrap(),
        all.clone().predict(&x, at(levels()[0])).unwrap()
    );
}

/// Linear interpolation as numpy and torch define it, by sorting; and the bounds.
#[test]
fn dynamic_thresholds_are_quantiles_of_each_item() {
    let x = normals(6, 8) * 2.0;
    for ratio in [0.0, 0.3, 0.5, 0.77, 0.995, 1.0] {
        for most in [1.0, 1.7, f64::INFINITY] {
            let mut threshold = DynamicThreshold::new(ratio)
                .unwrap()
                .with_maximum(most)
                .unwrap();
            let mut found = x.clone();
            threshold.correct(&mut found, place(0, 0)).unwrap();
            for (row, found) in x.rows().into_iter().zip(found.rows()) {
                let mut sizes: Vec<f64> = row.iter().map(|x| x.abs()).collect();
                sizes.sort_by(f64::total_cmp);
                let place = ratio * 5.0;
                let (low, high) = (place.floor() as usize, place.ceil() as usize);
                let weight = place - low as f64;
                let s = ((1.0 - weight) * sizes[low] + weight * sizes[high]).clamp(1.0, most);
                for (x, found) in row.iter().zip(found) {
                    close(*found, x.clamp(-s, s) / s, 1e-15, (ratio, most));
                }
            }
        }
    }
    // Single precision, no element, a NaN.
    let mut single = array![[3.0_f32, -6.0]];
    DynamicThreshold::new(1.0)
        .unwrap()
        .correct(&mut single, place(0, 0))
        .unwrap();
    assert_eq!(single, array![[0.5, -1.0]]);
    let mut empty = Array2::<f64>::zeros((2, 0));
    DynamicThreshold::new(0.5)
        .unwrap()
        .correct(&mut empty, place(0, 0))
        .unwrap();
    let mut broken = array![[f64::NAN, 2.0]];
    DynamicThreshold::new(0.5)
        .unwrap()
        .correct(&mut broken, place(0, 0))
        .unwrap();
    assert!(broken[[0, 0]].is_nan());
}

/// The hook of the data, on every schedule: the step has the corrected data and the raw noise.
#[test]
fn corrections_keep_the_noise_on_every_schedule() {
    let [_, _, all] = classes();
    every_schedule!(|schedule, grid| {
        for eta in [0.0, 0.7] {
            let solver = Ddim::new(eta).unwrap();
            let plan = Plan::new(&schedule, &grid, &solver).unwrap();
            let posterior = gaussian_diffusion::NonMarkovian::new(eta).unwrap();
            let halved = |x0: &mut Array2<f64>, _: Point<_>| {
                *x0 *= 0.5;
                Ok(())
            };
            let mut net =
                Denoiser::<Array2<f64>, _>::corrected(all.clone(), halved).keeping_noise(posterior);
            let mut noise = SeededNoise::new(1);
            let start: Array2<f64> = plan.prior((2, 2), &mut noise).unwrap();
            let mut zs = noise.clone();
            let found = plan.sample(start.clone(), &mut net, &mut noise).unwrap();
            let mut x = start;
            for pair in plan.levels().windows(2) {
                let (from, to) = (pair[0], pair[1]);
                let r2 = (from.alpha() * to.sigma() / (to.alpha() * from.sigma())).powi(2);
                let std = eta * to.sigma() * (1.0 - r2).sqrt();
                for mut row in x.rows_mut() {
                    let point = [row[0], row[1]];
                    let x0 = all.posterior_mean(&point, from).unwrap();
                    for i in 0..2 {
                        let eps = (point[i] - from.alpha() * x0[i]) / from.sigma();
                        let kept = (to.sigma().powi(2) - std * std).sqrt();
                        row[i] = to.alpha() * 0.5 * x0[i] + kept * eps;
                    }
                }
                if std > 0.0 {
                    zs.add(&mut x, Scale::Same(std), None).unwrap();
                }
            }
            for (found, expected) in found.iter().zip(&x) {
                close(*found, *expected, 1e-9, eta);
            }
        }
    });
}

#[test]
fn bad_input_is_refused() {
    let say = |result: Result<(), Error>| result.unwrap_err().to_string();
    let cfg = || Combination::classifier_free(2.0).unwrap();
    let nan = f64::NAN;
    let cases = [
        (
            Combination::classifier_free(nan).map(drop),
            "guidance scale is NaN, allowed: a finite number",
        ),
        (
            Combination::classifier_free(vec![1.0, f64::INFINITY]).map(drop),
            "guidance scales[1] is inf, allowed: a finite number",
        ),
        (
            Combination::classifier_free(vec![]).map(drop),
            "number of guidance scales is 0, allowed: 1 or more",
        ),
        (
            Combination::composed(Vec::<f64>::new()).map(drop),
            "number of guidance scales is 0, allowed: 1 or more",
        ),
        (
            Rescaled::new(cfg(), 1.5).map(drop),
            "rescale phi is 1.5, allowed: 0 to 1",
        ),
        (
            MagnitudeAwareCfg::new(2.0, -1.0).map(drop),
            "alpha of the magnitude is -1, allowed: a finite number from 0 on",
        ),
        (
            Projected::<Array2<f64>>::new(2.0)
                .and_then(|p| p.with_momentum(1.0))
                .map(drop),
            "momentum is 1, allowed: above -1 and below 1",
        ),
        (
            Projected::<Array2<f64>>::new(2.0)
                .and_then(|p| p.with_norm(0.0))
                .map(drop),
            "norm of the difference is 0, allowed: above 0",
        ),
        (
            Projected::<Array2<f64>>::new(2.0)
                .and_then(|p| p.with_parallel(nan))
                .map(drop),
            "parallel part is NaN, allowed: a finite number",
        ),
        (
            GuidanceInterval::sigmas(-1.0, 2.0).map(drop),
            "lower sigma of the guidance interval is -1, allowed: 0 or more",
        ),
        (
            GuidanceInterval::sigmas(3.0, 2.0).map(drop),
            "upper sigma of the guidance interval is 2, allowed: 3 or more",
        ),
        (
            GuidanceInterval::fraction(-0.1, 1.0, 9).map(drop),
            "start of the guidance interval is -0.1, allowed: 0 to 1",
        ),
        (
            GuidanceInterval::fraction(0.5, 0.4, 9).map(drop),
            "end of the guidance interval is 0.4, allowed: 0.5 to 1",
        ),
        (
            Together::new((), 0).map(drop),
            "number of predictions is 0, allowed: 1 to 16777216",
        ),
        (
            Classifier::new((), (), nan).map(drop),
            "scale of the classifier is NaN, allowed: a finite number",
        ),
        (
            DynamicThreshold::new(1.1).map(drop),
            "ratio of the threshold is 1.1, allowed: 0 to 1",
        ),
        (
            DynamicThreshold::new(0.9)
                .and_then(|t| t.with_maximum(0.5))
                .map(drop),
            "bound of the threshold is 0.5, allowed: 1 or more",
        ),
    ];
    for (result, message) in cases {
        assert_eq!(say(result), message);
    }
    let x = normals(2, 0);
    let net = || predicts::x0(|x: &Array2<f64>, _: Point<()>| x.clone());
    let three = (net(), net(), net());
    let error = Guided::new(three, cfg())
        .predict(&x, place(0, 0))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "number of predictions is 3, allowed: 2 for this rule"
    );
    let wild = Combination::classifier_free(Strength::of_level(|_| f64::NAN)).unwrap();
    let error = Guided::new((net(), net()), wild)
        .predict(&x, place(0, 0))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "guidance scale is NaN, allowed: a finite number"
    );
    let error =
        Rule::<Array2<f64>>::combine(&mut cfg(), Predictions::new(vec![Some(x)]), place(0, 0));
    assert_eq!(
        error.unwrap_err().to_string(),
        "a prediction is missing, the guidance rule needs it"
    );
}

/// A stochastic run with all of it at once: guided, rescaled, thresholded, in single precision.
#[test]
fn adapters_compose() {
    let schedule = Discrete::cosine(1000).unwrap();
    let plan = Plan::new(
        &schedule,
        &Grid::trailing(&schedule, 25).unwrap(),
        &Ddpm::default(),
    )
    .unwrap();
    let [a, _, all] = classes();
    let rule = Rescaled::new(Combination::classifier_free(2.0).unwrap(), 0.3).unwrap();
    let rule = Within::new(
        rule,
        GuidanceInterval::fraction(0.2, 0.8, plan.steps()).unwrap(),
    );
    let net = Guided::new((a, all), rule).with_parameterization(Parameterization::Noise);
    let mut net = Denoiser::<Array2<f32>, Step>::clipped(net, -2.0, 2.0).unwrap();
    let mut noise = SeededNoise::new(2);
    let x = plan
        .sample(
            plan.prior((50, 2), &mut noise).unwrap(),
            &mut net,
            &mut noise,
        )
        .unwrap();
    let mean: Array1<f32> = x.mean_axis(Axis(0)).unwrap();
    // The class is about (-1, 0.3) with deviations of 0.3.
    assert!(
        (mean[0] + 1.0).abs() < 0.3 && (mean[1] - 0.3).abs() < 0.3,
        "{mean}"
    );
}

#[test]
fn schedules_of_the_macro_reach_their_ends() {
    every_schedule!(|schedule, grid| {
        assert_eq!(grid.end(), NoiseLevel::CLEAN);
        assert!(schedule.level(schedule.ends().0).is_ok());
    });
}
