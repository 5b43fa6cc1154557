//! The Rust side of the comparison with peers.
//!
//! Reads lines `ROW SIZE MILLISECONDS` and answers each with the nanoseconds of one call, measured over
//! a batch of about that time; `probe ROW SIZE` answers with the numbers that the row computes.

mod candle;
mod jump;
mod memory;
mod noise;
#[path = "../../../runs/mod.rs"]
mod runs;
mod steps;
mod table;

use std::{
    collections::HashMap,
    error::Error,
    io::{self, BufRead, Write},
    time::{Duration, Instant},
};

use ndarray::Array4;

type Tensor = Array4<f32>;
type Shape = (usize, usize, usize, usize);
type Fallible<T> = Result<T, Box<dyn Error>>;

/// Does the work so many times and says how long it took.
type Row = Box<dyn FnMut(usize) -> Fallible<Duration>>;

fn main() -> Fallible<()> {
    let mut rows = HashMap::<String, Row>::new();
    let mut last_size = String::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<_> = line.split_whitespace().collect();
        let answer = match words[..] {
            ["probe", name, size] => probe(name, shape(size)?)?
                .iter()
                .map(|x| x.to_string())
                .collect::<Vec<_>>()
                .join(" "),
            [name, size, milliseconds] => {
                if size != last_size {
                    // The arrays of one size at a time.
                    rows.clear();
                    last_size = size.to_owned();
                }
                if !rows.contains_key(name) {
                    rows.insert(name.to_owned(), row(name, shape(size)?)?);
                }
                let row = rows.get_mut(name).ok_or("a row that was just made")?;
                let budget = Duration::from_secs_f64(milliseconds.parse::<f64>()? / 1e3);
                per_call(row, budget)?.to_string()
            }
            _ => return Err(format!("not ROW SIZE MILLISECONDS: {line}").into()),
        };
        println!("{answer}");
        io::stdout().flush()?;
    }
    Ok(())
}

/// Nanoseconds of one call, from a batch that fills the budget.
fn per_call(row: &mut Row, budget: Duration) -> Fallible<f64> {
    // Doubled until it can be timed, which also warms the caches.
    let (mut calls, mut took) = (1, row(1)?);
    while took < budget / 20 {
        calls *= 2;
        took = row(calls)?;
    }
    let calls = (calls as f64 * budget.as_secs_f64() / took.as_secs_f64()).ceil() as usize;
    let took = row(calls.max(1))?;
    Ok(took.as_nanos() as f64 / calls.max(1) as f64)
}

fn row(name: &str, shape: Shape) -> Fallible<Row> {
    match name {
        "candle-ddpm" => candle::ddpm(shape),
        "jump" => jump::row(shape),
        "jump-into" => jump::into_kept_arrays(shape),
        "noise" => noise::seeded(shape),
        "std-rng-here" => noise::from_rng(shape),
        "std-rng" => noise::rand_distr(shape),
        "table" => table::grid(),
        "table-plan" => table::plan(),
        "triad" => memory::triad(shape),
        "triad-here" => memory::triad_here(shape),
        _ => match name.strip_prefix("streams-") {
            Some(streams) => memory::update(streams.parse()?, shape),
            None => steps::row(name, shape),
        },
    }
}

fn probe(name: &str, shape: Shape) -> Fallible<Vec<f32>> {
    match name {
        "candle-ddpm" => candle::last_step(shape),
        "jump" => jump::probe(shape),
        "ddpm-end" => steps::end(shape),
        _ => steps::probe(name, shape),
    }
}

/// The row that calls this.
fn timed(mut call: impl FnMut() -> Fallible<()> + 'static) -> Row {
    Box::new(move |calls| {
        let start = Instant::now();
        for _ in 0..calls {
            call()?;
        }
        Ok(start.elapsed())
    })
}

/// `1x4x64x64`, or a length alone.
fn shape(text: &str) -> Fallible<Shape> {
    let axes: Vec<usize> = text.split('x').map(str::parse).collect::<Result<_, _>>()?;
    match axes[..] {
        [length] => Ok((1, 1, 1, length)),
        [a, b, c, d] => Ok((a, b, c, d)),
        _ => Err(format!("one axis or four: {text}").into()),
    }
}

/// Numbers between -1 and 1 that both sides can make exactly; `which` gives different ones.
fn values(shape: Shape, which: usize) -> Tensor {
    let count = shape.0 * shape.1 * shape.2 * shape.3;
    let value = |i: usize| ((i * 37 + which * 101) % 1025) as f32 / 512.0 - 1.0;
    Tensor::from_shape_vec(shape, (0..count).map(value).collect()).unwrap_or_default()
}
