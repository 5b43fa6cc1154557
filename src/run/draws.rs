//! The noise of a run: how strong it is, where it is drawn, and the count of draws.

use super::checks::Checks;
use crate::{
    Error, UpdateNoise,
    noise::{NoiseSource, Scale},
    plan::PlannedStage,
    state::{Assignment, State},
};

/// Counts a draw. A stored run may have any number of them.
pub(super) fn count(draws: &mut u64, drawn: bool) {
    *draws = draws.wrapping_add(u64::from(drawn));
}

/// The noise before the evaluation of a stage.
pub(super) fn renoise<V, T, N>(
    state: &mut V,
    planned: Option<&PlannedStage<T>>,
    draws: &mut u64,
    noise: &mut N,
) -> Result<(), Error>
where
    V: State,
    N: NoiseSource<V> + ?Sized,
{
    let Some(planned) = planned else {
        return Ok(());
    };
    if let Some(before) = &planned.stage.renoise {
        state.combine(before.state, &[])?;
        // This noise is no part of the way down, whose increments it must not share.
        if let UpdateNoise::Std(std) = before.noise
            && before.noise.draws()
        {
            noise.add(state, Scale::Same(std), None)?;
            count(draws, true);
        }
    }
    Ok(())
}

/// The standard deviation of every element, where the network gives it, in the shape of the state.
pub(super) fn deviation<V: State>(
    drawn: UpdateNoise,
    variance: Option<V>,
    state: &V,
    step: usize,
    checks: Checks,
) -> Result<Option<V>, Error> {
    if matches!(drawn, UpdateNoise::Std(_)) {
        return Ok(None);
    }
    let (offset, scale) = drawn.log_variance_map();
    let needed_by = "the learned variance of the sampler";
    let mut std = variance.ok_or(Error::Missing {
        what: "the variance of a prediction",
        needed_by,
    })?;
    state
        .fits(&std)
        .map_err(|error| error.naming("the variance of a prediction"))?;
    std.exp_affine(0.5 * offset, 0.5 * scale)?;
    if checks.each() && !std.is_finite() {
        return Err(Error::NotFinite {
            what: "the learned deviation",
            step,
        });
    }
    Ok(Some(std))
}

/// How strong the noise of an update is, if it has any.
pub(super) fn scale<V>(drawn: UpdateNoise, std: Option<&V>) -> Result<Option<Scale<'_, V>>, Error> {
    match (drawn, std) {
        (_, Some(std)) => Ok(Some(Scale::PerElement(std))),
        (UpdateNoise::Std(0.0), None) => Ok(None),
        (UpdateNoise::Std(std), None) => Ok(Some(Scale::Same(std))),
        (_, None) => Err(Error::Missing {
            what: "the variance of a prediction",
            needed_by: "noise outside the update of the state",
        }),
    }
}

pub(super) fn sweep<V, T, N>(
    states: &mut [&mut V],
    fixed: &[&V],
    assignments: &[Assignment<'_>],
    scale: Option<Scale<'_, V>>,
    planned: &PlannedStage<T>,
    noise: &mut N,
) -> Result<bool, Error>
where
    V: State,
    N: NoiseSource<V> + ?Sized,
{
    let Some(scale) = scale else {
        return V::sweep(states, fixed, assignments);
    };
    // Noise that leads nowhere, such as a corrector's, is no part of the way down.
    let over = (planned.over.from != planned.over.to).then_some(planned.over);
    noise.sweep(states, fixed, assignments, scale, over)
}
