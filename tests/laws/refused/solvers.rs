//! Reverse steps.

use gaussian_diffusion::{
    Error,
    Parameterization::X0,
    ReverseStep, UpdateNoise, laws,
    solver::{At, Ddim, Ddpm, DpmSolverV3, LinearMultistep, Path, RungeKutta, Stage, Update},
};

use super::{VALID, error, refused};

type Spoil = Box<dyn Fn(&Path<'_>, &mut Vec<Stage>) -> Result<(), Error> + Send + Sync>;

/// A solver with stages of its changed, and what it states of itself.
struct Spoiled {
    inner: Box<dyn ReverseStep>,
    orders: (u32, u32),
    follows_points: bool,
    spoil: Spoil,
}

fn spoiled(
    inner: impl ReverseStep + 'static,
    spoil: impl Fn(&Path<'_>, &mut Vec<Stage>) + Send + Sync + 'static,
) -> Spoiled {
    Spoiled {
        orders: (inner.order(), inner.order_on_uneven_steps()),
        follows_points: inner.follows_points(),
        inner: Box::new(inner),
        spoil: Box::new(move |path, stages| {
            spoil(path, stages);
            Ok(())
        }),
    }
}

impl ReverseStep for Spoiled {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let mut stages = self.inner.stages(path)?;
        (self.spoil)(path, &mut stages)?;
        Ok(stages)
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn memory(&self) -> usize {
        self.inner.memory()
    }

    fn order(&self) -> u32 {
        self.orders.0
    }

    fn order_on_uneven_steps(&self) -> u32 {
        self.orders.1
    }

    fn follows_points(&self) -> bool {
        self.follows_points
    }
}

/// The last update of the state.
fn commit(stages: &mut [Stage]) -> &mut Update {
    let commits = stages.iter_mut().filter_map(|stage| stage.commit.as_mut());
    commits.last().unwrap()
}

/// What is made of the newest prediction counts this share more.
fn more(stages: &mut [Stage], share: f64) {
    commit(stages).model[0] *= 1.0 + share;
}

/// Which of the schedules of the laws a run is on, by its first levels.
fn family(path: &Path<'_>) -> &'static str {
    let (start, next) = (path.level(0).unwrap(), path.level(1).unwrap());
    let (alpha, sigma) = (next.alpha(), next.sigma());
    let is = |sum: f64| (sum - 1.0).abs() < 1e-9;
    if alpha == 1.0 {
        "exploding"
    } else if is(alpha + sigma) {
        "flow"
    } else if is(alpha * alpha + sigma) {
        "sub"
    } else if start.is_noise() {
        "zero"
    } else if is(start.log_snr().get() / -8.0) {
        "linear"
    } else {
        "cosine"
    }
}

const POINT: &str = "point data is followed";
const ORDER: &str = "the stated order";
const UNEVEN: &str = "the stated order on uneven steps";

#[test]
fn inconsistent_steps() {
    // In one step, on one of the schedules.
    for wanted in ["cosine", "zero", "exploding", "flow", "sub", "linear"] {
        let off = move |share: f64| {
            spoiled(Ddim::default(), move |path, stages| {
                if path.steps() == 60 && path.index() == 30 && family(path) == wanted {
                    more(stages, share);
                }
            })
        };
        laws::reverse_step(&off(1e-13)).unwrap();
        refused(laws::reverse_step(&off(1e-10)), POINT, "(\"DDIM\", 60)");
    }
    // For one number of steps.
    for (steps, asked) in [(1, true), (8, true), (20, true), (9, false)] {
        let off = spoiled(Ddim::default(), move |path, stages| {
            if path.steps() == steps && path.index() + 1 == steps {
                more(stages, 1e-10);
            }
        });
        match asked {
            true => refused(laws::reverse_step(&off), POINT, &format!("{steps})")),
            false => laws::reverse_step(&off).unwrap(),
        }
    }
    let mut err = spoiled(Ddim::default(), |_, _| {});
    err.spoil = Box::new(|_, _| Err(error()));
    refused(laws::reverse_step(&err), VALID, "broken");
}

/// A rule that is exact for other data than points, so that the law of point data does not see its last step.
fn of_other_data(
    spoil: impl Fn(&mut Vec<Stage>) + Send + Sync + 'static,
) -> Result<(), laws::Violation> {
    let last = move |path: &Path<'_>, stages: &mut Vec<Stage>| {
        if path.to().is_clean() {
            spoil(stages);
        }
    };
    laws::reverse_step(&spoiled(DpmSolverV3::reab(1).unwrap(), last))
}

#[test]
fn last_steps() {
    let law = "a step to the clean level draws nothing";
    let drawing = |stages: &mut Vec<Stage>| commit(stages).noise = UpdateNoise::Std(1e-3);
    refused(of_other_data(drawing), law, "Std(0.001)");
    let unused = |stages: &mut Vec<Stage>| stages.push(Stage::new(At::To, X0));
    refused(of_other_data(unused), law, "None");

    // 1e-12 of an answer of 1, and of 1.
    let law = "a step to the clean level is the x0-prediction";
    of_other_data(|stages| more(stages, 1.9e-12)).unwrap();
    refused(
        of_other_data(|stages| more(stages, 2.1e-12)),
        law,
        "(\"REAB\", 1)",
    );
    // The answer before the last one, which is right for a point.
    let asks_again = |path: &Path<'_>, stages: &mut Vec<Stage>| {
        if path.to().is_clean() {
            stages.push(Stage::new(At::To, X0).with_commit(Update::new(1.0)));
        }
    };
    let twice = laws::reverse_step(&spoiled(Ddim::default(), asks_again));
    refused(twice, law, "(\"DDIM\", 1)");
    // A rule with a memory may make something else of it.
    let lms = LinearMultistep::lms(2).unwrap();
    laws::reverse_step(&spoiled(lms, asks_again)).unwrap();
}

#[test]
fn lower_orders() {
    let claimed = |inner: Box<dyn ReverseStep>, orders| {
        let mut solver = spoiled(inner, |_, _| {});
        solver.orders = orders;
        laws::reverse_step(&solver)
    };
    let ddim = || Box::new(Ddim::default());
    let even = || Box::new(LinearMultistep::ipndm(2).unwrap());
    claimed(ddim(), (1, 1)).unwrap();
    claimed(ddim(), (0, 0)).unwrap();
    claimed(even(), (2, 1)).unwrap();
    refused(claimed(ddim(), (2, 2)), ORDER, "instead of 2 for DDIM");
    // Weights of equal steps.
    refused(claimed(even(), (2, 2)), UNEVEN, "instead of 2 for iPNDM");

    // On one of the schedules.
    for wanted in ["cosine", "exploding", "flow"] {
        let lower = move |steps: usize, other: Box<dyn ReverseStep>| {
            let lms = LinearMultistep::lms(2).unwrap();
            let solver = spoiled(lms, move |path, stages| {
                if path.steps() > steps && family(path) == wanted {
                    *stages = other.stages(path).unwrap();
                }
            });
            laws::reverse_step(&solver)
        };
        refused(lower(60, ddim()), ORDER, "instead of 2 for LMS");
        refused(lower(60, even()), UNEVEN, "instead of 2 for LMS");
    }

    // It is exact for points, and there is nothing left that would become less.
    let mut other = spoiled(Ddim::default(), |_, _| {});
    other.follows_points = false;
    refused(laws::reverse_step(&other), ORDER, "for DDIM");

    // A variance that is a tenth too large where the first law does not see it.
    let noisy = spoiled(Ddpm::default(), |path, stages| {
        if path.steps() > 60
            && let UpdateNoise::Std(std) = &mut commit(stages).noise
        {
            *std *= 1.05;
        }
    });
    refused(laws::reverse_step(&noisy), ORDER, "instead of 1 for DDPM");
}

/// The order is that of the error: measured for rules whose orders are in the textbooks.
#[test]
fn measured_orders() {
    use gaussian_diffusion::schedule::{Cosine, Edm};
    let heun = RungeKutta::heun();
    let even = LinearMultistep::ipndm(2).unwrap();
    let measured = [
        (laws::measured_order(&Ddim::default(), &Cosine), 1.0),
        (laws::measured_order(&heun, &Edm::default()), 2.0),
        (laws::measured_order(&even, &Cosine), 2.0),
        (laws::measured_order_on_uneven_steps(&heun, &Cosine), 2.0),
        (
            laws::measured_order_on_uneven_steps(&even, &Edm::default()),
            1.0,
        ),
    ];
    for (i, (found, expected)) in measured.into_iter().enumerate() {
        let found = found.unwrap();
        assert!((found - expected).abs() < 0.03, "{i}: {found}");
    }
}

/// Orders are measured from log-SNR -5 to 3.5, on steps that are even, and on steps of which the second of two is
/// twice as long.
#[test]
fn steps_of_orders() {
    let spy = |uneven: f64| {
        spoiled(Ddim::default(), move |path, _| {
            let at = |i: usize| path.level(i).unwrap().log_snr().get();
            let (last, is) = (path.steps(), |a: f64, b: f64| (a - b).abs() < 1e-9);
            assert!(is(at(0), -5.0) && is(at(last), 3.5));
            // An even number in all, and a start of shorter ones.
            let (long, short) = (at(last) - at(last - 1), at(last - 1) - at(last - 2));
            assert!(is(long / short, uneven), "{short} and {long}");
            assert!(at(1) - at(0) < 0.001 * short);
        })
    };
    let schedule = gaussian_diffusion::schedule::Cosine;
    laws::measured_order(&spy(1.0), &schedule).unwrap();
    laws::measured_order_on_uneven_steps(&spy(2.0), &schedule).unwrap();
}
