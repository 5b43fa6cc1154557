//! The same bits for any number of threads (feature `rayon`).
#![cfg(feature = "rayon")]

use gaussian_diffusion::{
    Plan, Sampler, SeededNoise, State, Step,
    noise::{BrownianPath, NoiseSource, Scale},
    predicts,
    schedule::Discrete,
    state::Assignment,
};
use ndarray::{Array2, Array3, ShapeBuilder};

/// What `f` gives on so many threads.
fn on<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.unwrap().install(f)
}

fn bits(x: impl IntoIterator<Item = f32>) -> Vec<u32> {
    x.into_iter().map(f32::to_bits).collect()
}

/// Shapes whose halves are not halves of a block: few long items, many short ones, many of a few blocks, one.
const SHAPES: [(usize, usize); 5] = [
    (1, 700_001),
    (3, 400_003),
    (1000, 777),
    (250_000, 3),
    (700_000, 1),
];

#[test]
fn noise_is_the_same_on_any_number_of_threads() {
    for shape in SHAPES {
        let draw = |mut noise: Box<dyn NoiseSource<Array2<f32>> + Send>| {
            let mut x = Array2::<f32>::from_elem(shape, 0.5);
            let scales: Vec<_> = (0..shape.0).map(|i| 0.1 + (i % 7) as f64).collect();
            noise.add(&mut x, Scale::PerItem(&scales), None).unwrap();
            noise.fill(&mut x).unwrap();
            let y = x.clone();
            noise.add(&mut x, Scale::PerElement(&y), None).unwrap();
            bits(x)
        };
        let per_item: Vec<u64> = (0..shape.0 as u64).collect();
        let sources = || -> [Box<dyn NoiseSource<Array2<f32>> + Send>; 2] {
            [
                Box::new(SeededNoise::new(3)),
                Box::new(SeededNoise::per_item(per_item.clone())),
            ]
        };
        let one: Vec<_> = sources()
            .into_iter()
            .map(|noise| on(1, || draw(noise)))
            .collect();
        for threads in [2, 3, 8] {
            for (source, one) in sources().into_iter().zip(&one) {
                assert!(
                    on(threads, || draw(source)) == *one,
                    "{shape:?} on {threads}"
                );
            }
        }
    }
}

/// Of a tensor whose sums its library makes, as on a GPU, the numbers are drawn before they are added.
#[cfg(feature = "candle")]
#[test]
fn noise_of_tensors_is_the_same_on_any_number_of_threads() {
    use candle_core::{DType, Device, Tensor, Var};
    for shape in SHAPES {
        let mut array = Array2::<f32>::zeros(shape);
        SeededNoise::new(3).fill(&mut array).unwrap();
        let expected = bits(array);
        let draw = || {
            let x = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
            let mut x = Var::from_tensor(&x).unwrap().as_tensor().clone();
            SeededNoise::new(3).fill(&mut x).unwrap();
            bits(x.flatten_all().unwrap().to_vec1().unwrap())
        };
        for threads in [1, 2, 3, 8] {
            assert!(on(threads, draw) == expected, "{shape:?} on {threads}");
        }
    }
}

/// A sweep over three arrays that change and two that do not, larger than what one thread does alone.
#[test]
fn sweeps_are_the_same_on_any_number_of_threads() {
    let sweep = |fortran: bool| {
        let shape = (3, 1001, 1003);
        let array = |k: usize| {
            let number = |(a, b, c): (usize, usize, usize)| ((a + 7 * b + 13 * c + k) % 101) as f32;
            Array3::from_shape_fn(shape.set_f(fortran), number)
        };
        let [mut a, mut b, mut c] = [0, 1, 2].map(array);
        let (d, e) = (array(3), array(4));
        let finite = State::sweep(
            &mut [&mut a, &mut b, &mut c],
            &[&d, &e],
            &[
                Assignment::new(0, 0.3, &[(0.7, 1)]),
                Assignment::new(1, -0.1, &[(0.5, 0), (0.25, 3), (1.5, 4)]),
                Assignment::new(2, 0.0, &[(0.9, 1), (0.1, 0)]).with_bounds(-20.0, 20.0),
            ],
        );
        (finite.unwrap(), [bits(a), bits(b), bits(c)])
    };
    for fortran in [false, true] {
        let one = on(1, || sweep(fortran));
        assert!(one.0);
        for threads in [2, 5] {
            assert!(on(threads, || sweep(fortran)) == one, "on {threads}");
        }
    }
}

#[test]
fn runs_are_the_same_on_any_number_of_threads() {
    let schedule = Discrete::stable_diffusion().unwrap();
    for name in ["Euler a", "DPM++ 2M SDE", "UniPC", "DPM++ SDE"] {
        let plan: Plan<Step> = Sampler::from_name(name)
            .unwrap()
            .plan(&schedule, 4)
            .unwrap();
        let run = || {
            let mut noise = BrownianPath::new(SeededNoise::new(5));
            let x: Array2<f32> = plan.prior((2, 300_007), &mut noise).unwrap();
            let mut net = predicts::noise(|x: &Array2<f32>, _| x.mapv(|x| 0.3 * x));
            bits(plan.sample(x, &mut net, &mut noise).unwrap())
        };
        let one = on(1, run);
        assert!(on(3, run) == one, "{name}");
    }
}

/// A NaN anywhere is seen, whichever thread has it.
#[test]
fn every_thread_watches() {
    let length = 3_000_000;
    for place in [0, 5, length / 2, length - 1] {
        let (mut x, y) = (
            Array2::<f32>::ones((1, length)),
            Array2::<f32>::ones((1, length)),
        );
        x[[0, place]] = f32::NAN;
        let assignment = [Assignment::new(0, 0.5, &[(0.5, 1)])];
        let finite = on(2, || {
            State::sweep(&mut [&mut x], &[&y, &y, &y], &assignment)
        });
        assert!(!finite.unwrap(), "at {place}");
    }
}
