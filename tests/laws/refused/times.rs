//! Samplers of training times.

use gaussian_diffusion::{Error, Time, laws, training::times::TimeSampler};

use super::{VALID, error, refused};

#[derive(Clone, Copy)]
struct Sampler {
    quantile: fn(f64) -> f64,
    cdf: fn(f64) -> f64,
    cdf_before: fn(f64) -> f64,
    density: fn(f64) -> f64,
}

impl TimeSampler for Sampler {
    type Time = Time;

    fn quantile(&self, u: f64) -> Result<Time, Error> {
        Time::new((self.quantile)(u)).map_err(|_| error())
    }

    fn cdf(&self, t: Time) -> f64 {
        (self.cdf)(t.get())
    }

    fn cdf_before(&self, t: Time) -> f64 {
        (self.cdf_before)(t.get())
    }

    fn density(&self, t: Time) -> f64 {
        (self.density)(t.get())
    }
}

const INVERSE: &str = "the cdf is the inverse of the quantile";

/// A sampler with this function up to this time, and this share before it.
fn with_cdf(sampler: Sampler, cdf: fn(f64) -> f64, cdf_before: fn(f64) -> f64) -> Sampler {
    Sampler {
        cdf,
        cdf_before,
        ..sampler
    }
}

#[test]
fn continuous() {
    let even: fn(f64) -> f64 = |t| (t - 2.0) / 4.0;
    let good = Sampler {
        quantile: |u| 2.0 + 4.0 * u,
        cdf: even,
        cdf_before: even,
        density: |_| 0.25,
    };
    let check = |sampler| laws::time_sampler(&sampler, 100);
    check(good).unwrap();

    // A density that rises by half between two quantiles.
    let steep = Sampler {
        quantile: |u| u.sqrt().sqrt(),
        density: |t| 4.0 * t.powi(3),
        ..with_cdf(good, |t| t.powi(4), |t| t.powi(4))
    };
    check(steep).unwrap();

    let shifted: [fn(f64) -> f64; 4] = [
        |t| (t - 2.0) / 4.0 + 0.9e-9,
        |t| (t - 2.0) / 4.0 - 0.9e-9,
        |t| (t - 2.0) / 4.0 + 1.1e-9,
        |t| (t - 2.0) / 4.0 - 1.1e-9,
    ];
    for near in &shifted[..2] {
        check(with_cdf(good, *near, *near)).unwrap();
    }
    for far in &shifted[2..] {
        refused(
            check(with_cdf(good, *far, *far)),
            INVERSE,
            "quantile of 0.005",
        );
    }

    let falling: fn(f64) -> f64 = |t| (6.0 - t) / 4.0;
    let falling = Sampler {
        quantile: |u| 6.0 - 4.0 * u,
        ..with_cdf(good, falling, falling)
    };
    refused(check(falling), "quantiles rise", "after Some(Time(5.98))");

    let law = "the density integrates to the share";
    let with_density = |density| check(Sampler { density, ..good });
    with_density(|_| 0.25 * 1.0009).unwrap();
    with_density(|_| 0.25 * 0.9991).unwrap();
    refused(with_density(|_| 0.25 * 1.0011), law, "instead of 0.01");
    // Somewhere in the middle.
    let dip = |t: f64| if (3.99..4.0).contains(&t) { 0.2 } else { 0.25 };
    refused(with_density(dip), law, "instead of 0.01");

    let none = Sampler {
        quantile: |_| f64::NAN,
        ..good
    };
    refused(check(none), VALID, "broken");
}

#[test]
fn steps() {
    let good = Sampler {
        quantile: |u| (4.0 * u).floor(),
        cdf: |t| (t + 1.0) / 4.0,
        cdf_before: |t| t / 4.0,
        density: |_| 0.25,
    };
    let check = |sampler| laws::time_sampler(&sampler, 100);
    check(good).unwrap();

    let early = with_cdf(good, |t| (t + 1.0) / 4.0 - 0.01, |t| t / 4.0 - 0.01);
    refused(check(early), INVERSE, "quantile of 0.245");
    let late = with_cdf(good, |t| (t + 1.0) / 4.0 + 0.01, |t| t / 4.0 + 0.01);
    refused(check(late), INVERSE, "quantile of 0.005");

    let falling = Sampler {
        quantile: |u| 3.0 - (4.0 * u).floor(),
        ..with_cdf(good, |t| (4.0 - t) / 4.0, |t| (3.0 - t) / 4.0)
    };
    refused(
        check(falling),
        "quantiles rise",
        "Time(2.0) after Some(Time(3.0))",
    );

    let law = "the density is the jump";
    let with_density = |density| check(Sampler { density, ..good });
    with_density(|_| 0.25 + 0.9e-12).unwrap();
    refused(with_density(|_| 0.25 + 1.1e-12), law, "at Time(0.0)");
    let last = |t: f64| if t == 3.0 { 0.25 - 1.1e-12 } else { 0.25 };
    refused(with_density(last), law, "at Time(3.0)");
}
