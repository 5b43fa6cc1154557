//! The statistics of a network for DPM-Solver-v3.

use std::fmt::Debug;

use ndarray::{Array, Array1, Dimension};

use super::moments::noised;
use crate::{
    Denoiser, Error, Grid, LogSnr, NoiseLevel, NoiseSchedule, Parameterization, Point,
    noise::NoiseSource,
    schedule::network_time_at,
    solver::{ModelStatistics, StatisticsNode},
    state::{Real, State, item_len},
};

/// How far to each side of a state and of a log-SNR the network is asked for a slope: far above what f32 rounds.
const ASIDE: f64 = 0.01;

/// The [statistics](ModelStatistics) of a network at the levels that the steps of a grid leave, measured on data: at
/// each level five questions about the whole batch, and no derivative of the network.
///
/// ```text
/// l = sigma E[tr d eps / d x] / d             by a random probe to both sides of the state
/// s, b: least squares of df / d lambda = s f + b d   over the items, with derivatives to both sides along the flow
/// ```
///
/// $$l=\tfrac\sigma d\thinspace\mathbb E\operatorname{tr}\frac{\partial\varepsilon}{\partial x},\qquad
///   s,b=\arg\min\ \mathbb E\Big|\frac{\mathrm df}{\mathrm d\lambda}-s f-b\thinspace d\Big|^2$$
///
/// `d` is the mean of the data given, the same that the network is to
/// [come with](crate::denoiser::Displaced); without it, take the statistics
/// [without their bias](ModelStatistics::without_bias), which are all of them for data of mean 0. Levels without
/// signal are left out. A hundred levels even in log-SNR and some hundred items are enough.
///
/// [Source](crate::docs::papers#arxiv-2310.13268): DPM-Solver-v3: Improved Diffusion ODE Solver with Empirical Model
/// Statistics, Zheng, Lu, Chen, Zhu, 2023.
///
/// # Errors
///
/// If the network fails or answers with another shape or a NaN, there are fewer than two items or no level between
/// noise and data, or a log-SNR beside a level is beyond the schedule.
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, Grid, LogSnr, SeededNoise, fit, schedule::Cosine};
/// use ndarray::Array2;
/// let mut net = GaussianMixture::isotropic(&[(1.0, [0.0], 0.25)])?;
/// let data = Array2::from_shape_fn((64, 1), |(i, _)| if i % 2 == 0 { 0.5 } else { -0.5 });
/// let grid = Grid::uniform_log_snr_between(&Cosine, 20, LogSnr::new(-8.0)?, LogSnr::new(8.0)?)?;
/// let found = fit::model_statistics(&Cosine, &grid, &data, &mut net, &mut SeededNoise::new(0))?;
/// assert!((found.linear(LogSnr::new(-8.0)?) - 1.0 / (1.0 + 0.25 * (-8.0_f64).exp())).abs() < 1e-9);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
pub fn model_statistics<S, A, D, M, N>(
    schedule: &S,
    grid: &Grid<S::Time>,
    data: &Array<A, D>,
    network: &mut M,
    noise: &mut N,
) -> Result<ModelStatistics, Error>
where
    S: NoiseSchedule<Time: Copy + Debug> + ?Sized,
    A: Real,
    D: Dimension,
    M: Denoiser<Array<A, D>, S::Time> + ?Sized,
    N: NoiseSource<Array<A, D>> + ?Sized,
{
    ModelStatistics::new(measured(schedule, grid, data, network, noise)?)
}

fn measured<S, A, D, M, N>(
    schedule: &S,
    grid: &Grid<S::Time>,
    data: &Array<A, D>,
    network: &mut M,
    noise: &mut N,
) -> Result<Vec<StatisticsNode>, Error>
where
    S: NoiseSchedule<Time: Copy + Debug> + ?Sized,
    A: Real,
    D: Dimension,
    M: Denoiser<Array<A, D>, S::Time> + ?Sized,
    N: NoiseSource<Array<A, D>> + ?Sized,
{
    let (items, length) = (data.items(), item_len(data));
    if items < 2 || length == 0 {
        return Err(Error::range(
            "number of items",
            items as f64,
            "2 or more, with elements",
        ));
    }
    let inner = |level: &NoiseLevel| !level.is_noise() && !level.is_clean();
    let levels: Vec<_> = grid
        .nodes()
        .iter()
        .map(|node| node.level)
        .filter(inner)
        .collect();
    network.begin();
    let mut nodes = Vec::with_capacity(levels.len());
    for level in levels {
        nodes.push(moments(schedule, level, data, network, noise)?);
    }
    let slopes = slopes(&nodes);
    let pattern = means(data.iter().map(|x| x.get()), items, length);
    let pattern_square = pattern.dot(&pattern);
    let made = nodes.iter().zip(slopes).map(|(node, slope)| {
        let (scaling, rest) = node.fit(slope);
        StatisticsNode {
            log_snr: node.log_snr,
            linear: node.linear,
            scaling,
            bias: match pattern_square > 0.0 {
                true => rest.dot(&pattern) / pattern_square,
                false => 0.0,
            },
        }
    });
    Ok(made.collect())
}

/// What is kept of one level: `y = x / alpha`, `p = rho eps` and its derivative `q` along the flow, by their means over
/// the items and the products of what is left.
struct Moments {
    log_snr: LogSnr,
    linear: f64,
    means: [Array1<f64>; 3],
    products: [[f64; 3]; 3],
}

const Y: usize = 0;
const P: usize = 1;
const Q: usize = 2;

impl Moments {
    /// The scaling, and for each element what it leaves of the mean derivative, where `l` has this slope.
    fn fit(&self, slope: f64) -> (f64, Array1<f64>) {
        // f = p - l y,   f' = q - l' y - l y',   y' = -p
        let f = [-self.linear, 1.0, 0.0];
        let change = [-slope, self.linear, 1.0];
        let product = |a: [f64; 3], b: [f64; 3]| {
            let rows = a.iter().zip(&self.products);
            let row = |(a, row): (&f64, &[f64; 3])| {
                let sums = row.iter().zip(&b);
                a * sums.map(|(c, b)| c * b).sum::<f64>()
            };
            rows.map(row).sum::<f64>()
        };
        // Of an f that is all rounding nothing is learned.
        let least = 1e-8 * self.products[P][P] + f64::MIN_POSITIVE;
        let scaling = product(f, change) / (product(f, f) + least);
        let mean = |c: [f64; 3]| {
            let terms = c.iter().zip(&self.means);
            terms.fold(
                Array1::zeros(self.means[Y].len()),
                |sum: Array1<f64>, (c, mean)| sum + mean * *c,
            )
        };
        (scaling, mean(change) - mean(f) * scaling)
    }
}

fn moments<S, A, D, M, N>(
    schedule: &S,
    level: NoiseLevel,
    data: &Array<A, D>,
    network: &mut M,
    noise: &mut N,
) -> Result<Moments, Error>
where
    S: NoiseSchedule<Time: Copy + Debug> + ?Sized,
    A: Real,
    D: Dimension,
    M: Denoiser<Array<A, D>, S::Time> + ?Sized,
    N: NoiseSource<Array<A, D>> + ?Sized,
{
    let snr = level.log_snr();
    let mut ask = |x: &Array<A, D>, level: NoiseLevel| {
        let time = network_time_at(schedule, level.log_snr())?;
        let answer = network.predict(x, Point::new(time, level, NoiseLevel::CLEAN))?;
        x.fits(&answer.value)?;
        if !answer.value.is_finite() {
            let what = "the prediction of the network";
            return Err(Error::NotFinite { what, step: 0 });
        }
        Ok::<_, Error>(answer.to(Parameterization::Noise, x, level)?.value)
    };
    let x = noised(data, level, noise)?;
    let eps = ask(&x, level)?;

    // To both sides of the state.
    let mut probe = x.clone();
    noise.fill(&mut probe)?;
    probe.mapv_inplace(|z| A::of(if z.get() < 0.0 { -1.0 } else { 1.0 }));
    let mut beside = |side: f64| {
        let mut moved = x.clone();
        moved.combine(1.0, &[(side * ASIDE * level.sigma(), &probe)])?;
        ask(&moved, level)
    };
    let (above, below) = (beside(1.0)?, beside(-1.0)?);
    let mut change = above;
    change.combine(1.0, &[(-1.0, &below)])?;
    let trace: f64 = change.dot_items(&probe)?.iter().sum();
    let linear = trace / (2.0 * ASIDE * data.len() as f64);

    // To both sides along the flow, y by dy = -rho eps d lambda.
    let mut along = |side: f64| {
        let there = schedule.level_at(LogSnr::new(snr.get() + 2.0 * side * ASIDE)?)?;
        let own = there.alpha() / level.alpha();
        let mut moved = x.clone();
        moved.combine(own, &[(-side * ASIDE * own * level.sigma(), &eps)])?;
        let mut slope = ask(&moved, there)?;
        slope.combine(there.noise_to_signal(), &[])?;
        Ok::<_, Error>(slope)
    };
    let (after, before) = (along(1.0)?, along(-1.0)?);

    let (items, length) = (data.items(), data.len() / data.items().max(1));
    let alpha = level.alpha();
    let rho = level.noise_to_signal();
    let columns = [
        x.iter().map(|x| x.get() / alpha).collect::<Vec<_>>(),
        eps.iter().map(|eps| rho * eps.get()).collect(),
        after
            .iter()
            .zip(&before)
            .map(|(after, before)| (after.get() - before.get()) / (2.0 * ASIDE))
            .collect(),
    ];
    let means = [Y, P, Q].map(|i| means(columns[i].iter().copied(), items, length));
    let mut products = [[0.0; 3]; 3];
    for at in 0..items * length {
        let off = [Y, P, Q].map(|i| columns[i][at] - means[i][at % length]);
        for (row, a) in products.iter_mut().zip(off) {
            for (sum, b) in row.iter_mut().zip(off) {
                *sum += a * b;
            }
        }
    }
    Ok(Moments {
        log_snr: snr,
        linear,
        means,
        products,
    })
}

/// The mean of every element over the items.
fn means(values: impl Iterator<Item = f64>, items: usize, length: usize) -> Array1<f64> {
    let mut sums = vec![0.0; length];
    for (at, value) in values.enumerate() {
        sums[at % length] += value / items as f64;
    }
    sums.into()
}

/// The slope of `l` at every node, over half the log-SNR: that of the parabola through it and its neighbours.
fn slopes(nodes: &[Moments]) -> Vec<f64> {
    let lambda = |node: &Moments| 0.5 * node.log_snr.get();
    let rise = |a: &Moments, b: &Moments| (b.linear - a.linear) / (lambda(b) - lambda(a));
    (0..nodes.len())
        .map(|i| {
            let before = i.checked_sub(1).and_then(|i| nodes.get(i));
            match (before, &nodes[i], nodes.get(i + 1)) {
                (Some(before), here, Some(after)) => {
                    let (left, right) =
                        (lambda(here) - lambda(before), lambda(after) - lambda(here));
                    (rise(before, here) * right + rise(here, after) * left) / (left + right)
                }
                (Some(before), here, None) => rise(before, here),
                (None, here, Some(after)) => rise(here, after),
                (None, _, None) => 0.0,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::{
        GaussianMixture, SeededNoise,
        noise::Scale,
        rand::{SeedableRng, rngs::StdRng},
        schedule::Cosine,
    };

    fn snr(value: f64) -> LogSnr {
        LogSnr::new(value).unwrap()
    }

    /// Correlated within a component.
    fn data() -> GaussianMixture {
        let axes = array![[0.8, 0.6], [-0.6, 0.8]];
        GaussianMixture::rotated(&[
            (0.5, [-0.6, 0.3], [0.2, 0.01], axes.clone()),
            (0.5, [0.8, 0.1], [0.02, 0.3], axes),
        ])
        .unwrap()
    }

    /// At each level of a mixture: `l` by a difference along the probe, and `s` by the normal equations of
    /// `df/dlambda = s f + c` over the items, with a `c` for each element, of which `b` is the share along the mean of the
    /// data; where `f = rho eps - l y` and along the flow `dy = -rho eps dlambda`. By the same differences, 0.01 to both
    /// sides, and of the same two draws a level, the noise and the probe. What divides has 1e-8 of the variance of `rho eps`
    /// on top, which counts where next to nothing is left in `f`.
    #[test]
    fn statistics_are_the_least_squares_of_their_definition() {
        let rows = data().sample(40, &mut StdRng::seed_from_u64(5)) + 0.3;
        let mean = rows.mean_axis(ndarray::Axis(0)).unwrap();
        let grid = Grid::uniform_log_snr_between(&Cosine, 4, snr(-3.0), snr(4.0)).unwrap();
        let levels: Vec<_> = grid.nodes().iter().map(|node| node.level).collect();
        let found = measured(&Cosine, &grid, &rows, &mut data(), &mut SeededNoise::new(4));
        let found = found.unwrap();

        let h = 0.01;
        let lambda = |level: &NoiseLevel| 0.5 * level.log_snr().get();
        let eps = |x: [f64; 2], level: NoiseLevel| {
            let x0 = data().posterior_mean(&x, level).unwrap();
            [0, 1].map(|k| (x[k] - level.alpha() * x0[k]) / level.sigma())
        };
        let pairs = |x: &Array2<f64>| -> Vec<[f64; 2]> {
            x.rows().into_iter().map(|row| [row[0], row[1]]).collect()
        };
        let mut noise = SeededNoise::new(4);
        let (mut states, mut linear) = (Vec::new(), Vec::new());
        for level in &levels {
            let (mut x, mut probe) = (&rows * level.alpha(), rows.clone());
            noise.add(&mut x, Scale::Same(level.sigma()), None).unwrap();
            noise.fill(&mut probe).unwrap();
            let along = |(x, z): (&[f64; 2], &[f64; 2])| {
                let z = z.map(f64::signum);
                let beside = |side: f64| [0, 1].map(|k| x[k] + side * h * level.sigma() * z[k]);
                let (above, below) = (eps(beside(1.0), *level), eps(beside(-1.0), *level));
                (0..2).map(|k| z[k] * (above[k] - below[k])).sum::<f64>()
            };
            let (x, probe) = (pairs(&x), pairs(&probe));
            linear.push(x.iter().zip(&probe).map(along).sum::<f64>() / (2.0 * h * 80.0));
            states.push(x);
        }
        // The parabola through three points, and the line through two at the ends.
        let rise = |i: usize, j: usize| {
            (linear[j] - linear[i]) / (lambda(&levels[j]) - lambda(&levels[i]))
        };
        let last = levels.len() - 1;
        for (i, (level, states)) in levels.iter().zip(&states).enumerate() {
            let bend = match i {
                0 => rise(0, 1),
                i if i == last => rise(i - 1, i),
                i => rise(i - 1, i) + rise(i, i + 1) - rise(i - 1, i + 1),
            };
            let along = |y: [f64; 2], by: f64| {
                let there = snr(level.log_snr().get() + 2.0 * by);
                let there = NoiseLevel::variance_preserving(there).unwrap();
                let eps = eps(y.map(|y| y * there.alpha()), there);
                eps.map(|eps| there.noise_to_signal() * eps)
            };
            // For each element and item: p, f and df / d lambda.
            let mut each = [Vec::new(), Vec::new()];
            for x in states {
                let y = x.map(|x| x / level.alpha());
                let p = along(y, 0.0);
                let (after, before) = (
                    along([0, 1].map(|k| y[k] - h * p[k]), h),
                    along([0, 1].map(|k| y[k] + h * p[k]), -h),
                );
                for k in 0..2 {
                    let q = (after[k] - before[k]) / (2.0 * h);
                    each[k].push([
                        p[k],
                        p[k] - linear[i] * y[k],
                        q - bend * y[k] + linear[i] * p[k],
                    ]);
                }
            }
            let mean_of = |k: usize, j: usize| each[k].iter().map(|of| of[j]).sum::<f64>() / 40.0;
            let covariance = |j: usize, l: usize| -> f64 {
                let of = |k: usize| {
                    let (a, b) = (mean_of(k, j), mean_of(k, l));
                    each[k]
                        .iter()
                        .map(|of| (of[j] - a) * (of[l] - b))
                        .sum::<f64>()
                };
                of(0) + of(1)
            };
            let scaling = covariance(1, 2) / (covariance(1, 1) + 1e-8 * covariance(0, 0));
            let left = |k: usize| (mean_of(k, 2) - scaling * mean_of(k, 1)) * mean[k];
            let bias = (left(0) + left(1)) / mean.dot(&mean);
            for (found, wanted) in [
                (found[i].linear, linear[i]),
                (found[i].scaling, scaling),
                (found[i].bias, bias),
            ] {
                // `f` is a hundredth of what it is the difference of, and divides by its square.
                assert!(
                    (found - wanted).abs() < 1e-9 * (1.0 + wanted.abs()),
                    "{i}: {found} {wanted}"
                );
            }
        }
        assert_eq!(found.len(), levels.len());
    }

    /// Levels without signal are left out; two items are enough.
    #[test]
    fn levels_that_say_nothing_are_left_out() {
        let grid = Grid::uniform_time(&Cosine, 5).unwrap();
        assert!(grid.nodes()[0].level.is_noise());
        let rows = array![[0.4, 0.1], [-0.3, 0.2]];
        let found = measured(&Cosine, &grid, &rows, &mut data(), &mut SeededNoise::new(1)).unwrap();
        let snrs: Vec<_> = found.iter().map(|node| node.log_snr).collect();
        let wanted = grid.nodes().iter().skip(1);
        assert_eq!(
            snrs,
            wanted.map(|node| node.level.log_snr()).collect::<Vec<_>>()
        );
        // Of data whose mean is 0 there is no bias.
        let opposite = array![[0.4, 0.1], [-0.4, -0.1]];
        let noise = &mut SeededNoise::new(1);
        let found = measured(&Cosine, &grid, &opposite, &mut data(), noise).unwrap();
        assert!(found.iter().all(|node| node.bias == 0.0));
        let one = measured(
            &Cosine,
            &grid,
            &array![[0.4, 0.1]],
            &mut data(),
            &mut SeededNoise::new(1),
        );
        assert_eq!(
            one.unwrap_err().to_string(),
            "number of items is 1, allowed: 2 or more, with elements"
        );
    }
}
