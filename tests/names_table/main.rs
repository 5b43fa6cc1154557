//! The table of names in the docs: made here, and checked against what the programs compute.
//!
//! A row of the table is a name here, and its entries are what programs call it. Each is compared with figures
//! of that program, model by model. Where all agree an entry says nothing more; where some do not, it must say
//! how they differ, and where it says so, some must not. `NAMES_TABLE=write cargo test --all-features --test
//! names_table` writes the page anew.

mod grids;
#[path = "../common/reference.rs"]
mod reference;
mod solvers;

use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf};

use gaussian_diffusion::sampler::{GridName, SolverName};

pub(crate) const WEBUI: &str = "WebUI";
pub(crate) const COMFYUI: &str = "ComfyUI";
pub(crate) const CPP: &str = "stable-diffusion.cpp";
pub(crate) const DIFFUSERS: &str = "diffusers";
const PROGRAMS: [&str; 4] = [WEBUI, COMFYUI, CPP, DIFFUSERS];

/// The largest relative difference of two that agree.
const AGREE: f64 = 1e-9;

/// What a program calls something, what it is called here, and how the two differ: nothing where they do not.
pub(crate) struct Entry {
    pub(crate) program: &'static str,
    pub(crate) theirs: &'static str,
    pub(crate) ours: &'static str,
    pub(crate) note: &'static str,
}

pub(crate) const fn same(program: &'static str, theirs: &'static str, ours: &'static str) -> Entry {
    differs(program, theirs, ours, "")
}

pub(crate) const fn differs(
    program: &'static str,
    theirs: &'static str,
    ours: &'static str,
    note: &'static str,
) -> Entry {
    Entry {
        program,
        theirs,
        ours,
        note,
    }
}

/// A comparison with a program's figures: the model, and the largest relative difference.
pub(crate) struct Compared {
    pub(crate) model: String,
    pub(crate) off: f64,
}

/// The cells of a table by row and program, after every entry has been held to the comparisons.
fn cells(
    entries: &[Entry],
    compare: impl Fn(&Entry) -> Vec<Compared>,
) -> BTreeMap<(String, usize), String> {
    let mut cells = BTreeMap::<_, String>::new();
    let mut wrong = Vec::new();
    for entry in entries {
        let name = format!("{} {}", entry.program, entry.theirs);
        let found = compare(entry);
        let far: Vec<_> = found.iter().filter(|one| !(one.off <= AGREE)).collect();
        match (found.len(), far.len(), entry.note.is_empty()) {
            (0, ..) => wrong.push(format!("{name}: no figures")),
            (_, 0, false) => wrong.push(format!(
                "{name}: agrees, and the table says: {}",
                entry.note
            )),
            (_, far_ones, true) if far_ones > 0 => {
                let far: Vec<_> = far
                    .iter()
                    .map(|one| format!("{} {:.1e}", one.model, one.off))
                    .collect();
                wrong.push(format!(
                    "{name}: differs, and the table says nothing: {}",
                    far.join(", ")
                ));
            }
            _ => (),
        }
        let mut models: Vec<_> = far.iter().map(|one| one.model.as_str()).collect();
        models.dedup();
        let everywhere = found.iter().all(|one| models.contains(&one.model.as_str()));
        let mut text = format!("`{}`", entry.theirs);
        if !entry.note.is_empty() {
            text.push_str("; differs");
            if !everywhere {
                write!(text, " on {}", models.join(", ")).unwrap();
            }
            let most = far.iter().map(|one| one.off).fold(0.0, f64::max);
            if most.is_finite() {
                write!(text, " by {most:.0e}").unwrap();
            }
            write!(text, ": {}", entry.note).unwrap();
        }
        let column = PROGRAMS
            .iter()
            .position(|one| *one == entry.program)
            .unwrap();
        let cell = cells.entry((entry.ours.to_owned(), column)).or_default();
        if !cell.is_empty() {
            cell.push_str("<br>");
        }
        cell.push_str(&text);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    cells
}

fn table(rows: impl Iterator<Item = String>, cells: &BTreeMap<(String, usize), String>) -> String {
    let mut text = format!(
        "| here | {} |\n|---|---|---|---|---|\n",
        PROGRAMS.join(" | ")
    );
    let mut seen = 0;
    for row in rows {
        let cell = |column| {
            let cell: Option<&String> = cells.get(&(row.clone(), column));
            cell.map_or("", |text| text.as_str())
        };
        let row_cells: Vec<_> = (0..PROGRAMS.len()).map(cell).collect();
        seen += row_cells.iter().filter(|cell| !cell.is_empty()).count();
        writeln!(text, "| {row} | {} |", row_cells.join(" | ")).unwrap();
    }
    assert_eq!(seen, cells.len(), "an entry is for a name that is no row");
    text
}

/// The page with the tables between their markers.
fn filled(page: &str, tables: &[(&str, String)]) -> String {
    let mut page = page.to_owned();
    for (name, table) in tables {
        let (open, close) = (
            format!("<!-- {name} -->\n"),
            format!("<!-- end of {name} -->"),
        );
        let from = page.find(&open).expect("a marker of the page") + open.len();
        let to = page.find(&close).expect("a marker of the page");
        page.replace_range(from..to, &format!("\n{table}\n"));
    }
    page
}

#[test]
fn the_page_says_what_the_programs_compute() {
    let grids = cells(grids::ENTRIES, grids::compare);
    let grids = table(GridName::all().map(|name| name.to_string()), &grids);
    let solvers = cells(solvers::ENTRIES, solvers::compare);
    let solvers = table(SolverName::all().map(|name| name.to_string()), &solvers);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/names.md");
    let page = fs::read_to_string(&path).unwrap();
    let made = filled(&page, &[("grids", grids), ("solvers", solvers)]);
    if std::env::var_os("NAMES_TABLE").is_some_and(|value| value == "write") {
        fs::write(&path, &made).unwrap();
        return;
    }
    assert!(
        page == made,
        "docs/names.md is not what the programs compute; NAMES_TABLE=write writes it anew"
    );
}

/// Figures that no entry is for, and names here that no program has, would go unsaid.
#[test]
fn every_figure_has_an_entry() {
    for (entries, mut figures) in [
        (grids::ENTRIES, grids::figures()),
        (solvers::ENTRIES, solvers::figures()),
    ] {
        figures.retain(|(program, theirs)| {
            !entries
                .iter()
                .any(|one| one.program == program && one.theirs == theirs)
        });
        assert_eq!(figures, []);
    }
    let has = |entries: &[Entry], name: &str| entries.iter().any(|one| one.ours == name);
    for name in GridName::all() {
        assert!(has(grids::ENTRIES, name.name()), "{name}");
    }
    for name in SolverName::all() {
        assert!(has(solvers::ENTRIES, name.name()), "{name}");
    }
}
