//! The divergence of a network's answer, exact or by random probes.

use std::fmt;

use ndarray::{Array, Dimension};

use super::elements;
use crate::{
    Error, GaussianMixture, Point, Prediction,
    noise::{NoiseSource, Scale},
    state::{Real, State, item_len, item_view},
    time::{MOST_STEPS, check_count},
};

/// What is known of the divergence of an answer with respect to the state the network was shown.
#[derive(Debug, Clone, PartialEq)]
pub enum DivergenceOf {
    /// The trace of the Jacobian, of each item.
    Exact(Vec<f64>),
    /// `probe . J probe` of each item: one list for each probe.
    Probed(Vec<Vec<f64>>),
}

impl DivergenceOf {
    /// A number for each item, for each of so many probes; one list where it is exact.
    pub(super) fn lists(self, probes: usize, items: usize) -> Result<Vec<Vec<f64>>, Error> {
        let lists = match self {
            Self::Exact(list) => vec![list],
            Self::Probed(lists) => lists,
        };
        Error::check_length("divergences", probes, lists.len())?;
        for list in &lists {
            Error::check_length("divergence", items, list.len())?;
        }
        Ok(lists)
    }
}

/// A network that also says how its answer spreads: the divergence of the predicted value, in
/// whatever terms it predicts.
///
/// `div p = sum over j of dp_j / dx_j`, for each item, with its own elements only.
///
/// Automatic differentiation is yours: [`Exact`] takes the trace, [`Hutchinson`] the products of the
/// Jacobian with probes. A [`GaussianMixture`] has it in closed form, for arrays.
pub trait Divergence<V, T> {
    /// The answer and its divergence.
    ///
    /// # Errors
    ///
    /// The network's own, as [`Error::network`].
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<(Prediction<V>, DivergenceOf), Error>;

    /// Number of probes; `None` where the divergence is exact.
    fn probes(&self) -> Option<usize>;
}

/// A closure that gives the answer and the exact trace of its Jacobian for each item.
///
/// ```
/// use gaussian_diffusion::{Error, Point, Prediction, Time, likelihood::Exact};
/// use ndarray::Array2;
/// // Predicts x / 2; the Jacobian of an item is I / 2.
/// let net = Exact(|x: &Array2<f64>, _: Point<Time>| {
///     Ok::<_, Error>((Prediction::x0(x * 0.5), vec![0.5 * x.ncols() as f64; x.nrows()]))
/// });
/// # let _ = net;
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Exact<F>(pub F);

impl<V, T, F> Divergence<V, T> for Exact<F>
where
    F: FnMut(&V, Point<T>) -> Result<(Prediction<V>, Vec<f64>), Error>,
{
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<(Prediction<V>, DivergenceOf), Error> {
        let (prediction, trace) = (self.0)(x, at)?;
        Ok((prediction, DivergenceOf::Exact(trace)))
    }

    fn probes(&self) -> Option<usize> {
        None
    }
}

/// The divergence by random probes, of networks on arrays: `E probe . J probe = trace J` where the elements of a probe are
/// independent with mean 0 and variance 1.
///
/// $$\operatorname{tr}J=\mathbb E\thinspace v^\top J v,\qquad \mathbb E\thinspace vv^\top=I$$
///
/// The closure gets the state, the point and all probes, and gives the answer and one product
/// `probe^T J` (a vector-Jacobian product; `J probe` does as well) for each. The probes stay the same
/// for a whole integration, so that what is integrated is smooth.
///
/// [Source](crate::docs::papers#a-stochastic-estimator-of-the-trace): A Stochastic Estimator of the Trace of the Influence Matrix, Hutchinson,
/// 1989; in flows, FFJORD, Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud, 2019.
///
/// ```
/// use gaussian_diffusion::{Error, SeededNoise, Point, Prediction, Time, likelihood::Hutchinson};
/// use ndarray::Array2;
/// let x0 = Array2::<f64>::zeros((4, 3));
/// let net = |x: &Array2<f64>, _: Point<Time>, probes: &[Array2<f64>]| {
///     let products: Vec<_> = probes.iter().map(|probe| probe * 0.5).collect();
///     Ok::<_, Error>((Prediction::x0(x * 0.5), products))
/// };
/// let net = Hutchinson::rademacher(&x0, 8, &mut SeededNoise::new(0), net)?;
/// # let _ = net;
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Clone)]
pub struct Hutchinson<V, F> {
    probes: Vec<V>,
    network: F,
}

// Closures have no such form, and a constructor that can fail needs it.
impl<V, F> fmt::Debug for Hutchinson<V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hutchinson")
            .field("probes", &self.probes.len())
            .finish_non_exhaustive()
    }
}

impl<A: Real, D: Dimension, F> Hutchinson<Array<A, D>, F> {
    /// Probes of -1 and 1: the smallest variance of all.
    ///
    /// Drawn as the signs of normals, so that those of an item follow the keys of the source.
    ///
    /// # Errors
    ///
    /// If there are 0 probes, or the noise source refuses the shape.
    pub fn rademacher<N>(
        like: &Array<A, D>,
        probes: usize,
        noise: &mut N,
        network: F,
    ) -> Result<Self, Error>
    where
        N: NoiseSource<Array<A, D>> + ?Sized,
    {
        let mut all = Self::gaussian(like, probes, noise, network)?;
        for probe in &mut all.probes {
            probe.map_inplace(|z| *z = A::of(if z.get() < 0.0 { -1.0 } else { 1.0 }));
        }
        Ok(all)
    }

    /// Probes of standard normals.
    ///
    /// # Errors
    ///
    /// As [`rademacher`](Self::rademacher).
    pub fn gaussian<N>(
        like: &Array<A, D>,
        probes: usize,
        noise: &mut N,
        network: F,
    ) -> Result<Self, Error>
    where
        N: NoiseSource<Array<A, D>> + ?Sized,
    {
        check_count("number of probes", probes, MOST_STEPS)?;
        let mut zero = like.clone();
        zero.combine(0.0, &[])?;
        let mut all = vec![zero; probes];
        for probe in &mut all {
            noise.add(probe, Scale::Same(1.0), None)?;
        }
        Ok(Self {
            probes: all,
            network,
        })
    }
}

impl<A, D, T, F> Divergence<Array<A, D>, T> for Hutchinson<Array<A, D>, F>
where
    A: Real,
    D: Dimension,
    F: FnMut(
        &Array<A, D>,
        Point<T>,
        &[Array<A, D>],
    ) -> Result<(Prediction<Array<A, D>>, Vec<Array<A, D>>), Error>,
{
    fn predict(
        &mut self,
        x: &Array<A, D>,
        at: Point<T>,
    ) -> Result<(Prediction<Array<A, D>>, DivergenceOf), Error> {
        for probe in &self.probes {
            elements::check_shape("probe", probe, x)?;
        }
        let (prediction, products) = (self.network)(x, at, &self.probes)?;
        Error::check_length(
            "products with the Jacobian",
            self.probes.len(),
            products.len(),
        )?;
        let mut all = Vec::with_capacity(products.len());
        for (probe, product) in self.probes.iter().zip(&products) {
            elements::check_shape("product with the Jacobian", product, x)?;
            let mut pairs = probe.iter().zip(product);
            let dot = elements::sum_items(x.items(), item_len(x), |_| {
                Ok(pairs.next().map_or(0.0, |(v, w)| v.get() * w.get()))
            })?;
            all.push(dot);
        }
        Ok((prediction, DivergenceOf::Probed(all)))
    }

    fn probes(&self) -> Option<usize> {
        Some(self.probes.len())
    }
}

impl<A: Real, D: Dimension, T: Copy> Divergence<Array<A, D>, T> for GaussianMixture {
    fn predict(
        &mut self,
        x: &Array<A, D>,
        at: Point<T>,
    ) -> Result<(Prediction<Array<A, D>>, DivergenceOf), Error> {
        let prediction = crate::Denoiser::predict(self, x, at)?;
        let view = x.view().into_dyn();
        let trace = (0..x.items()).map(|i| {
            let point: Vec<f64> = item_view(&view, i).iter().map(|x| x.get()).collect();
            self.posterior_mean_divergence(&point, at.level)
        });
        let trace = trace.collect::<Result<_, _>>()?;
        Ok((prediction, DivergenceOf::Exact(trace)))
    }

    fn probes(&self) -> Option<usize> {
        None
    }
}
