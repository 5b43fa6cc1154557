//! Learned log-variances and layers that keep magnitudes: against EDM2's own code, and in closed form.

use gaussian_diffusion::{
    NoiseLevel, Parameterization, Sigma, SigmaData, State,
    rand::{SeedableRng, rngs::StdRng},
    training::{Uncertainty, Weight, magnitude, squared_error, uncertainty_loss},
};
use ndarray::{Array1, Array2, Array3, array};
use serde_json::Value;

fn reference() -> Value {
    serde_json::from_str(include_str!("reference/training.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

fn close<'a>(found: impl IntoIterator<Item = &'a f64>, wanted: &Value) {
    let (found, wanted): (Vec<_>, _) = (found.into_iter().collect(), numbers(wanted));
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.into_iter().zip(wanted) {
        assert!(
            (found - wanted).abs() < 1e-13 * (1.0 + wanted.abs()),
            "{found}, {wanted}"
        );
    }
}

fn inputs() -> (Array3<f64>, Array3<f64>) {
    let a = Array3::from_shape_fn((2, 3, 4), |(i, j, k)| {
        1.7 * (0.7 * (12 * i + 4 * j + k) as f64 + 0.3).sin()
    });
    let b = Array3::from_shape_fn((2, 2, 4), |(i, j, k)| {
        (1.1 * (8 * i + 4 * j + k) as f64).cos()
    });
    (a, b)
}

fn published() -> Uncertainty {
    let list = |f: fn(f64) -> f64| Array1::from_shape_fn(10, |i| f(i as f64));
    Uncertainty::of(
        list(|i| 1.4 * (2.3 * i + 1.0).sin()),
        list(|i| (0.37 * i + 0.11) % 1.0),
        list(|i| 0.8 * (1.3 * i + 0.4).sin() + 0.1),
    )
    .unwrap()
}

#[test]
fn layers_are_those_of_edm2() {
    let edm2 = &reference()["edm2"];
    let (a, b) = inputs();
    close(&a.mapv(magnitude::silu), &edm2["silu"]);
    close(
        &magnitude::normalized(&a, 1e-4).unwrap(),
        &edm2["normalize"],
    );
    let [own, other] = magnitude::sum(0.3).unwrap();
    let mut sum = a.select(ndarray::Axis(1), &[0, 1]);
    sum.combine(own, &[(other, &b)]).unwrap();
    close(&sum, &edm2["sum"]);
    let [of_a, of_b] = magnitude::concatenation([3, 2], 0.3).unwrap();
    let parts = [&a * of_a, &b * of_b];
    let side_by_side = ndarray::concatenate(ndarray::Axis(1), &[parts[0].view(), parts[1].view()]);
    close(&side_by_side.unwrap(), &edm2["cat"]);
}

#[test]
fn log_variances_and_their_gradient_are_those_of_edm2() {
    let edm2 = &reference()["edm2"];
    let (c, losses) = ([-1.2, -0.3, 0.1, 0.9], array![0.2, 1.3, 0.7, 4.0]);
    let uncertainty = published();
    close(&uncertainty.log_variances(&c), &edm2["u"]);
    let found = uncertainty.loss(&losses, &c).unwrap();
    close(&found.loss, &edm2["loss"]);
    close(&found.by_weights, &edm2["grad"]);
}

/// The weight of EDM, the noisy state and the division: the loss of one batch of EDM2's own.
#[test]
fn the_loss_is_that_of_edm2() {
    let edm2 = &reference()["edm2_loss"];
    let sigmas = numbers(&edm2["sigma"]);
    let images = Array2::from_shape_fn((3, 4), |(i, k)| 0.5 * (0.9 * (4 * i + k) as f64).sin());
    let x = Array2::from_shape_vec((3, 4), numbers(&edm2["x"])).unwrap();
    let errors = squared_error(&x.mapv(|x| 0.8 * x.tanh()), &images).unwrap();
    let level = |s: &f64| NoiseLevel::variance_exploding(Sigma::new(*s).unwrap()).unwrap();
    let levels: Vec<_> = sigmas.iter().map(level).collect();
    let weights = Weight::edm(SigmaData::EDM)
        .each(Parameterization::X0, &levels)
        .unwrap();
    let u = sigmas.iter().map(|s| 0.3 * s.sin()).collect();
    let found = uncertainty_loss(&(errors * Array1::from(weights)), &u).unwrap();
    close(&found.loss, &edm2["loss"]);
}

/// Slopes by central differences: errors about 1e-9.
#[test]
fn slopes_are_derivatives() {
    let (losses, u) = (array![0.5, 3.0], array![0.2, -0.7]);
    let found = uncertainty_loss(&losses, &u).unwrap();
    let h = 1e-5;
    for i in 0..2 {
        let loss = |l: f64, u: f64| l / u.exp() + u;
        let by_u = (loss(losses[i], u[i] + h) - loss(losses[i], u[i] - h)) / (2.0 * h);
        let by_l = (loss(losses[i] + h, u[i]) - loss(losses[i] - h, u[i])) / (2.0 * h);
        assert!((found.by_log_variance[i] - by_u).abs() < 1e-8);
        assert!((found.by_loss[i] - by_l).abs() < 1e-8);
    }
}

/// The least of the loss is at the logarithm of the expected loss: of normal data the error of the exact denoiser is
/// known at every level, and the learned weight brings each level's loss to 1.
#[test]
fn what_is_learned_is_the_logarithm_of_the_expected_loss() {
    let s = 0.9_f64;
    let sigmas: Vec<f64> = (0..48).map(|i| (0.1 * f64::from(i) - 2.8).exp()).collect();
    let conditioning: Vec<f64> = sigmas.iter().map(|sigma| sigma.ln() / 4.0).collect();
    let weighted: Array1<f64> = sigmas
        .iter()
        .map(|sigma| {
            let error = (s * sigma).powi(2) / (s * s + sigma * sigma);
            error * (sigma * sigma + 0.25) / (0.5 * sigma).powi(2)
        })
        .collect();
    let mut learned = Uncertainty::new(64, &mut StdRng::seed_from_u64(2)).unwrap();
    for _ in 0..3000 {
        let terms = learned.loss(&weighted, &conditioning).unwrap();
        learned.descend(&terms, 0.05).unwrap();
    }
    let terms = learned.loss(&weighted, &conditioning).unwrap();
    let scaled = weighted * &terms.by_loss;
    assert!(scaled.iter().all(|l| (l - 1.0).abs() < 0.02), "{scaled}");
    // Weights have kept magnitude 1, but for the epsilon.
    let weights = learned.weights();
    assert!((weights.dot(weights) / 64.0 - 1.0).abs() < 1e-3);
}

/// The magnitudes that the constants stand for, by the midpoint rule over standard normals.
#[test]
fn magnitudes_are_kept() {
    let (n, reach) = (20_000, 12.0);
    let mean_square = |f: &dyn Fn(f64) -> f64| -> f64 {
        let step = 2.0 * reach / f64::from(n);
        let at = |i: i32| (f64::from(i) + 0.5) * step - reach;
        let density = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        (0..n)
            .map(|i| f(at(i)).powi(2) * density(at(i)) * step)
            .sum()
    };
    assert!((mean_square(&magnitude::silu).sqrt() - 1.0).abs() < 1e-3);
    let [own, other] = magnitude::sum(0.3).unwrap();
    assert!((own.hypot(other) - 1.0).abs() < 1e-15);
    let [a, b] = magnitude::concatenation([3, 5], 0.2).unwrap();
    // The mean square of all eight, and the second's share of the sum of squares.
    assert!(((3.0 * a * a + 5.0 * b * b) / 8.0 - 1.0).abs() < 1e-15);
    assert!((5.0 * b * b / (3.0 * a * a) - (0.2_f64 / 0.8).powi(2)).abs() < 1e-14);
    let feature = |phase| magnitude::fourier(0.3, 1.7, phase).powi(2);
    let mean: f64 = (0..64).map(|i| feature(f64::from(i) / 64.0)).sum::<f64>() / 64.0;
    assert!((mean - 1.0).abs() < 1e-14);
    assert_eq!(magnitude::weight_scale(4).unwrap(), 0.5);
    // Any shape: no elements, zeros, half of them.
    assert_eq!(
        magnitude::normalized(&Array2::<f64>::zeros((2, 3)), 0.0).unwrap(),
        Array2::<f64>::zeros((2, 3))
    );
    assert_eq!(
        magnitude::normalized(&Array2::<f32>::zeros((2, 0)), 1e-4)
            .unwrap()
            .len(),
        0
    );
}

#[test]
fn bad_numbers_are_refused() {
    let message = |error: gaussian_diffusion::Error| error.to_string();
    assert_eq!(
        message(magnitude::sum(1.5).unwrap_err()),
        "share is 1.5, allowed: 0 to 1"
    );
    assert_eq!(
        message(magnitude::concatenation([0, 2], 0.5).unwrap_err()),
        "number of channels is 0, allowed: 1 or more"
    );
    assert!(magnitude::normalized(&array![1.0], f64::NAN).is_err());
    assert!(magnitude::weight_scale(0).is_err());
    let mut rng = StdRng::seed_from_u64(0);
    assert_eq!(
        message(Uncertainty::new(0, &mut rng).unwrap_err()),
        "number of features is 0, allowed: 1 to 65536"
    );
    let one = || array![1.0];
    assert!(Uncertainty::of(one(), one(), array![0.0]).is_err());
    assert!(Uncertainty::of(one(), array![1.0, 2.0], one()).is_err());
    assert!(Uncertainty::of(array![f64::NAN], one(), one()).is_err());
    let mut uncertainty = Uncertainty::new(4, &mut rng).unwrap();
    assert_eq!(
        message(uncertainty.loss(&array![1.0, 2.0], &[0.0]).unwrap_err()),
        "conditioning has 1 entries for a batch of 2"
    );
    assert_eq!(
        message(uncertainty_loss(&one(), &array![f64::NAN]).unwrap_err()),
        "log-variances[0] is NaN, allowed: -500 to 500"
    );
    assert!(uncertainty_loss(&one(), &array![1.0, 2.0]).is_err());
    let terms = uncertainty.loss(&array![f64::NAN], &[0.0]).unwrap();
    assert_eq!(
        message(uncertainty.descend(&terms, 0.1).unwrap_err()),
        "gradient[0] is NaN, allowed: a finite number"
    );
    let terms = uncertainty.loss(&one(), &[0.0]).unwrap();
    for bad in [0.0, -0.1, 1.0_f64.next_up(), f64::NAN] {
        assert_eq!(
            message(uncertainty.descend(&terms, bad).unwrap_err()),
            format!("rate is {bad}, allowed: above 0 and up to 1")
        );
    }
    assert!(uncertainty.clone().descend(&terms, 1.0).is_ok());
    let foreign = uncertainty_loss(&one(), &one()).unwrap();
    assert!(uncertainty.descend(&foreign, 0.1).is_err());
}
