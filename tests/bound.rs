//! Variational bounds: the decoder and Gaussian data against 60 digits, every term against its
//! closed expectation, and the limit of many steps.

mod common {
    pub mod reference;
}

use common::reference::reference;
use gaussian_diffusion::{
    Denoiser, Error, GaussianMixture, Grid, LogSnr, LogVariance, Markov, ModelVariance, NoiseLevel,
    NoiseSchedule, Parameterization, Plan, Point, Posterior, Prediction, SeededNoise, Sigma, Step,
    Time, Variance,
    likelihood::{
        Continuous, ContinuousBound, Decoder, Discretized, Estimate, LogDensity, Nats,
        VariationalBound,
    },
    plan::{Affine, Moments},
    predicts,
    rand::{Rng, SeedableRng, rngs::StdRng},
    schedule::{Cosine, Discrete, Edm, LogSnrLinear, RectifiedFlow, Respacing, VpLinear},
    solver::Ddim,
};
use ndarray::{Array0, Array1, Array2, Array4, Axis, ShapeBuilder, array, concatenate};
use serde_json::Value;

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

fn check(what: &str, found: f64, expected: f64, tolerance: f64) {
    let off = if found == expected {
        0.0
    } else {
        ((found - expected) / expected).abs()
    };
    assert!(
        off <= tolerance,
        "{what}: {found:e} for {expected:e}, {off:e}"
    );
}

fn log_variance(std: f64) -> LogVariance {
    LogVariance::new(2.0 * std.ln()).unwrap()
}

fn level_of(index: usize) -> f64 {
    2.0 * index as f64 / 255.0 - 1.0
}

#[test]
fn the_decoder_meets_60_digits_to_1e_12_also_in_the_tails() {
    let truth = reference("truth.json");
    let rows = truth["discretized_decoder"].as_array().unwrap();
    assert_eq!(rows.len(), 40);
    let pixels = Discretized::images();
    let mut beyond = 0;
    for row in rows {
        let index = row["level"].as_u64().unwrap() as usize;
        let (mean, std) = (number(&row["mean"]), number(&row["sd"]));
        // Three rows took the left tail as a difference of numbers near 1, which 60 digits do not
        // hold. The right tail of the mirror image is in the file for two of them.
        let expected = match (number(&row["nats"]), index) {
            (f64::NEG_INFINITY, 0) => mirrored(rows, 255, "0.01"),
            (f64::NEG_INFINITY, 1) => mirrored(rows, 254, "0.01"),
            (f64::NEG_INFINITY, 64) => -1_225.580_781_917_679_6,
            (nats, _) => nats,
        };
        assert!(expected.is_finite());
        beyond += usize::from(expected < -745.0);
        let found = pixels.log_probability(index, mean, std).unwrap();
        check(&row.to_string(), found.nats().get(), expected, 1e-12);
        let found = pixels
            .log_likelihood(level_of(index), mean, log_variance(std))
            .unwrap();
        check(&row.to_string(), found.get(), expected, 1e-12);
        // Data in f32 is the same level.
        let x_0 = f64::from(level_of(index) as f32);
        let found = pixels.log_likelihood(x_0, mean, log_variance(std)).unwrap();
        check(&row.to_string(), found.get(), expected, 1e-12);
    }
    assert!(beyond > 15, "{beyond} rows underflow exp");
}

fn mirrored(rows: &[Value], level: u64, sd: &str) -> f64 {
    let row = rows
        .iter()
        .find(|row| row["level"] == level && row["mean"] == "0" && row["sd"] == sd);
    number(&row.unwrap()["nats"])
}

#[test]
fn the_probabilities_of_all_levels_sum_to_one() {
    for levels in [2, 3, 16, 256, 65_536] {
        let decoder = Discretized::new(levels, -1.0, 3.0).unwrap();
        for (mean, std) in [
            (0.0, 0.3),
            (-4.0, 2.0),
            (0.99, 1e-3),
            (2.9, 1e-6),
            (7.0, 0.5),
        ] {
            let sum: f64 = (0..levels)
                .map(|i| {
                    let ln = decoder.log_probability(i, mean, std).unwrap();
                    ln.nats().get().exp()
                })
                .sum();
            assert!((sum - 1.0).abs() < 1e-10, "{levels} {mean} {std}: {sum}");
        }
    }
}

#[test]
fn the_slopes_of_the_decoders_are_finite_differences() {
    let h = 1e-5;
    let slope = |decoder: &dyn Fn(LogVariance) -> f64, at: f64| {
        let f = |v: f64| decoder(LogVariance::new(v).unwrap());
        (f(at + h) - f(at - h)) / (2.0 * h)
    };
    for (index, mean, std) in [
        (0, 0.2, 0.1),
        (0, -1.1, 0.01),
        (255, 0.5, 0.03),
        (128, 0.0, 0.004),
        (128, 0.0, 1e-3),
        (77, 0.1, 0.5),
        (77, -2.0, 0.01),
        (200, 0.57, 2.0),
    ] {
        let (x_0, log) = (level_of(index), 2.0 * f64::ln(std));
        let at = LogVariance::new(log).unwrap();
        let pixels = Discretized::images();
        let of_bin = |v| pixels.log_likelihood(x_0, mean, v).unwrap().get();
        let of_point = |v| Continuous.log_likelihood(x_0, mean, v).unwrap().get();
        for (found, expected) in [
            (pixels.slope(x_0, mean, at).unwrap(), slope(&of_bin, log)),
            (
                Continuous.slope(x_0, mean, at).unwrap(),
                slope(&of_point, log),
            ),
        ] {
            let off = (found - expected).abs() / expected.abs().max(1.0);
            assert!(off < 1e-8, "{index} {mean} {std}: {found} for {expected}");
        }
    }
}

fn gaussian_bound(schedule: &Discrete) -> VariationalBound<Step, Continuous> {
    let grid = Grid::every(schedule).unwrap();
    VariationalBound::new(&grid, ModelVariance::FixedSmall, Continuous).unwrap()
}

fn exact_affine(mean: f64, variance: f64) -> impl Fn(NoiseLevel) -> Affine {
    let variance = Variance::new(variance).unwrap();
    move |level| Affine::of_gaussian(mean, variance, level)
}

const DATA: Moments = Moments {
    mean: 0.4,
    variance: 0.25,
};

#[test]
fn the_bound_of_gaussian_data_meets_60_digits_to_1e_12() {
    let truth = reference("truth.json");
    let cases = truth["gaussian_data_vlb"].as_object().unwrap();
    assert_eq!(cases.len(), 2);
    for (name, row) in cases {
        let schedule = match name.as_str() {
            "linear(1e-4, 0.02), T=1000" => Discrete::linear(1000, 1e-4, 0.02),
            _ => Discrete::cosine(50),
        }
        .unwrap();
        let terms = gaussian_bound(&schedule)
            .expected(DATA, exact_affine(0.4, 0.25))
            .unwrap();
        let steps: Vec<f64> = terms.steps.iter().map(|step| step[0].get()).collect();
        assert_eq!(steps.len(), schedule.len() - 1);
        for (key, found) in [
            ("prior_nats", terms.prior[0].get()),
            ("sum_of_kl_t2_to_T_nats", steps.iter().sum()),
            ("kl_t2_nats", steps[steps.len() - 1]),
            ("kl_T_nats", steps[0]),
        ] {
            check(&format!("{name} {key}"), found, number(&row[key]), 1e-12);
        }
    }
}

/// Entropy of `N(m, v)`: the smallest expected negative log-density, in nats.
fn entropy(variance: f64) -> f64 {
    0.5 * (std::f64::consts::TAU * std::f64::consts::E * variance).ln()
}

/// Many short steps between fixed ends, and a decoder that fits the last level.
fn fine_bound(steps: usize) -> VariationalBound<Time, Continuous> {
    let snr = |at| LogSnr::new(at).unwrap();
    let schedule = LogSnrLinear::new(snr(-16.0), snr(14.0)).unwrap();
    let grid = Grid::uniform_log_snr(&schedule, steps).unwrap();
    let last = grid.nodes().last().unwrap().level.noise_to_signal();
    VariationalBound::new(&grid, ModelVariance::FixedSmall, Continuous)
        .unwrap()
        .with_last_variance(Variance::new(last * last).unwrap())
        .unwrap()
}

#[test]
fn the_bound_of_gaussian_data_falls_to_the_entropy_as_one_over_the_steps() {
    let gaps = [64, 128, 256, 512, 1024, 2048].map(|steps| {
        let terms = fine_bound(steps).expected(DATA, exact_affine(0.4, 0.25));
        -terms.unwrap().total()[0].nats().get() - entropy(0.25)
    });
    let rates: Vec<f64> = gaps.windows(2).map(|g| (g[0] / g[1]).log2()).collect();
    println!("gaps {gaps:?}, rates {rates:?}");
    assert!(gaps.iter().all(|gap| *gap > 0.0), "{gaps:?}");
    assert!(
        rates.windows(2).all(|r| 1.0 < r[1] && r[1] < r[0]),
        "{rates:?}"
    );
    assert!(rates[4] < 1.01, "{rates:?}");
}

fn two_modes() -> GaussianMixture {
    GaussianMixture::isotropic(&[(0.3, &[-1.0][..], 0.05), (0.7, &[0.8][..], 0.2)]).unwrap()
}

#[test]
fn the_bound_of_a_mixture_lies_above_its_negative_log_density_and_meets_it() {
    let mut data = two_modes();
    let x_0 = data.sample(4000, &mut StdRng::seed_from_u64(1));
    let exact: Vec<f64> = x_0
        .iter()
        .map(|x| data.log_density(&[*x], NoiseLevel::CLEAN).unwrap())
        .collect();
    let mut gaps = Vec::new();
    for steps in [32, 128, 512] {
        let found = fine_bound(steps)
            .evaluate(&x_0, &mut data, &mut SeededNoise::new(2))
            .unwrap();
        let gap: Vec<Nats> = found
            .total()
            .iter()
            .zip(&exact)
            .map(|(bound, exact)| Nats::new(exact - bound.nats().get()).unwrap())
            .collect();
        let gap = Estimate::of(&gap).unwrap();
        println!("{steps} steps: gap {} +- {}", gap.value, gap.standard_error);
        gaps.push((gap.value.get(), gap.standard_error.get()));
    }
    // Above, beyond doubt.
    let (first, error) = gaps[0];
    assert!(first > 8.0 * error, "{gaps:?}");
    // A quarter for four times the steps, within five standard errors (p < 1e-6) and the next order.
    for pair in gaps.windows(2) {
        let ((coarse, e), (fine, f)) = (pair[0], pair[1]);
        let allowed = 0.2 * coarse / 4.0 + 5.0 * f.hypot(e / 4.0);
        assert!((fine - coarse / 4.0).abs() < allowed, "{gaps:?}");
    }
}

/// The reverse steps of Gaussian data are Gaussians: with their mean and variance nothing is lost,
/// however few the steps.
#[test]
fn a_network_that_learned_the_variance_of_gaussian_data_has_no_gap() {
    let schedule = Discrete::cosine(6).unwrap();
    let grid = Grid::every(&schedule).unwrap();
    let bound = VariationalBound::new(&grid, ModelVariance::Learned, Continuous).unwrap();
    let mut net = predicts::with(|x: &Array2<f64>, at: Point<Step>| {
        let Affine { slope, offset } = exact_affine(0.4, 0.25)(at.level);
        let (alpha, sigma) = (at.level.alpha(), at.level.sigma());
        let left = 0.25 * sigma * sigma / (alpha * alpha * 0.25 + sigma * sigma);
        let q = Markov.coefficients(at.from, at.to)?;
        let variance = q.std * q.std + q.clean * q.clean * left;
        let said = Array2::from_elem(x.dim(), variance.ln());
        Ok::<_, Error>(Prediction::x0(x.mapv(|x| slope * x + offset)).with_variance(said))
    });
    let data = GaussianMixture::isotropic(&[(1.0, &[0.4][..], 0.25)]).unwrap();
    let x_0 = data.sample(40_000, &mut StdRng::seed_from_u64(12));
    let terms = bound
        .evaluate(&x_0, &mut net, &mut SeededNoise::new(13))
        .unwrap();
    let gap: Vec<Nats> = x_0
        .iter()
        .zip(terms.total())
        .zip(&terms.prior)
        .map(|((x, bound), prior)| {
            let exact = data.log_density(&[*x], NoiseLevel::CLEAN).unwrap();
            Nats::new(exact - bound.nats().get()).unwrap() - *prior
        })
        .collect();
    let gap = Estimate::of(&gap).unwrap();
    println!("gap {} +- {}", gap.value, gap.standard_error);
    assert!(gap.standard_error.get() < 0.01);
    assert!(
        gap.value.get().abs() < 5.0 * gap.standard_error.get(),
        "{gap:?}"
    );
}

/// What a network that is wrong in slope and offset says.
fn crooked(level: NoiseLevel) -> Affine {
    let exact = exact_affine(0.4, 0.25)(level);
    Affine {
        slope: 0.9 * exact.slope,
        offset: exact.offset + 0.1,
    }
}

fn crooked_net() -> impl Denoiser<Array2<f64>, Step> {
    predicts::x0(|x: &Array2<f64>, at: Point<Step>| {
        let Affine { slope, offset } = crooked(at.level);
        x.mapv(|x| slope * x + offset)
    })
}

#[test]
fn every_term_has_its_closed_expectation_also_for_a_wrong_network() {
    let schedule = Discrete::cosine(12).unwrap();
    let grid = Grid::every(&schedule).unwrap();
    let normal = GaussianMixture::isotropic(&[(1.0, &[0.4][..], 0.25)]).unwrap();
    let x_0 = normal.sample(20_000, &mut StdRng::seed_from_u64(3));
    for variance in [ModelVariance::FixedSmall, ModelVariance::FixedLarge] {
        let bound = VariationalBound::new(&grid, variance, Continuous).unwrap();
        let expected = bound.expected(DATA, crooked).unwrap();
        let found = bound
            .evaluate(&x_0, &mut crooked_net(), &mut SeededNoise::new(4))
            .unwrap();
        let mut pairs = vec![("prior", Estimate::of(&found.prior), expected.prior[0])];
        for (found, expected) in found.steps.iter().zip(&expected.steps) {
            pairs.push(("step", Estimate::of(found), expected[0]));
        }
        let last = found.reconstruction.iter().map(|last| -last.nats());
        let last: Vec<_> = last.collect();
        let reconstruction = -expected.reconstruction[0].nats();
        pairs.push(("reconstruction", Estimate::of(&last), reconstruction));
        assert_eq!(pairs.len(), 13);
        for (what, found, expected) in pairs {
            let found = found.unwrap();
            let off = (found.value - expected).get() / found.standard_error.get();
            // Five standard errors: p < 1e-6 for each of 26.
            assert!(off.abs() < 5.0, "{variance:?} {what}: {off} deviations");
        }
    }
}

#[test]
fn drawn_steps_estimate_the_whole_bound_and_know_their_error() {
    let schedule = Discrete::cosine(10).unwrap();
    let grid = Grid::every(&schedule).unwrap();
    // With discrete data every term is above 0, and none makes up for another.
    let pixels = Discretized::images();
    let bound = VariationalBound::new(&grid, ModelVariance::FixedLarge, pixels).unwrap();
    let (mut noise, mut rng) = (SeededNoise::new(5), StdRng::seed_from_u64(6));
    let x_0 = array![[level_of(200)]];
    let (mut whole, mut drawn, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3000 {
        let terms = bound
            .evaluate(&x_0, &mut crooked_net(), &mut noise)
            .unwrap();
        whole.push(terms.total()[0]);
        let estimate = bound
            .estimate(&x_0, &mut crooked_net(), &mut noise, &mut rng, 16)
            .unwrap();
        drawn.push(estimate[0].value);
        errors.push(estimate[0].standard_error.get().powi(2));
    }
    let (whole, drawn) = (Estimate::of(&whole).unwrap(), Estimate::of(&drawn).unwrap());
    let off = (whole.value.nats() - drawn.value.nats()).get();
    let error = whole.standard_error.get().hypot(drawn.standard_error.get());
    assert!(off.abs() < 5.0 * error, "{off} with {error}");
    // The reported variance is unbiased for that of the estimates.
    let reported = errors.iter().sum::<f64>() / 3000.0;
    let actual = drawn.standard_error.get().powi(2) * 3000.0;
    assert!(
        (reported / actual - 1.0).abs() < 0.15,
        "{reported} {actual}"
    );
}

#[test]
fn a_learned_range_spans_the_fixed_variances_and_a_learned_one_is_its_logarithm() {
    let schedule = Discrete::cosine(30).unwrap();
    let grid = Grid::every(&schedule).unwrap();
    let x_0 = array![[0.2, -0.4], [1.0, 0.1]];
    let evaluate = |variance, said: Option<f64>| {
        let mut net = predicts::with(|x: &Array2<f64>, at: Point<Step>| {
            let answer = Prediction::noise(x.mapv(|x| (x + at.time.get()).sin()));
            Ok::<_, Error>(match said {
                Some(v) => answer.with_variance(Array2::from_elem(x.dim(), v)),
                None => answer,
            })
        });
        VariationalBound::new(&grid, variance, Continuous)
            .unwrap()
            .evaluate(&x_0, &mut net, &mut SeededNoise::new(0))
    };
    let small = evaluate(ModelVariance::FixedSmall, None).unwrap();
    let large = evaluate(ModelVariance::FixedLarge, None).unwrap();
    let low = evaluate(ModelVariance::LearnedRange, Some(-1.0)).unwrap();
    let high = evaluate(ModelVariance::LearnedRange, Some(1.0)).unwrap();
    for (fixed, learned) in [(&small, &low), (&large, &high)] {
        for (fixed, learned) in fixed
            .steps
            .iter()
            .flatten()
            .zip(learned.steps.iter().flatten())
        {
            let off = (*fixed - *learned).get().abs();
            assert!(
                off < 1e-12 * fixed.get().abs().max(1.0),
                "{fixed} {learned}"
            );
        }
    }
    // A log-variance of 0 everywhere, by the definition of the divergence.
    let learned = evaluate(ModelVariance::Learned, Some(0.0)).unwrap();
    let bound = gaussian_bound(&schedule);
    let (step, found) = (&bound.steps()[3], learned.steps[3][0].get());
    let (q, mean) = (step.posterior, small.steps[3][0].get());
    // Of the fixed variance only the distance of the means is left.
    let distance2 = mean * 2.0 * q.variance().get();
    let (v, d) = (q.variance().get(), 2.0);
    let expected = 0.5 * (distance2 + d * (v - 1.0 - v.ln()));
    check("learned", found, expected, 1e-12);

    let missing = evaluate(ModelVariance::Learned, None).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "the variance of a prediction is missing, a likelihood with a learned variance needs it"
    );
    let broken = evaluate(ModelVariance::Learned, Some(f64::NAN)).unwrap_err();
    assert_eq!(
        broken.to_string(),
        "the learned variance holds a NaN or an infinity at step 0"
    );
}

#[test]
fn respacing_and_a_grid_of_the_same_steps_have_the_same_bound() {
    let full = Discrete::cosine(1000).unwrap();
    let respacing = Respacing::parse("ddim25", 1000).unwrap();
    let short = full.respaced(&respacing).unwrap();
    let steps: Vec<_> = respacing
        .steps()
        .iter()
        .rev()
        .map(|&step| Step::new(step))
        .collect();
    let mut data = two_modes();
    let x_0 = array![[0.3], [-1.2]];
    let [a, b] = [
        Grid::every(&short).unwrap(),
        Grid::at(&full, &steps).unwrap(),
    ]
    .map(|grid| {
        let bound = VariationalBound::new(&grid, ModelVariance::FixedLarge, Continuous);
        let mut noise = SeededNoise::new(8);
        bound
            .unwrap()
            .evaluate(&x_0, &mut data, &mut noise)
            .unwrap()
    });
    for (a, b) in a.total().iter().zip(b.total()) {
        check("total", a.nats().get(), b.nats().get(), 1e-10);
    }
}

#[test]
fn an_item_does_not_depend_on_its_batch_its_layout_or_its_type() {
    let schedule = Discrete::cosine(9).unwrap();
    let grid = Grid::every(&schedule).unwrap();
    let pixels = Discretized::images();
    let bound = VariationalBound::new(&grid, ModelVariance::FixedSmall, pixels).unwrap();
    let mut net = predicts::noise(|x: &Array4<f64>, _: Point<Step>| x.mapv(f64::sin));
    let of = |i: usize| level_of((i * 37) % 256);
    let all = Array4::from_shape_fn((3, 2, 2, 2), |(a, b, c, d)| of(8 * a + 4 * b + 2 * c + d));
    let whole = bound
        .evaluate(&all, &mut net, &mut SeededNoise::new(1))
        .unwrap();
    let one = all
        .slice_axis(Axis(0), ndarray::Slice::from(1..2))
        .to_owned();
    let alone = bound
        .evaluate(&one, &mut net, &mut SeededNoise::new(1).with_first_item(1))
        .unwrap();
    assert_eq!(alone.total()[0], whole.total()[1]);

    let mut fortran = Array4::zeros((3, 2, 2, 2).f());
    fortran.assign(&all);
    let other = bound
        .evaluate(&fortran, &mut net, &mut SeededNoise::new(1))
        .unwrap();
    assert_eq!(other, whole);

    let mut net = predicts::noise(|x: &Array4<f32>, _: Point<Step>| x.mapv(f32::sin));
    let single = bound
        .evaluate(&all.mapv(|x| x as f32), &mut net, &mut SeededNoise::new(1))
        .unwrap();
    for (single, double) in single.total().iter().zip(whole.total()) {
        check("f32", single.nats().get(), double.nats().get(), 1e-4);
    }
}

#[test]
fn one_step_empty_batches_and_arrays_without_axes() {
    let schedule = Discrete::cosine(1).unwrap();
    let grid = Grid::every(&schedule).unwrap();
    let bound = VariationalBound::new(&grid, ModelVariance::FixedSmall, Continuous).unwrap();
    assert!(bound.steps().is_empty());
    let mut data = two_modes();
    let terms = bound
        .evaluate(&array![[0.5]], &mut data, &mut SeededNoise::new(0))
        .unwrap();
    assert_eq!((terms.prior.len(), terms.steps.len()), (1, 0));
    let total = terms.total()[0].nats() - terms.reconstruction[0].nats() + terms.prior[0];
    assert!(total.get().abs() < 1e-15);
    let none = Array2::<f64>::zeros((0, 1));
    let terms = bound
        .evaluate(&none, &mut data, &mut SeededNoise::new(0))
        .unwrap();
    assert!(terms.total().is_empty());
    let mut rng = StdRng::seed_from_u64(0);
    let found = bound
        .estimate(&none, &mut data, &mut SeededNoise::new(0), &mut rng, 2)
        .unwrap();
    assert!(found.is_empty());
    // An array without axes is one item of one element.
    let mut net = predicts::x0(|x: &Array0<f64>, _: Point<Step>| x.clone());
    let scalar = bound
        .evaluate(
            &Array0::from_elem((), 0.5),
            &mut net,
            &mut SeededNoise::new(0),
        )
        .unwrap();
    assert_eq!(scalar.total().len(), 1);
    // Items without elements have nothing to say.
    let mut net = predicts::x0(|x: &Array2<f64>, _: Point<Step>| x.clone());
    let nothing = bound
        .evaluate(&Array2::zeros((2, 0)), &mut net, &mut SeededNoise::new(0))
        .unwrap();
    assert_eq!(nothing.total()[0].nats(), Nats::default());
}

#[test]
fn zero_terminal_snr_has_no_prior_term() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let schedule = schedule.zero_terminal_snr().unwrap();
    let terms = gaussian_bound(&schedule)
        .expected(DATA, exact_affine(0.4, 0.25))
        .unwrap();
    assert_eq!(terms.prior[0].get(), 0.0);
    let gap = -terms.total()[0].nats().get() - entropy(0.25);
    assert!(gap > 0.0 && gap < 0.5, "{gap}");
    let mut net = predicts::noise(|x: &Array2<f64>, _: Point<Step>| x.clone());
    let error = gaussian_bound(&schedule)
        .evaluate(&array![[0.1]], &mut net, &mut SeededNoise::new(0))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a conversion of a noise prediction has no value at alpha = 0, sigma = 1"
    );
}

#[test]
fn what_a_bound_refuses() {
    let schedule = Discrete::cosine(10).unwrap();
    let grid = Grid::every(&schedule).unwrap();
    let short = grid
        .clone()
        .ending_at(NoiseLevel::new(0.9999, 1e-3).unwrap());
    let cut = VariationalBound::new(&short.unwrap(), ModelVariance::FixedSmall, Continuous);
    assert_eq!(
        cut.unwrap_err().to_string(),
        "sigma of the end is 0.001, allowed: 0: a bound is on the data"
    );
    let bound = gaussian_bound(&schedule);
    let mut data = two_modes();
    let mut rng = StdRng::seed_from_u64(0);
    let mut noise = SeededNoise::new(0);
    let none = bound.estimate(&array![[0.5]], &mut data, &mut noise, &mut rng, 0);
    assert_eq!(
        none.unwrap_err().to_string(),
        "number of draws is 0, allowed: 1 or more"
    );
    let single = bound.estimate(&array![[0.5]], &mut data, &mut noise, &mut rng, 1);
    assert_eq!(single.unwrap()[0].standard_error.get(), f64::INFINITY);
    let nan = bound.evaluate(&array![[f64::NAN]], &mut data, &mut noise);
    assert_eq!(
        nan.unwrap_err().to_string(),
        "x_0 holds a NaN or an infinity at step 0"
    );
    let mut nan_net = predicts::x0(|x: &Array2<f64>, at: Point<Step>| {
        x.mapv(|x| if at.step == 2 { f64::NAN } else { x })
    });
    let nan = bound.evaluate(&array![[0.1]], &mut nan_net, &mut noise);
    assert_eq!(
        nan.unwrap_err().to_string(),
        "a term of the likelihood holds a NaN or an infinity at step 2"
    );
    let mut wide = predicts::x0(|x: &Array2<f64>, _: Point<Step>| {
        concatenate(Axis(1), &[x.view(), x.view()]).unwrap()
    });
    let shape = bound.evaluate(&array![[0.1]], &mut wide, &mut noise);
    assert_eq!(
        shape.unwrap_err().to_string(),
        "prediction has shape [1, 2], expected [1, 1]"
    );
    let learned = VariationalBound::new(&grid, ModelVariance::Learned, Continuous).unwrap();
    assert_eq!(
        learned.expected(DATA, crooked).unwrap_err().to_string(),
        "the variance of the network is missing, the expected bound needs it"
    );
}

/// A network that fails at the last step alone, whose term is the decoder's.
#[test]
fn a_nan_at_the_last_step_is_not_hidden() {
    let grid = Grid::every(&Discrete::cosine(4).unwrap()).unwrap();
    let pixels = Discretized::images();
    let bound = VariationalBound::new(&grid, ModelVariance::FixedSmall, pixels).unwrap();
    let mut net = predicts::x0(|x: &Array2<f64>, at: Point<Step>| match at.to.is_clean() {
        true => x * f64::NAN,
        false => x * 0.5,
    });
    let x_0 = array![[level_of(200), level_of(0)]];
    let error = bound
        .evaluate(&x_0, &mut net, &mut SeededNoise::new(1))
        .unwrap_err();
    assert!(error.to_string().contains("holds a NaN"), "{error}");
}

#[test]
fn what_a_decoder_refuses() {
    let text = |found: Result<Discretized, Error>| found.unwrap_err().to_string();
    assert_eq!(
        text(Discretized::new(1, 0.0, 1.0)),
        "number of levels is 1, allowed: 2 or more"
    );
    assert_eq!(
        text(Discretized::new(2, f64::NAN, 1.0)),
        "lowest level is NaN, allowed: a finite number"
    );
    assert_eq!(
        text(Discretized::new(2, 1.0, 1.0)),
        "highest level is 1, allowed: a finite number above 1"
    );
    let pixels = Discretized::images();
    assert_eq!(
        (
            pixels.levels(),
            Discretized::new(7, 0.0, 3.0).unwrap().levels()
        ),
        (256, 7)
    );
    assert_eq!(Discretized::new(7, 0.0, 3.0).unwrap().width(), 0.5);
    // Of a deviation that no bin can be measured by, the bin of the mean is certain, and no other has a chance.
    let nats = |index, std| {
        let found = pixels.log_probability(index, level_of(200), std).unwrap();
        found.nats().get()
    };
    for std in [5e-324, 1e-310, 1e-200] {
        let [own, next, first] = [200, 199, 0].map(|index| nats(index, std));
        assert_eq!(
            [own, next, first],
            [0.0, f64::NEG_INFINITY, f64::NEG_INFINITY]
        );
    }
    // A mean further away than numbers reach leaves no chance, and none that is no number one.
    for index in [0, 128, 255] {
        for (mean, wanted) in [(1e308, 255), (-1e308, 0)] {
            let found = pixels.log_probability(index, mean, 1e-5).unwrap().nats();
            let certain = index == wanted;
            assert_eq!(found.get(), if certain { 0.0 } else { f64::NEG_INFINITY });
        }
        let none = pixels.log_probability(index, f64::NAN, 1.0).unwrap_err();
        assert_eq!(none.to_string(), "log-probability is NaN, allowed: up to 0");
    }
    let one = log_variance(1.0);
    for x_0 in [0.5, 1.0 + 2.0 / 255.0, f64::NAN, f64::INFINITY] {
        assert_eq!(
            pixels
                .log_likelihood(x_0, 0.0, one)
                .unwrap_err()
                .to_string(),
            format!("x_0 is {x_0}, allowed: one of 256 levels from -1 to 1")
        );
    }
    assert_eq!(
        pixels
            .log_probability(256, 0.0, 1.0)
            .unwrap_err()
            .to_string(),
        "level is 256, allowed: 0 to 255"
    );
    assert_eq!(
        pixels.log_probability(0, 0.0, 0.0).unwrap_err().to_string(),
        "deviation is 0, allowed: a finite number above 0"
    );
}

/// `1/2 integral of SNR * E (x_0 - E[x_0|x])^2 d log_snr` for data of variance `v`.
fn gaussian_diffusion_loss(v: f64, low: f64, high: f64) -> f64 {
    0.5 * ((1.0 + v * high.exp()) / (1.0 + v * low.exp())).ln()
}

#[test]
fn the_continuous_bound_does_not_depend_on_the_schedule() {
    let (low, high) = (-6.0, 7.0);
    let snr = |at| LogSnr::new(at).unwrap();
    let data = GaussianMixture::isotropic(&[(1.0, &[0.4][..], 0.25)]).unwrap();
    let x_0 = data.sample(100, &mut StdRng::seed_from_u64(9));
    let linear = LogSnrLinear::new(snr(low), snr(high)).unwrap();
    let vp = VpLinear::new(0.1, 20.0).unwrap();
    let times = |at: &dyn Fn(LogSnr) -> Time| (at(snr(low)), at(snr(high)));
    let cosine = times(&|snr| Cosine.time_at(snr).unwrap());
    let vp_ends = times(&|snr| vp.time_at(snr).unwrap());
    let edm = Edm::default();
    // Even in sigma, hardly any draw would fall where a bound to log-SNR 7 has its weight.
    let sigmas = [low, 1.0].map(|at: f64| Sigma::new((-at / 2.0).exp()).unwrap());
    let discrete = Discrete::cosine(4000).unwrap();
    let steps = [low, high].map(|at| discrete.time_at(snr(at)).unwrap());

    let mut found = Vec::new();
    macro_rules! estimate {
        ($name:expr, $bound:expr) => {{
            let (mut noise, mut rng) = (SeededNoise::new(10), StdRng::seed_from_u64(11));
            let terms = $bound
                .unwrap()
                .estimate(&x_0, &mut data.clone(), &mut noise, &mut rng, 4000)
                .unwrap();
            found.push(($name, terms));
        }};
    }
    estimate!("log-SNR", ContinuousBound::in_log_snr(&linear, Continuous));
    estimate!(
        "cosine",
        ContinuousBound::in_time(&Cosine, cosine.0, cosine.1, Continuous)
    );
    estimate!(
        "VP",
        ContinuousBound::in_time(&vp, vp_ends.0, vp_ends.1, Continuous)
    );
    estimate!(
        "EDM",
        ContinuousBound::in_time(&edm, sigmas[0], sigmas[1], Continuous)
    );
    estimate!(
        "discrete",
        ContinuousBound::between(&discrete, steps[0], steps[1], Continuous)
    );
    for (name, terms) in &found {
        let high = if *name == "EDM" { 1.0 } else { high };
        let expected = gaussian_diffusion_loss(0.25, low, high);
        // The draws of times are shared by the items: the error of one is that of the mean of all.
        let mean = terms.diffusion.iter().map(|it| it.value).sum::<Nats>() / 100.0;
        let errors = terms.diffusion.iter().map(|it| it.standard_error);
        let error = errors.sum::<Nats>() / 100.0;
        let off = (mean.get() - expected) / error.get();
        println!("{name}: {mean} +- {error} for {expected}");
        assert!(off.abs() < 4.0, "{name}: {mean} for {expected}, {off}");
        assert!(error.get() < 0.1 * expected, "{name}: {error}");
        if *name == "EDM" {
            continue;
        }
        // The whole is the log-density of the items, up to the one draw of the decoder, whose
        // deviation is sqrt(1/2) nats an item.
        let exact = x_0
            .iter()
            .map(|x| data.log_density(&[*x], NoiseLevel::CLEAN).unwrap());
        let total = terms.total();
        let below = exact
            .zip(&total)
            .map(|(exact, it)| exact - it.value.nats().get());
        let gap = below.sum::<f64>() / 100.0;
        assert!(gap.abs() < 4.0 * error.get().hypot(0.0707), "{name}: {gap}");
    }
}

/// A network that predicts 0 has the squared error `x_0^2` whatever the noise: the mean over the drawn times is
/// `1/2 |T - t| (-d log SNR / dt) SNR x_0^2`, or `1/2 (high - low) SNR x_0^2` over the log-SNR.
#[test]
fn drawn_times_by_hand() {
    let x_0 = array![[0.7], [-0.2]];
    let (ends, draws) = ([0.9, 0.2], 4);
    let time = |t: f64| Time::new(t).unwrap();
    let vp = VpLinear::new(0.1, 20.0).unwrap();
    let numbers = || {
        let mut rng = StdRng::seed_from_u64(2);
        (0..draws).map(move |_| rng.random::<f64>())
    };
    let near = |found: Vec<Estimate<Nats>>, of_one: f64| {
        for (found, x) in found.iter().zip(&x_0) {
            let wanted = of_one * x * x / draws as f64;
            let off = found.value.get() - wanted;
            assert!(off.abs() < 1e-8 * wanted, "{found:?} for {wanted}");
        }
    };
    let snr = |t: f64| vp.level(time(t)).unwrap().log_snr().get();
    macro_rules! drawn {
        ($bound:expr) => {{
            let bound = $bound.unwrap();
            assert!(format!("{bound:?}").starts_with("ContinuousBound { ends"));
            let mut net = predicts::x0(|x: &Array2<f64>, _: Point<Time>| x * 0.0);
            let mut rng = StdRng::seed_from_u64(2);
            let terms = bound.estimate(&x_0, &mut net, &mut SeededNoise::new(1), &mut rng, draws);
            terms.unwrap().diffusion
        }};
    }
    let in_time = numbers().map(|u| {
        let t = ends[0] + (ends[1] - ends[0]) * u;
        let rate = (snr(t - 1e-5) - snr(t + 1e-5)) / 2e-5;
        0.5 * (ends[0] - ends[1]) * rate * snr(t).exp()
    });
    let [from, to] = ends.map(time);
    near(
        drawn!(ContinuousBound::in_time(&vp, from, to, Continuous)),
        in_time.sum(),
    );
    let (low, high) = (snr(ends[0]), snr(ends[1]));
    let in_snr = numbers().map(|u| 0.5 * (high - low) * (low + (high - low) * u).exp());
    near(
        drawn!(ContinuousBound::between(&vp, from, to, Continuous)),
        in_snr.sum(),
    );
}

/// Where much of the data is left at the noise end the prior is most of the bound; all else but the decoder's term is 0
/// for a network that knows the data.
#[test]
fn an_estimate_has_the_prior_of_its_noise_end() {
    let schedule = Discrete::cosine(10).unwrap();
    let grid = Grid::every(&schedule).unwrap().tail(3).unwrap();
    let bound = VariationalBound::new(&grid, ModelVariance::FixedSmall, Continuous).unwrap();
    let x_0 = array![[2.5]];
    let mut net = predicts::x0(|x: &Array2<f64>, _: Point<Step>| x.mapv(|_| 2.5));
    let (mut noise, mut rng) = (SeededNoise::new(5), StdRng::seed_from_u64(6));
    let terms = bound.evaluate(&x_0, &mut net, &mut noise).unwrap();
    let estimate = bound.estimate(&x_0, &mut net, &mut noise, &mut rng, 4000);
    let estimate = estimate.unwrap().remove(0);
    let off = (estimate.value.nats() - terms.total()[0].nats()).get();
    let error = estimate.standard_error.get();
    assert!(
        off.abs() < 5.0 * error && terms.prior[0].get() > 20.0 * error,
        "{off} {error}"
    );
}

#[test]
fn what_a_continuous_bound_refuses() {
    let infinite = ContinuousBound::in_log_snr(&Cosine, Continuous).unwrap_err();
    assert!(
        infinite
            .to_string()
            .ends_with("allowed: finite: narrow the ends of the schedule"),
        "{infinite}"
    );
    let time = |t| Time::new(t).unwrap();
    let backward = ContinuousBound::between(&Cosine, time(0.2), time(0.8), Continuous);
    let text = backward.unwrap_err().to_string();
    assert!(text.starts_with("ends[1] has log-SNR"), "{text}");
    let nowhere = ContinuousBound::between(&Cosine, time(0.5), time(0.5), Continuous);
    assert!(nowhere.is_err());
    let bound = ContinuousBound::in_time(&Cosine, time(0.9), time(0.1), Continuous).unwrap();
    let mut rng = StdRng::seed_from_u64(0);
    let none = bound.estimate(
        &array![[0.1]],
        &mut two_modes(),
        &mut SeededNoise::new(0),
        &mut rng,
        0,
    );
    assert_eq!(
        none.unwrap_err().to_string(),
        "number of draws is 0, allowed: 1 or more"
    );
    let empty = bound.estimate(
        &Array2::<f64>::zeros((0, 1)),
        &mut two_modes(),
        &mut SeededNoise::new(0),
        &mut rng,
        3,
    );
    assert!(empty.unwrap().total().is_empty());
}

/// The discrete bound with many steps is the continuous one with its decoder at the last level.
#[test]
fn the_discrete_bound_tends_to_the_continuous_integral() {
    let schedule = Discrete::cosine(4000).unwrap();
    let terms = gaussian_bound(&schedule)
        .expected(DATA, exact_affine(0.4, 0.25))
        .unwrap();
    let sum: Nats = terms.steps.iter().map(|step| step[0]).sum();
    let [low, high] = [3999, 0].map(|step| {
        let level = schedule.level(Step::new(step)).unwrap();
        level.log_snr().get()
    });
    let integral = gaussian_diffusion_loss(0.25, low, high);
    assert!(
        sum.get() > integral && sum.get() < integral * 1.2,
        "{sum} {integral}"
    );
    let finer: f64 = {
        // Two equal log-SNR steps in place of one: the sum falls toward the integral.
        let plan = Plan::new(
            &schedule,
            &Grid::uniform_log_snr(&schedule, 2000).unwrap(),
            &Ddim::default(),
        )
        .unwrap();
        plan.levels()
            .windows(2)
            .filter(|pair| !pair[1].is_clean())
            .map(|pair| {
                let snr = |level: NoiseLevel| level.log_snr().get().exp();
                let (a, b) = (snr(pair[0]), snr(pair[1]));
                0.5 * (b - a) * 0.25 / (1.0 + 0.25 * a)
            })
            .sum()
    };
    assert!((finer / integral - 1.0).abs() < 0.02, "{finer} {integral}");
}

#[test]
fn the_prior_has_the_variance_of_noised_data() {
    let x_0 = array![[0.7], [-2.0]];
    let by_hand = |level: NoiseLevel, x: f64| {
        let (a2, s2) = (level.alpha().powi(2), level.sigma().powi(2));
        let total = a2 + s2;
        0.5 * ((a2 * x * x + s2) / total - 1.0 - (s2 / total).ln())
    };
    let edm = Edm::new(Sigma::new(0.1).unwrap(), Sigma::new(2.0).unwrap()).unwrap();
    let flow = Grid::at(&RectifiedFlow, &[Time::new(0.7).unwrap()]).unwrap();
    let karras = Grid::karras(&edm, 3).unwrap();
    let of_edm = VariationalBound::new(&karras, ModelVariance::FixedSmall, Continuous).unwrap();
    let of_flow = VariationalBound::new(&flow, ModelVariance::FixedSmall, Continuous).unwrap();
    for (i, x) in x_0.iter().enumerate() {
        let level = NoiseLevel::new(1.0, 2.0).unwrap();
        check(
            "EDM",
            of_edm.prior(&x_0).unwrap()[i].get(),
            by_hand(level, *x),
            1e-13,
        );
        let level = NoiseLevel::new(1.0 - 0.7, 0.7).unwrap();
        check(
            "flow",
            of_flow.prior(&x_0).unwrap()[i].get(),
            by_hand(level, *x),
            1e-13,
        );
    }
}

/// The decoder of the continuous bound sees `z_0 / alpha`, whose error does not depend on the data.
#[test]
fn the_continuous_reconstruction_is_an_entropy() {
    let schedule = LogSnrLinear::new(LogSnr::new(-6.0).unwrap(), LogSnr::new(0.0).unwrap());
    let schedule = schedule.unwrap();
    let bound = ContinuousBound::in_log_snr(&schedule, Continuous).unwrap();
    let x_0 = Array2::from_elem((4000, 1), 5.0);
    let (mut noise, mut rng) = (SeededNoise::new(30), StdRng::seed_from_u64(31));
    let terms = bound
        .estimate(&x_0, &mut two_modes(), &mut noise, &mut rng, 1)
        .unwrap();
    let found = Estimate::of(&terms.reconstruction).unwrap();
    let off = found.value.nats().get() + entropy(1.0);
    // Five standard errors of sqrt(1/2) / sqrt(4000).
    assert!(off.abs() < 5.0 * 0.0112, "{off}");
}

#[test]
fn estimates_of_samples() {
    let nats = |x| Nats::new(x).unwrap();
    let of = Estimate::of(&[nats(1.0), nats(2.0), nats(6.0)]).unwrap();
    assert_eq!(of.value.get(), 3.0);
    assert!((of.standard_error.get() - (14.0_f64 / 6.0).sqrt()).abs() < 1e-15);
    assert_eq!(
        Estimate::<LogDensity>::of(&[]).unwrap_err().to_string(),
        "number of samples is 0, allowed: 1 or more"
    );
}

/// The parameterization a network answers in does not matter.
#[test]
fn every_parameterization_has_the_same_bound() {
    let schedule = Discrete::cosine(20).unwrap();
    let bound = gaussian_bound(&schedule);
    let x_0 = array![[0.2], [-1.0]];
    let mut expected: Option<Array1<f64>> = None;
    for parameterization in [
        Parameterization::X0,
        Parameterization::Noise,
        Parameterization::Velocity,
        Parameterization::Score,
        Parameterization::Flow,
    ] {
        let mut data = two_modes();
        let mut net = predicts::with(|x: &Array2<f64>, at: Point<Step>| {
            data.predict(x, at)?.to(parameterization, x, at.level)
        });
        let terms = bound
            .evaluate(&x_0, &mut net, &mut SeededNoise::new(3))
            .unwrap();
        let total: Array1<f64> = terms.total().iter().map(|it| it.nats().get()).collect();
        let first = expected.get_or_insert_with(|| total.clone());
        for (a, b) in total.iter().zip(&*first) {
            check("total", *a, *b, 1e-9);
        }
    }
}
