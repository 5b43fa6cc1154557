//! The laws of a tensor whose numbers can be told and made.

use super::{Violation, close, require};
use crate::state::Elements;

/// The laws of [`Elements`], for two values of one shape with at least one item, and a third one of another shape.
///
/// Compared with plain loops over the numbers, to `tolerance` of the largest term. The values are to have neither
/// a 0 nor two equal sizes in an item.
///
/// # Errors
///
/// The law that is broken.
///
/// ```
/// use gaussian_diffusion::laws;
/// use ndarray::array;
/// let (x, y, other) = (array![[1.0, 2.0]], array![[0.5, -1.0]], array![[1.0]]);
/// laws::elements(&x, &y, &other, 1e-15)?;
/// # Ok::<(), laws::Violation>(())
/// ```
pub fn elements<V: Elements>(x: &V, y: &V, other: &V, tolerance: f64) -> Result<(), Violation> {
    let (xs, ys, shape) = (x.numbers()?, y.numbers()?, x.shape());
    let (items, count) = (x.items(), xs.len());
    let length = (count / items.max(1)).max(1);
    let compare = |law, v: &V, expected: &dyn Fn(usize) -> f64| {
        let found = v.numbers()?;
        require("nothing is lost", found.len() == count, || {
            format!("{law}: {found:?}")
        })?;
        for (i, found) in found.into_iter().enumerate() {
            let value = expected(i);
            close(law, i, found, value, tolerance * (1.0 + value.abs()))?;
        }
        Ok::<(), Violation>(())
    };
    let law = "there is a number for every place of the shape";
    require(law, shape.iter().product::<usize>() == count, || {
        format!("{count} in {shape:?}")
    })?;
    require("a tensor has its own shape", x.fits(y).is_ok(), || {
        format!("{shape:?}")
    })?;
    let again = x.of_numbers(&shape, &xs)?;
    let same = again.numbers()? == xs && again.shape() == shape && x.fits(&again).is_ok();
    require("numbers make the tensor that they are of", same, || {
        format!("{:?}", again.shape())
    })?;

    let mut v = x.clone();
    v.multiply(y)?;
    compare("multiply is element by element", &v, &|i| xs[i] * ys[i])?;
    // Weights of every kind, and what they hide.
    let weight = |i: usize| [0.0, 0.25, 1.0][i % 3];
    let weights: Vec<_> = (0..count).map(weight).collect();
    let weights = x.of_numbers(&shape, &weights)?;
    let hidden = |numbers: &[f64], at: f64| -> Vec<_> {
        let each = numbers.iter().enumerate();
        each.map(|(i, x)| if weight(i) == at { f64::NAN } else { *x })
            .collect()
    };
    let mut v = x.of_numbers(&shape, &hidden(&xs, 1.0))?;
    v.blend(&weights, &x.of_numbers(&shape, &hidden(&ys, 0.0))?)?;
    compare("blend takes each where the other has no weight", &v, &|i| {
        weight(i) * ys[i] + (1.0 - weight(i)) * xs[i]
    })?;
    let exact = v.numbers()?;
    let law = "a weight of 1 or 0 leaves every bit";
    let each = exact.iter().enumerate();
    let holds = each.clone().all(|(i, v)| match weight(i) {
        0.0 => *v == xs[i],
        1.0 => *v == ys[i],
        _ => true,
    });
    require(law, holds, || format!("{exact:?}"))?;
    let bound = xs.first().copied().unwrap_or_default();
    for or_at in [false, true] {
        let above = |x: f64| x > bound || or_at && x == bound;
        let mask = x.above(bound, or_at)?;
        compare("above is a comparison", &mask, &|i| {
            f64::from(u8::from(above(xs[i])))
        })?;
    }

    let ratio = 0.4;
    let sizes = x.quantiles(ratio)?;
    let law = "an item has a quantile of its sizes";
    require(law, sizes.len() == items, || format!("{sizes:?}"))?;
    for (item, size) in sizes.iter().enumerate() {
        let mut sorted: Vec<_> = xs
            .iter()
            .skip(item * length)
            .take(length)
            .map(|x| x.abs())
            .collect();
        sorted.sort_by(f64::total_cmp);
        let place = ratio * sorted.len().saturating_sub(1) as f64;
        let at = |i: usize| sorted.get(i).or(sorted.last()).copied().unwrap_or_default();
        let (low, next) = (at(place as usize), at(place as usize + 1));
        close(
            law,
            item,
            *size,
            low + (next - low) * place.fract(),
            tolerance * (1.0 + next),
        )?;
    }
    let mut v = x.clone();
    v.divide_within(&sizes)?;
    compare("divide_within keeps within 1", &v, &|i| {
        (xs[i] / sizes[i / length]).clamp(-1.0, 1.0)
    })?;

    if let Some((&first, rest)) = shape.split_first() {
        let both = V::concatenated(&[x, y, x])?;
        let joined = [xs.clone(), ys.clone(), xs.clone()].concat();
        let of = [&[3 * first], rest].concat();
        let law = "concatenated has the items of all, one after another";
        require(law, both.numbers()? == joined && both.shape() == of, || {
            format!("{:?}", both.shape())
        })?;
        require(
            "another shape is refused",
            both.spread(&shape).is_err(),
            || "spread took it".to_owned(),
        )?;
        let part = both.items_at(first..2 * first)?;
        let law = "items_at has the items of its places";
        require(law, part.numbers()? == ys && part.shape() == shape, || {
            format!("{:?}", part.shape())
        })?;
        require(
            "items that are not there are refused",
            x.items_at(0..first + 1).is_err(),
            || "items_at took them".to_owned(),
        )?;
        require(
            "another shape is refused",
            other.shape().get(1..) == shape.get(1..) || V::concatenated(&[x, other]).is_err(),
            || "concatenated took it".to_owned(),
        )?;
        if let Some(&number) = xs.first() {
            let wide = x.of_numbers(&vec![1; shape.len()], &[number])?;
            compare("spread repeats", &wide.spread(&shape)?, &|_| number)?;
        }
        let mut each = shape.clone();
        each.iter_mut().skip(1).for_each(|axis| *axis = 1);
        let of_items: Vec<_> = (0..first).map(|i| 0.5 + i as f64).collect();
        let wide = x.of_numbers(&each, &of_items)?.spread(&shape)?;
        compare("spread repeats", &wide, &|i| of_items[i / length])?;
    }

    let mut v = x.clone();
    let refused = v.multiply(other).is_err()
        && v.blend(other, y).is_err()
        && v.blend(y, other).is_err()
        && v.divide_within(&vec![1.0; items + 1]).is_err();
    require("another shape is refused", refused, || {
        "multiply, blend or divide_within took it".to_owned()
    })?;
    let after = v.numbers()?;
    require("what is refused changes nothing", after == xs, || {
        format!("{after:?} instead of {xs:?}")
    })
}
