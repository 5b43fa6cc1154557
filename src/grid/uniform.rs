//! Grids that are even in time or in log-SNR.

use std::fmt::Debug;

use super::Grid;
use crate::{
    Error, LogSnr,
    schedule::NoiseSchedule,
    time::{Clock, check_steps},
};

impl<T: Copy + Debug> Grid<T> {
    /// `n` steps, even in time from the noisiest time of the schedule.
    ///
    /// Where time 0 is the data, the grid ends there: `t_i = 1 - i / n`. Where the cleanest time
    /// still has noise, it is the last node, and a step to the data follows it.
    ///
    /// # Errors
    ///
    /// If `n` is 0.
    pub fn uniform_time<S>(schedule: &S, n: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
        T: Clock,
    {
        check_steps(n)?;
        let (noisiest, cleanest) = schedule.ends();
        let intervals = if schedule.level(cleanest)?.is_clean() {
            n
        } else {
            (n - 1).max(1)
        };
        let times: Vec<_> = (0..n)
            .map(|i| noisiest.toward(cleanest, i as f64 / intervals as f64))
            .collect();
        Self::at(schedule, &times)
    }

    /// `n` nodes, even in log-SNR between the ends of the schedule, and a step to the data.
    ///
    /// # Errors
    ///
    /// If `n` is 0, or the log-SNR of an end is infinite:
    /// [`uniform_log_snr_between`](Self::uniform_log_snr_between) takes finite ones.
    ///
    /// Source: DPM-Solver, Lu et al., 2022.
    pub fn uniform_log_snr<S>(schedule: &S, n: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        let (noisiest, cleanest) = schedule.ends();
        let from = schedule.level(noisiest)?.log_snr();
        Self::uniform_log_snr_between(schedule, n, from, schedule.level(cleanest)?.log_snr())
    }

    /// `n` nodes, even in log-SNR from `from` to `to`, both included, and a step to the data.
    ///
    /// # Errors
    ///
    /// If `n` is 0, a log-SNR is infinite or not reached by the schedule, or `from` is not below
    /// `to`.
    pub fn uniform_log_snr_between<S>(
        schedule: &S,
        n: usize,
        from: LogSnr,
        to: LogSnr,
    ) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        check_steps(n)?;
        for (what, end) in [("first log-SNR", from), ("last log-SNR", to)] {
            if !end.get().is_finite() {
                return Err(Error::range(what, end.get(), "a finite number"));
            }
        }
        let intervals = (n - 1).max(1) as f64;
        let nodes = (0..n).map(|i| {
            let fraction = i as f64 / intervals;
            LogSnr::new(from.get() * (1.0 - fraction) + to.get() * fraction)
        });
        Self::at_log_snrs(schedule, &nodes.collect::<Result<Vec<_>, _>>()?)
    }
}
