//! Charts as SVG: a light card that reads on light and on dark pages, at 420 pixels too.

use std::error::Error;

use plotters::{
    coord::Shift,
    prelude::*,
    style::{
        FontDesc,
        text_anchor::{HPos, Pos, VPos},
    },
};

pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// Width of all pictures, in pixels.
pub const WIDTH: u32 = 640;
/// plotters has whole coordinates: pictures are drawn so many times as large, and shown smaller.
pub const FINE: u32 = 4;

/// Shown pixels of a title.
const TITLE: f64 = 30.0;

pub const CARD: RGBColor = RGBColor(252, 252, 250);
pub const INK: RGBColor = RGBColor(40, 40, 46);
const FAINT: RGBColor = RGBColor(222, 222, 222);
/// Colours that people of every colour vision tell apart (Okabe, Ito, 2008).
pub const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(60, 60, 66),
];

pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// What an axis is even in, and how its marks are written.
#[derive(Debug, Clone)]
pub enum Scale {
    Linear,
    Log2,
    Log10,
    /// A name at each whole number from 0 on.
    Names(Vec<String>),
}

#[derive(Debug, Clone)]
pub struct Axis {
    pub label: &'static str,
    pub from: f64,
    pub to: f64,
    pub scale: Scale,
    /// About how many marks.
    pub marks: usize,
}

impl Axis {
    /// From 0 or another number to another one, evenly.
    pub const fn linear(label: &'static str, from: f64, to: f64, marks: usize) -> Self {
        Self {
            label,
            from,
            to,
            scale: Scale::Linear,
            marks,
        }
    }

    /// Between two powers of 2, or of 10.
    pub fn log(label: &'static str, base: Scale, from: f64, to: f64) -> Self {
        let mut axis = Self {
            label,
            from,
            to,
            scale: base,
            marks: 0,
        };
        axis.marks = (axis.place(to) - axis.place(from)).ceil() as usize + 1;
        axis
    }

    fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Log2 => value.log2(),
            Scale::Log10 => value.log10(),
            Scale::Linear | Scale::Names(_) => value,
        }
    }

    fn ends(&self) -> (f64, f64) {
        (self.place(self.from), self.place(self.to))
    }

    fn mark(&self, place: f64) -> String {
        match &self.scale {
            Scale::Linear => format!("{}", (place * 1e6).round() / 1e6),
            Scale::Log2 => format!("{}", place.exp2().round()),
            Scale::Log10 if (-3.0..=3.0).contains(&place) => {
                format!("{}", (10_f64.powf(place) * 1e6).round() / 1e6)
            }
            Scale::Log10 => format!("1e{}", place.round()),
            Scale::Names(names) => {
                let name = (place.round() == place).then(|| names.get(place as usize));
                name.flatten().cloned().unwrap_or_default()
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stroke {
    Line,
    Dots,
    /// A line with a dot at each point.
    Both,
}

impl Stroke {
    fn parts(self) -> (bool, bool) {
        (self != Self::Dots, self != Self::Line)
    }
}

#[derive(Debug, Clone)]
pub struct Curve {
    /// Empty: not in the legend.
    pub name: String,
    pub colour: RGBColor,
    pub stroke: Stroke,
    pub width: f64,
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    pub fn new(name: &str, colour: usize, stroke: Stroke, points: Vec<(f64, f64)>) -> Self {
        let name = name.to_owned();
        let colour = COLOURS[colour % COLOURS.len()];
        Self {
            name,
            colour,
            stroke,
            width: 2.5,
            points,
        }
    }

    fn style(&self) -> ShapeStyle {
        let width = self.width * f64::from(FINE);
        ShapeStyle::from(&self.colour).stroke_width(width as u32)
    }
}

#[derive(Debug, Clone)]
pub struct Chart {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub curves: Vec<Curve>,
    /// Pixels left of the axis for its marks.
    pub left: u32,
}

/// An empty card of this height, drawn on by a function.
pub fn card(height: u32, draw: impl FnOnce(&Area<'_>) -> Outcome<()>) -> Outcome<String> {
    let mut svg = String::new();
    {
        let area =
            SVGBackend::with_string(&mut svg, (WIDTH * FINE, height * FINE)).into_drawing_area();
        area.fill(&CARD)?;
        draw(&area)?;
        area.present()?;
    }
    let large = format!(
        "width=\"{}\" height=\"{}\" viewBox",
        WIDTH * FINE,
        height * FINE
    );
    let shown = format!("width=\"{WIDTH}\" height=\"{height}\" viewBox");
    Ok(svg
        .replacen(&large, &shown, 1)
        .replace(" opacity=\"1\"", "")
        .replace(" \"/>", "\"/>"))
}

pub fn font(size: f64) -> FontDesc<'static> {
    ("sans-serif", size * 1.24 * f64::from(FINE)).into()
}

/// A text at a place, in shown pixels.
pub fn write(area: &Area<'_>, text: &str, size: f64, side: HPos, at: (f64, f64)) -> Outcome<()> {
    let style = font(size).color(&INK).pos(Pos::new(side, VPos::Center));
    let at = (fine(at.0), fine(at.1));
    Ok(area.draw(&Text::new(text.to_owned(), at, style))?)
}

/// In the coordinates of the drawing.
fn fine(shown: f64) -> i32 {
    (shown * f64::from(FINE)).round() as i32
}

impl Chart {
    pub fn svg(&self, height: u32) -> Outcome<String> {
        card(height, |area| self.draw(area))
    }

    pub fn draw(&self, area: &Area<'_>) -> Outcome<()> {
        let (entries, height) = self.legend();
        let (top, area) = area.split_vertically(fine(TITLE + height));
        write(
            &top,
            &self.title,
            17.0,
            HPos::Center,
            (f64::from(WIDTH) / 2.0, TITLE / 2.0 + 3.0),
        )?;
        for (left, y, curve) in entries {
            let y = TITLE + y;
            let style = curve.style();
            let sample = [(fine(left), fine(y)), (fine(left + SAMPLE), fine(y))];
            top.draw(&PathElement::new(sample, style))?;
            write(
                &top,
                &curve.name,
                15.0,
                HPos::Left,
                (left + SAMPLE + 6.0, y),
            )?;
        }
        let ((x0, x1), (y0, y1)) = (self.x.ends(), self.y.ends());
        let label = font(15.0).color(&INK);
        let mut chart = ChartBuilder::on(&area)
            .margin(6 * FINE)
            .margin_right(22 * FINE)
            .x_label_area_size(44 * FINE)
            .y_label_area_size(self.left * FINE)
            .build_cartesian_2d(x0..x1, y0..y1)?;
        chart
            .configure_mesh()
            .axis_style(ShapeStyle::from(&INK).stroke_width(FINE))
            .bold_line_style(ShapeStyle::from(&FAINT).stroke_width(FINE))
            .light_line_style(TRANSPARENT)
            .x_desc(self.x.label)
            .y_desc(self.y.label)
            .x_labels(self.x.marks)
            .y_labels(self.y.marks)
            .x_label_formatter(&|place| self.x.mark(*place))
            .y_label_formatter(&|place| self.y.mark(*place))
            .label_style(label.clone())
            .axis_desc_style(label.clone())
            .set_all_tick_mark_size(5 * FINE)
            .draw()?;
        for curve in &self.curves {
            let places = curve.points.iter();
            let places = places.map(|&(x, y)| (self.x.place(x), self.y.place(y)));
            let (lines, dots) = curve.stroke.parts();
            let style = curve.style();
            for piece in pieces(places, (y0, y1)) {
                if dots {
                    let dot = |&at| Circle::new(at, 4 * FINE, curve.colour.filled());
                    chart.draw_series(piece.iter().map(dot))?;
                }
                if lines {
                    chart.draw_series(std::iter::once(PathElement::new(piece, style)))?;
                }
            }
        }
        Ok(())
    }

    /// The names of the curves in centred lines, and the height of these.
    fn legend(&self) -> (Vec<(f64, f64, &Curve)>, f64) {
        let mut lines: Vec<(f64, Vec<&Curve>)> = Vec::new();
        for curve in self.curves.iter().filter(|curve| !curve.name.is_empty()) {
            let width = entry_width(curve);
            match lines.last_mut() {
                Some((sum, line)) if *sum + width < f64::from(WIDTH - 20) => {
                    *sum += width;
                    line.push(curve);
                }
                _ => lines.push((width, vec![curve])),
            }
        }
        let mut entries = Vec::new();
        for (i, (sum, line)) in lines.iter().enumerate() {
            let mut left = (f64::from(WIDTH) - sum) / 2.0;
            for &curve in line {
                entries.push((left, (i as f64 + 0.5) * LINE, curve));
                left += entry_width(curve);
            }
        }
        (entries, lines.len() as f64 * LINE)
    }
}

/// Shown pixels of a line of the legend, and of a sample of a curve in it.
const LINE: f64 = 22.0;
const SAMPLE: f64 = 24.0;

fn entry_width(curve: &Curve) -> f64 {
    SAMPLE + 6.0 + text_width(&curve.name, 15.0) + 16.0
}

/// No font is at hand: letters are about so wide.
pub fn text_width(text: &str, size: f64) -> f64 {
    let letter = |c: char| match c {
        'A'..='Z' | '0'..='9' | '+' | '_' => 0.67,
        'i' | 'j' | 'l' | ' ' | '.' | ',' | ':' | '(' | ')' => 0.36,
        _ => 0.58,
    };
    size * text.chars().map(letter).sum::<f64>()
}

/// The parts of a line between two heights, cut where it crosses them.
fn pieces(
    points: impl Iterator<Item = (f64, f64)>,
    (low, high): (f64, f64),
) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut before: Option<(f64, f64)> = None;
    for at in points.filter(|(x, y)| x.is_finite() && !y.is_nan()) {
        let inside = |y: f64| (low..=high).contains(&y);
        let cut = |(x, y): (f64, f64), (u, v): (f64, f64)| {
            let edge = if v.min(y) < low { low } else { high };
            let share = (edge - y) / (v - y);
            (x + share * (u - x), edge)
        };
        match before {
            Some(last) if inside(last.1) && inside(at.1) => {}
            Some(last) if inside(last.1) => {
                if at.1.is_finite()
                    && let Some(piece) = pieces.last_mut()
                {
                    piece.push(cut(last, at));
                }
            }
            Some(last) if inside(at.1) && last.1.is_finite() => pieces.push(vec![cut(last, at)]),
            _ if inside(at.1) => pieces.push(Vec::new()),
            _ => {}
        }
        if inside(at.1)
            && let Some(piece) = pieces.last_mut()
        {
            piece.push(at);
        }
        before = Some(at);
    }
    pieces
}

/// Charts below each other, each of this height.
pub fn stack(charts: &[Chart], height: u32) -> Outcome<String> {
    let count = charts.len();
    card(height * count as u32, |area| {
        let parts = area.split_evenly((count, 1));
        charts
            .iter()
            .zip(&parts)
            .try_for_each(|(chart, part)| chart.draw(part))
    })
}
