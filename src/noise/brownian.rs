//! Increments of one Brownian path for every number of the state.

use std::f64::consts::FRAC_PI_2;

use ndarray::{Array, Dimension};

use super::{Interval, Noise, NoiseSource, Scale, add_stream, seeded::Keyed};
use crate::{Error, NoiseLevel, noise::Stream, state::Real};

/// Noise whose draws over intervals of noise levels are increments of one Brownian path for each
/// element: the same seed gives the same path for 20 steps and for 200.
///
/// The path is over the angle `u = (2 / pi) atan(sigma / alpha)`, from 0 at the data to 1 at pure
/// noise; the draw over an interval is `z = (W(u_from) - W(u_to)) / sqrt(u_from - u_to)`. Increments over
/// intervals that do not overlap are independent, and those over touching intervals are increments of
/// one path: a stochastic sampler converges to one result as its steps become more. `W` is made by
/// halving, down to intervals of `2^-32`, each midpoint from bits keyed by seed, item, element and
/// place.
///
/// A draw without an interval (the start of a run, churn) is independent noise.
///
/// $$z=\frac{W(u_s)-W(u_t)}{\sqrt{u_s-u_t}}$$
///
/// Source: Scalable Gradients for Stochastic Differential Equations, Li, Wong, Chen, Duvenaud, 2020
/// (the virtual Brownian tree).
///
/// ```
/// use gaussian_diffusion::{Noise, NoiseLevel, noise::{BrownianPath, Interval, NoiseSource, Scale}};
/// use ndarray::Array1;
/// let [a, b, c] = [(0.6, 0.8), (0.8, 0.6), (1.0, 0.0)].map(|(a, s)| NoiseLevel::new(a, s).unwrap());
/// let u = |level: NoiseLevel| level.sigma().atan2(level.alpha()) / std::f64::consts::FRAC_PI_2;
/// let mut path = BrownianPath::new(Noise::seeded(5));
/// let mut increment = |from, to| {
///     let mut w = Array1::<f64>::zeros(1);
///     let scale = Scale::Same((u(from) - u(to)).sqrt());
///     path.add(&mut w, scale, Some(Interval { from, to })).map(|()| w[0])
/// };
/// let parts = increment(a, b)? + increment(b, c)?;
/// assert!((parts - increment(a, c)?).abs() < 1e-12);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("BrownianTreeNoiseSampler", "virtual Brownian tree"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrownianPath {
    noise: Noise,
}

impl BrownianPath {
    /// The paths of this seed, or of these seeds; independent draws go on from its count.
    pub const fn new(noise: Noise) -> Self {
        Self { noise }
    }
}

impl<A: Real, D: Dimension> NoiseSource<Array<A, D>> for BrownianPath {
    fn add(
        &mut self,
        x: &mut Array<A, D>,
        scale: Scale<'_, Array<A, D>>,
        over: Option<Interval>,
    ) -> Result<(), Error> {
        let Some(Interval { from, to }) = over else {
            return self.noise.add(x, scale, None);
        };
        let (from, to) = (angle(from), angle(to));
        // An inverted interval has the same increment.
        let ends = (from.min(to), from.max(to));
        let mut stream = Increments {
            keyed: self.noise.stream(x.shape())?,
            ends,
            scale: (ends.1 - ends.0).sqrt().recip(),
            next: 0,
            odd: 0.0,
        };
        if !stream.scale.is_finite() {
            return Err(Error::range(
                "length of the interval of a draw",
                ends.1 - ends.0,
                "above 0",
            ));
        }
        add_stream(x, scale, &mut stream)
    }
}

/// The clock of the path.
fn angle(level: NoiseLevel) -> f64 {
    level.sigma().atan2(level.alpha()) / FRAC_PI_2
}

/// How often the path is halved.
const DEPTH: u32 = 32;
/// Sets the counters of the path apart from those of independent draws.
const PATH: u64 = 1 << 63;

/// Normalised increments, element after element.
struct Increments<'a> {
    keyed: Keyed<'a>,
    ends: (f64, f64),
    scale: f64,
    next: u64,
    odd: f64,
}

impl Increments<'_> {
    /// The paths of two neighbouring elements at a time.
    fn path(&self, block: u32, at: f64) -> [f64; 2] {
        let normals = |node: u64| self.keyed.block(block, PATH | node);
        let (mut low, mut high) = ([0.0; 2], normals(0));
        let (mut place, mut width) = (at, 1.0_f64);
        let mut node = 1;
        for _ in 0..DEPTH {
            let spread = 0.5 * width.sqrt();
            let z = normals(node);
            let middle = [0, 1].map(|i| 0.5 * (low[i] + high[i]) + spread * z[i]);
            // `place` is where `at` lies between the ends, from 0 to 1; doubling it is exact.
            place *= 2.0;
            width *= 0.5;
            if place < 1.0 {
                high = middle;
                node *= 2;
            } else {
                low = middle;
                place -= 1.0;
                node = 2 * node + 1;
            }
        }
        [0, 1].map(|i| low[i] + (high[i] - low[i]) * place)
    }
}

impl Stream for Increments<'_> {
    fn begin(&mut self, item: usize) {
        self.keyed.begin(item);
        self.next = 0;
    }

    fn next(&mut self) -> f64 {
        let element = self.next;
        self.next += 1;
        if element % 2 == 1 {
            return self.odd;
        }
        let block = (element / 2) as u32;
        let (low, high) = (self.path(block, self.ends.0), self.path(block, self.ends.1));
        self.odd = (high[1] - low[1]) * self.scale;
        (high[0] - low[0]) * self.scale
    }
}
