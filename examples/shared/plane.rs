//! Pictures of densities and of points in the plane.

use std::f64::consts::TAU;

use gaussian_diffusion::{Denoiser, Error, GaussianMixture, NoiseLevel, Plan, SeededNoise, Step};
use ndarray::{Array2, array};

/// The half-width of the square that is shown.
const REACH: f64 = 2.6;

/// Narrow components on a ring, turned like the petals of a flower.
pub fn petals(count: usize) -> Result<GaussianMixture, Error> {
    let petal = |i: usize| {
        let (sin, cos) = (i as f64 * TAU / count as f64).sin_cos();
        let axes = array![[cos, sin], [-sin, cos]];
        (1.0, vec![1.2 * cos, 1.2 * sin], vec![0.09, 0.006], axes)
    };
    GaussianMixture::rotated(&(0..count).map(petal).collect::<Vec<_>>())
}

/// The states of a run at every level, its start included: a run is a loop of one's own.
pub fn states(
    plan: &Plan<Step>,
    network: &mut impl Denoiser<Array2<f64>, Step>,
    start: Array2<f64>,
    noise: &mut SeededNoise,
) -> Result<Vec<Array2<f64>>, Error> {
    let mut states = vec![start.clone()];
    let mut run = plan.start_from(start, noise)?;
    while let Some((x, at)) = run.pending() {
        let answer = network.predict(x, at)?;
        run.supply(answer, noise)?;
        states.push(run.state().clone());
    }
    Ok(states)
}

/// Brightness of every pixel, rows from the top, 0 to 1.
pub type Panel = Array2<f64>;

/// The exact density at a level, as a share of its largest value.
pub fn density_panel(
    mixture: &GaussianMixture,
    level: NoiseLevel,
    side: usize,
) -> Result<Panel, Error> {
    let mut panel = Panel::zeros((side, side));
    for ((row, column), value) in panel.indexed_iter_mut() {
        let at = |i: usize| ((i as f64 + 0.5) / side as f64 * 2.0 - 1.0) * REACH;
        *value = mixture.log_density(&[at(column), -at(row)], level)?.exp();
    }
    Ok(scaled(panel))
}

/// How many points fall near each pixel, as a share of the largest number.
pub fn points_panel(points: &Array2<f64>, side: usize) -> Panel {
    let mut counts = Panel::zeros((side, side));
    for point in points.rows() {
        // A small disc for each point, so that a panel of few points is not a scatter of pixels.
        if let Some((row, column)) = pixel(point[0], point[1], side) {
            for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                if let Some(count) = counts.get_mut((row + i, column + j)) {
                    *count += 1.0;
                }
            }
        }
    }
    scaled(counts.mapv(f64::sqrt))
}

fn scaled(panel: Panel) -> Panel {
    let most = panel.iter().fold(f64::MIN_POSITIVE, |most, x| most.max(*x));
    panel / most
}

pub fn pixel(x: f64, y: f64, side: usize) -> Option<(usize, usize)> {
    let place = |x: f64| {
        let place = (x / REACH + 1.0) * 0.5 * side as f64;
        (place >= 0.0 && place < side as f64).then_some(place as usize)
    };
    Some((place(-y)?, place(x)?))
}

/// From near black over violet and orange to near white.
pub fn colour(value: f64) -> [u8; 3] {
    const STOPS: [[f64; 3]; 5] = [
        [12.0, 10.0, 26.0],
        [72.0, 22.0, 108.0],
        [186.0, 54.0, 85.0],
        [249.0, 142.0, 34.0],
        [252.0, 255.0, 190.0],
    ];
    let place = value.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let low = (place as usize).min(STOPS.len() - 2);
    let share = place - low as f64;
    std::array::from_fn(|k| (STOPS[low][k] + (STOPS[low + 1][k] - STOPS[low][k]) * share) as u8)
}
