//! The variational bound of held-out digits, step by step.

use gaussian_diffusion::{
    Denoiser, DenoisingVariance, Grid, ModelVariance, ReverseVariance, SeededNoise, Step, fit,
    likelihood::{BoundTerms, Estimate, LogProbability, Nats, VariationalBound},
    schedule::Discrete,
    solver::AnalyticDpm,
};
use ndarray::Array2;

use crate::{
    Outcome,
    asked::Asked,
    chart::{Axis, Chart, Curve, Scale, Stroke},
    data::{Digits, PIXELS, levels},
    network::Network,
    picture::Gallery,
};

/// Steps of the short bound.
const FEW: usize = 25;

/// Training digits by which the best variance is measured.
const MEASURED_ON: usize = 200;

/// Prints the terms of the bound, with the learned variance, with the fixed ones and with the best, and draws them; and the
/// totals of a bound of few steps.
pub fn report(
    gallery: &mut Gallery,
    network: &Network,
    schedule: &Discrete,
    train: &Digits,
    digits: &Digits,
    noise: &SeededNoise,
) -> Outcome<()> {
    println!(
        "\nvariational bound of {} held-out digits given their class, in bits per pixel of {} levels",
        digits.len(),
        levels()?.levels()
    );
    println!("variance                         L_T     sum of L_t              L_0          total");
    let asked = Asked::new(network, digits.classes());
    let mut curves = Vec::new();
    let (whole, few) = (Grid::every(schedule)?, Grid::trailing(schedule, FEW)?);
    for grid in [&whole, &few] {
        println!("{} steps", grid.len());
        let best = AnalyticDpm::new(left_open(network, grid, train, noise)?);
        let variances: [(&str, &dyn ReverseVariance); 4] = [
            ("learned", &ModelVariance::LearnedRange),
            ("fixed, small", &ModelVariance::FixedSmall),
            ("fixed, large", &ModelVariance::FixedLarge),
            ("best of each step", &best),
        ];
        for (name, variance) in variances {
            let mut network = asked.clone().guided(1.0)?;
            let terms = terms(&mut network, grid, variance, digits, noise)?;
            print(name, &terms)?;
            if grid.len() == whole.len() {
                curves.push(curve(name, curves.len(), &terms)?);
            }
        }
        let learned = ModelVariance::LearnedRange;
        let terms = terms(&mut asked.clone(), grid, &learned, digits, noise)?;
        print("learned, not clipped", &terms)?;
    }
    println!(
        "
L_T, L_t, L_0  KL of the noisiest state and the prior, KL of each step, -log p(digit | last state)
clipped        the expected digit is kept within the range of digits, as it is where digits are drawn
best           one variance for all pixels of a step, from the error of the network on training digits
+-             standard error of the mean over digits"
    );
    let chart = Chart {
        title: "The variational bound, step by step".to_owned(),
        x: Axis::log("step t", Scale::Log10, 1.0, 1e3),
        y: Axis::log("L_t in bits per pixel", Scale::Log10, 1e-6, 1.0),
        curves,
        left: 76,
    };
    gallery.add(
        "bound",
        "the terms of the variational bound, by three variances",
        &chart.svg(420)?,
    )
}

/// What the network leaves open at each step, measured on training digits.
fn left_open(
    network: &Network,
    grid: &Grid<Step>,
    train: &Digits,
    noise: &SeededNoise,
) -> Outcome<DenoisingVariance> {
    let some: Vec<usize> = (0..train.len().min(MEASURED_ON)).collect();
    let some = train.select(&some);
    let mut asked = Asked::new(network, some.classes()).guided(1.0)?;
    let mut noise = noise.clone();
    Ok(fit::denoising_errors(
        grid,
        &some.pixels,
        &mut asked,
        &mut noise,
    )?)
}

fn terms<N: Denoiser<Array2<f32>, Step>>(
    network: &mut N,
    grid: &Grid<Step>,
    variance: &dyn ReverseVariance,
    digits: &Digits,
    noise: &SeededNoise,
) -> Outcome<BoundTerms<LogProbability>> {
    let bound = VariationalBound::new(grid, variance, levels()?)?;
    Ok(bound.evaluate(&digits.pixels, network, &mut noise.clone())?)
}

fn print(name: &str, terms: &BoundTerms<LogProbability>) -> Outcome<()> {
    let sum = |i: usize| terms.steps.iter().map(|step| step[i]).sum();
    let steps: Vec<Nats> = (0..terms.prior.len()).map(sum).collect();
    let total = Estimate::of(&terms.total())?;
    println!(
        "{name:<20} {:>14} {:>14} {:>16} {:>14}",
        cell(&terms.prior)?,
        cell(&steps)?,
        cell(&last(terms))?,
        with_error(
            total.value.bits_per_dim(PIXELS)?.get(),
            total.standard_error.per_dim(PIXELS)?.get()
        )
    );
    Ok(())
}

/// The mean and its standard error.
fn cell(amounts: &[Nats]) -> Outcome<String> {
    let found = Estimate::of(amounts)?;
    Ok(with_error(
        found.value.per_dim(PIXELS)?.get(),
        found.standard_error.per_dim(PIXELS)?.get(),
    ))
}

fn with_error(value: f64, error: f64) -> String {
    format!("{value:.3} +- {error:.3}")
}

/// The terms from the last step to the noisiest one, by the number of the step.
fn curve(name: &str, colour: usize, terms: &BoundTerms<LogProbability>) -> Outcome<Curve> {
    let last = last(terms);
    let all = std::iter::once(&last).chain(terms.steps.iter().rev());
    let mut points = Vec::new();
    for (step, amounts) in all.enumerate() {
        let bits = Estimate::of(amounts)?.value.per_dim(PIXELS)?;
        points.push((1.0 + step as f64, bits.get()));
    }
    Ok(Curve::new(
        &format!("{name} variance"),
        colour,
        Stroke::Line,
        points,
    ))
}

/// `L_0` of each digit.
fn last(terms: &BoundTerms<LogProbability>) -> Vec<Nats> {
    let found = terms.reconstruction.iter();
    found.map(|found| -found.nats()).collect()
}
