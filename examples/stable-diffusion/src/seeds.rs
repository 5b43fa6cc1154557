//! Where the noise of a seed comes from.

use gaussian_diffusion::{
    Error, SeededNoise,
    noise::{Interval, NoiseSource, Scale, TorchCpu, TorchCuda},
    state::Assignment,
};
use ndarray::Array4;
use serde::{Deserialize, Serialize};

/// Latents, noise, answers of the network: (picture, channel, row, column).
pub type Batch = Array4<f32>;

/// Whose numbers a seed stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Numbers {
    /// Those of torch on a CPU: the pictures of diffusers with `torch.Generator().manual_seed(seed)`.
    Torch,
    /// Those of torch on a GPU: `torch.Generator("cuda")`.
    TorchOnDevice,
    /// Those of the crate, where the picture of a seed is the same in every batch.
    Own,
}

/// A generator in whatever state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Seeds {
    Torch(Box<TorchCpu>),
    TorchOnDevice(TorchCuda),
    Own(SeededNoise),
}

impl Seeds {
    /// At its start, for so many pictures: of the crate's own, the second has the next seed, and so on.
    pub fn new(numbers: Numbers, seed: u64, pictures: usize) -> Self {
        let seeds = |i| seed.wrapping_add(i as u64);
        match numbers {
            Numbers::Torch => Self::Torch(Box::new(TorchCpu::new(seed))),
            Numbers::TorchOnDevice => Self::TorchOnDevice(TorchCuda::new(seed)),
            Numbers::Own => Self::Own(SeededNoise::per_item(
                (0..pictures).map(seeds).collect::<Vec<_>>(),
            )),
        }
    }

    /// Whether each picture of a batch has noise of its own, so that a draw is one of the whole batch.
    pub fn is_per_picture(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    /// The next numbers, of this shape.
    pub fn draw(&mut self, shape: [usize; 4]) -> Result<Batch, Error> {
        let mut drawn = Batch::zeros(shape);
        self.fill(&mut drawn)?;
        Ok(drawn)
    }
}

impl NoiseSource<Batch> for Seeds {
    fn add(
        &mut self,
        x: &mut Batch,
        scale: Scale<'_, Batch>,
        over: Option<Interval>,
    ) -> Result<(), Error> {
        match self {
            Self::Torch(source) => source.add(x, scale, over),
            Self::TorchOnDevice(source) => source.add(x, scale, over),
            Self::Own(source) => source.add(x, scale, over),
        }
    }

    fn sweep(
        &mut self,
        states: &mut [&mut Batch],
        fixed: &[&Batch],
        assignments: &[Assignment<'_>],
        scale: Scale<'_, Batch>,
        over: Option<Interval>,
    ) -> Result<bool, Error> {
        match self {
            Self::Torch(source) => source.sweep(states, fixed, assignments, scale, over),
            Self::TorchOnDevice(source) => source.sweep(states, fixed, assignments, scale, over),
            Self::Own(source) => source.sweep(states, fixed, assignments, scale, over),
        }
    }

    fn discard(&mut self, like: &Batch) -> Result<(), Error> {
        match self {
            Self::Torch(source) => source.discard(like),
            Self::TorchOnDevice(source) => source.discard(like),
            Self::Own(source) => source.discard(like),
        }
    }
}
