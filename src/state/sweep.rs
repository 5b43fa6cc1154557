//! Several linear combinations in one pass over the elements.

use smallvec::SmallVec;

use super::State;
use crate::Error;

/// `target <- own * target + sum of coefficient * state`: one of the assignments of a
/// [sweep](State::sweep).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assignment<'a> {
    /// Which of the changing states is replaced.
    pub target: usize,
    /// The coefficient of its old value; where it is 0 that is not read.
    pub own: f64,
    /// Coefficients, each with the number of its state: the changing states are counted first, then
    /// the fixed ones. The target is not among them.
    pub terms: &'a [(f64, usize)],
    /// Whether the noise of the sweep is added, if it has any
    /// ([`NoiseSource::sweep`](crate::noise::NoiseSource::sweep)).
    pub noisy: bool,
    /// What the result is kept within, if anything; NaN stays NaN.
    pub bounds: Option<(f64, f64)>,
    /// Whether the sweep is to tell if the first of the changing states held only finite numbers. Where one of its
    /// assignments is not watched it need not, and says that it did: a tensor on a device would have to be waited for.
    pub watched: bool,
}

impl<'a> Assignment<'a> {
    /// Without noise and bounds.
    pub const fn new(target: usize, own: f64, terms: &'a [(f64, usize)]) -> Self {
        Self {
            target,
            own,
            terms,
            noisy: false,
            bounds: None,
            watched: true,
        }
    }

    /// The same with its result kept within bounds.
    #[must_use]
    pub const fn with_bounds(mut self, low: f64, high: f64) -> Self {
        self.bounds = Some((low, high));
        self
    }

    /// The same with the noise of the sweep, or without.
    #[must_use]
    pub const fn with_noise(mut self, noisy: bool) -> Self {
        self.noisy = noisy;
        self
    }

    /// The same, watched or not.
    #[must_use]
    pub const fn watched(mut self, watched: bool) -> Self {
        self.watched = watched;
        self
    }

    /// Refuses numbers of states that there are not.
    pub(crate) fn check(&self, changing: usize, all: usize) -> Result<(), Error> {
        let what = "number of a state in an assignment";
        if self.target >= changing {
            let allowed = format!("below {changing}, the number of changing states");
            return Err(Error::range(what, self.target as f64, allowed));
        }
        let bad = |&&(_, i): &&(f64, usize)| i >= all || i == self.target;
        match self.terms.iter().find(bad) {
            None => Ok(()),
            Some((_, i)) => {
                let allowed = format!("below {all}, and not the target");
                Err(Error::range(what, *i as f64, allowed))
            }
        }
    }
}

/// Terms of an assignment, without a heap for those that solvers have.
pub(crate) type Terms<'a, T> = SmallVec<[(f64, &'a T); 6]>;

/// Whether the sweep is to tell if the numbers were finite.
pub(crate) fn is_watched(assignments: &[Assignment<'_>]) -> bool {
    assignments.iter().all(|assignment| assignment.watched)
}

/// The assignments one after the other, and then what `noise` does to a noisy target.
pub(crate) fn one_by_one<V: State>(
    states: &mut [&mut V],
    fixed: &[&V],
    assignments: &[Assignment<'_>],
    mut noise: impl FnMut(&mut V) -> Result<(), Error>,
) -> Result<bool, Error> {
    let (changing, all) = (states.len(), states.len() + fixed.len());
    assignments
        .iter()
        .try_for_each(|assignment| assignment.check(changing, all))?;
    let finite = !is_watched(assignments) || states.first().is_none_or(|state| state.is_finite());
    for assignment in assignments {
        let (before, rest) = states.split_at_mut(assignment.target);
        let Some((target, after)) = rest.split_first_mut() else {
            continue;
        };
        let state = |&(c, i): &(f64, usize)| Some((c, state_at(i, before, after, fixed)?));
        let terms: Terms<'_, V> = assignment.terms.iter().filter_map(state).collect();
        target.combine(assignment.own, &terms)?;
        if assignment.noisy {
            noise(target)?;
        }
        if let Some((low, high)) = assignment.bounds {
            target.clamp(low, high)?;
        }
    }
    Ok(finite)
}

/// The state of this number, among those before the target, those after it, and the fixed ones.
pub(crate) fn state_at<'s, T: ?Sized>(
    i: usize,
    before: &'s [&mut T],
    after: &'s [&mut T],
    fixed: &'s [&T],
) -> Option<&'s T> {
    match i.checked_sub(before.len() + 1) {
        None => before.get(i).map(|state| &**state),
        Some(i) if i < after.len() => after.get(i).map(|state| &**state),
        Some(i) => fixed.get(i - after.len()).copied(),
    }
}
