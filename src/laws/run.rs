//! The laws of what remembers.

use std::fmt::Debug;

use ndarray::{Array, Dimension};

use super::{Violation, require};
use crate::{
    Denoiser, Error, Plan, Run, SeededNoise,
    noise::NoiseSource,
    state::{Kept, Real, State},
};

/// The laws of a [`Denoiser`] of arrays in the runs of a plan, to the bit: the same run gives the same again, after a
/// run that has ended and after one that was left at any evaluation; and a run that was stored at any
/// evaluation, with what the denoiser [remembers](Denoiser::memory), goes on to the same result, whatever
/// the denoiser was asked in between.
///
/// # Errors
///
/// The law that is broken.
///
/// ```
/// use gaussian_diffusion::{Point, Prediction, Sampler, SeededNoise, Step};
/// use gaussian_diffusion::{denoiser::SelfConditioned, laws, schedule::Discrete};
/// use ndarray::Array2;
/// let plan = Sampler::from_name("DPM++ 2M")?.plan(&Discrete::stable_diffusion()?, 5)?;
/// let start: Array2<f32> = plan.prior((2, 3), &mut SeededNoise::new(1))?;
/// let mut net = SelfConditioned::new(|x: &Array2<f32>, last: Option<&Array2<f32>>, _: Point<Step>| {
///     Ok(Prediction::noise(0.5 * x + last.map_or(0.0, |last| last[[0, 0]])))
/// });
/// laws::repeated_run(&plan, &start, &mut net)?;
/// # Ok::<(), laws::Violation>(())
/// ```
pub fn repeated_run<A, D, T, N>(
    plan: &Plan<T>,
    start: &Array<A, D>,
    denoiser: &mut N,
) -> Result<(), Violation>
where
    A: Real,
    D: Dimension,
    T: Copy + Debug,
    N: Denoiser<Array<A, D>, T> + ?Sized,
{
    let bits = |x: &Array<A, D>| x.iter().map(|x| x.get().to_bits()).collect::<Vec<_>>();
    let whole = |denoiser: &mut N| plan.sample(start.clone(), denoiser, &mut SeededNoise::new(0));
    let expected = bits(&whole(denoiser)?);
    let same = |law, cut: usize, found: &Array<A, D>| {
        let found = bits(found);
        let first = expected.iter().zip(&found).position(|(a, b)| a != b);
        require(law, expected == found, || {
            let numbers =
                |bits: &[u64]| first.and_then(|i| bits.get(i)).map(|b| f64::from_bits(*b));
            let (found, expected) = (numbers(&found), numbers(&expected));
            format!("{found:?} instead of {expected:?}, element {first:?}, after {cut} evaluations")
        })
    };
    for cut in 0..=plan.evaluations() {
        let mut noise = SeededNoise::new(0);
        let mut run = plan.start_from(start.clone(), &mut noise)?;
        denoiser.begin();
        ask(&mut run, cut, denoiser, &mut noise)?;
        let (saved, memory) = (run.save()?, denoiser.memory());
        same(
            "the same run gives the same bits again",
            cut,
            &whole(denoiser)?,
        )?;
        denoiser.set_memory(memory)?;
        let found = plan.resume(saved)?.sample(denoiser, &mut noise)?;
        same("a stored run goes on with the same bits", cut, &found)?;
    }
    Ok(())
}

/// Asks so many questions.
fn ask<V, T, N>(
    run: &mut Run<'_, V, T>,
    count: usize,
    denoiser: &mut N,
    noise: &mut SeededNoise,
) -> Result<(), Error>
where
    V: State,
    T: Copy + Debug,
    N: Denoiser<V, T> + ?Sized,
    SeededNoise: NoiseSource<Kept<V>>,
{
    for _ in 0..count {
        let Some((x, at)) = run.pending() else { break };
        let answer = denoiser.predict(x, at)?;
        run.advance(answer, noise)?;
    }
    Ok(())
}
