//! Mixtures fitted by expectation and maximization: against scikit-learn in float64, and against a plain loop for
//! factors.

use gaussian_diffusion::{
    GaussianMixture, MixtureCovariance, MixtureFit,
    rand::{SeedableRng, rngs::StdRng},
};
use ndarray::{Array1, Array2, Array3};
use serde_json::Value;

fn reference() -> Value {
    serde_json::from_str(include_str!("reference/mixtures.json")).unwrap()
}

/// The samples of the reference.
fn data(count: usize, size: usize) -> Array2<f64> {
    Array2::from_shape_fn((count, size), |(i, k)| {
        let group = (i % 3) as f64;
        let (i, k) = (i as f64, k as f64);
        3.0 * (1.7 * group + k).sin()
            + (2.3 * i + 1.1 * k * k).sin()
            + 0.5 * (0.9 * i * (k + 1.0) + 0.2 * i * i).cos()
    })
}

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Every weight, mean and covariance, and the mean log-density, after the same number of iterations.
fn same(fit: MixtureFit, start: &GaussianMixture, samples: &Array2<f64>, peer: &Value) {
    let iterations = peer["iterations"].as_u64().unwrap() as usize;
    let fit = fit
        .with_iterations(iterations)
        .with_tolerance(0.0)
        .unwrap()
        .with_floor(1e-3)
        .unwrap();
    let fitted = fit.refine(start, samples).unwrap();
    assert_eq!((fitted.iterations, fitted.converged), (iterations, false));
    let close = |found: f64, wanted: f64| {
        assert!(
            (found - wanted).abs() < 1e-9 * (1.0 + wanted.abs()),
            "{fit:?}: {found}, {wanted}"
        );
    };
    close(fitted.log_likelihood, peer["score"].as_f64().unwrap());
    let weights = numbers(&peer["weights"]);
    assert_eq!(fitted.mixture.components(), weights.len());
    for (k, (weight, mean, covariance)) in fitted.mixture.parts().enumerate() {
        close(weight, weights[k]);
        for (found, wanted) in mean.iter().zip(numbers(&peer["means"][k])) {
            close(*found, wanted);
        }
        for (found, wanted) in covariance.iter().zip(numbers(&peer["covariances"][k])) {
            close(*found, wanted);
        }
    }
}

#[test]
fn fits_are_those_of_scikit_learn() {
    let samples = data(60, 3);
    let part = |weight: f64, place: usize| (weight, samples.row(place).to_vec(), 2.0);
    let start = GaussianMixture::isotropic(&[part(0.2, 0), part(0.3, 4), part(0.5, 11)]).unwrap();
    for (key, kind) in [
        ("full", MixtureCovariance::Full),
        ("diag", MixtureCovariance::Diagonal),
        ("spherical", MixtureCovariance::Spherical),
    ] {
        for peer in reference()[key].as_array().unwrap() {
            same(MixtureFit::new(3, kind).unwrap(), &start, &samples, peer);
        }
    }
}

#[test]
fn factors_are_those_of_a_plain_loop() {
    let samples = data(50, 5);
    let part = |k: usize, weight: f64, place: usize, variance: f64| {
        let factors =
            Array2::from_shape_fn((2, 5), |(j, i)| (1.3 * j as f64 + (2 * i + k) as f64).sin());
        (
            weight,
            samples.row(place).to_vec(),
            vec![variance; 5],
            factors,
        )
    };
    let start = GaussianMixture::low_rank(&[part(0, 0.4, 0, 1.5), part(1, 0.6, 7, 0.8)]).unwrap();
    for peer in reference()["factors"].as_array().unwrap() {
        let fit = MixtureFit::new(2, MixtureCovariance::LowRank(2)).unwrap();
        same(fit, &start, &samples, peer);
    }
}

/// One component with one factor is factor analysis: the maximum that scikit-learn finds by another way.
#[test]
fn one_component_of_factors_is_factor_analysis() {
    let samples = Array2::from_shape_fn((50, 5), |(i, k)| {
        let (i, k) = (i as f64, k as f64);
        1.5 * (0.7 * i * i).sin() * (1.0 + 0.2 * k) + (1.3 * i * (k + 1.0) + 0.11 * k * i * i).cos()
    });
    let fit = MixtureFit::new(1, MixtureCovariance::LowRank(1)).unwrap();
    let fit = fit
        .with_iterations(20_000)
        .with_tolerance(1e-14)
        .unwrap()
        .with_floor(1e-14)
        .unwrap();
    let fitted = fit.fit(&samples, &mut StdRng::seed_from_u64(1)).unwrap();
    // `FactorAnalysis(1, tol=1e-15, svd_method="lapack")`, its mean log-density.
    let peer = -6.6249526324180295;
    assert!(
        fitted.converged && (fitted.log_likelihood - peer).abs() < 1e-9,
        "{fitted:?}"
    );
}

/// With next to nothing added to the variances each iteration gains; a single Gaussian is its moments after one.
#[test]
fn the_likelihood_grows() {
    let samples = data(60, 3);
    for kind in [
        MixtureCovariance::Spherical,
        MixtureCovariance::Diagonal,
        MixtureCovariance::Full,
        MixtureCovariance::LowRank(1),
    ] {
        let fit = |iterations| {
            let fit = MixtureFit::new(3, kind)
                .unwrap()
                .with_iterations(iterations);
            let fit = fit.with_tolerance(0.0).unwrap().with_floor(1e-12).unwrap();
            fit.fit(&samples, &mut StdRng::seed_from_u64(3))
                .unwrap()
                .log_likelihood
        };
        let all: Vec<f64> = (0..12).map(fit).collect();
        assert!(
            all.windows(2).all(|pair| pair[1] > pair[0] - 1e-9),
            "{kind:?}: {all:?}"
        );
        assert!(all[11] > all[0] + 0.5, "{kind:?}: {all:?}");
    }
    let one = MixtureFit::new(1, MixtureCovariance::Full)
        .unwrap()
        .with_floor(1e-12)
        .unwrap();
    let one = one
        .fit(&samples, &mut StdRng::seed_from_u64(0))
        .unwrap()
        .mixture;
    let mean = samples.mean_axis(ndarray::Axis(0)).unwrap();
    let off = &samples - &mean;
    let covariance = off.t().dot(&off) / 60.0;
    assert!((one.mean() - mean).iter().all(|d| d.abs() < 1e-12));
    assert!(
        (one.covariance() - covariance)
            .iter()
            .all(|d| d.abs() < 1e-9)
    );
}

/// A fit ends with the first iteration that finds the mean log-density changed by less than the tolerance; an iteration
/// finds that of the mixture it begins with.
#[test]
fn a_fit_ends_where_the_likelihood_does() {
    let samples = data(60, 3);
    let part = |weight: f64, place: usize| (weight, samples.row(place).to_vec(), 2.0);
    let start = GaussianMixture::isotropic(&[part(0.2, 0), part(0.3, 4), part(0.5, 11)]).unwrap();
    let fit = MixtureFit::new(3, MixtureCovariance::Diagonal).unwrap();
    let after = |iterations: usize| {
        let fit = fit.with_iterations(iterations).with_tolerance(0.0).unwrap();
        fit.refine(&start, &samples).unwrap().log_likelihood
    };
    let known: Vec<f64> = (0..60).map(after).collect();
    for tolerance in [0.3, 0.05, 0.01, 1e-3] {
        let changed = |i: &usize| (known[*i] - known[i - 1]).abs() < tolerance;
        let wanted = 1 + (1..60).find(changed).unwrap();
        let fit = fit.with_tolerance(tolerance).unwrap();
        let found = fit.refine(&start, &samples).unwrap();
        assert_eq!(
            (found.iterations, found.converged),
            (wanted, true),
            "{tolerance}"
        );
        assert_eq!(found.log_likelihood, known[wanted]);
        let short = fit
            .with_iterations(wanted - 1)
            .refine(&start, &samples)
            .unwrap();
        assert_eq!((short.iterations, short.converged), (wanted - 1, false));
    }
}

#[test]
fn odd_samples_have_a_fit_or_an_error() {
    let message =
        |result: Result<MixtureFit, gaussian_diffusion::Error>| result.unwrap_err().to_string();
    let kind = MixtureCovariance::Diagonal;
    assert_eq!(
        message(MixtureFit::new(0, kind)),
        "number of components is 0, allowed: 1 to 65536"
    );
    assert_eq!(
        message(MixtureFit::new(1, MixtureCovariance::LowRank(0))),
        "number of factors is 0, allowed: 1 to 65536"
    );
    let three = MixtureFit::new(3, kind).unwrap();
    assert!(three.with_tolerance(f64::NAN).is_err() && three.with_floor(0.0).is_err());
    let mut rng = StdRng::seed_from_u64(0);
    let mut fails = |samples: &Array2<f64>| three.fit(samples, &mut rng).unwrap_err().to_string();
    assert_eq!(
        fails(&Array2::zeros((2, 3))),
        "number of samples is 2, allowed: 3 or more, one for each component"
    );
    assert!(
        three
            .fit(&data(3, 2), &mut StdRng::seed_from_u64(1))
            .is_ok()
    );
    assert_eq!(
        fails(&Array2::zeros((5, 0))),
        "dimension is 0, allowed: 1 or more"
    );
    assert_eq!(
        fails(&Array2::from_elem((5, 1), f64::INFINITY)),
        "samples[0] is inf, allowed: -1e100 to 1e100"
    );
    // Samples that are all alike, of any shape and type, with more factors than dimensions too.
    for kind in [
        kind,
        MixtureCovariance::Full,
        MixtureCovariance::LowRank(5),
        MixtureCovariance::Spherical,
    ] {
        let fit = MixtureFit::new(3, kind).unwrap();
        let fitted = fit.fit(&Array3::<f32>::ones((6, 1, 2)), &mut rng).unwrap();
        let mean: Array1<f64> = fitted.mixture.mean();
        assert!(
            mean.iter().all(|m| (m - 1.0).abs() < 1e-9),
            "{kind:?}: {mean}"
        );
    }
    // A mixture of other components is refused.
    let start = GaussianMixture::isotropic(&[(1.0, vec![0.0; 3], 1.0)]).unwrap();
    let fit = MixtureFit::new(1, MixtureCovariance::LowRank(2)).unwrap();
    let error = fit.refine(&start, &data(9, 3)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "number of factors is 0, allowed: 2 in every component"
    );
    let error = three.refine(&start, &data(9, 2)).unwrap_err();
    assert_eq!(error.to_string(), "point has shape [2], expected [3]");
    // A component that no sample is near is left out.
    let far =
        GaussianMixture::isotropic(&[(1.0, vec![0.0; 3], 4.0), (1.0, vec![1e4; 3], 1e-3)]).unwrap();
    let fitted = three.refine(&far, &data(9, 3)).unwrap();
    assert_eq!(fitted.mixture.components(), 1);
}
