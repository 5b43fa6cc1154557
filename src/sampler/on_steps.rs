//! A schedule of any clock, seen as one on training steps.

use super::grid_name::on_clock;
use crate::{Clock, Error, Grid, LogSnr, NoiseLevel, NoiseSchedule, Step};

/// A schedule whose clock counts training steps, which its type does not tell.
pub(super) struct OnSteps<'a, S: ?Sized> {
    schedule: &'a S,
    ends: (Step, Step),
    needed_by: &'static str,
}

impl<'a, S: NoiseSchedule<Time: Clock> + ?Sized> OnSteps<'a, S> {
    pub fn new(schedule: &'a S, needed_by: &'static str) -> Result<Self, Error> {
        let (noisiest, cleanest) = schedule.ends();
        let (Some(noisiest), Some(cleanest)) = (noisiest.as_step(), cleanest.as_step()) else {
            return Err(missing(needed_by));
        };
        Ok(Self {
            schedule,
            ends: (noisiest, cleanest),
            needed_by,
        })
    }

    /// A grid of these steps on the schedule's own clock.
    pub fn own(&self, grid: Grid<Step>) -> Result<Grid<S::Time>, Error> {
        on_clock(&grid, |step| self.time(step))
    }

    fn time(&self, step: Step) -> Result<S::Time, Error> {
        S::Time::from_step(step).ok_or(missing(self.needed_by))
    }

    fn step(&self, time: S::Time) -> Result<Step, Error> {
        time.as_step().ok_or(missing(self.needed_by))
    }
}

fn missing(needed_by: &'static str) -> Error {
    Error::Missing {
        what: "a clock of training steps",
        needed_by,
    }
}

impl<S: NoiseSchedule<Time: Clock> + ?Sized> NoiseSchedule for OnSteps<'_, S> {
    type Time = Step;

    fn level(&self, t: Step) -> Result<NoiseLevel, Error> {
        self.schedule.level(self.time(t)?)
    }

    fn time_at(&self, snr: LogSnr) -> Result<Step, Error> {
        self.step(self.schedule.time_at(snr)?)
    }

    fn ends(&self) -> (Step, Step) {
        self.ends
    }

    fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
        self.schedule.level_at(snr)
    }

    fn network_time(&self, t: Step) -> Step {
        let time = self.time(t).map(|time| self.schedule.network_time(time));
        time.ok().and_then(Clock::as_step).unwrap_or(t)
    }
}
