//! Names, compared as people write them.

use crate::Error;

/// How many names an error offers.
const OFFERED: usize = 3;

/// A choice of which each has names: the first one is its own, the others are its aliases.
pub(super) trait Named: Copy + PartialEq + 'static {
    const WHAT: &'static str;
    const NAMES: &'static [(Self, &'static [&'static str])];

    fn names(self) -> &'static [&'static str] {
        let found = Self::NAMES.iter().find(|(choice, _)| *choice == self);
        found.map_or(&[], |(_, names)| names)
    }

    fn first_name(self) -> &'static str {
        self.names().first().copied().unwrap_or_default()
    }

    fn other_names(self) -> &'static [&'static str] {
        self.names().get(1..).unwrap_or_default()
    }

    /// Every name of every choice.
    fn spellings() -> impl Iterator<Item = (Self, &'static str)> {
        Self::NAMES
            .iter()
            .flat_map(|(choice, names)| names.iter().map(|name| (*choice, *name)))
    }

    /// The choice that has this name. Of two names that differ in their underscores alone, the one with an
    /// underscore is for what is written with one.
    fn named(name: &str) -> Option<Self> {
        let wanted = key(name);
        let mut found: Vec<_> = Self::spellings()
            .filter(|(_, spelling)| key(spelling) == wanted)
            .collect();
        found.sort_by_key(|(_, spelling)| spelling.contains('_') != name.contains('_'));
        found.first().map(|(choice, _)| *choice)
    }
}

/// A name without its capitals, and with one space for what separates its words.
pub(super) fn key(name: &str) -> String {
    let lower = name.to_lowercase();
    let words = lower.split([' ', '_', '-']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

pub(super) fn parse<N: Named>(name: &str) -> Result<N, Error> {
    N::named(name).ok_or_else(|| {
        unknown(
            N::WHAT,
            name,
            N::spellings().map(|(n, s)| (n, s.to_owned())),
        )
    })
}

/// The error that offers the nearest of these names, each choice once.
#[cold]
pub(super) fn unknown<C: PartialEq>(
    what: &'static str,
    name: &str,
    candidates: impl Iterator<Item = (C, String)>,
) -> Error {
    // No name is as long as this, and the time of a comparison grows with it.
    let wanted = key(&name.chars().take(64).collect::<String>());
    let distance = |spelling: &str| strsim::damerau_levenshtein(&wanted, &key(spelling));
    let mut ranked: Vec<_> = candidates
        .map(|(choice, spelling)| (distance(&spelling), choice, spelling))
        .collect();
    ranked.sort_by_key(|(distance, ..)| *distance);
    let mut offered: Vec<(C, String)> = Vec::new();
    for (_, choice, spelling) in ranked {
        if offered.len() == OFFERED {
            break;
        }
        if offered.iter().all(|(other, _)| *other != choice) {
            offered.push((choice, spelling));
        }
    }
    Error::UnknownName {
        what,
        name: name.to_owned(),
        nearest: offered.into_iter().map(|(_, spelling)| spelling).collect(),
    }
}
