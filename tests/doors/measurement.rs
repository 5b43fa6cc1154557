//! A covariance of the user's in the posterior of a measurement.

use gaussian_diffusion::{
    Denoiser, Error, GaussianMixture, NoiseLevel, Point, Prediction, Step,
    guidance::{GaussianPosterior, Measurement},
};
use ndarray::{Array2, array};

use super::close;

fn point(level: NoiseLevel) -> Point<Step> {
    Point::new(Step::new(5), level, NoiseLevel::CLEAN)
}

/// For Gaussian data with independent elements the true covariance is diagonal: moved by it or by the Jacobian, the result is
/// the exact posterior; the isotropic one is PiGDM.
#[test]
fn the_true_covariance_gives_the_exact_posterior() {
    let variances = [1.0, 0.2, 3.0];
    let data = GaussianMixture::diagonal(&[(1.0, &[0.0, 1.0, -0.5][..], &variances[..])]).unwrap();
    let a = array![[1.0, 0.5, 0.0], [0.0, -1.0, 2.0]];
    let y = array![[2.0, -1.0], [0.3, 0.4]];
    let x = array![[0.3, -0.2, 1.1], [-1.0, 0.4, 0.6]];
    for level in [
        NoiseLevel::new(0.6, 0.8).unwrap(),
        NoiseLevel::new(1.0, 3.0).unwrap(),
        NoiseLevel::new(0.9, 0.1).unwrap(),
    ] {
        let measurement = || Measurement::new(a.clone(), y.clone(), 0.1).unwrap();
        let (alpha, noise) = (level.alpha(), level.sigma().powi(2));
        let diagonal = move |v: &Array2<f64>, _: &Prediction<Array2<f64>>, at: Point<()>| {
            assert_eq!(at.level, level);
            let of = |s: f64| noise * s / (alpha * alpha * s + noise);
            Ok::<_, Error>(v * &array![[of(variances[0]), of(variances[1]), of(variances[2])]])
        };
        let given = GaussianPosterior::with_covariance(data.clone(), measurement(), diagonal, 2);
        let given = given.unwrap();
        let mut exact = Vec::new();
        for i in 0..2 {
            let one = data
                .measured(&a, &[0.01, 0.01], &y.row(i).to_vec())
                .unwrap();
            exact.extend(one.posterior_mean(&x.row(i).to_vec(), level).unwrap());
        }
        let by_jacobian = given.clone().predict(&x, point(level)).unwrap().value;
        let mut moving = given.moving_by_covariance();
        let by_covariance = moving.predict(&x, point(level)).unwrap().value;
        for ((a, b), exact) in by_jacobian.iter().zip(&by_covariance).zip(&exact) {
            close(*a, *exact, 1e-11, level);
            close(*b, *exact, 1e-11, level);
        }
        let isotropic = move |v: &Array2<f64>, _: &Prediction<Array2<f64>>, _: Point<()>| {
            Ok::<_, Error>(v * (noise * 2.0 / (alpha * alpha * 2.0 + noise)))
        };
        let mut ours =
            GaussianPosterior::with_covariance(data.clone(), measurement(), isotropic, 2).unwrap();
        let mut pigdm =
            GaussianPosterior::pseudo_inverse(data.clone(), measurement(), 2.0, 2).unwrap();
        let found = ours.predict(&x, point(level)).unwrap().value;
        let expected = pigdm.predict(&x, point(level)).unwrap().value;
        assert!((found - expected).iter().all(|d| d.abs() < 1e-14));
    }
}

/// A variance that the network gives reaches the covariance; errors of it are passed on; a network that is moved by its
/// covariance is not differentiated.
#[test]
fn the_answer_of_the_network_reaches_the_covariance() {
    use gaussian_diffusion::{denoiser::WithVjp, predicts};
    let x = array![[0.3, -0.2]];
    let level = NoiseLevel::new(0.6, 0.8).unwrap();
    let net = || {
        let said = predicts::with(|x: &Array2<f64>, _: Point<Step>| {
            Ok(Prediction::x0(x * 0.5).with_variance(array![[0.5_f64.ln(), 2.0_f64.ln()]]))
        });
        WithVjp::new(said, |_: &Array2<f64>, _: Point<Step>, _: &Array2<f64>| {
            Err(Error::network("not differentiated"))
        })
    };
    let y = || Measurement::new(array![[1.0, 1.0]], array![[2.0]], 0.5).unwrap();
    let learned = |v: &Array2<f64>, said: &Prediction<Array2<f64>>, _: Point<()>| {
        Ok::<_, Error>(said.variance.as_ref().unwrap().mapv(f64::exp) * v)
    };
    let posterior = GaussianPosterior::with_covariance(net(), y(), learned, 1).unwrap();
    let mut by_jacobian = GaussianPosterior::with_covariance(net(), y(), learned, 1).unwrap();
    assert!(by_jacobian.predict(&x, point(level)).is_err());
    let found = posterior
        .moving_by_covariance()
        .predict(&x, point(level))
        .unwrap()
        .value;
    // x0 + V A^T (y - A x0) / (A V A^T + 0.25), by hand.
    let gain = (2.0 - 0.05) / (2.5 + 0.25);
    close(found[[0, 0]], 0.15 + 0.5 * gain, 1e-14, "first");
    close(found[[0, 1]], -0.1 + 2.0 * gain, 1e-14, "second");
    let broken = |_: &Array2<f64>, _: &Prediction<Array2<f64>>, _: Point<()>| {
        Err::<Array2<f64>, _>(Error::network("no covariance"))
    };
    let mut broken = GaussianPosterior::with_covariance(net(), y(), broken, 1).unwrap();
    let error = broken.predict(&x, point(level)).unwrap_err();
    assert_eq!(error.to_string(), "the network failed: no covariance");
    assert!(GaussianPosterior::with_covariance(net(), y(), learned, 0).is_err());
}
