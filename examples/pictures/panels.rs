//! Rows of square pictures of the plane, with words around them.

use base64::{Engine, prelude::BASE64_STANDARD};
use ndarray::Array2;
use plotters::style::text_anchor::HPos;

use super::{
    chart::{Area, FINE, Outcome, WIDTH, card, write},
    plane::{Panel, colour},
};

/// Pixels of a panel's side.
pub const SIDE: usize = 120;
const GAP: usize = 3;
/// Brightnesses that are told apart: few make small files.
const SHADES: u8 = 24;
/// Shown pixels above and left of the panels, and around the card.
const TOP: f64 = 66.0;
const LEFT: f64 = 84.0;
const EDGE: f64 = 10.0;

/// Rows of panels with the title, what stands above each column, and left of each row.
pub fn rows(title: &str, above: &[String], rows: &[(&str, Vec<Panel>)]) -> Outcome<String> {
    // Rows without a name need no room for it.
    let named = rows.iter().any(|(name, _)| !name.is_empty());
    let left = if named { LEFT } else { EDGE };
    let columns = above.len();
    let place = |i: usize| i * (SIDE + GAP);
    let (width, height) = (place(columns) - GAP, place(rows.len()) - GAP);
    // The pixels are shown at this size.
    let shown = (f64::from(WIDTH) - left - EDGE) / width as f64;
    let full = TOP + height as f64 * shown + EDGE;
    let middle = |i: usize| (place(i) as f64 + SIDE as f64 / 2.0) * shown;
    let svg = card(full.ceil() as u32, |area: &Area<'_>| {
        write(
            area,
            title,
            17.0,
            HPos::Center,
            (f64::from(WIDTH) / 2.0, 22.0),
        )?;
        for (j, text) in above.iter().enumerate() {
            write(
                area,
                text,
                14.0,
                HPos::Center,
                (left + middle(j), TOP - 14.0),
            )?;
        }
        for (i, (text, _)) in rows.iter().enumerate() {
            write(
                area,
                text,
                14.0,
                HPos::Center,
                (left / 2.0, TOP + middle(i)),
            )?;
        }
        Ok(())
    })?;

    let mut shades = Array2::from_elem((height, width), SHADES);
    for (i, (_, row)) in rows.iter().enumerate() {
        for (j, panel) in row.iter().enumerate() {
            for ((y, x), value) in panel.indexed_iter() {
                let shade = (value.clamp(0.0, 1.0) * f64::from(SHADES - 1)).round();
                shades[[place(i) + y, place(j) + x]] = shade as u8;
            }
        }
    }
    let fine = |x: f64| (x * f64::from(FINE)).round();
    let image = format!(
        "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" href=\"data:image/png;base64,{}\"/>\n</svg>",
        fine(left),
        fine(TOP),
        fine(width as f64 * shown),
        fine(height as f64 * shown),
        BASE64_STANDARD.encode(png_of(&shades)?)
    );
    Ok(svg.replacen("</svg>", &image, 1))
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
    let card = super::chart::CARD;
    palette.extend([card.0, card.1, card.2]);
    encoder.set_palette(palette);
    let pixels: Vec<u8> = shades.iter().copied().collect();
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(file)
}
