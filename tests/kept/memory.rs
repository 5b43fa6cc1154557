//! Whatever remembers forgets when a run begins, however it is wrapped.

use std::{cell::Cell, ops::ControlFlow, rc::Rc};

use gaussian_diffusion::{
    Denoiser, Error, Grid, LogSnr, Markov, NonMarkovian, Plan, Point, Prediction, ReverseStep,
    SeededNoise, State, Step,
    denoiser::{
        Clip, Corrected, Correction, InSubspace, LearnedNoise, NoiseOutput, SelfConditioned,
        WithVjp,
    },
    editing::{Edit, Inpaint, Inversion, Known, StepEnd},
    guidance::{
        Bands, CfgPlusPlus, Classifier, Combination, Dps, EpsilonScaling, GaussianPosterior,
        GuidanceInterval, Guided, InBands, Measurement, Predictions, Projected, Rescaled, Rule,
        Strength, Together, Within,
    },
    laws,
    likelihood::ProbabilityFlow,
    predicts,
    schedule::Discrete,
    solver::{Ddim, DpmAdaptive, DpmSolver, RungeKutta},
    state::ZeroMean,
};
use ndarray::{Array1, Array2, array};

use crate::{Batch, bits, start};

fn plan(solver: &dyn ReverseStep) -> Plan<Step> {
    let schedule = Discrete::stable_diffusion().unwrap();
    let grid = Grid::leading(&schedule, 6, 1).unwrap();
    Plan::new(&schedule, &grid, solver).unwrap()
}

fn plans() -> Vec<Plan<Step>> {
    let sde = DpmSolver::plus_plus(2).unwrap().with_tau(1.0).unwrap();
    vec![
        plan(&Ddim::new(0.5).unwrap()),
        plan(&RungeKutta::heun()),
        plan(&sde),
    ]
}

thread_local! {
    /// Whether the networks of this test forget where they are asked the first question, or only when they
    /// are told to.
    static SEES: Cell<bool> = const { Cell::new(true) };
}

/// With networks of both kinds.
fn both(test: impl Fn()) {
    for sees in [true, false] {
        SEES.set(sees);
        test();
    }
}

/// A network that is shown its last prediction.
fn conditioned(bias: f64) -> Box<dyn Denoiser<Batch, Step>> {
    match SEES.get() {
        true => Box::new(crate::conditioned(bias)),
        false => Box::new(Obeys { bias, last: None }),
    }
}

/// The same, of a user who trusts in being told that a run begins.
struct Obeys {
    bias: f64,
    last: Option<Batch>,
}

impl Denoiser<Batch, Step> for Obeys {
    fn predict(&mut self, x: &Batch, _: Point<Step>) -> Result<Prediction<Batch>, Error> {
        let mut data = x.mapv(|x| 0.3 * x.tanh() + self.bias);
        if let Some(last) = self.last.take().filter(|last| last.dim() == x.dim()) {
            data += &(0.5 * last);
        }
        self.last = Some(data.clone());
        Ok(Prediction::x0(data))
    }

    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<Batch>)) {
        visit(&mut self.last);
    }
}

/// The law with every plan; and the same of a loop that tells the network nothing, where what it asks first
/// is seen.
fn check<N: Denoiser<Batch, Step>>(name: &str, net: N) {
    check_with(name, net, &plans());
}

fn check_with<N: Denoiser<Batch, Step>>(name: &str, mut net: N, plans: &[Plan<Step>]) {
    for plan in plans {
        if let Err(violation) = laws::repeated_run(plan, &start(2), &mut net) {
            panic!("{name}, {}: {violation}", plan.name());
        }
        if !SEES.get() {
            continue;
        }
        let mut runs = Vec::new();
        for _ in 0..3 {
            let mut noise = SeededNoise::new(0);
            let mut run = plan.start_from(start(2), &mut noise).unwrap();
            while let Some((x, at)) = run.pending() {
                let answer = net.predict(x, at).unwrap();
                run.supply(answer, &mut noise).unwrap();
            }
            runs.push(bits(run.state()));
        }
        assert!(runs[0] == runs[1] && runs[1] == runs[2], "{name}: by hand");
    }
}

fn momentum(scale: impl Into<Strength>) -> Projected<Batch> {
    let rule = Projected::new(scale).unwrap().with_momentum(-0.5).unwrap();
    rule.with_parallel(0.3).unwrap()
}

fn pair() -> (impl Denoiser<Batch, Step>, impl Denoiser<Batch, Step>) {
    (conditioned(0.2), conditioned(-0.1))
}

/// Later than the first question of a run, and not to its end.
fn late() -> GuidanceInterval {
    GuidanceInterval::steps(2, 5)
}

/// A rule of a user's: the mean of what there is.
struct Mean;

impl<V: State> Rule<V> for Mean {
    fn count(&self) -> usize {
        2
    }

    fn combine(&mut self, mut predictions: Predictions<V>, _: Point<()>) -> Result<V, Error> {
        let mut mean = predictions.take(0)?;
        mean.combine(0.5, &[(0.5, predictions.get(1)?)])?;
        Ok(mean)
    }
}

/// Two parts of every number.
struct Parts;

impl Bands<Batch> for Parts {
    fn split(&self, x: &Batch) -> Result<Vec<Batch>, Error> {
        Ok(vec![x * 0.25, x * 0.75])
    }

    fn join(&self, bands: &[Batch], _: &Batch) -> Result<Batch, Error> {
        Ok(&bands[0] + &bands[1])
    }
}

#[test]
fn rules() {
    both(each_rules);
}

fn each_rules() {
    // Shown at some steps only: 1 asks for no second prediction.
    let some = vec![1.0, 1.0, 3.0, 1.0, 2.0, 1.0];
    check("momentum", Guided::new(pair(), momentum(3.0)));
    check(
        "a scale of 1 at first",
        Guided::new(pair(), momentum(some.clone())),
    );
    check(
        "within",
        Guided::new(pair(), Within::new(momentum(3.0), late())),
    );
    let twice = Within::new(
        Within::new(momentum(3.0), late()),
        GuidanceInterval::steps(3, 6),
    );
    check("within twice", Guided::new(pair(), twice));
    let rescaled = Rescaled::new(Within::new(momentum(3.0), late()), 0.7).unwrap();
    check("rescaled", Guided::new(pair(), rescaled));
    let boxed: Box<dyn Rule<Batch>> = Box::new(Within::new(momentum(3.0), late()));
    check("boxed rule", Guided::new(pair(), boxed));
    let mut lent = Within::new(momentum(3.0), late());
    check("lent rule", Guided::new(pair(), &mut lent));
    check(
        "a user's rule",
        Guided::new(pair(), Within::new(Mean, late())),
    );
    let bands = InBands::new(Parts, vec![momentum(3.0), momentum(some)]).unwrap();
    check("in bands", Guided::new(pair(), bands));
    check(
        "CFG++",
        CfgPlusPlus::new(pair(), Within::new(momentum(0.7), late())),
    );
}

#[test]
fn predictors() {
    both(each_predictors);
}

fn each_predictors() {
    // The second network is asked at some steps only, and the first not at others.
    let some = vec![1.0, 1.0, 0.0, 3.0, 1.0, 0.0];
    let free = |scales: Vec<f64>| Combination::classifier_free(scales).unwrap();
    check("a pair", Guided::new(pair(), free(some.clone())));
    check(
        "a vector",
        Guided::new(
            vec![conditioned(0.2), conditioned(-0.1)],
            free(some.clone()),
        ),
    );
    let boxed: Vec<Box<dyn Denoiser<Batch, Step>>> =
        vec![Box::new(conditioned(0.2)), Box::new(conditioned(-0.1))];
    check("boxes", Guided::new(boxed, free(some.clone())));
    let three = (conditioned(0.2), conditioned(0.1), conditioned(-0.1));
    let rule = Combination::image_and_text(some.clone(), some.clone()).unwrap();
    check("a triple", Guided::new(three, rule));
    let four = (
        conditioned(0.2),
        conditioned(0.1),
        conditioned(-0.1),
        conditioned(0.0),
    );
    let rule = Combination::composed([1.0, 2.0])
        .unwrap()
        .with_perturbed(some.clone())
        .unwrap();
    check("four", Guided::new(four, rule));
    // A batch that is doubled at some steps: what was remembered of the other does not fit.
    let together = || Together::new(conditioned(0.2), 2).unwrap();
    check("together", Guided::new(together(), free(some)));
    check(
        "together, within",
        Guided::new(together(), Within::new(momentum(3.0), late())),
    );
}

#[test]
fn adapters() {
    both(each_adapters);
}

fn each_adapters() {
    check("self-conditioned", conditioned(0.2));
    let boxed: Box<dyn Denoiser<Batch, Step>> = Box::new(conditioned(0.2));
    check("boxed", boxed);
    check("lent", &mut conditioned(0.2));
    let scaled = EpsilonScaling::new(conditioned(0.2), vec![1.0, 1.1]).unwrap();
    check("epsilon scaling", scaled);
    check(
        "in a subspace",
        InSubspace::new(conditioned(0.2), ZeroMean::along(1)),
    );
    check("clipped", conditioned(0.2).clipped(-0.5, 0.5).unwrap());
    let corrected = || Corrected::new(conditioned(0.2), Clip::new(-0.5, 0.5).unwrap());
    let keeping = corrected().keeping_noise(NonMarkovian::new(0.5).unwrap());
    check_with("keeping noise", keeping, &plans()[..1]);
    check("inversion", Inversion::new(conditioned(0.2)));
    let up = |x: &Batch, _: Point<Step>| Ok(0.01 * x);
    let classifier = || Classifier::new(conditioned(0.2), up, 2.0).unwrap();
    check("classifier", classifier());
    let of_mean = classifier().moving_the_mean(Markov);
    check_with("classifier of the mean", of_mean, &plans()[..1]);
    let vjp = || {
        WithVjp::new(conditioned(0.2), |_: &Batch, _: Point<Step>, v: &Batch| {
            Ok(0.3 * v)
        })
    };
    check("with products", vjp());
    let seen = || Measurement::new(array![[1.0, 0.5, 0.0]], array![[0.3], [0.4]], 0.1).unwrap();
    check("DPS", Dps::new(vjp(), seen(), 0.1).unwrap());
    check(
        "MMPS",
        GaussianPosterior::moment_matching(vjp(), seen(), 1).unwrap(),
    );
    let guided = Guided::new(pair(), Within::new(momentum(3.0), late()));
    check(
        "all in all",
        Inversion::new(guided.clipped(-0.6, 0.6).unwrap()),
    );
    // A closure passes on what it is asked, and nothing more.
    let mut inner = Guided::new(pair(), Within::new(momentum(3.0), late()));
    let mut net = predicts::with(|x: &Batch, at: Point<Step>| inner.predict(x, at));
    for plan in plans().iter().filter(|_| SEES.get()) {
        let mut run = || {
            bits(
                &plan
                    .sample(start(2), &mut net, &mut SeededNoise::new(0))
                    .unwrap(),
            )
        };
        assert_eq!(run(), run());
    }
}

/// A correction of a user's that remembers.
struct Smooth {
    before: Option<Batch>,
}

impl Correction<Batch, Step> for Smooth {
    fn correct(&mut self, x0: &mut Batch, _: Point<Step>) -> Result<(), Error> {
        if let Some(before) = &self.before {
            x0.combine(0.75, &[(0.25, before)])?;
        }
        self.before = Some(x0.clone());
        Ok(())
    }

    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<Batch>)) {
        visit(&mut self.before);
    }
}

#[test]
fn corrections() {
    both(each_corrections);
}

fn each_corrections() {
    let net = || Corrected::new(conditioned(0.1), Smooth { before: None });
    check("a user's correction", net());
    let keeping = net().keeping_noise(NonMarkovian::new(0.5).unwrap());
    check_with(
        "a user's correction that keeps the noise",
        keeping,
        &plans()[..1],
    );
}

/// The law sees what does not forget, and what is not shown.
#[test]
fn the_law_can_be_broken() {
    struct Keeps {
        last: Option<Batch>,
        forgets: bool,
        shows: bool,
    }
    impl Denoiser<Batch, Step> for Keeps {
        fn predict(&mut self, x: &Batch, _: Point<Step>) -> Result<Prediction<Batch>, Error> {
            let mut answer = 0.1 * x;
            if let Some(last) = &self.last {
                answer += &(0.5 * last);
            }
            self.last = Some(answer.clone());
            Ok(Prediction::noise(answer))
        }

        fn begin(&mut self) {
            if self.forgets {
                self.last = None;
            }
        }

        fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<Batch>)) {
            if self.shows {
                visit(&mut self.last);
            }
        }
    }
    let found = |forgets, shows| {
        let mut net = Keeps {
            last: None,
            forgets,
            shows,
        };
        laws::repeated_run(&plan(&Ddim::default()), &start(2), &mut net).map_err(|v| v.law)
    };
    assert_eq!(found(true, true), Ok(()));
    assert_eq!(
        found(false, true),
        Err("the same run gives the same bits again")
    );
    assert_eq!(
        found(true, false),
        Err("a stored run goes on with the same bits")
    );
}

/// Three equal runs of issue: they gave -0.04444, -0.01235 and -0.01400.
#[test]
fn a_run_says_to_a_network_that_it_begins() {
    let begun = Rc::new(Cell::new(0));
    struct Counts(Rc<Cell<usize>>);
    impl Denoiser<Array1<f64>, Step> for Counts {
        fn predict(
            &mut self,
            x: &Array1<f64>,
            _: Point<Step>,
        ) -> Result<Prediction<Array1<f64>>, Error> {
            Ok(Prediction::noise(0.1 * x))
        }

        fn begin(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let (plan, mut net) = (plan(&Ddim::default()), Counts(begun.clone()));
    let (start, mut noise) = (array![0.4, 0.2], SeededNoise::new(0));
    plan.sample(start.clone(), &mut net, &mut noise).unwrap();
    plan.sample_observed(start.clone(), &mut net, &mut noise, |_| {
        ControlFlow::Break(())
    })
    .unwrap();
    let mut nothing = |_: &mut Array1<f64>, _: StepEnd| Ok(());
    plan.sample_edited(start.clone(), &mut net, &mut nothing, &mut noise)
        .unwrap();
    plan.start_from(start.clone(), &mut noise)
        .unwrap()
        .sample(&mut net, &mut noise)
        .unwrap();
    assert_eq!(begun.get(), 4);
    // Not so a run that is taken up in the middle.
    let mut run = plan.start_from(start, &mut noise).unwrap();
    run.supply(Prediction::noise(array![0.1, 0.1]), &mut noise)
        .unwrap();
    let saved = run.save().unwrap();
    plan.resume(saved)
        .unwrap()
        .sample(&mut net, &mut noise)
        .unwrap();
    assert_eq!(begun.get(), 4);
}

/// Of a network that was shown a doubled batch, nothing is left that fits a single one.
#[test]
fn a_batch_of_another_size_has_no_last_prediction() {
    let shapes = Rc::new(std::cell::RefCell::new(Vec::new()));
    let seen = shapes.clone();
    let mut net = SelfConditioned::new(move |x: &Batch, last: Option<&Batch>, _: Point<Step>| {
        seen.borrow_mut().push((x.nrows(), last.map(Array2::nrows)));
        Ok(Prediction::x0(0.5 * x))
    });
    let point = |evaluation| {
        let mut at = plan(&Ddim::default()).stages()[2].point;
        at.evaluation = evaluation;
        at
    };
    for (evaluation, rows) in [(1, 2), (2, 2), (3, 4), (4, 4), (5, 2)] {
        net.predict(&start(rows), point(evaluation)).unwrap();
    }
    let expected = [(2, None), (2, Some(2)), (4, None), (4, Some(4)), (2, None)];
    assert_eq!(*shapes.borrow(), expected);
}

#[test]
fn memory_of_another_size_is_refused() {
    let mut net = Guided::new(pair(), momentum(3.0));
    let plan = plan(&Ddim::default());
    plan.sample(start(2), &mut net, &mut SeededNoise::new(0))
        .unwrap();
    let memory = Denoiser::<Batch, Step>::memory(&mut net);
    assert_eq!(memory.iter().flatten().count(), 3);
    let error = Denoiser::<Batch, Step>::set_memory(&mut net, memory[..2].to_vec()).unwrap_err();
    let text = "number of remembered states is 2, allowed: 3, the places of this denoiser";
    assert_eq!(error.to_string(), text);
    assert_eq!(Denoiser::<Batch, Step>::memory(&mut net), memory);
}

/// Noise that is held for a run, also where the first step is not edited.
#[test]
fn edits_forget() {
    struct Later(Inpaint<ndarray::Array2<f64>, SeededNoise>);
    impl Edit<Batch> for Later {
        fn edit(&mut self, x: &mut Batch, at: StepEnd) -> Result<(), Error> {
            match at.step {
                0 | 1 => Ok(()),
                _ => self.0.edit(x, at),
            }
        }

        fn begin(&mut self) {
            Edit::<Batch>::begin(&mut self.0);
        }
    }
    let known = Known::new(start(2), Batch::from_elem((2, 3), 1.0)).unwrap();
    let inpaint = Inpaint::new(known, SeededNoise::new(7)).with_held_noise();
    let mut edit = Later(inpaint);
    let plan = plan(&Ddim::default());
    let held = |edit: &mut Later| {
        let mut seen = None;
        let mut net = predicts::noise(|x: &Batch, at: Point<Step>| {
            if at.step == 3 {
                seen = Some(x.clone());
            }
            0.1 * x
        });
        plan.sample_edited(start(2), &mut net, edit, &mut SeededNoise::new(0))
            .unwrap();
        seen.unwrap()
    };
    // The second run draws its own.
    assert_ne!(held(&mut edit), held(&mut edit));
}

/// Adaptive runs begin too; flows ask questions that are each the first.
#[test]
fn runs_without_a_plan_begin() {
    SEES.set(false);
    let schedule = Discrete::stable_diffusion().unwrap();
    let mut net = conditioned(0.2);
    let adaptive = DpmAdaptive::new(3)
        .unwrap()
        .with_tolerances(0.1, 0.1)
        .unwrap();
    let run = |net: &mut dyn Denoiser<Batch, Step>| {
        let snr = |snr| LogSnr::new(snr).unwrap();
        let (from, to) = (snr(-5.0), snr(4.0));
        let mut noise = SeededNoise::new(0);
        let done = adaptive.sample(&schedule, from, to, start(2), net, &mut noise);
        bits(&done.unwrap().0)
    };
    let first = run(&mut net);
    assert_eq!(run(&mut net), first);
    // Left in the middle by an error, at a place that says nothing of a beginning.
    let mut asked = 0;
    let mut fails = predicts::with(|x: &Batch, at: Point<Step>| {
        asked += 1;
        match asked {
            6 => Err(Error::network(std::fmt::Error)),
            _ => net.predict(x, at),
        }
    });
    let (from, to) = (LogSnr::new(-5.0).unwrap(), LogSnr::new(4.0).unwrap());
    let mut noise = SeededNoise::new(0);
    adaptive
        .sample(&schedule, from, to, start(2), &mut fails, &mut noise)
        .unwrap_err();
    assert_eq!(run(&mut net), first);

    let flow = ProbabilityFlow::between(&schedule, Step::new(900), Step::new(10)).unwrap();
    let flow = flow.with_tolerance(1e-2).unwrap();
    let mut net = Inversion::new(crate::conditioned::<f64>(0.2));
    let code = |net: &mut Inversion<_>| bits(&flow.encode(&start(2), net).unwrap().value);
    assert_eq!(code(&mut net), code(&mut net));
}

/// DDIM-like plans do not ask for the variance, but what is wrapped is told that a run begins.
#[test]
fn learned_noise() {
    both(|| {
        struct Second<N>(N);
        impl<N: Denoiser<Batch, Step>> Denoiser<Batch, Step> for Second<N> {
            fn predict(&mut self, x: &Batch, at: Point<Step>) -> Result<Prediction<Batch>, Error> {
                let answer = self.0.predict(x, at)?;
                Ok(answer.with_variance(x.mapv(|_| 0.5)))
            }

            fn begin(&mut self) {
                self.0.begin();
            }

            fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<Batch>)) {
                self.0.visit_memory(visit);
            }
        }
        let net = LearnedNoise::new(Second(conditioned(0.2)), NoiseOutput::Residual);
        check("learned noise", net);
    });
}
