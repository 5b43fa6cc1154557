//! Steps that are drawn with given shares.

use super::check_share;
use crate::{Error, Step};

/// How often each step is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shares {
    shares: Vec<f64>,
    /// Share of the draws up to each step.
    cumulative: Vec<f64>,
}

impl Shares {
    /// These, which sum to 1.
    pub(super) fn new(shares: Vec<f64>) -> Self {
        let mut sum = 0.0;
        let up_to = |share: &f64| {
            sum += share;
            sum
        };
        let cumulative = shares.iter().map(up_to).collect();
        Self { shares, cumulative }
    }

    pub(super) fn quantile(&self, u: f64) -> Result<Step, Error> {
        check_share(u)?;
        let index = self.cumulative.partition_point(|&share| share <= u);
        Ok(Step::new(
            index.min(self.cumulative.len().saturating_sub(1)),
        ))
    }

    pub(super) fn cdf(&self, t: Step) -> f64 {
        let last = self.cumulative.len().saturating_sub(1);
        match self.cumulative.get(t.get() as usize) {
            Some(share) if t.get() < last as f64 => *share,
            _ => 1.0,
        }
    }

    pub(super) fn cdf_before(&self, t: Step) -> f64 {
        self.cdf(t) - self.density(t)
    }

    pub(super) fn density(&self, t: Step) -> f64 {
        let share = t.index().and_then(|index| self.shares.get(index));
        share.copied().unwrap_or(0.0)
    }
}
