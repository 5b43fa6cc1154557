//! The layers of docs/design.md hold: no file uses what stands below its own row there, and no two files use
//! each other, directly or round a corner. What a file passes on (`pub use`) is no use of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// A path as the code has it, or the module that it leads to.
type Names = Vec<String>;

#[derive(Default)]
struct File {
    /// What its code names, from the root of the crate on.
    uses: Vec<Names>,
    /// What it passes on: the name here, and the path.
    passed_on: BTreeMap<String, Names>,
}

#[test]
fn no_file_uses_what_stands_below_it() {
    let rows = rows();
    let row = |file: &Names| {
        let found = rows.iter().position(|row| row.contains(&file[0]));
        found.unwrap_or_else(|| panic!("docs/design.md has no row for {}", file[0]))
    };
    for (file, uses) in edges() {
        for used in uses {
            let (file, used) = (&file, &used);
            assert!(row(used) <= row(file), "{file:?} uses {used:?}, below it");
        }
    }
}

#[test]
fn no_two_files_use_each_other() {
    let mut left = edges();
    // Takes away what uses nothing that is left; a circle stays.
    loop {
        let names: BTreeSet<_> = left.keys().cloned().collect();
        let before = left.len();
        left.retain(|_, uses| uses.iter().any(|used| names.contains(used)));
        if left.len() == before {
            break;
        }
    }
    // Nor what only stands above a circle.
    loop {
        let used: BTreeSet<_> = left.values().flatten().cloned().collect();
        let before = left.len();
        left.retain(|file, _| used.contains(file));
        if left.len() == before {
            break;
        }
    }
    assert!(left.is_empty(), "these go round: {left:#?}");
}

/// The modules of each row of the picture.
fn rows() -> Vec<Vec<String>> {
    let page = fs::read_to_string("docs/design.md").unwrap();
    let picture = page.split("```").nth(1).unwrap();
    let names = |line: &str| {
        let columns = line.get(13..).unwrap_or_default();
        let names = columns.split("   ").next().unwrap_or_default();
        let words = names.split_whitespace();
        words
            .map(|name| name.trim_end_matches('/').to_owned())
            .collect()
    };
    let is_row = |line: &&str| line.starts_with(' ') && !line.trim_start().starts_with('-');
    picture.lines().filter(is_row).map(names).collect()
}

/// Which file uses which, all but the root by their names as modules.
fn edges() -> BTreeMap<Names, BTreeSet<Names>> {
    let mut texts = BTreeMap::new();
    read(Path::new("src"), &[], &mut texts);
    let known: BTreeSet<Names> = texts.keys().cloned().collect();
    let files: BTreeMap<_, _> = texts
        .iter()
        .map(|(name, text)| (name.clone(), File::of(name, &tokens(text), &known)))
        .collect();
    let mut edges = BTreeMap::new();
    for (name, file) in files.iter().filter(|(name, _)| !name.is_empty()) {
        let used = file.uses.iter().map(|path| home(path, &files));
        let others = used.filter(|used| used != name && !used.is_empty());
        edges.insert(name.clone(), others.collect());
    }
    assert!(edges.len() > 100, "{} files", edges.len());
    edges
}

/// The file in which a path ends, through whatever passes it on.
fn home(path: &[String], files: &BTreeMap<Names, File>) -> Names {
    let mut here = Names::new();
    for (i, name) in path.iter().enumerate() {
        here.push(name.clone());
        if files.contains_key(&here) {
            continue;
        }
        here.pop();
        return match files[&here].passed_on.get(name) {
            Some(to) => home(&[to, &path[i + 1..]].concat(), files),
            None => here,
        };
    }
    here
}

fn read(folder: &Path, name: &[String], texts: &mut BTreeMap<Names, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let child = [name, &[stem.to_owned()]].concat();
        match stem {
            _ if path.is_dir() => read(&path, &child, texts),
            "mod" | "lib" => drop(texts.insert(name.to_vec(), fs::read_to_string(&path).unwrap())),
            _ => drop(texts.insert(child, fs::read_to_string(&path).unwrap())),
        }
    }
}

impl File {
    fn of(name: &Names, tokens: &[String], known: &BTreeSet<Names>) -> Self {
        let mut file = Self::default();
        let mut at = 0;
        while at < tokens.len() {
            let is_path = at + 1 < tokens.len() && tokens[at + 1] == "::";
            if tokens[at] == "use" {
                let end = at + tokens[at..].iter().position(|t| t == ";").unwrap();
                let passes_on = at > 0 && ["pub", ")"].contains(&tokens[at - 1].as_str());
                for (path, alias) in tree(&tokens[at + 1..end]) {
                    match absolute(name, &path, known) {
                        Some(path) if passes_on => drop(file.passed_on.insert(alias, path)),
                        Some(path) => file.uses.push(path),
                        None => {}
                    }
                }
                at = end;
            // `pub(in crate::config)` says who may use something.
            } else if is_path && !(at > 1 && tokens[at - 2] == "(" && tokens[at - 1] == "in") {
                let mut path = vec![tokens[at].clone()];
                while at + 2 < tokens.len() && tokens[at + 1] == "::" && is_name(&tokens[at + 2]) {
                    path.push(tokens[at + 2].clone());
                    at += 2;
                }
                file.uses.extend(absolute(name, &path, known));
            }
            at += 1;
        }
        file
    }
}

/// The paths of a use, each with its name here.
fn tree(tokens: &[String]) -> Vec<(Names, String)> {
    let Some(open) = tokens.iter().position(|t| t == "{") else {
        let end = tokens
            .iter()
            .position(|t| t == "as")
            .unwrap_or(tokens.len());
        let mut path: Names = tokens[..end]
            .iter()
            .filter(|t| is_name(t))
            .cloned()
            .collect();
        path.retain(|name| name != "self" || path_begins_with_self(tokens));
        let alias = tokens.last().filter(|t| is_name(t) && *t != "self");
        let alias = alias.or(path.last()).cloned().unwrap_or_default();
        return vec![(path, alias)];
    };
    let (mut depth, mut start, mut all) = (0, open + 1, Vec::new());
    for (i, token) in tokens.iter().enumerate().skip(open) {
        depth += i32::from(token == "{") - i32::from(token == "}");
        let ends = depth == 0 || depth == 1 && token == ",";
        if ends && i > start {
            all.extend(tree(&[&tokens[..open], &tokens[start..i]].concat()));
        }
        if ends {
            start = i + 1;
        }
    }
    all
}

fn path_begins_with_self(tokens: &[String]) -> bool {
    tokens.first().is_some_and(|first| first == "self")
}

/// A path from the root of the crate on, unless it leads out of the crate.
fn absolute(file: &Names, path: &[String], known: &BTreeSet<Names>) -> Option<Names> {
    let mut base = file.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => return Some(path[1..].to_vec()),
        "self" => rest = &path[1..],
        "super" => {
            while rest.first().is_some_and(|name| name == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        child => {
            let module = [base.as_slice(), &[child.to_owned()]].concat();
            known.get(&module)?;
        }
    }
    Some([base.as_slice(), rest].concat())
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The words and signs of a file up to its tests, without comments and literals.
fn tokens(text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = |length: Option<usize>| length.unwrap_or(rest.len());
        let raw = rest.starts_with("r\"") || rest.starts_with("r#");
        let length = if rest.starts_with("//") {
            end(rest.find('\n'))
        } else if raw {
            let marks = rest[1..].chars().take_while(|c| *c == '#').count();
            let close = format!("\"{}", "#".repeat(marks));
            let from = marks + 2;
            end(rest
                .get(from..)
                .and_then(|r| r.find(&close))
                .map(|at| from + at + close.len()))
        } else if first == '"' {
            let mut is_escaped = false;
            let closes = |(_, c): &(usize, char)| {
                let closes = *c == '"' && !is_escaped;
                is_escaped = *c == '\\' && !is_escaped;
                closes
            };
            end(rest
                .char_indices()
                .skip(1)
                .find(closes)
                .map(|(at, _)| at + 1))
        } else if rest.starts_with("'\\") || first == '\'' && rest.chars().nth(2) == Some('\'') {
            let inside = 2 + usize::from(rest.starts_with("'\\"));
            end(rest
                .char_indices()
                .skip(inside)
                .find(|(_, c)| *c == '\'')
                .map(|(at, _)| at + 1))
        } else if first.is_alphanumeric() || first == '_' {
            let length = end(rest.find(|c: char| !(c.is_alphanumeric() || c == '_')));
            all.push(rest[..length].to_owned());
            length
        } else if rest.starts_with("::") {
            all.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                all.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    all
}
