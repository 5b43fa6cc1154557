//! The laws of a sampler of training times.

use super::{Violation, close, require};
use crate::{Clock, training::times::TimeSampler};

/// The laws of a [`TimeSampler`], at `count` shares evenly spaced over (0, 1).
///
/// `cdf_before(quantile(u)) <= u <= cdf(quantile(u))` to 1e-9; quantiles do not fall; the density is the
/// jump of `cdf` where it has one, and integrates to the share between two quantiles elsewhere, to a
/// relative 1e-3.
///
/// # Errors
///
/// The law that is broken.
pub fn time_sampler<S>(sampler: &S, count: usize) -> Result<(), Violation>
where
    S: TimeSampler + ?Sized,
    S::Time: Clock,
{
    let n = count as f64;
    let mut before: Option<S::Time> = None;
    for i in 0..count {
        let u = (i as f64 + 0.5) / n;
        let t = sampler.quantile(u)?;
        let (low, high) = (sampler.cdf_before(t), sampler.cdf(t));
        require(
            "the cdf is the inverse of the quantile",
            low <= u + 1e-9 && u <= high + 1e-9,
            || format!("{low} to {high} at {t:?}, the quantile of {u}"),
        )?;
        let rises = before.is_none_or(|before| before.reading() <= t.reading());
        require("quantiles rise", rises, || {
            format!("{t:?} after {before:?}")
        })?;
        if high > low {
            close(
                "the density is the jump",
                t,
                sampler.density(t),
                high - low,
                1e-12,
            )?;
        } else if let Some(before) = before {
            let cells = 512;
            let width = (t.reading() - before.reading()) / f64::from(cells);
            let at = |k| before.toward(t, (f64::from(k) + 0.5) / f64::from(cells));
            let share: f64 = (0..cells).map(|k| sampler.density(at(k)) * width).sum();
            close(
                "the density integrates to the share",
                t,
                share,
                1.0 / n,
                1e-3 / n,
            )?;
        }
        before = Some(t);
    }
    Ok(())
}
