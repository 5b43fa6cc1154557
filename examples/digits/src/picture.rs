//! Sheets of digits as PNG files.

use std::{fs::File, io::BufWriter, path::Path};

use gaussian_diffusion::{ForwardProcess, SeededNoise, Step, schedule::Discrete};
use ndarray::{Array2, ArrayView1};

use crate::{
    Outcome,
    data::{CLASSES, Digits, SIDE},
    sample::Drawn,
};

/// A pixel of a digit is a square of so many pixels of the picture.
const SCALE: usize = 6;
const GAP: usize = 4;
const TILE: usize = SIDE * SCALE;
/// Between the digits: neither ink nor paper.
const GREY: u8 = 90;

/// Some digits at ten times, from the first step to the last: the same noise, more and more of it.
pub fn forward(
    path: &Path,
    schedule: &Discrete,
    digits: &Digits,
    noise: &mut SeededNoise,
) -> Outcome<()> {
    let last = schedule.len() - 1;
    let times: Vec<Step> = (0..10).map(|i| Step::new(i * last / 9)).collect();
    let x0 = digits.select(&[0, 1, 2, 3]).pixels;
    let (start, eps) = schedule.draw_jump(&x0, times[0], noise)?;
    let mut columns = vec![start];
    for &time in &times[1..] {
        columns.push(schedule.jump(&x0, time, &eps)?);
    }
    let row = |i| columns.iter().map(|x| x.row(i)).collect();
    write(path, &(0..x0.nrows()).map(row).collect::<Vec<_>>())
}

/// For each digit and run a row of states and a row of the digits expected to come of them.
pub fn generation(path: &Path, runs: &[&Drawn]) -> Outcome<()> {
    let watched = runs.iter().flat_map(|run| run.frames.first());
    let digits = watched.map(|frame| frame.state.nrows()).min().unwrap_or(0);
    let mut rows: Vec<Vec<_>> = Vec::new();
    for i in 0..digits {
        for run in runs {
            rows.push(run.frames.iter().map(|frame| frame.state.row(i)).collect());
            rows.push(run.frames.iter().map(|frame| frame.x0.row(i)).collect());
        }
    }
    write(path, &rows)
}

/// A row for each class, of digits whose classes go round.
pub fn classes(path: &Path, pixels: &Array2<f32>, per_class: usize) -> Outcome<()> {
    let row = |class| {
        (0..per_class)
            .map(|i| pixels.row(i * CLASSES + class))
            .collect()
    };
    write(path, &(0..CLASSES).map(row).collect::<Vec<_>>())
}

/// Rows of digits.
pub fn write(path: &Path, rows: &[Vec<ArrayView1<f32>>]) -> Outcome<()> {
    let sheet = sheet(rows);
    let (height, width) = sheet.dim();
    let bytes: Vec<u8> = sheet.into_iter().collect();
    save(path, (width, height), png::ColorType::Grayscale, &bytes)
}

/// A file of these bytes, row by row.
pub fn save(
    path: &Path,
    (width, height): (usize, usize),
    color: png::ColorType,
    bytes: &[u8],
) -> Outcome<()> {
    let write = || -> Outcome<()> {
        let file = BufWriter::new(File::create(path)?);
        let mut encoder = png::Encoder::new(file, width as u32, height as u32);
        encoder.set_color(color);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header()?.write_image_data(bytes)?;
        Ok(())
    };
    write().map_err(|error| format!("{}: {error}", path.display()).into())
}

/// The digits side by side, white ink on black, with a grey line around each.
fn sheet(rows: &[Vec<ArrayView1<f32>>]) -> Array2<u8> {
    let place = |i: usize| GAP + i * (TILE + GAP);
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut sheet = Array2::from_elem((place(rows.len()), place(columns)), GREY);
    for (i, row) in rows.iter().enumerate() {
        for (j, digit) in row.iter().enumerate() {
            for y in 0..TILE {
                for x in 0..TILE {
                    let ink = digit[y / SCALE * SIDE + x / SCALE];
                    // Noisy digits leave the range; the conversion saturates.
                    sheet[[place(i) + y, place(j) + x]] = ((ink + 1.0) * 127.5).round() as u8;
                }
            }
        }
    }
    sheet
}

#[cfg(test)]
mod tests {
    use ndarray::Array1;

    use super::*;
    use crate::data::PIXELS;

    #[test]
    fn a_digit_keeps_its_place_and_its_rows() {
        let black = Array1::from_elem(PIXELS, -1.0);
        let mut ink = black.clone();
        ink[SIDE + 2] = 3.0;
        let sheet = sheet(&[vec![black.view(), ink.view()], vec![black.view()]]);
        assert_eq!(sheet.dim(), (2 * TILE + 3 * GAP, 2 * TILE + 3 * GAP));
        let corner = (GAP + SCALE, TILE + 2 * GAP + 2 * SCALE);
        let white: Vec<_> = sheet
            .indexed_iter()
            .filter(|(_, value)| **value == 255)
            .map(|(at, _)| at)
            .collect();
        assert_eq!(white.len(), SCALE * SCALE);
        assert_eq!(white[0], corner);
        // The missing fourth digit and the gaps are grey.
        assert_eq!(sheet[[2 * TILE, 2 * TILE]], GREY);
        assert_eq!(sheet[[0, 0]], GREY);
    }

    #[test]
    fn the_file_is_the_sheet() {
        let path = std::env::temp_dir().join(format!("digits-{}.png", std::process::id()));
        let digit = Array1::linspace(-1.0, 1.0, PIXELS);
        let rows = [vec![digit.view(); 3]];
        write(&path, &rows).unwrap();
        let file = std::io::BufReader::new(File::open(&path).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut bytes).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(bytes, sheet(&rows).into_iter().collect::<Vec<_>>());
    }
}
