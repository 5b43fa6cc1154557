//! Runs that are stored and taken up in another process.

use std::{env, fs, path::Path, process::Command};

use gaussian_diffusion::{
    Clock, Denoiser, Error, NoiseSchedule, Plan, Point, Prediction, Sampler, SavedRun, SeededNoise,
    Step,
    editing::{Inpaint, Known},
    guidance::{GuidanceInterval, Guided, Projected, Within},
    noise::{BrownianPath, Interval, NoiseSource, Scale, TorchCpu, TorchCuda},
    predicts,
    schedule::Discrete,
    state::{Assignment, Real},
};
use ndarray::{Array2, array};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Batch, bits, conditioned, fit_for, start,
    stopped::{named, planned},
};

/// Any source of the crate.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Source {
    Seeded(SeededNoise),
    PerItem(SeededNoise),
    Path(BrownianPath),
    Cpu(TorchCpu),
    Cuda(TorchCuda),
}

impl Source {
    fn all(items: usize) -> Vec<Self> {
        let seeds: Vec<u64> = (0..items as u64).map(|i| u64::MAX - i).collect();
        vec![
            Self::Seeded(SeededNoise::new(u64::MAX)),
            Self::PerItem(SeededNoise::per_item(seeds)),
            Self::Path(BrownianPath::new(SeededNoise::new(5))),
            Self::Cpu(TorchCpu::new(5)),
            Self::Cuda(TorchCuda::new(u64::MAX)),
        ]
    }
}

impl<A: Real> NoiseSource<Array2<A>> for Source {
    fn add(
        &mut self,
        x: &mut Array2<A>,
        scale: Scale<'_, Array2<A>>,
        over: Option<Interval>,
    ) -> Result<(), Error> {
        match self {
            Self::Seeded(noise) | Self::PerItem(noise) => noise.add(x, scale, over),
            Self::Path(noise) => noise.add(x, scale, over),
            Self::Cpu(noise) => noise.add(x, scale, over),
            Self::Cuda(noise) => noise.add(x, scale, over),
        }
    }

    fn sweep(
        &mut self,
        states: &mut [&mut Array2<A>],
        fixed: &[&Array2<A>],
        assignments: &[Assignment<'_>],
        scale: Scale<'_, Array2<A>>,
        over: Option<Interval>,
    ) -> Result<bool, Error> {
        match self {
            Self::Seeded(noise) | Self::PerItem(noise) => {
                noise.sweep(states, fixed, assignments, scale, over)
            }
            Self::Path(noise) => noise.sweep(states, fixed, assignments, scale, over),
            Self::Cpu(noise) => noise.sweep(states, fixed, assignments, scale, over),
            Self::Cuda(noise) => noise.sweep(states, fixed, assignments, scale, over),
        }
    }
}

/// Two networks that remember under a rule that does, in a part of the run.
fn network<A: Real>() -> impl Denoiser<Array2<A>, Step> {
    let rule = Projected::<Array2<A>>::new(3.0)
        .unwrap()
        .with_momentum(-0.5)
        .unwrap();
    let rule = Within::new(rule, GuidanceInterval::steps(1, 5));
    Guided::new((conditioned(0.2), conditioned(-0.1)), rule)
}

/// All of a run, with the name of its plan.
#[derive(Serialize, Deserialize)]
#[serde(bound(
    serialize = "A: Serialize, A::Wide: Serialize",
    deserialize = "A: DeserializeOwned, A::Wide: DeserializeOwned"
))]
struct Job<A: Real> {
    sampler: String,
    run: SavedRun<Array2<A>>,
    noise: Source,
    memory: Vec<Option<Array2<A>>>,
}

/// Every named sampler with every source of noise, cut at every evaluation; and what each gives in the end.
fn jobs<A: Real>() -> (Vec<Job<A>>, Vec<Vec<u64>>) {
    let (mut jobs, mut ends) = (Vec::new(), Vec::new());
    for (index, (sampler, plan)) in named().enumerate() {
        // Draws of 3 numbers leave torch one over; of 21 not.
        let items = if index % 2 == 0 { 1 } else { 7 };
        for source in Source::all(items) {
            let (mut noise, mut net) = (source.clone(), fit_for(&sampler, network::<A>()));
            let mut run = plan.start_from(start(items), &mut noise).unwrap();
            let first = jobs.len();
            loop {
                jobs.push(Job {
                    sampler: sampler.to_string(),
                    run: run.save().unwrap(),
                    noise: noise.clone(),
                    memory: net.memory(),
                });
                let Some((x, at)) = run.pending() else { break };
                let answer = net.predict(x, at).unwrap();
                run.supply(answer, &mut noise).unwrap();
            }
            let mut net = fit_for(&sampler, network::<A>());
            let whole = plan.sample(start(items), &mut net, &mut source.clone());
            let end = bits(&whole.unwrap());
            assert_eq!(end, bits(&run.into_state()), "{sampler}");
            ends.resize(jobs.len(), end);
            assert_eq!(jobs.len() - first, plan.evaluations() + 1);
        }
    }
    (jobs, ends)
}

fn finish<A: Real>(job: Job<A>) -> Vec<u64> {
    let sampler = job.sampler.parse().unwrap();
    let plan = planned(sampler).unwrap();
    let (mut net, mut noise) = (fit_for(&sampler, network::<A>()), job.noise);
    net.set_memory(job.memory).unwrap();
    let run = plan.resume(job.run).unwrap();
    bits(&run.sample(&mut net, &mut noise).unwrap())
}

const PLACE: &str = "GAUSSIAN_DIFFUSION_KEPT_RUNS";

/// What the other process does: the tests below start this binary again for it.
#[test]
fn in_another_process() {
    fn all<A: Real<Wide: DeserializeOwned> + DeserializeOwned>(folder: &Path) {
        let text = fs::read_to_string(folder.join("jobs.json")).unwrap();
        let jobs: Vec<Job<A>> = serde_json::from_str(&text).unwrap();
        let ends: Vec<_> = jobs.into_iter().map(finish).collect();
        fs::write(
            folder.join("ends.json"),
            serde_json::to_string(&ends).unwrap(),
        )
        .unwrap();
    }
    let Some(folder) = env::var_os(PLACE) else {
        return;
    };
    let folder = Path::new(&folder);
    match folder.file_name().and_then(|name| name.to_str()) {
        Some("f64") => all::<f64>(folder),
        Some("f32") => all::<f32>(folder),
        #[cfg(feature = "half")]
        Some("bf16") => all::<half::bf16>(folder),
        other => panic!("{other:?}"),
    }
}

fn resumes_elsewhere<A: Real<Wide: Serialize> + Serialize>(name: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("kept-runs-{}", std::process::id()))
        .join(name);
    fs::create_dir_all(&folder).unwrap();
    let (jobs, expected) = jobs::<A>();
    fs::write(
        folder.join("jobs.json"),
        serde_json::to_string(&jobs).unwrap(),
    )
    .unwrap();
    let done = Command::new(env::current_exe().unwrap())
        .args(["saved::in_another_process", "--exact"])
        .env(PLACE, &folder)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stdout)
    );
    let ends = fs::read_to_string(folder.join("ends.json")).unwrap();
    let ends: Vec<Vec<u64>> = serde_json::from_str(&ends).unwrap();
    assert!(
        ends.len() == jobs.len() && jobs.len() > 1500,
        "{} jobs",
        jobs.len()
    );
    for ((job, end), expected) in jobs.iter().zip(&ends).zip(&expected) {
        let cut = job.run.evaluations_done();
        assert_eq!(
            end, expected,
            "{} cut at {cut}, {:?}",
            job.sampler, job.noise
        );
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn runs_go_on_in_another_process_with_the_same_bits() {
    resumes_elsewhere::<f64>("f64");
}

#[test]
fn runs_in_single_precision_too() {
    resumes_elsewhere::<f32>("f32");
}

/// What is kept is f32, and so is what is stored.
#[cfg(feature = "half")]
#[test]
fn runs_in_half_precision_too() {
    resumes_elsewhere::<half::bf16>("bf16");
}

fn plan(name: &str) -> Plan<Step> {
    let schedule = Discrete::stable_diffusion().unwrap();
    let sampler = Sampler::from_name(name).unwrap();
    sampler.plan(&schedule, 6).unwrap()
}

/// A run of this plan after so many evaluations.
fn cut(plan: &Plan<Step>, evaluations: usize) -> SavedRun<Batch> {
    let mut noise = SeededNoise::new(1);
    let mut run = plan.start_from(start(2), &mut noise).unwrap();
    for _ in 0..evaluations {
        let answer = Prediction::noise(start(2));
        run.supply(answer, &mut noise).unwrap();
    }
    run.save().unwrap()
}

fn saved(name: &str, evaluations: usize) -> SavedRun<Batch> {
    cut(&plan(name), evaluations)
}

/// A stored run with one thing changed.
fn changed(run: &SavedRun<Batch>, key: &str, value: serde_json::Value) -> SavedRun<Batch> {
    let mut stored = serde_json::to_value(run).unwrap();
    assert!(stored.get(key).is_some(), "{key}");
    stored[key] = value;
    serde_json::from_value(stored).unwrap()
}

#[test]
fn a_plan_takes_back_its_own_runs_only() {
    let refused =
        |plan: &Plan<Step>, run: SavedRun<Batch>| plan.resume(run).unwrap_err().to_string();
    let (multi, run) = (plan("DPM++ 2M Karras"), saved("DPM++ 2M Karras", 3));
    for other in [
        "DPM++ 2M",
        "DPM++ 2M SDE Karras",
        "DPM++ 3M SDE Karras",
        "Euler",
    ] {
        let other = plan(other);
        let text = refused(&other, run.clone());
        let (own, its) = (other.fingerprint(), multi.fingerprint());
        assert_eq!(
            text,
            format!(
                "the saved run is of a plan with fingerprint {its:016x}, this plan has {own:016x}"
            )
        );
    }
    let state = |x: Batch| serde_json::to_value(x).unwrap();
    let texts = [
        (
            "evaluations_done",
            7.into(),
            "evaluations of a saved run is 7, allowed: 0 to 6, those of the plan",
        ),
        (
            "evaluations_done",
            0.into(),
            "number of predictions of a saved run is 1, allowed: 0 after 0 evaluations",
        ),
        (
            "predictions",
            serde_json::json!([]),
            "number of predictions of a saved run is 0, allowed: 1 after 3 evaluations",
        ),
        (
            "trial",
            state(start(2)),
            "number of trial points of a saved run is 1, allowed: 0 after 3 evaluations",
        ),
        (
            "predictions",
            serde_json::json!([state(start(3))]),
            "a state of a saved run has shape [3, 3], expected [2, 3]",
        ),
    ];
    for (key, value, text) in texts {
        assert_eq!(refused(&multi, changed(&run, key, value)), text);
    }
    let half = saved("Heun", 3);
    let text = refused(
        &plan("Heun"),
        changed(&half, "trial", serde_json::Value::Null),
    );
    assert_eq!(
        text,
        "number of trial points of a saved run is 0, allowed: 1 after 3 evaluations"
    );
    let broken = run
        .clone()
        .try_map(|x| Ok::<_, Error>(x * f64::NAN))
        .unwrap();
    assert_eq!(
        refused(&multi, broken),
        "a state of a saved run holds a NaN or an infinity at step 3"
    );
    // A plan that ends at another level than its last step goes to.
    let mut longer = serde_json::to_value(&multi).unwrap();
    let levels = longer["levels"].as_array_mut().unwrap();
    *levels.last_mut().unwrap() = serde_json::json!({"alpha": 1.0, "sigma": 1e-3});
    let refused = serde_json::from_value::<Plan<Step>>(longer).unwrap_err();
    assert!(refused.to_string().starts_with("grid["), "{refused}");
    // The same table under another name, and one that was written and read.
    let text = serde_json::to_string(&multi).unwrap();
    let again: Plan<Step> = serde_json::from_str(&text).unwrap();
    assert_eq!(again.fingerprint(), multi.fingerprint());
    again.resume(run).unwrap();
}

/// One bit of a coefficient, of a level, of what the network is given: each is another plan.
#[test]
fn a_fingerprint_sees_every_number() {
    let plan = plan("Heun");
    let whole = serde_json::to_value(&plan).unwrap();
    let own = plan.fingerprint();
    let mut changed = 0;
    for i in 0..plan.evaluations() {
        let place = |keys: &[&str]| {
            keys.iter()
                .fold(format!("/stages/{i}"), |path, key| format!("{path}/{key}"))
        };
        let mut paths = vec![place(&["point", "time"])];
        for update in ["commit", "trial"] {
            paths.push(place(&["stage", update, "state"]));
            paths.push(place(&["stage", update, "model", "0"]));
        }
        for path in paths {
            let mut other = whole.clone();
            let Some(number) = other.pointer_mut(&path).filter(|number| number.is_number()) else {
                continue;
            };
            *number = serde_json::json!(number.as_f64().unwrap().next_up());
            let other: Plan<Step> = serde_json::from_value(other).unwrap();
            assert_ne!(other.fingerprint(), own, "{path}");
            changed += 1;
        }
    }
    assert!(changed > 30, "{changed}");
    let mut renamed = whole;
    renamed["name"] = "another".into();
    let renamed: Plan<Step> = serde_json::from_value(renamed).unwrap();
    assert_eq!(renamed.fingerprint(), own);
}

/// What is stored is what later steps use.
#[test]
fn what_a_saved_run_weighs() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let expected = [
        ("DDPM", [1, 1]),
        ("Euler a", [1, 1]),
        ("Heun", [1, 3]),
        ("DPM2", [1, 3]),
        ("DPM++ 2M", [2, 2]),
        ("DPM++ 2M SDE", [2, 2]),
        ("DPM++ 3M SDE", [3, 3]),
        ("UniPC", [5, 5]),
        ("LMS", [4, 4]),
        ("PLMS", [4, 4]),
    ];
    let found = expected.map(|(name, _)| {
        let sampler = Sampler::from_name(name).unwrap();
        let plan = sampler.plan(&schedule, 12).unwrap();
        (
            name,
            [6, 7].map(|evaluations| cut(&plan, evaluations).states().count()),
        )
    });
    assert_eq!(found, expected);
    // A latent of 4 x 64 x 64 in JSON, to be looked at: cargo test -- --nocapture.
    let plan = Sampler::from_name("DPM++ 2M Karras")
        .unwrap()
        .plan(&schedule, 20)
        .unwrap();
    let mut noise = SeededNoise::new(1);
    let start: Array2<f32> = plan.prior((1, 4 * 64 * 64), &mut noise).unwrap();
    let mut run = plan.start_from(start.clone(), &mut noise).unwrap();
    for _ in 0..10 {
        let (x, _) = run.pending().unwrap();
        run.supply(Prediction::noise(x * 0.9), &mut noise).unwrap();
    }
    let (run, cpu) = (run.save().unwrap(), TorchCpu::new(1));
    println!(
        "run {} bytes, seeded noise {}, torch's {}",
        weight(&run),
        weight(&noise),
        weight(&cpu)
    );
    let numbers = 2 * start.len();
    assert!((9 * numbers..13 * numbers).contains(&weight(&run)));
    assert!(weight(&noise) < 100 && weight(&cpu) < 8000);
}

fn weight(value: &impl Serialize) -> usize {
    serde_json::to_string(value).unwrap().len()
}

/// The draws of a run tell a source that is not stored where to go on.
#[test]
fn draws_are_counted() {
    for (sampler, plan) in named() {
        let mut noise = SeededNoise::new(9);
        let net = predicts::noise(|x: &Batch, _: Point<Step>| 0.2 * x);
        let mut net = fit_for(&sampler, net);
        let mut run = plan.start_from(start(2), &mut noise).unwrap();
        let mut saved = vec![run.save().unwrap()];
        while let Some((x, at)) = run.pending() {
            let answer = net.predict(x, at).unwrap();
            run.advance(answer, &mut noise).unwrap();
            assert_eq!(run.draws(), noise.draws(), "{sampler}");
            saved.push(run.save().unwrap());
        }
        let end = bits(run.state());
        for saved in saved {
            let mut noise = SeededNoise::new(9).with_first_draw(saved.draws());
            let run = plan.resume(saved).unwrap();
            assert_eq!(
                bits(&run.sample(&mut net, &mut noise).unwrap()),
                end,
                "{sampler}"
            );
        }
    }
}

#[test]
fn a_lost_run_is_not_saved() {
    let (plan, mut noise) = (plan("DPM++ 2M"), SeededNoise::new(0));
    let mut run = plan.start_from(start(2), &mut noise).unwrap();
    let answer = || Prediction::noise(start::<f64>(2) * f64::NAN);
    run.supply(answer(), &mut noise).unwrap_err();
    run.save().unwrap();
    run.advance(answer(), &mut noise).unwrap_err();
    let text = "the state of a run that was lost by an error is missing, a saved run needs it";
    assert_eq!(run.save().unwrap_err().to_string(), text);
}

/// A tensor type without serde is stored by its numbers.
#[test]
fn states_become_numbers_and_back() {
    let (plan, run) = (plan("UniPC"), saved("UniPC", 4));
    let numbers = run
        .clone()
        .try_map(|x| Ok::<_, Error>(x.into_raw_vec_and_offset().0))
        .unwrap();
    let text = serde_json::to_string(&numbers).unwrap();
    let numbers: SavedRun<Batch, Vec<f64>> = serde_json::from_str(&text).unwrap();
    let back = numbers
        .try_map(|x| Array2::from_shape_vec((2, 3), x))
        .unwrap();
    assert_eq!(back, run);
    plan.resume(back.clone()).unwrap();
    assert_eq!(
        (back.plan(), back.evaluations_done(), back.shown().dim()),
        (plan.fingerprint(), 4, (2, 3))
    );
}

#[test]
fn stored_sources_are_checked() {
    let stored = serde_json::to_value(TorchCpu::new(3)).unwrap();
    let read = |value: serde_json::Value| serde_json::from_value::<TorchCpu>(value);
    assert_eq!(read(stored.clone()).unwrap(), TorchCpu::new(3));
    let with = |key: &str, value: serde_json::Value| {
        let mut other = stored.clone();
        other[key] = value;
        read(other).unwrap_err().to_string()
    };
    let text = "the words of a Mersenne Twister has shape [3], expected [624]";
    assert_eq!(with("words", serde_json::json!([1, 2, 3])), text);
    let text = "words that a Mersenne Twister has given is 625, allowed: 0 to 624";
    assert_eq!(with("given", 625.into()), text);
    let stored = serde_json::json!({"key": [1, 2], "round": 3, "threads": 0});
    let error = serde_json::from_value::<TorchCuda>(stored)
        .unwrap_err()
        .to_string();
    assert_eq!(error, "threads of a GPU is 0, allowed: 256 or more");
    assert!(
        serde_json::from_str::<SeededNoise>(r#"{"keys": {"Items": [1]}, "draw": 2, "x": 1}"#)
            .is_err()
    );
}

/// Of a schedule in time, with what its network is given.
#[test]
fn plans_of_every_clock_have_fingerprints() {
    fn of<S: NoiseSchedule>(schedule: &S) -> u64
    where
        S::Time: Clock,
    {
        let sampler = Sampler::from_name("Euler").unwrap();
        sampler.plan(schedule, 5).unwrap().fingerprint()
    }
    use gaussian_diffusion::schedule::{Cosine, Edm, RectifiedFlow};
    let all = [
        of(&Cosine),
        of(&Edm::default()),
        of(&RectifiedFlow),
        of(&Discrete::cosine(1000).unwrap()),
    ];
    for (i, one) in all.iter().enumerate() {
        assert!(all[..i].iter().all(|other| other != one), "{all:?}");
    }
}

/// A job that keeps known parts, by hand: its edit is stored with it, the noise that it holds included.
#[test]
fn edits_that_remember_are_stored() {
    type Keeps = Inpaint<Array2<f64>, SeededNoise>;
    let plan = plan("DPM++ 2M");
    let known = Known::new(start(2), array![[1.0, 0.5, 0.0], [0.3, 1.0, 0.0]]).unwrap();
    let fresh = Inpaint::new(known, SeededNoise::new(4));
    let mut net = predicts::noise(|x: &Batch, _: Point<Step>| 0.2 * x);
    for inpaint in [fresh.clone(), fresh.with_held_noise()] {
        let mut edit = inpaint.clone();
        let mut noise = SeededNoise::new(1);
        let whole = plan
            .sample_edited(start(2), &mut net, &mut edit, &mut noise)
            .unwrap();
        let (mut edit, mut noise) = (inpaint, SeededNoise::new(1));
        let mut run = plan.start_from(start(2), &mut noise).unwrap();
        run.edit(&mut edit).unwrap();
        while let Some((x, at)) = run.pending() {
            let answer = net.predict(x, at).unwrap();
            run.supply(answer, &mut noise).unwrap();
            run.edit(&mut edit).unwrap();
            let text = serde_json::to_string(&(run.save().unwrap(), &edit, &noise)).unwrap();
            let read: (SavedRun<Batch>, Keeps, SeededNoise) = serde_json::from_str(&text).unwrap();
            (run, edit, noise) = (plan.resume(read.0).unwrap(), read.1, read.2);
        }
        assert_eq!(bits(&run.into_state()), bits(&whole));
    }
    let known = |values: Batch, weights: Batch| {
        let text = serde_json::json!({"values": values, "weights": weights}).to_string();
        serde_json::from_str::<Known<Array2<f64>>>(&text)
            .unwrap_err()
            .to_string()
    };
    let error = known(start(1), array![[0.0, 2.0, 0.0]]);
    assert!(
        error.starts_with("weights of the mask[1] is 2, allowed: 0 to 1"),
        "{error}"
    );
    let mut stored = serde_json::to_value(Inpaint::new(
        Known::new(start::<f64>(1), start(1)).unwrap(),
        SeededNoise::new(4),
    ))
    .unwrap();
    stored["first"] = serde_json::to_value(start::<f64>(2)).unwrap();
    let error = serde_json::from_value::<Keeps>(stored)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("known data has shape [1, 3], expected [2, 3]"),
        "{error}"
    );
}

/// What a file says of a memory, of draws and of places costs nothing.
#[test]
fn stored_numbers_of_any_size() {
    let plan = plan("DPM++ 2M SDE");
    let mut stored = serde_json::to_value(&plan).unwrap();
    stored["memory"] = usize::MAX.into();
    let long: Plan<Step> = serde_json::from_value(stored.clone()).unwrap();
    let run = changed(&cut(&long, 3), "draws", u64::MAX.into());
    let mut noise = SeededNoise::new(0).with_first_draw(u64::MAX);
    let run = long.resume(run).unwrap();
    run.sample(&mut network::<f64>(), &mut noise).unwrap();
    stored["stages"][2]["point"]["evaluation"] = 7.into();
    let error = serde_json::from_value::<Plan<Step>>(stored)
        .unwrap_err()
        .to_string();
    assert_eq!(error, "evaluations[2] is 7, allowed: 2, its place");
    let run = changed(&cut(&plan, 3), "evaluations_done", usize::MAX.into());
    assert!(plan.resume(run).is_err());
}

/// Levels, and which number is of which update, are seen too.
#[test]
fn a_fingerprint_sees_levels_and_how_numbers_are_grouped() {
    use gaussian_diffusion::{
        Parameterization, ReverseStep, UpdateNoise,
        schedule::Cosine,
        solver::{At, Path, Stage, Update},
    };
    #[derive(Debug)]
    struct Fixed([Update; 2]);
    impl ReverseStep for Fixed {
        fn stages(&self, _: &Path<'_>) -> Result<Vec<Stage>, Error> {
            let [commit, trial] = self.0.clone();
            let stage = Stage::new(At::From, Parameterization::X0).with_trial(trial);
            Ok(vec![stage.with_commit(commit)])
        }

        fn name(&self) -> &str {
            "fixed"
        }
    }
    let grid = |end: f64| {
        let time = gaussian_diffusion::Time::new(0.5).unwrap();
        let grid = gaussian_diffusion::Grid::at(&Cosine, &[time]).unwrap();
        grid.ending_at(gaussian_diffusion::NoiseLevel::new(1.0, end).unwrap())
            .unwrap()
    };
    let update = |state, model: &[f64], std| {
        Update::new(state)
            .with_model(model)
            .with_noise(UpdateNoise::Std(std))
    };
    let of = |updates, end| {
        let plan = Plan::new(&Cosine, &grid(end), &Fixed(updates)).unwrap();
        plan.fingerprint()
    };
    let one = || [update(1.0, &[2.0], 3.0), update(4.0, &[], 5.0)];
    let other = || [update(1.0, &[], 2.0), update(3.0, &[4.0], 5.0)];
    assert_eq!(of(one(), 0.1), of(one(), 0.1));
    assert_ne!(of(one(), 0.1), of(other(), 0.1));
    assert_ne!(of(one(), 0.1), of(one(), 0.2));
}

/// Noise before a step takes a run back up to where the step begins; it takes none down.
#[test]
fn a_stored_plan_goes_back_up_alone() {
    use gaussian_diffusion::{
        Grid,
        schedule::Discrete,
        solver::{Churn, Ddim},
    };
    let schedule = Discrete::stable_diffusion().unwrap();
    let grid = Grid::trailing(&schedule, 4).unwrap();
    let churn = Churn::new(Ddim::default(), 2.0).unwrap();
    let plan = Plan::new(&schedule, &grid, &churn).unwrap();
    assert!(plan.stages()[1].stage.renoise.is_some());
    let ending = |first: usize| {
        let mut stored = serde_json::to_value(&plan).unwrap();
        stored["stages"][0]["point"]["to"] =
            serde_json::to_value(schedule.levels()[first]).unwrap();
        serde_json::from_value::<Plan<Step>>(stored).is_ok()
    };
    // The first step goes from step 999 to 749, where the second begins.
    assert!(ending(749) && ending(600));
    assert!(!ending(800) && !ending(999));
}
