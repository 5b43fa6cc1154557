//! Maps along a flow: networks that answer where a point comes to, at any earlier time.
//!
//! A flow map from `t` to `s` is `X(x) = x + (s - t) u(x, t, s)`, and the network answers `u`, the mean velocity on
//! the way, which at `s = t` is the velocity of the flow. One step of any length is then exact: a plan of
//! [`Ddim`](crate::solver::Ddim) on a [`RectifiedFlow`](crate::schedule::RectifiedFlow) asks for it as the
//! [flow](crate::Parameterization::Flow), with the level of `t` and that of `s` in a [`Point`](crate::Point).
//!
//! Three equations hold for the true map, and each makes a target of answers that the network gives already,
//! without a gradient through it:
//!
//! | target | differentiates along | of |
//! |---|---|---|
//! | [`mean_velocity`] | the start, `(velocity, 1)` in `(x, t)` | mean flows; the Eulerian equation |
//! | [`arriving_velocity`] | the end, 1 in `s` | Lagrangian distillation |
//! | [`two_steps`] | nothing | shortcut models, progressive distillation; the semigroup |
//!
//! Derivatives are Jacobian-vector products of yours.
//!
//! ```
//! use gaussian_diffusion::{Grid, Plan, Point, SeededNoise, Time, predicts, schedule::RectifiedFlow, solver::Ddim};
//! use ndarray::Array1;
//! // The mean velocity of normal data of deviation 0.3, in closed form.
//! let deviation = |t: f64| (0.3 * (1.0 - t)).hypot(t);
//! let mut network = predicts::flow(|x: &Array1<f64>, at: Point<Time>| {
//!     let (t, s) = (at.from.sigma(), at.to.sigma());
//!     x * ((1.0 - deviation(s) / deviation(t)) / (t - s))
//! });
//! let ends = [1, 7].map(|steps| -> Result<_, gaussian_diffusion::Error> {
//!     let plan = Plan::new(&RectifiedFlow, &Grid::uniform_time(&RectifiedFlow, steps)?, &Ddim::default())?;
//!     let mut noise = SeededNoise::new(0);
//!     plan.sample(plan.prior(5, &mut noise)?, &mut network, &mut noise)
//! });
//! let [one, seven] = ends.map(Result::unwrap);
//! assert!((one - seven).iter().all(|d| d.abs() < 1e-15));
//! # Ok::<(), gaussian_diffusion::Error>(())
//! ```

use crate::{Error, Time, forward::PerItem, state::State, training::combined::combined};

/// `v - (t - s) du/dt`: the mean velocity from the velocity at the start, `eps - x_0` or a teacher's.
///
/// `change` is `du/dt` along the flow: the Jacobian-vector product of `u(x, t, s)` along `(v, 1, 0)`.
///
/// $$u=v-(t-s)\Big(v\cdot\nabla_xu+\partial_tu\Big)$$
///
/// # Errors
///
/// If shapes differ, or there is not one time for each item.
///
/// [Source](crate::docs::papers#arxiv-2505.13447): Mean Flows for One-step Generative Modeling, Geng, Deng, Bai, Kolter, He, 2025.
///
/// ```
/// use gaussian_diffusion::{Time, training::flow_map::mean_velocity};
/// use ndarray::array;
/// // x = t^2 on the way: v = 2 t, the mean velocity from t to s is t + s, and grows with t at rate 1.
/// let (t, s) = (Time::new(0.75)?, Time::new(0.25)?);
/// assert_eq!(mean_velocity(&array![1.5], &array![1.0], t, s)?, array![1.0]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("MeanFlow", "Eulerian map distillation"))]
pub fn mean_velocity<'t, V: State>(
    velocity: &V,
    change: &V,
    t: impl Into<PerItem<'t, Time>>,
    s: impl Into<PerItem<'t, Time>>,
) -> Result<V, Error> {
    let times = zipped(t.into(), s.into(), velocity.items())?;
    let of = |(t, s): (f64, f64)| Ok((1.0, [s - t]));
    combined(velocity, [("du/dt", change)], &times, of)
}

/// `v + (t - s) du/ds`: the mean velocity from the velocity where the map arrives, `v(X(x), s)`.
///
/// `change` is the derivative of `u(x, t, s)` by `s` alone.
///
/// $$u=v_s(X)+(t-s)\thinspace\partial_su$$
///
/// # Errors
///
/// As [`mean_velocity`].
///
/// [Source](crate::docs::papers#arxiv-2406.07507): Flow Map Matching, Boffi, Albergo, Vanden-Eijnden, 2024.
///
/// ```
/// use gaussian_diffusion::{Time, training::flow_map::arriving_velocity};
/// use ndarray::array;
/// // x = t^2 on the way: at s the velocity is 2 s.
/// let (t, s) = (Time::new(0.75)?, Time::new(0.25)?);
/// assert_eq!(arriving_velocity(&array![0.5], &array![1.0], t, s)?, array![1.0]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("Lagrangian map distillation"))]
pub fn arriving_velocity<'t, V: State>(
    velocity: &V,
    change: &V,
    t: impl Into<PerItem<'t, Time>>,
    s: impl Into<PerItem<'t, Time>>,
) -> Result<V, Error> {
    let times = zipped(t.into(), s.into(), velocity.items())?;
    let of = |(t, s): (f64, f64)| Ok((1.0, [t - s]));
    combined(velocity, [("du/ds", change)], &times, of)
}

/// The mean velocity of two steps, from `t` to `between` and from there to `s`, each weighted by its length.
///
/// $$u(x,t,s)=\frac{(t-m)\thinspace u(x,t,m)+(m-s)\thinspace u(X,m,s)}{t-s}$$
///
/// # Errors
///
/// As [`mean_velocity`], or if `t` is `s`.
///
/// [Sources](crate::docs::papers#arxiv-2410.12557): One Step Diffusion via Shortcut Models, Frans, Hafner, Levine, Abbeel, 2025;
/// Flow Map Matching, Boffi, Albergo, Vanden-Eijnden, 2024.
///
/// ```
/// use gaussian_diffusion::{Time, training::flow_map::two_steps};
/// use ndarray::array;
/// let [t, between, s] = [0.75, 0.5, 0.25].map(|t| Time::new(t).unwrap());
/// assert_eq!(two_steps(&array![1.25], &array![0.75], t, between, s)?, array![1.0]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("shortcut model", "semigroup", "progressive map distillation"))]
pub fn two_steps<'t, V: State>(
    first: &V,
    second: &V,
    t: impl Into<PerItem<'t, Time>>,
    between: impl Into<PerItem<'t, Time>>,
    s: impl Into<PerItem<'t, Time>>,
) -> Result<V, Error> {
    let (between, items) = (between.into(), first.items());
    let each = zipped(t.into(), between, items)?;
    let rest = zipped(between, s.into(), items)?;
    let times: Vec<_> = each
        .iter()
        .zip(rest)
        .map(|((t, m), (_, s))| (*t, *m, s))
        .collect();
    let of = |(t, m, s): (f64, f64, f64)| {
        if t == s {
            return Err(Error::range("length of the way", 0.0, "other than 0"));
        }
        Ok(((t - m) / (t - s), [(m - s) / (t - s)]))
    };
    combined(first, [("second mean velocity", second)], &times, of)
}

/// Where the map arrives: `x + (s - t) u`.
///
/// # Errors
///
/// As [`mean_velocity`].
///
/// ```
/// use gaussian_diffusion::{Time, training::flow_map::arrive};
/// use ndarray::array;
/// assert_eq!(arrive(&array![1.0], &array![0.5], Time::new(1.0)?, Time::new(0.0)?)?, array![0.5]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
pub fn arrive<'t, V: State>(
    x: &V,
    mean_velocity: &V,
    t: impl Into<PerItem<'t, Time>>,
    s: impl Into<PerItem<'t, Time>>,
) -> Result<V, Error> {
    let times = zipped(t.into(), s.into(), x.items())?;
    let of = |(t, s): (f64, f64)| Ok((1.0, [s - t]));
    combined(x, [("mean velocity", mean_velocity)], &times, of)
}

/// `1 / (l + c)^p` for each item's sum of squares `l`: the weight of mean flows, without a gradient through it.
///
/// `p = 1` is that of the paper, with `c = 0.001`; `p = 0` leaves the squared error, 0.5 is near the pseudo-Huber
/// loss.
///
/// # Errors
///
/// If `c` is not in 1e-12 to 1e12, or `p` not in 0 to 10.
///
/// [Source](crate::docs::papers#arxiv-2505.13447): Mean Flows for One-step Generative Modeling, Geng, Deng, Bai, Kolter, He, 2025.
///
/// ```
/// use gaussian_diffusion::training::flow_map::adaptive_weights;
/// assert_eq!(adaptive_weights(&[0.0, 0.75], 0.25, 1.0)?, [4.0, 1.0]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
pub fn adaptive_weights(losses: &[f64], constant: f64, power: f64) -> Result<Vec<f64>, Error> {
    if !(1e-12..=1e12).contains(&constant) {
        return Err(Error::range("constant", constant, "1e-12 to 1e12"));
    }
    if !(0.0..=10.0).contains(&power) {
        return Err(Error::range("power", power, "0 to 10"));
    }
    let weight = |loss: &f64| (loss + constant).powf(-power);
    Ok(losses.iter().map(weight).collect())
}

/// The readings of two times for each item.
fn zipped(
    t: PerItem<'_, Time>,
    s: PerItem<'_, Time>,
    items: usize,
) -> Result<Vec<(f64, f64)>, Error> {
    let readings = |t| crate::forward::per_item(t, items, |t: Time| Ok(t.get()));
    Ok(readings(t)?.into_iter().zip(readings(s)?).collect())
}
