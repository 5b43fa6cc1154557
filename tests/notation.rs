//! One letter for one thing, and no old names: the sources and the docs are searched for what the
//! notation of the front page rules out.

use std::{fs, path::Path};

/// Every source file and every page, with its text.
fn texts() -> Vec<(String, String)> {
    fn collect(folder: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path
                .extension()
                .is_some_and(|kind| kind == "rs" || kind == "md")
            {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.display().to_string(), text));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    collect(&root.join("src"), &mut found);
    collect(&root.join("docs"), &mut found);
    found.push((
        "README.md".into(),
        fs::read_to_string(root.join("README.md")).unwrap(),
    ));
    assert!(found.len() > 150, "only {} files were found", found.len());
    found
}

/// The lines of comments and pages that this rule finds, with their places.
fn lines(rule: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut hits = Vec::new();
    for (file, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            let is_prose = file.ends_with(".md") || line.trim_start().starts_with("//");
            if is_prose && rule(&file, line) {
                hits.push(format!("{file}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    hits
}

/// Whether `word` stands in the line with no letter, digit or underscore beside it.
fn has_word(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[test]
fn a_step_goes_from_t_to_s() {
    // What a step makes stands on the left.
    let made = |line: &str, x: &str| {
        let formula = line.trim_start_matches(['/', '!', ' ', '`', '$']);
        ["=", " =", "&="]
            .iter()
            .any(|is| formula.starts_with(&format!("{x}{is}")))
    };
    // On the pages of solvers and plans; the forward process does go from s to t.
    let wrong = lines(|file, line| {
        let reverse = file.contains("/solver/") || file.contains("/plan/");
        let from_s = ["x_s", "y_s"].iter().any(|x| has_word(line, x));
        reverse && from_s && (made(line, "x_t") || made(line, "y_t"))
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn eta_is_that_of_ddim() {
    // Solvers of the reverse equation have tau; the pages that tell of another program's eta say so.
    let reverse = [
        "dpm_solver.rs",
        "singlestep.rs",
        "node_blocks.rs",
        "sa_solver.rs",
        "euler_maruyama.rs",
        "exponential.rs",
        "er_sde.rs",
    ];
    let wrong = lines(|file, line| {
        reverse.iter().any(|name| file.ends_with(name))
            && (has_word(line, "eta") || line.contains("\\eta"))
            && !line.contains("`tau^2`")
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_old_name_is_left() {
    let old = [
        "Bridge",
        "Generalized",
        "Said",
        "Stretch",
        "Spread",
        "Reached",
        "PlusPlus",
        "network is told",
        "NoiseSchedule::told",
        "Grid::telling",
        "Noise::seeded",
        "Coordinates::Ratio",
        "lowering_final_orders",
        "before_an_empty_step",
        "which_sampler",
        "training_guide",
        "likelihood_guide",
    ];
    for word in old {
        // Titles of papers are not ours to rename.
        let of_a_title = |file: &str, line: &str| {
            line.contains("crate::docs::papers") || file.ends_with("papers.md")
        };
        let wrong = lines(|file, line| has_word(line, word) && !of_a_title(file, line));
        assert!(wrong.is_empty(), "{word}: {wrong:#?}");
    }
}

/// The conventions hold in numbers too: of a point mass, the reverse equation of stochasticity `tau`
/// draws the variance `sigma_s^2 (1 - e^(-2 tau^2 h))` in a step of half log-SNR `h`, and DDIM's `eta`
/// draws `eta^2` times the posterior's `sigma_s^2 (1 - e^(-2 h))`.
#[test]
fn half_the_stochasticity_is_half_in_every_solver() {
    use gaussian_diffusion::{
        Grid, LogSnr, Plan, ReverseStep, UpdateNoise,
        schedule::Cosine,
        solver::{
            Ancestral, Ddim, DpmSde, DpmSolver, EulerMaruyama, NodeBlocks, SaSolver, SingleStep,
        },
    };
    let h = 1e-4;
    let grid = Grid::uniform_log_snr_between(
        &Cosine,
        2,
        LogSnr::new(0.0).unwrap(),
        LogSnr::new(2.0 * h).unwrap(),
    )
    .unwrap();
    let drawn = |solver: &dyn ReverseStep| {
        let plan = Plan::new(&Cosine, &grid, solver).unwrap();
        let variance: f64 = plan
            .stages()
            .iter()
            .take_while(|stage| stage.point.step == 0)
            .filter_map(|stage| stage.stage.commit.as_ref())
            .map(|commit| match commit.noise {
                UpdateNoise::Std(std) => std * std,
                _ => panic!("not a number"),
            })
            .sum();
        variance / plan.levels()[1].sigma().powi(2) / (2.0 * h)
    };
    let quarter: [Box<dyn ReverseStep>; 8] = [
        Box::new(Ddim::new(0.5).unwrap()),
        Box::new(Ancestral::new(Ddim::default(), 0.5).unwrap()),
        Box::new(DpmSde::new(0.5).unwrap()),
        Box::new(DpmSolver::plus_plus(1).unwrap().with_tau(0.5).unwrap()),
        Box::new(SingleStep::plus_plus(1).unwrap().with_tau(0.5).unwrap()),
        Box::new(NodeBlocks::plus_plus(1).unwrap().with_tau(0.5).unwrap()),
        Box::new(SaSolver::new(1, 0).unwrap().with_tau(0.5).unwrap()),
        Box::new(EulerMaruyama::new(0.5).unwrap()),
    ];
    for solver in &quarter {
        // To the first order in h, the share 0.5^2 of the whole.
        let share = drawn(solver.as_ref());
        assert!(
            (share - 0.25).abs() < 10.0 * h,
            "{}: {share}",
            solver.name()
        );
    }
}
