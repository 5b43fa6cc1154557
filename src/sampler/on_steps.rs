//! A schedule of any clock, seen as front ends see every model: a table of training steps.

use std::fmt::Debug;

use crate::{
    Clock, Error, Grid, LogSnr, NoiseLevel, NoiseSchedule, Sigma, Step,
    grid::{Node, SigmaCurve},
    solver::Coordinates,
    time::check_steps,
};

/// As many training steps as front ends give a model in continuous time.
const STEPS: usize = 1000;

/// What ComfyUI and the WebUI put for the `alpha_bar` of a last step without signal: `sigma / alpha` is
/// 4518.76.
const LAST_ALPHA_BAR: f64 = 4.897_345_189_085_343_5e-8;

/// A schedule as a table of training steps.
///
/// A clock that counts steps has its own. On any other there are 1000, even on the clock that a network
/// hears: step `i` is `(i + 1) / 1000` of the way where the cleanest time is the data, and `i / 999` where
/// that still has noise.
///
/// What front ends call sigma is `sigma / alpha`, and the time on a rectified flow.
pub(super) struct OnSteps<'a, S: NoiseSchedule + ?Sized> {
    schedule: &'a S,
    last: usize,
    /// Whether the data lies one step below the first.
    starts_clean: bool,
    coordinates: Coordinates,
    /// The level of the last step, where the schedule has one without signal and no flow allows it.
    noisiest: Option<NoiseLevel>,
}

impl<'a, S: NoiseSchedule<Time: Clock> + ?Sized> OnSteps<'a, S> {
    /// With the last step that front ends give a schedule of zero terminal SNR.
    pub fn new(schedule: &'a S) -> Result<Self, Error> {
        Self::with_coordinates(schedule, coordinates_of(schedule)?)
    }

    /// The same with `sigma / alpha` as sigma, on flows too.
    pub fn in_ratio(schedule: &'a S) -> Result<Self, Error> {
        Self::with_coordinates(schedule, Coordinates::Noise)
    }

    /// With all levels as the schedule has them.
    pub fn exact(schedule: &'a S) -> Result<Self, Error> {
        let mut own = Self::new(schedule)?;
        own.noisiest = None;
        Ok(own)
    }

    fn with_coordinates(schedule: &'a S, coordinates: Coordinates) -> Result<Self, Error> {
        let (noisiest, cleanest) = schedule.ends();
        let last_step = noisiest.as_step();
        let replaced = coordinates != Coordinates::Flow && schedule.level(noisiest)?.is_noise();
        let last = NoiseLevel::from_alpha_bar(LAST_ALPHA_BAR)?.log_snr();
        Ok(Self {
            schedule,
            last: last_step.map_or(STEPS - 1, |step| step.get() as usize),
            starts_clean: schedule.level(cleanest)?.is_clean(),
            coordinates,
            noisiest: replaced.then(|| schedule.level_at(last)).transpose()?,
        })
    }

    /// A grid of these steps on the schedule's own clock.
    pub fn own(&self, grid: &Grid<Step>) -> Result<Grid<S::Time>, Error> {
        on_clock(grid, |step| Ok(self.schedule.network_time(self.time(step))))
    }

    /// Even steps of the clock that ComfyUI gives a network, from the last step to the first.
    ///
    /// On a flow its clock is sigma, and it takes the sigma of the first step for a time: where the flow is
    /// shifted, the end is shifted twice.
    pub fn even(&self, n: usize) -> Result<Grid<S::Time>, Error> {
        let (noisiest, cleanest) = self.schedule.ends();
        if self.coordinates == Coordinates::Flow && noisiest.as_step().is_none() {
            let first = self.coordinates.clock(self.level(Step::new(0))?);
            let end = noisiest.toward(cleanest, 1.0 - first);
            return Grid::uniform_time_between(self.schedule, n, noisiest, end);
        }
        self.own(&Grid::uniform_time(self, n)?)
    }

    /// Whether sigma is the time of a rectified flow.
    pub fn is_flow(&self) -> bool {
        self.coordinates == Coordinates::Flow
    }

    /// The largest and the smallest sigma: those of the last and of the first step.
    pub fn sigmas(&self) -> Result<(Sigma, Sigma), Error> {
        let sigma = |step| self.sigma(self.level(Step::new(step))?);
        Ok((sigma(self.last)?, sigma(0)?))
    }

    /// The sigma of a level, that of the last step where the level has no signal.
    pub fn sigma(&self, level: NoiseLevel) -> Result<Sigma, Error> {
        let level = match self.noisiest {
            Some(noisiest) if level.is_noise() => noisiest,
            _ => level,
        };
        Sigma::new(self.coordinates.clock(level))
    }

    /// `n` nodes whose sigmas run along the curve, and a step to the data.
    pub fn along(&self, n: usize, curve: &dyn SigmaCurve) -> Result<Grid<S::Time>, Error> {
        check_steps(n)?;
        let mut nodes = Vec::with_capacity(n);
        for sigma in curve.sigmas(n)? {
            let snr = match self.coordinates {
                Coordinates::Flow if sigma == 1.0 => LogSnr::new(f64::NEG_INFINITY)?,
                own => own.log_snr(sigma)?,
            };
            let time = match self.in_last_step(snr)? {
                Some(step) => self.time(step),
                None => self.schedule.time_at(snr)?,
            };
            nodes.push(Node {
                level: self.schedule.level_at(snr)?,
                time: self.schedule.network_time(time),
            });
        }
        Grid::new(nodes, NoiseLevel::CLEAN)
    }

    fn time(&self, step: Step) -> S::Time {
        let (noisiest, cleanest) = self.schedule.ends();
        S::Time::from_step(step).unwrap_or_else(|| {
            let share = match self.starts_clean {
                true => (step.get() + 1.0) / (self.last as f64 + 1.0),
                false => step.get() / self.last as f64,
            };
            cleanest.heard_toward(noisiest, share)
        })
    }

    /// The step of a log-SNR between the last two, where the schedule's own last one has no signal.
    fn in_last_step(&self, snr: LogSnr) -> Result<Option<Step>, Error> {
        let (Some(noisiest), Some(before)) = (self.noisiest, self.last.checked_sub(1)) else {
            return Ok(None);
        };
        let before_snr = self.level(Step::new(before))?.log_snr();
        let way = noisiest.log_snr().get() - before_snr.get();
        let share = (snr.get() - before_snr.get()) / way;
        match share > 0.0 {
            true => Ok(Some(Step::fractional(before as f64 + share.min(1.0))?)),
            false => Ok(None),
        }
    }
}

/// The coordinates whose clock front ends call sigma on this schedule.
pub(super) fn coordinates_of<S>(schedule: &S) -> Result<Coordinates, Error>
where
    S: NoiseSchedule<Time: Clock> + ?Sized,
{
    let (noisiest, cleanest) = schedule.ends();
    let middle = schedule.level(cleanest.toward(noisiest, 0.5))?;
    let (alpha, sigma) = (middle.alpha(), middle.sigma());
    // Other families miss a sum of 1 by about the smaller of the two, which must be seen beside the larger.
    let smaller = alpha.min(sigma);
    match smaller > 1e-9 && (alpha + sigma - 1.0).abs() < 1e-3 * smaller {
        true => Ok(Coordinates::Flow),
        false => Ok(Coordinates::Noise),
    }
}

impl<S: NoiseSchedule<Time: Clock> + ?Sized> NoiseSchedule for OnSteps<'_, S> {
    type Time = Step;

    fn level(&self, t: Step) -> Result<NoiseLevel, Error> {
        let Some(noisiest) = self.noisiest else {
            return self.schedule.level(self.time(t));
        };
        let below = t.get() - (self.last as f64 - 1.0);
        if below == 1.0 {
            return Ok(noisiest);
        }
        if !(below > 0.0 && below < 1.0) {
            return self.schedule.level(self.time(t));
        }
        let before = self.schedule.level(self.time(Step::new(self.last - 1)))?;
        let snr = before.log_snr().toward(noisiest.log_snr(), below);
        self.schedule.level_at(snr)
    }

    fn time_at(&self, snr: LogSnr) -> Result<Step, Error> {
        if let Some(step) = self.in_last_step(snr)? {
            return Ok(step);
        }
        if let Some(step) = self.schedule.time_at(snr)?.as_step() {
            return Ok(step);
        }
        // Between the two steps that have it between them, linear as everywhere.
        let (mut low, mut high) = (0, self.last);
        while high - low > 1 {
            let middle = low.midpoint(high);
            match self.level(Step::new(middle))?.log_snr() >= snr {
                true => low = middle,
                false => high = middle,
            }
        }
        let at = |step| Ok::<_, Error>(self.level(Step::new(step))?.log_snr().get());
        let (from, to) = (at(low)?, at(high)?);
        let share = (snr.get() - from) / (to - from);
        Step::fractional(low as f64 + if share > 0.0 { share.min(1.0) } else { 0.0 })
    }

    fn ends(&self) -> (Step, Step) {
        (Step::new(self.last), Step::new(0))
    }

    fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
        self.schedule.level_at(snr)
    }
}

/// The same grid on another clock.
fn on_clock<T, U>(grid: &Grid<T>, own: impl Fn(T) -> Result<U, Error>) -> Result<Grid<U>, Error>
where
    T: Copy + Debug,
    U: Copy + Debug,
{
    let mut nodes = Vec::with_capacity(grid.len());
    for node in grid.nodes() {
        nodes.push(Node {
            level: node.level,
            time: own(node.time)?,
        });
    }
    Grid::new(nodes, grid.end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Discrete, Edm, RectifiedFlow};

    /// Between two steps, linear in log-SNR; the thousand steps of a flow begin one above the data.
    #[test]
    fn log_snrs_have_the_step_between_two() {
        let flow = OnSteps::new(&RectifiedFlow).unwrap();
        assert_eq!(flow.ends(), (Step::new(999), Step::new(0)));
        let of_flow = |step: f64| 2.0 * ((1000.0 - step - 1.0) / (step + 1.0)).ln();
        let edm = Edm::default();
        let sigmas = OnSteps::new(&edm).unwrap();
        // Even in ln sigma, from 0.002 to 80.
        let of_sigma = |step: f64| -2.0 * (0.002_f64.ln() + step / 999.0 * 40_000_f64.ln());
        for step in [0.0, 1.0, 333.0, 700.0, 997.0] {
            for share in [0.0, 0.25, 0.5, 0.9] {
                let between = |snr: &dyn Fn(f64) -> f64| {
                    LogSnr::new(snr(step) * (1.0 - share) + snr(step + 1.0) * share).unwrap()
                };
                for found in [
                    flow.time_at(between(&of_flow)).unwrap(),
                    sigmas.time_at(between(&of_sigma)).unwrap(),
                ] {
                    assert!(
                        (found.get() - step - share).abs() < 1e-9,
                        "{found:?}, {step}"
                    );
                }
            }
        }
        // A last step without signal is one of a trace of it, and the levels before it end there.
        let zero = Discrete::stable_diffusion()
            .unwrap()
            .zero_terminal_snr()
            .unwrap();
        let table = OnSteps::new(&zero).unwrap();
        let before = zero.levels()[998].log_snr().get();
        let end = 2.0 * (1.0_f64 / 4518.76).ln();
        for share in [0.0, 0.25, 0.5, 0.9, 1.0] {
            let step = Step::fractional(998.0 + share).unwrap();
            let found = table.level(step).unwrap().log_snr();
            let expected = before + share * (end - before);
            assert!((found.get() - expected).abs() < 1e-5, "{share}: {found:?}");
            assert!((table.time_at(found).unwrap().get() - step.get()).abs() < 1e-9);
        }
        let before = table.level(Step::new(997)).unwrap();
        assert_eq!(before, zero.levels()[997]);
        // Beyond the ends there is nothing.
        let data = LogSnr::new(f64::INFINITY).unwrap();
        assert_eq!(flow.time_at(data).unwrap(), Step::new(0));
    }
}
