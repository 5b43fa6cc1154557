//! The law of the points is known, and with it the best network and the samples.

use gaussian_diffusion::{GaussianMixture, NoiseSchedule, burn};
use ndarray::Array2;

use super::*;

const BATCHES: usize = 300;
const COUNT: usize = 1000;

fn rows(x: &Tensor<2>) -> Vec<[f64; 2]> {
    let numbers: Vec<f64> = x.to_data().iter::<f64>().collect();
    numbers.chunks(2).map(|row| [row[0], row[1]]).collect()
}

/// Over the same batch as the network, what the best answer to it is off by.
fn losses(net: &Net, schedule: &Discrete) -> [f64; 2] {
    let law = GaussianMixture::isotropic(&[(0.5, [1.0, 0.5], 0.16), (0.5, [-1.0, -0.5], 0.16)]);
    let law = law.unwrap();
    let mut noise = SeededNoise::new(5);
    let x0 = points(COUNT, &mut noise, &Device::flex()).unwrap();
    let times: Vec<_> = (0..COUNT).map(Step::new).collect();
    let (xt, eps) = schedule.draw_jump(&x0, &times, &mut noise).unwrap();
    let target = schedule
        .target(Parameterization::Velocity, &x0, &times, &eps)
        .unwrap();
    let said = rows(&net.forward(xt.clone(), &times));
    let (mut of_net, mut of_law) = (0.0, 0.0);
    for (((x, target), said), time) in rows(&xt).iter().zip(rows(&target)).zip(said).zip(times) {
        let level = schedule.level(time).unwrap();
        let mean = law.posterior_mean(x, level).unwrap();
        for i in 0..2 {
            // v = alpha eps - sigma x_0, and x = alpha x_0 + sigma eps.
            let best = (level.alpha() * x[i] - mean[i]) / level.sigma();
            of_net += (said[i] - target[i]).powi(2);
            of_law += (best - target[i]).powi(2);
        }
    }
    [of_net, of_law].map(|sum| sum / (2 * COUNT) as f64)
}

#[test]
fn a_network_is_trained_and_draws_what_it_saw() {
    let (schedule, device) = (Discrete::cosine(1000).unwrap(), Device::flex().autodiff());
    device.seed(1);
    let [before, best] = losses(&Net::new(&Device::flex()), &schedule);
    let net = train(&schedule, BATCHES, &device).unwrap();
    let [after, _] = losses(&net, &schedule);
    println!("loss {before:.4} at first, {after:.4} at last, {best:.4} at best");
    // Measured: 1.21 times the best at first, 1.02 times at last.
    assert!(before > 1.1 * best && after < 1.06 * best);

    let drawn = rows(&sample(&net, &schedule, COUNT).unwrap());
    for side in [1.0, -1.0] {
        let own: Vec<_> = drawn.iter().filter(|row| row[0] * side > 0.0).collect();
        let n = own.len() as f64;
        println!("{n} points");
        // Half of them, within four deviations of a fair coin.
        assert!((n - COUNT as f64 / 2.0).abs() < 2.0 * (COUNT as f64).sqrt());
        for (i, center) in [1.0, 0.5].into_iter().enumerate() {
            let mean = own.iter().map(|row| row[i]).sum::<f64>() / n;
            let variance = own.iter().map(|row| (row[i] - mean).powi(2)).sum::<f64>() / n;
            println!("mean {mean:.3}, deviation {:.3}", variance.sqrt());
            assert!((mean - side * center).abs() < 0.15);
            assert!((variance.sqrt() - 0.4).abs() < 0.15);
        }
    }
}

/// The network behind arrays draws the same points to the bit.
#[test]
fn the_state_may_be_an_array() {
    let (schedule, device) = (Discrete::cosine(1000).unwrap(), Device::flex());
    device.seed(1);
    let net = Net::new(&device);
    let tensors = sample(&net, &schedule, 5).unwrap();

    let plan = Sampler::from_name("DPM++ 2M")
        .unwrap()
        .plan(&schedule, 20)
        .unwrap();
    let network =
        predicts::velocity(|x: &Tensor<2>, at: Point<Step>| net.forward(x.clone(), &[at.time; 5]));
    let mut network = burn::network(network, &device, ::burn::tensor::FloatDType::F32);
    let mut noise = SeededNoise::new(4);
    let start: Array2<f32> = plan.prior((5, 2), &mut noise).unwrap();
    let arrays = plan.sample(start, &mut network, &mut noise).unwrap();
    let tensors: Vec<f32> = tensors.to_data().iter::<f32>().collect();
    assert_eq!(tensors, arrays.into_raw_vec_and_offset().0);
}
