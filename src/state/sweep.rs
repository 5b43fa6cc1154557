//! Several linear combinations in one pass over the elements.

use smallvec::SmallVec;

use super::{State, by_item::check_lists};
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
    /// A coefficient for each batch item in place of `own` and those of the terms, in this order.
    pub items: Option<&'a [&'a [f64]]>,
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
            items: None,
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

    /// The same with coefficients of each batch item in place of the numbers: a list for the old value, and one for
    /// each term.
    ///
    /// ```
    /// use gaussian_diffusion::{State, state::Assignment};
    /// use ndarray::array;
    /// let (mut x, y) = (array![[1.0, 2.0], [3.0, 4.0]], array![[10.0, 10.0], [20.0, 20.0]]);
    /// let lists = [&[1.0, 0.0][..], &[0.5, 2.0]];
    /// let by_items = Assignment::new(0, 1.0, &[(1.0, 1)]).with_items(&lists);
    /// State::sweep(&mut [&mut x], &[&y], &[by_items])?;
    /// assert_eq!(x, array![[6.0, 7.0], [40.0, 40.0]]);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[must_use]
    pub const fn with_items(mut self, lists: &'a [&'a [f64]]) -> Self {
        self.items = Some(lists);
        self
    }

    /// The same, watched or not.
    #[must_use]
    pub const fn watched(mut self, watched: bool) -> Self {
        self.watched = watched;
        self
    }

    /// The coefficient of the old value for an item.
    pub(crate) fn own_of(&self, item: usize) -> f64 {
        self.coefficient(0, item, self.own)
    }

    /// The coefficients for an item, each with the number of its state.
    pub(crate) fn terms_of(&self, item: usize) -> impl Iterator<Item = (f64, usize)> {
        let terms = self.terms.iter().enumerate();
        terms.map(move |(k, &(c, i))| (self.coefficient(k + 1, item, c), i))
    }

    fn coefficient(&self, list: usize, item: usize, same: f64) -> f64 {
        match self.items {
            None => same,
            Some(lists) => lists
                .get(list)
                .and_then(|list| list.get(item))
                .copied()
                .unwrap_or(same),
        }
    }

    /// Whether the old value is not read.
    #[cfg(feature = "candle")]
    pub(crate) fn forgets(&self) -> bool {
        match self.items.and_then(|lists| lists.first()) {
            None => self.own == 0.0,
            Some(own) => own.iter().all(|own| *own == 0.0),
        }
    }

    /// Refuses numbers of states that there are not, and lists of another length than the batch.
    fn check(&self, changing: usize, all: usize, batch: usize) -> Result<(), Error> {
        check_lists(self.items.unwrap_or_default().iter().copied(), batch)?;
        if let Some(lists) = self
            .items
            .filter(|lists| lists.len() != self.terms.len() + 1)
        {
            let allowed = format!("{}, one more than terms", self.terms.len() + 1);
            return Err(Error::range(
                "lists of coefficients",
                lists.len() as f64,
                allowed,
            ));
        }
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

/// Refuses assignments that do not go with these states.
pub(crate) fn check<V: State>(
    states: &[&mut V],
    fixed: &[&V],
    assignments: &[Assignment<'_>],
) -> Result<(), Error> {
    let (changing, all) = (states.len(), states.len() + fixed.len());
    let batch = states.first().map_or(0, |state| state.items());
    let mut assignments = assignments.iter();
    assignments.try_for_each(|assignment| assignment.check(changing, all, batch))
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
    check(states, fixed, assignments)?;
    let finite = !is_watched(assignments) || states.first().is_none_or(|state| state.is_finite());
    for assignment in assignments {
        let (before, rest) = states.split_at_mut(assignment.target);
        let Some((target, after)) = rest.split_first_mut() else {
            continue;
        };
        let state = |&(c, i): &(f64, usize)| Some((c, state_at(i, before, after, fixed)?));
        let terms: Terms<'_, V> = assignment.terms.iter().filter_map(state).collect();
        match assignment.items.and_then(|lists| lists.split_first()) {
            None => target.combine(assignment.own, &terms)?,
            Some((own, lists)) => {
                let terms = lists
                    .iter()
                    .zip(&terms)
                    .map(|(list, (_, term))| (*list, *term));
                target.combine_items(own, &terms.collect::<SmallVec<[_; 6]>>())?;
            }
        }
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

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::Assignment;
    use crate::{
        Error, SeededNoise, State,
        noise::{NoiseSource, Scale},
    };

    /// Against a plain loop, for items that are shorter and longer than blocks, and on all cores.
    #[test]
    fn every_item_has_its_own_coefficients_in_one_pass() {
        for (items, length) in [(3, 1500), (64, 3), (5, 1), (2, 300_001)] {
            let x = Array2::from_shape_fn((items, length), |(i, j)| {
                (i * 7 + j % 13) as f32 * 0.1 - 2.0
            });
            let own: Vec<f64> = (0..items).map(|i| i as f64 * 0.5).collect();
            let of_x: Vec<f64> = (0..items).map(|i| 1.5 - i as f64).collect();
            let of_z: Vec<f64> = (0..items).map(|i| 0.25 + i as f64).collect();
            let lists = [&own[..], &of_x, &of_z];
            let (mut z, mut y) = (x.clone(), x.clone());
            let both = [
                Assignment::new(0, 0.0, &[]).with_noise(true),
                Assignment::new(1, 0.0, &[(0.0, 2), (0.0, 0)]).with_items(&lists),
            ];
            let mut noise = SeededNoise::new(3);
            noise
                .sweep(&mut [&mut z, &mut y], &[&x], &both, Scale::Same(1.0), None)
                .unwrap();
            let mut drawn = x.clone();
            SeededNoise::new(3).fill(&mut drawn).unwrap();
            assert_eq!(z, drawn);
            for ((i, j), y) in y.indexed_iter() {
                let (x, z) = (x[[i, j]], z[[i, j]]);
                let [a, b, c] = [own[i], of_x[i], of_z[i]].map(|c| c as f32);
                let first = if a == 0.0 { 0.0 } else { a * x };
                assert_eq!(
                    *y,
                    first + b * x + c * z,
                    "{items} items of {length}, {i}, {j}"
                );
            }
        }
    }

    #[test]
    fn lists_of_another_length_are_refused() {
        let mut x = Array2::<f64>::ones((2, 3));
        let swept = |x: &mut Array2<f64>, lists: &[&[f64]]| {
            let y = x.clone();
            let assignment = Assignment::new(0, 1.0, &[(1.0, 1)]).with_items(lists);
            State::sweep(&mut [x], &[&y], &[assignment])
        };
        let error = swept(&mut x, &[&[1.0, 2.0], &[1.0; 3]]).unwrap_err();
        assert!(
            matches!(error, Error::BatchLength { found: 3, .. }),
            "{error}"
        );
        let error = swept(&mut x, &[&[1.0, 2.0]]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "lists of coefficients is 1, allowed: 2, one more than terms"
        );
        assert_eq!(x, Array2::<f64>::ones((2, 3)));
    }
}
