//! Rows of square pictures, with words around them.

use base64::{Engine, prelude::BASE64_STANDARD};
use ndarray::Array2;
use plotters::style::text_anchor::HPos;

use super::chart::{Area, CARD, FINE, Outcome, WIDTH, card, text_width, write};

const GAP: usize = 3;
/// Brightnesses that are told apart: few make small files.
const SHADES: u8 = 24;
/// Shown pixels of the title, of the words above a row, and left of the rows at least; around the card.
const TITLE: f64 = 42.0;
const ABOVE: f64 = 24.0;
const LEFT: f64 = 84.0;
const EDGE: f64 = 10.0;
const SIZE: f64 = 14.0;

/// Panels beside each other, with what stands left of them and above each.
#[derive(Debug, Default)]
pub struct Row {
    pub name: String,
    /// What the words above are.
    pub heading: String,
    pub above: Vec<String>,
    /// Brightness of every pixel, rows from the top, 0 to 1: squares of one size.
    pub panels: Vec<Array2<f64>>,
}

/// From a brightness to red, green and blue.
pub type Colour = fn(f64) -> [u8; 3];

pub fn rows(title: &str, colour: Colour, rows: &[Row]) -> Outcome<String> {
    let pixels = rows.iter().flat_map(|row| &row.panels).map(Array2::nrows);
    let pixels = pixels.max().unwrap_or(1);
    // Rows without a name need no room for it.
    let names = rows.iter().flat_map(|row| [&row.name, &row.heading]);
    let widest = names.fold(0.0, |most: f64, name| most.max(text_width(name, SIZE)));
    let left = if widest > 0.0 {
        LEFT.max(widest + 2.0 * EDGE)
    } else {
        EDGE
    };
    let columns = rows.iter().map(|row| row.panels.len()).max().unwrap_or(1);
    let width = columns * (pixels + GAP) - GAP;
    // The pixels are shown at this size.
    let shown = (f64::from(WIDTH) - left - EDGE) / width as f64;
    let side = pixels as f64 * shown;
    let mut tops = Vec::new();
    let mut bottom = TITLE;
    for row in rows {
        bottom += if row.above.is_empty() { 0.0 } else { ABOVE };
        tops.push(bottom);
        bottom += side + GAP as f64 * shown;
    }
    let svg = card((bottom + EDGE).ceil() as u32, |area: &Area<'_>| {
        let words = |text: &str, size, at| write(area, text, size, HPos::Center, at);
        words(title, 17.0, (f64::from(WIDTH) / 2.0, TITLE / 2.0))?;
        for (row, top) in rows.iter().zip(&tops) {
            for (text, y) in [
                (&row.name, top + side / 2.0),
                (&row.heading, top - ABOVE / 2.0),
            ] {
                if !text.is_empty() {
                    words(text, SIZE, (left / 2.0, y))?;
                }
            }
            let above = row.above.iter().enumerate();
            for (j, text) in above.filter(|(_, text)| !text.is_empty()) {
                let middle = left + side / 2.0 + (j * (pixels + GAP)) as f64 * shown;
                words(text, SIZE, (middle, top - ABOVE / 2.0))?;
            }
        }
        Ok(())
    })?;
    let mut images = String::new();
    for (row, top) in rows.iter().zip(&tops) {
        images += &image(&row.panels, pixels, colour, (left, *top), shown)?;
    }
    Ok(svg.replacen("</svg>", &(images + "</svg>"), 1))
}

/// The panels of a row as one picture.
fn image(
    panels: &[Array2<f64>],
    side: usize,
    colour: Colour,
    (left, top): (f64, f64),
    shown: f64,
) -> Outcome<String> {
    let width = panels.len() * (side + GAP) - GAP;
    let mut shades = Array2::from_elem((side, width), SHADES);
    for (j, panel) in panels.iter().enumerate() {
        for ((y, x), value) in panel.indexed_iter() {
            let shade = (value.clamp(0.0, 1.0) * f64::from(SHADES - 1)).round();
            shades[[y, j * (side + GAP) + x]] = shade as u8;
        }
    }
    let fine = |x: f64| (x * f64::from(FINE)).round();
    Ok(format!(
        "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" href=\"data:image/png;base64,{}\"/>\n",
        fine(left),
        fine(top),
        fine(width as f64 * shown),
        fine(side as f64 * shown),
        BASE64_STANDARD.encode(png_of(&shades, colour)?)
    ))
}

fn png_of(shades: &Array2<u8>, colour: Colour) -> Outcome<Vec<u8>> {
    let (height, width) = shades.dim();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    // The last one is the colour of the card, between panels.
    let mut palette: Vec<u8> = (0..SHADES)
        .flat_map(|shade| colour(f64::from(shade) / f64::from(SHADES - 1)))
        .collect();
    palette.extend([CARD.0, CARD.1, CARD.2]);
    encoder.set_palette(palette);
    let pixels: Vec<u8> = shades.iter().copied().collect();
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(file)
}
