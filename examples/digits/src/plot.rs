//! Curves over two axes as a PNG file.

use std::{convert::Infallible, path::Path};

use embedded_graphics::{
    Drawable, Pixel,
    mono_font::{MonoTextStyle, iso_8859_1::FONT_9X15},
    pixelcolor::Rgb888,
    prelude::{DrawTarget, OriginDimensions, Point, Primitive, RgbColor, Size},
    primitives::{Circle, Line, Polyline, PrimitiveStyle},
    text::{Alignment, Baseline, Text, TextStyleBuilder},
};

use crate::{Outcome, picture};

const WIDTH: i32 = 720;
const HEIGHT: i32 = 480;
/// The frame: left, top, right, bottom.
const FRAME: [i32; 4] = [80, 30, WIDTH - 30, HEIGHT - 60];
const GREY: Rgb888 = Rgb888::new(220, 220, 220);
const COLORS: [Rgb888; 4] = [
    Rgb888::new(0, 90, 180),
    Rgb888::new(210, 90, 0),
    Rgb888::new(0, 130, 80),
    Rgb888::BLACK,
];

/// An axis from its first tick to its last.
#[derive(Debug)]
pub struct Axis {
    pub label: &'static str,
    /// Where there is a line, and the number beside it.
    pub ticks: Vec<f64>,
    pub logarithmic: bool,
}

impl Axis {
    /// How far a value is along the axis, from 0 to 1.
    fn share(&self, value: f64) -> f64 {
        let of = |value: f64| match self.logarithmic {
            true => value.ln(),
            false => value,
        };
        let first = self.ticks.first().copied().map_or(0.0, of);
        let last = self.ticks.last().copied().map_or(1.0, of);
        (of(value) - first) / (last - first)
    }
}

/// Points with a name, joined by lines.
#[derive(Debug)]
pub struct Curve {
    pub name: String,
    pub points: Vec<(f64, f64)>,
    /// What is written beside each point, which is then marked.
    pub marks: Vec<String>,
}

/// Draws the curves, in different colours.
pub fn write(path: &Path, x: &Axis, y: &Axis, curves: &[Curve]) -> Outcome<()> {
    let canvas = plot(x, y, curves);
    let size = (WIDTH as usize, HEIGHT as usize);
    picture::save(path, size, png::ColorType::Rgb, &canvas.bytes)
}

fn plot(x: &Axis, y: &Axis, curves: &[Curve]) -> Canvas {
    let mut canvas = Canvas::white();
    let [left, top, right, bottom] = FRAME;
    let column = |value| left + (x.share(value) * f64::from(right - left)).round() as i32;
    let row = |value| bottom - (y.share(value) * f64::from(bottom - top)).round() as i32;
    for &tick in &x.ticks {
        let at = column(tick);
        canvas.line(Point::new(at, top), Point::new(at, bottom));
        let below = Point::new(at, bottom + 8);
        canvas.text(&tick.to_string(), below, Alignment::Center, Rgb888::BLACK);
    }
    for &tick in &y.ticks {
        let at = row(tick);
        canvas.line(Point::new(left, at), Point::new(right, at));
        let beside = Point::new(left - 8, at - 7);
        canvas.text(&tick.to_string(), beside, Alignment::Right, Rgb888::BLACK);
    }
    let below = Point::new((left + right) / 2, bottom + 32);
    canvas.text(x.label, below, Alignment::Center, Rgb888::BLACK);
    let above = Point::new(8, top - 24);
    canvas.text(y.label, above, Alignment::Left, Rgb888::BLACK);

    for (i, curve) in curves.iter().enumerate() {
        let color = COLORS[i % COLORS.len()];
        let inside = |share: f64| (0.0..=1.0).contains(&share);
        let shown = |(at, value): &&(f64, f64)| inside(x.share(*at)) && inside(y.share(*value));
        let points: Vec<_> = curve
            .points
            .iter()
            .filter(shown)
            .map(|&(x, y)| Point::new(column(x), row(y)))
            .collect();
        canvas.curve(&points, color);
        for (point, mark) in points.iter().zip(&curve.marks) {
            canvas.dot(*point, color);
            canvas.text(mark, *point + Point::new(7, 4), Alignment::Left, color);
        }
        let corner = Point::new(right - 10, top + 8 + 18 * i as i32);
        canvas.text(&curve.name, corner, Alignment::Right, color);
    }
    canvas
}

/// The picture that embedded-graphics draws on.
#[derive(Debug)]
struct Canvas {
    bytes: Vec<u8>,
}

impl Canvas {
    fn white() -> Self {
        let bytes = vec![255; 3 * (WIDTH * HEIGHT) as usize];
        Self { bytes }
    }

    fn line(&mut self, from: Point, to: Point) {
        let style = PrimitiveStyle::with_stroke(GREY, 1);
        let Ok(()) = Line::new(from, to).into_styled(style).draw(self);
    }

    fn curve(&mut self, points: &[Point], color: Rgb888) {
        let style = PrimitiveStyle::with_stroke(color, 2);
        let Ok(()) = Polyline::new(points).into_styled(style).draw(self);
    }

    fn dot(&mut self, at: Point, color: Rgb888) {
        let style = PrimitiveStyle::with_fill(color);
        let Ok(()) = Circle::with_center(at, 9).into_styled(style).draw(self);
    }

    fn text(&mut self, text: &str, at: Point, alignment: Alignment, color: Rgb888) {
        let font = MonoTextStyle::new(&FONT_9X15, color);
        let style = TextStyleBuilder::new()
            .alignment(alignment)
            .baseline(Baseline::Top)
            .build();
        let Ok(_) = Text::with_text_style(text, at, font, style).draw(self);
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(WIDTH as u32, HEIGHT as u32)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Infallible> {
        for Pixel(at, color) in pixels {
            if (0..WIDTH).contains(&at.x) && (0..HEIGHT).contains(&at.y) {
                let place = 3 * (at.y * WIDTH + at.x) as usize;
                let rgb = [color.r(), color.g(), color.b()];
                self.bytes[place..place + 3].copy_from_slice(&rgb);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_where_its_numbers_say() {
        let axis = |logarithmic| Axis {
            label: "",
            ticks: vec![1.0, 100.0],
            logarithmic,
        };
        let curve = Curve {
            name: String::new(),
            // The second is outside, and the third is no number.
            points: vec![(10.0, 50.5), (10.0, 200.0), (10.0, f64::NAN)],
            marks: vec![String::new()],
        };
        let canvas = plot(&axis(true), &axis(false), &[curve]);
        let rgb = [COLORS[0].r(), COLORS[0].g(), COLORS[0].b()];
        let colored = canvas.bytes.chunks(3).enumerate();
        let places = colored
            .filter(|(_, pixel)| *pixel == rgb)
            .map(|(i, _)| i as i32);
        let (xs, ys): (Vec<_>, Vec<_>) = places.map(|i| (i % WIDTH, i / WIDTH)).unzip();
        let middle = |values: &[i32]| values.iter().sum::<i32>() / values.len() as i32;
        let [left, top, right, bottom] = FRAME;
        assert_eq!(middle(&xs), (left + right) / 2);
        assert_eq!(middle(&ys), (top + bottom) / 2);
    }
}
