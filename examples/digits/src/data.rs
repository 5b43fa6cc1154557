//! The handwritten digits.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use flate2::read::GzDecoder;
use gaussian_diffusion::{
    Error,
    likelihood::Discretized,
    rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom},
};
use ndarray::{Array2, Axis};

use crate::{Outcome, network::Class};

/// Pixels of a digit's side, and of all of it.
pub const SIDE: usize = 8;
pub const PIXELS: usize = SIDE * SIDE;
pub const CLASSES: usize = 10;

/// The largest value of a pixel in the file.
pub const INK: u8 = 16;

/// Digits with their labels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Digits {
    /// One row per digit, each pixel in -1 to 1: the range that samples are clipped to.
    pub pixels: Array2<f32>,
    /// 0 to 9.
    pub labels: Vec<usize>,
}

impl Digits {
    /// Reads a gzipped file of comma-separated lines: the pixels row by row, and the label.
    pub fn load(path: &Path) -> Outcome<Self> {
        let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::read(GzDecoder::new(file))
            .map_err(|error| format!("{}: {error}", path.display()).into())
    }

    fn read(from: impl Read) -> Outcome<Self> {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for (index, line) in BufReader::new(from).lines().enumerate() {
            let number = index + 1;
            let line = line.map_err(|error| format!("damaged after line {index}: {error}"))?;
            let (digit, label) = parse(&line).map_err(|error| format!("line {number}: {error}"))?;
            pixels.extend(digit);
            labels.push(label);
        }
        if labels.is_empty() {
            return Err("no digits in it".into());
        }
        let pixels = Array2::from_shape_vec((labels.len(), PIXELS), pixels)?;
        Ok(Self { pixels, labels })
    }

    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// The labels as what a network is asked for.
    pub fn classes(&self) -> Vec<Class> {
        self.labels.iter().copied().map(Some).collect()
    }

    /// The digits at these places, in this order.
    pub fn select(&self, places: &[usize]) -> Self {
        Self {
            pixels: self.pixels.select(Axis(0), places),
            labels: places.iter().map(|&i| self.labels[i]).collect(),
        }
    }

    /// Some digits, each as likely as any other.
    pub fn batch(&self, count: usize, rng: &mut StdRng) -> Self {
        let places: Vec<_> = (0..count)
            .map(|_| rng.random_range(0..self.len()))
            .collect();
        self.select(&places)
    }

    /// Four fifths to train on and one fifth held out, in an order that is a matter of the seed.
    pub fn split(&self, seed: u64) -> Outcome<(Self, Self)> {
        let mut places: Vec<usize> = (0..self.len()).collect();
        places.shuffle(&mut StdRng::seed_from_u64(seed));
        let (held_out, train) = places.split_at(self.len() / 5);
        // A covariance needs two, and the pictures show some.
        if held_out.len() < 2 {
            return Err(format!("{} digits are too few to hold some out", self.len()).into());
        }
        Ok((self.select(train), self.select(held_out)))
    }
}

/// The levels that a pixel can have: the probability of a digit is that of its levels.
pub fn levels() -> Result<Discretized, Error> {
    Discretized::new(usize::from(INK) + 1, -1.0, 1.0)
}

fn parse(line: &str) -> Result<(Vec<f32>, usize), String> {
    let columns: Vec<&str> = line.split(',').map(str::trim).collect();
    let [pixels @ .., label] = columns.as_slice() else {
        return Err("empty".to_owned());
    };
    if pixels.len() != PIXELS {
        let expected = PIXELS + 1;
        return Err(format!("{} columns instead of {expected}", columns.len()));
    }
    let mut digit = Vec::with_capacity(PIXELS);
    for (column, pixel) in pixels.iter().enumerate() {
        match pixel.parse::<u8>() {
            Ok(value) if value <= INK => {
                digit.push(f32::from(value) / f32::from(INK) * 2.0 - 1.0);
            }
            _ => {
                let number = column + 1;
                return Err(format!(
                    "column {number}: pixel {pixel:?} is not 0 to {INK}"
                ));
            }
        }
    }
    match label.parse::<usize>() {
        Ok(label) if label < CLASSES => Ok((digit, label)),
        _ => Err(format!("label {label:?} is not 0 to 9")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn line(pixel: &str, label: &str) -> String {
        format!("{}{pixel},{label}\n", "0,".repeat(PIXELS - 1))
    }

    fn error(text: &str) -> String {
        Digits::read(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn pixels_go_to_the_range_of_samples() {
        let text = line("16", "3") + &line("8", "9");
        let digits = Digits::read(text.as_bytes()).unwrap();
        assert_eq!(digits.labels, [3, 9]);
        assert_eq!(digits.pixels[[0, 0]], -1.0);
        assert_eq!(digits.pixels[[0, 63]], 1.0);
        assert_eq!(digits.pixels[[1, 63]], 0.0);
    }

    #[test]
    fn errors_name_the_line() {
        let good = line("0", "0");
        assert_eq!(
            error(&(good.clone() + "1,2,3\n")),
            "line 2: 3 columns instead of 65"
        );
        assert_eq!(
            error(&(good.clone() + &line("17", "0"))),
            "line 2: column 64: pixel \"17\" is not 0 to 16"
        );
        assert_eq!(
            error(&(good.clone() + &line("-1", "0"))),
            "line 2: column 64: pixel \"-1\" is not 0 to 16"
        );
        assert_eq!(
            error(&(good + &line("0", "10"))),
            "line 2: label \"10\" is not 0 to 9"
        );
        assert_eq!(error(""), "no digits in it");
    }

    #[test]
    fn a_truncated_or_missing_file_is_an_error_with_its_path() {
        let mut gz = GzEncoder::new(Vec::new(), Compression::default());
        gz.write_all(line("5", "5").repeat(9).as_bytes()).unwrap();
        let whole = gz.finish().unwrap();
        assert_eq!(Digits::read(GzDecoder::new(&whole[..])).unwrap().len(), 9);

        let path = std::env::temp_dir().join(format!("digits-{}.csv.gz", std::process::id()));
        std::fs::write(&path, &whole[..whole.len() - 12]).unwrap();
        let error = Digits::load(&path).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        let start = format!("{}: damaged after line ", path.display());
        assert!(error.starts_with(&start), "{error}");

        let error = Digits::load(&path).unwrap_err().to_string();
        assert!(error.starts_with(&path.display().to_string()), "{error}");
    }

    #[test]
    fn the_split_keeps_every_digit_and_is_a_matter_of_the_seed() {
        let digits = Digits {
            pixels: Array2::from_shape_fn((50, PIXELS), |(i, _)| i as f32),
            labels: (0..50).map(|i| i % CLASSES).collect(),
        };
        let (train, held_out) = digits.split(1).unwrap();
        assert_eq!((train.len(), held_out.len()), (40, 10));
        let mut all: Vec<f32> = train.pixels.column(0).to_vec();
        all.extend(held_out.pixels.column(0));
        all.sort_by(f32::total_cmp);
        assert_eq!(all, (0..50).map(|i| i as f32).collect::<Vec<_>>());
        assert_eq!(digits.split(1).unwrap().0, train);
        assert_ne!(digits.split(2).unwrap().0, train);
        assert!(digits.select(&[0, 1]).split(1).is_err());
    }
}
