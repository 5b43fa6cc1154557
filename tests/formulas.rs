//! The displayed formulas reach the reader as they were written.

use std::{fs, path::Path};

/// Markdown takes the backslash from `\,` and its like, makes another quote of `'`, emphasis between
/// two `}_{` and a list of lines that begin with a sign: formulas have to do without (`\thinspace`,
/// `\Vert`, `\cr`, `^{\prime}`, `}_ {`, `{}+`).
#[test]
fn no_formula_has_what_markdown_eats() {
    let mut formulas = 0;
    let mut folders = vec!["src".to_owned(), "docs".to_owned()];
    while let Some(folder) = folders.pop() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder);
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                folders.push(name);
                continue;
            }
            let text = fs::read_to_string(entry.path()).unwrap();
            if !(name.ends_with(".rs") || name.ends_with(".md")) {
                continue;
            }
            for formula in text.split("$$").skip(1).step_by(2) {
                let mut after = formula.split('\\').skip(1);
                let eaten = after.any(|rest| rest.starts_with(|c: char| c.is_ascii_punctuation()));
                let made_markup = formula.contains('\'') || formula.contains("}_{");
                let lines = formula
                    .lines()
                    .map(|line| line.trim_start_matches(['/', '!', ' ']));
                let made_list = lines
                    .skip(1)
                    .any(|l| l.starts_with("+ ") || l.starts_with("- "));
                assert!(
                    !(eaten || made_markup || made_list),
                    "{name}: $${formula}$$"
                );
                formulas += 1;
            }
        }
    }
    assert!(formulas > 80, "{formulas}");
}
