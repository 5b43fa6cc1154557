//! A part of a large batch, for one of many processes.
//!
//! An item's noise is keyed by its number in the whole batch, its class goes by that number, and the network is
//! asked in [blocks](crate::blocks): how the batch is split changes no bit of it.

use std::{
    io::{self, BufWriter, Write},
    ops::Range,
    path::{Path, PathBuf},
    str::FromStr,
};

use gaussian_diffusion::{Plan, SeededNoise, Step};
use ndarray::Array2;
use tempfile::NamedTempFile;

use crate::{
    Outcome,
    asked::Asked,
    data::{CLASSES, PIXELS},
    network::Network,
};

/// A part of a batch, and where its numbers go.
#[derive(Debug)]
pub struct Part {
    pub network: Network,
    pub items: Items,
    pub path: PathBuf,
}

impl Part {
    /// Draws the items and writes their numbers.
    pub fn draw(&self, plan: &Plan<Step>, guidance: f64, noise: SeededNoise) -> Outcome<()> {
        let pixels = self.items.draw(plan, &self.network, guidance, noise)?;
        write(&self.path, &pixels)
            .map_err(|error| format!("{}: {error}", self.path.display()).into())
    }
}

/// Items of a batch by their numbers, at least one: `FIRST..END`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Items(Range<u32>);

impl Items {
    /// A digit of each, their classes in turn.
    pub fn draw(
        &self,
        plan: &Plan<Step>,
        network: &Network,
        guidance: f64,
        noise: SeededNoise,
    ) -> Outcome<Array2<f32>> {
        let Range { start, end } = self.0;
        let classes: Vec<_> = (start..end).map(|i| Some(i as usize % CLASSES)).collect();
        let mut noise = noise.with_first_item(start);
        let start = plan.prior((classes.len(), PIXELS), &mut noise)?;
        let mut denoiser = Asked::new(network, classes).in_blocks().guided(guidance)?;
        Ok(plan.sample(start, &mut denoiser, &mut noise)?)
    }
}

impl FromStr for Items {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u32>().ok();
        match text.split_once("..").map(|(a, b)| (number(a), number(b))) {
            Some((Some(first), Some(end))) if first < end => Ok(Self(first..end)),
            _ => Err(format!(
                "not FIRST..END with FIRST below END, of 0 to {}",
                u32::MAX
            )),
        }
    }
}

/// Whole or not at all: under another name until all is on the disk.
fn write(path: &Path, pixels: &Array2<f32>) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    let mut to = BufWriter::new(&mut file);
    for pixel in pixels {
        to.write_all(&pixel.to_le_bytes())?;
    }
    to.flush()?;
    drop(to);
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_a_range_that_is_not_empty() {
        assert_eq!("5..7".parse(), Ok(Items(5..7)));
        for wrong in [
            "",
            "5",
            "5..",
            "..7",
            "7..7",
            "7..5",
            "-1..3",
            "0..4294967296",
            "a..b",
        ] {
            let error = wrong.parse::<Items>().unwrap_err();
            assert!(error.contains("FIRST..END"), "{error}");
        }
    }

    #[test]
    fn what_is_written_is_whole_and_replaces_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.f32");
        for pixels in [
            Array2::ones((3, PIXELS)),
            Array2::from_elem((1, PIXELS), -0.5),
        ] {
            write(&path, &pixels).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            let numbers = bytes
                .chunks(4)
                .map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            assert!(numbers.eq(pixels.iter().copied()));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write(&folder.path().join("none/some.f32"), &Array2::ones((1, 1))).is_err());
    }
}
