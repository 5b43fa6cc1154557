//! How the orders of a multi-step rule end.

use super::Path;

/// Whether orders fall toward the end of a run, and whether the run ends with an empty step.
///
/// A list of sigmas that repeats its last one has a step from a level to itself. No grid has it, but
/// peers count it as a step, and a rule that corrects itself uses the evaluation there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ending {
    pub lowers: bool,
    pub empty_step: bool,
}

impl Ending {
    /// Steps of the run, the empty one included.
    pub fn steps(self, path: &Path<'_>) -> usize {
        path.steps() + usize::from(self.empty_step)
    }

    /// Whether no other step follows the one of this index.
    pub fn is_last(self, path: &Path<'_>, index: usize) -> bool {
        index + 1 == self.steps(path)
    }

    /// No more than `most`, and where wanted no more than the number of steps left.
    pub fn order(self, path: &Path<'_>, index: usize, most: usize) -> usize {
        match self.lowers {
            true => most.min(self.steps(path) - index),
            false => most,
        }
    }

    /// The order of whole runs: a last step of order 1 leaves an error of the second.
    pub fn order_of_runs(self, order: usize) -> u32 {
        match self.lowers {
            true => order.min(2) as u32,
            false => order as u32,
        }
    }

    /// As [`order`](Self::order), where only short runs are lowered.
    pub fn order_if_short(self, path: &Path<'_>, most: usize) -> usize {
        // Where the code of DPM-Solver++ in diffusers draws the line.
        const SHORT: usize = 15;
        match self.steps(path) < SHORT {
            true => self.order(path, path.index(), most),
            false => most,
        }
    }
}
