//! Arrays of every shape and layout through every entry point that takes one.

#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use gaussian_diffusion::{
    Denoiser, ForwardProcess, GaussianMixture, Grid, LogSnr, ModelVariance, NoiseLevel,
    NoiseSchedule, Parameterization, Plan, Point, Prediction, SeededNoise, SigmaData, State, Step,
    denoiser::{Clip, Corrected, DynamicThreshold, Preconditioned, SelfConditioned, WithVjp},
    editing::{Inpaint, Inversion, Known, slerp},
    guidance::{
        CfgPlusPlus, Combination, DiffPir, Dps, GaussianPosterior, GuidanceInterval, Guided,
        Measurement, Predictors, Projected, Rescaled, Rule, Together, Within,
    },
    likelihood::{
        Continuous, Discretized, Hutchinson, PlannedFlow, ProbabilityFlow, VariationalBound,
        step_log_density,
    },
    noise::{BrownianPath, Interval, NoiseSource, Scale, TorchCpu, TorchCuda},
    predicts,
    rand::{SeedableRng, rngs::SmallRng},
    sampler::Sampler,
    schedule::{Cosine, Discrete},
    solver::{Ddim, Ddpm, DpmAdaptive},
    state::{Assignment, ErrorNorm, Real},
    training::{
        Ema, EmaRule, HybridLoss, InputPerturbation, OffsetNoise, PostHoc, PowerProfile,
        huber_error, squared_error, weighted_mean,
    },
};
use gaussian_diffusion_fuzz::{Count, Number};
use libfuzzer_sys::fuzz_target;
use ndarray::{Array2, ArrayD, Axis, Ix2, IxDyn, ShapeBuilder, Slice};

type Source<'a, 'b> = &'b mut Unstructured<'a>;

/// A few short axes, or long ones beside one of length 0.
fn shape(u: Source<'_, '_>) -> Result<Vec<usize>> {
    let axes = u.int_in_range(0..=4)?;
    let mut shape: Vec<usize> = Vec::new();
    for _ in 0..axes {
        shape.push(u.int_in_range(0..=4)?);
    }
    if let Some(empty) = shape.iter().position(|length| *length == 0)
        && u.ratio(1, 4)?
    {
        // As long as an array without elements may have them.
        let other = (empty + 1) % shape.len();
        let long = *u.choose(&[1 << 20, 1 << 32, 1 << 45, isize::MAX as usize / 256])?;
        let countable = |shape: &[usize]| {
            let counted = shape.iter().filter(|length| **length > 0);
            counted.copied().try_fold(1_usize, usize::checked_mul)
        };
        let before = std::mem::replace(&mut shape[other], if other == empty { 0 } else { long });
        if countable(&shape).is_none_or(|all| all > isize::MAX as usize / 64) {
            shape[other] = before;
        }
    }
    Ok(shape)
}

/// An array of this shape in some layout.
fn array<A: Real>(u: Source<'_, '_>, shape: &[usize]) -> Result<ArrayD<A>> {
    let mut seed = f64::from(u8::arbitrary(u)?) / 64.0;
    let mut next = |_: A| {
        seed = (seed * 3.7 + 1.1) % 4.0;
        A::of(seed - 2.0)
    };
    let zero = A::of(0.0);
    let mut made = match u.int_in_range(0..=4)? {
        0 => ArrayD::from_elem(IxDyn(shape).f(), zero),
        1 if !shape.is_empty() && shape.iter().product::<usize>() < 300 => {
            // Every second of a larger one.
            let axis = u.choose_index(shape.len())?;
            let mut larger = shape.to_vec();
            larger[axis] = larger[axis].saturating_mul(2).min(1 << 20);
            let mut larger = ArrayD::from_elem(IxDyn(&larger), zero);
            larger.slice_axis_inplace(Axis(axis), Slice::new(0, None, 2));
            match larger.shape() == shape {
                true => larger,
                false => ArrayD::from_elem(IxDyn(shape), zero),
            }
        }
        2 if shape.len() > 1 => {
            let axis = u.choose_index(shape.len() - 1)?;
            let mut turned = shape.to_vec();
            turned.swap(axis, axis + 1);
            let mut turned = ArrayD::from_elem(IxDyn(&turned), zero);
            turned.swap_axes(axis, axis + 1);
            turned
        }
        3 => match ArrayD::from_elem(IxDyn(&[1]), zero).broadcast(IxDyn(shape)) {
            Some(view) => view.to_owned(),
            None => ArrayD::from_elem(IxDyn(shape), zero),
        },
        _ => ArrayD::from_elem(IxDyn(shape), zero),
    };
    for axis in 0..shape.len() {
        if u.ratio(1, 3)? {
            made.invert_axis(Axis(axis));
        }
    }
    made.mapv_inplace(&mut next);
    if u.ratio(1, 8)?
        && let Some(first) = made.iter_mut().next()
    {
        *first = A::of(Number::arbitrary(u)?.0);
    }
    Ok(made)
}

/// Another array, most often of the same shape.
fn like<A: Real>(u: Source<'_, '_>, x: &ArrayD<A>) -> Result<ArrayD<A>> {
    match u.ratio(1, 8)? {
        true => {
            let shape = shape(u)?;
            array(u, &shape)
        }
        false => array(u, x.shape()),
    }
}

fn list(u: Source<'_, '_>, x: &impl State) -> Result<Vec<f64>> {
    let length = match u.ratio(1, 8)? {
        true => u.int_in_range(0..=5)?,
        false => x.items(),
    };
    let number = Number::arbitrary(u)?.0;
    Ok(vec![number; length])
}

/// Numbers of any source.
enum Source_ {
    Seeded(SeededNoise),
    Path(BrownianPath),
    Cpu(TorchCpu),
    Cuda(TorchCuda),
    Rng(SmallRng),
    Offset(OffsetNoise<SeededNoise>),
}

impl Source_ {
    fn of(u: Source<'_, '_>) -> Result<Self> {
        Ok(match u.int_in_range(0..=6)? {
            0 => Self::Seeded(SeededNoise::new(u.arbitrary()?).with_first_item(u.arbitrary()?)),
            1 => Self::Path(BrownianPath::new(SeededNoise::new(7))),
            2 => Self::Cpu(TorchCpu::new(3)),
            3 => Self::Cuda(TorchCuda::new(3)),
            4 => Self::Rng(SmallRng::seed_from_u64(1)),
            5 => match OffsetNoise::new(SeededNoise::new(2), 0.1) {
                Ok(noise) => Self::Offset(noise),
                Err(_) => Self::Seeded(SeededNoise::new(2)),
            },
            _ => {
                let seeds: Vec<u64> = vec![5; u.int_in_range(0..=4)?];
                Self::Seeded(SeededNoise::per_item(seeds))
            }
        })
    }
}

impl<A: Real> NoiseSource<ArrayD<A>> for Source_ {
    fn add(
        &mut self,
        x: &mut ArrayD<A>,
        scale: Scale<'_, ArrayD<A>>,
        over: Option<Interval>,
    ) -> core::result::Result<(), gaussian_diffusion::Error> {
        match self {
            Self::Seeded(noise) => noise.add(x, scale, over),
            Self::Path(noise) => noise.add(x, scale, over),
            Self::Cpu(noise) => noise.add(x, scale, over),
            Self::Cuda(noise) => noise.add(x, scale, over),
            Self::Rng(noise) => noise.add(x, scale, over),
            Self::Offset(noise) => noise.add(x, scale, over),
        }
    }

    fn sweep(
        &mut self,
        states: &mut [&mut ArrayD<A>],
        fixed: &[&ArrayD<A>],
        assignments: &[Assignment<'_>],
        scale: Scale<'_, ArrayD<A>>,
        over: Option<Interval>,
    ) -> core::result::Result<bool, gaussian_diffusion::Error> {
        match self {
            Self::Seeded(noise) => noise.sweep(states, fixed, assignments, scale, over),
            Self::Path(noise) => noise.sweep(states, fixed, assignments, scale, over),
            Self::Cpu(noise) => noise.sweep(states, fixed, assignments, scale, over),
            Self::Cuda(noise) => noise.sweep(states, fixed, assignments, scale, over),
            Self::Rng(noise) => noise.sweep(states, fixed, assignments, scale, over),
            Self::Offset(noise) => noise.sweep(states, fixed, assignments, scale, over),
        }
    }
}

fn states<A: Real>(u: Source<'_, '_>, x: &ArrayD<A>) -> Result<()> {
    let mut y = like(u, x)?;
    let (a, b) = (Number::arbitrary(u)?.0, Number::arbitrary(u)?.0);
    let _ = (x.fits(&y), x.is_finite(), x.dot_items(&y));
    let _ = x.error_norms(&y, x, 0.1, 0.1);
    let (own, of_x) = (list(u, &y)?, list(u, x)?);
    let _ = y.combine(a, &[(b, x), (a, x)]);
    let _ = y.combine_items(&own, &[(&of_x, x)]);
    let _ = y.clamp(a, b);
    let _ = y.exp_affine(a, b);
    let mut z = like(u, x)?;
    let terms = [(a, usize::from(u8::arbitrary(u)? % 4)), (b, 2)];
    let assignments = [
        Assignment::new(usize::from(u8::arbitrary(u)? % 3), b, &terms).with_noise(u.arbitrary()?),
        Assignment::new(1, a, &[]).with_bounds(a, b),
    ];
    let _ = State::sweep(&mut [&mut y, &mut z], &[x], &assignments);
    let mut source = Source_::of(u)?;
    let scales = list(u, x)?;
    let scale = match u.int_in_range(0..=2)? {
        0 => Scale::Same(a),
        1 => Scale::PerItem(&scales),
        _ => Scale::PerElement(x),
    };
    let over = Interval {
        from: NoiseLevel::NOISE,
        to: NoiseLevel::from_alpha_bar(0.5).unwrap_or(NoiseLevel::CLEAN),
    };
    let over = u.arbitrary::<bool>()?.then_some(over);
    let _ = source.add(&mut y, scale, over);
    let _ = source.fill(&mut z);
    let _ = source.sweep(&mut [&mut y, &mut z], &[x], &assignments, scale, over);
    Ok(())
}

fn forward<A: Real>(u: Source<'_, '_>, x: &ArrayD<A>) -> Result<()> {
    let Ok(schedule) = Discrete::constant(10, 0.1) else {
        return Ok(());
    };
    let mut eps = like(u, x)?;
    let step = Step::new(u.int_in_range(0..=10)?);
    let times = vec![step; list(u, x)?.len()];
    let of = *u.choose(&[
        Parameterization::Velocity,
        Parameterization::Score,
        Parameterization::Flow,
        Parameterization::Edm(SigmaData::EDM),
    ])?;
    let mut source = Source_::of(u)?;
    let _ = (schedule.jump(x, step, &eps), schedule.jump(x, &times, &eps));
    let _ = (
        schedule.marginal(x, &times),
        schedule.target(of, x, &times, &eps),
    );
    let _ = (
        schedule.mean_target(x, &times, &eps),
        schedule.step(x, step, &eps),
    );
    let _ = (
        schedule.draw_step(x, step, &mut source),
        schedule.between(x, Step::new(1), step, &eps),
    );
    let _ = schedule.draw_jump(x, &times, &mut source);
    let mut x_t = like(u, x)?;
    let _ = schedule.draw_jump_into(x, step, &mut source, &mut x_t, &mut eps);
    if let Ok(perturbed) = InputPerturbation::new(0.1) {
        let _ = perturbed.draw_jump(&schedule, x, &times, &mut source);
    }
    let losses = (squared_error(x, &eps), huber_error(x, &eps, 0.1));
    if let Ok(losses) = &losses.0 {
        let _ = weighted_mean(losses, &[&list(u, x)?]);
    }
    if let Ok(loss) = HybridLoss::new(ModelVariance::LearnedRange, 1e-3, Discretized::images()) {
        let said = Prediction::noise(like(u, x)?).with_variance(like(u, x)?);
        let _ = loss.evaluate(&schedule, x, &times, &eps, &said);
    }
    if let Ok(rule) = EmaRule::constant(0.9) {
        let _ = Ema::new(rule, x.clone()).update(&eps);
    }
    let mut averages = PostHoc::new();
    if let (Ok(a), Ok(b)) = (PowerProfile::new(6.0), PowerProfile::new(16.0)) {
        let _ = averages.add(a, u.arbitrary()?, x.clone());
        let _ = averages.add(b, u.arbitrary()?, eps.clone());
        let _ = averages.average(a, u.arbitrary()?);
    }
    let _ = slerp(x, &eps, Number::arbitrary(u)?.0);
    Ok(())
}

/// A network that answers with an array of its own.
fn network<A: Real>(
    answer: ArrayD<A>,
    shift: Option<ArrayD<A>>,
) -> impl FnMut(
    &ArrayD<A>,
    Point<Step>,
) -> core::result::Result<Prediction<ArrayD<A>>, gaussian_diffusion::Error> {
    move |_, _| {
        let said = Prediction::velocity(answer.clone()).with_variance(answer.clone());
        Ok(match &shift {
            Some(shift) => said.with_shift(shift.clone()),
            None => said,
        })
    }
}

fn plan(u: Source<'_, '_>) -> Result<Option<Plan<Step>>> {
    let Ok(schedule) = Discrete::constant(10, 0.3) else {
        return Ok(None);
    };
    let name = *u.choose(&[
        "DDIM",
        "Euler a",
        "Heun",
        "DPM++ 2M SDE",
        "UniPC",
        "sa_solver",
        "DDPM",
    ])?;
    let named = name.parse::<Sampler>().and_then(|it| it.plan(&schedule, 3));
    let made = match u.int_in_range(0..=2)? {
        0 => Grid::every(&schedule).and_then(|grid| {
            Plan::new(
                &schedule,
                &grid.tail(3)?,
                &Ddpm::new(ModelVariance::LearnedRange),
            )
        }),
        1 => Grid::every(&schedule)
            .and_then(|grid| Plan::new(&schedule, &grid.tail(3)?.inverted(), &Ddim::default())),
        _ => named,
    };
    Ok(made.ok())
}

fn runs<A: Real>(u: Source<'_, '_>, x: &ArrayD<A>) -> Result<()> {
    let Some(plan) = plan(u)? else { return Ok(()) };
    let shift = match u.ratio(1, 4)? {
        true => Some(like(u, x)?),
        false => None,
    };
    let answer = like(u, x)?;
    let mut net = predicts::with(network(answer, shift));
    let mut source = Source_::of(u)?;
    let start = x.clone();
    let known = Known::new(
        like(u, x)?,
        like(u, x)?.mapv(|w| A::of(w.get().abs().min(1.0))),
    );
    let _ = match u.int_in_range(0..=7)? {
        0 => plan.sample(start, &mut net, &mut source),
        1 => plan.noised(x, &mut source),
        2 => plan.variation(x, Number::arbitrary(u)?.0, &mut source),
        3 => match known {
            Ok(known) => {
                let mut edit = Inpaint::new(known, SeededNoise::new(1));
                plan.sample_edited(start, &mut net, &mut edit, &mut source)
            }
            Err(error) => Err(error),
        },
        4 => plan.sample(start, &mut Inversion::new(net), &mut source),
        5 => {
            let mut net = Corrected::new(net, DynamicThreshold::new(0.9).expect("a ratio"));
            plan.sample(start, &mut net, &mut source)
        }
        6 => match known {
            Ok(known) => plan.sample(start, &mut Corrected::new(net, known), &mut source),
            Err(error) => Err(error),
        },
        _ => match Clip::new(-1.0, 1.0) {
            Ok(clip) => {
                let mut net = Corrected::new(net, clip).keeping_noise(gaussian_diffusion::Markov);
                plan.sample(start, &mut net, &mut source)
            }
            Err(error) => Err(error),
        },
    };
    let mut memory =
        SelfConditioned::new(|x: &ArrayD<A>, last: Option<&ArrayD<A>>, _: Point<Step>| {
            Ok(Prediction::x0(last.unwrap_or(x).clone()))
        });
    let _ = plan.sample(x.clone(), &mut memory, &mut source);
    let shape = shape(u)?;
    let _ = plan.prior::<A, _, _>(IxDyn(&shape), &mut source);
    Ok(())
}

fn guided<A: Real>(u: Source<'_, '_>, x: &ArrayD<A>) -> Result<()> {
    let at = Point::new(
        Step::new(3),
        NoiseLevel::from_alpha_bar(0.5).expect("a level"),
        NoiseLevel::CLEAN,
    );
    let scale = Number::arbitrary(u)?.0;
    let nets = |u: Source<'_, '_>| -> Result<_> {
        let (a, b) = (like(u, x)?, like(u, x)?);
        Ok((
            predicts::with(network(a, None)),
            predicts::with(network(b, None)),
        ))
    };
    let rule: Option<Box<dyn Rule<ArrayD<A>>>> = match u.int_in_range(0..=4)? {
        0 => Projected::new(scale)
            .and_then(|it| it.with_norm(1.0))
            .ok()
            .map(|it| Box::new(it) as _),
        1 => Combination::classifier_free(scale)
            .and_then(|it| Rescaled::new(it, 0.7))
            .ok()
            .map(|it| Box::new(it) as _),
        2 => Combination::perturbed(scale)
            .ok()
            .map(|it| Box::new(Within::new(it, GuidanceInterval::steps(0, 5))) as _),
        3 => Combination::composed([scale])
            .ok()
            .map(|it| Box::new(it) as _),
        _ => Combination::classifier_free(scale)
            .ok()
            .map(|it| Box::new(it) as _),
    };
    let Some(rule) = rule else { return Ok(()) };
    let count = Count::arbitrary(u)?.0;
    if let Ok(mut both) = Together::new(
        nets(u)?.0,
        if count > 1 << 24 { count } else { count.min(9) },
    ) {
        let _ = both.predict(x, at, &[true, u.arbitrary()?, true]);
    }
    let _ = match u.arbitrary()? {
        true => Guided::new(nets(u)?, rule).predict(x, at),
        false => CfgPlusPlus::new(nets(u)?, rule).predict(x, at),
    };
    let preconditioning =
        gaussian_diffusion::denoiser::preconditioning::EdmPreconditioning::default();
    let mut raw = Preconditioned::new(preconditioning, |x: &ArrayD<A>, _| Ok(x.clone()));
    let _ = raw.predict(x, at);
    Ok(())
}

fn measured<A: Real>(u: Source<'_, '_>, x: &ArrayD<A>) -> Result<()> {
    let at = Point::new(
        Step::new(3),
        NoiseLevel::from_alpha_bar(0.5).expect("a level"),
        NoiseLevel::CLEAN,
    );
    let Ok(x) = x.clone().into_dimensionality::<Ix2>() else {
        return Ok(());
    };
    let (rows, columns) = (u.int_in_range(0..=3)?, u.int_in_range(0..=4)?);
    let matrix: ArrayD<f64> = array(u, &[rows, columns])?;
    let Ok(matrix) = matrix.into_dimensionality::<Ix2>() else {
        return Ok(());
    };
    let value: ArrayD<A> = array(u, &[x.nrows().min(5), rows])?;
    let Ok(value) = value.into_dimensionality::<Ix2>() else {
        return Ok(());
    };
    let iterations = match u.ratio(1, 8)? {
        true => Count::arbitrary(u)?.0,
        false => u.int_in_range(0..=4)?,
    };
    let std = Number::arbitrary(u)?.0;
    let measure = || Measurement::new(matrix.clone(), value.clone(), std);
    let net = || {
        WithVjp::new(
            predicts::x0(|x: &Array2<A>, _: Point<Step>| x.mapv(|x| A::of(0.5 * x.get()))),
            |_: &Array2<A>, _: Point<Step>, v: &Array2<A>| Ok(v.mapv(|v| A::of(0.5 * v.get()))),
        )
    };
    let _ = measure().and_then(|m| Dps::new(net(), m, 1.0)?.predict(&x, at));
    let _ = measure()
        .and_then(|m| GaussianPosterior::moment_matching(net(), m, iterations)?.predict(&x, at));
    let _ = measure()
        .and_then(|m| Corrected::new(net(), DiffPir::new(m, 1.0, iterations)?).predict(&x, at));
    let means: Vec<f64> = vec![0.5; columns];
    let variances: Vec<f64> = vec![Number::arbitrary(u)?.0; columns];
    if let Ok(mut mixture) =
        GaussianMixture::diagonal(&[(1.0, &means, &variances), (2.0, &variances, &means)])
    {
        let _ = Denoiser::<_, Step>::predict(&mut mixture, &x, at);
        let noise = vec![Number::arbitrary(u)?.0; rows];
        let y = vec![Number::arbitrary(u)?.0; rows];
        let _ = mixture
            .measured(&matrix, &noise, &y)
            .map(|it| (it.mean(), it.covariance()));
        let point: Vec<f64> = x.iter().take(columns).map(|x| x.get()).collect();
        let _ = (
            mixture.score(&point, at.level),
            mixture.jacobian(&point, at.level),
        );
    }
    Ok(())
}

fn likelihoods<A: Real>(u: Source<'_, '_>, x: &ArrayD<A>) -> Result<()> {
    let Ok(schedule) = Discrete::constant(6, 0.3) else {
        return Ok(());
    };
    let answer = like(u, x)?;
    let mut net = predicts::with(network(answer.clone(), None));
    let mut source = Source_::of(u)?;
    if let Ok(grid) = Grid::every(&schedule) {
        let variance = *u.choose(&[ModelVariance::FixedSmall, ModelVariance::LearnedRange])?;
        if let Ok(bound) = VariationalBound::new(&grid, variance, Continuous) {
            let _ = bound
                .evaluate(x, &mut net, &mut source)
                .map(|terms| terms.total());
        }
    }
    let probes = u.int_in_range(0..=3)?;
    let vjp = |x: &ArrayD<A>, _: Point<Step>, probes: &[ArrayD<A>]| {
        Ok((
            Prediction::x0(x.mapv(|x| A::of(0.5 * x.get()))),
            probes.to_vec(),
        ))
    };
    let of = like(u, x)?;
    if let Some(plan) = plan(u)? {
        if let Some(stage) = plan.stages().first() {
            let said = Prediction::x0(answer.clone()).with_variance(like(u, x)?);
            let _ = step_log_density(stage, x, &said, &of);
        }
        if let (Ok(flow), Ok(mut network)) = (
            PlannedFlow::of(&plan),
            Hutchinson::rademacher(&of, probes, &mut source, vjp),
        ) {
            let _ = flow.log_density(x, &mut network);
        }
    }
    let (Ok(noisy), Ok(clean)) = (
        Cosine.time_at(LogSnr::new(-2.0).expect("a log-SNR")),
        Cosine.time_at(LogSnr::new(2.0).expect("a log-SNR")),
    ) else {
        return Ok(());
    };
    let smooth = |x: &ArrayD<A>, _| x.mapv(|x| A::of(0.5 * x.get()));
    if let Ok(flow) =
        ProbabilityFlow::between(&Cosine, noisy, clean).and_then(|it| it.with_tolerance(1e-1))
    {
        let _ = flow.encode(x, &mut predicts::x0(smooth));
    }
    let (from, to) = (
        LogSnr::new(-1.0).expect("one"),
        LogSnr::new(1.0).expect("one"),
    );
    if let Ok(solver) = DpmAdaptive::new(2) {
        let solver = solver.with_limit(20);
        let _ = solver.sample(
            &Cosine,
            from,
            to,
            x.clone(),
            &mut predicts::x0(smooth),
            &mut source,
        );
    }
    Ok(())
}

fn all<A: Real>(u: Source<'_, '_>) -> Result<()> {
    let shape = shape(u)?;
    let x = array::<A>(u, &shape)?;
    match u.int_in_range(0..=5)? {
        0 => states(u, &x),
        1 => forward(u, &x),
        2 => runs(u, &x),
        3 => guided(u, &x),
        4 => measured(u, &x),
        _ => likelihoods(u, &x),
    }
}

fuzz_target!(|data: &[u8]| {
    let u = &mut Unstructured::new(data);
    let _ = match u.int_in_range(0..=2).unwrap_or(0) {
        0 => all::<f32>(u),
        1 => all::<f64>(u),
        _ => all::<half::bf16>(u),
    };
});
