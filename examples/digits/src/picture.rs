//! Digits in labelled rows, and the pictures of a run of the program.

use std::{fs, path::PathBuf};

use gaussian_diffusion::{ForwardProcess, NoiseSchedule, SeededNoise, Step, schedule::Discrete};
use ndarray::{Array2, ArrayView1};

use crate::{
    Outcome,
    data::{CLASSES, Digits, SIDE},
    panels::{self, Row},
    sample::{Drawn, FRAMES},
};

/// A pixel of a digit is a square of so many pixels of the picture.
const SCALE: usize = 6;
/// The class of the digit that is shown on its way.
const ON_ITS_WAY: usize = 3;

/// A folder of pictures, and what they show.
#[derive(Debug)]
pub struct Gallery {
    folder: PathBuf,
    shown: Vec<(String, String)>,
}

impl Gallery {
    pub fn new(folder: PathBuf) -> Outcome<Self> {
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self {
            folder,
            shown: Vec::new(),
        })
    }

    /// Writes a picture of this name.
    pub fn add(&mut self, name: &str, shows: &str, svg: &str) -> Outcome<()> {
        let path = self.folder.join(format!("{name}.svg"));
        fs::write(&path, svg).map_err(|error| format!("{}: {error}", path.display()))?;
        self.shown
            .push((path.display().to_string(), shows.to_owned()));
        Ok(())
    }

    /// Prints which pictures there are, and what each shows.
    pub fn report(&self) {
        println!();
        let width = self.shown.iter().map(|(path, _)| path.len()).max();
        for (path, shows) in &self.shown {
            println!("{path:<width$}  {shows}", width = width.unwrap_or(0));
        }
    }
}

/// A row of digits with a name.
pub fn row<'a>(
    name: impl Into<String>,
    digits: impl IntoIterator<Item = ArrayView1<'a, f32>>,
) -> Row {
    Row {
        name: name.into(),
        panels: digits.into_iter().map(panel).collect(),
        ..Row::default()
    }
}

/// Rows of digits under a title.
pub fn sheet(title: &str, rows: &[Row]) -> Outcome<String> {
    let grey = |ink: f64| [(255.0 * ink).round() as u8; 3];
    panels::rows(title, grey, rows)
}

/// White ink on black.
fn panel(digit: ArrayView1<f32>) -> Array2<f64> {
    let side = SIDE * SCALE;
    Array2::from_shape_fn((side, side), |(y, x)| {
        let ink = digit[y / SCALE * SIDE + x / SCALE];
        (f64::from(ink) + 1.0) / 2.0
    })
}

/// One digit at levels from the data to noise, and one from noise to the data by each run: its states,
/// and the digits expected to come of them.
pub fn way(
    schedule: &Discrete,
    digits: &Digits,
    runs: &[&Drawn],
    noise: &mut SeededNoise,
) -> Outcome<String> {
    let digit = digits.labels.iter().position(|&label| label == ON_ITS_WAY);
    let x0 = digits.select(&[digit.unwrap_or(0)]).pixels;
    let last = schedule.len() - 1;
    let time = |i: usize| Step::new(i * last / (FRAMES - 1));
    let (_, eps) = schedule.draw_jump(&x0, time(0), noise)?;
    let mut noised = vec![x0.clone()];
    let mut sigmas = vec![sigma(0.0)];
    for time in (0..FRAMES).map(time) {
        noised.push(schedule.jump(&x0, time, &eps)?);
        sigmas.push(sigma(schedule.level(time)?.sigma()));
    }
    let mut rows = vec![Row {
        heading: "sigma".to_owned(),
        above: sigmas,
        ..row("to noise", noised.iter().map(|x| x.row(0)))
    }];
    for run in runs {
        let shown = ON_ITS_WAY.min(run.pixels.nrows() - 1);
        let end = run.pixels.row(shown);
        let states = run.frames.iter().map(|frame| frame.state.row(shown));
        let expected = run.frames.iter().map(|frame| frame.x0.row(shown));
        let sigmas = run.frames.iter().map(|frame| sigma(frame.sigma));
        rows.push(Row {
            heading: "sigma".to_owned(),
            above: sigmas.chain([sigma(0.0)]).collect(),
            ..row(run.short_name(), states.chain([end]))
        });
        rows.push(row("expected", expected.chain([end])));
    }
    sheet(
        "A digit on its way to noise, and noise on its way to digits",
        &rows,
    )
}

fn sigma(value: f64) -> String {
    format!("{value:.2}")
}

/// A row for each class, of digits whose classes go round.
pub fn classes(title: &str, pixels: &Array2<f32>, per_class: usize) -> Outcome<String> {
    let row = |class: usize| {
        let digits = (0..per_class).map(|i| pixels.row(i * CLASSES + class));
        row(class.to_string(), digits)
    };
    sheet(title, &(0..CLASSES).map(row).collect::<Vec<_>>())
}

/// Ten rows of digits of no class.
pub fn unlabelled(title: &str, pixels: &Array2<f32>, per_row: usize) -> Outcome<String> {
    let line = |i: usize| {
        row(
            String::new(),
            (0..per_row).map(move |j| pixels.row(i * per_row + j)),
        )
    };
    sheet(title, &(0..10).map(line).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use ndarray::Array1;

    use super::*;
    use crate::data::PIXELS;

    #[test]
    fn a_digit_keeps_its_rows_and_its_ink() {
        let mut digit = Array1::from_elem(PIXELS, -1.0);
        digit[SIDE + 2] = 1.0;
        let panel = panel(digit.view());
        assert_eq!(panel.dim(), (SIDE * SCALE, SIDE * SCALE));
        let inked = panel.indexed_iter().filter(|(_, ink)| **ink == 1.0);
        let places: Vec<_> = inked.map(|(place, _)| place).collect();
        assert_eq!(
            (places.len(), places[0]),
            (SCALE * SCALE, (SCALE, 2 * SCALE))
        );
        assert_eq!(
            panel.iter().filter(|ink| **ink == 0.0).count(),
            63 * SCALE * SCALE
        );
    }

    #[test]
    fn a_sheet_has_its_words_and_a_picture_for_each_row() {
        let digit = Array1::linspace(-1.0, 1.0, PIXELS);
        let named = |name: &str| row(name, [digit.view(), digit.view()]);
        let svg = sheet("two rows", &[named("upper"), named("lower")]).unwrap();
        for text in ["two rows", "upper", "lower"] {
            assert_eq!(svg.matches(text).count(), 1);
        }
        assert_eq!(svg.matches("<image ").count(), 2);
    }

    #[test]
    fn a_gallery_writes_into_its_folder_and_says_where_it_cannot() {
        let folder = std::env::temp_dir().join(format!("digits-gallery-{}", std::process::id()));
        let mut gallery = Gallery::new(folder.clone()).unwrap();
        gallery.add("a", "nothing", "<svg/>").unwrap();
        assert_eq!(fs::read_to_string(folder.join("a.svg")).unwrap(), "<svg/>");
        fs::remove_dir_all(&folder).unwrap();
        let error = gallery
            .add("a", "nothing", "<svg/>")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(&folder.display().to_string()), "{error}");
    }
}
