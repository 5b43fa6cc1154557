//! A step allocates nothing: counted by an allocator.

use allocation_counter::measure;
use gaussian_diffusion::{
    ForwardProcess, Plan, Prediction, Sampler, SeededNoise, Step,
    noise::{BrownianPath, NoiseSource},
    sampler::SolverName,
    schedule::Discrete,
};
use ndarray::Array3;

type Batch = Array3<f32>;

/// Steps through a run with the arrays that it gives back, or with those of a pool until it gives
/// some, and counts what each step allocates.
fn steps<N: NoiseSource<Batch>>(plan: &Plan<Step>, noise: &mut N, careful: bool) -> Vec<u64> {
    let start = Batch::from_shape_fn((3, 5, 300), |(i, j, k)| {
        0.1 * i as f32 - 0.2 * j as f32 + 0.001 * k as f32
    });
    let mut pool: Vec<_> = (0..plan.evaluations()).map(|_| start.clone()).collect();
    pool.reserve(plan.evaluations());
    let mut run = plan.start_from(start, noise).unwrap();
    let mut counts = Vec::new();
    while run.pending().is_some() {
        let mut answer = pool.pop().unwrap();
        answer.fill(0.25);
        let answer = Prediction::noise(answer);
        let mut result = Ok(None);
        let counted = measure(|| {
            result = match careful {
                true => run.supply(answer, noise).map(|()| None),
                false => run.advance(answer, noise),
            };
        });
        pool.extend(result.unwrap());
        counts.push(counted.count_total);
    }
    counts
}

/// All named samplers. A run first makes the places of a trial point and of what it goes back to when an answer
/// that was supplied with care is refused; after that it has them.
#[test]
fn steps_allocate_nothing_once_they_have_their_arrays() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let alone = |sampler: &Sampler| !sampler.solver().needs_cfg_plus_plus();
    for sampler in Sampler::all().filter(alone) {
        let Ok(plan) = sampler.plan(&schedule, 12) else {
            continue;
        };
        // With its second evaluations SA-Solver first draws noise a step later, which is two evaluations.
        let settled = match sampler.solver() {
            SolverName::SaSolverPece => 6,
            _ => 4,
        };
        for careful in [false, true] {
            let seeded = steps(&plan, &mut SeededNoise::new(1), careful);
            let path = steps(&plan, &mut BrownianPath::new(SeededNoise::new(1)), careful);
            for counts in [seeded, path] {
                let (first, rest) = counts.split_at(settled.min(counts.len()));
                assert!(first.iter().sum::<u64>() <= 4, "{sampler}: {counts:?}");
                assert!(
                    rest.iter().all(|&count| count == 0),
                    "{sampler}: {counts:?}"
                );
            }
        }
    }
}

/// In half precision what is kept and what is shown have their arrays too, and an answer comes back at once.
#[cfg(feature = "half")]
#[test]
fn steps_in_half_precision_allocate_nothing_once_they_have_their_arrays() {
    use half::bf16;
    let schedule = Discrete::stable_diffusion().unwrap();
    for name in ["DDPM", "Heun", "UniPC", "DPM++ 2M SDE", "LMS"] {
        let plan = Sampler::from_name(name)
            .unwrap()
            .plan(&schedule, 12)
            .unwrap();
        for careful in [false, true] {
            let mut noise = SeededNoise::new(1);
            let start: Array3<bf16> = plan.prior((3, 5, 300), &mut noise).unwrap();
            let mut pool: Vec<_> = (0..plan.evaluations()).map(|_| start.clone()).collect();
            let mut run = plan.start_from(start, &mut noise).unwrap();
            let mut counts = Vec::new();
            while run.pending().is_some() {
                let answer = Prediction::noise(pool.pop().unwrap());
                let counted = measure(|| match careful {
                    true => run.supply(answer, &mut noise).unwrap(),
                    false => assert!(run.advance(answer, &mut noise).unwrap().is_some()),
                });
                counts.push(counted.count_total);
            }
            let (first, rest) = counts.split_at(5);
            assert!(first.iter().sum::<u64>() <= 8, "{name}: {counts:?}");
            assert!(rest.iter().all(|&count| count == 0), "{name}: {counts:?}");
        }
    }
}

/// What the counter counts: the test above can fail.
#[test]
fn an_allocation_is_counted() {
    assert_eq!(
        measure(|| drop(std::hint::black_box(vec![0_u8; 100]))).count_total,
        1
    );
}

#[test]
fn jumps_into_arrays_allocate_lists_of_levels_alone() {
    let schedule = Discrete::cosine(1000).unwrap();
    let x0 = Batch::ones((4, 100, 100));
    let (mut xt, mut eps) = (x0.clone(), x0.clone());
    let times: Vec<_> = (0..4).map(|i| Step::new(200 * i)).collect();
    let mut noise = SeededNoise::new(3);
    let counted = measure(|| {
        schedule
            .draw_jump_into(&x0, &times, &mut noise, &mut xt, &mut eps)
            .unwrap();
    });
    // Levels, their scales, and zeros: four numbers for each item, whatever the items hold.
    assert!(counted.bytes_max < 1000, "{} bytes", counted.bytes_max);
}
