//! Schedules, posteriors and conversions.

use gaussian_diffusion::{
    Error, LogSnr, Markov, NoiseLevel, NonMarkovian,
    Parameterization::{Noise, PathVelocity, X0},
    PathRates, Posterior, PosteriorCoefficients, Time, laws,
    schedule::{Discrete, NoiseSchedule},
};

use super::{VALID, error, refused};

/// A schedule on the times -1 to 3 of a clock that runs from the noise to the data.
#[derive(Clone, Copy)]
struct Schedule {
    level: fn(f64) -> Result<NoiseLevel, Error>,
    time: fn(f64) -> Result<f64, Error>,
    family: fn(f64) -> Result<NoiseLevel, Error>,
}

impl NoiseSchedule for Schedule {
    type Time = Time;

    fn level(&self, t: Time) -> Result<NoiseLevel, Error> {
        (self.level)(t.get())
    }

    fn time_at(&self, snr: LogSnr) -> Result<Time, Error> {
        Time::new((self.time)(snr.get())?)
    }

    fn ends(&self) -> (Time, Time) {
        (Time::new(-1.0).unwrap(), Time::new(3.0).unwrap())
    }

    fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
        (self.family)(snr.get())
    }
}

fn snr(t: f64) -> f64 {
    3.75 * t - 1.25
}

fn time(snr: f64) -> f64 {
    (snr + 1.25) / 3.75
}

fn exploding(snr: f64) -> Result<NoiseLevel, Error> {
    NoiseLevel::new(8.0, 8.0 * (-0.5 * snr).exp())
}

/// Log-SNR -5 to 10, linear in time, on data times 8 where variance explodes.
const GOOD: Schedule = Schedule {
    level: |t| exploding(snr(t)),
    time: |snr| Ok(time(snr)),
    family: exploding,
};

#[test]
fn schedules() {
    let check = |schedule: Schedule| laws::schedule(&schedule, 10);
    let with_level = |level| check(Schedule { level, ..GOOD });
    let with_time = |time| check(Schedule { time, ..GOOD });
    let with_family = |family| check(Schedule { family, ..GOOD });
    check(GOOD).unwrap();
    laws::schedule(&GOOD, 0).unwrap();
    // One time has one level, however often it is asked for.
    laws::schedule(&Discrete::from_betas([0.1]).unwrap(), 3).unwrap();

    let law = "the log-SNR falls with time";
    let flat = |t: f64| exploding(snr(if (0.5..1.1).contains(&t) { 0.6 } else { t }));
    refused(with_level(flat), law, "at Time(1.0) after");
    refused(
        with_level(|t| exploding(snr(if t > 2.9 { 2.5 } else { t }))),
        law,
        "at Time(3.0) after",
    );

    // 1e-9 of a range of 4.
    let law = "time_at inverts level";
    with_time(|snr| Ok(time(snr) + 3e-9)).unwrap();
    with_time(|snr| Ok(time(snr) - 3e-9)).unwrap();
    refused(with_time(|snr| Ok(time(snr) + 5e-9)), law, "Time(-1.0)");
    refused(
        with_time(|snr| Ok(time(snr) - if snr > 9.9 { 5e-9 } else { 0.0 })),
        law,
        "Time(3.0)",
    );

    // Of a sigma of 0.054, and of an alpha of 8.
    let law = "level_at inverts log_snr";
    fn off(snr: f64, alpha: f64, sigma: f64) -> Result<NoiseLevel, Error> {
        let level = exploding(snr)?;
        match snr > 9.9 {
            true => NoiseLevel::new(level.alpha() * (1.0 + alpha), level.sigma() * (1.0 + sigma)),
            false => Ok(level),
        }
    }
    with_family(|snr| off(snr, 8e-13, -8e-13)).unwrap();
    with_family(|snr| off(snr, -8e-13, 8e-13)).unwrap();
    refused(
        with_family(|snr| off(snr, 2e-12, 0.0)),
        law,
        "instead of 8 (",
    );
    refused(
        with_family(|snr| off(snr, -2e-12, 0.0)),
        law,
        "instead of 8 (",
    );
    let sigma = "instead of 0.0539";
    refused(with_family(|snr| off(snr, 0.0, 2e-12)), law, sigma);
    refused(with_family(|snr| off(snr, 0.0, -2e-12)), law, sigma);

    refused(with_level(|_| Err(error())), VALID, "broken");
    refused(with_time(|_| Err(error())), VALID, "broken");
    refused(with_family(|_| Err(error())), VALID, "broken");
}

#[test]
fn preserved_variances() {
    fn at(t: f64, off: f64) -> Result<NoiseLevel, Error> {
        let level = NoiseLevel::variance_preserving(LogSnr::new(snr(t))?)?;
        // At both ends and in the middle.
        match t {
            3.0 => NoiseLevel::new(level.alpha() * (1.0 + off), level.sigma()),
            -1.0 | 1.0 => NoiseLevel::new(level.alpha() * (1.0 - off), level.sigma() * (1.0 - off)),
            _ => Ok(level),
        }
    }
    let check = |level| laws::variance_preserving(&Schedule { level, ..GOOD }, 10);
    check(|t| at(t, 1e-15)).unwrap();
    let law = "alpha^2 + sigma^2 = 1";
    refused(check(|t| at(t.max(1.1), 4e-15)), law, "Time(3.0)");
    refused(check(|t| at(t.max(0.0), 4e-15)), law, "Time(1.0)");
    refused(check(|t| at(t, 4e-15)), law, "Time(-1.0)");
    refused(check(|_| Err(error())), VALID, "broken");
}

/// A posterior with its coefficients changed, on steps and on the last one.
struct Spoiled {
    eta: f64,
    step: fn(&mut PosteriorCoefficients),
    last: fn(&mut PosteriorCoefficients),
}

impl Posterior for Spoiled {
    fn coefficients(
        &self,
        from: NoiseLevel,
        to: NoiseLevel,
    ) -> Result<PosteriorCoefficients, Error> {
        let mut q = NonMarkovian::new(self.eta)?.coefficients(from, to)?;
        let spoil = if to.is_clean() { self.last } else { self.step };
        spoil(&mut q);
        match q.std.is_infinite() {
            true => Err(error()),
            false => Ok(q),
        }
    }
}

#[test]
fn posteriors() {
    let (from, to) = (NoiseLevel::new(6.0, 8.0), NoiseLevel::new(8.0, 6.0));
    let (from, to) = (from.unwrap(), to.unwrap());
    let good = |_: &mut PosteriorCoefficients| {};
    let check = |step, last| {
        let spoiled = Spoiled {
            eta: 0.5,
            step,
            last,
        };
        laws::posterior(&spoiled, from, to)
    };
    let with_step = |step| check(step, good);
    let with_last = |last| check(good, last);
    with_step(good).unwrap();

    // 1e-14 of an alpha of 8.
    let law = "state alpha_t + clean = alpha_s";
    with_step(|q| q.clean += 6e-14).unwrap();
    with_step(|q| q.clean -= 6e-14).unwrap();
    refused(with_step(|q| q.clean += 1.2e-13), law, "instead of 8");
    refused(with_step(|q| q.clean -= 1.2e-13), law, "instead of 8");
    refused(with_step(|q| q.clean = f64::NAN), law, "NaN instead");

    // 1e-14 of 36: 64 state^2 changes by 87 times as much as the state, std^2 by 5 times as much as std.
    let law = "(state sigma_t)^2 + std^2 = sigma_s^2";
    fn tilt(q: &mut PosteriorCoefficients, by: f64) {
        q.state += by;
        q.clean -= 6.0 * by;
    }
    with_step(|q| tilt(q, 2e-15)).unwrap();
    with_step(|q| q.std += 5e-14).unwrap();
    refused(with_step(|q| tilt(q, 1e-14)), law, "instead of 36");
    refused(with_step(|q| tilt(q, -1e-14)), law, "instead of 36");
    refused(with_step(|q| q.std += 1e-13), law, "instead of 36");
    refused(with_step(|q| q.std -= 1e-13), law, "instead of 36");

    let negative = with_step(|q| q.std = -q.std);
    refused(negative, "a deviation is not negative", "std: -2.4");

    let law = "a step to the clean level is the data";
    refused(with_last(|q| q.state = 1e-300), law, "state: 1e-300");
    refused(
        with_last(|q| q.clean = 1.0_f64.next_up()),
        law,
        "clean: 1.0000",
    );
    refused(with_last(|q| q.std = 1e-300), law, "std: 1e-300");

    refused(with_step(|q| q.std = f64::INFINITY), VALID, "broken");
    refused(with_last(|q| q.std = f64::INFINITY), VALID, "broken");
}

fn log_normal(x: f64, mean: f64, std: f64) -> f64 {
    let density = (-(x - mean).powi(2) / (2.0 * std * std)).exp();
    (density / (std::f64::consts::TAU * std * std).sqrt()).ln()
}

/// The posterior of DDIM shares the marginals and is not Bayes' own.
#[test]
fn posteriors_of_no_chain() {
    let level = |alpha, sigma| NoiseLevel::new(alpha, sigma).unwrap();
    let (from, to) = (level(0.6, 0.8), level(0.8, 0.6));
    let law = "Bayes' rule";
    let (x_0, a, b) = (0.5, 1.0, -1.0);
    let ddim = NonMarkovian::new(0.5).unwrap();
    let broken = laws::bayes(&ddim, from, to, (x_0, a, b)).unwrap_err();
    assert_eq!(broken.law, law);
    // By the formulas of the papers: alpha_t / alpha_s is 0.75, so that beta is 1 - 0.75^2.
    let beta = 0.4375_f64;
    let x_s = 0.8 * x_0 + 0.6 * a;
    let x_t = 0.75 * x_s + beta.sqrt() * b;
    let variance = 0.25 * beta * 0.36 / 0.64;
    let mean = 0.8 * x_0 + (0.36 - variance).sqrt() * (x_t - 0.6 * x_0) / 0.8;
    let left = log_normal(x_s, mean, variance.sqrt()) + log_normal(x_t, 0.6 * x_0, 0.8);
    let right = log_normal(x_t, 0.75 * x_s, beta.sqrt()) + log_normal(x_s, 0.8 * x_0, 0.6);
    let mut words = broken.found.split(' ');
    let mut number = |after: usize| words.nth(after).unwrap().parse::<f64>().unwrap();
    let found = [number(0), number(2)];
    assert!((found[0] - left).abs() < 1e-13, "{broken}: {left}");
    assert!((found[1] - right).abs() < 1e-13, "{broken}: {right}");

    // At the means a deviation that is off is all there is: 1e-12 of 1 and of a logarithm of 0.9.
    let check = |step, x_0| {
        let spoiled = Spoiled {
            eta: 1.0,
            step,
            last: |_| {},
        };
        laws::bayes(&spoiled, from, to, (x_0, 0.0, 0.0))
    };
    let certain = laws::bayes(&NonMarkovian::new(0.0).unwrap(), from, to, (x_0, a, b));
    refused(certain, law, "NaN");
    check(|q| q.std *= 1.0 + 1.5e-12, 0.0).unwrap();
    check(|q| q.std *= 1.0 - 1.5e-12, 0.0).unwrap();
    refused(
        check(|q| q.std *= 1.0 + 2.5e-12, 0.0),
        law,
        "instead of -0.9",
    );
    refused(
        check(|q| q.std *= 1.0 - 2.5e-12, 0.0),
        law,
        "instead of -0.9",
    );
    // And 1e-14 of the square of 800 over a deviation of 0.496.
    check(|q| q.std *= 1.0 + 2.4e-8, 1000.0).unwrap();
    refused(
        check(|q| q.std *= 1.0 + 2.8e-8, 1000.0),
        law,
        "instead of -0.9",
    );

    let turned = laws::bayes(&Markov, to, from, (x_0, a, b));
    refused(turned, VALID, "");
}

/// A conversion is off where its coefficients have lost their digits.
#[test]
fn conversions() {
    let level = NoiseLevel::new(0.6, 0.8).unwrap();
    let path = |alpha| PathVelocity(PathRates { alpha, sigma: 3.0 });
    let check = |one, other| laws::parameterization(one, other, level);
    check(path(5e-300), Noise).unwrap();
    // Ten times the least number there is, of which a ninth is none.
    let law = "conversions are inverse";
    refused(check(path(5e-323), Noise), law, "instead of 0");
    // A noise prediction does not determine data without signal.
    laws::parameterization(Noise, X0, NoiseLevel::NOISE).unwrap();
}
