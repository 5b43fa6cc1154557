//! What a tensor type offers so that everything else works on it.

#[cfg(feature = "candle")]
pub(crate) mod anew;
mod array;
mod array_elements;
mod box_muller;
pub(crate) mod by_item;
mod drawn;
mod elements;
pub(crate) mod exp;
mod floats;
mod keeping;
mod kernel;
mod real;
#[cfg(any(feature = "candle", feature = "burn"))]
mod recast;
#[cfg(any(feature = "candle", feature = "burn"))]
mod recast_elements;
mod shape;
mod slices;
mod subspace;
mod sweep;
mod threads;

use crate::Error;

pub(crate) use array::{for_each_item, item_len, item_view, items};
pub(crate) use box_muller::pairs;
pub use drawn::Scale;
#[cfg(any(feature = "candle", feature = "burn"))]
pub(crate) use drawn::{Deviation, Scaled, whole};
pub(crate) use drawn::{Draw, Stream};
pub use elements::Elements;
pub(crate) use elements::add_scaled;
#[cfg(any(feature = "candle", feature = "burn"))]
pub(crate) use elements::{check_places, misshapen};
pub use keeping::{InItself, Keeping, Kept, Summed, Widened};
pub use real::{Real, Wide};
#[cfg(any(feature = "candle", feature = "burn"))]
pub use recast::{Recast, Recasting, Wider};
#[cfg(any(feature = "candle", feature = "burn"))]
pub(crate) use recast::{not_numbers, unlike};
pub(crate) use shape::check_size;
#[cfg(any(feature = "candle", feature = "burn"))]
pub(crate) use slices::Silent;
#[cfg(feature = "burn")]
pub(crate) use slices::Slices;
pub(crate) use slices::{NOISE_BLOCK, NoiseBlocks};
pub use subspace::{Subspace, ZeroMean};
pub use sweep::Assignment;
#[cfg(any(feature = "candle", feature = "burn"))]
pub(crate) use sweep::check as check_assignments;
pub(crate) use sweep::{is_watched, one_by_one};
#[cfg(feature = "burn")]
pub(crate) use threads::sweep as sweep_slices;

/// A batch of numbers that a process runs on.
///
/// [`ndarray::Array`] of `f32` or `f64` has it in every dimension and layout; a tensor type of
/// another library joins by the seven methods that have no default, and by saying that it is kept
/// [in itself](InItself); tensors of candle and burn have it with the features of those names. The first axis
/// counts the batch items; a tensor without axes is one item. What needs more than sums asks for [`Elements`].
///
/// # Laws
///
/// Checked by `laws::state` (feature `laws`): [`combine`](Self::combine) is the linear combination,
/// [`combine_items`](Self::combine_items) is it item by item, [`sweep`](Self::sweep) is one after
/// the other, [`dot_items`](Self::dot_items) is the
/// sum of products, and arguments of other shapes are
/// refused and change nothing.
///
/// ```
/// use gaussian_diffusion::State;
/// use ndarray::array;
/// let mut x = array![[1.0, 2.0], [3.0, 4.0]];
/// x.combine(0.5, &[(10.0, &array![[1.0, 0.0], [0.0, 1.0]])])?;
/// assert_eq!(x, array![[10.5, 1.0], [1.5, 12.0]]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
pub trait State: Clone {
    /// In what sums of many small changes of it are kept: [`InItself`] for a type whose precision is its
    /// own affair.
    type Keeping: Keeping<Self>;

    /// Number of batch items: the length of the first axis. An array without elements has at most 1024.
    fn items(&self) -> usize;

    /// Refuses another that has another shape.
    ///
    /// The default tries on a copy; a type that knows its shape compares shapes.
    ///
    /// # Errors
    ///
    /// If the shapes differ; the shape of `self` is the one expected.
    fn fits(&self, other: &Self) -> Result<(), Error> {
        self.clone().combine(0.0, &[(1.0, other)])
    }

    /// `self <- own * self + sum of coefficient * term`, in place.
    ///
    /// Where `own` is 0 the old values are not read, so that a NaN among them is gone.
    ///
    /// # Errors
    ///
    /// If a term has another shape.
    fn combine(&mut self, own: f64, terms: &[(f64, &Self)]) -> Result<(), Error>;

    /// The same with one coefficient per batch item.
    ///
    /// # Errors
    ///
    /// If a term has another shape, or a list of coefficients another length than the batch.
    fn combine_items(&mut self, own: &[f64], terms: &[(&[f64], &Self)]) -> Result<(), Error>;

    /// Several assignments, one after the other, in one pass over the elements where the type can;
    /// `true` where the first of the changing states held only finite numbers before, or where an assignment says
    /// that nobody [watches](Assignment::watched).
    ///
    /// ```
    /// use gaussian_diffusion::{State, state::Assignment};
    /// use ndarray::array;
    /// let (mut answer, mut x, before) = (array![1.0, 2.0], array![10.0, 20.0], array![0.5, 0.5]);
    /// let finite = State::sweep(
    ///     &mut [&mut answer, &mut x],
    ///     &[&before],
    ///     &[
    ///         Assignment::new(0, 2.0, &[(1.0, 1)]),             // answer <- 2 answer + x
    ///         Assignment::new(1, 1.0, &[(1.0, 0), (-2.0, 2)]),  // x <- x + answer - 2 before
    ///     ],
    /// )?;
    /// assert_eq!((answer, x, finite), (array![12.0, 24.0], array![21.0, 43.0], true));
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`combine`](Self::combine), or if an assignment names a state that is not there, or its own target.
    fn sweep(
        states: &mut [&mut Self],
        fixed: &[&Self],
        assignments: &[Assignment<'_>],
    ) -> Result<bool, Error> {
        one_by_one(states, fixed, assignments, |_| Ok(()))
    }

    /// The inner product with `other` of every batch item, accumulated in f64.
    ///
    /// # Errors
    ///
    /// If the other has another shape.
    fn dot_items(&self, other: &Self) -> Result<Vec<f64>, Error>;

    /// `self <- min(max(self, low), high)`, element by element; NaN stays NaN.
    ///
    /// # Errors
    ///
    /// As the tensor library has them.
    fn clamp(&mut self, low: f64, high: f64) -> Result<(), Error>;

    /// `self <- exp(offset + scale * self)`, element by element: a log-variance made a standard deviation.
    ///
    /// # Errors
    ///
    /// As the tensor library has them.
    fn exp_affine(&mut self, offset: f64, scale: f64) -> Result<(), Error>;

    /// Whether there is no NaN and no infinity.
    fn is_finite(&self) -> bool;

    /// An answer to a question about `x`, no less precise than that: as it is, but where types of numbers are known
    /// only when it runs, as those of candle and burn, whose networks may be of half precision.
    #[must_use]
    fn widened_for(self, x: &Self) -> Self {
        let _ = x;
        self
    }
}

/// A state whose distance from another can be measured, as adaptive step sizes need.
pub trait ErrorNorm: State {
    /// For each item, the root mean square over its elements of `(self - other) / tolerance`, where the
    /// tolerance of an element is `max(absolute, relative * max(|self|, |before|))`; 0 for an item
    /// without elements.
    ///
    /// # Errors
    ///
    /// If another array has another shape.
    fn error_norms(
        &self,
        other: &Self,
        before: &Self,
        absolute: f64,
        relative: f64,
    ) -> Result<Vec<f64>, Error>;
}

/// Ones in the shape of a state.
pub(crate) fn ones_like<V: State>(x: &V) -> Result<V, Error> {
    let mut ones = x.clone();
    ones.combine(0.0, &[])?;
    ones.exp_affine(0.0, 0.0)?;
    Ok(ones)
}

/// The number of elements of every item.
pub(crate) fn item_sizes<V: State>(x: &V) -> Result<Vec<f64>, Error> {
    let ones = ones_like(x)?;
    ones.dot_items(&ones)
}
