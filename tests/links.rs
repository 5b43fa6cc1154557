//! Links between the pages of `docs`: each is a file for a reader of the repository, and `docs/links.md`
//! says which module it is where the pages are documentation.

use std::{collections::BTreeSet, fs, path::Path};

fn docs() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/docs"))
}

fn read(page: &str) -> String {
    fs::read_to_string(docs().join(page)).unwrap()
}

/// Every page, as a path below `docs`.
fn pages() -> Vec<String> {
    let mut pages = Vec::new();
    for folder in ["", "guide/"] {
        for entry in fs::read_dir(docs().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") && name != "links.md" {
                pages.push(format!("{folder}{name}"));
            }
        }
    }
    assert!(pages.len() > 25, "{pages:?}");
    pages
}

/// Text outside of blocks of code.
fn prose(text: &str) -> String {
    let parts = text.split("```").step_by(2);
    parts.collect()
}

/// What stands between these, anywhere.
fn between<'a>(text: &'a str, open: &str, close: char) -> Vec<&'a str> {
    let after = text.split(open).skip(1);
    after
        .filter_map(|rest| Some(rest.split_once(close)?.0))
        .collect()
}

/// Lines `[label]: target`.
fn definitions(text: &str) -> Vec<(&str, &str)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix('['));
    lines.filter_map(|line| line.split_once("]: ")).collect()
}

#[test]
fn a_link_to_a_page_is_a_file_and_a_module() {
    let links = read("links.md");
    let modules = definitions(&links);
    let mut used = BTreeSet::new();
    for page in pages() {
        let text = prose(&read(&page));
        let own = definitions(&text);
        let folder = Path::new(&page).parent().unwrap();
        for label in between(&text, "][", ']') {
            let target = own.iter().find(|(name, _)| *name == label);
            let (_, target) = target.unwrap_or_else(|| panic!("{page}: no [{label}]: .."));
            let file = docs().join(folder).join(target.split('#').next().unwrap());
            assert!(file.exists(), "{page}: no file {target}");
            if label.contains(".md") {
                // The label is the path from `docs`.
                let named = docs().join(label.split('#').next().unwrap());
                let same = file.canonicalize().unwrap() == named.canonicalize().unwrap();
                assert!(same, "{page}: {label} is {target}");
                let module = modules.iter().any(|(name, _)| *name == label);
                assert!(module, "links.md has no {label}, which {page} refers to");
                used.insert(label.to_owned());
            }
        }
        for target in between(&text, "](", ')') {
            let fine = ["crate::", "https://", "#"];
            // The front page is documentation of the crate's root, and names its items.
            let fine = page == "tour.md" || fine.iter().any(|start| target.starts_with(start));
            assert!(fine, "{page}: write a link to {target} as [text][page.md]");
        }
    }
    for (label, _) in modules {
        assert!(used.contains(label), "no page refers to {label}");
    }
}

#[test]
fn the_readme_links_what_is_there_also_from_a_registry() {
    let root = docs().parent().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let text = prose(&readme);
    let named = definitions(&text).into_iter().map(|(_, target)| target);
    let targets: Vec<_> = named.chain(between(&text, "](", ')')).collect();
    assert!(targets.len() > 15, "{targets:?}");
    let base = "https://docs.rs/gaussian-diffusion/latest/gaussian_diffusion/";
    let sources = "https://docs.rs/crate/gaussian-diffusion/latest/source/";
    for target in targets {
        let found = if let Some(page) = target.strip_prefix(&format!("{base}docs/")) {
            let page = page.strip_suffix("/index.html").unwrap();
            ["", "/index"]
                .iter()
                .any(|end| docs().join(format!("{page}{end}.md")).exists())
        } else if let Some(file) = target.strip_prefix(sources) {
            let package = fs::read_to_string(root.join("Cargo.toml")).unwrap();
            root.join(file).exists() && package.contains(&format!("\"/{file}\""))
        } else {
            // Pictures have no page on docs.rs.
            target.starts_with(base)
                || target.starts_with("docs/images/") && root.join(target).exists()
        };
        assert!(found, "README.md: no {target}");
    }
}

#[test]
fn the_examples_of_the_readme_are_those_of_pages_which_are_compiled() {
    let readme = fs::read_to_string(docs().join("../README.md")).unwrap();
    let examples = between(&readme, "```rust\n", '`');
    let lengths: Vec<_> = examples.iter().map(|text| text.lines().count()).collect();
    assert_eq!(lengths, [5, 10]);
    for (example, page) in examples.iter().zip(["tour.md", "networks.md"]) {
        // Lines that begin so are not shown.
        let page = read(page);
        let shown: Vec<_> = page
            .lines()
            .filter(|line| !line.starts_with("# "))
            .collect();
        assert!(shown.join("\n").contains(example.trim_end()), "{example}");
    }
}

#[test]
fn every_source_is_listed_once() {
    let papers = read("papers.md");
    let mut seen = BTreeSet::new();
    let rows = papers
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| source"));
    for row in rows {
        let title = row
            .strip_prefix("| [")
            .unwrap_or_else(|| panic!("no link: {row}"));
        let (title, rest) = title.split_once("](").unwrap();
        let target = rest
            .split_once(").")
            .or_else(|| rest.split_once("),"))
            .unwrap()
            .0;
        assert!(target.starts_with("https://"), "{row}");
        assert!(seen.insert(title.to_owned()), "{title} is listed twice");
        assert!(seen.insert(target.to_owned()), "{target} is listed twice");
    }
    assert!(seen.len() > 150, "{}", seen.len());
}

/// Every file of the sources.
fn sources(folder: &Path, all: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, all),
            false => all.push(fs::read_to_string(path).unwrap()),
        }
    }
}

#[test]
fn every_item_links_to_an_entry_of_the_papers() {
    let papers = read("papers.md");
    let entries: BTreeSet<_> = between(&papers, "<a id=\"", '"').into_iter().collect();
    let mut all = Vec::new();
    sources(&docs().join("../src"), &mut all);
    let mut links = 0;
    for text in &all {
        for entry in between(text, "](crate::docs::papers", ')') {
            let known = entry
                .strip_prefix('#')
                .is_some_and(|id| entries.contains(id));
            assert!(known, "papers.md has no {entry:?}");
            links += 1;
        }
    }
    assert!(links > 140, "{links}");
}
