//! A table of betas with what a class may leave at its end.

use crate::{
    Error, LogSnr, NoiseLevel, Step,
    schedule::{Discrete, NoiseSchedule},
};

/// The steps of a table, the last of which may be cleaner than those before it.
///
/// Classes that count in sigma put a level with a trace of signal in the place of the last step at
/// zero terminal SNR. Where the betas leave less before it, the levels do not fall to the end, and a
/// grid may hold the last step or those before it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    steps: Discrete,
    end: Option<NoiseLevel>,
}

impl From<Discrete> for Table {
    fn from(steps: Discrete) -> Self {
        let end = None;
        Self { steps, end }
    }
}

impl Table {
    pub fn ending_at(steps: Discrete, end: NoiseLevel) -> Self {
        let end = Some(end);
        Self { steps, end }
    }

    pub fn len(&self) -> usize {
        self.steps.len()
    }

    fn last(&self) -> f64 {
        (self.len() - 1) as f64
    }

    /// The level of the first step.
    pub fn least(&self) -> Result<NoiseLevel, Error> {
        self.steps.level_at_step(0)
    }

    /// The level of the last step.
    pub fn most(&self) -> Result<NoiseLevel, Error> {
        self.level(Step::new(self.len() - 1))
    }

    /// The first steps, down to this log-SNR.
    pub fn reaching(&self, lowest: LogSnr) -> Result<Self, Error> {
        let steps = self.steps.reaching(lowest)?;
        let end = self.end.filter(|_| steps.len() == self.len());
        Ok(Self { steps, end })
    }
}

impl NoiseSchedule for Table {
    type Time = Step;

    fn level(&self, t: Step) -> Result<NoiseLevel, Error> {
        let below = self.last() - 1.0;
        let Some(end) = self.end.filter(|_| t.get() > below) else {
            return self.steps.level(t);
        };
        if t.get() >= self.last() {
            // What lies beyond is refused.
            return self.steps.level(t).map(|_| end);
        }
        let before = self.steps.level(Step::fractional(below)?)?.log_snr().get();
        let way = end.log_snr().get() - before;
        self.level_at(LogSnr::new(before + way * (t.get() - below))?)
    }

    fn time_at(&self, snr: LogSnr) -> Result<Step, Error> {
        match self.end {
            Some(end) if snr <= end.log_snr() => Ok(Step::new(self.len() - 1)),
            _ => self.steps.time_at(snr),
        }
    }

    fn ends(&self) -> (Step, Step) {
        self.steps.ends()
    }

    fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
        self.steps.level_at(snr)
    }
}
