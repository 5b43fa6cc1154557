//! Published lists of sigmas.

use std::fmt::Debug;

use super::Grid;
use crate::{Error, schedule::NoiseSchedule};

/// A falling list of sigmas, with its figures rounded for print.
#[derive(Debug)]
pub(super) struct Table(pub Vec<f64>);

impl Table {
    /// `n` sigmas, even in the index and linear in `ln sigma` between the given ones.
    pub fn sigmas(&self, n: usize) -> Vec<f64> {
        let last = self.0.len() - 1;
        let sigma = |i: usize| {
            let scaled = i * last;
            let intervals = n.saturating_sub(1).max(1);
            let (index, rest) = (scaled / intervals, scaled % intervals);
            if rest == 0 {
                return self.0[index];
            }
            let fraction = rest as f64 / intervals as f64;
            let (a, b) = (self.0[index].ln(), self.0[index + 1].ln());
            (a + (b - a) * fraction).exp()
        };
        (0..n).map(sigma).collect()
    }

    /// `n` steps along the list, its last sigma replaced by the data.
    pub fn grid<S>(self, schedule: &S, n: usize) -> Result<Grid<S::Time>, Error>
    where
        S: NoiseSchedule + ?Sized,
        S::Time: Copy + Debug,
    {
        let mut sigmas = self.sigmas(n + 1);
        sigmas.pop();
        let (noisiest, cleanest) = schedule.ends();
        for end in [noisiest, cleanest] {
            let end = schedule.level(end)?.noise_to_signal();
            for sigma in &mut sigmas {
                if (*sigma - end).abs() < 0.01 * end {
                    *sigma = end;
                }
            }
        }
        Grid::at_noise_to_signal(schedule, &sigmas)
    }
}
