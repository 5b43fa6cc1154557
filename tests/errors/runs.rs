//! What is made of arrays: plans, runs, states, noise, the forward process, mixtures.

use gaussian_diffusion::{
    Denoiser, Error, ForwardProcess, GaussianMixture, Grid, Markov, ModelVariance, NoiseLevel,
    Parameterization, Plan, Point, Posterior, PosteriorCoefficients, Prediction, ReverseStep, Run,
    Sampler, SeededNoise, State, Step, Time, UpdateNoise,
    noise::{Interval, NoiseSource, Scale},
    predicts,
    schedule::{Cosine, Discrete},
    solver::{At, Ddim, Ddpm, Path, Stage, Update},
    state::Assignment,
    training::squared_error,
};
use ndarray::{Array1, Array2, ArrayD, IxDyn, array};

use super::{INF, NAN, level, message, snr, time};

/// A solver that answers with these stages at every step.
struct Fixed(Vec<Stage>, usize);

impl ReverseStep for Fixed {
    fn stages(&self, _path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        Ok(self.0.clone())
    }

    fn name(&self) -> &str {
        "fixed"
    }

    fn memory(&self) -> usize {
        self.1
    }
}

#[test]
fn plans_that_no_run_could_carry_out() {
    let grid = Grid::uniform_time(&Cosine, 2).unwrap();
    let plan = |stage: Stage| Plan::new(&Cosine, &grid, &Fixed(vec![stage], 1)).map(|_| "a plan");
    let stage = || Stage::new(At::From, Parameterization::X0);
    let update = || Update::new(1.0).with_model([0.5]);
    let table = Discrete::constant(10, 0.1).unwrap();
    let up = Grid::every(&table).unwrap().inverted();
    let outside =
        "the variance of a prediction is missing, noise outside the commit of a stage needs it";
    let first = table.levels()[0].log_snr().get();
    refused! {
        plan(stage().with_commit(update().with_model([0.5, NAN]))) => "number of predictions in an update is 2, allowed: 0 to 1, those that are kept";
        plan(stage().with_trial(update().with_model([0.5, 0.5]))) => "number of predictions in an update is 2, allowed: 0 to 1, those that are kept";
        plan(stage().with_renoise(update())) => "number of predictions in an update is 1, allowed: 0 to 0, those that are kept";
        plan(stage().with_commit(update().with_model([NAN]))) => "coefficient of an update is NaN, allowed: a finite number";
        plan(stage().with_commit(Update::new(INF))) => "coefficient of an update is inf, allowed: a finite number";
        plan(stage().with_trial(update().with_noise(UpdateNoise::Std(-1.0)))) => "deviation of an update is -1, allowed: a finite number from 0 on";
        plan(stage().with_renoise(Update::new(1.0).with_noise(UpdateNoise::Std(NAN)))) => "deviation of an update is NaN, allowed: a finite number from 0 on";
        plan(stage().with_trial(update().with_noise(UpdateNoise::Learned))) => outside;
        plan(stage().with_renoise(Update::new(1.0).with_noise(UpdateNoise::Learned))) => outside;
        Plan::new(&Cosine, &grid, &Fixed(vec![Stage::new(At::LogSnr(snr(700.0)), Parameterization::X0)], 1)).map(|_| ()) => "log-SNR is 700, allowed: -690 to 690, or infinite";
        Plan::new(&table, &up, &Ddim::new(0.5).unwrap()).map(|_| ()) => "eta is 0.5, allowed: 0 on an inverted grid";
        Plan::new(&table, &up, &Ddpm::default()).map(|_| ()) => format!("step[1] has log-SNR {first} after inf, allowed: strictly one way");
    }
    // One prediction is there after the first evaluation, two after the second.
    let two = stage().with_commit(update().with_model([0.5, 0.5]));
    let found = message(Plan::new(&Cosine, &grid, &Fixed(vec![two.clone()], 2)).map(|_| ()));
    assert_eq!(
        found,
        "number of predictions in an update is 2, allowed: 0 to 1, those that are kept"
    );
    assert!(Plan::new(&Cosine, &grid, &Fixed(vec![stage(), two], 2)).is_ok());
    let learned = Plan::new(
        &table,
        &Grid::every(&table).unwrap(),
        &Ddpm::new(ModelVariance::Learned),
    )
    .unwrap();
    refused! {
        learned.defect() => "the variance of the network is missing, the law of the plan needs it";
        Plan::new(&Cosine, &grid, &Ddim::default()).unwrap().amplification(Parameterization::Noise) => "a conversion of a noise prediction has no value at alpha = 0, sigma = 1";
    }
}

type Batch = Array2<f64>;

/// What a broken network answers, and the message: none where a test of its own has it.
fn bad_answers(x: &Batch, step: usize) -> Vec<(Prediction<Batch>, String)> {
    let (good, wide) = (x * 0.5, Array2::zeros((2, 4)));
    let spoiled = |bad: f64| {
        let mut value = good.clone();
        value[[1, 2]] = bad;
        value
    };
    let finite = format!("holds a NaN or an infinity at step {step}");
    let shape = "has shape [2, 4], expected [2, 3]";
    vec![
        (
            Prediction::velocity(spoiled(NAN)),
            format!("the prediction of the network {finite}"),
        ),
        (
            Prediction::x0(spoiled(INF)),
            format!("the prediction of the network {finite}"),
        ),
        (
            Prediction::x0(spoiled(-INF)),
            format!("the prediction of the network {finite}"),
        ),
        (
            Prediction::x0(wide.clone()),
            format!("the prediction of the network {shape}"),
        ),
        (
            Prediction::velocity(wide),
            format!("the prediction of the network {shape}"),
        ),
        (
            Prediction::flow(Array2::zeros((3, 2))),
            "the prediction of the network has shape [3, 2], expected [2, 3]".into(),
        ),
        (
            Prediction::x0(Array2::zeros((1, 3))),
            "the prediction of the network has shape [1, 3], expected [2, 3]".into(),
        ),
        (
            Prediction::new(
                good,
                Parameterization::Mean(PosteriorCoefficients {
                    state: 0.0,
                    clean: 0.0,
                    std: 0.0,
                }),
            ),
            String::new(),
        ),
    ]
}

/// Two predictions a step, and noise everywhere: a trial point, a commit and a renoise.
fn everything() -> Fixed {
    let spread = UpdateNoise::Std(0.1);
    let first = Stage::new(At::From, Parameterization::Noise)
        .with_renoise(Update::new(0.9).with_noise(spread))
        .with_commit(Update::new(0.8).with_noise(spread))
        .with_trial(Update::new(0.7).with_model([0.2]).with_noise(spread));
    let second = Stage::new(At::From, Parameterization::X0)
        .with_commit(Update::new(0.9).with_model([0.3, -0.2]).with_noise(spread));
    Fixed(vec![first, second], 2)
}

/// Fails at one of its draws, and else is the noise it holds.
struct Failing {
    noise: SeededNoise,
    left: usize,
}

impl NoiseSource<Batch> for Failing {
    fn add(
        &mut self,
        x: &mut Batch,
        scale: Scale<'_, Batch>,
        over: Option<Interval>,
    ) -> Result<(), Error> {
        if self.left == 0 {
            // As bad as it gets: a part of the draw is done.
            x[[0, 0]] += 1.0;
            return Err(Error::network("out of entropy"));
        }
        self.left -= 1;
        self.noise.add(x, scale, over)
    }
}

fn bits(x: &Batch) -> Vec<u64> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Answers the pending question well.
fn answer(run: &Run<'_, Batch, Step>, learned: bool) -> Prediction<Batch> {
    let (x, at) = run.pending().unwrap();
    let value = x.mapv(|x| (x + at.time.get()).sin());
    let said = Prediction::velocity(value);
    if learned {
        said.with_variance(x.mapv(f64::cos))
    } else {
        said
    }
}

#[test]
fn a_run_loses_nothing_by_a_bad_answer() {
    let schedule = Discrete::cosine(50).unwrap();
    let grid = Grid::trailing(&schedule, 5).unwrap();
    let solvers: [(&dyn ReverseStep, bool); 5] = [
        (&Ddim::default(), false),
        (&Ddpm::default(), false),
        (&Ddpm::new(ModelVariance::Learned), true),
        (&Ddpm::new(ModelVariance::LearnedRange), true),
        (&everything(), false),
    ];
    let start = Array2::from_shape_fn((2, 3), |(i, j)| 0.3 * i as f64 - 0.2 * j as f64);
    for (solver, learned) in solvers {
        let plan = Plan::new(&schedule, &grid, solver).unwrap();
        let mut noise = SeededNoise::new(8);
        let mut calm = plan.start_from(start.clone(), &mut noise).unwrap();
        while calm.pending().is_some() {
            calm.supply(answer(&calm, learned), &mut noise).unwrap();
        }
        let mut noise = SeededNoise::new(8);
        let mut run = plan.start_from(start.clone(), &mut noise).unwrap();
        while let Some((x, at)) = run.pending() {
            let (seen, state, draws) = (bits(x), bits(run.state()), noise.draws());
            let (done, kept) = (run.evaluations_done(), run.predictions_kept());
            let good = answer(&run, learned);
            let mut attacks = bad_answers(x, at.step);
            for (attack, _) in &mut attacks {
                attack.variance = good.variance.clone();
            }
            if learned {
                let (value, variance) = (good.value.clone(), good.variance.clone().unwrap());
                let said = |variance| Prediction::x0(value.clone()).with_variance(variance);
                // A step to the data draws nothing and needs no variance.
                if at.step + 1 < plan.steps() {
                    attacks.push((Prediction::x0(value.clone()), "the variance of a prediction is missing, the learned variance of the sampler needs it".into()));
                    attacks.push((
                        said(Array2::zeros((2, 4))),
                        "the variance of a prediction has shape [2, 4], expected [2, 3]".into(),
                    ));
                    attacks.push((
                        said(variance * 1e6 + 1e7),
                        format!(
                            "the learned deviation holds a NaN or an infinity at step {}",
                            at.step
                        ),
                    ));
                }
            }
            for (bad, words) in attacks {
                let found = message(run.supply(bad, &mut noise));
                if words.is_empty() {
                    assert!(
                        found.starts_with("a conversion of a mean prediction has no value"),
                        "{found}"
                    );
                } else {
                    assert_eq!(found, words);
                }
                let (x, point) = run.pending().unwrap();
                assert_eq!((bits(x), point), (seen.clone(), at), "after {words}");
                assert_eq!(
                    (bits(run.state()), noise.draws()),
                    (state.clone(), draws),
                    "after {words}"
                );
                assert_eq!(
                    (run.evaluations_done(), run.predictions_kept()),
                    (done, kept)
                );
            }
            // The noise fails at its first draw, its second, ..., until the step needs no more.
            for left in 0.. {
                let mut failing = Failing {
                    noise: noise.clone(),
                    left,
                };
                let mut copy = run.clone();
                if copy.supply(good.clone(), &mut failing).is_ok() {
                    break;
                }
                assert_eq!(bits(copy.state()), state, "draw {left}");
                assert_eq!(bits(copy.pending().unwrap().0), seen, "draw {left}");
                assert_eq!(
                    (copy.evaluations_done(), copy.predictions_kept()),
                    (done, kept)
                );
            }
            run.supply(good, &mut noise).unwrap();
        }
        assert_eq!(bits(run.state()), bits(calm.state()), "{}", solver.name());
        let late = run.supply(Prediction::x0(start.clone()), &mut noise);
        assert_eq!(
            message(late),
            "a prediction was supplied to a run that has ended"
        );
        assert_eq!(bits(run.state()), bits(calm.state()));
    }
}

/// The loop without a way back gives the same, and arrays to write into; the first error ends it.
#[test]
fn a_run_that_advances_ends_with_the_first_error() {
    let schedule = Discrete::cosine(50).unwrap();
    let grid = Grid::trailing(&schedule, 5).unwrap();
    let solvers: [(&dyn ReverseStep, bool); 4] = [
        (&Ddim::default(), false),
        (&Ddpm::default(), false),
        (&Ddpm::new(ModelVariance::Learned), true),
        (&everything(), false),
    ];
    let start = Array2::from_shape_fn((2, 3), |(i, j)| 0.3 * i as f64 - 0.2 * j as f64);
    for (solver, learned) in solvers {
        let plan = Plan::new(&schedule, &grid, solver).unwrap();
        let (mut a, mut b) = (SeededNoise::new(8), SeededNoise::new(8));
        let mut supplied = plan.start_from(start.clone(), &mut a).unwrap();
        let mut advanced = plan.start_from(start.clone(), &mut b).unwrap();
        let mut given_back = 0;
        while supplied.pending().is_some() {
            supplied.supply(answer(&supplied, learned), &mut a).unwrap();
            let good = answer(&advanced, learned);
            let free = advanced.advance(good.clone(), &mut b).unwrap();
            given_back += usize::from(free.is_some_and(|x| x.dim() == start.dim()));
            assert_eq!(bits(supplied.state()), bits(advanced.state()));

            // The same question answered badly.
            let Some((x, at)) = advanced.pending() else {
                continue;
            };
            for (mut attack, words) in bad_answers(x, at.step) {
                attack.variance = good.variance.clone();
                let mut lost = advanced.clone();
                let found = message(lost.advance(attack, &mut b.clone()).map(|_| ()));
                assert!(found == words || words.is_empty(), "{found} for {words}");
                assert!(lost.pending().is_none());
                for again in [
                    lost.advance(good.clone(), &mut b.clone()).map(|_| ()),
                    lost.supply(good.clone(), &mut b.clone()),
                ] {
                    assert_eq!(
                        message(again),
                        "a prediction was supplied to a run that has ended"
                    );
                }
            }
        }
        assert!(
            given_back + plan.memory() >= plan.evaluations(),
            "{given_back}"
        );
    }
}

/// A source without a sweep of its own draws between two combinations: not for an answer that the second refuses.
#[test]
fn a_refused_answer_draws_nothing() {
    let schedule = Discrete::cosine(50).unwrap();
    for name in ["seeds_2", "seeds_3", "sa_solver", "DPM++ SDE", "Euler a"] {
        let plan = Sampler::from_name(name)
            .unwrap()
            .plan(&schedule, 4)
            .unwrap();
        let mut source = Failing {
            noise: SeededNoise::new(1),
            left: usize::MAX,
        };
        let start = Array2::from_elem((2, 3), 0.1);
        let mut run = plan.start_from(start.clone(), &mut source).unwrap();
        while run.pending().is_some() {
            let draws = source.noise.draws();
            for answer in [Prediction::x0, Prediction::noise] {
                let error = run
                    .supply(answer(Array2::zeros((3, 2))), &mut source)
                    .unwrap_err();
                let words = "the prediction of the network has shape [3, 2], expected [2, 3]";
                assert_eq!(error.to_string(), words, "{name}");
            }
            assert_eq!(source.noise.draws(), draws, "{name}");
            run.supply(Prediction::x0(start.clone()), &mut source)
                .unwrap();
        }
    }
    // A sweep without noise is no draw.
    let mut noise = SeededNoise::new(1);
    let silent = Assignment::new(0, 0.5, &[]);
    let mut x = Array2::<f64>::ones((2, 3));
    noise
        .sweep(&mut [&mut x], &[], &[silent], Scale::Same(1.0), None)
        .unwrap();
    assert_eq!((noise.draws(), x[[1, 2]]), (0, 0.5));
}

#[test]
fn jumps_into_arrays_of_another_shape() {
    let schedule = Discrete::cosine(50).unwrap();
    let (x0, wide) = (Array2::<f64>::ones((2, 3)), Array2::<f64>::ones((2, 4)));
    let mut noise = SeededNoise::new(1);
    let mut into = |x_t: &Batch, eps: &Batch, t: &[Step]| {
        let (mut x_t, mut eps) = (x_t.clone(), eps.clone());
        let result = schedule.draw_jump_into(&x0, t, &mut noise, &mut x_t, &mut eps);
        result.map(|()| (x_t, eps))
    };
    let times = [Step::new(3), Step::new(40)];
    refused! {
        into(&wide, &x0, &times) => "x_t has shape [2, 4], expected [2, 3]";
        into(&x0, &wide, &times) => "eps has shape [2, 4], expected [2, 3]";
        into(&x0, &x0, &times[..1]) => "times has 1 entries for a batch of 2";
    }
    // Nothing was drawn.
    assert_eq!(noise.draws(), 0);
}

#[test]
fn sweeps_of_states_that_are_not_there() {
    let (mut x, mut y, z) = (
        Array2::<f64>::ones((2, 3)),
        Array2::ones((2, 3)),
        Array2::ones((2, 3)),
    );
    let wide = Array2::<f64>::ones((2, 4));
    let noisy = Assignment::new(0, 1.0, &[]).with_noise(true);
    let mut sweep = |fixed: &[&Batch], assignments: &[Assignment<'_>]| {
        State::sweep(&mut [&mut x, &mut y], fixed, assignments)
    };
    refused! {
        sweep(&[&z], &[Assignment::new(2, 1.0, &[])]) => "number of a state in an assignment is 2, allowed: below 2, the number of changing states";
        sweep(&[&z], &[Assignment::new(0, 1.0, &[(1.0, 3)])]) => "number of a state in an assignment is 3, allowed: below 3, and not the target";
        sweep(&[&z], &[Assignment::new(1, 1.0, &[(1.0, 1)])]) => "number of a state in an assignment is 1, allowed: below 3, and not the target";
        sweep(&[&wide], &[Assignment::new(1, 1.0, &[(1.0, 2)])]) => "array has shape [2, 4], expected [2, 3]";
        SeededNoise::new(1).sweep(&mut [&mut z.clone()], &[], &[noisy, noisy], Scale::Same(1.0), None) => "number of noisy assignments of a sweep is 2, allowed: 0 or 1";
    }
    assert_eq!((x, y), (z.clone(), z));
}

#[test]
fn samples_from_broken_networks() {
    let schedule = Discrete::cosine(50).unwrap().zero_terminal_snr().unwrap();
    let grid = Grid::trailing(&schedule, 5).unwrap();
    let plan = Plan::new(&schedule, &grid, &Ddim::default()).unwrap();
    let start: Batch = Array2::ones((2, 3));
    let mut noise = SeededNoise::new(0);
    let mut sample =
        |network: &mut dyn Denoiser<Batch, Step>| plan.sample(start.clone(), network, &mut noise);
    let mut asked = 0;
    refused! {
        sample(&mut predicts::noise(|x: &Batch, _| x.clone())) => "a conversion of a noise prediction has no value at alpha = 0, sigma = 1";
        sample(&mut predicts::x0(|x: &Batch, _| x * NAN)) => "the prediction of the network holds a NaN or an infinity at step 0";
        sample(&mut predicts::velocity(|x: &Batch, at: Point<Step>| if at.step == 3 { x / 0.0 } else { x.clone() })) => "the prediction of the network holds a NaN or an infinity at step 3";
        sample(&mut predicts::flow(|_: &Batch, _| Array2::zeros((2, 2)))) => "the prediction of the network has shape [2, 2], expected [2, 3]";
        sample(&mut predicts::with(|x: &Batch, _: Point<Step>| {
            asked += 1;
            if asked == 3 { Err(Error::network("device lost")) } else { Ok(Prediction::x0(x.clone())) }
        })) => "the network failed: device lost";
        plan.sample(array![[1.0, NAN]], &mut predicts::x0(|x: &Batch, _| x.clone()), &mut SeededNoise::new(0)) => "the start of the run holds a NaN or an infinity at step 0";
        plan.prior::<f64, _, _>((3, 2), &mut SeededNoise::per_item([1, 2])) => "seeds has 2 entries for a batch of 3";
    }
    let source = Error::network("device lost");
    assert!(std::error::Error::source(&source).is_some());
    assert!(std::error::Error::source(&Error::Finished).is_none());
}

/// A failure of a library.
#[derive(Debug, PartialEq)]
struct Lost(u32);

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "device {} was lost", self.0)
    }
}

impl std::error::Error for Lost {}

#[test]
fn a_closure_fails_with_any_error_and_the_run_keeps_it() {
    let plan = Plan::new(
        &Cosine,
        &Grid::uniform_time(&Cosine, 2).unwrap(),
        &Ddim::default(),
    )
    .unwrap();
    let start = || {
        plan.prior::<f64, _, _>((2, 3), &mut SeededNoise::new(0))
            .unwrap()
    };
    let sample = |network: &mut dyn Denoiser<Batch, Time>| {
        plan.sample(start(), network, &mut SeededNoise::new(0))
    };
    let lost = |x: &Batch, at: Point<Time>| match at.step {
        0 => Ok(x.clone()),
        step => Err(Lost(step as u32)),
    };
    let networks: [Box<dyn Denoiser<Batch, Time>>; 6] = [
        // At pure noise it does not determine the data.
        Box::new(predicts::noise(|_: &Batch, _: Point<Time>| {
            Err::<Batch, _>(Lost(1))
        })),
        Box::new(predicts::x0(lost)),
        Box::new(predicts::velocity(lost)),
        Box::new(predicts::score(|_: &Batch, _: Point<Time>| {
            Err::<Batch, _>(Lost(1))
        })),
        Box::new(predicts::flow(lost)),
        Box::new(predicts::mean(Markov, lost)),
    ];
    for mut network in networks {
        let error = sample(&mut network).unwrap_err();
        assert_eq!(error.to_string(), "the network failed: device 1 was lost");
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.downcast_ref(), Some(&Lost(1)));
    }
    // One that does not fail gives what a plain one gives.
    let plain = sample(&mut predicts::x0(|x: &Batch, _: Point<Time>| x * 0.5)).unwrap();
    let sure = |x: &Batch, _: Point<Time>| Ok::<_, Lost>(x * 0.5);
    assert_eq!(sample(&mut predicts::x0(sure)).unwrap(), plain);
    // Errors of this crate stay what they are, and words do as an error.
    let own = |_: &Batch, _: Point<Time>| Err::<Batch, _>(Error::Finished);
    let boxed = |_: &Batch, _: Point<Time>| {
        Err::<Batch, Box<dyn std::error::Error + Send + Sync>>(Box::new(Error::Finished))
    };
    let words = |_: &Batch, _: Point<Time>| Err::<Batch, _>("no such layer");
    assert!(matches!(
        sample(&mut predicts::x0(own)),
        Err(Error::Finished)
    ));
    assert!(matches!(
        sample(&mut predicts::x0(boxed)),
        Err(Error::Finished)
    ));
    refused! {
        sample(&mut predicts::flow(words)) => "the network failed: no such layer";
    }
}

#[test]
fn states_noise_and_losses() {
    let x = array![[1.0, 2.0], [3.0, 4.0]];
    let (wide, flat) = (
        Array2::<f64>::zeros((2, 3)),
        ArrayD::<f64>::zeros(IxDyn(&[4])),
    );
    let (two, one) = ([1.0, 2.0], [1.0]);
    let dynamic = x.clone().into_dyn();
    let combine = |own, terms: &[(f64, &Array2<f64>)]| x.clone().combine(own, terms);
    let items = |own: &[f64], terms: &[(&[f64], &Array2<f64>)]| x.clone().combine_items(own, terms);
    let add = |mut noise: SeededNoise, scale| noise.add(&mut x.clone(), scale, None);
    refused! {
        combine(1.0, &[(1.0, &x), (0.0, &wide)]) => "array has shape [2, 3], expected [2, 2]";
        combine(1.0, &[(1.0, &x.select(ndarray::Axis(0), &[1]))]) => "array has shape [1, 2], expected [2, 2]";
        dynamic.clone().combine(1.0, &[(1.0, &flat)]) => "array has shape [4], expected [2, 2]";
        ndarray::arr0(1.0).into_dyn().combine(1.0, &[(1.0, &flat)]) => "array has shape [4], expected []";
        items(&one, &[]) => "coefficients has 1 entries for a batch of 2";
        items(&two, &[(&two, &x), (&one, &x)]) => "coefficients has 1 entries for a batch of 2";
        items(&two, &[(&two, &wide)]) => "array has shape [2, 3], expected [2, 2]";
        items(&[], &[]) => "coefficients has 0 entries for a batch of 2";
        ndarray::arr0(1.0).combine_items(&two, &[]) => "coefficients has 2 entries for a batch of 1";
        add(SeededNoise::new(0), Scale::PerItem(&one)) => "noise scales has 1 entries for a batch of 2";
        add(SeededNoise::new(0), Scale::PerElement(&wide)) => "noise scale has shape [2, 3], expected [2, 2]";
        add(SeededNoise::per_item([1]), Scale::Same(1.0)) => "seeds has 1 entries for a batch of 2";
        add(SeededNoise::per_item([1, 2, 3]).with_first_item(9), Scale::Same(1.0)) => "seeds has 0 entries for a batch of 2";
        squared_error(&x, &wide) => "target has shape [2, 3], expected [2, 2]";
        squared_error(&dynamic, &flat) => "target has shape [4], expected [2, 2]";
    }
    // What is refused changes nothing, and no draw is counted.
    let mut noise = SeededNoise::per_item([1]);
    let mut y = x.clone();
    assert!(noise.add(&mut y, Scale::Same(1.0), None).is_err());
    assert!(y.combine(0.0, &[(1.0, &x), (1.0, &wide)]).is_err());
    assert!(y.combine_items(&two, &[(&two, &x), (&two, &wide)]).is_err());
    assert_eq!((y, noise.draws()), (x, 0));
}

#[test]
fn the_forward_process() {
    let schedule = Discrete::constant(10, 0.1).unwrap();
    let (x, wide) = (array![[1.0], [2.0]], array![[1.0, 2.0]]);
    let t = Step::new(3);
    let three = [t; 3];
    let mut noise = SeededNoise::per_item([1]);
    let lengths = "times has 3 entries for a batch of 2";
    let shape = "eps has shape [1, 2], expected [2, 1]";
    let seeds = "seeds has 1 entries for a batch of 2";
    let snr_of = |i: usize| schedule.levels()[i].log_snr().get();
    let mean = Parameterization::Mean(
        Markov
            .coefficients(schedule.levels()[3], schedule.levels()[2])
            .unwrap(),
    );
    let clean = "a conversion of a score prediction has no value at alpha = 1, sigma = 0";
    refused! {
        schedule.marginal(&x, &three) => lengths;
        schedule.marginal(&x, Step::new(10)) => "step is 10, allowed: 0 to 9";
        schedule.marginal(&x, &[t, Step::new(10)]) => "step is 10, allowed: 0 to 9";
        schedule.jump(&x, &three, &x) => lengths;
        schedule.jump(&x, &[], &x) => "times has 0 entries for a batch of 2";
        schedule.jump(&x, t, &wide) => shape;
        schedule.draw_jump(&x, &three, &mut SeededNoise::new(0)) => lengths;
        schedule.draw_jump(&x, t, &mut noise) => seeds;
        schedule.between(&x, t, Step::new(2), &x) => format!("step[1] has log-SNR {} after {}, allowed: strictly one way", snr_of(3), snr_of(2));
        schedule.between(&x, Step::new(2), t, &wide) => shape;
        schedule.draw_between(&x, Step::new(2), t, &mut noise) => seeds;
        schedule.step(&x, t, &wide) => shape;
        schedule.step(&x, Step::new(10), &x) => "step is 10, allowed: 0 to 9";
        schedule.step(&x, Step::fractional(2.5).unwrap(), &x) => "step is 2.5, allowed: a whole step below 2^53";
        schedule.step(&x, Step::fractional(2.0_f64.powi(64)).unwrap(), &x) => "step is 18446744073709552000, allowed: a whole step below 2^53";
        schedule.draw_step(&x, t, &mut noise) => seeds;
        schedule.target(Parameterization::Velocity, &x, &three, &x) => lengths;
        schedule.target(Parameterization::X0, &x, t, &wide) => shape;
        schedule.target(mean, &x, &[t, t], &x) => "one time for the batch is missing, the target of a mean under one posterior needs it";
        schedule.mean_target(&x, &three, &x) => lengths;
        schedule.mean_target(&x, Step::fractional(2.5).unwrap(), &x) => "step is 2.5, allowed: a whole step below 2^53";
        schedule.mean_target(&x, t, &wide) => shape;
        Cosine.target(Parameterization::Score, &x, time(0.0), &x) => clean;
        Cosine.jump(&x, time(1.5), &x) => "time is 1.5, allowed: 0 to 1";
    }
}

#[test]
fn clips() {
    let net = || predicts::x0(|x: &Array1<f64>, _: Point<Step>| x.clone());
    let clipped = |low, high| Denoiser::<Array1<f64>, Step>::clipped(net(), low, high).map(|_| ());
    let mut blind = Denoiser::<Array1<f64>, Step>::clipped(
        predicts::noise(|x: &Array1<f64>, _| x.clone()),
        -1.0,
        1.0,
    )
    .unwrap();
    let mut kept = Denoiser::<Array1<f64>, Step>::clipped(net(), -1.0, 1.0)
        .unwrap()
        .keeping_noise(Markov);
    let at = |from, to| Point::new(Step::new(0), from, to);
    refused! {
        clipped(NAN, 1.0) => "lower bound of the clip is NaN, allowed: any number, also infinite";
        clipped(0.0, NAN) => "upper bound of the clip is NaN, allowed: above 0";
        clipped(1.0, 1.0) => "upper bound of the clip is 1, allowed: above 1";
        clipped(INF, INF) => "upper bound of the clip is inf, allowed: above inf";
        blind.predict(&array![1.0], at(NoiseLevel::NOISE, NoiseLevel::CLEAN)) => "a conversion of a noise prediction has no value at alpha = 0, sigma = 1";
        kept.predict(&array![1.0], at(NoiseLevel::CLEAN, NoiseLevel::NOISE)) => "step[1] has log-SNR -inf after inf, allowed: strictly one way";
    }
}

#[test]
fn mixtures() {
    let one = |weight: f64, mean: &[f64], variance: f64| {
        GaussianMixture::isotropic(&[(weight, mean, variance)])
    };
    let rotated = |axes: Array2<f64>| {
        GaussianMixture::rotated(&[(1.0, vec![0.0, 0.0], vec![1.0, 1.0], axes)])
    };
    let pair = GaussianMixture::isotropic(&[(0.5, [-1.0], 0.04), (0.5, [1.0], 0.0)]).unwrap();
    let here = level(0.6, 0.8);
    let far = "log-density is -inf, allowed: a finite number: a point less far from the components";
    let dense = "the density of a component without variance has no value at alpha = 1, sigma = 0";
    refused! {
        GaussianMixture::isotropic::<Vec<f64>>(&[]) => "number of components is 0, allowed: 1 or more";
        GaussianMixture::point(&[]) => "dimension is 0, allowed: 1 or more";
        GaussianMixture::point(&[0.0, NAN]) => "mean[1] is NaN, allowed: a finite number";
        one(0.0, &[1.0], 1.0) => "weights[0] is 0, allowed: above 0 and up to 1e100";
        one(NAN, &[1.0], 1.0) => "weights[0] is NaN, allowed: above 0 and up to 1e100";
        one(INF, &[1.0], 1.0) => "weights[0] is inf, allowed: above 0 and up to 1e100";
        one(1.0, &[1.0], -1.0) => "variances[0] is -1, allowed: 0, or 1e-200 to 1e200";
        one(1.0, &[1.0], NAN) => "variances[0] is NaN, allowed: 0, or 1e-200 to 1e200";
        GaussianMixture::isotropic(&[(1.0, vec![1.0], 1.0), (1.0, vec![1.0, 2.0], 1.0)]) => "mean has shape [2], expected [1]";
        GaussianMixture::diagonal(&[(1.0, vec![1.0], vec![1.0, 2.0])]) => "variances has shape [2], expected [1]";
        rotated(Array2::eye(3)) => "axes has shape [3, 3], expected [2, 2]";
        rotated(array![[1.0, 0.0], [1.0, 0.0]]) => "products of the axes[1] is 1, allowed: 0, for orthonormal rows";
        rotated(array![[NAN, 0.0], [0.0, 1.0]]) => "products of the axes[0] is NaN, allowed: 1, for orthonormal rows";
        pair.log_density(&[], here) => "point has shape [0], expected [1]";
        pair.score(&[NAN], here) => "point[0] is NaN, allowed: a finite number";
        pair.posterior_mean(&[INF], here) => "point[0] is inf, allowed: a finite number";
        pair.log_density(&[0.0], NoiseLevel::CLEAN) => dense;
        pair.score(&[0.0], NoiseLevel::CLEAN) => dense;
        pair.posterior_mean(&[0.0], NoiseLevel::CLEAN) => dense;
        pair.log_density(&[1e200], here) => far;
        pair.score(&[1e200], here) => far;
        pair.posterior_mean(&[-1e200], here) => far;
        pair.clone().predict(&array![[0.0, 1.0]], Point::new(time(0.5), here, NoiseLevel::CLEAN)) => "item of the batch has shape [2], expected [1]";
        pair.clone().predict(&array![[0.0], [NAN]], Point::new(time(0.5), here, NoiseLevel::CLEAN)) => "point[0] is NaN, allowed: a finite number";
    }
}
