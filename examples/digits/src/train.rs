//! Training: noise the digits, ask the network, and push it to what it should have said.

use gaussian_diffusion::{
    ForwardProcess, ModelVariance, NoiseSchedule, Parameterization, SeededNoise, Step,
    rand::{Rng, SeedableRng, rngs::StdRng},
    schedule::Discrete,
    training::{HybridLoss, HybridTerms, squared_error},
};
use ndarray::{Array1, Array2, Axis, Ix2, concatenate};

use crate::{
    Outcome,
    data::{Digits, levels},
    descent::{Loss, descend},
    network::{Class, Network, prediction},
    recipe::Recipe,
    weights::tensor,
};

/// Digits of a batch.
pub const BATCH: usize = 128;
/// How often the network is not given the class, so that it can do without and guidance has something
/// to compare with.
const WITHOUT_CLASS: f64 = 0.1;

/// Trains by this recipe. The network is left with the running average of its weights.
pub fn train(
    network: &Network,
    schedule: &Discrete,
    digits: &Digits,
    recipe: &Recipe,
    seed: u64,
) -> Outcome<()> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut noise = SeededNoise::new(seed);
    let (weight, mut times) = (recipe.weight()?, recipe.times(schedule.len())?);
    // 0.001 times the sum over all steps, as in the paper, is this much of their mean.
    let bound = schedule.len() as f64 / 1000.0;
    let hybrid = HybridLoss::new(ModelVariance::LearnedRange, bound, levels()?)?;
    descend("diffusion", network, recipe, || {
        let Digits { pixels: x0, labels } = digits.batch(BATCH, &mut rng);
        let shown = |label| (!rng.random_bool(WITHOUT_CLASS)).then_some(label);
        let classes: Vec<Class> = labels.into_iter().map(shown).collect();
        let (steps, by_time) = times.draw(BATCH, &mut rng)?;

        let (xt, eps) = schedule.draw_jump(&x0, &steps, &mut noise)?;
        let answer = network.forward(&tensor(&xt)?, &steps, &classes)?;
        let terms = hybrid.evaluate(schedule, &x0, &steps, &eps, &prediction(&answer)?)?;

        let at = |&t: &Step| schedule.level(t);
        let noisy: Vec<_> = steps.iter().map(at).collect::<Result<_, _>>()?;
        let by_level = Array1::from(weight.each(Parameterization::Velocity, &noisy)?);
        let weighted = &terms.total() + &(&terms.simple * &(&by_level - 1.0));
        times.note(&steps, &weighted.to_vec())?;

        // The crate gives the gradient with respect to the answer. Held fixed and multiplied with the
        // answer, it is what candle carries on to the weights.
        let gradient = gradient(terms, &by_level, &Array1::from(by_time))?;
        let surrogate = (answer * tensor(&gradient)?)?.sum_all()?;
        Ok(Loss {
            tensor: surrogate,
            value: weighted.mean().unwrap_or(f64::NAN),
        })
    })
}

/// The gradient of the mean loss of a batch with respect to both halves of the answers. The error of
/// the velocity counts by its level and its time, the bound by its time only.
fn gradient(
    terms: HybridTerms<f32, Ix2>,
    by_level: &Array1<f64>,
    by_time: &Array1<f64>,
) -> Outcome<Array2<f32>> {
    let each = |factors: Array1<f64>| {
        let count = factors.len() as f64;
        factors
            .mapv(|factor| (factor / count) as f32)
            .insert_axis(Axis(1))
    };
    let value = terms.value_gradient * each(by_level * by_time);
    let variance = terms
        .variance_gradient
        .ok_or("the variance is not learned")?;
    let variance = variance * each(by_time.clone());
    Ok(concatenate(Axis(1), &[value.view(), variance.view()])?)
}

/// The mean squared error of the velocity at ten times spread over the schedule.
pub fn mean_loss(
    network: &Network,
    schedule: &Discrete,
    digits: &Digits,
    noise: &mut SeededNoise,
) -> Outcome<f64> {
    const TIMES: usize = 10;
    let mut sum = 0.0;
    for i in 0..TIMES {
        let step = Step::new((2 * i + 1) * schedule.len() / (2 * TIMES));
        let (xt, eps) = schedule.draw_jump(&digits.pixels, step, noise)?;
        let target = schedule.target(Parameterization::Velocity, &digits.pixels, step, &eps)?;
        let answer = network.predict(&xt, &vec![step; digits.len()], &digits.classes())?;
        let errors = squared_error(&answer.value, &target)?;
        sum += errors.mean().unwrap_or(f64::NAN);
    }
    Ok(sum / TIMES as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::PIXELS, network::tests::network};

    #[test]
    fn a_few_batches_lower_the_loss() {
        let schedule = Discrete::cosine(1000).unwrap();
        let digits =
            Digits {
                pixels: Array2::from_shape_fn((20, PIXELS), |(i, j)| {
                    if i % 2 == j % 2 { 1.0 } else { -1.0 }
                }),
                labels: (0..20).map(|i| i % 2).collect(),
            };
        let network = network(1);
        let loss = || mean_loss(&network, &schedule, &digits, &mut SeededNoise::new(3)).unwrap();
        let before = loss();
        train(&network, &schedule, &digits, &Recipe::of(30), 1).unwrap();
        assert!(loss() < 0.8 * before, "{} {before}", loss());
    }
}
