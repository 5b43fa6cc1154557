//! What is made of many small changes is kept wider than the data.

use ndarray::{Array, Dimension, Zip};

use super::{Real, State, shape::check_shape};
use crate::Error;

/// In what the sums of many small changes are kept, so that roundings do not add up: what a run makes
/// step by step, and running averages of parameters.
///
/// [`Widened`] for arrays of ndarray, [`InItself`] for a type that keeps all in its own precision.
pub trait Keeping<V> {
    /// What a run keeps of its state, its trial points and its predictions.
    type Kept: State;
    /// What a running average is kept in.
    type Sum: State;

    /// A state or an answer as a run keeps it, in the spare one where that is another type; and what is
    /// free then.
    fn keep(x: V, spare: Option<Self::Kept>) -> (Self::Kept, Option<V>);

    /// Makes of what is kept of an answer something that can become this state, where types are known only when it
    /// runs: no less precise, and shown in the same type.
    fn answer(kept: &mut Self::Kept, state: &Self::Kept) {
        let _ = (kept, state);
    }

    /// What is kept as it is shown, where that is the same type.
    fn as_shown(kept: &Self::Kept) -> Option<&V>;

    /// The same by value, or what is kept again.
    ///
    /// # Errors
    ///
    /// What is kept, where it is of another type.
    fn into_shown(kept: Self::Kept) -> Result<V, Self::Kept>;

    /// What is kept, rounded to the type that is shown, in this place if there is one.
    fn round(kept: &Self::Kept, place: Option<V>) -> V;

    /// Changes what is kept by changing what is shown: elements that come out as they were stay as they
    /// are kept.
    ///
    /// # Errors
    ///
    /// Those of `f`.
    fn change(
        kept: &mut Self::Kept,
        f: impl FnOnce(&mut V) -> Result<(), Error>,
    ) -> Result<(), Error>;

    /// The sum that is `x`.
    fn sum(x: &V) -> Self::Sum;

    /// `sum <- sum + share * (x - sum)`; `x` itself where the share is 1.
    ///
    /// # Errors
    ///
    /// If `x` has another shape; the sum is then unchanged.
    fn average(sum: &mut Self::Sum, share: f64, x: &V) -> Result<(), Error>;

    /// The sum, rounded.
    fn round_sum(sum: &Self::Sum) -> V;
}

/// What a run keeps of a state.
pub type Kept<V> = <<V as State>::Keeping as Keeping<V>>::Kept;

/// What a running average of such states is kept in.
pub type Summed<V> = <<V as State>::Keeping as Keeping<V>>::Sum;

/// Nothing is kept in another type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InItself {}

impl<V: State> Keeping<V> for InItself {
    type Kept = V;
    type Sum = V;

    fn keep(x: V, _: Option<V>) -> (V, Option<V>) {
        (x, None)
    }

    fn as_shown(kept: &V) -> Option<&V> {
        Some(kept)
    }

    fn into_shown(kept: V) -> Result<V, V> {
        Ok(kept)
    }

    fn round(kept: &V, _: Option<V>) -> V {
        kept.clone()
    }

    fn change(kept: &mut V, f: impl FnOnce(&mut V) -> Result<(), Error>) -> Result<(), Error> {
        f(kept)
    }

    fn sum(x: &V) -> V {
        x.clone()
    }

    fn average(sum: &mut V, share: f64, x: &V) -> Result<(), Error> {
        if share == 1.0 {
            return sum.combine(0.0, &[(1.0, x)]);
        }
        let mut off = sum.clone();
        // Two weights, each rounded, would not add up to 1.
        off.combine(-1.0, &[(1.0, x)])?;
        sum.combine(1.0, &[(share, &off)])
    }

    fn round_sum(sum: &V) -> V {
        sum.clone()
    }
}

/// Arrays of half precision are kept as f32 in a run, and all arrays as f64 in running averages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Widened {}

impl<A: Real, D: Dimension> Keeping<Array<A, D>> for Widened {
    type Kept = Array<A::Wide, D>;
    type Sum = Array<f64, D>;

    fn keep(
        x: Array<A, D>,
        spare: Option<Array<A::Wide, D>>,
    ) -> (Array<A::Wide, D>, Option<Array<A, D>>) {
        match A::into_wide(x) {
            Ok(x) => (x, None),
            Err(x) => (converted(&x, spare, A::widen, A::widen_all), Some(x)),
        }
    }

    fn as_shown(kept: &Array<A::Wide, D>) -> Option<&Array<A, D>> {
        A::of_wide_ref(kept)
    }

    fn into_shown(kept: Array<A::Wide, D>) -> Result<Array<A, D>, Array<A::Wide, D>> {
        A::of_wide(kept)
    }

    fn round(kept: &Array<A::Wide, D>, place: Option<Array<A, D>>) -> Array<A, D> {
        converted(kept, place, A::narrow, A::narrow_all)
    }

    fn change(
        kept: &mut Array<A::Wide, D>,
        f: impl FnOnce(&mut Array<A, D>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let Some(shown) = A::of_wide_mut(kept) {
            return f(shown);
        }
        let mut shown = Self::round(kept, None);
        let before = shown.clone();
        f(&mut shown)?;
        check_shape(kept, &shown)?;
        let all = Zip::from(kept).and(&shown).and(&before);
        all.for_each(|kept, shown, before| {
            if shown != before {
                *kept = shown.widen();
            }
        });
        Ok(())
    }

    fn sum(x: &Array<A, D>) -> Array<f64, D> {
        x.map(|x| x.get())
    }

    fn average(sum: &mut Array<f64, D>, share: f64, x: &Array<A, D>) -> Result<(), Error> {
        check_shape(sum, x)?;
        let zip = Zip::from(sum).and(x);
        match share {
            1.0 => zip.for_each(|sum, x| *sum = x.get()),
            _ => zip.for_each(|sum, x| *sum += share * (x.get() - *sum)),
        }
        Ok(())
    }

    fn round_sum(sum: &Array<f64, D>) -> Array<A, D> {
        sum.map(|sum| A::of(*sum))
    }
}

/// An array in another type, in this place where it has the shape and layout, or in a new one.
fn converted<A: Copy, B: Copy, D: Dimension>(
    from: &Array<A, D>,
    place: Option<Array<B, D>>,
    each: impl Fn(A) -> B,
    all: impl Fn(&[A], &mut [B]),
) -> Array<B, D> {
    let fits =
        |place: &Array<B, D>| place.shape() == from.shape() && place.strides() == from.strides();
    match place.filter(fits) {
        Some(mut to) => {
            match (from.as_slice_memory_order(), to.as_slice_memory_order_mut()) {
                (Some(from), Some(to)) => all(from, to),
                _ => Zip::from(&mut to)
                    .and(from)
                    .for_each(|to, from| *to = each(*from)),
            }
            to
        }
        None => from.map(|from| each(*from)),
    }
}
