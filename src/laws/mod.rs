//! The laws of this crate's traits, as functions that check an implementation (feature `laws`).
//!
//! The suite that tests the schedules, posteriors, solvers, denoisers and states of this crate is
//! here for your own ones: call it from a test with values of your own or with those of the proptest
//! [`strategies`]. A [`Violation`] names the law, what was found and what it should have been.
//!
//! ```
//! use gaussian_diffusion::{laws, schedule::Cosine, solver::Ddim};
//! laws::schedule(&Cosine, 100)?;
//! laws::reverse_step(&Ddim::default())?;
//! # Ok::<(), laws::Violation>(())
//! ```

mod elements;
mod run;
mod solver;
mod state;
pub mod strategies;
mod time_sampler;

use std::fmt::{self, Debug};

use ndarray::{Array, Axis, RemoveAxis};

use crate::{
    Clock, Denoiser, Error, Markov, NoiseLevel, Parameterization, Point, Posterior,
    schedule::NoiseSchedule, state::Real,
};

pub use elements::elements;
pub use run::repeated_run;
pub use solver::{measured_order, measured_order_on_uneven_steps, reverse_step};
pub use state::state;
pub use time_sampler::time_sampler;

/// A law that an implementation breaks.
#[derive(Debug, Clone)]
pub struct Violation {
    /// The law.
    pub law: &'static str,
    /// Where and by how much it is broken.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "law broken: {}; {}", self.law, self.found)
    }
}

impl std::error::Error for Violation {}

impl From<Error> for Violation {
    fn from(error: Error) -> Self {
        Self {
            law: "what is valid is not refused",
            found: error.to_string(),
        }
    }
}

fn require(
    law: &'static str,
    holds: bool,
    found: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds {
        Ok(())
    } else {
        Err(Violation {
            law,
            found: found(),
        })
    }
}

/// `found` within `tolerance` of `expected`; NaN never is.
fn close(
    law: &'static str,
    place: impl Debug,
    found: f64,
    expected: f64,
    tolerance: f64,
) -> Result<(), Violation> {
    let near = found == expected || (found - expected).abs() <= tolerance;
    require(law, near, || {
        format!("{found} instead of {expected} (tolerance {tolerance:e}) at {place:?}")
    })
}

/// `count + 1` times of a schedule, from its noisiest to its cleanest end.
fn times<S>(schedule: &S, count: usize) -> impl Iterator<Item = S::Time>
where
    S: NoiseSchedule + ?Sized,
    S::Time: Clock,
{
    let (noisiest, cleanest) = schedule.ends();
    (0..=count).map(move |i| noisiest.toward(cleanest, i as f64 / count.max(1) as f64))
}

/// The laws of a [`NoiseSchedule`], at `count + 1` times from its noisiest to its cleanest end.
///
/// The log-SNR strictly rises on the way; `time_at(level(t).log_snr())` is `t`, to 1e-9 of the time
/// range; `level_at(level.log_snr())` is the level, to a relative 1e-12.
///
/// # Errors
///
/// The law that is broken.
pub fn schedule<S>(schedule: &S, count: usize) -> Result<(), Violation>
where
    S: NoiseSchedule + ?Sized,
    S::Time: Clock,
{
    let (noisiest, cleanest) = schedule.ends();
    let range = (noisiest.reading() - cleanest.reading()).abs();
    let mut before: Option<NoiseLevel> = None;
    for t in times(schedule, count) {
        let level = schedule.level(t)?;
        if let Some(before) = before {
            // A schedule of one time has one level.
            require(
                "the log-SNR falls with time",
                before.is_noisier_than(level) || range == 0.0,
                || format!("{level:?} at {t:?} after {before:?}"),
            )?;
        }
        before = Some(level);
        let back = schedule.time_at(level.log_snr())?;
        let law = "time_at inverts level";
        close(law, t, back.reading(), t.reading(), 1e-9 * range)?;
        let again = schedule.level_at(level.log_snr())?;
        let law = "level_at inverts log_snr";
        close(law, t, again.alpha(), level.alpha(), 1e-12 * level.alpha())?;
        close(law, t, again.sigma(), level.sigma(), 1e-12 * level.sigma())?;
    }
    Ok(())
}

/// The law of variance-preserving schedules, `alpha^2 + sigma^2 = 1`, at `count + 1` times.
///
/// # Errors
///
/// The law that is broken.
pub fn variance_preserving<S>(schedule: &S, count: usize) -> Result<(), Violation>
where
    S: NoiseSchedule + ?Sized,
    S::Time: Clock,
{
    for t in times(schedule, count) {
        let level = schedule.level(t)?;
        let total = level.alpha().powi(2) + level.sigma().powi(2);
        close("alpha^2 + sigma^2 = 1", t, total, 1.0, 1e-15 * 4.0)?;
    }
    Ok(())
}

/// The laws of a [`Posterior`] on one step: both marginal equations, to 1e-14 of `alpha_s` and of
/// `sigma_s^2`; and a step to the clean level is the data.
///
/// # Errors
///
/// The law that is broken.
pub fn posterior<P: Posterior + ?Sized>(
    posterior: &P,
    from: NoiseLevel,
    to: NoiseLevel,
) -> Result<(), Violation> {
    let q = posterior.coefficients(from, to)?;
    let place = (from, to, q);
    let mean = q.state * from.alpha() + q.clean;
    close(
        "state alpha_t + clean = alpha_s",
        place,
        mean,
        to.alpha(),
        1e-14 * to.alpha(),
    )?;
    let total = (q.state * from.sigma()).powi(2) + q.std.powi(2);
    let expected = to.sigma().powi(2);
    close(
        "(state sigma_t)^2 + std^2 = sigma_s^2",
        place,
        total,
        expected,
        1e-14 * expected,
    )?;
    require("a deviation is not negative", q.std >= 0.0, || {
        format!("{place:?}")
    })?;

    let last = posterior.coefficients(from, NoiseLevel::CLEAN)?;
    let data = (last.state, last.clean, last.std) == (0.0, 1.0, 0.0);
    require("a step to the clean level is the data", data, || {
        format!("{last:?} from {from:?}")
    })
}

/// Bayes' rule for the posterior of the Markov chain, as [`Markov`] is one, on one step, as densities in one
/// dimension: `q(x_s|x_t,x_0) q(x_t|x_0) = q(x_t|x_s) q(x_s|x_0)`.
///
/// `points` are `x_0`, and how many standard deviations `x_s` and `x_t` are from their means.
///
/// # Errors
///
/// The law, if it is broken by more than 1e-12 in the logarithm for each unit of it, and 1e-14 for each unit of the
/// square of `x_s` in deviations of the posterior.
pub fn bayes<P: Posterior + ?Sized>(
    posterior: &P,
    from: NoiseLevel,
    to: NoiseLevel,
    points: (f64, f64, f64),
) -> Result<(), Violation> {
    let (x_0, a, b) = points;
    let normal = |x: f64, mean: f64, std: f64| {
        -0.5 * ((x - mean) / std).powi(2) - std.ln() - 0.5 * std::f64::consts::TAU.ln()
    };
    let scale = from.alpha() / to.alpha();
    let std = Markov.forward_std(from, to)?;
    let x_s = to.alpha() * x_0 + a * to.sigma();
    let x_t = scale * x_s + b * std;
    let q = posterior.coefficients(from, to)?;
    let left = normal(x_s, q.state * x_t + q.clean * x_0, q.std)
        + normal(x_t, from.alpha() * x_0, from.sigma());
    let right = normal(x_t, scale * x_s, std) + normal(x_s, to.alpha() * x_0, to.sigma());
    // Distances from the means are differences of such numbers, the largest of which is this one.
    let tolerance = 1e-14 * (x_s / q.std).powi(2) + 1e-12 * (1.0 + left.abs());
    close("Bayes' rule", (from, to, points), left, right, tolerance)
}

/// Every conversion between two parameterizations at this level is undone by the one back, where both
/// have a value.
///
/// # Errors
///
/// The law, if the product of the two maps is off by more than `1e-14` of its terms.
pub fn parameterization(
    one: Parameterization,
    other: Parameterization,
    level: NoiseLevel,
) -> Result<(), Violation> {
    let (Ok(there), Ok(back)) = (one.to(other, level), other.to(one, level)) else {
        return Ok(());
    };
    let law = "conversions are inverse";
    let place = (one, other, level);
    let factor = there.prediction * back.prediction;
    close(law, place, factor, 1.0, 1e-14)?;
    let carried = back.prediction * there.state;
    let size = carried.abs() + back.state.abs();
    close(law, place, carried + back.state, 0.0, 1e-14 * size)
}

/// The laws of a [`Denoiser`] of arrays on one question: the answer has its shape, is finite, determines the
/// data, and the answer of an item is the same when it is asked alone, to `tolerance` of its size.
///
/// # Errors
///
/// The law that is broken.
pub fn denoiser<A, D, T, N>(
    denoiser: &mut N,
    x: &Array<A, D>,
    at: Point<T>,
    tolerance: f64,
) -> Result<(), Violation>
where
    A: Real,
    D: RemoveAxis,
    T: Copy + Debug,
    N: Denoiser<Array<A, D>, T> + ?Sized,
{
    let mut ask = |x: &Array<A, D>| {
        let answer = denoiser.predict(x, at)?;
        let (found, asked) = (answer.value.shape(), x.shape());
        require(
            "the answer has the shape of the question",
            found == asked,
            || format!("{found:?} for {asked:?}"),
        )?;
        Ok::<_, Violation>(answer)
    };
    let answer = ask(x)?;
    let finite = answer.value.iter().all(|y| y.get().is_finite());
    require("the answer is finite", finite, || {
        format!("{:?} at {:?}", answer.value, at.level)
    })?;
    answer.parameterization.to(Parameterization::X0, at.level)?;
    for item in 0..x.len_of(Axis(0)) {
        let alone = ask(&x.select(Axis(0), &[item]))?;
        let together = answer.value.index_axis(Axis(0), item);
        for (a, b) in alone.value.iter().zip(together.iter()) {
            let (a, b) = (a.get(), b.get());
            close(
                "items do not mix",
                (item, at.level),
                a,
                b,
                tolerance * (1.0 + b.abs()),
            )?;
        }
    }
    Ok(())
}
