//! What a tensor offers beside sums: its numbers, one by one.

use std::ops::Range;

use super::{
    Assignment, State,
    drawn::{Draw, Scale, whole},
    one_by_one,
};
use crate::Error;

/// A state whose numbers can be read and made on the host: what noise, masks, thresholds and several conditions in one
/// batch need of a tensor.
///
/// [`ndarray::Array`] has it, and the tensors of the features `candle` and `burn`. A type of your own joins by
/// three methods, and then takes noise from every source of this crate: made on the host, and copied. The
/// others have defaults that go through the host as well; a tensor on a device is better off with operations of
/// its library.
///
/// Checked by `laws::elements` (feature `laws`).
///
/// ```
/// use gaussian_diffusion::{Error, SeededNoise, State, noise::NoiseSource, state::{Elements, InItself}};
///
/// /// A batch of numbers without axes beside it.
/// #[derive(Clone, Debug, PartialEq)]
/// struct Column(Vec<f32>);
///
/// impl Elements for Column {
///     fn shape(&self) -> Vec<usize> {
///         vec![self.0.len()]
///     }
///
///     fn numbers(&self) -> Result<Vec<f64>, Error> {
///         Ok(self.0.iter().map(|x| f64::from(*x)).collect())
///     }
///
///     fn of_numbers(&self, _: &[usize], numbers: &[f64]) -> Result<Self, Error> {
///         Ok(Self(numbers.iter().map(|x| *x as f32).collect()))
///     }
/// }
/// # impl State for Column {
/// #     type Keeping = InItself;
/// #     fn items(&self) -> usize { self.0.len() }
/// #     fn combine(&mut self, own: f64, terms: &[(f64, &Self)]) -> Result<(), Error> {
/// #         for (i, x) in self.0.iter_mut().enumerate() {
/// #             let first = if own == 0.0 { 0.0 } else { own as f32 * *x };
/// #             *x = terms.iter().fold(first, |sum, (c, t)| sum + *c as f32 * t.0[i]);
/// #         }
/// #         Ok(())
/// #     }
/// #     fn combine_items(&mut self, _: &[f64], _: &[(&[f64], &Self)]) -> Result<(), Error> { Ok(()) }
/// #     fn dot_items(&self, _: &Self) -> Result<Vec<f64>, Error> { Ok(Vec::new()) }
/// #     fn clamp(&mut self, _: f64, _: f64) -> Result<(), Error> { Ok(()) }
/// #     fn exp_affine(&mut self, _: f64, _: f64) -> Result<(), Error> { Ok(()) }
/// #     fn is_finite(&self) -> bool { self.0.iter().all(|x| x.is_finite()) }
/// # }
///
/// let mut x = Column(vec![0.0; 3]);
/// SeededNoise::new(7).fill(&mut x)?;
/// let mut y = ndarray::Array1::<f32>::zeros(3);
/// SeededNoise::new(7).fill(&mut y)?;
/// assert_eq!(x.0, y.to_vec());
/// # Ok::<(), Error>(())
/// ```
#[doc(alias("from_slice", "to_vec", "FromHost"))]
pub trait Elements: State {
    /// The length of every axis, the batch items first.
    fn shape(&self) -> Vec<usize>;

    /// Its numbers on the host, item after item and the last axis fastest.
    ///
    /// # Errors
    ///
    /// As the tensor library has them.
    fn numbers(&self) -> Result<Vec<f64>, Error>;

    /// A tensor of these numbers in this shape, of the type and on the device of this one.
    ///
    /// # Errors
    ///
    /// As the tensor library has them.
    fn of_numbers(&self, shape: &[usize], numbers: &[f64]) -> Result<Self, Error>;

    /// Whether its numbers are `f64`, so that noise for it is made in `f64`, as in `f32` for all others.
    fn is_double(&self) -> bool {
        false
    }

    /// `self <- self * by`, element by element.
    ///
    /// # Errors
    ///
    /// If the other has another shape.
    fn multiply(&mut self, by: &Self) -> Result<(), Error> {
        let by = like(self, by)?;
        change(self, |i, x| x * by.get(i).copied().unwrap_or_default())
    }

    /// `self <- weights * by + (1 - weights) * self`, element by element: `by` itself where the weight is 1, and
    /// untouched where it is 0, whatever stands in the other.
    ///
    /// # Errors
    ///
    /// If one of the others has another shape.
    fn blend(&mut self, weights: &Self, by: &Self) -> Result<(), Error> {
        let (weights, by) = (like(self, weights)?, like(self, by)?);
        change(self, |i, x| {
            match (weights.get(i).copied(), by.get(i).copied()) {
                (Some(1.0), Some(by)) => by,
                (Some(weight), Some(by)) if weight != 0.0 => weight * by + (1.0 - weight) * x,
                _ => x,
            }
        })
    }

    /// 1 where an element is above the bound, or at it if that counts, and 0 elsewhere.
    ///
    /// # Errors
    ///
    /// As the tensor library has them.
    fn above(&self, bound: f64, or_at: bool) -> Result<Self, Error> {
        let mut mask = self.clone();
        change(&mut mask, |_, x| {
            f64::from(u8::from(x > bound || or_at && x == bound))
        })?;
        Ok(mask)
    }

    /// For each item, the quantile of the sizes of its elements at this ratio, 0 to 1: interpolated linearly
    /// between two elements; 0 for an item without elements.
    ///
    /// # Errors
    ///
    /// As the tensor library has them.
    fn quantiles(&self, ratio: f64) -> Result<Vec<f64>, Error> {
        let mut sizes = self.numbers()?;
        sizes.iter_mut().for_each(|x| *x = x.abs());
        let items = self.items();
        let length = (sizes.len() / items.max(1)).max(1);
        let mut found: Vec<_> = sizes
            .chunks_mut(length)
            .map(|item| quantile(item, ratio))
            .collect();
        found.resize(items, 0.0);
        Ok(found)
    }

    /// `self <- clamp(self, -s, s) / s` with a size `s` above 0 for each item; NaN stays NaN.
    ///
    /// # Errors
    ///
    /// If there is not one size for each item.
    fn divide_within(&mut self, sizes: &[f64]) -> Result<(), Error> {
        let inverse: Vec<_> = sizes.iter().map(|s| s.recip()).collect();
        self.combine_items(&inverse, &[])?;
        self.clamp(-1.0, 1.0)
    }

    /// The items of all of these, one after another.
    ///
    /// # Errors
    ///
    /// If there is none, or the shapes differ beyond the number of items.
    fn concatenated(parts: &[&Self]) -> Result<Self, Error> {
        let Some(first) = parts.first() else {
            return Err(Error::range("number of batches", 0.0, "1 or more"));
        };
        let mut shape = first.shape();
        let mut numbers = first.numbers()?;
        for part in &parts[1..] {
            let found = part.shape();
            if found.is_empty() || found.get(1..) != shape.get(1..) {
                return Err(misshapen("batch", shape, found));
            }
            shape[0] += found[0];
            numbers.extend(part.numbers()?);
        }
        first.of_numbers(&shape, &numbers)
    }

    /// The items of these places.
    ///
    /// # Errors
    ///
    /// If there are not as many.
    fn items_at(&self, places: Range<usize>) -> Result<Self, Error> {
        let mut shape = self.shape();
        let items = shape.first().copied().unwrap_or(0);
        check_places(&places, items)?;
        let numbers = self.numbers()?;
        let length = numbers.len() / items.max(1);
        if let Some(axis) = shape.first_mut() {
            *axis = places.len();
        }
        let part = numbers.get(places.start * length..places.end * length);
        self.of_numbers(&shape, part.unwrap_or_default())
    }

    /// The same numbers repeated along the axes that have length 1 here and more in this shape.
    ///
    /// # Errors
    ///
    /// If another axis has another length.
    fn spread(&self, shape: &[usize]) -> Result<Self, Error> {
        let own = self.shape();
        let fits = |(own, to): (&usize, &usize)| own == to || *own == 1;
        if own.len() != shape.len() || !own.iter().zip(shape).all(fits) {
            return Err(misshapen("shape", own, shape.to_vec()));
        }
        let numbers = self.numbers()?;
        let count = shape.iter().product();
        let mut spread = Vec::with_capacity(count);
        for mut i in 0..count {
            // The place of the element that is repeated here, axis by axis from the last.
            let (mut place, mut stride) = (0, 1);
            for (own, to) in own.iter().zip(shape).rev() {
                place += i % to % own * stride;
                stride *= own;
                i /= to;
            }
            spread.push(numbers.get(place).copied().unwrap_or_default());
        }
        self.of_numbers(shape, &spread)
    }

    /// A sweep with the numbers of a draw, added to the target of the noisy assignment, which is this one.
    #[doc(hidden)]
    fn sweep_drawn<D: Draw>(
        states: &mut [&mut Self],
        fixed: &[&Self],
        assignments: &[Assignment<'_>],
        scale: Scale<'_, Self>,
        target: usize,
        draw: &mut D,
    ) -> Result<bool, Error> {
        let Some(x) = states.get(target) else {
            return Self::sweep(states, fixed, assignments);
        };
        let z = drawn(&**x, draw)?;
        one_by_one(states, fixed, assignments, |x| add_scaled(x, scale, &z))
    }

    /// `x <- own * x + std * z` with one `z` after the other, if there are fewer elements than so many and they
    /// lie on the host; whether that was done.
    #[doc(hidden)]
    fn add_to_few(&mut self, most: usize, own: f64, std: f64, z: impl FnMut() -> f64) -> bool {
        let _ = (most, own, std, z);
        false
    }
}

/// The numbers of another of the same shape.
fn like<V: Elements>(x: &V, other: &V) -> Result<Vec<f64>, Error> {
    x.fits(other)?;
    other.numbers()
}

/// Changes the numbers by way of the host.
fn change<V: Elements>(x: &mut V, f: impl Fn(usize, f64) -> f64) -> Result<(), Error> {
    let mut numbers = x.numbers()?;
    for (i, x) in numbers.iter_mut().enumerate() {
        *x = f(i, *x);
    }
    *x = x.of_numbers(&x.shape(), &numbers)?;
    Ok(())
}

/// Of sizes, which are put into another order.
pub(crate) fn quantile(sizes: &mut [f64], ratio: f64) -> f64 {
    let place = ratio * sizes.len().saturating_sub(1) as f64;
    let index = place as usize;
    if index >= sizes.len() {
        return 0.0;
    }
    let (_, low, above) = sizes.select_nth_unstable_by(index, f64::total_cmp);
    let low = *low;
    let next = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    low + (next - low) * place.fract()
}

/// Refuses items that are not there.
pub(crate) fn check_places(places: &Range<usize>, items: usize) -> Result<(), Error> {
    if places.start <= places.end && places.end <= items {
        return Ok(());
    }
    let allowed = format!("up to {items}, those of the batch");
    Err(Error::range(
        "end of a range of items",
        places.end as f64,
        allowed,
    ))
}

pub(crate) fn misshapen(what: &'static str, expected: Vec<usize>, found: Vec<usize>) -> Error {
    Error::Shape {
        what,
        expected,
        found,
    }
}

/// Standard normals in the shape of `x`, by way of the host.
fn drawn<V: Elements, D: Draw>(x: &V, draw: &mut D) -> Result<V, Error> {
    let shape = x.shape();
    let numbers = match x.is_double() {
        true => whole::<f64, D>(&shape, draw)?,
        false => {
            let single = whole::<f32, D>(&shape, draw)?;
            single.into_iter().map(f64::from).collect()
        }
    };
    x.of_numbers(&shape, &numbers)
}

/// `x <- x + scale * z`.
pub(crate) fn add_scaled<V: Elements>(x: &mut V, scale: Scale<'_, V>, z: &V) -> Result<(), Error> {
    match scale {
        Scale::Same(std) => x.combine(1.0, &[(std, z)]),
        Scale::PerItem(stds) => x.combine_items(&vec![1.0; stds.len()], &[(stds, z)]),
        Scale::PerElement(stds) => {
            let mut scaled = z.clone();
            scaled.multiply(stds)?;
            x.combine(1.0, &[(1.0, &scaled)])
        }
    }
}
