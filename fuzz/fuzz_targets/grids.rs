//! Every constructor of a schedule, a grid and a solver, from any numbers and counts.

#![no_main]

use std::fmt::Debug;

use arbitrary::{Arbitrary, Unstructured};
use gaussian_diffusion::{
    Clock, Error, Grid, LogSnr, Markov, ModelVariance, NoiseLevel, NoiseSchedule, NonMarkovian,
    Parameterization, Plan, Posterior, ReverseStep, Sigma, SigmaData, Step, Time, Variance,
    denoiser::{consistency_model, preconditioning::Preconditioning, trigflow},
    grid::{
        AlignYourSteps, Beta, BongTangent, DynamicShift, FlowCurve, Karras, KlOptimal,
        LaplaceCurve, LinearQuadratic, LogitNormalCurve, PolyExponential, SigmaCurve, VpCurve,
        flux2_mu, steps_for_strength,
    },
    plan::{Moments, Restart},
    sampler::GridName,
    schedule::{
        ContinuousSchedule, Cosine, Discrete, Edm, LogSnrLinear, RectifiedFlow, Respacing, Shifted,
        SubVp, VeGeometric, VpLinear,
    },
    solver::{
        Ancestral, Churn, Consistency, Coordinates, Ddim, Ddpm, Descent, DpmSde, DpmSolver, ErSde,
        EulerMaruyama, ExponentialAdams, FinalMean, Langevin, LinearMultistep, NodeBlocks, Pndm,
        RungeKutta, SaSolver, SingleStep, UniPc,
    },
    training::{
        EmaRule, PowerProfile, Weight,
        times::{self, LossSecondMoment, TimeSampler, Truncated, UniformStep, UniformTime},
    },
};
use gaussian_diffusion_fuzz::{Count, Number};
use libfuzzer_sys::fuzz_target;

type Source<'a, 'b> = &'b mut Unstructured<'a>;

fn f(u: Source<'_, '_>) -> f64 {
    Number::arbitrary(u).map_or(0.5, |it| it.0)
}

fn n(u: Source<'_, '_>) -> usize {
    Count::arbitrary(u).map_or(3, |it| it.0)
}

fn list(u: Source<'_, '_>) -> Vec<f64> {
    let many = u.int_in_range(0..=12).unwrap_or(3);
    (0..many).map(|_| f(u)).collect()
}

fn counts(u: Source<'_, '_>) -> Vec<usize> {
    let many = u.int_in_range(0..=6).unwrap_or(2);
    (0..many).map(|_| n(u)).collect()
}

fn sigma(u: Source<'_, '_>) -> Sigma {
    Sigma::new(f(u)).unwrap_or(Sigma::new(1.0).expect("a sigma"))
}

fn snr(u: Source<'_, '_>) -> LogSnr {
    LogSnr::new(f(u)).unwrap_or(LogSnr::new(0.0).expect("a log-SNR"))
}

fn level(u: Source<'_, '_>) -> NoiseLevel {
    let made = match u.int_in_range(0..=4).unwrap_or(0) {
        0 => NoiseLevel::new(f(u), f(u)),
        1 => NoiseLevel::from_alpha_bar(f(u)),
        2 => NoiseLevel::variance_preserving(snr(u)),
        3 => NoiseLevel::variance_exploding(sigma(u)),
        _ => NoiseLevel::rectified_flow(snr(u)),
    };
    made.unwrap_or(NoiseLevel::NOISE)
}

/// A clock that numbers can be read as.
trait OfNumber: Clock + Debug {
    fn of(number: f64) -> Option<Self>;
}

impl OfNumber for Step {
    fn of(number: f64) -> Option<Self> {
        Step::fractional(number).ok()
    }
}

impl OfNumber for Time {
    fn of(number: f64) -> Option<Self> {
        Time::new(number).ok()
    }
}

impl OfNumber for Sigma {
    fn of(number: f64) -> Option<Self> {
        Sigma::new(number).ok()
    }
}

fn discrete(u: Source<'_, '_>) -> Option<Discrete> {
    let made = match u.int_in_range(0..=14).unwrap_or(0) {
        0 => Discrete::ddpm(n(u)),
        1 => Discrete::linear(n(u), f(u), f(u)),
        2 => Discrete::scaled_linear(n(u), f(u), f(u)),
        3 => Discrete::cosine(n(u)),
        4 => Discrete::cosine_with(n(u), f(u), f(u)),
        5 => Discrete::sigmoid(n(u), f(u), f(u)),
        6 => Discrete::sigmoid_alpha_bar(n(u)),
        7 => Discrete::sigmoid_alpha_bar_with(n(u), f(u), f(u), f(u)),
        8 => Discrete::constant(n(u), f(u)),
        9 => Discrete::warm_up(n(u), f(u), f(u), f(u)),
        10 => Discrete::harmonic(n(u)),
        11 => Discrete::exponential(n(u), f(u)),
        12 => Discrete::laplace(n(u), f(u), f(u)),
        13 => Discrete::from_betas(list(u)),
        _ => Discrete::from_alpha_bars(&list(u)),
    };
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            short(&error);
            return None;
        }
    };
    let changed = match u.int_in_range(0..=4).unwrap_or(0) {
        0 => made.zero_terminal_snr(),
        1 => made.reaching(snr(u)),
        2 => Respacing::of_steps(made.len(), counts(u)).and_then(|it| made.respaced(&it)),
        3 => Respacing::of_sections(made.len(), &counts(u)).and_then(|it| made.respaced(&it)),
        _ => return Some(made),
    };
    Some(changed.unwrap_or(made))
}

/// A message that a person can read.
fn short(error: &Error) {
    let text = error.to_string();
    assert!(text.len() < 300, "{text}");
}

fn check<T>(made: core::result::Result<T, Error>) -> Option<T> {
    made.inspect_err(short).ok()
}

fn curve(u: Source<'_, '_>) -> Option<Box<dyn SigmaCurve>> {
    fn boxed<C: SigmaCurve + 'static>(
        made: core::result::Result<C, Error>,
    ) -> Option<Box<dyn SigmaCurve>> {
        check(made).map(|it| Box::new(it) as _)
    }
    match u.int_in_range(0..=11).unwrap_or(0) {
        0 => boxed(Karras::new(sigma(u), sigma(u), f(u))),
        1 => boxed(PolyExponential::new(sigma(u), sigma(u), f(u))),
        2 => boxed(Beta::new(sigma(u), sigma(u), f(u), f(u))),
        3 => boxed(KlOptimal::new(sigma(u), sigma(u))),
        4 => boxed(LinearQuadratic::new(sigma(u), f(u))),
        5 => boxed(BongTangent::new(sigma(u), sigma(u))),
        6 => boxed(LogitNormalCurve::new(f(u), f(u), snr(u), snr(u))),
        7 => boxed(LogitNormalCurve::for_length(n(u))),
        8 => boxed(VpCurve::new(f(u), f(u), f(u))),
        9 => boxed(LaplaceCurve::new(sigma(u), sigma(u), f(u), f(u))),
        10 => boxed(FlowCurve::new(f(u)).and_then(|it| it.with_last(f(u)))),
        _ => Some(Box::new(AlignYourSteps::StableDiffusionXl)),
    }
}

/// A grid on any schedule.
fn grid<S>(u: Source<'_, '_>, schedule: &S) -> Option<Grid<S::Time>>
where
    S: NoiseSchedule<Time: OfNumber> + ?Sized,
{
    let times = |u: Source<'_, '_>| -> Vec<S::Time> {
        list(u).into_iter().filter_map(S::Time::of).collect()
    };
    let ends = schedule.ends();
    let time = |u: Source<'_, '_>| S::Time::of(f(u)).unwrap_or(ends.0);
    let made = match u.int_in_range(0..=19).unwrap_or(0) {
        0 => Grid::at(schedule, &times(u)),
        1 => Grid::at_noise_to_signal(schedule, &list(u)),
        2 => Grid::uniform_time(schedule, n(u)),
        3 => Grid::uniform_time_between(schedule, n(u), time(u), time(u)),
        4 => Grid::quadratic_time(schedule, n(u)),
        5 => Grid::quadratic_time_between(schedule, n(u), time(u), time(u)),
        6 => Grid::sgm_uniform(schedule, n(u)),
        7 => Grid::uniform_log_snr(schedule, n(u)),
        8 => Grid::uniform_log_snr_between(schedule, n(u), snr(u), snr(u)),
        9 => Grid::karras(schedule, n(u)),
        10 => Grid::exponential(schedule, n(u)),
        11 => Grid::polyexponential(schedule, n(u), f(u)),
        12 => Grid::beta(schedule, n(u)),
        13 => Grid::kl_optimal(schedule, n(u)),
        14 => Grid::align_your_steps(schedule, n(u), AlignYourSteps::StableVideoDiffusion),
        15 => Grid::gits_with(schedule, n(u), f(u)),
        16 => GridName::all()
            .nth(usize::from(u.arbitrary::<u8>().unwrap_or(0)) % 22)
            .map_or(Grid::gits(schedule, n(u)), |name| name.grid(schedule, n(u))),
        _ => {
            let curve = curve(u)?;
            let (direct, n) = (n(u), n(u));
            let _ = check(curve.sigmas(direct));
            Grid::along(schedule, n, &*curve)
        }
    };
    let made = check(made)?;
    changed(u, schedule, made)
}

fn changed<S>(u: Source<'_, '_>, schedule: &S, grid: Grid<S::Time>) -> Option<Grid<S::Time>>
where
    S: NoiseSchedule<Time: OfNumber> + ?Sized,
{
    check(match u.int_in_range(0..=12).unwrap_or(0) {
        0 => grid.shifted(schedule, f(u)),
        1 => grid.part(n(u)..n(u)),
        2 => grid.tail(n(u)),
        3 if u.arbitrary().unwrap_or(true) => grid.strength_up(f(u)),
        3 => grid.strength(f(u)),
        4 => grid.strength_and_one(f(u)),
        5 => grid.starting_at(schedule, level(u)),
        6 => grid.without_final_step(),
        7 => grid.without_penultimate(),
        8 => grid.ending_at(level(u)),
        9 => Ok(grid.inverted()),
        10 => {
            let times = list(u).into_iter().filter_map(S::Time::of);
            grid.with_times(&times.collect::<Vec<_>>())
        }
        _ => Ok(grid),
    })
}

fn on_steps(u: Source<'_, '_>, schedule: &Discrete) -> Option<Grid<Step>> {
    let made = check(match u.int_in_range(0..=11).unwrap_or(0) {
        0 => Grid::every(schedule),
        1 => Grid::leading(schedule, n(u), n(u)),
        2 => Grid::trailing(schedule, n(u)),
        3 => Grid::linspace(schedule, n(u)),
        4 => Grid::simple(schedule, n(u)),
        5 => Grid::smoothstep(schedule, n(u)),
        6 => Grid::ddim_uniform(schedule, n(u)),
        7 => Grid::ddim_quadratic(schedule, n(u), n(u)),
        8 => Grid::lcm(schedule, n(u), n(u), f(u)),
        9 => Grid::beta_steps(schedule, n(u), f(u), f(u)),
        _ => return grid(u, schedule),
    })?;
    let made = match u.int_in_range(0..=5).unwrap_or(0) {
        0 => made.with_rounded_times(),
        1 => made.with_truncated_times(),
        2 => check(made.rounded(schedule))?,
        3 => check(made.interpolating_sigma(schedule))?,
        _ => made,
    };
    changed(u, schedule, made)
}

fn solver(u: Source<'_, '_>, depth: usize) -> Option<Box<dyn ReverseStep>> {
    fn boxed<R: ReverseStep + 'static>(
        made: core::result::Result<R, Error>,
    ) -> Option<Box<dyn ReverseStep>> {
        check(made).map(|it| Box::new(it) as _)
    }
    let kind = u.int_in_range(0..=24).unwrap_or(0);
    let coordinates = *u
        .choose(&[Coordinates::Noise, Coordinates::Flow, Coordinates::Data])
        .unwrap_or(&Coordinates::Data);
    if depth > 2 && kind >= 20 {
        return None;
    }
    match kind {
        0 => boxed(Ddim::new(f(u))),
        1 => boxed(Ok(Ddpm::new(ModelVariance::LearnedRange))),
        2 => boxed(Ok(Ddpm::new(ModelVariance::FixedLarge))),
        3 => boxed(
            DpmSolver::plus_plus(n(u)).and_then(|it| it.with_tau(f(u))?.with_noise_factor(f(u))),
        ),
        4 => boxed(DpmSolver::new(n(u), coordinates).map(|it| {
            it.with_exact_integrals()
                .with_lower_final_orders()
                .with_euler_last_step()
        })),
        5 => boxed(UniPc::new(n(u)).and_then(|it| {
            Ok(it
                .with_bh1()
                .with_coordinates(coordinates)?
                .without_corrector_at(counts(u)))
        })),
        6 => boxed(UniPc::new(n(u)).map(|it| it.with_lower_final_orders().with_empty_last_step())),
        7 => boxed(ExponentialAdams::new(n(u), coordinates)),
        8 => boxed(
            ExponentialAdams::deis(n(u))
                .map(|it| it.with_lower_final_orders().with_empty_last_step()),
        ),
        9 => boxed(SaSolver::new(n(u), n(u)).and_then(|it| {
            it.with_tau(f(u))?
                .with_noise_between(snr(u), snr(u))?
                .with_noise_factor(f(u))
        })),
        10 => boxed(SaSolver::new(n(u), n(u)).and_then(|it| {
            it.with_lower_final_orders()
                .with_empty_last_step()
                .with_coordinates(coordinates)
        })),
        11 => boxed(ErSde::new(n(u)).and_then(|it| it.with_noise_factor(f(u)))),
        12 => boxed(EulerMaruyama::new(f(u))),
        13 => {
            boxed(SingleStep::plus_plus(n(u)).and_then(|it| it.with_tau(f(u))?.with_fraction(f(u))))
        }
        14 => boxed(SingleStep::fast(n(u))),
        15 => boxed(
            NodeBlocks::plus_plus(n(u)).and_then(|it| it.with_lower_final_orders().with_tau(f(u))),
        ),
        16 => boxed(
            LinearMultistep::lms(n(u))
                .map(|it| it.with_coordinates(coordinates).with_analytic_start()),
        ),
        17 => boxed(
            LinearMultistep::gradient_estimation(f(u)).map(|it| it.with_coordinates(coordinates)),
        ),
        18 => boxed(RungeKutta::at_fraction(f(u)).map(|it| it.with_coordinates(coordinates))),
        19 => {
            boxed(DpmSde::new(f(u)).and_then(|it| it.with_fraction(f(u))?.with_noise_factor(f(u))))
        }
        20 => {
            let descent = match u.int_in_range(0..=2).unwrap_or(0) {
                0 => Descent::Posterior(f(u)),
                1 => Descent::Flow(f(u)),
                _ => Descent::Levels((0..12).map(|_| level(u)).collect()),
            };
            let inner = solver(u, depth + 1)?;
            boxed(
                Ancestral::with_descent(inner, descent)
                    .and_then(|it| it.with_floor().with_noise_factor(f(u))),
            )
        }
        21 => {
            let inner = solver(u, depth + 1)?;
            boxed(Churn::new(inner, f(u)).and_then(|it| {
                it.with_evaluation_before(Parameterization::Noise)
                    .with_noise_between(sigma(u), sigma(u))
            }))
        }
        22 => {
            let inner = solver(u, depth + 1)?;
            // A thousand a step are a long table, too.
            let corrections = match n(u) {
                few @ 0..4 => few,
                many => many.saturating_add(1000),
            };
            boxed(Langevin::new(inner, f(u), corrections).map(|it| it.with_corrections_first()))
        }
        23 => boxed(Ok(FinalMean::new(solver(u, depth + 1)?))),
        _ => match u.int_in_range(0..=4).unwrap_or(0) {
            0 => boxed(Ok(Pndm::plms())),
            1 => boxed(Ok(Pndm::runge_kutta())),
            2 => boxed(Ok(RungeKutta::dpm2())),
            3 => boxed(LinearMultistep::ipndm(n(u))),
            _ => boxed(
                Consistency::default()
                    .with_floor(sigma(u))
                    .with_noise_factor(f(u)),
            ),
        },
    }
}

fn plan<S>(u: Source<'_, '_>, schedule: &S, grid: &Grid<S::Time>) -> Option<()>
where
    S: NoiseSchedule<Time: OfNumber> + ?Sized,
{
    let solver = solver(u, 0)?;
    let plan = match u.int_in_range(0..=4).unwrap_or(0) {
        0 => {
            let restart = Restart {
                high: snr(u),
                low: snr(u),
                steps: n(u),
                times: n(u),
            };
            Plan::restarting(schedule, grid, &solver, &[restart])
        }
        1 => Plan::new(schedule, grid, &solver).and_then(|plan| plan.resampled(n(u), n(u))),
        2 => Plan::new(schedule, grid, &solver)
            .and_then(|plan| plan.resampled_within(n(u)..n(u), n(u), n(u))),
        _ => Plan::new(schedule, grid, &solver),
    };
    let plan = check(plan)?;
    if plan.evaluations() > 300 {
        return None;
    }
    let _ = format!("{plan:#}");
    let _ = check(plan.defect());
    let _ = check(plan.amplification(parameterization(u)));
    let (mean, variance) = (f(u), f(u).abs());
    let of = |level| {
        gaussian_diffusion::plan::Affine::of_gaussian(0.5, Variance::new(1.0).expect("1"), level)
    };
    let _ = check(plan.carry(Moments { mean, variance }, of));
    Some(())
}

fn parameterization(u: Source<'_, '_>) -> Parameterization {
    match u.int_in_range(0..=5).unwrap_or(0) {
        0 => Parameterization::Noise,
        1 => Parameterization::X0,
        2 => Parameterization::Velocity,
        3 => Parameterization::Score,
        4 => Parameterization::Flow,
        _ => SigmaData::new(f(u)).map_or(Parameterization::X0, Parameterization::Edm),
    }
}

fn points<S>(u: Source<'_, '_>, schedule: &S)
where
    S: NoiseSchedule<Time: OfNumber> + ?Sized,
{
    if let Some(time) = S::Time::of(f(u)) {
        let _ = (check(schedule.level(time)), schedule.network_time(time));
    }
    let snr = snr(u);
    let _ = (check(schedule.time_at(snr)), check(schedule.level_at(snr)));
}

fn continuous<S>(u: Source<'_, '_>, schedule: &S) -> Option<()>
where
    S: ContinuousSchedule<Time: OfNumber> + ?Sized,
{
    points(u, schedule);
    if let Some(time) = S::Time::of(f(u)) {
        let _ = check(schedule.sde(time));
        let weight = match u.int_in_range(0..=5).unwrap_or(0) {
            0 => check(Weight::min_snr(f(u)))?,
            1 => check(Weight::p2(f(u), f(u)))?,
            2 => check(Weight::laplace(f(u), f(u)))?,
            3 => check(Weight::sigmoid(f(u)))?,
            4 => Weight::cosmap(parameterization(u)),
            _ => Weight::sigma_sqrt(parameterization(u)),
        };
        let _ = check(weight.over_time(parameterization(u), schedule, time));
        let _ = check(weight.in_terms_of(parameterization(u), level(u)));
    }
    let grid = grid(u, schedule)?;
    plan(u, schedule, &grid)
}

fn sampler<S: TimeSampler<Time: OfNumber>>(
    u: Source<'_, '_>,
    made: core::result::Result<S, Error>,
) -> Option<()> {
    let made = check(made)?;
    let t = S::Time::of(f(u))?;
    let _ = (check(made.quantile(f(u))), made.cdf(t), made.density(t));
    let (low, high) = (S::Time::of(f(u))?, S::Time::of(f(u))?);
    let cut = check(Truncated::new(made, low, high))?;
    let _ = (check(cut.quantile(f(u))), cut.cdf(t), cut.density(t));
    Some(())
}

fn numbers(u: Source<'_, '_>) -> Option<()> {
    match u.int_in_range(0..=9).unwrap_or(0) {
        0 => sampler(
            u,
            LossSecondMoment::new(100).and_then(|_| times::LogNormal::new(0.0, 1.0)),
        ),
        1 => {
            let made = times::LogNormal::new(f(u), f(u));
            sampler(u, made)
        }
        2 => {
            let made = times::LogitNormalTime::new(f(u), f(u));
            sampler(u, made)
        }
        3 => {
            let made = times::LogUniform::new(sigma(u), sigma(u));
            sampler(u, made)
        }
        4 => {
            let made = times::Mode::new(f(u));
            sampler(u, made)
        }
        5 => {
            let made = UniformStep::new(n(u));
            sampler(u, made)
        }
        6 => {
            let made = Time::new(f(u)).and_then(|low| UniformTime::new(low, Time::new(f(u))?));
            sampler(u, made)
        }
        7 => {
            let made = LossSecondMoment::new(n(u))
                .and_then(|it| it.with_losses_kept(n(u))?.with_uniform_share(f(u)));
            let mut made = check(made)?;
            let steps = list(u).into_iter().filter_map(Step::of).collect::<Vec<_>>();
            let _ = check(made.update(&steps, &list(u)));
            sampler(u, Ok(made))
        }
        8 => {
            let _ = check(EmaRule::constant(f(u)));
            let rule = check(EmaRule::warm_up(f(u), f(u), f(u)))?;
            let _ = rule.decay(u.arbitrary().unwrap_or(0));
            let profile = check(PowerProfile::of_relative_width(f(u)))?;
            let _ = EmaRule::power(profile).decay(u.arbitrary().unwrap_or(0));
            Some(())
        }
        _ => {
            let (from, to) = (level(u), level(u));
            let (a, b) = (parameterization(u), parameterization(u));
            let _ = (check(a.to(b, from)), check(a.components(from)));
            let _ = (
                check(Markov.forward_std(from, to)),
                check(Markov.log_variance(from, to)),
            );
            let _ = check(check(NonMarkovian::new(f(u)))?.coefficients(from, to));
            let data = check(SigmaData::new(f(u)))?;
            let _ = (
                check(consistency_model(from, sigma(u), data)),
                trigflow(from, data),
            );
            let edm = gaussian_diffusion::denoiser::preconditioning::EdmPreconditioning::new(data);
            let _ = check(edm.coefficients(from));
            let shift = DynamicShift {
                base: (n(u), f(u)),
                max: (n(u), f(u)),
            };
            let _ = (shift.factor(n(u)), flux2_mu(n(u), n(u)));
            let _ = check(steps_for_strength(n(u), f(u)));
            Some(())
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let u = &mut Unstructured::new(data);
    match u.int_in_range(0..=12).unwrap_or(0) {
        0..=4 => {
            let Some(schedule) = discrete(u) else { return };
            points(u, &schedule);
            if let Some(t) = Step::of(f(u)) {
                let _ = (
                    check(schedule.beta(t)),
                    check(schedule.posterior_variance(t)),
                );
                let _ = check(schedule.model_variance(ModelVariance::LearnedRange, t));
            }
            if let Some(grid) = on_steps(u, &schedule) {
                plan(u, &schedule, &grid);
            }
        }
        5 => {
            if let Some(schedule) = check(VpLinear::new(f(u), f(u))) {
                continuous(u, &schedule);
            }
        }
        6 => {
            if let Some(schedule) = check(SubVp::new(f(u), f(u))) {
                continuous(u, &schedule);
            }
        }
        7 => {
            if let Some(schedule) = check(LogSnrLinear::new(snr(u), snr(u))) {
                continuous(u, &schedule);
            }
        }
        8 => {
            if let Some(schedule) = check(VeGeometric::new(sigma(u), sigma(u))) {
                continuous(u, &schedule);
            }
        }
        9 => {
            if let Some(schedule) = check(Edm::new(sigma(u), sigma(u))) {
                continuous(u, &schedule);
            }
        }
        10 => {
            if let Some(schedule) = check(Shifted::new(Cosine, f(u))) {
                continuous(u, &schedule);
            }
        }
        11 => {
            if let Some(schedule) = check(Shifted::flow(f(u))) {
                continuous(u, &schedule);
                if let Some(grid) = grid(u, &RectifiedFlow)
                    && let Ok(terminal) = Time::new(f(u))
                {
                    let _ = check(grid.stretched(&RectifiedFlow, terminal));
                }
            }
        }
        _ => {
            numbers(u);
        }
    }
});
