//! Every grid against its closed form, its edges and its messages.

mod common {
    pub mod levels;
}

use std::fmt::Debug;

use common::levels::{sigma, snr, time};
use gaussian_diffusion::{
    Clock, Error, Grid, LogSnr, NoiseLevel, NoiseSchedule, Sigma, Step,
    grid::{
        AlignYourSteps, Beta, BongTangent, DynamicShift, Karras, KlOptimal, LinearQuadratic,
        LogitNormalCurve, PolyExponential, SigmaCurve, VpCurve, flux2_mu, steps_for_strength,
    },
    sampler::GridName,
    schedule::{Cosine, Discrete, Edm, RectifiedFlow, Respacing, Shifted, VeGeometric, VpLinear},
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed},
};

fn latents() -> Discrete {
    Discrete::stable_diffusion().unwrap()
}

fn times<T: Copy + Debug + Clock>(grid: &Grid<T>) -> Vec<f64> {
    grid.nodes()
        .iter()
        .map(|node| node.time.reading())
        .collect()
}

fn ratios<T: Copy + Debug>(grid: &Grid<T>) -> Vec<f64> {
    grid.levels().map(NoiseLevel::noise_to_signal).collect()
}

fn near(found: &[f64], expected: &[f64], relative: f64, name: &str) {
    assert_eq!(found.len(), expected.len(), "{name}: {found:?}");
    for (&a, &b) in found.iter().zip(expected) {
        let close = (a - b).abs() <= relative * b.abs();
        assert!(close, "{name}: {a} for {b} in {found:?}");
    }
}

/// Expected values: 30-digit arithmetic (mpmath) on the published formulas, a plain bisection for
/// quantiles.
#[test]
fn curves_have_their_closed_forms() {
    let (max, min) = (sigma(14.0), sigma(0.03));
    let beta = |a, b| Beta::new(max, min, a, b).unwrap();
    let quadratic = LinearQuadratic::new(sigma(1.0), 0.025).unwrap();
    let flow_tangent = BongTangent::new(sigma(1.0), sigma(0.0)).unwrap();
    let cases: [(&str, &dyn SigmaCurve, &[f64]); 14] = [
        (
            "karras, rho 1",
            &Karras::new(sigma(10.0), sigma(2.0), 1.0).unwrap(),
            &[10.0, 8.0, 6.0, 4.0, 2.0],
        ),
        (
            "exponential",
            &PolyExponential::new(sigma(16.0), sigma(1.0), 1.0).unwrap(),
            &[16.0, 8.0, 4.0, 2.0, 1.0],
        ),
        (
            "polyexponential",
            &PolyExponential::new(sigma(16.0), sigma(1.0), 2.0).unwrap(),
            &[16.0, 2.0, 1.0],
        ),
        (
            "beta",
            &beta(0.6, 0.6),
            &[14.0, 11.545745110221851, 7.015, 2.4842548897781493, 0.03],
        ),
        (
            "beta57",
            &beta(0.5, 0.7),
            &[
                14.0,
                10.078420402485401,
                5.074342266454651,
                1.3735879582855088,
                0.03,
            ],
        ),
        (
            "kl_optimal",
            &KlOptimal::new(max, min).unwrap(),
            &[
                14.0,
                2.131417561884246,
                0.9595141466947468,
                0.4196912027163245,
                0.03,
            ],
        ),
        ("linear_quadratic 2", &quadratic, &[1.0, 0.975]),
        ("linear_quadratic 3", &quadratic, &[1.0, 0.975, 0.71875]),
        (
            "linear_quadratic 8",
            &quadratic,
            &[
                1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875,
            ],
        ),
        (
            "bong_tangent 3",
            &flow_tangent,
            &[1.0, 0.8619926450891796, 0.5],
        ),
        (
            "bong_tangent 8",
            &flow_tangent,
            &[
                1.0,
                0.9713438781732047,
                0.9294229578684785,
                0.8628878668400676,
                0.7442997071528252,
                0.5,
                0.2131216179347375,
                0.06964603330644493,
            ],
        ),
        (
            "bong_tangent to min",
            &BongTangent::new(max, min).unwrap(),
            &[
                14.0,
                13.050536999744104,
                11.266158630023673,
                7.015,
                1.8776922415489898,
            ],
        ),
        (
            "align_your_steps with its last sigma",
            &AlignYourSteps::StableDiffusion15,
            &[14.615, 2.393873481336309, 0.7425182963215855, 0.029],
        ),
        (
            "vp at t = 1 and 0.5",
            &VpCurve::new(2.0, 1.0, 0.5).unwrap(),
            &[
                (1.0_f64.exp().powi(2) - 1.0).sqrt(),
                (0.75_f64.exp() - 1.0).sqrt(),
            ],
        ),
    ];
    for (name, curve, expected) in cases {
        let found = curve.sigmas(expected.len()).unwrap();
        near(&found, expected, 2e-14, name);
        // One node stands at the start.
        near(&curve.sigmas(1).unwrap(), &expected[..1], 2e-14, name);
    }
}

/// All of the steps for nearly all of the strength, and one more for less.
#[test]
fn strengths_near_one_are_one() {
    for (strength, steps) in [
        (1.0, 100_000),
        (0.999_95, 100_000),
        (0.9999, 100_010),
        (0.5, 200_000),
    ] {
        assert_eq!(
            steps_for_strength(100_000, strength).unwrap(),
            steps,
            "{strength}"
        );
    }
}

#[test]
fn curves_reach_their_ends_to_the_bit() {
    let (max, min) = (sigma(14.6), sigma(0.03));
    let curves: [Box<dyn SigmaCurve>; 4] = [
        Box::new(Karras::new(max, min, 7.0).unwrap()),
        Box::new(PolyExponential::new(max, min, 1.3).unwrap()),
        Box::new(Beta::new(max, min, 0.6, 0.6).unwrap()),
        Box::new(KlOptimal::new(max, min).unwrap()),
    ];
    for curve in curves {
        for n in 2..50 {
            let sigmas = curve.sigmas(n).unwrap();
            assert_eq!((sigmas[0], sigmas[n - 1]), (14.6, 0.03));
        }
    }
}

/// A schedule of someone's own, on which the data has no time.
struct Bounded;

impl NoiseSchedule for Bounded {
    type Time = Sigma;

    fn level(&self, t: Sigma) -> Result<NoiseLevel, Error> {
        NoiseLevel::variance_exploding(t)
    }

    fn time_at(&self, snr: LogSnr) -> Result<Sigma, Error> {
        assert!(snr.get().is_finite());
        Sigma::new((-0.5 * snr.get()).exp())
    }

    fn ends(&self) -> (Sigma, Sigma) {
        (sigma(10.0), sigma(0.1))
    }
}

/// A clock that has no time for some levels, which only what lies beyond its ends is spared.
struct Deaf;

impl NoiseSchedule for Deaf {
    type Time = Sigma;

    fn level(&self, t: Sigma) -> Result<NoiseLevel, Error> {
        NoiseLevel::variance_exploding(t)
    }

    fn time_at(&self, _: LogSnr) -> Result<Sigma, Error> {
        Err(Error::Finished)
    }

    fn ends(&self) -> (Sigma, Sigma) {
        (sigma(10.0), sigma(0.1))
    }
}

#[test]
fn times_beyond_the_ends_are_the_ends() {
    let grid = Grid::at(&Deaf, &[sigma(0.1)]).unwrap();
    let start = |ratio: f64| NoiseLevel::new(1.0, ratio).unwrap();
    let grid = grid.ending_at(start(0.01)).unwrap();
    for (ratio, time) in [
        (20.0, Some(10.0)),
        (10.0, Some(10.0)),
        (5.0, None),
        (0.1, Some(0.1)),
        (0.05, Some(0.1)),
    ] {
        let found = grid.starting_at(&Deaf, start(ratio)).ok();
        let found = found.map(|grid| grid.nodes()[0].time.get());
        assert_eq!(found, time, "{ratio}");
    }
}

#[test]
fn grids_need_no_time_of_the_data() {
    let grid = Grid::karras(&Bounded, 3).unwrap();
    let shifted = grid.shifted(&Bounded, 2.0).unwrap();
    assert!(shifted.end().is_clean());
    near(&times(&shifted)[..1], &[20.0], 1e-14, "shifted");
    assert_eq!(Grid::sgm_uniform(&Bounded, 3).unwrap().len(), 3);
}

#[test]
fn logit_normal_is_the_quantile_on_a_flow() {
    let expected = [
        0.9994472213630764,
        0.8446166728664639,
        0.6800002113745729,
        0.5,
        0.31999978862542705,
        0.15538332713353614,
    ];
    let curve = LogitNormalCurve::for_length(1024).unwrap();
    let grid = Grid::along(&RectifiedFlow, 6, &curve).unwrap();
    near(&times(&grid), &expected, 1e-14, "length 1024");
    let expected = [0.9994472213630764, 0.8095239593073599, 0.48484824222382145];
    let curve = LogitNormalCurve::for_length(4096).unwrap();
    let grid = Grid::along(&RectifiedFlow, 3, &curve).unwrap();
    near(&times(&grid), &expected, 1e-14, "length 4096");
}

#[test]
fn tables_are_log_linear_between_their_rows() {
    let schedule = Edm::default();
    let ays = |n| Grid::align_your_steps(&schedule, n, AlignYourSteps::StableDiffusion15).unwrap();
    let ten = [
        14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.0,
    ];
    near(&ratios(&ays(10)), &ten, 1e-14, "10");
    let four = [14.615, 3.226936162988044, 1.396, 0.5100470566526191, 0.0];
    near(&ratios(&ays(4)), &four, 1e-14, "4");
    let fifteen = [14.615, 8.493619245338039, 5.449957501842948, 3.861];
    near(&ratios(&ays(15))[..4], &fifteen, 1e-14, "15");
    assert_eq!(ays(1).len(), 1);
    let gits = |n| Grid::gits(&schedule, n).unwrap();
    let three = [14.61464119, 1.56271636, 0.52423614, 0.0];
    near(&ratios(&gits(3)), &three, 1e-14, "gits 3");
    let thirty = [
        9.359469509691195,
        6.391752483526354,
        4.65472794,
        3.5290058670543387,
    ];
    near(&ratios(&gits(30))[1..5], &thirty, 1e-14, "gits 30");
    for n in 1..=60 {
        assert_eq!((ays(n).len(), gits(n).len()), (n, n));
        assert!((ratios(&gits(n))[0] - 14.61464119).abs() < 1e-12);
    }
    // The sums of the published tables, which have every number of steps from 2 to 20 but these.
    let sums = [
        1365.56370981,
        1651.77334871,
        1445.36503477,
        1208.75628975,
        982.38209777,
        823.44662331,
        687.67433934,
        562.87145504,
        557.64268806,
        495.89965093,
        472.09184746,
        428.64208879,
        398.3384866,
        389.19221534,
        379.05587748,
    ];
    for (place, expected) in sums.into_iter().enumerate() {
        let gaps: &[usize] = match place {
            0 => &[16, 18, 20],
            7 => &[19],
            _ => &[],
        };
        let coefficient = 0.8 + 0.05 * place as f64;
        let mut sum = 0.0;
        for n in 2..=20 {
            let grid = Grid::gits_with(&schedule, n, coefficient).unwrap();
            assert_eq!(grid.len(), n);
            if !gaps.contains(&n) {
                sum += ratios(&grid).iter().sum::<f64>() + 0.02916753;
            }
        }
        assert!(
            (sum - expected).abs() < 1e-9,
            "{coefficient}: {sum} for {expected}"
        );
    }
    // The figures are of a model whose largest sigma is 14.6146, not 14.615.
    for model in [
        AlignYourSteps::StableDiffusion15,
        AlignYourSteps::StableDiffusionXl,
    ] {
        let grid = Grid::align_your_steps(&latents(), 10, model).unwrap();
        assert_eq!(times(&grid)[0], 999.0);
        // The published steps are those sigmas, to a few steps.
        for (times, step) in times(&grid).iter().zip(model.steps().unwrap()) {
            assert!((times - step.get()).abs() < 3.0, "{times} for {step:?}");
        }
    }
    let video = AlignYourSteps::StableVideoDiffusion;
    let wide = Edm::new(sigma(0.002), sigma(700.0)).unwrap();
    assert_eq!(Grid::align_your_steps(&wide, 25, video).unwrap().len(), 25);
    assert!(Grid::align_your_steps(&Edm::default(), 10, video).is_ok());
}

type StepGrid = fn(&Discrete, usize) -> Result<Grid<Step>, Error>;

/// Lists written out from the formulas; that of `beta` by 30-digit quantiles.
#[test]
fn choices_of_steps_are_as_written_out() {
    let cases: [(&str, StepGrid, &[f64]); 17] = [
        (
            "trailing 7",
            |s, n| Grid::trailing(s, n),
            &[999.0, 856.0, 713.0, 570.0, 428.0, 285.0, 142.0],
        ),
        (
            "leading 3",
            |s, n| Grid::leading(s, n, 1),
            &[667.0, 334.0, 1.0],
        ),
        // 499.5 is a tie.
        (
            "linspace 3",
            |s, n| Grid::linspace(s, n),
            &[999.0, 500.0, 0.0],
        ),
        ("linspace 1", |s, n| Grid::linspace(s, n), &[999.0]),
        ("linspace 2", |s, n| Grid::linspace(s, n), &[999.0, 0.0]),
        (
            "simple 7",
            |s, n| Grid::simple(s, n),
            &[999.0, 857.0, 714.0, 571.0, 428.0, 285.0, 142.0],
        ),
        ("simple 1", |s, n| Grid::simple(s, n), &[999.0]),
        (
            "smoothstep 7",
            |s, n| Grid::smoothstep(s, n),
            &[999.0, 944.0, 801.0, 606.0, 393.0, 198.0, 55.0],
        ),
        ("smoothstep 1", |s, n| Grid::smoothstep(s, n), &[999.0]),
        ("ddim_uniform 1", |s, n| Grid::ddim_uniform(s, n), &[1.0]),
        (
            "ddim_uniform 5",
            |s, n| Grid::ddim_uniform(s, n),
            &[801.0, 601.0, 401.0, 201.0, 1.0],
        ),
        (
            "ddim_quadratic 1",
            |s, n| Grid::ddim_quadratic(s, n, 1),
            &[1.0],
        ),
        (
            "ddim_quadratic 4",
            |s, n| Grid::ddim_quadratic(s, n, 1),
            &[801.0, 356.0, 89.0, 1.0],
        ),
        (
            "beta_steps 1",
            |s, n| Grid::beta_steps(s, n, 0.6, 0.6),
            &[999.0],
        ),
        // The median is a tie.
        (
            "beta_steps 2",
            |s, n| Grid::beta_steps(s, n, 0.6, 0.6),
            &[999.0, 500.0],
        ),
        (
            "beta_steps 7",
            |s, n| Grid::beta_steps(s, n, 0.6, 0.6),
            &[999.0, 928.0, 782.0, 598.0, 401.0, 217.0, 71.0],
        ),
        (
            "beta57 6",
            |s, n| Grid::beta_steps(s, n, 0.5, 0.7),
            &[999.0, 835.0, 596.0, 361.0, 168.0, 43.0],
        ),
    ];
    let schedule = latents();
    for (name, grid, expected) in cases {
        let grid = grid(&schedule, expected.len()).unwrap();
        assert_eq!(times(&grid), expected, "{name}");
        for node in grid.nodes() {
            assert_eq!(node.level, schedule.level(node.time).unwrap(), "{name}");
        }
        assert!(grid.end().is_clean());
    }
    let lcm = |n, strength| times(&Grid::lcm(&schedule, n, 50, strength).unwrap());
    assert_eq!(lcm(1, 1.0), [999.0]);
    assert_eq!(lcm(2, 0.5), [499.0, 259.0]);
    assert_eq!(lcm(50, 1.0)[49], 19.0);
}

#[test]
fn times_have_their_closed_forms() {
    let (from, to) = (time(0.81), time(0.01));
    let quadratic = Grid::quadratic_time_between(&RectifiedFlow, 5, from, to).unwrap();
    near(
        &times(&quadratic),
        &[0.81, 0.49, 0.25, 0.09, 0.01],
        1e-14,
        "quadratic",
    );
    let whole = Grid::quadratic_time(&RectifiedFlow, 4).unwrap();
    near(
        &times(&whole),
        &[1.0, 0.5625, 0.25, 0.0625],
        1e-14,
        "quadratic to the data",
    );
    let steps = Grid::quadratic_time(&latents(), 4).unwrap();
    near(
        &times(&steps),
        &[999.0, 444.0, 111.0, 0.0],
        1e-14,
        "quadratic steps",
    );
    let sgm = Grid::sgm_uniform(&latents(), 3).unwrap();
    near(&times(&sgm), &[999.0, 666.0, 333.0], 1e-14, "sgm_uniform");
    let flow = Grid::sgm_uniform(&RectifiedFlow, 3).unwrap();
    assert_eq!(flow, Grid::uniform_time(&RectifiedFlow, 3).unwrap());
    let normal = Grid::uniform_time(&latents(), 3).unwrap();
    assert_eq!(times(&normal), [999.0, 499.5, 0.0]);
    // Halfway between two steps, k-diffusion has the geometric mean of their sigmas.
    let level = |t| latents().level(Step::new(t)).unwrap().noise_to_signal();
    let mean = (level(499) * level(500)).sqrt();
    near(&ratios(&normal)[1..2], &[mean], 1e-13, "normal");
    let linear = ratios(&normal.interpolating_sigma(&latents()).unwrap());
    near(
        &linear[1..2],
        &[0.5 * (level(499) + level(500))],
        1e-13,
        "diffusers",
    );
    assert_eq!([linear[0], linear[2]], [level(999), level(0)]);
    for n in [1, 2] {
        let (a, b) = (time(0.9), time(0.3));
        for grid in [
            Grid::uniform_time_between(&RectifiedFlow, n, a, b),
            Grid::quadratic_time_between(&RectifiedFlow, n, a, b),
        ] {
            assert_eq!(times(&grid.unwrap()), [0.9, 0.3][..n]);
        }
        assert_eq!(Grid::quadratic_time(&RectifiedFlow, n).unwrap().len(), n);
    }
}

#[test]
fn shifts_of_flows_have_their_closed_forms() {
    let flow = RectifiedFlow;
    let even = Grid::uniform_time(&flow, 7).unwrap();
    let shifted = even.shifted(&flow, 3.0).unwrap();
    let closed = |t: f64| 3.0 * t / (1.0 + 2.0 * t);
    let expected: Vec<_> = times(&even).into_iter().map(closed).collect();
    near(&times(&shifted), &expected, 1e-14, "SD3");
    // The shifted schedule has the same levels, and tells the unshifted times.
    let schedule = Shifted::flow(3.0).unwrap();
    let other = Grid::uniform_time(&schedule, 7).unwrap();
    near(
        &ratios(&shifted)[1..],
        &ratios(&other)[1..],
        1e-14,
        "Shifted",
    );
    assert_eq!(times(&other), times(&even));
    let finite = even.without_final_step().unwrap();
    let end = finite.shifted(&flow, 3.0).unwrap().end().sigma();
    near(&[end], &[closed(1.0 / 7.0)], 1e-14, "end");
    // A shift is a factor of sigma on any schedule.
    let edm = Grid::karras(&Edm::default(), 5).unwrap();
    let twice = edm.shifted(&Edm::default(), 2.0).unwrap();
    let expected: Vec<_> = ratios(&edm).iter().map(|ratio| 2.0 * ratio).collect();
    near(&ratios(&twice), &expected, 1e-14, "EDM");

    near(
        &[DynamicShift::FLUX.mu(256), DynamicShift::FLUX.mu(4096)],
        &[0.5, 1.15],
        1e-15,
        "FLUX",
    );
    let ltx = DynamicShift::LTX_VIDEO;
    near(
        &[ltx.mu(1024), ltx.mu(2560), ltx.mu(4096)],
        &[0.95, 1.5, 2.05],
        1e-15,
        "LTX",
    );
    let mus = [
        (256, 10),
        (4096, 4),
        (1024, 28),
        (4300, 50),
        (4301, 50),
        (9216, 30),
    ];
    let expected = [
        1.9207028538144,
        2.2911798941155705,
        1.8591765771805642,
        2.0446937905157894,
        1.18469693,
        2.01665898,
    ];
    near(
        &mus.map(|(length, n)| flux2_mu(length, n)),
        &expected,
        1e-14,
        "FLUX.2",
    );

    let stretched = shifted.stretched(&flow, time(0.1)).unwrap();
    let last = closed(1.0 / 7.0);
    let stretch = |t: f64| 1.0 - (1.0 - t) * 0.9 / (1.0 - last);
    let expected: Vec<_> = times(&shifted).into_iter().map(stretch).collect();
    near(&times(&stretched), &expected, 1e-14, "stretched");
    assert!(stretched.end().is_clean() && (times(&stretched)[6] - 0.1).abs() < 1e-15);
}

#[test]
fn parts_keep_levels_and_times() {
    let schedule = latents();
    let grid = Grid::trailing(&schedule, 10).unwrap();
    for (strength, diffusers, webui) in [(1.0, 10, 10), (0.75, 7, 8), (0.29, 2, 3), (0.1, 1, 2)] {
        assert_eq!(grid.strength(strength).unwrap().len(), diffusers);
        assert_eq!(grid.strength_and_one(strength).unwrap().len(), webui);
    }
    let tail = grid.tail(3).unwrap();
    assert_eq!(times(&tail), times(&grid)[7..]);
    assert_eq!(grid.tail(10).unwrap(), grid);
    for (strength, total) in [(1.0, 20), (0.99995, 20), (0.5, 40), (0.3, 66)] {
        assert_eq!(steps_for_strength(20, strength).unwrap(), total);
    }
    // The multi-step family of diffusers: n + 1 points, the last one skipped.
    let skipped = Grid::linspace(&schedule, 11)
        .unwrap()
        .without_penultimate()
        .unwrap();
    assert_eq!(times(&skipped)[8..], [200.0, 100.0]);
    assert!(skipped.end().is_clean() && skipped.len() == 10);
    let head = grid.without_final_step().unwrap();
    assert_eq!((head.len(), head.end()), (9, grid.nodes()[9].level));
    // A start on a node drops the nodes before it, and does not repeat it.
    let start = grid.nodes()[4].level;
    assert_eq!(
        grid.starting_at(&schedule, start).unwrap(),
        grid.tail(6).unwrap()
    );
}

#[test]
fn what_is_told_is_chosen_apart_from_the_level() {
    let schedule = latents();
    let grid = Grid::exponential(&schedule, 10).unwrap();
    for (choice, rule) in [
        (
            grid.clone().with_rounded_times(),
            f64::round_ties_even as fn(f64) -> f64,
        ),
        (grid.clone().with_truncated_times(), |t| (t + 1e-9).floor()),
    ] {
        let expected: Vec<_> = times(&grid).into_iter().map(rule).collect();
        assert_eq!(times(&choice), expected);
        assert_eq!(ratios(&choice), ratios(&grid));
    }
    let ends = times(&grid.clone().with_truncated_times());
    assert_eq!((ends[0], ends[9]), (999.0, 0.0));
    // A whole step is given as itself, however its sigma was rounded.
    for (k, level) in schedule.levels().iter().enumerate() {
        let grid = Grid::at_noise_to_signal(&schedule, &[level.noise_to_signal()]).unwrap();
        assert_eq!(times(&grid.with_truncated_times()), [k as f64]);
    }
    let moved = grid.rounded(&schedule).unwrap();
    for node in moved.nodes() {
        assert_eq!(node.level, schedule.level(node.time).unwrap());
    }
    // A network of a respaced schedule knows the original steps.
    let short = schedule
        .respaced(&Respacing::parse("ddim50", 1000).unwrap())
        .unwrap();
    let grid = Grid::uniform_time(&short, 8).unwrap();
    let linear = grid.interpolating_sigma(&short).unwrap();
    assert_eq!(times(&linear), times(&grid));
    assert_eq!(times(&linear)[1], 840.0);
    let cut = short
        .reaching(short.level(Step::new(30)).unwrap().log_snr())
        .unwrap();
    assert_eq!(
        (cut.len(), cut.network_time(Step::new(30)).get()),
        (31, 600.0)
    );
}

#[test]
fn bad_input_is_refused_by_name() {
    let (s, flow) = (latents(), RectifiedFlow);
    let ten = Grid::trailing(&s, 10).unwrap();
    let one = Grid::trailing(&s, 1).unwrap();
    let even = Grid::uniform_time(&flow, 4).unwrap();
    let noise = Grid::uniform_time(&flow, 1).unwrap();
    let (max, min) = (sigma(10.0), sigma(1.0));
    fn message<V: Debug>(result: Result<V, Error>) -> String {
        result.unwrap_err().to_string()
    }
    let cases = [
        (
            message(Grid::exponential(&s, 0)),
            "number of steps is 0, allowed: 1 to 16777216",
        ),
        (
            message(Grid::align_your_steps(
                &s,
                0,
                AlignYourSteps::StableDiffusion15,
            )),
            "number of steps is 0, allowed: 1 to 16777216",
        ),
        (
            message(Grid::gits(&s, 0)),
            "number of steps is 0, allowed: 1 to 16777216",
        ),
        (
            message(Grid::gits_with(&s, 5, 1.22)),
            "coefficient is 1.22, allowed: 0.80 to 1.50 in steps of 0.05",
        ),
        (
            message(Grid::gits_with(&s, 5, 0.75)),
            "coefficient is 0.75, allowed: 0.80 to 1.50 in steps of 0.05",
        ),
        (
            message(Grid::gits_with(&s, 5, f64::NAN)),
            "coefficient is NaN, allowed: 0.80 to 1.50 in steps of 0.05",
        ),
        (
            message(Grid::sgm_uniform(&s, 0)),
            "number of steps is 0, allowed: 1 to 16777216",
        ),
        (
            message(Grid::quadratic_time(&s, 0)),
            "number of steps is 0, allowed: 1 to 16777216",
        ),
        (
            message(Grid::simple(&s, 1001)),
            "number of steps is 1001, allowed: 1 to 1000, the steps of the schedule",
        ),
        (
            message(Grid::ddim_uniform(&s, 12)),
            "number of steps is 12, allowed: one whose stride, 83 here, gives as many (it gives 13)",
        ),
        (
            message(Grid::ddim_quadratic(&s, 60, 0)),
            "number of steps is 60, allowed: few enough that step 0 comes once",
        ),
        (
            message(Grid::smoothstep(&s, 500)),
            "number of steps is 500, allowed: few enough that step 999 comes once",
        ),
        (
            message(Grid::beta_steps(&s, 900, 0.6, 0.6)),
            "number of steps is 900, allowed: few enough that step 999 comes once",
        ),
        (
            message(Grid::beta_steps(&s, 9, 0.0, 0.6)),
            "a of the beta distribution is 0, allowed: 0.2 to 100",
        ),
        (
            message(Beta::new(max, min, 0.6, f64::NAN)),
            "b of the beta distribution is NaN, allowed: 0.2 to 100",
        ),
        (
            message(Karras::new(min, max, 7.0)),
            "max sigma is 1, allowed: above 10, the min sigma",
        ),
        (
            message(PolyExponential::new(max, sigma(0.0), 1.0)),
            "min sigma is 0, allowed: above 0",
        ),
        (
            message(Grid::polyexponential(&s, 3, 0.0)),
            "exponent is 0, allowed: 1e-3 to 1e3",
        ),
        (
            message(Grid::exponential(&flow, 3)),
            "sigma is inf, allowed: a finite number from 0 on",
        ),
        (
            message(KlOptimal::new(max, max)),
            "max sigma is 10, allowed: above 10, the min sigma",
        ),
        (
            message(VpCurve::new(-1.0, 0.1, 1e-3)),
            "beta_d is -1, allowed: 0 to 1e3",
        ),
        (
            message(VpCurve::new(19.9, 0.0, 1e-3)),
            "beta_min is 0, allowed: 1e-6 to 1e3",
        ),
        (
            message(VpCurve::new(19.9, 0.1, 1.0)),
            "eps is 1, allowed: 1e-12 to below 1",
        ),
        (
            message(LinearQuadratic::new(sigma(0.0), 0.025)),
            "max sigma is 0, allowed: above 0",
        ),
        (
            message(LinearQuadratic::new(max, 0.5)),
            "threshold is 0.5, allowed: above 0 and below 0.5",
        ),
        (
            message(BongTangent::new(min, min)),
            "max sigma is 1, allowed: above 1, the min sigma",
        ),
        (
            message(LogitNormalCurve::new(101.0, 1.0, snr(-1.0), snr(1.0))),
            "mean is 101, allowed: -100 to 100",
        ),
        (
            message(LogitNormalCurve::new(0.0, 0.0, snr(-1.0), snr(1.0))),
            "std is 0, allowed: 1e-3 to 100",
        ),
        (
            message(LogitNormalCurve::new(0.0, 1.0, snr(-601.0), snr(1.0))),
            "lowest log-SNR is -601, allowed: -600 to 600",
        ),
        (
            message(LogitNormalCurve::new(0.0, 1.0, snr(1.0), snr(1.0))),
            "highest log-SNR is 1, allowed: above 1 and up to 600",
        ),
        (
            message(LogitNormalCurve::for_length(0)),
            "sequence length is 0, allowed: 1 or more",
        ),
        (
            message(Grid::lcm(&s, 51, 50, 1.0)),
            "number of steps is 51, allowed: 1 to 50, the original steps of this strength",
        ),
        (
            message(Grid::lcm(&s, 1, 0, 1.0)),
            "number of original steps is 0, allowed: 1 to 1000, the steps of the schedule",
        ),
        (
            message(Grid::lcm(&s, 1, 50, 0.0)),
            "strength is 0, allowed: above 0 and up to 1",
        ),
        (
            message(ten.part(3..3)),
            "start of the steps is 3, allowed: below 3, the end of the steps",
        ),
        (
            message(ten.part(3..11)),
            "end of the steps is 11, allowed: 1 to 10, the steps of the grid",
        ),
        (
            message(ten.tail(0)),
            "number of steps is 0, allowed: 1 to 10, the steps of the grid",
        ),
        (
            message(ten.strength(1.5)),
            "strength is 1.5, allowed: above 0 and up to 1",
        ),
        (
            message(ten.strength(0.05)),
            "strength is 0.05, allowed: 1 / 10 or more for one step of 10",
        ),
        (
            message(ten.strength_and_one(f64::NAN)),
            "strength is NaN, allowed: above 0 and up to 1",
        ),
        (
            message(steps_for_strength(10, 0.0)),
            "strength is 0, allowed: 1e-6 to 1",
        ),
        (
            message(one.without_final_step()),
            "number of steps is 1, allowed: 2 or more",
        ),
        (
            message(one.without_penultimate()),
            "number of steps is 1, allowed: 2 or more",
        ),
        (
            message(ten.shifted(&s, 0.0)),
            "shift factor is 0, allowed: 1e-6 to 1e6",
        ),
        (
            message(even.stretched(&flow, time(1.0))),
            "terminal time is 1, allowed: above 0 and below 1",
        ),
        (
            message(noise.stretched(&flow, time(0.1))),
            "last time is 1, allowed: below 1",
        ),
        (
            message(Grid::quadratic_time_between(
                &flow,
                3,
                time(1.0),
                time(-0.5),
            )),
            "last time is -0.5, allowed: 0 or more",
        ),
        (
            message(s.reaching(snr(100.0))),
            "lowest log-SNR is 100, allowed: up to 7.069423847025073, the log-SNR of step 0",
        ),
        (
            message(Grid::at_noise_to_signal(&s, &[f64::NAN])),
            "sigma is NaN, allowed: a finite number from 0 on",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

/// Exactly `n` steps, strictly rising log-SNR, and the end that was asked for.
fn sound<T: Copy + Debug>(grid: &Grid<T>, n: usize, end: NoiseLevel) -> Result<(), TestCaseError> {
    prop_assert_eq!(grid.len(), n);
    let levels: Vec<_> = grid.levels().collect();
    for pair in levels.windows(2) {
        let (a, b) = (pair[0].log_snr(), pair[1].log_snr());
        prop_assert!(a < b, "{:?} {:?}", a, b);
    }
    prop_assert_eq!(grid.end(), end);
    Ok(())
}

/// All grids that fit any schedule, between sigmas that all of them reach.
fn all_sound<S>(schedule: &S, n: usize, max: f64, min: f64) -> Result<(), TestCaseError>
where
    S: NoiseSchedule<Time: Clock>,
{
    let (max, min) = (sigma(max), sigma(min));
    let (low, high) = (snr(-2.0 * 10.0_f64.ln()), snr(30.0));
    let curves: [Box<dyn SigmaCurve>; 7] = [
        Box::new(Karras::new(max, min, 7.0).unwrap()),
        Box::new(PolyExponential::new(max, min, 1.0).unwrap()),
        Box::new(PolyExponential::new(max, min, 1.3).unwrap()),
        Box::new(Beta::new(max, min, 0.6, 0.6).unwrap()),
        Box::new(KlOptimal::new(max, min).unwrap()),
        Box::new(BongTangent::new(max, min).unwrap()),
        Box::new(LogitNormalCurve::new(0.0, 1.0, low, high).unwrap()),
    ];
    for (index, curve) in curves.iter().enumerate() {
        let grid = Grid::along(schedule, n, &**curve).unwrap();
        sound(&grid, n, NoiseLevel::CLEAN)?;
        let first = curve.sigmas(n).unwrap()[0];
        let start = grid.nodes()[0].level.noise_to_signal();
        prop_assert!((start - first).abs() < 1e-12 * first, "{} {}", index, start);
        let longer = Grid::along(schedule, n + 1, &**curve).unwrap();
        let last = longer.nodes()[n].level;
        sound(&longer.without_final_step().unwrap(), n, last)?;
        if index < 5 {
            prop_assert!((last.noise_to_signal() - min.get()).abs() < 1e-12 * min.get());
        }
        sound(&longer.without_penultimate().unwrap(), n, NoiseLevel::CLEAN)?;
        sound(&grid.shifted(schedule, 0.9).unwrap(), n, NoiseLevel::CLEAN)?;
        sound(
            &grid.tail(n.div_ceil(2)).unwrap(),
            n.div_ceil(2),
            NoiseLevel::CLEAN,
        )?;
    }
    for grid in [
        Grid::uniform_time(schedule, n),
        Grid::quadratic_time(schedule, n),
        Grid::sgm_uniform(schedule, n),
        Grid::gits(schedule, n),
        Grid::align_your_steps(schedule, n, AlignYourSteps::StableDiffusion15),
    ] {
        sound(&grid.unwrap(), n, NoiseLevel::CLEAN)?;
    }
    let finite = schedule.ends();
    let ratio = |t| schedule.level(t).unwrap().noise_to_signal();
    if ratio(finite.0).is_finite() && ratio(finite.1) > 0.0 {
        for grid in [
            Grid::karras(schedule, n),
            Grid::exponential(schedule, n),
            Grid::polyexponential(schedule, n, 2.0),
            Grid::beta(schedule, n),
            Grid::kl_optimal(schedule, n),
            Grid::uniform_log_snr(schedule, n),
        ] {
            let grid = grid.unwrap();
            sound(&grid, n, NoiseLevel::CLEAN)?;
            let start = grid.nodes()[0].level.noise_to_signal();
            prop_assert!((start - ratio(finite.0)).abs() < 1e-12 * start);
        }
    }
    Ok(())
}

fn config() -> Config {
    Config {
        cases: 64,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(3),
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_grid_is_sound_on_every_schedule(n in 1_usize..60, max in 1.0..14.0_f64, min in 0.04..0.5_f64) {
        all_sound(&latents(), n, max, min)?;
        all_sound(&Discrete::linear(1000, 1e-4, 0.02).unwrap(), n, max, min)?;
        all_sound(&VpLinear::new(0.1, 20.0).unwrap(), n, max, min)?;
        all_sound(&VeGeometric::new(sigma(0.01), sigma(50.0)).unwrap(), n, max, min)?;
        all_sound(&Edm::default(), n, max, min)?;
        all_sound(&RectifiedFlow, n, max, min)?;
        all_sound(&Shifted::flow(3.0).unwrap(), n, max, min)?;
        all_sound(&Cosine, n, max, min)?;
    }

    #[test]
    fn every_choice_of_steps_has_n_or_is_refused(total in 1_usize..300, n in 1_usize..300) {
        let schedule = Discrete::linear(total, 1e-4, 0.02).unwrap();
        let always = [
            Grid::simple(&schedule, n),
            Grid::trailing(&schedule, n),
            Grid::linspace(&schedule, n),
            Grid::leading(&schedule, n, 0),
            Grid::lcm(&schedule, n, n, 1.0),
        ];
        for grid in always {
            prop_assert_eq!(grid.is_ok(), n <= total);
            if let Ok(grid) = grid {
                sound(&grid, n, NoiseLevel::CLEAN)?;
            }
        }
        let sometimes = [
            Grid::ddim_uniform(&schedule, n),
            Grid::ddim_quadratic(&schedule, n, 0),
            Grid::smoothstep(&schedule, n),
            Grid::beta_steps(&schedule, n, 0.6, 0.6),
        ];
        for grid in sometimes.into_iter().flatten() {
            sound(&grid, n, NoiseLevel::CLEAN)?;
        }
    }

    /// The quadratic curve is a curve for every threshold that is allowed.
    #[test]
    fn linear_quadratic_falls(n in 1_usize..80, threshold in 1e-6..0.4999_f64) {
        let curve = LinearQuadratic::new(sigma(1.0), threshold).unwrap();
        let grid = Grid::along_time(&RectifiedFlow, n, &curve).unwrap();
        sound(&grid, n, NoiseLevel::CLEAN)?;
        let tangent = BongTangent::new(sigma(1.0), sigma(0.0)).unwrap();
        sound(&Grid::along_time(&RectifiedFlow, n, &tangent).unwrap(), n, NoiseLevel::CLEAN)?;
    }
}

/// How many steps the flows of diffusers keep: `init_timestep = min(n s, n)` as a number, `t_start = int(n - init_timestep)`,
/// by whole numbers of thousandths.
#[test]
fn strengths_of_flows_round_up() {
    for n in [1_usize, 2, 7, 10, 50] {
        let grid = Grid::uniform_time(&RectifiedFlow, n).unwrap();
        for thousandths in [1, 125, 250, 500, 625, 750, 875, 999, 1000] {
            let kept = (n * thousandths).div_ceil(1000);
            let found = grid.strength_up(thousandths as f64 / 1000.0).unwrap();
            assert_eq!(found.len(), kept, "{n} {thousandths}");
            assert_eq!(found.nodes(), &grid.nodes()[n - kept..]);
        }
        assert!(grid.strength_up(0.0).is_err() && grid.strength_up(1.1).is_err());
    }
}

/// `linspace(0, sqrt(0.8 T), n)` squared, whose last number is its end: 0.8 T for every n, where products of the stride end
/// one below it for some.
#[test]
fn quadratic_steps_begin_at_their_end() {
    for total in [40, 70, 150, 1000] {
        let schedule = Discrete::linear(total, 1e-4, 0.02).unwrap();
        for n in 2..=6 {
            let grid = Grid::ddim_quadratic(&schedule, n, 0).unwrap();
            assert_eq!(times(&grid)[0], 0.8 * total as f64, "{n} of {total}");
        }
    }
}

/// The name of the line of steps is that grid, which ends at step 0 where the trailing one does not.
#[test]
fn the_name_of_linear_steps() {
    let schedule = latents();
    let named = GridName::Linspace.grid(&schedule, 5).unwrap();
    let grid = Grid::linspace(&schedule, 5).unwrap();
    let levels = |grid: &Grid<Step>| grid.levels().take(5).collect::<Vec<_>>();
    assert_eq!(levels(&named), levels(&grid));
}
