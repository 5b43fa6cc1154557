//! How well a fit does where it was not taught.

use gaussian_diffusion::{Plan, Step};

use super::{
    MEASURED, Report, SHOWN, TAUGHT,
    course::{Course, Setting, Taught},
    rule::base,
};
use crate::{Outcome, data::CLASSES};

/// Prints the errors of the fit at other places, beside a fit of the same rule that was taught there.
pub fn transfers(report: &Report, here: Setting, other: Setting, seed: u64) -> Outcome<()> {
    println!("\nthe fit of {SHOWN} evaluations elsewhere");
    println!(
        "{:<42}{:>8}{:>12}{:>12}{:>12}",
        "", "fitted", "no network", "refitted", "base"
    );
    let guided = |guidance| Setting { guidance, ..here };
    let every: Vec<usize> = (0..CLASSES).collect();
    let places = [
        (
            "other starts of the classes it was taught",
            here,
            &every[..TAUGHT],
        ),
        ("classes that it was not taught", here, &every[TAUGHT..]),
        ("no guidance, no class", guided(0.0), &every),
        ("guidance of scale 2", guided(2.0), &every),
        ("guidance of scale 3", guided(3.0), &every),
        ("another network of the same digits", other, &every),
    ];
    for (place, (name, setting, classes)) in places.into_iter().enumerate() {
        let measured = Course::new(setting, &round(classes, MEASURED), seed + 3000)?;
        let taught = Taught::new(setting, &round(classes, TAUGHT), seed + 4000)?;
        let again = report.rule.fitted(&taught, SHOWN)?.plan;
        let own = base(setting.schedule, &report.grid)?;
        let plans = [&report.fitted, &report.no_network, &again, &own];
        print(name, plans, |plan| measured.error(plan))?;
        if place == 0 {
            let name = "the same in numbers of f16";
            print(name, plans, |plan| measured.error_in_half(plan))?;
        }
    }
    Ok(())
}

/// So many classes, which go round.
pub fn round(classes: &[usize], count: usize) -> Vec<usize> {
    classes.iter().copied().cycle().take(count).collect()
}

fn print(
    name: &str,
    plans: [&Plan<Step>; 4],
    error: impl Fn(&Plan<Step>) -> Outcome<f64>,
) -> Outcome<()> {
    print!("{name:<42}");
    for (plan, width) in plans.into_iter().zip([8, 12, 12, 12]) {
        print!("{:>width$.4}", error(plan)?);
    }
    println!();
    Ok(())
}
