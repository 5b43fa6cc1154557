//! What torch draws on a CPU.

use std::f64::consts::TAU;

use super::{Generator, cephes, discard, mt19937::Mt19937, sweep};
use crate::{
    Error,
    noise::{Interval, NoiseSource, Scale, add_in_a_sweep},
    state::{Assignment, Elements},
};

/// The numbers of `torch.manual_seed(seed); torch.randn(shape)` on a CPU, draw after draw.
///
/// Uniform numbers `u`, `v` from the words of the Mersenne Twister MT19937 make pairs
/// `sqrt(-2 ln(1 - u)) * (cos, sin)(2 pi v)`:
///
/// $$z=\sqrt{-2\ln(1-u)}\ (\cos 2\pi v,\ \sin 2\pi v)$$
///
/// A draw of fewer than 16 numbers takes pair after pair in f64, and keeps the second of a pair for the
/// next such draw. A larger one is filled with uniform numbers (24 bits for f32, 53 bits for f64), of which
/// the places `j` and `j + 8` of every 16 are a pair; if its length is not a multiple of 16, the last 16
/// are drawn anew. So the numbers depend on how many are drawn at once and on their type, an item on its
/// batch, and an f64 array has other numbers than an f32 one from 16 on. A seed counts by its low 32 bits,
/// as in torch.
///
/// # What is the same
///
/// In f32, the bits that torch gives on x86-64 with AVX2, here on every platform: 44 million numbers of
/// torch 2.15, without exception. In f64, within 3 units in the last place. torch without AVX2 differs
/// from torch with it by up to 3e-6 in f32 ([what was measured](crate::docs::precision#seeds-that-travel)).
///
/// A tensor that torch draws in half precision is the rounded f32 one, if it has fewer than 16 numbers or a
/// multiple of 16. Runs of half precision draw in f32 here ([`Run`](crate::Run) keeps their state so), as
/// DPMSolverMultistep and the stochastic flows of diffusers do; its other schedulers draw in the type of the
/// sample. A list of generators in diffusers is one source for each item, each with its item as an array of
/// batch 1.
///
/// diffusers draws also where it makes nothing of the numbers. Plans of its scheduler files make these draws
/// too ([`NoiseSource::discard`]), so that a seed gives the same sample, and the next run of the same
/// generator the same next one.
///
/// [Source](crate::docs::papers#mersenne-twister-a-623-dimensionally-equidistributed): Mersenne Twister: A 623-Dimensionally Equidistributed Uniform Pseudo-Random
/// Number Generator, Matsumoto, Nishimura, 1998; A Note on the Generation of Random Normal Deviates, Box,
/// Muller, 1958; PyTorch, `aten/src/ATen/native/cpu/DistributionTemplates.h`.
///
/// ```
/// use gaussian_diffusion::noise::{NoiseSource, Scale, TorchCpu};
/// use ndarray::Array1;
/// let mut noise = TorchCpu::new(0);
/// let mut x = Array1::<f32>::zeros(5);
/// noise.add(&mut x, Scale::Same(1.0), None)?;
/// // torch.manual_seed(0); torch.randn(5)
/// let torch = [1.5410, -0.2934, -2.1788, 0.5684, -1.0845];
/// assert!(x.iter().zip(torch).all(|(x, torch)| (x - torch).abs() < 5e-5));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
///
/// The start of image to image in diffusers, `randn_tensor(latents.shape, generator)`:
///
/// ```
/// use gaussian_diffusion::{ForwardProcess, Step, noise::TorchCpu, schedule::Discrete};
/// use ndarray::Array4;
/// let schedule = Discrete::scaled_linear(1000, 0.00085, 0.012)?;
/// let latents = Array4::<f32>::zeros((1, 4, 8, 8));
/// let (noisy, noise) = schedule.draw_jump(&latents, Step::new(599), &mut TorchCpu::new(0))?;
/// assert!((noise[[0, 0, 0, 0]] + 1.1258).abs() < 5e-5);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "manual_seed",
    "randn",
    "randn_tensor",
    "Generator",
    "MT19937",
    "Mersenne Twister"
))]
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(try_from = "super::stored::Cpu", into = "super::stored::Cpu")
)]
pub struct TorchCpu {
    pub(super) words: Mt19937,
    /// The second of the last pair of a short draw.
    pub(super) spare: Option<f64>,
}

impl TorchCpu {
    /// The generator after `torch.manual_seed(seed)`.
    pub fn new(seed: u64) -> Self {
        Self {
            words: Mt19937::new(seed as u32),
            spare: None,
        }
    }

    /// The next draw, `torch.randn(out.len())`: for a tensor type of your own.
    pub fn fill_f32(&mut self, out: &mut [f32]) {
        self.fill(out, unit_f32, pair_f32, |z| z as f32);
    }

    /// The next draw, `torch.randn(out.len(), dtype=torch.float64)`.
    pub fn fill_f64(&mut self, out: &mut [f64]) {
        self.fill(out, unit_f64, pair_f64, |z| z);
    }

    fn fill<T>(
        &mut self,
        out: &mut [T],
        unit: impl Fn(&mut Mt19937) -> T,
        pair: impl Fn(&T, &T) -> [T; 2],
        round: impl Fn(f64) -> T,
    ) {
        if out.len() < BLOCK {
            return out.fill_with(|| round(self.one()));
        }
        let transform = |block: &mut [T; BLOCK]| {
            let (first, second) = block.split_at_mut(BLOCK / 2);
            for (u, v) in first.iter_mut().zip(second) {
                [*u, *v] = pair(u, v);
            }
        };
        out.fill_with(|| unit(&mut self.words));
        let (blocks, rest) = out.as_chunks_mut();
        blocks.iter_mut().for_each(transform);
        if !rest.is_empty()
            && let Some(last) = out.last_chunk_mut()
        {
            last.fill_with(|| unit(&mut self.words));
            transform(last);
        }
    }

    /// The next number of a short draw.
    fn one(&mut self) -> f64 {
        self.spare.take().unwrap_or_else(|| {
            // The angle comes first here, and the radius of a block first there.
            let (v, u) = (unit_f64(&mut self.words), unit_f64(&mut self.words));
            let radius = (-2.0 * libm::log1p(-u)).sqrt();
            let (sin, cos) = libm::sincos(TAU * v);
            self.spare = Some(radius * sin);
            radius * cos
        })
    }
}

/// Draws of this many numbers and more are made in blocks of it.
const BLOCK: usize = 16;

/// A multiple of 2^-24 in [0, 1).
fn unit_f32(words: &mut Mt19937) -> f32 {
    (words.next_u32() & ((1 << 24) - 1)) as f32 * 2.0_f32.powi(-24)
}

/// A multiple of 2^-53 in [0, 1).
fn unit_f64(words: &mut Mt19937) -> f64 {
    let (high, low) = (words.next_u32(), words.next_u32());
    let bits = (u64::from(high) << 32 | u64::from(low)) & ((1 << 53) - 1);
    bits as f64 * 2.0_f64.powi(-53)
}

fn pair_f32(&u: &f32, &v: &f32) -> [f32; 2] {
    let radius = (-2.0 * cephes::ln(1.0 - u)).sqrt();
    let (sin, cos) = cephes::sin_cos(TAU as f32 * v);
    [radius * cos, radius * sin]
}

fn pair_f64(&u: &f64, &v: &f64) -> [f64; 2] {
    let radius = (-2.0 * libm::log(1.0 - u)).sqrt();
    let (sin, cos) = libm::sincos(TAU * v);
    [radius * cos, radius * sin]
}

impl Generator for TorchCpu {
    fn draw_f32(&mut self, out: &mut [f32]) -> Result<(), Error> {
        self.fill_f32(out);
        Ok(())
    }

    fn draw_f64(&mut self, out: &mut [f64]) -> Result<(), Error> {
        self.fill_f64(out);
        Ok(())
    }
}

impl<V: Elements> NoiseSource<V> for TorchCpu {
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
