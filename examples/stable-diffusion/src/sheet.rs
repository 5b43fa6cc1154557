//! Pictures in rows and columns, with words beside them.

use std::convert::Infallible;

use embedded_graphics::{
    Drawable, Pixel,
    mono_font::{MonoTextStyle, iso_8859_1::FONT_9X15},
    pixelcolor::Rgb888,
    prelude::{DrawTarget, OriginDimensions, Point, RgbColor, Size},
    text::{Baseline, Text},
};

use crate::picture::Picture;

/// Of a letter, with what is between two.
const LETTER: (usize, usize) = (9, 15);
const GAP: usize = 6;

/// One picture of several of the same size: a name before each row, and over each column.
pub fn sheet(rows: &[(String, Vec<Picture>)], columns: &[String]) -> Picture {
    let first = rows.iter().flat_map(|(_, pictures)| pictures).next();
    let (tile_width, tile_height) = first.map_or((0, 0), |picture| (picture.width, picture.height));
    // Small pictures are shown larger.
    let factor = (96 / tile_width.max(1)).max(1);
    let (tile_width, tile_height) = (tile_width * factor, tile_height * factor);
    let letters = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    let (left, top) = (letters * LETTER.0 + 2 * GAP, LETTER.1 + 2 * GAP);
    let width = left + columns.len() * (tile_width + GAP);
    let height = top + rows.len() * (tile_height + GAP);
    let mut canvas = Canvas(Picture {
        width,
        height,
        rgb: vec![255; 3 * width * height],
    });
    for (column, name) in columns.iter().enumerate() {
        canvas.write(name, left + column * (tile_width + GAP), GAP);
    }
    for (row, (name, pictures)) in rows.iter().enumerate() {
        let y = top + row * (tile_height + GAP);
        canvas.write(
            name,
            GAP,
            y + tile_height / 2 - LETTER.1.min(tile_height) / 2,
        );
        for (column, picture) in pictures.iter().enumerate() {
            let picture = picture.clone().enlarged(factor);
            canvas.paste(&picture, left + column * (tile_width + GAP), y);
        }
    }
    canvas.0
}

struct Canvas(Picture);

impl Canvas {
    fn write(&mut self, text: &str, x: usize, y: usize) {
        let style = MonoTextStyle::new(&FONT_9X15, Rgb888::BLACK);
        let at = Point::new(x as i32, y as i32);
        let Ok(_) = Text::with_baseline(text, at, style, Baseline::Top).draw(self);
    }

    fn paste(&mut self, picture: &Picture, x: usize, y: usize) {
        let Picture { width, rgb, .. } = &mut self.0;
        for (row, line) in picture
            .rgb
            .chunks_exact(3 * picture.width.max(1))
            .enumerate()
        {
            let start = 3 * ((y + row) * *width + x);
            if let Some(place) = rgb.get_mut(start..start + line.len()) {
                place.copy_from_slice(line);
            }
        }
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.0.width as u32, self.0.height as u32)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Infallible> {
        let Picture { width, height, rgb } = &mut self.0;
        for Pixel(at, colour) in pixels {
            let (Ok(x), Ok(y)) = (usize::try_from(at.x), usize::try_from(at.y)) else {
                continue;
            };
            if x < *width && y < *height {
                let start = 3 * (y * *width + x);
                rgb[start..start + 3].copy_from_slice(&[colour.r(), colour.g(), colour.b()]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_where_they_should() {
        let tile = |grey: u8| Picture {
            width: 96,
            height: 40,
            rgb: vec![grey; 3 * 96 * 40],
        };
        let rows = [
            ("a".to_owned(), vec![tile(10), tile(20)]),
            ("bc".to_owned(), vec![tile(30), tile(40)]),
        ];
        let sheet = sheet(&rows, &["5".to_owned(), "10".to_owned()]);
        let left = 2 * 9 + 12;
        assert_eq!((sheet.width, sheet.height), (left + 2 * 102, 27 + 2 * 46));
        let at = |x: usize, y: usize| sheet.rgb[3 * (y * sheet.width + x)];
        assert_eq!((at(left, 27), at(left + 102, 27)), (10, 20));
        assert_eq!((at(left + 95, 27 + 46), at(left + 197, 27 + 85)), (30, 40));
        assert_eq!(at(left + 97, 30), 255);
        let ink = sheet.rgb.iter().filter(|byte| **byte == 0).count();
        assert!(ink > 30, "{ink}");
    }
}
