//! A refusal names the range that is applied: what it says is taken is taken, and nothing beside it.

use gaussian_diffusion::{
    Error, GaussianMixture, Grid, LogSnr, LogVariance, MixtureCovariance, MixtureFit, NoiseLevel,
    NonMarkovian, Plan, Posterior, SeededNoise, Sigma, SigmaData, Step, Time, UpdateNoise,
    Variance,
    denoiser::{
        AdjustedDdim, Clip, DynamicThreshold, LearnedNoise, NoiseOutput,
        preconditioning::VpPreconditioning,
    },
    editing::slerp,
    fit::{Fit, Refinement},
    grid::{
        Beta, BongTangent, FlowCurve, Karras, KlOptimal, LaplaceCurve, LinearQuadratic,
        LogitNormalCurve, PolyExponential, VpCurve, steps_for_strength, steps_of_strength,
        steps_of_strength_up,
    },
    guidance::{
        Classifier, Combination, DiffPir, Dps, GaussianPosterior, GuidanceInterval,
        LaplacianPyramid, MagnitudeAwareCfg, Measurement, Projected, Rescaled,
    },
    likelihood::{
        BitsPerDim, Continuous, Discretized, LogDensity, LogProbability, Nats, ProbabilityFlow,
        StepDensity,
    },
    noise::TorchCuda,
    rand::{SeedableRng, rngs::StdRng},
    schedule::{
        ContinuousSchedule, Cosine, Discrete, Edm, Interpolant, LogSnrLinear, NoiseSchedule,
        RectifiedFlow, Respacing, Shifted, SubVp, VeGeometric, VpLinear,
    },
    solver::{
        Ancestral, At, Churn, Consistency, Coordinates, Ddim, DpmAdaptive, DpmSde, DpmSolver,
        DpmSolverV3, ErSde, EulerMaruyama, ExponentialAdams, Langevin, LeastNoise, LinearMultistep,
        ModelStatistics, NodeBlocks, Path, ReverseStep, RungeKutta, SaSolver, SingleStep, Stage,
        StatisticsNode, UniPc, Update,
    },
    training::{
        BrownianBridge, EmaRule, HybridLoss, InputPerturbation, OffsetNoise, PostHoc, PowerProfile,
        Uncertainty, Weight,
        consistency::{Curriculum, Tangent},
        coupling::EntropicPlan,
        flow_map, huber_error, magnitude,
        times::{self, LossSecondMoment, TimeSampler, UniformStep, UniformTime},
    },
};
use ndarray::{Array1, array};

use super::{level, sigma, snr, time};

/// Ends of a range, and whether each is in it.
#[derive(Debug, PartialEq)]
struct Range {
    low: (f64, bool),
    high: (f64, bool),
    finite: bool,
}

/// What a refusal says is allowed, if it is a range of numbers.
fn range(allowed: &str) -> Option<Range> {
    let (least, most) = ((f64::NEG_INFINITY, true), (f64::INFINITY, true));
    let number = |text: &str| -> Option<f64> {
        let text = text.split([',', ' ']).next()?;
        text.parse().ok()
    };
    // Nothing at all is often allowed too.
    let text = allowed.strip_prefix("0, or ").unwrap_or(allowed);
    let text = text.split(", ").next()?;
    // What stands in parentheses says whose number it is.
    let joined = match text.split_once(" (") {
        Some((low, rest)) => [low, rest.split_once(')')?.1].concat(),
        None => text.to_owned(),
    };
    let text = joined.as_str();
    let (finite, text) = match text.strip_prefix("a finite number") {
        Some("") => {
            return Some(Range {
                low: least,
                high: most,
                finite: true,
            });
        }
        Some(rest) => (true, rest.trim_start()),
        None => (false, text.strip_prefix("a number ").unwrap_or(text)),
    };
    let made = |low, high| Some(Range { low, high, finite });
    if let Some(rest) = text.strip_prefix("from ") {
        return made((number(rest.strip_suffix(" on")?)?, true), most);
    }
    if let Some(rest) = text.strip_prefix("above ") {
        let rest = rest.strip_prefix("start = ").unwrap_or(rest);
        let low = (number(rest)?, false);
        return match rest.split_once(" and ") {
            None => made(low, most),
            Some((_, end)) => match end.strip_prefix("below ") {
                Some(end) => made(low, (number(end)?, false)),
                None => made(low, (number(end.strip_prefix("up to ")?)?, true)),
            },
        };
    }
    if let Some(rest) = text.strip_prefix("up to ") {
        return made(least, (number(rest)?, true));
    }
    if let Some(rest) = text.strip_prefix("below ") {
        return made(least, (number(rest)?, false));
    }
    if let Some(rest) = text.strip_suffix(" or more") {
        return made((number(rest)?, true), most);
    }
    let (low, high) = text.split_once(" to ")?;
    match high.strip_prefix("below ") {
        Some(high) => made((number(low)?, true), (number(high)?, false)),
        None => made((number(low)?, true), (number(high)?, true)),
    }
}

fn allowed(outcome: &Result<(), Error>) -> Option<&str> {
    match outcome {
        Err(Error::OutOfRange { allowed, .. } | Error::ElementOutOfRange { allowed, .. }) => {
            Some(allowed)
        }
        _ => None,
    }
}

/// What is wrong about the range that a refusal names: its ends are tried, and what lies beside them.
fn faults(
    next_to: impl Fn(f64, bool) -> f64,
    make: &dyn Fn(f64) -> Result<(), Error>,
    bad: f64,
) -> Vec<String> {
    let refused = make(bad);
    let Some(text) = allowed(&refused) else {
        return vec![format!("{bad} is not refused by a range: {refused:?}")];
    };
    let Some(Range { low, high, finite }) = range(text) else {
        return vec![format!("no range: {text}")];
    };
    let mut wrong = Vec::new();
    for ((end, inside), is_high) in [(low, false), (high, true)] {
        let is_refused = |x: f64| allowed(&make(x)) == Some(text);
        let (within, beyond) = match inside {
            _ if end.is_infinite() => match finite {
                true => (f64::MAX.copysign(end), end),
                false => (end, f64::NAN),
            },
            true => (end, next_to(end, is_high)),
            false => (next_to(end, !is_high), end),
        };
        // Within the range another reason may remain.
        if is_refused(within) {
            wrong.push(format!("{text}, but {within:e} is not taken"));
        }
        // Below 0 there are no counts.
        if beyond != within && !is_refused(beyond) {
            wrong.push(format!("{text}, but {beyond:e} gives {:?}", make(beyond)));
        }
    }
    wrong
}

/// The next number above or below.
fn next_number(x: f64, up: bool) -> f64 {
    if up { x.next_up() } else { x.next_down() }
}

/// The next whole number, or 0.
fn next_whole(x: f64, up: bool) -> f64 {
    if up { x + 1.0 } else { (x - 1.0).max(0.0) }
}

/// `x => outcome;` rows, whose refusals name the range that is applied.
macro_rules! rows {
    ($next:expr, $bad:expr; $($x:ident => $made:expr;)*) => {{
        let mut wrong = Vec::new();
        $(
            let make = |$x: f64| $made.map(drop);
            for fault in faults($next, &make, $bad) {
                wrong.push(format!("{}\n  {fault}", stringify!($made)));
            }
        )*
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }};
}

#[test]
fn numbers_meet_the_range_that_is_named() {
    let x = || array![0.5];
    let all = || Grid::every(&Discrete::constant(10, 0.3).unwrap()).unwrap();
    rows! { next_number, f64::NAN;
        v => Step::fractional(v);
        v => Time::new(v);
        v => Sigma::new(v);
        v => Variance::new(v);
        v => LogVariance::new(v);
        v => SigmaData::new(v);
        v => NonMarkovian::new(v);
        v => Discrete::scaled_linear(9, v, 0.5);
        v => Discrete::scaled_linear(9, 1e-3, v);
        v => Discrete::constant(1, v);
        v => Discrete::cosine_with(9, v, 0.999);
        v => Discrete::warm_up(9, 0.1, 0.2, v);
        v => Discrete::laplace(9, 0.0, v);
        v => Discrete::laplace(9, v, 1.0);
        v => VpLinear::new(v, 690.0);
        v => VpLinear::new(0.1, v);
        v => SubVp::new(v, 690.0);
        v => LogSnrLinear::new(snr(-5.0), LogSnr::new(v).unwrap_or(snr(-5.0)));
        v => VeGeometric::new(sigma(0.1), Sigma::new(v).unwrap_or(sigma(0.0)));
        v => Edm::new(sigma(0.1), Sigma::new(v).unwrap_or(sigma(0.0)));
        v => Shifted::new(Cosine, v);
        v => Cosine.level(Time::new(v).unwrap_or(time(-1.0)));
        v => RectifiedFlow.sde(Time::new(v).unwrap_or(time(2.0)));
        v => Karras::new(sigma(2.0), sigma(1.0), v);
        v => PolyExponential::new(sigma(2.0), sigma(1.0), v);
        v => Beta::new(sigma(2.0), sigma(1.0), v, 1.0);
        v => Beta::new(sigma(2.0), sigma(1.0), 1.0, v);
        v => LinearQuadratic::new(sigma(1.0), v);
        v => LogitNormalCurve::new(v, 1.0, snr(-1.0), snr(1.0));
        v => LogitNormalCurve::new(0.0, v, snr(-1.0), snr(1.0));
        v => VpCurve::new(v, 0.1, 1e-3);
        v => VpCurve::new(1.0, v, 1e-3);
        v => VpCurve::new(1.0, 0.1, v);
        v => all().strength_and_one(v);
        v => steps_for_strength(9, v);
        v => Churn::new(Ddim::default(), v);
        v => Churn::new(Ddim::default(), 1.0).unwrap().with_noise_factor(v);
        v => Ancestral::new(Ddim::default(), v);
        v => Consistency::default().with_noise_factor(v);
        v => DpmSde::new(v);
        v => DpmSde::new(1.0).unwrap().with_fraction(v);
        v => DpmSolver::plus_plus(2).unwrap().with_tau(v);
        v => EulerMaruyama::new(v);
        v => ErSde::new(2).unwrap().with_noise_factor(v);
        v => SingleStep::plus_plus(2).unwrap().with_tau(v);
        v => SingleStep::plus_plus(2).unwrap().with_fraction(v);
        v => NodeBlocks::plus_plus(2).unwrap().with_tau(v);
        v => SaSolver::new(2, 2).unwrap().with_tau(v);
        v => LinearMultistep::gradient_estimation(v);
        v => RungeKutta::at_fraction(v);
        v => Langevin::new(Ddim::default(), v, 1);
        v => DpmAdaptive::new(2).unwrap().with_tolerances(v, 0.1);
        v => DpmAdaptive::new(2).unwrap().with_first_step(v);
        v => DpmAdaptive::new(2).unwrap().with_controller([v, 0.0, 0.0], 0.8);
        v => DpmAdaptive::new(2).unwrap().with_controller([0.0; 3], v);
        v => DpmAdaptive::new(2).unwrap().with_eta(v, 1.0);
        v => Clip::new(-1.0, v);
        v => DynamicThreshold::new(v);
        v => DynamicThreshold::new(0.9).unwrap().with_maximum(v);
        v => Projected::<Array1<f64>>::new(v);
        v => Projected::<Array1<f64>>::new(2.0).unwrap().with_momentum(v);
        v => Projected::<Array1<f64>>::new(2.0).unwrap().with_norm(v);
        v => Rescaled::new(Combination::classifier_free(2.0).unwrap(), v);
        v => GuidanceInterval::sigmas(v, f64::INFINITY);
        v => GuidanceInterval::sigmas(0.5, v);
        v => GuidanceInterval::fraction(v, 1.0, 10);
        v => GuidanceInterval::fraction(0.25, v, 10);
        v => Measurement::new((), x(), v);
        v => DiffPir::new(Measurement::new((), x(), 0.1).unwrap(), v, 3);
        v => Discretized::new(9, 0.0, v);
        v => LogProbability::new(v);
        v => ProbabilityFlow::new(&VpLinear::new(0.1, 20.0).unwrap()).unwrap().with_tolerance(v);
        v => HybridLoss::new(gaussian_diffusion::ModelVariance::Learned, v, Continuous);
        v => EmaRule::constant(v);
        v => EmaRule::warm_up(v, 1.0, 0.9);
        v => PowerProfile::new(v);
        v => PowerProfile::of_relative_width(v);
        v => OffsetNoise::new((), v);
        v => InputPerturbation::new(v);
        v => huber_error(&x(), &x(), v);
        v => Weight::min_snr(v);
        v => Weight::p2(1.0, v);
        v => Weight::sigmoid(v);
        v => Weight::laplace(v, 1.0);
        v => Weight::laplace(0.0, v);
        v => times::LogNormal::new(v, 1.0);
        v => times::LogNormal::new(0.0, v);
        v => times::LogUniform::new(sigma(0.1), Sigma::new(v).unwrap_or(sigma(0.0)));
        v => times::Mode::new(v);
        v => UniformStep::new(9).unwrap().quantile(v);
        v => LossSecondMoment::new(9).unwrap().with_uniform_share(v);
        v => LogDensity::new(0.0).unwrap().scaled(v, 3);
        v => GaussianMixture::isotropic(&[(v, [0.0], 1.0)]);
        v => Discretized::new(9, v, f64::INFINITY);
        v => Discretized::new(9, 0.0, 1.0).unwrap().log_probability(0, 0.0, v);
        v => LogDensity::new(0.0).unwrap().dequantized(v, 3);
        v => StepDensity::default().with_least_std(v);
        v => mixture_fit().with_tolerance(v);
        v => mixture_fit().with_floor(v);
        v => Fit::default().with_ridge(v);
        v => Refinement::default().with_difference(v);
        v => Combination::classifier_free(v);
        v => Classifier::new((), (), v);
        v => Dps::new((), Measurement::new((), x(), 0.1).unwrap(), v);
        v => GaussianPosterior::pseudo_inverse((), Measurement::new((), x(), 0.1).unwrap(), v, 3);
        v => MagnitudeAwareCfg::new(2.0, v);
        v => Projected::<Array1<f64>>::new(2.0).unwrap().with_parallel(v);
        v => EmaRule::warm_up(1.0, v, 0.9);
        v => EmaRule::warm_up(1.0, 1.0, v);
        v => Weight::soft_min_snr(v);
        v => Weight::p2(v, 1.0);
        v => Curriculum::improved(9).unwrap().decay(0, v);
        v => Tangent::new(SigmaData::EDM).with_warm_up(v);
        v => Tangent::new(SigmaData::EDM).with_constant(v);
        v => flow_map::adaptive_weights(&[1.0], v, 1.0);
        v => flow_map::adaptive_weights(&[1.0], 1.0, v);
        v => magnitude::sum(v);
        v => magnitude::concatenation([2, 3], v);
        v => magnitude::normalized(&x(), v);
        v => BrownianBridge::new(v);
        v => EntropicPlan::new(&x(), &x(), v);
        v => times::LogitNormalTime::new(v, 1.0);
        v => times::LogitNormalTime::new(0.0, v);
        v => times::Pairs::new(UniformTime::default(), v);
        v => uncertainty().descend(&uncertainty().loss(&x(), &[0.1]).unwrap(), v);
    }
}

fn mixture_fit() -> MixtureFit {
    MixtureFit::new(2, MixtureCovariance::Diagonal).unwrap()
}

fn uncertainty() -> Uncertainty {
    Uncertainty::of(array![0.3, 1.0], array![0.1, 0.2], array![1.0, -0.5]).unwrap()
}

/// A sigma that may be any number but NaN, for which it is this one.
fn any_sigma(v: f64, instead: f64) -> Sigma {
    sigma(if v.is_nan() {
        instead
    } else {
        v.clamp(0.0, f64::MAX)
    })
}

#[test]
fn levels_and_tables_meet_the_range_that_is_named() {
    let table = || Discrete::constant(10, 0.3).unwrap();
    let noisy = |v: f64, instead: f64| LogSnr::new(v).unwrap_or(snr(instead));
    let wide = || Edm::new(sigma(1e-150), sigma(1e150)).unwrap();
    rows! { next_number, f64::NAN;
        v => NoiseLevel::new(v, 1.0);
        v => NoiseLevel::new(1.0, v);
        v => NoiseLevel::from_alpha_bar(v);
        v => NoiseLevel::variance_preserving(noisy(v, 691.0));
        v => NoiseLevel::rectified_flow(noisy(v, 691.0));
        v => wide().level_at(noisy(v, 691.0));
        v => SubVp::new(0.1, 20.0).unwrap().level_at(noisy(v, 691.0));
        v => Discrete::linear(1, v, 0.5);
        v => Discrete::linear(2, 1e-300, v);
        v => Discrete::from_betas([v]);
        v => Discrete::from_alpha_bars(&[v, 0.0]);
        v => Discrete::from_alpha_bars(&[0.5, v]);
        v => Discrete::cosine_with(9, 0.008, v);
        v => Discrete::warm_up(2, v, 0.2, 1.0);
        v => Discrete::warm_up(1, 0.1, v, 0.0);
        v => Discrete::sigmoid_alpha_bar_with(3, v, 3.0, 1.0);
        v => Discrete::sigmoid_alpha_bar_with(3, -3.0, v, 1.0);
        v => Discrete::sigmoid_alpha_bar_with(3, -3.0, 3.0, v);
        v => Discrete::exponential(9, v);
        v => table().level(Step::fractional(v).unwrap_or(Step::new(10)));
        v => table().reaching(noisy(v, f64::INFINITY));
        v => SubVp::new(0.1, v);
        v => LogSnrLinear::new(noisy(v, -691.0), snr(690.0));
        v => VeGeometric::new(Sigma::new(v).unwrap_or(sigma(0.0)), sigma(1e150));
        v => Edm::new(Sigma::new(v).unwrap_or(sigma(0.0)), sigma(1e150));
        v => Shifted::flow(v);
        v => Interpolant::new(|t| (1.0 - t, -1.0), |t| (t, 1.0)).unwrap().with_latent_variance(move |_| (v, 0.0));
    }
    rows! { next_whole, 1e9;
        n => Respacing::of_steps(5, [n as usize]);
        n => Respacing::of_sections(10, &[n as usize, 1]);
    }
}

#[test]
fn grids_meet_the_range_that_is_named() {
    let table = || Discrete::constant(10, 0.3).unwrap();
    let all = || Grid::every(&table()).unwrap();
    let flow = || Grid::uniform_time(&RectifiedFlow, 4).unwrap();
    let any_time = |v: f64| {
        time(if v.is_nan() {
            -1.0
        } else {
            v.clamp(f64::MIN, f64::MAX)
        })
    };
    let (huge, none) = (sigma(f64::MAX), f64::INFINITY);
    let noisy = |v: f64| LogSnr::new(v).unwrap_or(snr(none));
    rows! { next_number, f64::NAN;
        v => FlowCurve::new(v);
        v => FlowCurve::new(3.0).unwrap().with_last(v);
        v => all().shifted(&table(), v);
        v => flow().stretched(&RectifiedFlow, Time::new(v).unwrap_or(time(0.0)));
        v => LaplaceCurve::new(sigma(2.0), sigma(1.0), v, 1.0);
        v => LaplaceCurve::new(sigma(2.0), sigma(1.0), 0.0, v);
        v => LinearQuadratic::new(any_sigma(v, 0.0), 0.1);
        v => LogitNormalCurve::new(0.0, 1.0, noisy(v), snr(600.0));
        v => LogitNormalCurve::new(0.0, 1.0, snr(-1.0), noisy(v));
        v => BongTangent::new(any_sigma(v, 0.0), sigma(1.0));
        v => Karras::new(any_sigma(v, 0.0), sigma(1.0), 7.0);
        v => Karras::new(huge, any_sigma(v, 0.0), 7.0);
        v => KlOptimal::new(any_sigma(v, 0.0), sigma(1.0));
        v => KlOptimal::new(huge, any_sigma(v, 0.0));
        v => Beta::new(huge, any_sigma(v, 0.0), 1.0, 1.0);
        v => PolyExponential::new(huge, any_sigma(v, 0.0), 1.0);
        v => LaplaceCurve::new(huge, any_sigma(v, 0.0), 0.0, 1.0);
        v => Grid::beta_steps(&table(), 2, v, 1.0);
        v => Grid::beta_steps(&table(), 2, 1.0, v);
        v => Grid::quadratic_time_between(&RectifiedFlow, 3, any_time(v), time(0.5));
        v => Grid::quadratic_time_between(&RectifiedFlow, 3, time(0.5), any_time(v));
        v => Grid::uniform_log_snr_between(&Cosine, 3, noisy(v), snr(0.0));
        v => Grid::uniform_log_snr_between(&Cosine, 3, snr(0.0), noisy(v));
        v => steps_of_strength(9, v);
        v => steps_of_strength_up(9, v);
        v => all().strength_up(v);
    }
    rows! { next_whole, 0.0;
        n => LogitNormalCurve::for_length(n as usize);
    }
    for (coefficient, taken) in [
        (0.8, true),
        (1.5, true),
        (0.75, false),
        (1.55, false),
        (0.82, false),
        (1.0 + 1e-7, false),
    ] {
        let grid = Grid::gits_with(&Edm::default(), 5, coefficient).map(drop);
        let expected = (!taken).then_some("0.80 to 1.50 in steps of 0.05");
        assert_eq!(allowed(&grid), expected, "{coefficient}");
    }
}

/// One update at every level.
struct Fixed(Update);

impl ReverseStep for Fixed {
    fn stages(&self, _: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let stage = Stage::new(At::From, gaussian_diffusion::Parameterization::X0);
        Ok(vec![stage.with_commit(self.0.clone())])
    }

    fn name(&self) -> &str {
        "fixed"
    }
}

#[test]
fn solvers_and_runs_meet_the_range_that_is_named() {
    let x = || array![0.5];
    let table = || Discrete::constant(10, 0.3).unwrap();
    let all = || Grid::every(&table()).unwrap();
    let planned = |update| Plan::new(&table(), &all(), &Fixed(update));
    let plan = || Plan::new(&table(), &all(), &Ddim::default()).unwrap();
    let adaptive = || DpmAdaptive::new(2).unwrap();
    let near = |v: f64| LogSnr::new(v).unwrap_or(snr(f64::INFINITY));
    let data = |v: f64, instead: f64| Variance::new(v).unwrap_or(Variance::new(instead).unwrap());
    let node = |log_snr: f64, linear: f64, scaling: f64, bias: f64| {
        let log_snr = LogSnr::new(log_snr).unwrap_or(snr(f64::INFINITY));
        ModelStatistics::new(vec![StatisticsNode {
            log_snr,
            linear,
            scaling,
            bias,
        }])
    };
    rows! { next_number, f64::NAN;
        v => planned(Update::new(v));
        v => planned(Update::new(1.0).with_model([v]));
        v => planned(Update::new(1.0).with_noise(UpdateNoise::Std(v)));
        v => Ddim::new(v);
        v => LeastNoise::new(Ddim::default(), v);
        v => EulerMaruyama::flow_grpo(v);
        v => DpmSde::new(1.0).unwrap().with_noise_factor(v);
        v => SaSolver::new(1, 1).unwrap().with_noise_between(near(v), snr(1.0));
        v => Churn::new(Ddim::default(), 1.0).unwrap().with_noise_between(any_sigma(v, 2.0), sigma(1.0));
        v => ModelStatistics::gaussian(data(v, 1e200));
        v => ModelStatistics::rosenbrock(data(v, 1e200));
        v => node(v, 0.0, 0.0, 0.0);
        v => node(0.0, v, 0.0, 0.0);
        v => node(0.0, 0.0, v, 0.0);
        v => node(0.0, 0.0, 0.0, v);
        v => adaptive().with_tolerances(0.1, v);
        v => adaptive().with_controller([0.0, v, 0.0], 0.8);
        v => adaptive().with_controller([0.0, 0.0, v], 0.8);
        v => adaptive().with_eta(0.5, v);
        v => plan().start_parallel(x(), SeededNoise::new(0), 2).unwrap().with_tolerance(v);
        v => AdjustedDdim::new(()).with_open_variance(v, Variance::new(1.0).unwrap());
        v => AdjustedDdim::new(()).with_open_variance(0.1, data(v, 0.0));
        v => slerp(&x(), &x(), v);
    }
    rows! { next_whole, 1e9;
        n => SaSolver::new(1, n as usize);
        n => Langevin::new(Ddim::default(), 0.1, n as usize);
    }
    let rosenbrock = || ModelStatistics::rosenbrock(Variance::new(1.0).unwrap()).unwrap();
    rows! { next_whole, 0.0;
        n => SaSolver::new(n as usize, 1);
        n => DpmSolver::plus_plus(n as usize);
        n => DpmSolver::new(n as usize, Coordinates::Noise);
        n => DpmSolverV3::new(n as usize, rosenbrock());
        n => DpmSolverV3::reab(n as usize);
        n => ErSde::new(n as usize);
        n => ExponentialAdams::new(n as usize, Coordinates::Data);
        n => ExponentialAdams::deis(n as usize);
        n => LinearMultistep::ipndm(n as usize);
        n => LinearMultistep::deis_in_time(n as usize);
        n => NodeBlocks::new(n as usize, Coordinates::Data);
        n => plan().start_parallel(x(), SeededNoise::new(0), n as usize).map(drop);
        n => VpPreconditioning::new(VpLinear::new(0.1, 20.0).unwrap(), n as usize);
        n => TorchCuda::new(0).with_multiprocessors(n as u32, 1024);
        n => TorchCuda::new(0).with_multiprocessors(1, n as u32);
    }
    for (order, taken) in [(1, false), (2, true), (3, true), (4, false)] {
        let solver = DpmAdaptive::new(order).map(drop);
        assert_eq!(allowed(&solver), (!taken).then_some("2 or 3"), "{order}");
    }
    // Ends of which neither is above the other, and those without a middle.
    for (low, high) in [
        (1.0, 1.0),
        (2.0, 1.0),
        (0.0, f64::INFINITY),
        (f64::NAN, 1.0),
    ] {
        let learned = LearnedNoise::new((), NoiseOutput::Residual).within(low, high);
        assert_eq!(allowed(&learned.map(drop)), Some("below the high end"));
    }
    let bounded = LearnedNoise::new((), NoiseOutput::Residual).within(1.0, 1.0_f64.next_up());
    assert!(bounded.is_ok());
    // A run to a level just above where it begins has no step to make.
    let to = |v: f64| {
        let mut net = gaussian_diffusion::predicts::x0(|x: &Array1<f64>, _| x.clone());
        let noise = &mut SeededNoise::new(0);
        adaptive().sample(&Edm::default(), snr(0.0), near(v), x(), &mut net, noise)
    };
    rows! { next_number, f64::NAN;
        v => to(v);
    }
}

#[test]
fn counts_meet_the_range_that_is_named() {
    let table = || Discrete::constant(10, 0.3).unwrap();
    let all = || Grid::every(&table()).unwrap();
    let plan = || Plan::new(&table(), &all(), &Ddim::default()).unwrap();
    rows! { next_whole, 0.0;
        n => Grid::leading(&table(), n as usize, 0);
        n => Grid::trailing(&table(), n as usize);
        n => Grid::linspace(&table(), n as usize);
        n => Grid::lcm(&table(), n as usize, 10, 0.5);
        n => Grid::lcm(&table(), 1, n as usize, 1.0);
        n => all().tail(n as usize);
        n => all().part(0..n as usize);
        n => Ok::<_, Error>(SingleStep::plus_plus(n as usize)?);
        n => UniPc::new(n as usize);
        n => LinearMultistep::lms(n as usize);
        n => UniformStep::new(n as usize);
        n => plan().resampled_within(0..2, 1, n as usize);
        n => Nats::new(1.0).unwrap().per_dim(n as usize);
        n => BitsPerDim::new(1.0).unwrap().nats(n as usize);
        n => Discretized::new(n as usize, 0.0, 1.0);
        n => MixtureFit::new(n as usize, MixtureCovariance::Diagonal);
        n => MixtureFit::new(2, MixtureCovariance::LowRank(n as usize));
        n => Fit::default().with_memory(n as usize);
        n => LaplacianPyramid::new(n as usize);
        n => DiffPir::new(Measurement::new((), array![0.5], 0.1).unwrap(), 1.0, n as usize);
        n => Curriculum::doubling(n as usize, 1_000_000, 9);
        n => Curriculum::doubling(10, n as usize, 9);
        n => Curriculum::improved(n as u64);
        n => magnitude::weight_scale(n as usize);
        n => magnitude::concatenation([n as usize, 2], 0.5);
        n => magnitude::concatenation([2, n as usize], 0.5);
        n => Uncertainty::new(n as usize, &mut StdRng::seed_from_u64(1));
        n => PostHoc::new().add(PowerProfile::new(1.0).unwrap(), n as u64, ());
    }
}

#[test]
fn a_range_depends_on_what_was_given_before() {
    let found = |outcome: Result<(), Error>| outcome.unwrap_err().to_string();
    let noise = |n| SingleStep::new(n, Coordinates::Noise).unwrap();
    assert_eq!(
        found(noise(2).with_tau(11.0).map(drop)),
        "tau is 11, allowed: 0 for predictions of the noise"
    );
    let table = Discrete::constant(10, 0.3).unwrap();
    let none = Grid::lcm(&table, 1, 10, 0.05).map(drop);
    assert_eq!(
        found(none),
        "strength is 0.05, allowed: 1 / 10 or more for one step of 10"
    );
    let strength = Grid::every(&table).unwrap().strength(0.05).map(drop);
    assert_eq!(
        found(strength),
        "strength is 0.05, allowed: 1 / 10 or more for one step of 10"
    );
    let kept = Respacing::of_steps(10, [9, 9]).map(drop);
    assert_eq!(
        found(kept),
        "steps[1] is 9, allowed: none after 9, the last step"
    );
    let far = UniformTime::new(time(-f64::MAX), time(f64::MAX)).map(drop);
    assert!(found(far).ends_with("allowed: less far above the low time than an f64 tells"));
    let net = gaussian_diffusion::predicts::x0(|x: &Array1<f64>, _| x.clone());
    let solver = DpmAdaptive::new(2).unwrap();
    let from = LogSnr::new(f64::NEG_INFINITY).unwrap();
    let run = solver.sample(
        &Cosine,
        from,
        snr(1.0),
        array![0.0],
        &mut { net },
        &mut SeededNoise::new(0),
    );
    assert_eq!(
        found(run.map(drop)),
        "first log-SNR is -inf, allowed: a finite number"
    );
    let eta = NonMarkovian::new(9.0)
        .unwrap()
        .coefficients(level(0.5, 1.0), level(1.0, 0.5))
        .map(drop);
    let text = found(eta);
    let most: f64 = text
        .split("0 to ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let taken = |eta| {
        NonMarkovian::new(eta)
            .unwrap()
            .coefficients(level(0.5, 1.0), level(1.0, 0.5))
    };
    assert!(
        taken(most * (1.0 - 1e-15)).is_ok() && taken(most * (1.0 + 1e-15)).is_err(),
        "{text}"
    );
    let _ = NoiseLevel::CLEAN;
}
