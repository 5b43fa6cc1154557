//! How several predictions become one.

use crate::{Error, Point, state::State};

/// The predictions a rule asked for, by their place; each can be taken once.
#[derive(Debug, Clone)]
pub struct Predictions<V>(Vec<Option<V>>);

impl<V> Predictions<V> {
    /// These predictions; `None` where none was asked for.
    pub fn new(values: Vec<Option<V>>) -> Self {
        Self(values)
    }

    /// The prediction at this place, to look at.
    ///
    /// # Errors
    ///
    /// If it was not asked for, or has been taken.
    pub fn get(&self, index: usize) -> Result<&V, Error> {
        self.0.get(index).and_then(Option::as_ref).ok_or(MISSING)
    }

    /// The prediction at this place, to keep.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn take(&mut self, index: usize) -> Result<V, Error> {
        self.0.get_mut(index).and_then(Option::take).ok_or(MISSING)
    }
}

const MISSING: Error = Error::Missing {
    what: "a prediction",
    needed_by: "the guidance rule",
};

/// A rule that makes one prediction of several: see the [list](super).
///
/// All predictions come in the same terms. No rule of this crate mixes batch items.
///
/// # A rule of your own
///
/// ```
/// use gaussian_diffusion::{Error, Point, State, guidance::{Rule, Predictions}};
///
/// /// The mean of two models.
/// struct Ensemble;
///
/// impl<V: State> Rule<V> for Ensemble {
///     fn count(&self) -> usize {
///         2
///     }
///     fn combine(&mut self, mut predictions: Predictions<V>, _: Point<()>) -> Result<V, Error> {
///         let mut mean = predictions.take(0)?;
///         mean.combine(0.5, &[(0.5, predictions.get(1)?)])?;
///         Ok(mean)
///     }
/// }
/// ```
pub trait Rule<V: State> {
    /// How many predictions it is made for.
    fn count(&self) -> usize;

    /// Whether the prediction at `index` has weight at this point; if not, no network is asked.
    ///
    /// # Errors
    ///
    /// If a scale is not a finite number.
    fn needs(&self, index: usize, at: Point<()>) -> Result<bool, Error> {
        let _ = (index, at);
        Ok(true)
    }

    /// The guided prediction.
    ///
    /// # Errors
    ///
    /// If the shapes differ, or a prediction that is needed was not given.
    fn combine(&mut self, predictions: Predictions<V>, at: Point<()>) -> Result<V, Error>;

    /// Forgets what earlier points left, as [`Denoiser::begin`](crate::Denoiser::begin).
    fn begin(&mut self) {
        self.visit_memory(&mut |place| *place = None);
    }

    /// Shows what it remembers, as [`Denoiser::visit_memory`](crate::Denoiser::visit_memory).
    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<V>)) {
        let _ = visit;
    }
}

macro_rules! forward_rule {
    ($($pointer:ty),*) => {$(
        impl<V: State, R: Rule<V> + ?Sized> Rule<V> for $pointer {
            fn count(&self) -> usize {
                (**self).count()
            }

            fn needs(&self, index: usize, at: Point<()>) -> Result<bool, Error> {
                (**self).needs(index, at)
            }

            fn combine(&mut self, predictions: Predictions<V>, at: Point<()>) -> Result<V, Error> {
                (**self).combine(predictions, at)
            }

            fn begin(&mut self) {
                (**self).begin();
            }

            fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<V>)) {
                (**self).visit_memory(visit);
            }
        }
    )*};
}

forward_rule!(&mut R, Box<R>);
