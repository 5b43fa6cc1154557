//! Rows of square pictures of the plane, with words around them.

use base64::{Engine, prelude::BASE64_STANDARD};
use ndarray::Array2;
use plotters::style::text_anchor::HPos;

use super::{
    chart::{Area, CARD, FINE, Outcome, WIDTH, card, write},
    plane::{Panel, colour},
};

/// Pixels of a panel's side.
pub const SIDE: usize = 120;
const GAP: usize = 3;
/// Brightnesses that are told apart: few make small files.
const SHADES: u8 = 24;
/// Shown pixels of the title, of the words above a row, and left of the rows; and around the card.
const TITLE: f64 = 42.0;
const ABOVE: f64 = 24.0;
const LEFT: f64 = 84.0;
const EDGE: f64 = 10.0;

/// Panels beside each other, with what stands above each, if anything does, and left of them.
pub struct Row {
    pub name: &'static str,
    pub above: Vec<String>,
    pub panels: Vec<Panel>,
}

pub fn rows(title: &str, rows: Vec<Row>) -> Outcome<String> {
    // Rows without a name need no room for it.
    let named = rows.iter().any(|row| !row.name.is_empty());
    let left = if named { LEFT } else { EDGE };
    let columns = rows.iter().map(|row| row.panels.len()).max().unwrap_or(1);
    let width = columns * (SIDE + GAP) - GAP;
    // The pixels are shown at this size.
    let shown = (f64::from(WIDTH) - left - EDGE) / width as f64;
    let side = SIDE as f64 * shown;
    let mut tops = Vec::new();
    let mut bottom = TITLE;
    for row in &rows {
        bottom += if row.above.is_empty() { 0.0 } else { ABOVE };
        tops.push(bottom);
        bottom += side + GAP as f64 * shown;
    }
    let svg = card((bottom + EDGE).ceil() as u32, |area: &Area<'_>| {
        let words = |text: &str, size, at| write(area, text, size, HPos::Center, at);
        words(title, 17.0, (f64::from(WIDTH) / 2.0, TITLE / 2.0))?;
        for (row, top) in rows.iter().zip(&tops) {
            if named {
                words(row.name, 14.0, (left / 2.0, top + side / 2.0))?;
            }
            for (j, text) in row.above.iter().enumerate() {
                let middle = left + side / 2.0 + (j * (SIDE + GAP)) as f64 * shown;
                words(text, 14.0, (middle, top - ABOVE / 2.0))?;
            }
        }
        Ok(())
    })?;
    let mut images = String::new();
    for (row, top) in rows.iter().zip(&tops) {
        images += &image(&row.panels, left, *top, shown)?;
    }
    Ok(svg.replacen("</svg>", &(images + "</svg>"), 1))
}

/// The panels of a row as one picture.
fn image(panels: &[Panel], left: f64, top: f64, shown: f64) -> Outcome<String> {
    let width = panels.len() * (SIDE + GAP) - GAP;
    let mut shades = Array2::from_elem((SIDE, width), SHADES);
    for (j, panel) in panels.iter().enumerate() {
        for ((y, x), value) in panel.indexed_iter() {
            let shade = (value.clamp(0.0, 1.0) * f64::from(SHADES - 1)).round();
            shades[[y, j * (SIDE + GAP) + x]] = shade as u8;
        }
    }
    let fine = |x: f64| (x * f64::from(FINE)).round();
    Ok(format!(
        "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" href=\"data:image/png;base64,{}\"/>\n",
        fine(left),
        fine(top),
        fine(width as f64 * shown),
        fine(SIDE as f64 * shown),
        BASE64_STANDARD.encode(png_of(&shades)?)
    ))
}

fn png_of(shades: &Array2<u8>) -> Outcome<Vec<u8>> {
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
