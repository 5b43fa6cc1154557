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
        let found = || Self::spellings().filter(|(_, spelling)| has_key(spelling, &wanted));
        let written = name.contains('_');
        found()
            .find(|(_, spelling)| spelling.contains('_') == written)
            .or_else(|| found().next())
            .map(|(choice, _)| choice)
    }
}

/// A name without its capitals, and with one space for what separates its words.
pub(super) fn key(name: &str) -> String {
    words(&name.to_lowercase()).collect::<Vec<_>>().join(" ")
}

/// What separates the words of a name.
pub(super) const SEPARATORS: [char; 3] = [' ', '_', '-'];

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(SEPARATORS).filter(|word| !word.is_empty())
}

/// Whether this is the key of one of the names here.
fn has_key(name: &str, wanted: &str) -> bool {
    let mut rest = wanted.split(' ');
    words(name).all(|own| {
        rest.next()
            .is_some_and(|word| own.eq_ignore_ascii_case(word))
    }) && rest.next().is_none()
}

/// No name is as long as this, and the time of a comparison grows with it.
pub(super) const LONGEST: usize = 64;

/// What of a name is compared with those that there are.
fn compared(name: &str) -> String {
    key(&name.chars().take(LONGEST).collect::<String>())
}

/// The spellings nearest to the beginning of a name, or to its end, as long as each of them is.
pub(super) fn near<N: Named>(name: &str, at_end: bool) -> Vec<(N, &'static str)> {
    const ENOUGH: usize = 8;
    let wanted: Vec<char> = compared(name).chars().collect();
    let mut ranked: Vec<_> = N::spellings()
        .map(|(choice, spelling)| {
            let own = key(spelling);
            let length = own.len().min(wanted.len());
            let part: String = match at_end {
                true => wanted[wanted.len() - length..].iter().collect(),
                false => wanted[..length].iter().collect(),
            };
            (strsim::osa_distance(&part, &own), choice, spelling)
        })
        .collect();
    ranked.sort_by_key(|(distance, ..)| *distance);
    let nearest = ranked.into_iter().take(ENOUGH);
    nearest
        .map(|(_, choice, spelling)| (choice, spelling))
        .collect()
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
    let wanted = compared(name);
    let distance = |spelling: &str| strsim::osa_distance(&wanted, &key(spelling));
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
