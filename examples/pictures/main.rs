//! The pictures of the documentation, drawn from the numbers of the crate.
//!
//! `cargo run --release --example pictures [folder]` writes them to `docs/images`, each as `NAME.svg` and
//! as `NAME.md`, which defines the image `NAME` for the pages of docs.rs without a second file. With
//! `--check` it writes nothing and names the pictures that are no longer what it draws.

mod errors;
mod fields;
mod grids;
mod guidance;
mod levels;
mod mixture;
mod paths;
mod weights;
mod why;

#[path = "../shared/chart.rs"]
#[allow(dead_code)]
mod chart;
#[path = "../why/fewest.rs"]
mod fewest;
#[path = "../why/losses.rs"]
#[allow(dead_code)]
mod losses;
#[path = "../shared/panels.rs"]
mod panels;
#[path = "../shared/plane.rs"]
mod plane;
#[path = "../shared/ruler.rs"]
#[allow(dead_code)]
mod ruler;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use chart::Outcome;

/// Pixels of a panel's side.
const SIDE: usize = 120;

fn main() -> ExitCode {
    let mut folder = default_folder();
    let mut check = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--check" => check = true,
            other => folder = other.into(),
        }
    }
    let done = if check {
        check_all(&folder)
    } else {
        write_all(&folder)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pictures: {error}");
            ExitCode::FAILURE
        }
    }
}

fn default_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images")
}

/// A picture by its name.
type Picture = (&'static str, fn() -> Outcome<String>);

const PICTURES: [Picture; 12] = [
    ("schedules", levels::scales),
    ("log_snr", levels::log_snr),
    ("grids", grids::picture),
    ("mixture", mixture::picture),
    ("paths", paths::picture),
    ("errors", errors::deterministic),
    ("errors_stochastic", errors::stochastic),
    ("guidance", guidance::picture),
    ("weights", weights::picture),
    ("why", why::losses),
    ("why_pixels", why::evaluations),
    ("why_fields", fields::picture),
];

/// Those of digits, which `cargo run --release -p digits -- --why --fit` takes minutes to draw. They are kept
/// as they were drawn, and only their definitions are made here.
const OF_DIGITS: [&str; 6] = [
    "digits",
    "digits_ways",
    "digits_noise",
    "digits_quality",
    "digits_fitted",
    "digits_few",
];

/// The files by their names: each picture, and what defines it for a page that has no other file.
fn files() -> Outcome<Vec<(String, String)>> {
    let mut files = Vec::new();
    for (name, draw) in PICTURES {
        let svg = draw()?;
        files.push((format!("{name}.md"), definition(name, &svg)));
        files.push((format!("{name}.svg"), svg));
    }
    for name in OF_DIGITS {
        let svg = fs::read_to_string(default_folder().join(format!("{name}.svg")))?;
        files.push((format!("{name}.md"), definition(name, &svg)));
    }
    Ok(files)
}

fn definition(name: &str, svg: &str) -> String {
    let mut uri = svg.replace('"', "'");
    for (plain, encoded) in [
        ("%", "%25"),
        ("#", "%23"),
        ("&", "%26"),
        ("<", "%3C"),
        (">", "%3E"),
        (" ", "%20"),
        ("\n", "%20"),
    ] {
        uri = uri.replace(plain, encoded);
    }
    format!("[{name}]: data:image/svg+xml,{uri}\n")
}

fn write_all(folder: &Path) -> Outcome<()> {
    fs::create_dir_all(folder)?;
    for (file, text) in files()? {
        println!("{file:>24} {:>7} bytes", text.len());
        fs::write(folder.join(file), text)?;
    }
    Ok(())
}

fn check_all(folder: &Path) -> Outcome<()> {
    let mut stale = Vec::new();
    for (file, text) in files()? {
        if fs::read_to_string(folder.join(&file)).ok().as_ref() != Some(&text) {
            stale.push(file);
        }
    }
    match stale.as_slice() {
        [] => Ok(()),
        _ => Err(format!(
            "{} in {} not what `cargo run --release --example pictures` draws now",
            stale.join(", "),
            folder.display()
        )
        .into()),
    }
}

#[test]
fn pictures_are_what_their_program_draws() {
    check_all(&default_folder()).unwrap();
}
