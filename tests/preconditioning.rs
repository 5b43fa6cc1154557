//! Preconditionings against the published table, and as denoisers against closed forms.

use gaussian_diffusion::{
    Denoiser, Error, ForwardProcess, GaussianMixture, LogSnr, NoiseLevel, Parameterization, Point,
    SeededNoise, Sigma, SigmaData, Step, Time,
    denoiser::{
        Preconditioned,
        preconditioning::{
            EdmPreconditioning, IddpmPreconditioning, Preconditioning, VePreconditioning,
            VpPreconditioning,
        },
    },
    schedule::{Discrete, NoiseSchedule, VpLinear},
    training::Weight,
};
use ndarray::{Array1, Array2, array};

fn ve(sigma: f64) -> NoiseLevel {
    NoiseLevel::variance_exploding(Sigma::new(sigma).unwrap()).unwrap()
}

fn vp(snr: f64) -> NoiseLevel {
    NoiseLevel::variance_preserving(LogSnr::new(snr).unwrap()).unwrap()
}

fn song() -> VpPreconditioning<VpLinear> {
    VpPreconditioning::new(VpLinear::new(0.1, 20.0).unwrap(), 1000).unwrap()
}

fn nichol() -> IddpmPreconditioning {
    IddpmPreconditioning::new(Discrete::cosine(1000).unwrap())
}

fn close(found: f64, wanted: f64, what: &str) {
    assert!(
        (found - wanted).abs() <= 1e-13 * wanted.abs().max(1e-3),
        "{what}: {found}, {wanted}"
    );
}

/// The columns of table 1, written out in sigma.
#[test]
fn coefficients_are_the_published_table() {
    for s in [2e-3, 0.05, 0.5, 1.0, 7.0, 80.0, 150.0_f64] {
        let d = 0.6_f64;
        let edm = EdmPreconditioning::new(SigmaData::new(d).unwrap())
            .coefficients(ve(s))
            .unwrap();
        close(edm.skip, d * d / (s * s + d * d), "EDM skip");
        close(edm.out, s * d / (s * s + d * d).sqrt(), "EDM out");
        close(edm.input, 1.0 / (s * s + d * d).sqrt(), "EDM in");
        close(edm.conditioning, s.ln() / 4.0, "EDM noise");

        let found = song().coefficients(ve(s)).unwrap();
        assert_eq!(found.skip, 1.0);
        close(found.out, -s, "VP out");
        close(found.input, 1.0 / (s * s + 1.0).sqrt(), "VP in");
        let (min, d) = (0.1, 19.9);
        let t = ((min * min + 2.0 * d * (1.0 + s * s).ln()).sqrt() - min) / d;
        // The formula of the paper loses digits at small sigma.
        assert!(
            (found.conditioning / (999.0 * t) - 1.0).abs() < 1e-9,
            "VP noise at {s}"
        );

        let found = VePreconditioning.coefficients(ve(s)).unwrap();
        assert_eq!((found.skip, found.input), (1.0, 1.0));
        close(found.out, s, "VE out");
        close(found.conditioning, (s / 2.0).ln(), "VE noise");
    }
}

/// The table of sigmas of the EDM code by its recursion, and the nearest by looking at all.
#[test]
fn the_discrete_one_is_told_the_nearest_step() {
    let m = 1000;
    let alpha_bar = |j: usize| {
        (0.5 * std::f64::consts::PI * j as f64 / m as f64 / 1.008)
            .sin()
            .powi(2)
    };
    let mut u = vec![0.0_f64; m + 1];
    for j in (1..=m).rev() {
        let ratio = (alpha_bar(j - 1) / alpha_bar(j)).max(0.001);
        u[j - 1] = ((u[j] * u[j] + 1.0) / ratio - 1.0).sqrt();
    }
    for s in [1e-4, 0.003, 0.0101, 0.37, 1.0, 5.5, 37.0, 159.0, 1e4, 1e9] {
        let distance = |j: &usize| (u[*j] - s).abs();
        let nearest = (0..m)
            .min_by(|a, b| distance(a).total_cmp(&distance(b)))
            .unwrap();
        let found = nichol().coefficients(ve(s)).unwrap();
        assert_eq!(found.conditioning, (m - 1 - nearest) as f64, "{s}");
        close(found.out, -s, "out");
        close(found.input, 1.0 / (s * s + 1.0).sqrt(), "in");
    }
    // On its own levels it is conditioning its own steps.
    let schedule = Discrete::cosine(1000).unwrap();
    for step in [0, 1, 500, 998, 999] {
        let level = schedule.level(Step::new(step)).unwrap();
        assert_eq!(nichol().conditioning(level).unwrap(), step as f64);
    }
    assert_eq!(nichol().conditioning(NoiseLevel::NOISE).unwrap(), 999.0);
    assert_eq!(nichol().conditioning(NoiseLevel::CLEAN).unwrap(), 0.0);
}

/// Data of deviation sigma_data: what EDM's network sees and what it should say have unit variance,
/// and its best answer for Gaussian data is 0.
#[test]
fn edm_has_unit_variances() {
    let data = 0.7;
    let edm = EdmPreconditioning::new(SigmaData::new(data).unwrap());
    let gaussian = GaussianMixture::isotropic(&[(1.0, &[0.0][..], data * data)]).unwrap();
    let levels = [
        ve(1e-3),
        ve(0.7),
        ve(90.0),
        vp(-5.0),
        vp(3.0),
        NoiseLevel::new(0.3, 0.7).unwrap(),
    ];
    for level in levels {
        let (alpha, sigma) = (level.alpha(), level.sigma());
        let c = edm.coefficients(level).unwrap();
        close(
            c.input.powi(2) * (alpha * alpha * data * data + sigma * sigma),
            1.0,
            "input",
        );
        // Targets of x0 alone and of eps alone.
        let part = |x0: f64, eps: f64| edm.target(&array![x0], &[level], &array![eps]).unwrap()[0];
        let (a, b) = (part(1.0, 0.0), part(0.0, 1.0));
        close(a * a * data * data + b * b, 1.0, "target");
        for x in [-1.3, 0.4] {
            // F = 0 is the posterior mean.
            let exact = gaussian.posterior_mean(&[x], level).unwrap()[0];
            close(c.skip * x, exact, "best answer");
        }
        // The published weight, and what it makes of an error of the raw output.
        let weight = Weight::edm(SigmaData::new(data).unwrap());
        let on_x0 = weight.in_terms_of(Parameterization::X0, level).unwrap();
        close(on_x0 * c.out * c.out, 1.0, "weight");
        close(
            weight.in_terms_of(edm.parameterization(), level).unwrap(),
            1.0,
            "weight of F",
        );
    }
}

/// `c_skip x + c_out target = x_0` for all of them, and the weight of F is that of x0 times c_out^2.
#[test]
fn targets_give_the_data() {
    fn check(p: &impl Preconditioning, levels: &[NoiseLevel]) {
        let x0 = array![0.4, -1.1, 0.8, 0.05, -0.6];
        let eps = array![-0.3, 1.7, 0.2, -2.0, 0.9];
        let target = p.target(&x0, levels, &eps).unwrap();
        for (i, level) in levels.iter().enumerate() {
            let c = p.coefficients(*level).unwrap();
            let x = level.alpha() * x0[i] + level.sigma() * eps[i];
            let back = c.skip * x + c.out * target[i];
            // The digits that a large c_out costs.
            assert!(
                (back - x0[i]).abs() < 1e-14 * (1.0 + c.out.abs()),
                "{level:?}: {back}"
            );
            let weight = Weight::min_snr(5.0).unwrap();
            let on_x0 = weight.in_terms_of(Parameterization::X0, *level).unwrap();
            let raw = weight.in_terms_of(p.parameterization(), *level).unwrap();
            close(raw, on_x0 * c.out * c.out, "weight");
        }
    }
    let levels = [
        ve(0.01),
        ve(3.0),
        vp(-4.0),
        vp(0.0),
        NoiseLevel::new(0.5, 0.5).unwrap(),
    ];
    check(&EdmPreconditioning::default(), &levels);
    check(&song(), &levels);
    check(&VePreconditioning, &levels);
    check(&nichol(), &levels);
    let error = VePreconditioning
        .target(&array![0.0], &levels, &array![0.0])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "coefficients has 5 entries for a batch of 1"
    );
}

/// The same noise-to-signal ratio on another family of levels: the network sees and is given the same
/// numbers, and the data comes out the same.
#[test]
fn a_network_works_on_every_family_of_levels() {
    fn check(p: &impl Preconditioning) {
        for snr in [-6.0, 0.3, 5.0] {
            let (a, b) = (vp(snr), ve((-0.5 * snr).exp()));
            let (on_vp, on_ve) = (p.coefficients(a).unwrap(), p.coefficients(b).unwrap());
            close(on_vp.input * a.alpha(), on_ve.input, "input");
            close(on_vp.skip * a.alpha(), on_ve.skip, "skip");
            close(on_vp.out, on_ve.out, "out");
            close(on_vp.conditioning, on_ve.conditioning, "conditioning");
        }
    }
    check(&EdmPreconditioning::default());
    check(&song());
    check(&VePreconditioning);
    check(&nichol());
}

#[test]
fn limits() {
    let edm = EdmPreconditioning::default();
    let (small, large) = (
        edm.coefficients(ve(1e-100)).unwrap(),
        edm.coefficients(ve(1e100)).unwrap(),
    );
    assert_eq!((small.skip, small.input), (1.0, 2.0));
    assert!(small.out > 0.0 && small.out < 2e-100);
    assert!(large.skip > 0.0 && large.skip < 1e-199);
    close(large.out, 0.5, "out");
    close(large.input * 1e100, 1.0, "input");
    // The very ends have all but the logarithm.
    let clean = edm.output(NoiseLevel::CLEAN).unwrap();
    assert_eq!(
        (
            clean.state,
            clean.prediction,
            edm.input(NoiseLevel::CLEAN).unwrap()
        ),
        (1.0, 0.0, 2.0)
    );
    let noise = edm.output(NoiseLevel::NOISE).unwrap();
    assert_eq!(
        (
            noise.state,
            noise.prediction.abs(),
            edm.input(NoiseLevel::NOISE).unwrap()
        ),
        (0.0, 0.5, 1.0)
    );
    let message = |p: &dyn Fn() -> Result<f64, Error>| p().unwrap_err().to_string();
    assert_eq!(
        message(&|| edm.conditioning(NoiseLevel::CLEAN)),
        "a preconditioning has no value at alpha = 1, sigma = 0"
    );
    assert!(
        VePreconditioning.conditioning(NoiseLevel::CLEAN).is_err()
            && VePreconditioning.input(NoiseLevel::NOISE).is_err()
    );
    assert_eq!(
        song().output(NoiseLevel::NOISE).unwrap_err().to_string(),
        "a conversion of a noise prediction has no value at alpha = 0, sigma = 1"
    );
    assert!(song().conditioning(ve(1e9)).is_err());
    let none = VpPreconditioning::new(VpLinear::new(0.1, 20.0).unwrap(), 0).unwrap_err();
    assert_eq!(none.to_string(), "number of steps is 0, allowed: 1 or more");
    // The velocity, with the other sign, where sigma_data is 1 and variance is preserved.
    let (a, b) = Parameterization::Edm(SigmaData::new(1.0).unwrap())
        .components(vp(0.7))
        .unwrap();
    close(a, vp(0.7).sigma(), "velocity");
    close(b, -vp(0.7).alpha(), "velocity");
}

/// A raw network that is the exact answer for a mixture becomes the mixture's denoiser.
#[test]
fn an_exact_raw_network_is_an_exact_denoiser() {
    fn check(p: &(impl Preconditioning + Clone)) {
        let mixture =
            GaussianMixture::isotropic(&[(0.3, &[-1.0][..], 0.05), (0.7, &[0.8][..], 0.2)])
                .unwrap();
        for level in [vp(-2.0), vp(2.0), ve(0.3)] {
            let c = p.coefficients(level).unwrap();
            let raw = |shown: &Array2<f64>, conditioning: f64| {
                assert_eq!(conditioning, c.conditioning);
                Ok(shown.mapv(|shown| {
                    let x = shown / c.input;
                    (mixture.posterior_mean(&[x], level).unwrap()[0] - c.skip * x) / c.out
                }))
            };
            let mut net = Preconditioned::new(p.clone(), raw);
            let x = array![[0.3], [-1.2], [2.0]];
            let found = net
                .predict(&x, Point::new((), level, NoiseLevel::CLEAN))
                .unwrap();
            assert_eq!(found.parameterization, Parameterization::X0);
            for (x, found) in x.iter().zip(&found.value) {
                close(
                    *found,
                    mixture.posterior_mean(&[*x], level).unwrap()[0],
                    "x0",
                );
            }
        }
    }
    check(&EdmPreconditioning::default());
    check(&song());
    check(&VePreconditioning);
    check(&nichol());
}

#[test]
fn errors_come_through() {
    let failing =
        |_: &Array1<f32>, _: f64| Err(Error::network(std::io::Error::other("device lost")));
    let mut net = Preconditioned::new(EdmPreconditioning::default(), failing);
    let at = |level| Point::new(Time::new(0.5).unwrap(), level, NoiseLevel::CLEAN);
    let error = net.predict(&array![1.0], at(ve(1.0))).unwrap_err();
    assert_eq!(error.to_string(), "the network failed: device lost");
    let mut other =
        Preconditioned::new(EdmPreconditioning::default(), |_: &Array1<f32>, _: f64| {
            Ok(array![1.0, 2.0])
        });
    let error = other.predict(&array![1.0], at(ve(1.0))).unwrap_err();
    assert_eq!(error.to_string(), "array has shape [1], expected [2]");
    assert!(other.predict(&array![1.0], at(NoiseLevel::CLEAN)).is_err());
}

/// The forward process makes the target of EDM's network too.
#[test]
fn the_forward_process_knows_the_target() {
    let schedule = VpLinear::new(0.1, 20.0).unwrap();
    let times = [0.2, 0.9].map(|t| Time::new(t).unwrap());
    let x0 = array![[0.1, 0.9], [-0.4, 0.3]];
    let (_, eps) = schedule
        .draw_jump(&x0, &times, &mut SeededNoise::new(0))
        .unwrap();
    let edm = EdmPreconditioning::default();
    let levels = times.map(|t| schedule.level(t).unwrap());
    let found = schedule
        .target(edm.parameterization(), &x0, &times, &eps)
        .unwrap();
    assert_eq!(found, edm.target(&x0, &levels, &eps).unwrap());
}
