//! Classes by name, and hints for names that none has.

use super::{Class, continuous, dpm_solver, flow, multistep, sigma, steps};
use crate::Error;

/// Every class.
pub(in crate::config) const ALL: &[&Class] = &[
    &steps::DDPM,
    &steps::DDPM_PARALLEL,
    &steps::UN_CLIP,
    &steps::DDIM,
    &steps::DDIM_PARALLEL,
    &steps::DDIM_INVERSE,
    &steps::COG_VIDEO_X_DDIM,
    &steps::COG_VIDEO_X_DPM,
    &steps::PNDM,
    &steps::RE_PAINT,
    &steps::LCM,
    &steps::TCD,
    &sigma::EULER,
    &sigma::EULER_ANCESTRAL,
    &sigma::HEUN,
    &sigma::LMS,
    &sigma::KDPM2,
    &sigma::KDPM2_ANCESTRAL,
    &sigma::DPM_SOLVER_SDE,
    &dpm_solver::DPM_SOLVER,
    &dpm_solver::DPM_SOLVER_INVERSE,
    &dpm_solver::DPM_SOLVER_SINGLESTEP,
    &multistep::UNI_PC,
    &multistep::DEIS,
    &multistep::SA_SOLVER,
    &flow::FLOW_MATCH_EULER,
    &flow::FLOW_MATCH_HEUN,
    &flow::FLOW_MATCH_LCM,
    &flow::FLOW_MAP_EULER,
    &flow::LTX_EULER_ANCESTRAL,
    &flow::MINI_MAX_H3,
    &continuous::EDM_EULER,
    &continuous::EDM_DPM_SOLVER,
    &continuous::COSINE_DPM_SOLVER,
    &continuous::CM_STOCHASTIC_ITERATIVE,
    &continuous::SCM,
    &continuous::IPNDM,
    &continuous::SCORE_SDE_VE,
    &continuous::DDPM_WUERSTCHEN,
];

/// Classes that are not here, and why.
pub(super) const REFUSED: [(&str, &str); 9] = [
    ("HeliosScheduler", RESOLUTION),
    ("HeliosDMDScheduler", RESOLUTION),
    ("VQDiffusionScheduler", NOT_GAUSSIAN),
    ("AmusedScheduler", NOT_GAUSSIAN),
    ("BlockRefinementScheduler", NOT_GAUSSIAN),
    ("DiscreteDDIMScheduler", NOT_GAUSSIAN),
    ("EntropyBoundScheduler", NOT_GAUSSIAN),
    (
        "ConsistencyDecoderScheduler",
        "a class with noise levels: this one belongs to a decoder",
    ),
    (
        "KarrasVeScheduler",
        "EDMEulerScheduler, which has its churn; diffusers has deprecated this one",
    ),
];
const RESOLUTION: &str = "a class whose runs keep their resolution";
const NOT_GAUSSIAN: &str = "a class of Gaussian noise";

impl Class {
    /// The class of this name.
    pub fn of(name: &str) -> Result<&'static Self, Error> {
        if let Some(class) = ALL.iter().copied().find(|class| class.facts.name == name) {
            return Ok(class);
        }
        let allowed = match REFUSED.iter().find(|(refused, _)| *refused == name) {
            Some((_, why)) => (*why).to_owned(),
            None => hint(name),
        };
        Err(Error::Configuration {
            class: name.to_owned(),
            key: "_class_name",
            value: name.to_owned(),
            allowed: allowed.into(),
        })
    }
}

/// What somebody who wrote this name may have meant.
fn hint(name: &str) -> String {
    if let Some(plain) = name.strip_prefix("Flax")
        && ALL.iter().any(|class| class.facts.name == plain)
    {
        return format!("{plain}, of which this is the Flax form, with the same keys");
    }
    if name.ends_with("Pipeline") {
        return "a scheduler: its file is scheduler/scheduler_config.json beside this model_index.json"
            .to_owned();
    }
    let part = name.trim_end_matches("Scheduler").to_lowercase();
    let mut near: Vec<_> = ALL
        .iter()
        .map(|class| {
            // A name that is part of another is nearer than any other of its length.
            let is_part = !part.is_empty() && class.facts.name.to_lowercase().contains(&part);
            (!is_part, distance(name, class.facts.name), class.facts.name)
        })
        .collect();
    near.sort_unstable();
    let near: Vec<_> = near.into_iter().take(3).map(|(.., name)| name).collect();
    format!(
        "the classes of config::classes, of which {} are nearest",
        near.join(", ")
    )
}

/// How many letters have to be put in, left out or changed, whatever their case and whether or not the
/// name ends as all do.
fn distance(a: &str, class: &str) -> usize {
    let (a, class) = (a.to_lowercase(), class.to_lowercase());
    let short = class.strip_suffix("scheduler").unwrap_or(&class);
    edits(&a, &class).min(edits(&a, short))
}

fn edits(a: &str, b: &str) -> usize {
    // A long text of a broken file is no name.
    let a: String = a.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, y) in b.chars().enumerate() {
            let (left, above) = (row.get(j).copied(), row.get(j + 1).copied());
            let best = (diagonal + usize::from(x != y))
                .min(left.unwrap_or(0) + 1)
                .min(above.unwrap_or(0) + 1);
            diagonal = above.unwrap_or(0);
            if let Some(place) = row.get_mut(j + 1) {
                *place = best;
            }
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let names: std::collections::BTreeSet<_> =
            ALL.iter().map(|class| class.facts.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(names.iter().all(|name| name.ends_with("Scheduler")));
        assert!(REFUSED.iter().all(|(name, _)| !names.contains(name)));
    }

    /// Letters put in, left out and changed.
    #[test]
    fn distances() {
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("flaw", "lawn"), 2);
        assert_eq!(distance("ddimscheduler", "DDIMScheduler"), 0);
        assert_eq!(distance("DDM", "DDIMScheduler"), 1);
        // All short words, against the definition.
        fn plain(a: &[u8], b: &[u8]) -> usize {
            match (a, b) {
                ([], rest) | (rest, []) => rest.len(),
                ([x, a @ ..], [y, b @ ..]) if x == y => plain(a, b),
                ([_, rest_a @ ..], [_, rest_b @ ..]) => {
                    1 + plain(rest_a, b)
                        .min(plain(a, rest_b))
                        .min(plain(rest_a, rest_b))
                }
            }
        }
        let mut words = vec![String::new()];
        for length in 0..4 {
            let longest: Vec<_> = words
                .iter()
                .filter(|word| word.len() == length)
                .cloned()
                .collect();
            words.extend(
                longest
                    .iter()
                    .flat_map(|word| [format!("{word}a"), format!("{word}b")]),
            );
        }
        for a in &words {
            for b in &words {
                assert_eq!(
                    edits(a, b),
                    plain(a.as_bytes(), b.as_bytes()),
                    "{a:?}, {b:?}"
                );
            }
        }
        // Of what is longer than any name, the beginning counts.
        assert_eq!(edits(&"a".repeat(100), ""), 64);
    }
}
