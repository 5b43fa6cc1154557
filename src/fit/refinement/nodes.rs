//! Nodes brought to better places.

use std::fmt::Debug;

use crate::{
    Denoiser, Error, Grid, LogSnr, NoiseSchedule, Plan, ReverseStep,
    fit::{Fit, Lesson, minimum::Problem, stagewise::Student, walk::Counted},
    grid::Node,
    state::{Kept, State},
};

/// A grid with the fit on it.
type Placed<V, T> = (Grid<T>, Student<V, T>);

/// The inner nodes of a grid.
pub(super) struct Nodes<'a, V: State, S: NoiseSchedule + ?Sized, R: ?Sized, D: ?Sized> {
    pub fit: &'a Fit,
    pub schedule: &'a S,
    pub solver: &'a R,
    pub lesson: &'a Lesson<V, S::Time>,
    pub network: Counted<'a, D>,
    pub difference: f64,
    pub steps: usize,
}

impl<V, S, R, D> Nodes<'_, V, S, R, D>
where
    V: State,
    S: NoiseSchedule + ?Sized,
    R: ReverseStep + ?Sized,
    D: Denoiser<V, S::Time> + ?Sized,
{
    /// A fit on this grid.
    pub(super) fn at(&mut self, grid: Grid<S::Time>) -> Result<Placed<V, S::Time>, Error> {
        let base = Plan::new(self.schedule, &grid, self.solver)?;
        let student = self.fit.student(&base, self.lesson, &mut self.network)?;
        Ok((grid, student))
    }

    /// The grid with its inner nodes this far away in log-SNR, and how far each has gone: no further than
    /// the schedule reaches.
    fn shifted(
        &self,
        grid: &Grid<S::Time>,
        by: &[f64],
    ) -> Result<(Grid<S::Time>, Vec<f64>), Error> {
        let (noisiest, cleanest) = self.schedule.ends();
        let reach = [noisiest, cleanest].map(|end| self.schedule.level(end));
        let [low, high] = reach.map(|level| level.map(|level| level.log_snr().get()));
        let (low, high) = (low?, high?);
        let (mut nodes, mut gone) = (grid.nodes().to_vec(), Vec::with_capacity(by.len()));
        for (node, by) in nodes.iter_mut().skip(1).zip(by) {
            let before = node.level.log_snr().get();
            let snr = LogSnr::new((before + by).clamp(low.min(before), high.max(before)))?;
            gone.push(snr.get() - before);
            if snr.get() != before {
                *node = Node {
                    level: self.schedule.level_at(snr)?,
                    time: self.schedule.network_time(self.schedule.time_at(snr)?),
                };
            }
        }
        Ok((Grid::new(nodes, grid.end())?, gone))
    }
}

/// How far each inner node is from the nearer of its neighbours, in log-SNR.
fn gaps<T: Copy + Debug>(grid: &Grid<T>) -> Vec<f64> {
    let snrs: Vec<_> = grid.levels().map(|level| level.log_snr().get()).collect();
    let nearer = |three: &[f64]| (three[1] - three[0]).min(three[2] - three[1]);
    let gap = |three: &[f64]| match nearer(three) {
        gap if gap.is_finite() => gap,
        _ => 1.0,
    };
    snrs.windows(3).map(gap).collect()
}

impl<V, S, R, D> Problem<V, S::Time> for Nodes<'_, V, S, R, D>
where
    V: State,
    S: NoiseSchedule + ?Sized,
    R: ReverseStep + ?Sized,
    D: Denoiser<V, S::Time> + ?Sized,
{
    type Point = Placed<V, S::Time>;

    fn end<'a>(&self, (_, student): &'a Self::Point) -> Result<&'a Kept<V>, Error> {
        student.walk.last()
    }

    fn slopes(&mut self, (grid, student): &Self::Point) -> Result<Vec<Kept<V>>, Error> {
        let gaps = gaps(grid);
        let mut slopes = Vec::with_capacity(gaps.len());
        for (node, gap) in gaps.iter().enumerate() {
            let mut by = vec![0.0; gaps.len()];
            by[node] = self.difference * gap;
            let (mut there, mut gone) = self.shifted(grid, &by)?;
            if gone[node].abs() < 0.5 * by[node] {
                // At the end of the schedule: the other way.
                by[node] = -by[node];
                (there, gone) = self.shifted(grid, &by)?;
            }
            let (_, moved) = self.at(there)?;
            let mut slope = moved.walk.last()?.clone();
            let inverse = gone[node].recip();
            slope.combine(inverse, &[(-inverse, student.walk.last()?)])?;
            slopes.push(slope);
        }
        Ok(slopes)
    }

    fn moved(&mut self, (grid, _): &Self::Point, by: &[f64]) -> Result<Self::Point, Error> {
        // No node comes near another's place in one move.
        let share = |(gap, by): (&f64, &f64)| 0.4 * gap / by.abs().max(f64::MIN_POSITIVE);
        let share = gaps(grid).iter().zip(by).map(share).fold(1.0, f64::min);
        let by: Vec<_> = by.iter().map(|by| share * by).collect();
        let (grid, _) = self.shifted(grid, &by)?;
        self.at(grid)
    }

    fn questions(&self) -> (usize, usize, usize) {
        let inner = self.steps - 1;
        (self.network.evaluations, inner * self.steps, self.steps)
    }
}
