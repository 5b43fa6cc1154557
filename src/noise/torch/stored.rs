//! Generators as they are written: what is read back is checked.

use serde::{Deserialize, Serialize};

use super::{TorchCpu, TorchCuda, cuda::BLOCK, mt19937::Mt19937};
use crate::Error;

/// The words of the Mersenne Twister, how many of them are given, and a number that is left over.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cpu {
    words: Vec<u32>,
    given: usize,
    spare: Option<f64>,
}

impl From<TorchCpu> for Cpu {
    fn from(TorchCpu { words, spare }: TorchCpu) -> Self {
        let (words, given) = words.state();
        Self {
            words: words.to_vec(),
            given,
            spare,
        }
    }
}

impl TryFrom<Cpu> for TorchCpu {
    type Error = Error;

    fn try_from(
        Cpu {
            words,
            given,
            spare,
        }: Cpu,
    ) -> Result<Self, Error> {
        if let Some(spare) = spare.filter(|spare| !spare.is_finite()) {
            let what = "the number that a generator has left over";
            return Err(Error::range(what, spare, "a finite number"));
        }
        let words = Mt19937::resumed(&words, given)?;
        Ok(Self { words, spare })
    }
}

/// Key, round and threads.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cuda {
    key: [u32; 2],
    round: u64,
    threads: usize,
}

impl From<TorchCuda> for Cuda {
    fn from(generator: TorchCuda) -> Self {
        let TorchCuda {
            key,
            round,
            threads,
        } = generator;
        Self {
            key,
            round,
            threads,
        }
    }
}

impl TryFrom<Cuda> for TorchCuda {
    type Error = Error;

    fn try_from(stored: Cuda) -> Result<Self, Error> {
        let Cuda {
            key,
            round,
            threads,
        } = stored;
        if threads < BLOCK {
            return Err(Error::range(
                "threads of a GPU",
                threads as f64,
                "256 or more",
            ));
        }
        Ok(Self {
            key,
            round,
            threads,
        })
    }
}
