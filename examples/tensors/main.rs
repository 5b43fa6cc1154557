//! What a step of a sampler costs beside the network, for a network in candle or burn: microseconds, and the lines
//! that a user writes.
//!
//!     cargo run --release --features candle,burn --example tensors
//!
//! The time of the network itself, a multiplication, is not counted.

mod arrays;
mod burn_state;
mod by_hand;
mod candle_arrays;
mod candle_state;

use std::{
    cell::Cell,
    error::Error,
    time::{Duration, Instant},
};

use gaussian_diffusion::{Plan, Sampler, Step, schedule::Discrete};

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
    let sizes: [Shape; 3] = [(1, 4, 64, 64), (1, 16, 128, 128), (16, 3, 256, 256)];
    println!("| state | lines | 1×4×64×64 | 1×16×128×128 | 16×3×256×256 |\n|---|--:|--:|--:|--:|");
    for row in measured(&plan, &rows, &sizes)? {
        println!("{row}");
    }
    println!(
        "\nMicroseconds a step of DPM++ 2M, beside the network; f32, medians of {ROUNDS} rounds."
    );
    Ok(())
}

/// The rows of the table; every round takes all of them in turn.
fn measured(
    plan: &Plan<Step>,
    rows: &[(&str, &str, Sample)],
    sizes: &[Shape],
) -> Fallible<Vec<String>> {
    let mut cells: Vec<String> = rows
        .iter()
        .map(|(name, source, _)| format!("| {name} | {} |", lines(source)))
        .collect();
    for shape in sizes {
        let mut times = vec![Vec::new(); rows.len()];
        for _ in 0..ROUNDS {
            for ((_, _, sample), times) in rows.iter().zip(&mut times) {
                let (clock, start) = (Clock::default(), Instant::now());
                sample(plan, *shape, &clock)?;
                times.push(start.elapsed().saturating_sub(clock.0.get()));
            }
        }
        for (cell, times) in cells.iter_mut().zip(&mut times) {
            times.sort();
            let micros = times[ROUNDS / 2].as_secs_f64() * 1e6 / STEPS as f64;
            *cell += &match micros < 100.0 {
                true => format!(" {micros:.1} |"),
                false => format!(" {micros:.0} |"),
            };
        }
    }
    Ok(cells)
}

/// Lines of code: neither empty nor a comment.
fn lines(source: &str) -> usize {
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
    source.lines().filter(is_code).count()
}
