//! What a step of a sampler costs beside the network, for a network in candle or burn: microseconds, and the lines
//! that a user writes. What the copies between an array and a tensor cost. How far halves lead.
//!
//!     cargo run --release --features candle,burn --example tensors
//!
//! The time of the network itself, a multiplication, is not counted.

mod arrays;
mod burn_state;
mod by_hand;
mod candle_arrays;
mod candle_state;
mod halves;

use std::{
    cell::Cell,
    error::Error,
    thread,
    time::{Duration, Instant},
};

use candle_core::{DType, Device, Tensor};
use gaussian_diffusion::{
    Denoiser, NoiseLevel, Plan, Point, Sampler, Step, candle, predicts, schedule::Discrete,
};
use ndarray::Array4;

type Fallible<T> = Result<T, Box<dyn Error>>;
type Shape = (usize, usize, usize, usize);

/// The time spent in the network.
#[derive(Debug, Default)]
struct Clock(Cell<Duration>);

impl Clock {
    fn time<T>(&self, network: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let answer = network();
        self.0.set(self.0.get() + start.elapsed());
        answer
    }
}

const STEPS: usize = 25;
const ROUNDS: usize = 9;
const SIZES: [Shape; 3] = [(1, 4, 64, 64), (1, 16, 128, 128), (16, 3, 256, 256)];

type Sample = fn(&Plan<Step>, Shape, &Clock) -> Fallible<()>;

fn main() -> Fallible<()> {
    let plan =
        Sampler::from_name("DPM++ 2M Karras")?.plan(&Discrete::stable_diffusion()?, STEPS)?;
    let rows: [(&str, &str, Sample); 5] = [
        (
            "ndarray alone, without a network in a tensor library",
            include_str!("arrays.rs"),
            arrays::sample,
        ),
        (
            "ndarray, and `candle::network`: two copies",
            include_str!("candle_arrays.rs"),
            candle_arrays::sample,
        ),
        (
            "candle's tensor as the state",
            include_str!("candle_state.rs"),
            candle_state::sample,
        ),
        (
            "burn's tensor as the state",
            include_str!("burn_state.rs"),
            burn_state::sample,
        ),
        (
            "a tensor type by hand, in candle's operators",
            include_str!("by_hand.rs"),
            by_hand::sample,
        ),
    ];
    println!("| state | lines | 1×4×64×64 | 1×16×128×128 | 16×3×256×256 |\n|---|--:|--:|--:|--:|");
    for row in measured(&plan, &rows)? {
        println!("{row}");
    }
    println!(
        "\nMicroseconds a step of DPM++ 2M, beside the network; f32, medians of {ROUNDS} rounds, {} threads.\n",
        thread::available_parallelism()?
    );

    println!("| | 1×4×64×64 | 1×16×128×128 | 16×3×256×256 |\n|---|--:|--:|--:|");
    let copies: Vec<_> = SIZES.into_iter().map(copies).collect::<Fallible<_>>()?;
    println!("| both copies, µs | {} |", cells(&copies, 1e6));
    println!(
        "| a network beside which they are 1 %, ms | {} |",
        cells(&copies, 100.0 * 1e3)
    );

    println!(
        "\n| network in | state `f32` | state of its type, kept as `f32` | by hand, sums rounded to its type |"
    );
    println!("|---|--:|--:|--:|");
    for row in halves::table(&plan)? {
        println!("{row}");
    }
    println!("\nErrors relative to the samples, root mean square.");
    Ok(())
}

/// The rows of the table; every round takes all of them in turn.
fn measured(plan: &Plan<Step>, rows: &[(&str, &str, Sample)]) -> Fallible<Vec<String>> {
    let mut table: Vec<String> = rows
        .iter()
        .map(|(name, source, _)| format!("| {name} | {} |", lines(source)))
        .collect();
    for shape in SIZES {
        let mut times = vec![Vec::new(); rows.len()];
        for _ in 0..ROUNDS {
            for ((_, _, sample), times) in rows.iter().zip(&mut times) {
                let (clock, start) = (Clock::default(), Instant::now());
                sample(plan, shape, &clock)?;
                times.push(start.elapsed().saturating_sub(clock.0.get()));
            }
        }
        for (row, times) in table.iter_mut().zip(times) {
            *row += &format!(" {} |", cells(&[median(times)], 1e6 / STEPS as f64));
        }
    }
    Ok(table)
}

/// The time that `candle::network` takes beside the network.
fn copies(shape: Shape) -> Fallible<Duration> {
    let x = Array4::<f32>::ones(shape);
    let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
    let mut times = Vec::new();
    for _ in 0..ROUNDS * STEPS {
        let (clock, start) = (Clock::default(), Instant::now());
        let net = predicts::noise(|x: &Tensor, _: Point<Step>| clock.time(|| x * 0.1));
        candle::network(net, &Device::Cpu, DType::F32).predict(&x, at)?;
        times.push(start.elapsed().saturating_sub(clock.0.get()));
    }
    Ok(median(times))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Times in a unit of which a second has so many.
fn cells(times: &[Duration], units: f64) -> String {
    let cell = |time: &Duration| match time.as_secs_f64() * units {
        time if time < 10.0 => format!("{time:.2}"),
        time if time < 100.0 => format!("{time:.1}"),
        time => format!("{time:.0}"),
    };
    times.iter().map(cell).collect::<Vec<_>>().join(" | ")
}

/// Lines of code: neither empty nor a comment.
fn lines(source: &str) -> usize {
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
    source.lines().filter(is_code).count()
}
