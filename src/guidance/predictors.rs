//! Where the predictions of a rule come from.

use crate::{
    Denoiser, Error, Point, Prediction,
    state::Elements,
    time::{MOST_STEPS, check_count},
};

/// Several predictions at one point: a pair, a triple, four or a vector of denoisers, or one that is
/// asked for all [`Together`].
pub trait Predictors<V, T> {
    /// How many there are.
    fn count(&self) -> usize;

    /// The answers that are needed, `None` in the place of others.
    ///
    /// # Errors
    ///
    /// The network's own.
    fn predict(
        &mut self,
        x: &V,
        at: Point<T>,
        needed: &[bool],
    ) -> Result<Vec<Option<Prediction<V>>>, Error>;

    /// Forgets what earlier questions left, as [`Denoiser::begin`].
    fn begin(&mut self) {
        self.visit_memory(&mut |place| *place = None);
    }

    /// Shows what is remembered, as [`Denoiser::visit_memory`].
    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<V>)) {
        let _ = visit;
    }
}

macro_rules! tuple {
    ($count:literal, $($name:ident $index:tt),*) => {
        impl<V, T: Copy, $($name: Denoiser<V, T>),*> Predictors<V, T> for ($($name,)*) {
            fn count(&self) -> usize {
                $count
            }

            fn predict(
                &mut self,
                x: &V,
                at: Point<T>,
                needed: &[bool],
            ) -> Result<Vec<Option<Prediction<V>>>, Error> {
                Ok(vec![$(ask(&mut self.$index, x, at, needed.get($index))?),*])
            }

            fn begin(&mut self) {
                $(self.$index.begin();)*
            }

            fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<V>)) {
                $(self.$index.visit_memory(visit);)*
            }
        }
    };
}

tuple!(2, A 0, B 1);
tuple!(3, A 0, B 1, C 2);
tuple!(4, A 0, B 1, C 2, D 3);

impl<V, T: Copy, D: Denoiser<V, T>> Predictors<V, T> for Vec<D> {
    fn count(&self) -> usize {
        self.len()
    }

    fn predict(
        &mut self,
        x: &V,
        at: Point<T>,
        needed: &[bool],
    ) -> Result<Vec<Option<Prediction<V>>>, Error> {
        let each = self.iter_mut().enumerate();
        each.map(|(i, network)| ask(network, x, at, needed.get(i)))
            .collect()
    }

    fn begin(&mut self) {
        self.iter_mut().for_each(Denoiser::begin);
    }

    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<V>)) {
        for network in self {
            network.visit_memory(visit);
        }
    }
}

fn ask<V, T, D: Denoiser<V, T>>(
    network: &mut D,
    x: &V,
    at: Point<T>,
    needed: Option<&bool>,
) -> Result<Option<Prediction<V>>, Error> {
    match needed {
        Some(true) => network.predict(x, at).map(Some),
        _ => Ok(None),
    }
}

/// One network that is asked for all predictions in one batch: `count` times as many items, those
/// with the first condition first.
///
/// Where only the first is needed, the network is shown the batch once.
///
/// ```
/// use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Step, predicts};
/// use gaussian_diffusion::guidance::{Combination, Guided, Together};
/// use ndarray::{Array2, Axis, array};
/// // The first half of a doubled batch has the condition, which this network answers with 1.
/// let net = predicts::x0(|x: &Array2<f32>, _: Point<Step>| {
///     Array2::from_shape_fn(x.dim(), |(i, _)| if i < 2 { 1.0 } else { 0.0 })
/// });
/// let mut net = Guided::new(Together::new(net, 2)?, Combination::classifier_free(3.0)?);
/// let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
/// assert_eq!(net.predict(&array![[0.5], [0.7]], at)?.value, array![[3.0], [3.0]]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Together<D> {
    network: D,
    count: usize,
}

impl<D> Together<D> {
    /// A network that answers `count` predictions in one call, one after the other along the first axis.
    ///
    /// # Errors
    ///
    /// If the count is 0 or above 2^24.
    pub fn new(network: D, count: usize) -> Result<Self, Error> {
        check_count("number of predictions", count, MOST_STEPS)?;
        Ok(Self { network, count })
    }
}

impl<V: Elements, T, N: Denoiser<V, T>> Predictors<V, T> for Together<N> {
    fn count(&self) -> usize {
        self.count
    }

    fn predict(
        &mut self,
        x: &V,
        at: Point<T>,
        needed: &[bool],
    ) -> Result<Vec<Option<Prediction<V>>>, Error> {
        let last = needed.iter().rposition(|needed| *needed).unwrap_or(0);
        let mut parts: Vec<_> = (0..self.count).map(|_| None).collect();
        if last == 0 {
            parts[0] = Some(self.network.predict(x, at)?);
            return Ok(parts);
        }
        let shape = x.shape();
        let Some((&items, rest)) = shape.split_first() else {
            return Err(Error::Missing {
                what: "an axis of batch items",
                needed_by: "predictions of one network together",
            });
        };
        let expected = [&[items.saturating_mul(self.count)], rest].concat();
        let answer = self
            .network
            .predict(&V::concatenated(&vec![x; self.count])?, at)?;
        let extras = [&answer.variance, &answer.shift, &answer.data];
        for state in extras.into_iter().flatten().chain([&answer.value]) {
            let found = state.shape();
            if found != expected {
                let what = "answer for all predictions";
                return Err(Error::Shape {
                    what,
                    expected,
                    found,
                });
            }
        }
        for (i, part) in parts.iter_mut().enumerate() {
            if !needed.get(i).is_some_and(|needed| *needed) {
                continue;
            }
            let of = |state: &V| state.items_at(i * items..(i + 1) * items);
            let mut one = Prediction::new(of(&answer.value)?, answer.parameterization);
            one.variance = answer.variance.as_ref().map(of).transpose()?;
            one.shift = answer.shift.as_ref().map(of).transpose()?;
            one.data = answer.data.as_ref().map(of).transpose()?;
            *part = Some(one);
        }
        Ok(parts)
    }

    fn begin(&mut self) {
        self.network.begin();
    }

    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<V>)) {
        self.network.visit_memory(visit);
    }
}
