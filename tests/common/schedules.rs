//! A schedule of every family with a grid on it, and batches to edit.

use gaussian_diffusion::{GaussianMixture, state::Real};
use ndarray::Array2;

/// Calls a generic test on a schedule of every family, with a grid of `n` steps to the data.
macro_rules! on_every_family {
    ($test:ident, $n:expr) => {{
        use gaussian_diffusion::{Grid, Sigma, schedule};
        let n = $n;
        let discrete = schedule::Discrete::cosine(1000).unwrap();
        $test(&discrete, &Grid::trailing(&discrete, n).unwrap());
        let zero = schedule::Discrete::stable_diffusion()
            .unwrap()
            .zero_terminal_snr()
            .unwrap();
        $test(&zero, &Grid::trailing(&zero, n).unwrap());
        let sigma = |value| Sigma::new(value).unwrap();
        let edm = schedule::Edm::new(sigma(0.002), sigma(80.0)).unwrap();
        $test(&edm, &Grid::karras(&edm, n).unwrap());
        let flow = schedule::RectifiedFlow;
        $test(&flow, &Grid::uniform_time(&flow, n).unwrap());
    }};
}

pub(crate) use on_every_family;

/// Two blobs in three dimensions.
pub fn mixture() -> GaussianMixture {
    GaussianMixture::isotropic(&[
        (0.5, &[-1.0, 0.2, 0.4][..], 0.2),
        (0.5, &[1.0, 0.5, -0.3][..], 0.1),
    ])
    .unwrap()
}

pub fn values<A: Real>(items: usize) -> Array2<A> {
    Array2::from_shape_fn((items, 3), |(i, j)| {
        A::of(0.1 + 0.37 * i as f64 - 0.59 * j as f64)
    })
}

/// The first element is known, the second is not, the third by half.
pub fn mask<A: Real>(items: usize) -> Array2<A> {
    Array2::from_shape_fn((items, 3), |(_, j)| A::of([1.0, 0.0, 0.5][j]))
}
