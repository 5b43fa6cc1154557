//! Increments of one Brownian path for every number of the state.

use std::{f64::consts::FRAC_PI_2, ops::Range};

use super::{Interval, NoiseSource, Scale, SeededNoise, add_in_a_sweep, keyed::Keyed, sweep_drawn};
use crate::{
    Error, NoiseLevel,
    state::{Assignment, Draw, Elements, NOISE_BLOCK, Stream, Wide},
};

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
/// [Source](crate::docs::papers#arxiv-2001.01328): Scalable Gradients for Stochastic Differential Equations, Li, Wong, Chen,
/// Duvenaud, 2020 (the virtual Brownian tree).
///
/// ```
/// use gaussian_diffusion::{SeededNoise, NoiseLevel, noise::{BrownianPath, Interval, NoiseSource, Scale}};
/// use ndarray::Array1;
/// let [a, b, c] = [(0.6, 0.8), (0.8, 0.6), (1.0, 0.0)].map(|(a, s)| NoiseLevel::new(a, s).unwrap());
/// let u = |level: NoiseLevel| level.sigma().atan2(level.alpha()) / std::f64::consts::FRAC_PI_2;
/// let mut path = BrownianPath::new(SeededNoise::new(5));
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct BrownianPath {
    noise: SeededNoise,
}

impl BrownianPath {
    /// The paths of this seed, or of these seeds; independent draws go on from its count.
    pub const fn new(noise: SeededNoise) -> Self {
        Self { noise }
    }
}

impl<V: Elements> NoiseSource<V> for BrownianPath {
    add_in_a_sweep!();

    fn sweep(
        &mut self,
        states: &mut [&mut V],
        fixed: &[&V],
        assignments: &[Assignment<'_>],
        scale: Scale<'_, V>,
        over: Option<Interval>,
    ) -> Result<bool, Error> {
        let Some(Interval { from, to }) = over else {
            return self.noise.sweep(states, fixed, assignments, scale, None);
        };
        let (from, to) = (angle(from), angle(to));
        // An inverted interval has the same increment.
        let ends = (from.min(to), from.max(to));
        let recip = (ends.1 - ends.0).sqrt().recip();
        if !recip.is_finite() {
            return Err(Error::range(
                "length of the interval of a draw",
                ends.1 - ends.0,
                "above 0",
            ));
        }
        let noise = &self.noise;
        let mut increment = Increment { noise, ends, recip };
        sweep_drawn(states, fixed, assignments, scale, &mut increment)
    }
}

/// The draw over an interval.
struct Increment<'a> {
    noise: &'a SeededNoise,
    ends: (f64, f64),
    recip: f64,
}

impl Draw for Increment<'_> {
    fn stream<W: Wide>(&mut self, shape: &[usize]) -> Result<impl Stream<W>, Error> {
        Ok(Increments {
            normals: self.noise.draw(shape)?,
            ends: self.ends,
            recip: self.recip,
        })
    }
}

/// The clock of the path.
fn angle(level: NoiseLevel) -> f64 {
    level.sigma().atan2(level.alpha()) / FRAC_PI_2
}

/// The width of the intervals that are halved no more: 2^-32.
const FINEST: f64 = 1.0 / 4_294_967_296.0;
/// Sets the counters of the path apart from those of independent draws.
const PATH: u64 = 1 << 63;

/// Normalised increments, block after block.
#[derive(Debug, Clone, Copy)]
struct Increments<'a> {
    normals: Keyed<'a>,
    ends: (f64, f64),
    /// One over the root of the length of the interval.
    recip: f64,
}

/// Numbers of a block.
type Block = [f64; NOISE_BLOCK];

impl Increments<'_> {
    /// The normals of a node of the tree, one for each path.
    fn node(&self, node: u64, places: Range<usize>) -> Block {
        let mut z = [0.0; NOISE_BLOCK];
        self.normals.numbers(PATH | node, places, &mut z);
        z
    }

    /// Where the paths are at the two ends, which are halved together until they part.
    fn paths(&self, places: &Range<usize>) -> [Block; 2] {
        let mut walk = Walk {
            low: [0.0; NOISE_BLOCK],
            high: self.node(0, places.clone()),
            node: 1,
            width: 1.0,
        };
        let mut at = [self.ends.0, self.ends.1];
        while walk.width > FINEST && (at[0] < 0.5) == (at[1] < 0.5) {
            at = walk.halve(self, places, at);
        }
        let other = walk.clone();
        [
            walk.end(self, places, at[0]),
            other.end(self, places, at[1]),
        ]
    }
}

/// An interval of the tree, and where the paths are at its ends.
#[derive(Clone)]
struct Walk {
    low: Block,
    high: Block,
    node: u64,
    width: f64,
}

impl Walk {
    /// The half that holds these places, which count from 0 to 1 between the ends, and the places in it: doubling
    /// is exact.
    fn halve<const N: usize>(
        &mut self,
        paths: &Increments<'_>,
        places: &Range<usize>,
        at: [f64; N],
    ) -> [f64; N] {
        let spread = 0.5 * self.width.sqrt();
        let mut middle = paths.node(self.node, places.clone());
        for (z, (low, high)) in middle.iter_mut().zip(self.low.iter().zip(&self.high)) {
            *z = 0.5 * (low + high) + spread * *z;
        }
        let above = at.iter().all(|at| *at >= 0.5);
        let end = if above { &mut self.low } else { &mut self.high };
        *end = middle;
        self.node = 2 * self.node + u64::from(above);
        self.width *= 0.5;
        at.map(|at| if above { 2.0 * at - 1.0 } else { 2.0 * at })
    }

    /// Where the paths are at this place.
    fn end(mut self, paths: &Increments<'_>, places: &Range<usize>, at: f64) -> Block {
        let mut at = [at];
        while self.width > FINEST {
            at = self.halve(paths, places, at);
        }
        for (low, high) in self.low.iter_mut().zip(&self.high) {
            *low += (high - *low) * at[0];
        }
        self.low
    }
}

impl<W: Wide> Stream<W> for Increments<'_> {
    type Part = Self;

    fn end(&self, start: usize) -> usize {
        self.normals.end(start)
    }

    fn begin(&self, at: usize) -> usize {
        self.normals.begin(at)
    }

    fn fill(&mut self, places: Range<usize>, z: &mut [W; NOISE_BLOCK]) {
        let [low, high] = self.paths(&places);
        for (z, (low, high)) in z.iter_mut().zip(low.iter().zip(&high)) {
            *z = W::of((high - low) * self.recip);
        }
    }

    fn part(&self) -> Option<Self> {
        Some(*self)
    }
}
