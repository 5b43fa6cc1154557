//! Mixtures fitted to the digits, and digits drawn from them by their exact denoisers.

use gaussian_diffusion::{
    GaussianMixture, Grid, MixtureCovariance, MixtureFit, NoiseLevel, Plan, SeededNoise,
    likelihood::LogDensity,
    rand::{Rng, SeedableRng, rngs::StdRng},
    schedule::Discrete,
    solver::Ddim,
};
use ndarray::Array2;

use crate::{
    Outcome,
    data::{Digits, INK, PIXELS},
    judge::Judge,
    picture::{self, Gallery},
};

/// Name, components and kind, and the numbers that are fitted.
const CASES: [(&str, usize, MixtureCovariance); 6] = [
    ("one Gaussian", 1, MixtureCovariance::Full),
    ("variances", 50, MixtureCovariance::Diagonal),
    ("6 factors", 10, MixtureCovariance::LowRank(6)),
    ("6 factors", 30, MixtureCovariance::LowRank(6)),
    ("12 factors", 10, MixtureCovariance::LowRank(12)),
    ("all covariances", 10, MixtureCovariance::Full),
];

/// Prints how likely held-out digits are under mixtures of several kinds, and how good digits drawn from them are.
pub fn report(
    gallery: &mut Gallery,
    schedule: &Discrete,
    trained_on: &Digits,
    held_out: &Digits,
    count: usize,
    seed: u64,
) -> Outcome<()> {
    let plan = Plan::new(schedule, &Grid::trailing(schedule, 25)?, &Ddim::default())?;
    let per_row = (count / 10).min(10);
    let judge = Judge::new(trained_on, held_out);
    let [known, unknown] = [trained_on, held_out].map(|digits| continuous(digits, seed));
    println!(
        "mixtures fitted to {} digits, and {count} digits drawn by {} in {} steps with their exact denoisers\n",
        trained_on.len(),
        plan.name(),
        plan.steps()
    );
    println!(
        "{:<16} {:>10} {:>9} {:>11} {:>13} {:>9} {:>11} {:>9}",
        "covariance",
        "components",
        "numbers",
        "iterations",
        "bits a pixel",
        "Frechet",
        "told apart",
        "nearest"
    );
    for (name, components, kind) in CASES {
        let fit = MixtureFit::new(components, kind)?
            .with_iterations(200)
            .with_floor(1e-4)?;
        let fitted = fit.fit(&known, &mut StdRng::seed_from_u64(seed))?;
        let bits = bits_per_pixel(&fitted.mixture, &unknown)?;
        let mut noise = SeededNoise::new(seed);
        let start = plan.prior((count, PIXELS), &mut noise)?;
        let drawn: Array2<f32> = plan.sample(start, &mut fitted.mixture.clone(), &mut noise)?;
        // No class is asked for.
        let found = judge.quality(&drawn, &vec![0; count]);
        println!(
            "{name:<16} {components:>10} {:>9} {:>11} {bits:>13.3} {:>9.2} {:>9.1} % {:>9.2}",
            numbers(components, kind),
            fitted.iterations,
            found.frechet,
            found.apart,
            found.nearest
        );
        if (components, kind) == (30, MixtureCovariance::LowRank(6)) {
            let title = "a mixture of 30 components with 6 factors each";
            let drawing = picture::unlabelled(title, &drawn, per_row)?;
            gallery.add("mixture", &format!("digits drawn from {title}"), &drawing)?;
        }
    }
    println!(
        "
numbers       that are fitted: weights, means, variances, factors or covariances
bits a pixel  of held-out digits, each pixel drawn evenly within its level
Frechet, told apart, nearest   as without --mixture"
    );
    Ok(())
}

/// Digits whose pixels are drawn evenly within their levels.
fn continuous(digits: &Digits, seed: u64) -> Array2<f64> {
    let mut rng = StdRng::seed_from_u64(seed);
    let jitter = |x: &f32| f64::from(*x) + width() * (rng.random::<f64>() - 0.5);
    let pixels = digits.pixels.iter().map(jitter).collect();
    Array2::from_shape_vec(digits.pixels.dim(), pixels).unwrap_or_default()
}

/// Of a level, in the range of samples.
fn width() -> f64 {
    2.0 / f64::from(INK)
}

fn bits_per_pixel(mixture: &GaussianMixture, digits: &Array2<f64>) -> Outcome<f64> {
    let mut sum = 0.0;
    for digit in digits.rows() {
        let density = LogDensity::new(mixture.log_density(&digit.to_vec(), NoiseLevel::CLEAN)?)?;
        sum += density
            .dequantized(width(), PIXELS)?
            .bits_per_dim(PIXELS)?
            .get();
    }
    Ok(sum / digits.nrows() as f64)
}

/// How many numbers a mixture is made of.
fn numbers(components: usize, kind: MixtureCovariance) -> usize {
    let covariance = match kind {
        MixtureCovariance::Full => PIXELS * (PIXELS + 1) / 2,
        MixtureCovariance::LowRank(rank) => PIXELS * (rank + 1),
        MixtureCovariance::Spherical => 1,
        _ => PIXELS,
    };
    components * (PIXELS + covariance) + components - 1
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// On the real digits: a mixture with factors finds held-out digits likelier than one Gaussian does, with fewer
    /// numbers, and its score is the slope of its density there.
    #[test]
    fn factors_tell_more_of_digits_than_one_gaussian() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/digits.csv.gz");
        let digits = Digits::load(&path).unwrap();
        let few = digits.select(&(0..700).collect::<Vec<_>>());
        let (known, unknown) = few.split(1).unwrap();
        let [known, unknown] = [&known, &unknown].map(|digits| continuous(digits, 1));
        let bits = |components, kind| {
            let fit = MixtureFit::new(components, kind)
                .unwrap()
                .with_iterations(12)
                .with_floor(1e-4)
                .unwrap();
            let mixture = fit
                .fit(&known, &mut StdRng::seed_from_u64(1))
                .unwrap()
                .mixture;
            (bits_per_pixel(&mixture, &unknown).unwrap(), mixture)
        };
        let (one, _) = bits(1, MixtureCovariance::Full);
        let (factors, mixture) = bits(5, MixtureCovariance::LowRank(3));
        // 2.874 and 2.894 bits a pixel.
        assert!(factors < one - 0.01, "{factors} {one}");
        assert!(numbers(5, MixtureCovariance::LowRank(3)) < numbers(1, MixtureCovariance::Full));
        let level = NoiseLevel::new(0.8, 0.6).unwrap();
        let x = unknown.row(0).to_vec();
        let score = mixture.score(&x, level).unwrap();
        for k in [0, 20, 63] {
            let at = |h: f64| {
                let mut x = x.clone();
                x[k] += h;
                mixture.log_density(&x, level).unwrap()
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((score[k] - slope).abs() < 1e-5, "{k}: {} {slope}", score[k]);
        }
    }
}
