//! Plans, runs, generators, grids and configurations as they are stored, with any part replaced, and any text.

#![no_main]

use std::sync::OnceLock;

use arbitrary::{Arbitrary, Result, Unstructured};
use gaussian_diffusion::{
    Error, Grid, Plan, Prediction, Sampler, SavedRun, SeededNoise, Step,
    config::{SchedulerConfig, Timestep},
    likelihood::PlannedFlow,
    noise::{BrownianPath, NoiseSource, TorchCuda},
    plan::Moments,
    predicts,
    schedule::Discrete,
};
use gaussian_diffusion_fuzz::{Count, Number, is_cheap};
use libfuzzer_sys::fuzz_target;
use ndarray::{Array1, array};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Plans by name, of which stored runs are runs.
const NAMES: [&str; 8] = [
    "DDIM",
    "Euler a",
    "Heun",
    "DPM++ 2M SDE Karras",
    "UniPC",
    "sa_solver",
    "DPM++ SDE",
    "DDPM",
];

fn plan(name: &str) -> core::result::Result<Plan<Step>, Error> {
    let schedule = Discrete::constant(50, 0.1)?;
    name.parse::<Sampler>()?.plan(&schedule, 2)
}

fn plans() -> &'static [Plan<Step>] {
    static PLANS: OnceLock<Vec<Plan<Step>>> = OnceLock::new();
    PLANS.get_or_init(|| NAMES.map(|name| plan(name).expect("a plan")).into())
}

/// Something valid of every kind: runs and what they need first, one for each plan.
fn originals() -> &'static [Value] {
    static ORIGINALS: OnceLock<Vec<Value>> = OnceLock::new();
    ORIGINALS.get_or_init(|| {
        let begun = |plan: &Plan<Step>| {
            let mut noise = SeededNoise::new(1);
            let mut run = plan
                .start_from(array![0.5, -1.0], &mut noise)
                .expect("a run");
            for _ in 0..2 {
                if run.pending().is_some() {
                    let answer = Prediction::x0(array![0.1, 0.2]);
                    run.supply(answer, &mut noise).expect("an answer");
                }
            }
            json!(run.save().expect("a run"))
        };
        let mut all: Vec<_> = plans().iter().map(begun).collect();
        all.extend(plans().iter().map(|plan| json!(plan)));
        let again = plan("DDIM").and_then(|plan| plan.resampled(2, 2));
        all.push(json!(again.expect("a plan")));
        let schedule = Discrete::constant(50, 0.1).expect("a schedule");
        all.push(json!(Grid::karras(&schedule, 4).expect("a grid")));
        let file = r#"{"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": true}"#;
        all.push(json!(SchedulerConfig::from_json(file).expect("a file")));
        let file = r#"{"_class_name": "RePaintScheduler"}"#;
        all.push(json!(SchedulerConfig::from_json(file).expect("a file")));
        all.push(json!(TorchCuda::new(1)));
        all.push(json!(SeededNoise::per_item(vec![1, 2])));
        all
    })
}

fn value(u: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match u.int_in_range(0..=8)? {
        0 => Value::Null,
        1 => json!(bool::arbitrary(u)?),
        2 => json!(Count::arbitrary(u)?.0),
        3..=5 => match Number::arbitrary(u)?.0 {
            number if is_cheap(number) => json!(number),
            _ => Value::Null,
        },
        6 => json!(*u.choose(&["inf", "-inf", "nan", "From", "To", "Noise", "X0", "Learned"])?),
        7 => json!([]),
        _ => json!({}),
    })
}

/// Changes one place below this one.
fn change(u: &mut Unstructured<'_>, at: &mut Value) -> Result<()> {
    let stop = u.ratio(1, 12)?;
    match at {
        Value::Object(map) if !stop && !map.is_empty() => {
            let place = u.choose_index(map.len())?;
            if u.ratio(1, 24)? {
                let key = map.keys().nth(place).cloned();
                key.and_then(|key| map.remove(&key));
                return Ok(());
            }
            match map.values_mut().nth(place) {
                Some(inner) => change(u, inner),
                None => Ok(()),
            }
        }
        Value::Array(list) if !stop && !list.is_empty() => {
            let place = u.choose_index(list.len())?;
            match u.int_in_range(0..=15)? {
                0 => {
                    list.remove(place);
                }
                1 => list.insert(place, list[place].clone()),
                2 => list.swap(0, place),
                3 => list.truncate(place),
                _ => return change(u, &mut list[place]),
            }
            Ok(())
        }
        Value::Number(number) if u.ratio(1, 2)? => {
            // A little more or less.
            let near = number.as_f64().unwrap_or(0.0) * (1.0 + f64::from(i8::arbitrary(u)?) / 64.0);
            if is_cheap(near) {
                *at = match number.is_f64() {
                    true => json!(near),
                    false => json!(near.abs() as u64),
                };
            }
            Ok(())
        }
        other => {
            *other = value(u)?;
            Ok(())
        }
    }
}

/// Reads a value as it is or, now and then, from its text.
fn read<T: Serialize + DeserializeOwned + PartialEq>(
    u: &mut Unstructured<'_>,
    value: &Value,
) -> Result<Option<T>> {
    if !u.ratio(1, 16)? {
        return Ok(T::deserialize(value).ok());
    }
    let read = serde_json::from_str::<T>(&value.to_string()).ok();
    if let Some(read) = &read {
        let text = serde_json::to_string(read).expect("JSON");
        let twice: T = serde_json::from_str(&text).expect("what was written");
        assert!(*read == twice, "{text}");
    }
    Ok(read)
}

fn carried_out<T: Copy + std::fmt::Debug + PartialEq>(
    u: &mut Unstructured<'_>,
    plan: &Plan<T>,
) -> Result<()> {
    if plan.evaluations() > 64 {
        return Ok(());
    }
    if u.ratio(1, 8)? {
        let _ = format!("{plan:#}");
    }
    let of = |level| {
        let one = gaussian_diffusion::Variance::new(1.0).expect("1");
        gaussian_diffusion::plan::Affine::of_gaussian(0.5, one, level)
    };
    let _ = (
        plan.defect(),
        plan.carry(
            Moments {
                mean: 0.0,
                variance: 1.0,
            },
            of,
        ),
    );
    let _ = PlannedFlow::of(plan);
    let mut network = predicts::x0(|x: &Array1<f64>, _| x.mapv(|x| 0.5 * x));
    let start = array![0.5, -1.0];
    let mut path = BrownianPath::new(SeededNoise::new(1));
    let _ = match u.ratio(1, 8)? {
        true => plan.sample(start, &mut network, &mut path),
        false => plan.sample(start, &mut network, &mut SeededNoise::new(1)),
    };
    let (Count(length), Count(times)) = Arbitrary::arbitrary(u)?;
    if let Ok(longer) = plan.resampled(length, times) {
        let _ = longer.then(plan.clone());
    }
    Ok(())
}

fn all(u: &mut Unstructured<'_>, value: &Value) -> Result<()> {
    if value.get("stages").is_some() {
        if let Some(plan) = read::<Plan<Step>>(u, value)? {
            carried_out(u, &plan)?;
        }
        return Ok(());
    }
    let mut network = predicts::x0(|x: &Array1<f64>, _| x.mapv(|x| 0.5 * x));
    if value.get("predictions").is_some() {
        if let Some(run) = read::<SavedRun<Array1<f64>>>(u, value)? {
            for plan in plans() {
                if let Ok(run) = plan.resume(run.clone()) {
                    let _ = run.sample(&mut network, &mut SeededNoise::new(1));
                }
            }
        }
        return Ok(());
    }
    let mut x = array![0.5, -1.0];
    if let Some(mut noise) = read::<TorchCuda>(u, value)? {
        let _ = noise.fill(&mut x);
    }
    if let Some(mut noise) = read::<SeededNoise>(u, value)? {
        let _ = noise.fill(&mut x);
    }
    if let Some(grid) = read::<Grid<Step>>(u, value)? {
        let _ = grid.inverted().with_truncated_times();
    }
    if let Some(config) = read::<SchedulerConfig>(u, value)?
        && let Ok(plan) = config.plan(Count::arbitrary(u)?.0 % 24)
    {
        let _ = read::<Plan<Timestep>>(u, &json!(plan));
        carried_out(u, &plan)?;
    }
    Ok(())
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    if u.ratio(1, 64)? {
        let text = <&str>::arbitrary(u)?;
        let _ = serde_json::from_str::<Plan<Step>>(text);
        return Ok(());
    }
    let mut value = u.choose(originals())?.clone();
    for _ in 0..u.int_in_range(0..=3)? {
        change(u, &mut value)?;
    }
    all(u, &value)
}

fuzz_target!(|data: &[u8]| {
    let _ = run(&mut Unstructured::new(data));
});
