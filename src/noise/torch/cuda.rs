//! What torch draws on a GPU.

use std::f64::consts::PI;

use super::{Generator, discard, sweep};
use crate::{
    Error,
    noise::{Interval, NoiseSource, Scale, add_in_a_sweep, philox::philox},
    state::{Assignment, Elements},
};

/// The numbers of `torch.manual_seed(seed); torch.randn(shape, device="cuda")`, draw after draw.
///
/// Philox 4x32-10 under the key `seed` and the counter (draw and round, thread) gives words `x, y`, and
/// those a pair, as in cuRAND:
///
/// ```text
/// u = x 2^-32 + 2^-33,  v = 2 pi (y 2^-32 + 2^-33),  z = sqrt(-2 ln u) (sin v, cos v)
/// ```
///
/// $$u=\frac{x+\frac12}{2^{32}},\quad v=2\pi\ \frac{y+\frac12}{2^{32}},\quad
/// z=\sqrt{-2\ln u}\ (\sin v,\ \cos v)$$
///
/// in f32 with fused products, and the same with 53 bits of two words in f64. A round gives each of the `T`
/// threads that the GPU runs at once four numbers (two in f64); the `k`-th of thread `t` is element
/// `t + k T`, and the next round goes on behind:
/// `T = 256 multiprocessors * (threads per multiprocessor / 256)`, in whole numbers.
///
/// So a draw of no more than `T` numbers is the same on every GPU that has as many threads, and a larger one is
/// that of one kind of GPU. [`with_multiprocessors`](Self::with_multiprocessors) says which; without it, it is an A100.
///
/// | GPU | `on` | `T` |
/// |---|---|---|
/// | T4 | 40, 1024 | 40960 |
/// | RTX 3060 | 28, 1536 | 43008 |
/// | RTX A4000 | 48, 1536 | 73728 |
/// | RTX 3090 | 82, 1536 | 125952 |
/// | RTX 4090 | 128, 1536 | 196608 |
/// | A100 | 108, 2048 | 221184 |
/// | H100 SXM, H200 | 132, 2048 | 270336 |
///
/// `torch.cuda.get_device_properties(0)` tells them as `multi_processor_count` and
/// `max_threads_per_multi_processor`. The WebUI's "NV" and stable-diffusion.cpp's "cuda" never run out of
/// threads: `on(u32::MAX, 256)`.
///
/// # What is the same
///
/// The words are those of the GPU, to the bit; the numbers are not, for its fast sine and cosine are its own. Of an
/// H200, the greatest difference in 134 million numbers of f32 was 3.2e-6, in 77 million of f64 8.9e-16
/// ([what was verified](crate::docs::precision#seeds-that-travel)). Halves are f32 rounded, there and here.
///
/// A negative seed of Python is its two's complement: `-1` is [`u64::MAX`].
///
/// [Source](crate::docs::papers#parallel-random-numbers-as-easy-as): Parallel Random Numbers: As Easy as 1, 2, 3, Salmon, Moraes, Dror, Shaw,
/// 2011; PyTorch, `aten/src/ATen/native/cuda/DistributionTemplates.h`; cuRAND, `curand_normal.h`.
///
/// ```
/// use gaussian_diffusion::noise::{NoiseSource, Scale, TorchCuda};
/// use ndarray::Array1;
/// let mut noise = TorchCuda::new(0).with_multiprocessors(128, 1536)?;        // RTX 4090
/// let mut x = Array1::<f32>::zeros(4);
/// noise.add(&mut x, Scale::Same(1.0), None)?;
/// let torch = [-0.9247, -0.4253, -2.6438, 0.1452];
/// assert!(x.iter().zip(torch).all(|(x, torch)| (x - torch).abs() < 5e-5));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("manual_seed", "randn", "Generator", "curand", "rng_philox", "NV"))]
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(try_from = "super::stored::Cuda", into = "super::stored::Cuda")
)]
pub struct TorchCuda {
    pub(super) key: [u32; 2],
    /// Counts rounds, over all draws.
    pub(super) round: u64,
    /// How many threads run at once.
    pub(super) threads: usize,
}

impl TorchCuda {
    /// The generator after `torch.manual_seed(seed)`, on an A100.
    pub const fn new(seed: u64) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            round: 0,
            threads: 108 * 2048,
        }
    }

    /// On a GPU with this many multiprocessors of so many threads each.
    ///
    /// # Errors
    ///
    /// If there is no multiprocessor, or one has fewer than the 256 threads of a block.
    pub fn with_multiprocessors(
        self,
        multiprocessors: u32,
        threads_each: u32,
    ) -> Result<Self, Error> {
        if multiprocessors == 0 {
            return Err(Error::range("number of multiprocessors", 0.0, "1 or more"));
        }
        if (threads_each as usize) < BLOCK {
            return Err(Error::range(
                "threads per multiprocessor",
                f64::from(threads_each),
                "256 or more",
            ));
        }
        let blocks = (multiprocessors as usize).saturating_mul(threads_each as usize / BLOCK);
        Ok(Self {
            threads: blocks.saturating_mul(BLOCK),
            ..self
        })
    }

    /// The next draw, `torch.randn(out.len(), device="cuda")`: for a tensor type of your own.
    ///
    /// # Errors
    ///
    /// If there are more than 2^29 numbers, which torch draws in parts.
    pub fn fill_f32(&mut self, out: &mut [f32]) -> Result<(), Error> {
        self.fill(out, 4, normals_f32)
    }

    /// The next draw, `torch.randn(out.len(), device="cuda", dtype=torch.float64)`.
    ///
    /// # Errors
    ///
    /// If there are more than 2^28 numbers, which torch draws in parts.
    pub fn fill_f64(&mut self, out: &mut [f64]) -> Result<(), Error> {
        self.fill(out, 2, normals_f64)
    }

    fn fill<T, Z: IntoIterator<Item = T>>(
        &mut self,
        out: &mut [T],
        each: usize,
        normals: impl Fn([u32; 4]) -> Z,
    ) -> Result<(), Error> {
        one_launch(out.len(), size_of::<T>())?;
        for part in out.chunks_mut(self.threads.saturating_mul(each)) {
            let (low, high) = (self.round as u32, (self.round >> 32) as u32);
            for thread in 0..self.threads.min(part.len()) {
                let z = normals(philox::<10>([low, high, thread as u32, 0], self.key));
                let places = part[thread..].iter_mut().step_by(self.threads);
                places.zip(z).for_each(|(place, z)| *place = z);
            }
            self.round = self.round.wrapping_add(1);
        }
        Ok(())
    }
}

/// Threads of a block.
pub(super) const BLOCK: usize = 256;

/// Refuses a draw of more than 2^31 bytes.
fn one_launch(numbers: usize, bytes_each: usize) -> Result<(), Error> {
    if numbers > (1 << 31) / bytes_each {
        return Err(Error::range(
            "numbers of a draw of TorchCuda",
            numbers as f64,
            "at most 2^31 bytes of them",
        ));
    }
    Ok(())
}

/// Two pairs, the second only where it is asked for.
fn normals_f32([a, b, c, d]: [u32; 4]) -> impl Iterator<Item = f32> {
    [(a, b), (c, d)]
        .into_iter()
        .flat_map(|(x, y)| pair_f32(x, y))
}

fn pair_f32(x: u32, y: u32) -> [f32; 2] {
    const UNIT: f32 = 1.0 / (1_u64 << 32) as f32;
    const TURN: f32 = UNIT * std::f32::consts::TAU;
    let u = (x as f32).mul_add(UNIT, UNIT / 2.0);
    let v = (y as f32).mul_add(TURN, TURN / 2.0);
    let radius = (-2.0 * libm::log(u.into()) as f32).sqrt();
    let (sin, cos) = libm::sincos(v.into());
    [radius * sin as f32, radius * cos as f32]
}

fn normals_f64([a, b, c, d]: [u32; 4]) -> [f64; 2] {
    const UNIT: f64 = 1.0 / (1_u64 << 53) as f64;
    let bits = |low: u32, high: u32| (u64::from(low) ^ u64::from(high) << 21) as f64;
    let u = bits(a, b).mul_add(UNIT, UNIT / 2.0);
    let half_turns = bits(c, d).mul_add(2.0 * UNIT, UNIT);
    let radius = (-2.0 * libm::log(u)).sqrt();
    let (sin, cos) = sin_cos_pi(half_turns);
    [radius * sin, radius * cos]
}

/// Sine and cosine of pi times this, by way of the nearest quarter of a turn, so that they are precise near their zeros too.
fn sin_cos_pi(half_turns: f64) -> (f64, f64) {
    let quarter = (2.0 * half_turns).round();
    let (sin, cos) = libm::sincos(PI * (half_turns - 0.5 * quarter));
    match quarter as u8 % 4 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

impl Generator for TorchCuda {
    fn draw_f32(&mut self, out: &mut [f32]) -> Result<(), Error> {
        self.fill_f32(out)
    }

    fn draw_f64(&mut self, out: &mut [f64]) -> Result<(), Error> {
        self.fill_f64(out)
    }
}

impl<V: Elements> NoiseSource<V> for TorchCuda {
    add_in_a_sweep!();

    fn sweep(
        &mut self,
        states: &mut [&mut V],
        fixed: &[&V],
        assignments: &[Assignment<'_>],
        scale: Scale<'_, V>,
        _over: Option<Interval>,
    ) -> Result<bool, Error> {
        sweep(self, states, fixed, assignments, scale)
    }

    fn discard(&mut self, like: &V) -> Result<(), Error> {
        discard(self, like)
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::{normals_f32, normals_f64, one_launch, sin_cos_pi};

    #[test]
    fn extreme_bits_give_finite_normals() {
        for bits in [
            [0; 4],
            [u32::MAX; 4],
            [0, u32::MAX, 0, u32::MAX],
            [u32::MAX, 0, u32::MAX, 0],
        ] {
            // sqrt(2 ln 2^33) and sqrt(2 ln 2^54) are the longest radii.
            assert!(normals_f32(bits).all(|z| z.abs() < 6.77));
            assert!(normals_f64(bits).iter().all(|z| z.abs() < 8.66));
        }
    }

    /// The smallest words, where half a unit is all there is of `u` and of the turn: `u = 2^-33` and an angle
    /// of `2 pi 2^-33`, and twice `2^-54` of 53 bits.
    #[test]
    fn the_smallest_words() {
        use std::f64::consts::{LN_2, TAU};
        let (radius, angle) = ((66.0 * LN_2).sqrt(), TAU * 2.0_f64.powi(-33));
        let z: Vec<_> = normals_f32([0; 4]).map(f64::from).collect();
        for pair in z.chunks(2) {
            let (sin, cos) = (pair[0] / (radius * angle) - 1.0, pair[1] / radius - 1.0);
            assert!(sin.abs() < 2e-7 && cos.abs() < 2e-7, "{pair:?}");
        }
        let (radius, angle) = ((108.0 * LN_2).sqrt(), TAU * 2.0_f64.powi(-54));
        let z = normals_f64([0; 4]);
        let (sin, cos) = (z[0] / (radius * angle) - 1.0, z[1] / radius - 1.0);
        assert!(sin.abs() < 1e-15 && cos.abs() < 1e-15, "{z:?}");
    }

    /// At a quarter of a turn and beside it, where a sine or a cosine is as small as what is beside.
    #[test]
    fn quarters_of_a_turn() {
        let quarters = [(0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0)];
        for (k, (sin, cos)) in quarters.into_iter().enumerate() {
            for off in [0.0, 2.0_f64.powi(-50), -(2.0_f64.powi(-50))] {
                let small = PI * off;
                let found = sin_cos_pi(2.0 + 0.5 * k as f64 + off);
                assert_eq!(found, (sin + small * cos, cos - small * sin), "{k} {off}");
            }
        }
    }

    #[test]
    fn the_longest_draw() {
        assert!(one_launch(1 << 29, 4).is_ok() && one_launch(1 << 28, 8).is_ok());
        let message = |numbers, bytes| one_launch(numbers, bytes).unwrap_err().to_string();
        assert!(
            message((1 << 29) + 1, 4).contains("536870913"),
            "{}",
            message((1 << 29) + 1, 4)
        );
        assert!(message((1 << 28) + 1, 8).contains("268435457"));
    }
}
