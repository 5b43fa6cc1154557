//! Tensors that say at run time of what type their numbers are, kept wider than they are shown.

use std::fmt::Debug;

use smallvec::SmallVec;

use super::{Assignment, ErrorNorm, Keeping, State};
use crate::Error;

/// A tensor whose type of numbers is known when it runs.
pub trait Recast: State {
    /// A type of numbers.
    type Type: Copy + Debug + PartialEq + Send + Sync;

    /// That of this tensor.
    fn number_type(&self) -> Self::Type;

    /// In which type a run keeps tensors of this one: `f32` for halves, and every other as it is.
    fn kept_type(of: Self::Type) -> Self::Type;

    /// In which type running averages of such tensors are kept: `f64` where the device has it.
    fn sum_type(&self) -> Self::Type;

    /// The same numbers in another type, without the graph of a differentiation.
    ///
    /// # Errors
    ///
    /// As the tensor library has them.
    fn recast(&self, to: Self::Type) -> Result<Self, Error>;

    /// The elements of `to` where they differ from those of `from`, and its own where they do not.
    ///
    /// # Errors
    ///
    /// As the tensor library has them.
    fn follow(&mut self, from: &Self, to: &Self) -> Result<(), Error>;
}

/// [Kept](Keeping) in a wider type than it is shown in: halves as `f32` in a run, and all types as `f64` in running
/// averages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recasting {}

/// A tensor that is kept in a wider type than it is shown in: what a run has of it ([`Kept`](super::Kept)), and what
/// a source of noise of your own draws for.
#[derive(Debug, Clone)]
pub struct Wider<V: Recast> {
    pub(super) tensor: V,
    pub(super) shown: V::Type,
}

impl<V: Recast> Wider<V> {
    /// A tensor as it is kept, and the type in which it is shown: to go on from one that was stored.
    pub fn new(tensor: V, shown: V::Type) -> Self {
        Self { tensor, shown }
    }

    /// The tensor as it is kept.
    pub fn tensor(&self) -> &V {
        &self.tensor
    }

    /// The same, to be changed.
    pub fn tensor_mut(&mut self) -> &mut V {
        &mut self.tensor
    }

    /// The same by value.
    pub fn into_tensor(self) -> V {
        self.tensor
    }

    /// The type in which it is shown.
    pub fn shown(&self) -> V::Type {
        self.shown
    }

    /// In this type; as it is where the library cannot, so that what comes next says so.
    fn of(x: &V, kept: V::Type) -> Self {
        Self {
            shown: x.number_type(),
            tensor: x.recast(kept).unwrap_or_else(|_| x.clone()),
        }
    }

    /// In the type in which it is shown, likewise.
    fn rounded(&self) -> V {
        let rounded = self.tensor.recast(self.shown);
        rounded.unwrap_or_else(|_| self.tensor.clone())
    }
}

impl<V: Recast> Keeping<V> for Recasting {
    type Kept = Wider<V>;
    type Sum = Wider<V>;

    fn keep(x: V, _: Option<Wider<V>>) -> (Wider<V>, Option<V>) {
        (Wider::of(&x, V::kept_type(x.number_type())), None)
    }

    fn answer(kept: &mut Wider<V>, state: &Wider<V>) {
        kept.tensor = kept.tensor.clone().widened_for(&state.tensor);
        kept.shown = state.shown;
    }

    fn as_shown(kept: &Wider<V>) -> Option<&V> {
        (kept.tensor.number_type() == kept.shown).then_some(&kept.tensor)
    }

    fn into_shown(kept: Wider<V>) -> Result<V, Wider<V>> {
        match kept.tensor.number_type() == kept.shown {
            true => Ok(kept.tensor),
            false => Err(kept),
        }
    }

    fn round(kept: &Wider<V>, _: Option<V>) -> V {
        kept.rounded()
    }

    fn change(
        kept: &mut Wider<V>,
        f: impl FnOnce(&mut V) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if kept.tensor.number_type() == kept.shown {
            return f(&mut kept.tensor);
        }
        let before = kept.rounded();
        let mut shown = before.clone();
        f(&mut shown)?;
        kept.tensor.follow(&before, &shown)
    }

    fn sum(x: &V) -> Wider<V> {
        Wider::of(x, x.sum_type())
    }

    fn average(sum: &mut Wider<V>, share: f64, x: &V) -> Result<(), Error> {
        let x = x.recast(sum.tensor.number_type())?;
        if share == 1.0 {
            sum.tensor.fits(&x)?;
            sum.tensor = x;
            return Ok(());
        }
        let mut off = x;
        off.combine(1.0, &[(-1.0, &sum.tensor)])
            .map_err(Error::turned)?;
        sum.tensor.combine(1.0, &[(share, &off)])
    }

    fn round_sum(sum: &Wider<V>) -> V {
        sum.rounded()
    }
}

impl<V: Recast> State for Wider<V> {
    type Keeping = super::InItself;

    fn items(&self) -> usize {
        self.tensor.items()
    }

    fn fits(&self, other: &Self) -> Result<(), Error> {
        self.tensor.fits(&other.tensor)
    }

    fn combine(&mut self, own: f64, terms: &[(f64, &Self)]) -> Result<(), Error> {
        let terms: SmallVec<[_; 6]> = terms.iter().map(|(c, term)| (*c, &term.tensor)).collect();
        self.tensor.combine(own, &terms)
    }

    fn combine_items(&mut self, own: &[f64], terms: &[(&[f64], &Self)]) -> Result<(), Error> {
        let terms: SmallVec<[_; 6]> = terms.iter().map(|(c, term)| (*c, &term.tensor)).collect();
        self.tensor.combine_items(own, &terms)
    }

    fn sweep(
        states: &mut [&mut Self],
        fixed: &[&Self],
        assignments: &[Assignment<'_>],
    ) -> Result<bool, Error> {
        let (mut states, fixed) = inner(states, fixed);
        V::sweep(&mut states, &fixed, assignments)
    }

    fn dot_items(&self, other: &Self) -> Result<Vec<f64>, Error> {
        self.tensor.dot_items(&other.tensor)
    }

    fn clamp(&mut self, low: f64, high: f64) -> Result<(), Error> {
        self.tensor.clamp(low, high)
    }

    fn exp_affine(&mut self, offset: f64, scale: f64) -> Result<(), Error> {
        self.tensor.exp_affine(offset, scale)
    }

    fn is_finite(&self) -> bool {
        self.tensor.is_finite()
    }
}

impl<V: Recast + ErrorNorm> ErrorNorm for Wider<V> {
    fn error_norms(
        &self,
        other: &Self,
        before: &Self,
        absolute: f64,
        relative: f64,
    ) -> Result<Vec<f64>, Error> {
        let (other, before) = (&other.tensor, &before.tensor);
        self.tensor.error_norms(other, before, absolute, relative)
    }
}

/// Two tensors of which the second should be as the first.
pub(crate) fn unlike<T: Debug>(property: &'static str, [expected, found]: [T; 2]) -> Error {
    Error::Unlike {
        what: "tensor",
        property,
        expected: format!("{expected:?}"),
        found: format!("{found:?}"),
    }
}

/// Numbers of a type that no state has.
pub(crate) fn not_numbers<T: Debug>(allowed: &[T], found: T) -> Error {
    let allowed: Vec<_> = allowed.iter().map(|of| format!("{of:?}")).collect();
    Error::Unlike {
        what: "tensor",
        property: "numbers of type",
        expected: allowed.join(", "),
        found: format!("{found:?}"),
    }
}

/// The tensors inside.
type Inner<'a, V> = (SmallVec<[&'a mut V; 3]>, SmallVec<[&'a V; 8]>);

pub(super) fn inner<'a, V: Recast>(
    states: &'a mut [&mut Wider<V>],
    fixed: &[&'a Wider<V>],
) -> Inner<'a, V> {
    let states = states.iter_mut().map(|state| &mut state.tensor).collect();
    (states, fixed.iter().map(|state| &state.tensor).collect())
}
