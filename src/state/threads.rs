//! Sweeps over slices: large ones on all cores, with the feature that has threads.

use super::{
    Assignment, Real,
    slices::{NoiseBlocks, Slices, run},
};

/// [`run`], on one core or on all.
pub(crate) fn sweep<A: Real, N: NoiseBlocks<A::Wide>>(
    slices: Slices<'_, A>,
    assignments: &[Assignment<'_>],
    watched: bool,
    noise: &mut N,
) -> bool {
    #[cfg(feature = "rayon")]
    {
        let arrays = slices.changing.len() + slices.fixed.len();
        if worth(slices.len(), arrays, N::SILENT)
            && let Some(mut part) = noise.part()
        {
            let parts = rayon::current_num_threads().next_power_of_two() * 2;
            return halves(slices, assignments, watched, &mut part, parts);
        }
    }
    run(slices, assignments, watched, noise)
}

/// Elements, summed over the arrays, from which a sweep without noise gains by a second core, and numbers from
/// which one with noise does: waking a thread costs some tens of microseconds, and the memory that one core
/// leaves unused is little.
#[cfg(feature = "rayon")]
const WORTH: usize = 8 << 20;
#[cfg(feature = "rayon")]
const WORTH_NOISY: usize = 1 << 19;

/// Whether a sweep over `elements` of `arrays` arrays is large enough for more than one thread.
#[cfg(feature = "rayon")]
pub(super) fn worth(elements: usize, arrays: usize, silent: bool) -> bool {
    match silent {
        true => elements.saturating_mul(arrays) >= WORTH,
        false => elements >= WORTH_NOISY,
    }
}

/// The sweep in halves, and halves of those, down to what keeps a core busy for a while; the noise of a
/// place does not depend on who makes it.
#[cfg(feature = "rayon")]
fn halves<A: Real, N: NoiseBlocks<A::Wide> + Send>(
    slices: Slices<'_, A>,
    assignments: &[Assignment<'_>],
    watched: bool,
    noise: &mut N,
    parts: usize,
) -> bool {
    let place = noise.begin(slices.first + slices.len() / 2);
    let at = place.saturating_sub(slices.first);
    let (1.., Some(mut part), true) = (parts / 2, noise.part(), at > 0) else {
        return run(slices, assignments, watched, noise);
    };
    let (left, right) = slices.split_at(at);
    let (a, b) = rayon::join(
        || halves(left, assignments, watched, noise, parts / 2),
        || halves(right, assignments, watched, &mut part, parts / 2),
    );
    a & b
}
