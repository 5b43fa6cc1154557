//! Samplers fitted to the network, beside every named one.

mod course;
mod named;
mod pictures;
mod rule;
mod transfer;

use std::{fs, path::Path, time::Instant};

use gaussian_diffusion::{
    GaussianMixture, Grid, Plan, Step,
    fit::{Fit, Fitted, Gaussians, Lesson, Refinement, StepErrors},
    sampler::{GridName, SolverName},
    schedule::Discrete,
    solver::Ddim,
};
use ndarray::{Array2, Axis, Slice};

use crate::{
    Outcome,
    data::{CLASSES, Digits},
};
use course::{Course, Taught, teacher};
use named::Named;
use rule::{Nodes, Rule, base};
use transfer::round;

pub use course::Setting;
pub use pictures::pictures;
pub use transfer::transfers;

/// Evaluations of the samplers that are compared.
const BUDGETS: [usize; 5] = [4, 5, 6, 8, 10];
/// Starts of a lesson, and those that a sampler is measured with.
const TAUGHT: usize = 8;
const MEASURED: usize = 50;
/// Evaluations of the fits that are printed, kept and taken elsewhere.
const SHOWN: usize = 5;
/// Questions that a refinement may ask.
const REFINED: usize = 600;

/// The errors of a sampler or a family of them at each budget.
#[derive(Debug, Clone)]
pub struct Row {
    pub name: String,
    pub errors: Vec<f64>,
}

impl Row {
    pub fn new(name: String, errors: Vec<f64>) -> Self {
        Self { name, errors }
    }

    fn print(&self) {
        print!("{:<52}", self.name);
        self.errors.iter().for_each(|error| print!("{error:>8.4}"));
        println!();
    }
}

/// What the pictures are made of, and what is taken elsewhere.
#[derive(Debug)]
pub struct Report {
    /// The curves: the best named samplers, a usual one, the fits picked, those without a network.
    rows: Vec<Row>,
    /// Ten digits at the fewest evaluations: the best named sampler's, the fitted plan's, the exact flow's.
    digits: [(&'static str, Array2<f32>); 3],
    rule: Rule,
    grid: Grid<Step>,
    fitted: Plan<Step>,
    no_network: Plan<Step>,
}

/// Prints the tables, and keeps the fitted plan as JSON in the folder.
pub fn report(folder: &Path, setting: Setting, digits: &Digits, seed: u64) -> Outcome<Report> {
    let every: Vec<usize> = (0..CLASSES).collect();
    let held_out = Course::new(setting, &round(&every, MEASURED), seed + 2000)?;
    let clock = Instant::now();
    let taught = Taught::new(setting, &round(&every, TAUGHT), seed + 1000)?;
    println!(
        "\na lesson of {TAUGHT} starts: {} evaluations, {:.2} s",
        taught.lesson.evaluations(),
        clock.elapsed().as_secs_f64()
    );
    // The last classes first: those that the lesson has not are among them.
    let others: Vec<usize> = (0..CLASSES).rev().collect();
    let judge = Taught::new(setting, &round(&others, TAUGHT), seed + 1500)?;

    println!("root mean square of a pixel's distance from the exact flow, {MEASURED} other starts");
    print!("{:<52}", "evaluations");
    BUDGETS.iter().for_each(|budget| print!("{budget:>8}"));
    println!();
    let named = Named::of(setting.schedule, &held_out, &BUDGETS, SolverName::all())?;
    named.rows.iter().for_each(Row::print);
    named.best.print();
    let names: Vec<_> = named
        .samplers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    println!("  {}", names.join("; "));

    let measured = |name: &str, fits: &[Fitted<Step>]| -> Outcome<Row> {
        let errors = fits.iter().map(|fitted| held_out.error(&fitted.plan));
        let row = Row::new(name.to_owned(), errors.collect::<Outcome<_>>()?);
        row.print();
        Ok(row)
    };
    let karras = Nodes::Named(GridName::Karras);
    let karras = Rule {
        predictions: 2,
        nodes: karras,
    };
    for rule in Rule::all().chain([karras]) {
        let fits = BUDGETS.iter().map(|n| rule.fitted(&taught, *n));
        measured(&rule.name(), &fits.collect::<Outcome<Vec<_>>>()?)?;
    }
    let picked = BUDGETS
        .iter()
        .map(|n| Rule::picked(Rule::all(), &taught, &judge, *n));
    let (rules, picked): (Vec<_>, Vec<_>) =
        picked.collect::<Outcome<Vec<_>>>()?.into_iter().unzip();
    let by_judge = measured(&format!("picked by {TAUGHT} other starts"), &picked)?;
    println!(
        "  {}",
        rules.iter().map(Rule::name).collect::<Vec<_>>().join("; ")
    );
    let refined = rules
        .iter()
        .zip(&picked)
        .map(|(rule, fitted)| -> Outcome<_> {
            let refinement = Refinement::default().with_evaluations(REFINED);
            let network = &mut taught.starts.asked()?;
            Ok(refinement.coefficients(&rule.fit()?, &fitted.plan, &taught.lesson, network)?)
        });
    let refined = refined.collect::<Outcome<Vec<_>>>()?;
    measured("picked, then refined", &refined)?;
    let no_network = without_network(setting.schedule, digits, &BUDGETS)?;
    let by_class = measured("fitted to a Gaussian a class, no network", &no_network)?;

    println!("\nwhat the fits report of their own starts");
    for (name, fits) in [
        ("picked", &picked),
        ("refined", &refined),
        ("no network", &no_network),
    ] {
        fits.iter().for_each(|fitted| println!("{name}: {fitted}"));
    }
    let shown = BUDGETS.iter().position(|n| *n == SHOWN).unwrap_or(0);
    let plan = &picked[shown].plan;
    println!("\n{plan:#}");
    fs::write(
        folder.join("fitted.json"),
        serde_json::to_string_pretty(plan)?,
    )?;

    let drawn = [
        ("best named", held_out.starts.drawn(&named.samplers[0].1)?),
        ("fitted", held_out.starts.drawn(&picked[0].plan)?),
        ("exact flow", held_out.end.clone()),
    ];
    let usual = named.solver("DPM++ 2M").cloned();
    Ok(Report {
        digits: drawn.map(|(name, digits)| (name, ten(digits))),
        rows: [named.best]
            .into_iter()
            .chain(usual)
            .chain([by_judge, by_class])
            .collect(),
        rule: rules[shown],
        grid: rules[shown].grid(&taught, SHOWN)?,
        fitted: plan.clone(),
        no_network: no_network[shown].plan.clone(),
    })
}

fn ten(drawn: Array2<f32>) -> Array2<f32> {
    drawn.slice_axis(Axis(0), Slice::from(..CLASSES)).to_owned()
}

/// Fits to the mean and the covariance of the digits of each class.
fn without_network(
    schedule: &Discrete,
    digits: &Digits,
    budgets: &[usize],
) -> Outcome<Vec<Fitted<Step>>> {
    let class = |class| {
        let places = (0..digits.len()).filter(|&i| digits.labels[i] == class);
        digits.select(&places.collect::<Vec<_>>()).pixels
    };
    let classes: Vec<_> = (0..CLASSES).map(class).collect();
    let mut gaussians = Gaussians::of(&GaussianMixture::of_samples(&classes)?);
    let fine = teacher(schedule)?;
    let lesson = Lesson::new(&fine, gaussians.starts(fine.prior_std()), &mut gaussians)?;
    let lesson = lesson.with_weights(&gaussians.weights())?;
    let errors = StepErrors::along(&lesson, &Ddim::default())?;
    let fitted = |n: &usize| -> Outcome<Fitted<Step>> {
        let base = base(schedule, &errors.grid(*n)?)?;
        Ok(Fit::default().plan(&base, &lesson, &mut gaussians.clone())?)
    };
    budgets.iter().map(fitted).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{network::tests::network, picture::Gallery};

    /// Three starts, few steps: an untrained network does not move far.
    #[test]
    fn fits_are_nearer_and_the_nearest_elsewhere_is_picked() {
        let (network, schedule) = (network(1), Discrete::cosine(1000).unwrap());
        let setting = Setting {
            network: &network,
            schedule: &schedule,
            guidance: 1.0,
        };
        let taught = Taught::new(setting, &[0, 1, 2], 1).unwrap();
        let judge = Taught::new(setting, &[3, 4, 5], 2).unwrap();
        let rules = || Rule::all().take(4);
        let (rule, picked) = Rule::picked(rules(), &taught, &judge, 3).unwrap();
        let distance = |plan: &Plan<Step>| judge.distance(plan).unwrap();
        for other in rules() {
            let fitted = other.fitted(&taught, 3).unwrap();
            assert!(fitted.after <= fitted.before, "{}: {fitted}", other.name());
            assert!(distance(&picked.plan) <= distance(&fitted.plan));
            assert!(other != rule || fitted == picked, "{}", other.name());
        }
        let none = Rule::picked(std::iter::empty(), &taught, &judge, 3);
        assert!(none.is_err());
    }

    #[test]
    fn an_error_is_that_of_a_plain_loop() {
        let (network, schedule) = (network(1), Discrete::cosine(1000).unwrap());
        let setting = Setting {
            network: &network,
            schedule: &schedule,
            guidance: 1.0,
        };
        let course = Course::to(setting, &[7, 2], 1, 20).unwrap();
        let exact = course::fine(&schedule, 20).unwrap();
        assert_eq!(course.error(&exact).unwrap(), 0.0);
        // f16 has 11 bits; its errors do not add up on the way.
        let half = course.error_in_half(&exact).unwrap();
        assert!(half > 0.0 && half < 2e-3, "{half}");
        let plan = base(&schedule, &Grid::karras(&schedule, 3).unwrap()).unwrap();
        let mut sum = 0.0;
        for (drawn, end) in course.starts.drawn(&plan).unwrap().iter().zip(&course.end) {
            sum += (f64::from(*drawn) - f64::from(*end)).powi(2);
        }
        let expected = (sum / 128.0).sqrt();
        let found = course.error(&plan).unwrap();
        assert!(
            expected > 1e-3 && (found / expected - 1.0).abs() < 1e-6,
            "{found} {expected}"
        );
    }

    #[test]
    fn named_samplers_are_measured_on_their_best_grid() {
        let (network, schedule) = (network(1), Discrete::cosine(1000).unwrap());
        let setting = Setting {
            network: &network,
            schedule: &schedule,
            guidance: 1.0,
        };
        let course = Course::to(setting, &[7], 1, 20).unwrap();
        let solvers = || ["DPM++ 2M", "DDIM"].map(|name| name.parse::<SolverName>().unwrap());
        let named = Named::of(&schedule, &course, &[1, 2], solvers().into_iter()).unwrap();
        assert_eq!(named.rows.len(), 2);
        for (place, (_, plan)) in named.samplers.iter().enumerate() {
            let least = named.rows.iter().map(|row| row.errors[place]);
            let least = least.fold(f64::INFINITY, f64::min);
            assert_eq!(named.best.errors[place], least);
            assert_eq!(course.error(plan).unwrap(), least);
            assert!(plan.evaluations() <= place + 1);
        }
        let own = named.solver("DPM++ 2M").unwrap();
        for grid in GridName::all() {
            if let Ok(plan) =
                gaussian_diffusion::Sampler::new(solvers()[0], grid).plan(&schedule, 2)
            {
                let error = course.error(&plan).unwrap_or(f64::INFINITY);
                assert!(plan.evaluations() > 2 || own.errors[1] <= error, "{grid}");
            }
        }
        assert!(named.solver("Heun").is_none());
    }

    #[test]
    fn a_fit_without_a_network_is_near_for_gaussians() {
        let digits = Digits {
            pixels: Array2::from_shape_fn((60, crate::data::PIXELS), |(i, j)| {
                ((i * i + 3 * j) as f32).sin() * 0.4
            }),
            labels: (0..60).map(|i| i % CLASSES).collect(),
        };
        let schedule = Discrete::cosine(1000).unwrap();
        for fitted in without_network(&schedule, &digits, &[4, 6]).unwrap() {
            assert!(fitted.after < 0.2 * fitted.before, "{fitted}");
        }
    }

    #[test]
    fn rules_have_names_of_their_own() {
        let names: HashSet<_> = Rule::all().map(|rule| rule.name()).collect();
        assert_eq!((Rule::all().count(), names.len()), (12, 12));
        let classes = round(&[4, 5, 6], 5);
        assert_eq!(classes, [4, 5, 6, 4, 5]);
    }

    #[test]
    fn pictures_show_every_curve_and_row() {
        let folder = std::env::temp_dir().join(format!("digits-fitted-{}", std::process::id()));
        let mut gallery = Gallery::new(folder.clone()).unwrap();
        let schedule = Discrete::cosine(1000).unwrap();
        let grid = Grid::karras(&schedule, SHOWN).unwrap();
        let plan = base(&schedule, &grid).unwrap();
        let row = |name: &str| Row::new(name.to_owned(), vec![0.05, 0.04, 0.03, 0.02, 0.01]);
        let drawn = || Array2::zeros((CLASSES, crate::data::PIXELS));
        let report = Report {
            rows: vec![row("one"), row("two")],
            digits: ["upper", "middle", "lower"].map(|name| (name, drawn())),
            rule: Rule::all().next().unwrap(),
            grid,
            fitted: plan.clone(),
            no_network: plan,
        };
        pictures(&mut gallery, &report).unwrap();
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let (chart, digits) = (read("digits_fitted.svg"), read("digits_few.svg"));
        assert!(chart.contains("one") && chart.contains("two"));
        assert_eq!(chart.matches("<circle").count(), 2 * BUDGETS.len());
        assert!(
            ["upper", "middle", "lower"]
                .iter()
                .all(|name| digits.contains(name))
        );
        assert_eq!(digits.matches("<image ").count(), 3);
        fs::remove_dir_all(&folder).unwrap();
    }
}
