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
    /// still has noise, it is the last node, and a step to the data follows it. On training steps
    /// the times are not rounded; the log-SNR is linear between whole steps, as for k-diffusion.
    /// [`interpolating_sigma`](Grid::interpolating_sigma) is diffusers' other choice.
    ///
    /// # Errors
    ///
    /// If `n` is 0.
    #[doc(alias("normal", "discrete", "get_sigmas", "time_uniform"))]
    pub fn uniform_time<S>(schedule: &S, n: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
        T: Clock,
    {
        let (noisiest, cleanest) = schedule.ends();
        Self::uniform_time_between(schedule, n, noisiest, cleanest)
    }

    /// The same between two times of your own, the first one of the noisier level.
    ///
    /// # Errors
    ///
    /// If `n` is 0, a time is outside the schedule, or `from` is not noisier than `to`.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, Time, schedule::{NoiseSchedule, RectifiedFlow}};
    /// let (from, to) = (Time::new(0.9)?, Time::new(0.1)?);
    /// // Two steps that stop at 0.1: three nodes, less the step from there to the data.
    /// let grid = Grid::uniform_time_between(&RectifiedFlow, 3, from, to)?.without_final_step()?;
    /// assert_eq!(grid.len(), 2);
    /// assert_eq!(grid.end(), RectifiedFlow.level(to)?);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("time_uniform"))]
    pub fn uniform_time_between<S>(schedule: &S, n: usize, from: T, to: T) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
        T: Clock,
    {
        Self::paced_between(schedule, n, from, to, |fraction| fraction)
    }

    /// `n` steps whose times are even in their root, from the noisiest time of the schedule.
    ///
    /// $$t_i=\Big(\sqrt{t_{\mathrm{first}}}
    ///   +f_i\big(\sqrt{t_{\mathrm{last}}}-\sqrt{t_{\mathrm{first}}}\big)\Big)^2$$
    ///
    /// Ends as [`uniform_time`](Self::uniform_time) does.
    ///
    /// # Errors
    ///
    /// If `n` is 0, or a time is negative.
    ///
    /// [Source](crate::docs::papers#arxiv-2010.02502): Denoising Diffusion Implicit Models, Song, Meng, Ermon, 2020;
    /// DPM-Solver, Lu et al., 2022.
    #[doc(alias("time_quadratic"))]
    pub fn quadratic_time<S>(schedule: &S, n: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
        T: Clock,
    {
        let (noisiest, cleanest) = schedule.ends();
        Self::quadratic_time_between(schedule, n, noisiest, cleanest)
    }

    /// The same between two times of your own, the first one of the noisier level.
    ///
    /// # Errors
    ///
    /// If `n` is 0, a time is negative or outside the schedule, or `from` is not noisier than `to`.
    pub fn quadratic_time_between<S>(schedule: &S, n: usize, from: T, to: T) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
        T: Clock,
    {
        let (a, b) = (from.reading(), to.reading());
        for (what, time) in [("first time", a), ("last time", b)] {
            if !(time >= 0.0) {
                return Err(Error::range(what, time, "0 or more"));
            }
        }
        // With f of the way in the root, this share of it in time.
        let (a, b) = (a.sqrt(), b.sqrt());
        let pace = |f: f64| f * (2.0 * a + f * (b - a)) / (a + b);
        Self::paced_between(schedule, n, from, to, pace)
    }

    /// `n + 1` times, even from the noisiest to the cleanest of the schedule, the last of them
    /// replaced by the data: `t_i = t_0 + i / n (t_n - t_0)`.
    ///
    /// As [`uniform_time`](Self::uniform_time) where the cleanest time is the data.
    ///
    /// # Errors
    ///
    /// If `n` is 0.
    ///
    /// [Source](crate::docs::papers#generative-models): Stability AI's generative-models, 2023.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, schedule::Discrete};
    /// let grid = Grid::sgm_uniform(&Discrete::cosine(1000)?, 2)?;
    /// let times: Vec<_> = grid.nodes().iter().map(|node| node.time.get()).collect();
    /// assert_eq!(times, [999.0, 499.5]);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn sgm_uniform<S>(schedule: &S, n: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
        T: Clock,
    {
        check_steps(n)?;
        let (from, to) = schedule.ends();
        let time = |i: usize| from.toward(to, i as f64 / n as f64);
        Self::at(schedule, &(0..n).map(time).collect::<Vec<_>>())
    }

    /// `n` times, `pace(f)` of the way from one to another. The last one is a node, or the end if it
    /// is the data.
    fn paced_between<S>(
        schedule: &S,
        n: usize,
        from: T,
        to: T,
        pace: impl Fn(f64) -> f64,
    ) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
        T: Clock,
    {
        check_steps(n)?;
        let intervals = if schedule.level(to)?.is_clean() {
            n
        } else {
            (n - 1).max(1)
        };
        let time = |i: usize| match i {
            i if i == intervals => to,
            i => from.toward(to, pace(i as f64 / intervals as f64)),
        };
        Self::at(schedule, &(0..n).map(time).collect::<Vec<_>>())
    }

    /// `n` nodes, even in log-SNR between the ends of the schedule, and a step to the data.
    ///
    /// # Errors
    ///
    /// If `n` is 0, or the log-SNR of an end is infinite:
    /// [`uniform_log_snr_between`](Self::uniform_log_snr_between) takes finite ones.
    ///
    /// [Source](crate::docs::papers#arxiv-2206.00927): DPM-Solver, Lu et al., 2022.
    #[doc(alias("use_lu_lambdas", "log_linear", "exponential"))]
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
