//! Why diffusion: what is lost by drawing many pixels at once, in closed form.
//!
//! `cargo run --release --example why` prints the tables of `docs/why.md`. The data is a Gaussian field
//! on a square, its pixels correlated as `exp(-distance / length)`; every predictor is exact. What
//! is lost is a KL divergence, and no sample is drawn.

mod fewest;
mod losses;
#[cfg(test)]
mod tests;

use std::{error::Error, process::ExitCode};

use fewest::{Budgets, TOLERANCE};
use losses::{Autoregression, Diffusion, Loss, covariance, loss_of_plan, mean_loss, random_orders};

/// The field of the first tables.
const SIDE: usize = 8;
const LENGTH: f64 = 2.0;
/// Random orders that are averaged.
const ORDERS: usize = 100;
const EVALUATIONS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Half the log-SNR where plans begin, negated, and where they step to the data.
const END: f64 = 5.5;
const ENDS: [f64; 4] = [5.5, 4.5, 3.5, 2.5];
/// Fields of the last table: lengths, and sides for each.
const FIELDS: [(f64, &[usize]); 3] = [
    (1.0, &[4, 8, 16]),
    (2.0, &[4, 8, 16, 32]),
    (4.0, &[4, 8, 16]),
];

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("why: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    for line in losses_by_evaluations()? {
        println!("{line}");
    }
    println!("\nevaluations for {TOLERANCE} nat");
    println!("| length | pixels | raster | random order | DDPM | DDIM | DPM++ 2M |");
    println!("|--:|--:|--:|--:|--:|--:|--:|");
    for (length, sides) in FIELDS {
        for &side in sides {
            println!("{}", budget_row(side, length)?);
        }
    }
    Ok(())
}

/// The lines of the tables of one field.
fn losses_by_evaluations() -> Outcome<Vec<String>> {
    let covariance = covariance(SIDE, LENGTH);
    let eigenvalues = covariance.symmetric_eigenvalues();
    let pixels = SIDE * SIDE;
    let in_order = |order: &[usize]| {
        Autoregression::new(&covariance, order).ok_or("this matrix is no covariance")
    };
    let raster = in_order(&(0..pixels).collect::<Vec<_>>())?;
    let orders = random_orders(ORDERS, pixels)?;
    let random = orders.iter().map(|order| in_order(order));
    let random = random.collect::<Result<Vec<_>, _>>()?;

    let mut rows = Vec::new();
    for evaluations in EVALUATIONS {
        let size = pixels.div_ceil(evaluations);
        let mut row = vec![raster.loss(size), mean_loss(&random, size)];
        for sampler in Diffusion::ALL {
            let plan = sampler.plan(evaluations, END)?;
            row.push(loss_of_plan(&plan, eigenvalues.as_slice())?);
        }
        rows.push((evaluations, row));
    }
    let mut lines = vec![format!(
        "{SIDE}x{SIDE} pixels, length {LENGTH}: nats lost, KL(data || draws)"
    )];
    lines.extend(table(&rows, |loss| loss.of_data));
    lines.push("\nThe same the other way, KL(draws || data)".to_owned());
    lines.extend(table(&rows, |loss| loss.of_draws));

    let ends = "\nKL(data || draws) of plans from half-log-SNR -end to end";
    lines.push(ends.to_owned());
    lines.push("| sampler | evaluations | 5.5 | 4.5 | 3.5 | 2.5 |".to_owned());
    lines.push("|---|--:|--:|--:|--:|--:|".to_owned());
    for sampler in Diffusion::ALL {
        for evaluations in [4, 8, 16, 64] {
            let mut line = format!("| {} | {evaluations} |", sampler.name());
            for end in ENDS {
                let plan = sampler.plan(evaluations, end)?;
                let loss = loss_of_plan(&plan, eigenvalues.as_slice())?;
                line += &format!(" {} |", figure(loss.of_data));
            }
            lines.push(line);
        }
    }
    Ok(lines)
}

fn table(rows: &[(usize, Vec<Loss>)], which: impl Fn(&Loss) -> f64) -> Vec<String> {
    let mut lines = vec![
        "| evaluations | raster | random order | DDPM | DDIM | DPM++ 2M |".to_owned(),
        "|--:|--:|--:|--:|--:|--:|".to_owned(),
    ];
    for (evaluations, row) in rows {
        let figures = row.iter().map(|loss| format!(" {} |", figure(which(loss))));
        lines.push(format!("| {evaluations} |{}", figures.collect::<String>()));
    }
    lines
}

fn budget_row(side: usize, length: f64) -> Outcome<String> {
    let budgets = Budgets::of_field(side, length, END)?;
    let counts = [budgets.raster, budgets.random]
        .into_iter()
        .chain(budgets.diffusion);
    let counts: String = counts.map(|count| format!(" {count} |")).collect();
    Ok(format!("| {length} | {} |{counts}", side * side))
}

/// Three digits.
fn figure(x: f64) -> String {
    match x.abs() {
        x if x < 5e-13 => "0".to_owned(),
        x if !(1e-3..1e4).contains(&x) => format!("{x:.0e}"),
        x if x < 0.1 => format!("{x:.4}"),
        x if x < 1.0 => format!("{x:.3}"),
        x if x < 10.0 => format!("{x:.2}"),
        x if x < 100.0 => format!("{x:.1}"),
        x => format!("{x:.0}"),
    }
}
