//! The laws of a tensor type.

use super::{Violation, close, require};
use crate::state::{Assignment, State};

/// The laws of a [`State`], for two values `x` and `y` of one shape with at least one item, and a
/// third one of another shape.
///
/// `read` gives the numbers of a value in order, item after item. Compared with plain sums to
/// `tolerance` of the largest term.
///
/// # Errors
///
/// The law that is broken.
///
/// ```
/// use gaussian_diffusion::laws;
/// use ndarray::array;
/// let (x, y, other) = (array![[1.0, 2.0]], array![[0.5, -1.0]], array![[1.0]]);
/// laws::state(&x, &y, &other, |v| v.iter().copied().collect(), 1e-15)?;
/// # Ok::<(), laws::Violation>(())
/// ```
pub fn state<V: State>(
    x: &V,
    y: &V,
    other: &V,
    read: impl Fn(&V) -> Vec<f64>,
    tolerance: f64,
) -> Result<(), Violation> {
    let (xs, ys) = (read(x), read(y));
    let items = x.items();
    let compare = |law, v: &V, expected: &dyn Fn(usize) -> (f64, f64)| {
        let found = read(v);
        require("nothing is lost", found.len() == xs.len(), || {
            format!("{law}: {found:?}")
        })?;
        for (i, found) in found.into_iter().enumerate() {
            let (value, size) = expected(i);
            close(law, i, found, value, tolerance * size)?;
        }
        Ok::<(), Violation>(())
    };

    // Every number of terms up to six.
    let coefficients = [0.5, -2.0, 0.125, 3.0, -0.75, 1.5];
    for count in 0..=coefficients.len() {
        for own in [0.0, 1.0, -0.3] {
            let terms: Vec<_> = coefficients[..count].iter().map(|c| (*c, y)).collect();
            let mut v = x.clone();
            v.combine(own, &terms)?;
            let sum: f64 = coefficients[..count].iter().sum();
            let size: f64 = coefficients[..count].iter().map(|c| c.abs()).sum();
            compare("combine is the linear combination", &v, &|i| {
                (
                    own * xs[i] + sum * ys[i],
                    (own * xs[i]).abs() + size * ys[i].abs(),
                )
            })?;
        }
    }

    let length = xs.len() / items.max(1);
    let of_scales = |i: usize| 0.25 - 0.125 * (i / length.max(1)) as f64;
    let of = |i: usize, step: f64| 0.25 + step * (i / length.max(1)) as f64;
    let owns: Vec<_> = (0..items).map(|item| 0.25 + 0.5 * item as f64).collect();
    let scales: Vec<_> = (0..items).map(|item| 0.25 - 0.125 * item as f64).collect();
    let mut v = x.clone();
    v.combine_items(&owns, &[(&scales, y)])?;
    compare("combine_items is combine item by item", &v, &|i| {
        let (a, b) = (of(i, 0.5) * xs[i], of(i, -0.125) * ys[i]);
        (a + b, a.abs() + b.abs())
    })?;

    let mut v = x.clone();
    let lists = [&owns[..], &scales];
    let by_items = Assignment::new(0, 1.0, &[(1.0, 1)]).with_items(&lists);
    V::sweep(&mut [&mut v], &[y], &[by_items])?;
    compare("a sweep takes coefficients item by item", &v, &|i| {
        let (a, b) = (of(i, 0.5) * xs[i], of(i, -0.125) * ys[i]);
        (a + b, a.abs() + b.abs())
    })?;

    // Not a product with a NaN: an own coefficient of 0 says that the old values do not matter.
    let mut bad = x.clone();
    bad.combine(f64::NAN, &[])?;
    let mut owns = owns;
    owns.iter_mut().step_by(2).for_each(|own| *own = 0.0);
    bad.combine_items(&owns, &[(&scales, y)])?;
    for (i, found) in read(&bad).into_iter().enumerate() {
        let (own, value) = (owns[i / length.max(1)], of_scales(i) * ys[i]);
        let law = "an own coefficient of 0 forgets, item by item";
        match own {
            0.0 => close(law, i, found, value, tolerance * value.abs())?,
            _ => require(law, found.is_nan(), || format!("{found} of a NaN at {i}"))?,
        }
    }

    // The second takes what the first has made, and the third what both have.
    let (mut v, mut w) = (x.clone(), y.clone());
    let finite = V::sweep(
        &mut [&mut v, &mut w],
        &[x, y],
        &[
            Assignment::new(0, 0.5, &[(2.0, 1), (-0.25, 3)]),
            Assignment::new(1, 0.0, &[(1.0, 0), (0.5, 2)]),
            Assignment::new(0, -1.0, &[(1.0, 1)]).with_bounds(-1.0, 1.0),
        ],
    )?;
    require("finite numbers are finite", finite, || "in a sweep".into())?;
    let size = |i: usize| 4.0 * (xs[i].abs() + ys[i].abs());
    let first = |i: usize| 0.5 * xs[i] + 1.75 * ys[i];
    let law = "a sweep is its assignments one after the other";
    compare(law, &w, &|i| (first(i) + 0.5 * xs[i], size(i)))?;
    compare(law, &v, &|i| ((0.5 * xs[i]).clamp(-1.0, 1.0), size(i)))?;
    let mut bad = x.clone();
    bad.combine(f64::NAN, &[])?;
    let finite = V::sweep(&mut [&mut bad], &[], &[Assignment::new(0, 1.0, &[])])?;
    require("a sweep sees a NaN", xs.is_empty() || !finite, || {
        format!("{:?}", read(&bad))
    })?;
    let unwatched = Assignment::new(0, 1.0, &[]).watched(false);
    let finite = V::sweep(&mut [&mut bad], &[], &[unwatched])?;
    require("a sweep that is not watched says yes", finite, || {
        "it was told of a NaN".to_owned()
    })?;

    let dots = x.dot_items(y)?;
    require(
        "dot_items has one sum for every item",
        dots.len() == items,
        || format!("{} for {items} items", dots.len()),
    )?;
    for (item, dot) in dots.into_iter().enumerate() {
        let of_item = xs.iter().zip(&ys).skip(item * length).take(length);
        let products: Vec<_> = of_item.map(|(a, b)| a * b).collect();
        let size: f64 = products.iter().map(|p| p.abs()).sum();
        let law = "dot_items is the sum of products";
        close(law, item, dot, products.iter().sum(), tolerance * size)?;
    }

    let mut v = x.clone();
    v.clamp(-0.5, 0.75)?;
    compare("clamp keeps within bounds", &v, &|i| {
        (xs[i].clamp(-0.5, 0.75), 1.0)
    })?;
    let mut v = x.clone();
    v.exp_affine(0.1, 0.5)?;
    compare("exp_affine is exp(offset + scale x)", &v, &|i| {
        let value = (0.1 + 0.5 * xs[i]).exp();
        (value, value * (1.0 + xs[i].abs()))
    })?;

    require("finite numbers are finite", x.is_finite(), || {
        format!("{xs:?}")
    })?;
    let mut bad = x.clone();
    bad.combine(f64::NAN, &[])?;
    require(
        "a NaN is not finite",
        xs.is_empty() || !bad.is_finite(),
        || format!("{:?}", read(&bad)),
    )?;
    bad.combine(0.0, &[(1.0, y)])?;
    compare("an own coefficient of 0 forgets", &bad, &|i| {
        (ys[i], ys[i].abs())
    })?;

    require(
        "another shape does not fit",
        x.fits(y).is_ok() && x.fits(other).is_err(),
        || "fits took it, or refused its own".to_owned(),
    )?;
    let mut v = x.clone();
    require(
        "another shape is refused",
        v.combine(1.0, &[(1.0, other)]).is_err(),
        || "combine took it".to_owned(),
    )?;
    require(
        "another shape is refused",
        v.dot_items(other).is_err(),
        || "dot_items took it".to_owned(),
    )?;
    let ones = vec![1.0; items];
    require(
        "another shape is refused",
        v.combine_items(&ones, &[(&ones, other)]).is_err(),
        || "combine_items took it".to_owned(),
    )?;
    let added = Assignment::new(0, 1.0, &[(1.0, 1)]);
    require(
        "another shape is refused",
        V::sweep(&mut [&mut v], &[other], &[added]).is_err(),
        || "a sweep took it".to_owned(),
    )?;
    let more = vec![1.0; items + 1];
    let refused =
        v.combine_items(&more, &[]).is_err() && v.combine_items(&ones, &[(&more, y)]).is_err();
    require("another batch length is refused", refused, || {
        "combine_items took it".to_owned()
    })?;
    compare("what is refused changes nothing", &v, &|i| (xs[i], 0.0))
}
