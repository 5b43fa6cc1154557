//! What a network leaves open, measured on data.

use std::fmt::Debug;

use crate::{
    Denoiser, DenoisingVariance, Error, Grid, NoiseLevel, Parameterization, Point, Prediction,
    noise::{NoiseSource, Scale},
    state::{State, item_sizes},
};

/// What a network leaves open of the data, from the second moment of its predicted noise at the levels that the steps
/// of a grid leave.
///
/// `V_t = (sigma_t / alpha_t)^2 (1 - E |eps|^2 / d)`, over noised data with one draw for each item and level. Right if
/// the network is; data from [`denoising_errors`] is right whatever it errs.
///
/// [Source](crate::docs::papers#arxiv-2201.06503): Analytic-DPM: an Analytic Estimate of the Optimal Reverse Variance in
/// Diffusion Probabilistic Models, Bao, Li, Zhu, Zhang, 2022.
///
/// # Errors
///
/// If the network fails or answers with another shape or a NaN, a level has no signal, or the batch is empty.
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, Grid, SeededNoise, fit, schedule::Discrete};
/// use ndarray::Array2;
/// let schedule = Discrete::cosine(1000)?;
/// let grid = Grid::trailing(&schedule, 10)?;
/// let mut net = GaussianMixture::point(&[0.3])?;
/// let data = Array2::from_elem((2000, 1), 0.3);
/// let open = fit::noise_moments(&grid, &data, &mut net, &mut SeededNoise::new(0))?;
/// // A point leaves nothing open, but for what chance makes of 2000 draws.
/// let level = grid.nodes()[5].level;
/// assert!(open.at(level)?.get() < 0.1 * level.noise_to_signal().powi(2));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
pub fn noise_moments<T, V, D, N>(
    grid: &Grid<T>,
    data: &V,
    network: &mut D,
    noise: &mut N,
) -> Result<DenoisingVariance, Error>
where
    T: Copy + Debug,
    V: State,
    D: Denoiser<V, T> + ?Sized,
    N: NoiseSource<V> + ?Sized,
{
    let (levels, moments) = measure(grid, data, network, noise, |answer, x, level| {
        let noise = answer.to(Parameterization::Noise, x, level)?.value;
        mean_square(&noise)
    })?;
    DenoisingVariance::from_noise_moments(&levels, &moments)
}

/// What a network leaves open of the data, from the squared error of its predicted data:
/// `V_t = E |x_0 - x_0 predicted|^2 / d`.
///
/// That is what an imperfect network needs: its steps then have the least divergence that their means allow.
///
/// [Source](crate::docs::papers#arxiv-2206.07309): Estimating the Optimal Covariance with Imperfect Mean in Diffusion
/// Probabilistic Models, Bao, Li, Sun, Zhu, Zhang, 2022.
///
/// # Errors
///
/// As [`noise_moments`].
pub fn denoising_errors<T, V, D, N>(
    grid: &Grid<T>,
    data: &V,
    network: &mut D,
    noise: &mut N,
) -> Result<DenoisingVariance, Error>
where
    T: Copy + Debug,
    V: State,
    D: Denoiser<V, T> + ?Sized,
    N: NoiseSource<V> + ?Sized,
{
    let (levels, errors) = measure(grid, data, network, noise, |answer, x, level| {
        let mut error = answer.to(Parameterization::X0, x, level)?.value;
        error.combine(1.0, &[(-1.0, data)])?;
        mean_square(&error)
    })?;
    DenoisingVariance::new(&levels, &errors)
}

/// A number made of the answer at every level that the network is asked at.
fn measure<T, V, D, N>(
    grid: &Grid<T>,
    data: &V,
    network: &mut D,
    noise: &mut N,
    of: impl Fn(Prediction<V>, &V, NoiseLevel) -> Result<f64, Error>,
) -> Result<(Vec<NoiseLevel>, Vec<f64>), Error>
where
    T: Copy + Debug,
    V: State,
    D: Denoiser<V, T> + ?Sized,
    N: NoiseSource<V> + ?Sized,
{
    let (mut levels, mut numbers) = (Vec::new(), Vec::new());
    network.begin();
    for (step, node) in grid.nodes().iter().enumerate() {
        let level = node.level;
        let to = grid
            .nodes()
            .get(step + 1)
            .map_or(grid.end(), |next| next.level);
        let x = noised(data, level, noise)?;
        let at = Point {
            step,
            evaluation: step,
            ..Point::new(node.time, level, to)
        };
        let answer = network.predict(&x, at)?;
        let number = of(answer, &x, level)?;
        if !number.is_finite() {
            let what = "a moment of the network's predictions";
            return Err(Error::NotFinite { what, step });
        }
        levels.push(level);
        numbers.push(number);
    }
    Ok((levels, numbers))
}

/// `alpha x_0 + sigma z`.
pub(super) fn noised<V, N>(data: &V, level: NoiseLevel, noise: &mut N) -> Result<V, Error>
where
    V: State,
    N: NoiseSource<V> + ?Sized,
{
    let mut x = data.clone();
    x.combine(level.alpha(), &[])?;
    noise.add(&mut x, Scale::Same(level.sigma()), None)?;
    Ok(x)
}

/// Over all elements; NaN where there are none.
fn mean_square<V: State>(x: &V) -> Result<f64, Error> {
    let sum: f64 = x.dot_items(x)?.iter().sum();
    let size: f64 = item_sizes(x)?.iter().sum();
    Ok(sum / size)
}
