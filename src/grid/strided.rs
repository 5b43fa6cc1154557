//! Even choices of training steps.

use super::Grid;
use crate::{
    Error, Step,
    schedule::NoiseSchedule,
    time::{MOST_STEPS, check_count, check_steps},
};

impl Grid<Step> {
    /// Every training step, from the last to the first, and then the data.
    ///
    /// # Errors
    ///
    /// None for a schedule of up to 2^24 steps.
    pub fn every<S>(schedule: &S) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = Step> + ?Sized,
    {
        let total = total(schedule);
        check_steps(total)?;
        let steps: Vec<_> = (0..total).rev().map(Step::new).collect();
        Self::at(schedule, &steps)
    }

    /// `i (T div n) + offset`, from the largest down: starts early, where some noise is missing.
    ///
    /// # Errors
    ///
    /// If `n` is 0 or above `T`, or the offset leads beyond the schedule.
    ///
    /// [Source](crate::docs::papers#arxiv-2010.02502): Denoising Diffusion Implicit Models, Song, Meng, Ermon, 2020; named by
    /// Lin et al., 2024.
    #[doc(alias("steps_offset"))]
    pub fn leading<S>(schedule: &S, n: usize, offset: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = Step> + ?Sized,
    {
        let stride = total_for(schedule, n)? / n;
        let steps: Vec<_> = (0..n)
            .rev()
            .map(|i| Step::new((i * stride).saturating_add(offset)))
            .collect();
        Self::at(schedule, &steps)
    }

    /// `round(T - i T / n) - 1` for `i = 0, 1, ..`: begins at the last step, ties to even.
    ///
    /// # Errors
    ///
    /// If `n` is 0 or above `T`.
    ///
    /// [Source](crate::docs::papers#arxiv-2305.08891): Common Diffusion Noise Schedules and Sample Steps are Flawed, Lin, Liu,
    /// Li, Yang, 2024.
    pub fn trailing<S>(schedule: &S, n: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = Step> + ?Sized,
    {
        let total = total_for(schedule, n)?;
        Self::trailing_of(schedule, total, n)
    }

    /// The same on a schedule of which only the first steps are left of `all`, with the stride of all.
    pub(crate) fn trailing_of<S>(schedule: &S, all: usize, n: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = Step> + ?Sized,
    {
        let total = total_for(schedule, n)? as f64;
        // The products of numpy, on which the ties rest.
        let stride = (total - all as f64 / n as f64) - total;
        let step = |i: usize| {
            let step = (total + i as f64 * stride).round_ties_even() - 1.0;
            match step >= 0.0 {
                true => Ok(Step::new(step as usize)),
                false => {
                    let allowed = format!("few enough that {n} strides fit");
                    Err(Error::range("number of steps", n as f64, allowed))
                }
            }
        };
        Self::at(schedule, &(0..n).map(step).collect::<Result<Vec<_>, _>>()?)
    }

    /// `n` steps from `T - 1` to 0, both included, rounded to whole ones, ties to even; the last
    /// one alone for `n = 1`.
    ///
    /// The multi-step solvers of diffusers take `n + 1` such steps and skip step 0:
    /// [`without_penultimate`](Self::without_penultimate); likewise for
    /// [`leading`](Self::leading). Its Euler, Heun and LMS do not round:
    /// [`uniform_time`](Self::uniform_time).
    ///
    /// # Errors
    ///
    /// If `n` is 0 or above `T`.
    pub fn linspace<S>(schedule: &S, n: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = Step> + ?Sized,
    {
        let last = total_for(schedule, n)? - 1;
        let step = |i: usize| {
            // The products of numpy, on which the ties rest.
            let stride = last as f64 / (n - 1).max(1) as f64;
            Step::new((i as f64 * stride).round_ties_even() as usize)
        };
        let rest = (0..n - 1).rev().map(step);
        let steps: Vec<_> = [Step::new(last)].into_iter().chain(rest).collect();
        Self::at(schedule, &steps)
    }
}

/// Number of training steps.
fn total<S: NoiseSchedule<Time = Step> + ?Sized>(schedule: &S) -> usize {
    (schedule.ends().0.get() as usize).saturating_add(1)
}

/// The same, at least `n`.
pub(super) fn total_for<S>(schedule: &S, n: usize) -> Result<usize, Error>
where
    S: NoiseSchedule<Time = Step> + ?Sized,
{
    counted_for(schedule, "number of steps", n)
}

/// The same where `n` is something else.
pub(super) fn counted_for<S>(schedule: &S, what: &'static str, n: usize) -> Result<usize, Error>
where
    S: NoiseSchedule<Time = Step> + ?Sized,
{
    let total = total(schedule);
    if total > MOST_STEPS {
        check_count(what, n, MOST_STEPS)?;
    } else if !(1..=total).contains(&n) {
        let allowed = format!("1 to {total}, the steps of the schedule");
        return Err(Error::range(what, n as f64, allowed));
    }
    Ok(total)
}
