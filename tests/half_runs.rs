//! Runs on arrays of half precision (feature `half`): the error is that of rounding once, not once a step.
#![cfg(feature = "half")]

use gaussian_diffusion::{
    Denoiser, Error, Grid, Parameterization, Plan, Point, Prediction, Sampler, SeededNoise, Step,
    editing::Inversion, schedule::Discrete, solver::Ddim, state::Real,
};
use half::{bf16, f16};
use ndarray::Array2;

const MEAN: f64 = 0.2;
const VARIANCE: f64 = 0.25;

/// Half a unit in the last place, relative to a number.
trait Half: Real {
    const ROUNDING: f64;
}

impl Half for f16 {
    const ROUNDING: f64 = 1.0 / 2048.0;
}

impl Half for bf16 {
    const ROUNDING: f64 = 1.0 / 256.0;
}

/// The exact denoiser of `N(MEAN, VARIANCE)`, which sees and says numbers of the array's type.
struct Exact(Parameterization);

impl<A: Real> Denoiser<Array2<A>, Step> for Exact {
    fn predict(&mut self, x: &Array2<A>, at: Point<Step>) -> Result<Prediction<Array2<A>>, Error> {
        let (alpha, sigma) = (at.level.alpha(), at.level.sigma());
        let gain = VARIANCE * alpha / (alpha * alpha * VARIANCE + sigma * sigma);
        let map = Parameterization::X0.to(self.0, at.level)?;
        let value = x.mapv(|x| {
            let x0 = MEAN + gain * (x.get() - alpha * MEAN);
            A::of(map.state * x.get() + map.prediction * x0)
        });
        Ok(Prediction::new(value, self.0))
    }
}

/// Root mean square of the error against the same run in f64, in roundings of the type at the size of the
/// result; and the deviation of both.
fn off<A: Half>(plan: &Plan<Step>, net: Parameterization, invert: bool) -> (f64, f64, f64) {
    let shape = (64, 64);
    let std = if invert { 0.5 } else { plan.prior_std() };
    let mut start = Array2::<A>::from_elem(shape, A::of(if invert { MEAN } else { 0.0 }));
    use gaussian_diffusion::noise::{NoiseSource, Scale};
    SeededNoise::new(3)
        .add(&mut start, Scale::Same(std), None)
        .unwrap();
    let double = start.mapv(|x| x.get());
    let (half, double) = match invert {
        true => {
            let mut net = Inversion::new(Exact(net));
            let a = plan
                .sample(start, &mut net, &mut SeededNoise::new(8))
                .unwrap();
            (
                a,
                plan.sample(double, &mut net, &mut SeededNoise::new(8))
                    .unwrap(),
            )
        }
        false => {
            let mut net = Exact(net);
            let a = plan
                .sample(start, &mut net, &mut SeededNoise::new(8))
                .unwrap();
            (
                a,
                plan.sample(double, &mut net, &mut SeededNoise::new(8))
                    .unwrap(),
            )
        }
    };
    let n = half.len() as f64;
    let square: f64 = half
        .iter()
        .zip(&double)
        .map(|(a, b)| (a.get() - b).powi(2))
        .sum();
    let size: f64 = double.iter().map(|b| b * b).sum();
    let half = half.mapv(|x| x.get());
    (
        (square / size).sqrt() / A::ROUNDING * (n / n),
        half.std(0.0),
        double.std(0.0),
    )
}

#[test]
fn measure() {
    let schedule = Discrete::stable_diffusion().unwrap();
    for name in [
        "DDIM",
        "DDPM",
        "Euler",
        "Euler a",
        "Heun",
        "DPM++ 2M Karras",
        "DPM++ 2M",
        "DPM++ 2M SDE",
        "DPM++ 3M SDE",
        "DPM++ SDE",
        "UniPC",
        "LMS",
        "ipndm",
        "deis",
    ] {
        let Ok(sampler) = Sampler::from_name(name) else {
            println!("no {name}");
            continue;
        };
        for n in [20, 200, 1000] {
            let Ok(plan) = sampler.plan(&schedule, n) else {
                println!("no {name} {n}");
                continue;
            };
            for net in [
                Parameterization::Noise,
                Parameterization::X0,
                Parameterization::Velocity,
            ] {
                let a = off::<bf16>(&plan, net, false);
                let b = off::<f16>(&plan, net, false);
                println!(
                    "{name:16} {n:5} {net:?} bf16 {:.3} std {:.4} of {:.4}; f16 {:.3}",
                    a.0, a.1, a.2, b.0
                );
            }
        }
    }
    for n in [20, 200, 1000] {
        let grid = Grid::trailing(&schedule, n).unwrap();
        let plan = Plan::new(&schedule, &grid.inverted(), &Ddim::default()).unwrap();
        for net in [
            Parameterization::Noise,
            Parameterization::X0,
            Parameterization::Velocity,
        ] {
            let a = off::<bf16>(&plan, net, true);
            let b = off::<f16>(&plan, net, true);
            println!(
                "inversion {n:5} {net:?} bf16 {:.3} std {:.4} of {:.4}; f16 {:.3}",
                a.0, a.1, a.2, b.0
            );
        }
    }
}
