//! Runs that ask about many steps at once.

mod common {
    pub mod solvers;
}

use std::cell::Cell;

use gaussian_diffusion::{
    Denoiser, Error, GaussianMixture, Grid, ModelVariance, NoiseSchedule, Plan, Point, Prediction,
    SeededNoise, Sigma, Step,
    noise::BrownianPath,
    schedule::{Cosine, Discrete, Edm, RectifiedFlow},
    solver::{Ddim, Ddpm, DpmSolver},
};
use ndarray::{Array2, Axis, array, concatenate};

fn mixture() -> GaussianMixture {
    GaussianMixture::isotropic(&[
        (0.5, &[-1.0, 0.2, 0.4][..], 0.2),
        (0.5, &[1.0, 0.5, -0.3][..], 0.1),
    ])
    .unwrap()
}

type Answers = Result<Vec<Prediction<Array2<f64>>>, Error>;

fn answers<T: Copy>(asked: &[(Array2<f64>, Point<T>)]) -> Answers {
    let mut net = mixture();
    asked.iter().map(|(x, at)| net.predict(x, *at)).collect()
}

fn start<T: Copy + std::fmt::Debug>(plan: &Plan<T>) -> Array2<f64> {
    plan.prior((2, 3), &mut SeededNoise::new(3)).unwrap()
}

/// Every sampler, with noise and without: the bits of a run one by one, in no more batches.
fn same_bits<S: NoiseSchedule>(schedule: &S, grid: &Grid<S::Time>) {
    for solver in common::solvers::every() {
        let plan = Plan::new(schedule, grid, &solver).unwrap();
        let noise = SeededNoise::new(7);
        let expected = plan
            .sample(start(&plan), &mut mixture(), &mut noise.clone())
            .unwrap();
        for window in [1, 3, 100] {
            let mut run = plan
                .start_parallel(start(&plan), noise.clone(), window)
                .unwrap();
            run = run.with_tolerance(0.0).unwrap();
            while !run.pending().is_empty() {
                assert!(run.pending().len() <= window);
                let next = answers(run.pending()).unwrap();
                run.supply(next).unwrap();
            }
            let (batches, evaluations) = (run.batches(), run.evaluations());
            assert!(batches <= plan.evaluations(), "{}: {batches}", plan.name());
            assert!(evaluations >= plan.evaluations());
            assert_eq!(run.run().evaluations_done(), plan.evaluations());
            assert_eq!(run.into_state(), expected, "{}, {window}", plan.name());
        }
    }
}

#[test]
fn every_sampler_ends_where_it_would_one_by_one() {
    for n in [1, 2, 7] {
        let zero = Discrete::stable_diffusion()
            .unwrap()
            .zero_terminal_snr()
            .unwrap();
        same_bits(&zero, &Grid::trailing(&zero, n).unwrap());
        let edm = Edm::new(Sigma::new(0.002).unwrap(), Sigma::new(80.0).unwrap()).unwrap();
        same_bits(&edm, &Grid::karras(&edm, n).unwrap());
        same_bits(
            &RectifiedFlow,
            &Grid::uniform_time(&RectifiedFlow, n).unwrap(),
        );
    }
}

/// The tolerance is what it says: fewer batches, and a distance of its size.
#[test]
fn a_tolerance_saves_batches() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let plan = Plan::new(
        &schedule,
        &Grid::trailing(&schedule, 100).unwrap(),
        &Ddim::default(),
    )
    .unwrap();
    let one_by_one = plan
        .sample(start(&plan), &mut mixture(), &mut SeededNoise::new(0))
        .unwrap();
    let mut before = usize::MAX;
    for tolerance in [0.0, 1e-6, 1e-3, 0.1] {
        let run = plan
            .start_parallel(start(&plan), SeededNoise::new(0), 100)
            .unwrap();
        let mut run = run.with_tolerance(tolerance).unwrap();
        while !run.pending().is_empty() {
            let next = answers(run.pending()).unwrap();
            run.supply(next).unwrap();
        }
        let (batches, evaluations) = (run.batches(), run.evaluations());
        let off = (run.into_state() - &one_by_one).mapv(f64::abs);
        let off = off.fold(0.0_f64, |a, b| a.max(*b));
        println!(
            "tolerance {tolerance}: {batches} batches, {evaluations} evaluations, {off:e} off"
        );
        assert!(batches <= before);
        assert!(off <= 3.0 * tolerance, "{tolerance}: {off}");
        before = batches;
    }
    assert!(before <= 20, "{before}");
}

/// One call of the network for a batch, with a time for each of its items.
#[test]
fn questions_are_stacked() {
    let schedule = Discrete::cosine(1000).unwrap();
    let solver = DpmSolver::plus_plus(2).unwrap().with_tau(1.0).unwrap();
    let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 12).unwrap(), &solver).unwrap();
    let calls = Cell::new(0);
    let network = |x: &Array2<f64>, times: &[Step]| {
        calls.set(calls.get() + 1);
        let mut answer = x.clone();
        for (mut row, t) in answer.rows_mut().into_iter().zip(times) {
            row.mapv_inplace(|x| x.tanh() * (0.5 + t.get() / 2000.0));
        }
        answer
    };
    let run = plan
        .start_parallel(start(&plan), SeededNoise::new(1), 6)
        .unwrap();
    let run = run.with_tolerance(0.0).unwrap();
    let found = run.sample(|asked| {
        let states: Vec<_> = asked.iter().map(|(x, _)| x.view()).collect();
        let times: Vec<_> = asked.iter().flat_map(|(_, at)| [at.time; 2]).collect();
        let stacked = network(&concatenate(Axis(0), &states).unwrap(), &times);
        Ok(stacked
            .axis_chunks_iter(Axis(0), 2)
            .map(|answer| Prediction::noise(answer.to_owned()))
            .collect())
    });
    let in_batches = calls.replace(0);
    let mut one = gaussian_diffusion::predicts::noise(|x: &Array2<f64>, at: Point<Step>| {
        network(x, &[at.time; 2])
    });
    let expected = plan
        .sample(start(&plan), &mut one, &mut SeededNoise::new(1))
        .unwrap();
    assert_eq!(found.unwrap(), expected);
    assert!(in_batches <= calls.get());
}

/// Where a guess cannot be gone on from, the run asks about what it has: a learned variance that nobody has said yet.
#[test]
fn guesses_that_lack_something_are_asked_about_first() {
    let grid = Grid::uniform_time(&Cosine, 6).unwrap();
    let plan = Plan::new(&Cosine, &grid, &Ddpm::new(ModelVariance::LearnedRange)).unwrap();
    let ask = |asked: &[(Array2<f64>, Point<_>)]| {
        let answers = asked.iter().map(|(x, _)| {
            Prediction::x0(x.mapv(|x| 0.5 * x.tanh())).with_variance(x.mapv(f64::sin))
        });
        Ok(answers.collect())
    };
    let run = plan
        .start_parallel(start(&plan), SeededNoise::new(2), 6)
        .unwrap();
    assert_eq!(run.pending().len(), 1);
    let found = run.with_tolerance(0.0).unwrap().sample(ask).unwrap();
    let mut one = gaussian_diffusion::predicts::with(|x: &Array2<f64>, at| {
        Ok(ask(&[(x.clone(), at)])?.remove(0))
    });
    assert_eq!(
        found,
        plan.sample(start(&plan), &mut one, &mut SeededNoise::new(2))
            .unwrap()
    );
}

#[test]
fn bad_input_is_refused() {
    let grid = Grid::uniform_time(&Cosine, 4).unwrap();
    let plan = Plan::new(&Cosine, &grid, &Ddim::default()).unwrap();
    let noise = SeededNoise::new(0);
    let says = |error: Error, text: &str| assert!(error.to_string().contains(text), "{error}");
    says(
        plan.start_parallel(array![[0.1]], noise, 0).err().unwrap(),
        "window of a parallel run is 0",
    );
    let noise = SeededNoise::new(0);
    says(
        plan.start_parallel(array![[f64::NAN]], noise.clone(), 2)
            .err()
            .unwrap(),
        "start of the run",
    );
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        let run = plan
            .start_parallel(array![[0.1]], noise.clone(), 2)
            .unwrap();
        says(run.with_tolerance(bad).err().unwrap(), "tolerance");
    }
    let mut run = plan
        .start_parallel(array![[0.1]], noise.clone(), 2)
        .unwrap();
    says(run.supply(vec![]).unwrap_err(), "answers");
    let asked = run.pending().len();
    let nan = vec![Prediction::x0(array![[f64::NAN]]); asked];
    assert!(run.supply(nan).is_err());
    // It can be answered again.
    assert_eq!((run.batches(), run.pending().len()), (0, asked));
    let answer = vec![Prediction::x0(array![[0.5]]); asked];
    run.supply(answer).unwrap();
    assert_eq!(run.batches(), 1);
    // Brownian paths give the same noise again too.
    let sde = DpmSolver::plus_plus(2).unwrap().with_tau(1.0).unwrap();
    let plan = Plan::new(&Cosine, &grid, &sde).unwrap();
    let path = BrownianPath::new(SeededNoise::new(4));
    let found = plan
        .start_parallel(array![[0.1, 0.2, 0.3]], path.clone(), 9)
        .unwrap();
    let found = found.with_tolerance(0.0).unwrap().sample(answers).unwrap();
    let mut path = path;
    let one = plan
        .sample(array![[0.1, 0.2, 0.3]], &mut mixture(), &mut path)
        .unwrap();
    assert_eq!(found, one);
}

/// A network that answers by the step alone is right about every step that it was asked of, so that what is known
/// stays known: 6 steps, 3 at a time.
#[test]
fn answers_that_stay_right_are_kept() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let grid = Grid::trailing(&schedule, 6).unwrap();
    let plan = Plan::new(&schedule, &grid, &Ddim::default()).unwrap();
    let noise = SeededNoise::new(7);
    let mut run = plan.start_parallel(start(&plan), noise, 3).unwrap();
    run = run.with_tolerance(0.0).unwrap();
    let mut asked = Vec::new();
    while !run.pending().is_empty() {
        asked.push(
            run.pending()
                .iter()
                .map(|(_, at)| at.step)
                .collect::<Vec<_>>(),
        );
        let answer = |(x, at): &(Array2<f64>, Point<Step>)| {
            Prediction::x0(Array2::from_elem(x.dim(), 0.1 * at.step as f64 - 0.3))
        };
        let answers = run.pending().iter().map(answer).collect();
        run.supply(answers).unwrap();
    }
    // The first is right, and what follows it was guessed; then all are; the last two as the first.
    assert_eq!(asked, [vec![0, 1, 2], vec![1, 2, 3], vec![4, 5], vec![5]]);
    assert_eq!((run.batches(), run.evaluations()), (4, 9));
}

/// A guess is near where the root mean square of every item is within the tolerance times sigma, and at it.
#[test]
fn a_guess_is_near_by_its_root_mean_square() {
    let schedule = RectifiedFlow;
    let grid = Grid::uniform_time(&schedule, 2).unwrap();
    let plan = Plan::new(&schedule, &grid, &Ddim::default()).unwrap();
    let noise = SeededNoise::new(7);
    // The first step goes half-way to the data: x / 2 + x0 / 2 at sigma = 1/2, where the guess has no data.
    for (off, right) in [(0.0, 2), (0.099, 2), (0.101, 1), (1.0, 1)] {
        let mut run = plan.start_parallel(start(&plan), noise.clone(), 2).unwrap();
        run = run.with_tolerance(0.1).unwrap();
        assert_eq!(run.pending().len(), 2);
        let answers = run.pending().iter();
        let answers = answers.map(|(x, _)| Prediction::x0(Array2::from_elem(x.dim(), off)));
        let answers = answers.collect();
        run.supply(answers).unwrap();
        assert_eq!(run.run().evaluations_done(), right, "{off}");
    }
}
