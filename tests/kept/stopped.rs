//! Where a run that is stopped stands, and how it goes on.

use std::{ops::ControlFlow, sync::Arc};

use gaussian_diffusion::{
    Denoiser, Error, Grid, Plan, Point, ReverseStep, Run, Sampler, SeededNoise, Step,
    plan::Observation,
    predicts,
    sampler::SolverName,
    schedule::{Discrete, Edm},
    solver::{Ancestral, Churn, Ddim, RungeKutta},
};

use crate::{Batch, bits, conditioned, fit_for, start};

/// The plan of a sampler: of a few steps, but of as many as restarts need.
pub(crate) fn planned(sampler: Sampler) -> Option<Plan<Step>> {
    let schedule = Discrete::stable_diffusion().unwrap();
    let steps = match sampler.solver() {
        SolverName::Restart => 20,
        _ => 6,
    };
    sampler.plan(&schedule, steps).ok()
}

/// Every sampler that has a plan, by its name.
pub(crate) fn named() -> impl Iterator<Item = (Sampler, Plan<Step>)> {
    Sampler::all().filter_map(|sampler| Some((sampler, planned(sampler)?)))
}

fn net<T>() -> impl Denoiser<Batch, T> {
    predicts::noise(|x: &Batch, at: Point<T>| x.mapv(|x| (0.4 * x).tanh() * at.level.sigma()))
}

/// Stops at this step, at the first question of it.
fn at_step<T>(step: usize) -> impl FnMut(Observation<'_, Batch, T>) -> ControlFlow<()> {
    move |seen| {
        assert!(seen.at.step <= step, "asked after it was stopped");
        match seen.at.step == step {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

#[test]
fn a_run_that_is_stopped_has_done_its_step_whatever_the_solver() {
    let mut compared = 0;
    for (sampler, plan) in named() {
        let (mut shown, mut noise) = (vec![Vec::new(); plan.steps()], SeededNoise::new(3));
        let see = |seen: Observation<'_, Batch, Step>| {
            let place: &mut Vec<u64> = &mut shown[seen.at.step];
            if place.is_empty() {
                *place = bits(seen.x);
            }
            ControlFlow::Continue(())
        };
        let end = plan
            .sample_observed(start(2), &mut fit_for(&sampler, net()), &mut noise, see)
            .unwrap();
        shown.push(bits(&end));
        for step in 0..plan.steps() {
            let mut noise = SeededNoise::new(3);
            let stopped = plan
                .sample_observed(
                    start(2),
                    &mut fit_for(&sampler, net()),
                    &mut noise,
                    at_step(step),
                )
                .unwrap();
            // What noise makes of it before the next question is no part of this step.
            let mut next = plan
                .stages()
                .iter()
                .filter(|stage| stage.point.step == step + 1);
            if next.next().is_none_or(|next| next.stage.renoise.is_none()) {
                assert_eq!(
                    bits(&stopped),
                    shown[step + 1],
                    "{sampler} after step {step}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 250, "{compared}");
}

/// From the state of a solver that keeps nothing else, at the level it is said to be of.
#[test]
fn the_state_of_a_single_step_solver_is_gone_on_from_with_the_tail() {
    let schedule = Edm::default();
    let grid = Grid::karras(&schedule, 8).unwrap();
    let churn = Churn::new(RungeKutta::heun(), 1e3).unwrap();
    let solvers: [Box<dyn ReverseStep>; 4] = [
        Box::new(Ddim::new(0.7).unwrap()),
        Box::new(RungeKutta::heun()),
        Box::new(churn),
        Box::new(Ancestral::new(RungeKutta::dpm2(), 1.0).unwrap()),
    ];
    for solver in solvers {
        let plan = Plan::new(&schedule, &grid, &solver).unwrap();
        let whole = plan
            .sample(start(2), &mut net(), &mut SeededNoise::new(3))
            .unwrap();
        for step in 0..7 {
            let mut noise = SeededNoise::new(3);
            let stopped = plan
                .sample_observed(start(2), &mut net(), &mut noise, at_step(step))
                .unwrap();
            let tail = Plan::new(&schedule, &grid.tail(7 - step).unwrap(), &solver).unwrap();
            assert_eq!(tail.levels(), &plan.levels()[step + 1..]);
            let found = tail.sample(stopped, &mut net(), &mut noise).unwrap();
            assert_eq!(
                bits(&found),
                bits(&whole),
                "{} after step {step}",
                plan.name()
            );
        }
    }
}

#[test]
fn a_run_that_is_stopped_goes_on_with_the_same_bits() {
    for (sampler, plan) in named() {
        let whole = plan
            .sample(
                start::<f64>(2),
                &mut fit_for(&sampler, conditioned(0.1)),
                &mut SeededNoise::new(3),
            )
            .unwrap();
        for step in 0..plan.steps() {
            let (mut net, mut noise) = (fit_for(&sampler, conditioned(0.1)), SeededNoise::new(3));
            let mut run = plan.start_from(start(2), &mut noise).unwrap();
            run.sample_observed(&mut net, &mut noise, at_step(step))
                .unwrap();
            let next = run.pending().map(|(_, at)| at.step);
            let expected = (step + 1 < plan.steps()).then_some(step + 1);
            assert_eq!(next, expected, "{sampler}");
            let found = run.sample(&mut net, &mut noise).unwrap();
            assert_eq!(bits(&found), bits(&whole), "{sampler} after step {step}");
        }
    }
}

/// A base network and a refiner: two halves of a run are the run whose network changes in the middle.
#[test]
fn a_split_run_is_the_run_of_a_network_that_changes() {
    for (sampler, plan) in named() {
        let base = || {
            fit_for(
                &sampler,
                predicts::noise(|x: &Batch, _: Point<Step>| 0.9 * x),
            )
        };
        let tanh = |x: &Batch, _: Point<Step>| x.mapv(f64::tanh);
        let refiner = || fit_for(&sampler, predicts::noise(tanh));
        for split in 1..plan.steps() {
            let mut both = predicts::with(|x: &Batch, at: Point<Step>| match at.step < split {
                true => base().predict(x, at),
                false => refiner().predict(x, at),
            });
            let whole = plan
                .sample(start(2), &mut both, &mut SeededNoise::new(3))
                .unwrap();
            let mut noise = SeededNoise::new(3);
            let mut run = plan.start_from(start(2), &mut noise).unwrap();
            run.sample_observed(&mut base(), &mut noise, at_step(split - 1))
                .unwrap();
            let saved = run.save().unwrap();
            let run = plan.resume(saved).unwrap();
            let found = run.sample(&mut refiner(), &mut noise).unwrap();
            assert_eq!(bits(&found), bits(&whole), "{sampler} split at {split}");
        }
    }
}

/// A job of a server: its run beside its plan.
struct Job {
    run: Run<'static, Batch, Step>,
    noise: SeededNoise,
    plan: Arc<Plan<Step>>,
}

impl Job {
    fn new(plan: &Arc<Plan<Step>>, seed: u64) -> Result<Self, Error> {
        let (plan, mut noise) = (Arc::clone(plan), SeededNoise::new(seed));
        let run = plan.start_shared(start(2), &mut noise)?;
        Ok(Self { run, noise, plan })
    }

    /// Whether there is more to do.
    fn step(&mut self) -> Result<bool, Error> {
        let Some((x, at)) = self.run.pending() else {
            return Ok(false);
        };
        let answer = net().predict(x, at)?;
        self.run.supply(answer, &mut self.noise)?;
        Ok(true)
    }
}

#[test]
fn jobs_keep_their_plan() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let plan = Sampler::from_name("DPM++ 3M SDE")
        .unwrap()
        .plan(&schedule, 6)
        .unwrap();
    let whole = |seed| {
        let found = plan.sample(start(2), &mut net(), &mut SeededNoise::new(seed));
        bits(&found.unwrap())
    };
    let (first, second) = (whole(1), whole(2));
    let shared = Arc::new(plan.clone());
    let mut jobs = vec![Job::new(&shared, 1).unwrap(), Job::new(&shared, 2).unwrap()];
    drop(shared);
    // In turns, in another thread, stored and taken up on the way.
    let jobs = std::thread::spawn(move || {
        for turn in 0.. {
            let more: Vec<bool> = jobs.iter_mut().map(|job| job.step().unwrap()).collect();
            if turn == 3 {
                for job in &mut jobs {
                    let saved = job.run.save().unwrap();
                    job.run = job.plan.resume_shared(saved).unwrap();
                }
            }
            if more == [false, false] {
                break;
            }
        }
        jobs
    });
    let jobs = jobs.join().unwrap();
    assert_eq!(Arc::strong_count(&jobs[0].plan), 4);
    let found: Vec<_> = jobs
        .into_iter()
        .map(|job| bits(&job.run.into_state()))
        .collect();
    assert_eq!(found, [first, second]);
}

/// A part of a grid is a run of its own: what its documentation says of two of them.
#[test]
fn parts_are_the_whole_for_solvers_without_memory() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let apart = |name: &str| {
        let sampler = Sampler::from_name(name).unwrap();
        let grid = sampler.grid(&schedule, 20).unwrap();
        let solver = sampler.solver().solver(&schedule, &grid, 20).unwrap();
        let plan = |grid: &Grid<Step>| Plan::new(&schedule, grid, &solver).unwrap();
        let whole = plan(&grid)
            .sample(start(2), &mut net(), &mut SeededNoise::new(3))
            .unwrap();
        let (head, tail) = (
            plan(&grid.part(0..12).unwrap()),
            plan(&grid.tail(8).unwrap()),
        );
        let mut noise = SeededNoise::new(3);
        let half = head.sample(start(2), &mut net(), &mut noise).unwrap();
        let both: Batch = tail.sample(half, &mut net(), &mut noise).unwrap();
        (both - whole)
            .iter()
            .fold(0.0_f64, |most, d| most.max(d.abs()))
    };
    for name in ["DDIM", "DDPM", "Euler a", "Heun", "DPM2", "DPM++ SDE"] {
        assert_eq!(apart(name), 0.0, "{name}");
    }
    for name in [
        "DPM++ 2M",
        "dpmpp_2m_sde karras",
        "dpmpp_3m_sde",
        "UniPC",
        "sa_solver",
        "LMS",
    ] {
        println!("{name}: {:.1e}", apart(name));
        assert!(apart(name) > 1e-4, "{name}: {}", apart(name));
    }
}

/// As many predictions are kept as the plan has memory for, and the number that is said is that of those there are.
#[test]
fn predictions_are_counted() {
    let schedule = gaussian_diffusion::schedule::Discrete::stable_diffusion().unwrap();
    let grid = gaussian_diffusion::Grid::trailing(&schedule, 6).unwrap();
    let solver = gaussian_diffusion::solver::LinearMultistep::ipndm(3).unwrap();
    let plan = gaussian_diffusion::Plan::new(&schedule, &grid, &solver).unwrap();
    let mut noise = gaussian_diffusion::SeededNoise::new(0);
    let mut run = plan.start_from(ndarray::array![[0.3]], &mut noise).unwrap();
    let mut kept = vec![run.predictions_kept()];
    while let Some((x, _)) = run.pending() {
        let answer = gaussian_diffusion::Prediction::noise(x * 0.5);
        run.supply(answer, &mut noise).unwrap();
        assert_eq!(run.predictions_kept(), run.predictions().count());
        kept.push(run.predictions_kept());
    }
    assert_eq!(kept, [0, 1, 2, 3, 3, 3, 3]);
}
