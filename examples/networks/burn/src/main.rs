//! `cargo run --release -p with-burn`: a network of burn, trained and sampled, its tensors the states.

#[cfg(test)]
mod tests;

use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::{prelude::*, tensor::activation::silu};
use gaussian_diffusion::noise::{NoiseSource, Scale};
use gaussian_diffusion::rand::{SeedableRng, rngs::StdRng};
use gaussian_diffusion::training::times::{TimeSampler, UniformStep, Uniforms};
use gaussian_diffusion::{Error, ForwardProcess, Parameterization, Point, Sampler, SeededNoise};
use gaussian_diffusion::{Step, predicts, schedule::Discrete, training::squared_error};

/// Is shown points of the plane, each with its time, and says their velocity.
#[derive(Module, Debug)]
struct Net {
    layers: [Linear; 3],
}

impl Net {
    fn new(device: &Device) -> Self {
        let layer = |[from, to]: [usize; 2]| LinearConfig::new(from, to).init(device);
        let layers = [[6, 64], [64, 64], [64, 2]].map(layer);
        Self { layers }
    }

    fn forward(&self, x: Tensor<2>, times: &[Step]) -> Tensor<2> {
        let angles = times
            .iter()
            .map(|t| std::f64::consts::PI * t.get() / 1000.0);
        let waves = angles.flat_map(|a| [a.sin(), a.cos(), (2.0 * a).sin(), (2.0 * a).cos()]);
        let waves = TensorData::new(waves.collect(), [times.len(), 4]);
        let waves = Tensor::from_data(waves, &x.device());
        let [enter, middle, leave] = &self.layers;
        let h = silu(enter.forward(Tensor::cat(vec![x, waves], 1)));
        leave.forward(silu(middle.forward(h)))
    }
}

/// Two clouds of points with a deviation of 0.4, half of them at (1, 0.5) and half at (-1, -0.5).
fn points(count: usize, noise: &mut SeededNoise, device: &Device) -> Result<Tensor<2>, Error> {
    let centers = (0..count).flat_map(|i| [[1.0, 0.5], [-1.0, -0.5]][i % 2]);
    let mut points = Tensor::from_data(TensorData::new(centers.collect(), [count, 2]), device);
    noise.add(&mut points, Scale::Same(0.4), None)?;
    Ok(points)
}

fn train(schedule: &Discrete, batches: usize, device: &Device) -> Result<Net, Error> {
    let (mut net, mut optimizer) = (Net::new(device), AdamConfig::new().init());
    let (mut noise, mut rng) = (SeededNoise::new(2), StdRng::seed_from_u64(3));
    for _ in 0..batches {
        let x0 = points(128, &mut noise, device)?;
        let times = UniformStep::new(schedule.len())?.draw(Uniforms::Stratified, 128, &mut rng)?;
        let (xt, eps) = schedule.draw_jump(&x0, &times.times, &mut noise)?;
        let target = schedule.target(Parameterization::Velocity, &x0, &times.times, &eps)?;
        let loss = squared_error(&net.forward(xt, &times.times), &target)?.mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &net);
        net = optimizer.step(1e-2, net, gradients);
    }
    Ok(net)
}

fn sample(net: &Net, schedule: &Discrete, count: usize) -> Result<Tensor<2>, Error> {
    let plan = Sampler::from_name("DPM++ 2M")?.plan(schedule, 20)?;
    let network = |x: &Tensor<2>, at: Point<Step>| net.forward(x.clone(), &vec![at.time; count]);
    let (mut net, mut noise) = (predicts::velocity(network), SeededNoise::new(4));
    let like = Tensor::zeros([count, 2], &Device::flex());
    plan.sample(plan.prior_like(&like, &mut noise)?, &mut net, &mut noise)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schedule = Discrete::cosine(1000)?;
    let net = train(&schedule, 1000, &Device::flex().autodiff())?;
    println!("{}", sample(&net, &schedule, 8)?);
    Ok(())
}
