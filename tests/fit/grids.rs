//! Grids from the costs of steps, against every grid there is.

use gaussian_diffusion::{
    Denoiser, GaussianMixture, Grid, LogSnr, NoiseLevel, NoiseSchedule, Parameterization, Plan,
    Point, ReverseStep, SeededNoise, Sigma, Time,
    fit::{self, Lesson, StepErrors},
    predicts,
    schedule::{Cosine, Discrete, Edm, RectifiedFlow, VpLinear},
    solver::{Coordinates, Ddim, DpmSolver, ExponentialAdams, LinearMultistep},
};
use ndarray::{Array2, Axis};

use super::{Columns, fine, off, starts};

fn mixture() -> GaussianMixture {
    GaussianMixture::isotropic(&[(0.6, [-1.0, 0.2], 0.04), (0.4, [0.8, -0.5], 0.09)]).unwrap()
}

/// Every choice of `n` of the levels that has the first.
fn choices(levels: usize, n: usize) -> Vec<Vec<usize>> {
    let all = (0..1_usize << (levels - 1)).filter(|bits| bits.count_ones() as usize == n - 1);
    let one = |bits: usize| {
        let rest = (1..levels).filter(|i| bits >> (i - 1) & 1 == 1);
        [0].into_iter().chain(rest).collect()
    };
    all.map(one).collect()
}

#[test]
fn no_other_grid_costs_less() {
    let fine = fine(&RectifiedFlow, 9);
    let lesson = Lesson::new(&fine, starts(&fine, (4, 2), 1), &mut mixture()).unwrap();
    let nodes: Vec<_> = lesson.nodes().copied().collect();
    for solver in [
        &Ddim::default() as &dyn gaussian_diffusion::ReverseStep,
        &DpmSolver::plus_plus(2).unwrap(),
    ] {
        let errors = StepErrors::along(&lesson, solver).unwrap();
        for n in 1..=9 {
            let grids = choices(9, n).into_iter().map(|choice| {
                let nodes = choice.into_iter().map(|i| nodes[i]).collect();
                Grid::new(nodes, NoiseLevel::CLEAN).unwrap()
            });
            let (mut sum, mut fourth) = (f64::INFINITY, f64::INFINITY);
            for grid in grids {
                let costs = errors.costs_of(&grid).unwrap();
                sum = sum.min(costs.iter().sum());
                fourth = fourth.min(costs.iter().map(|cost| cost.powi(4)).sum());
            }
            let costs = |grid: Grid<_>| errors.costs_of(&grid).unwrap();
            let found: f64 = costs(errors.grid(n).unwrap()).iter().sum();
            assert!((found - sum).abs() <= 1e-12 * sum, "{n}: {found} {sum}");
            let found: f64 = costs(errors.even_grid(n).unwrap())
                .iter()
                .map(|c| c.powi(4))
                .sum();
            assert!(
                (found - fourth).abs() <= 1e-12 * fourth,
                "{n}: {found} {fourth}"
            );
        }
    }
}

/// The cost of a step is its squared error by a run of one step from the lesson's own state.
#[test]
fn the_cost_of_a_step_is_its_error() {
    let fine = fine(&Cosine, 12);
    let lesson = Lesson::new(&fine, starts(&fine, (4, 2), 1), &mut mixture()).unwrap();
    let errors = StepErrors::along(&lesson, &Ddim::default()).unwrap();
    let grid = errors.grid(4).unwrap();
    let costs = errors.costs_of(&grid).unwrap();
    let ends = grid.levels().skip(1);
    for ((node, to), cost) in grid.nodes().iter().zip(ends).zip(costs) {
        let one = Grid::new(vec![*node], to).unwrap();
        let plan = Plan::new(&Cosine, &one, &Ddim::default()).unwrap();
        let x = lesson.state_at(node.level).unwrap();
        let found = plan
            .sample(x, &mut mixture(), &mut SeededNoise::new(0))
            .unwrap();
        let exact = lesson.state_at(to).unwrap();
        let square = |x: &Array2<f64>| x.iter().map(|x| x * x).sum::<f64>();
        let expected = square(&(&found - &exact)) / square(&exact);
        assert!((cost - expected).abs() < 1e-12, "{cost} {expected}");
    }
    let other = Grid::uniform_time(&Cosine, 5).unwrap();
    assert!(errors.costs_of(&other).is_err());
    let cut = grid.clone().without_final_step().unwrap();
    assert!(errors.costs_of(&cut).is_err());
    assert!(errors.costs_of(&grid.tail(2).unwrap()).is_err());
}

/// The error of a step that looks back is that of the same step of a run that has been on the lesson.
#[test]
fn a_step_that_looks_back_has_the_lessons_predictions() {
    let schedule = VpLinear::new(0.1, 20.0).unwrap();
    let from = |sigma| LogSnr::from_sigma(Sigma::new(sigma).unwrap());
    let even = Grid::uniform_log_snr_between(&schedule, 40, from(20.0), from(0.05)).unwrap();
    let solver = ExponentialAdams::new(3, Coordinates::Data).unwrap();
    let fine = Plan::new(&schedule, &even, &solver).unwrap();
    let lesson = Lesson::new(&fine, starts(&fine, (4, 2), 1), &mut mixture()).unwrap();
    let square = |x: &Array2<f64>| x.iter().map(|x| x * x).sum::<f64>();
    let solvers: [&dyn ReverseStep; 4] = [
        &DpmSolver::plus_plus(2).unwrap(),
        &DpmSolver::plus_plus(3).unwrap(),
        &LinearMultistep::lms(3).unwrap(),
        &LinearMultistep::lms(2)
            .unwrap()
            .with_coordinates(Coordinates::Flow),
    ];
    for solver in solvers {
        let errors = StepErrors::along(&lesson, solver).unwrap();
        // Steps of one length in log-SNR: those before the last are as long as it, where there is room, and the first
        // node stands for one that would be less than half a step before it.
        for (places, to) in [
            (vec![0, 1, 2], 3),
            (vec![0, 5, 10], 15),
            (vec![0, 9], 18),
            (vec![0, 18], 36),
            (vec![0], 12),
            (vec![0, 8], 20),
            (vec![5], 17),
        ] {
            let nodes = places.iter().map(|&place| even.nodes()[place]).collect();
            let end = even.nodes()[to].level;
            let run = Grid::new(nodes, end).unwrap();
            let plan = Plan::new(&schedule, &run, solver).unwrap();
            let last = plan.stages().last().unwrap();
            let update = last.stage.commit.as_ref().unwrap();
            let x = lesson.state_at(last.point.level).unwrap();
            let mut found = &x * update.state;
            for (coefficient, &place) in update.model.iter().zip(places.iter().rev()) {
                let level = even.nodes()[place].level;
                let x = lesson.state_at(level).unwrap();
                let at = Point::new(even.nodes()[place].time, level, end);
                let answer = mixture().predict(&x, at).unwrap();
                let answer = answer.to(last.stage.basis, &x, level).unwrap();
                found += &(answer.value * *coefficient);
            }
            let exact = lesson.state_at(end).unwrap();
            let expected = square(&(&found - &exact)) / square(&exact);
            // The grid of one step from the same node to the same level, after steps of any length.
            let from = *places.last().unwrap();
            let mut nodes: Vec<_> = even.nodes()[..=from].to_vec();
            nodes.extend(&even.nodes()[to..]);
            let grid = Grid::new(nodes, even.end()).unwrap();
            let cost = errors.costs_of(&grid).unwrap()[from];
            assert!(
                (cost - expected).abs() < 1e-11 * (1.0 + expected),
                "{} by {places:?} to {to}: {cost:e} {expected:e}",
                solver.name()
            );
        }
    }
}

/// Steps of one cost differ less than those of the least sum.
#[test]
fn an_even_grid_is_even() {
    let schedule = Discrete::cosine(1000).unwrap();
    let grid = Grid::uniform_log_snr(&schedule, 150).unwrap();
    let fine = Plan::new(
        &schedule,
        &grid,
        &ExponentialAdams::new(3, Coordinates::Data).unwrap(),
    );
    let fine = fine.unwrap();
    let lesson = Lesson::new(&fine, starts(&fine, (8, 2), 1), &mut mixture()).unwrap();
    let errors = StepErrors::along(&lesson, &Ddim::default()).unwrap();
    let spread = |grid: Grid<_>| {
        let costs = errors.costs_of(&grid).unwrap();
        let most = costs.iter().fold(0.0_f64, |a, b| a.max(*b));
        let least = costs.iter().fold(f64::INFINITY, |a, b| a.min(*b));
        (most, most / least)
    };
    let mut evener = 0;
    for n in 3..16 {
        let (even, least) = (
            spread(errors.even_grid(n).unwrap()),
            spread(errors.grid(n).unwrap()),
        );
        assert!(even.0 <= least.0 * (1.0 + 1e-12), "{n}: {even:?} {least:?}");
        evener += usize::from(even.1 < least.1);
    }
    assert!(evener > 3, "{evener}");
}

/// Answers of another size are costs of another size, also where no number holds their fourth powers: by powers of two,
/// which round nothing.
#[test]
fn an_even_grid_does_not_depend_on_the_size_of_the_data() {
    let schedule = VpLinear::new(0.1, 20.0).unwrap();
    let from = |sigma| LogSnr::from_sigma(Sigma::new(sigma).unwrap());
    let grid = Grid::uniform_log_snr_between(&schedule, 12, from(20.0), from(0.05)).unwrap();
    let data = Array2::from_shape_fn((6, 2), |(i, k)| (1.7 * (2 * i + k) as f64).sin());
    let errors = |size: f64| {
        let mut network =
            predicts::x0(move |x: &Array2<f64>, _: Point<Time>| x.mapv(f64::tanh) * size);
        StepErrors::kl_bound(&grid, &data, &mut network, &mut SeededNoise::new(1)).unwrap()
    };
    let plain = errors(1.0);
    for size in [-150.0_f64, 150.0] {
        let other = errors(size.exp2());
        for n in 1..=11 {
            assert_eq!(other.even_grid(n).unwrap(), plain.even_grid(n).unwrap());
            assert_eq!(other.grid(n).unwrap(), plain.grid(n).unwrap());
        }
    }
    // Where no step costs anything, any grid of so many will do.
    assert_eq!(errors(0.0).even_grid(3).unwrap().len(), 3);
}

/// A network that is measured is told where it is asked, and where the next level lies.
#[test]
fn measurements_say_where_they_ask() {
    let schedule = VpLinear::new(0.1, 20.0).unwrap();
    let snr = |value| LogSnr::new(value).unwrap();
    let grid = Grid::uniform_log_snr_between(&schedule, 5, snr(-3.0), snr(4.0)).unwrap();
    let data = Array2::from_shape_fn((4, 2), |(i, k)| (1.7 * (2 * i + k) as f64).sin());
    type Asked<'a> = &'a mut dyn Denoiser<Array2<f64>, Time>;
    let check = |ask: &dyn Fn(Asked<'_>)| {
        let mut seen = Vec::new();
        let mut network = predicts::x0(|x: &Array2<f64>, at: Point<Time>| {
            seen.push((at.step, at.evaluation, at.time, at.level, at.to));
            x * 0.5
        });
        ask(&mut network);
        let ends = grid.levels().skip(1);
        for (i, ((node, to), seen)) in grid.nodes().iter().zip(ends).zip(&seen).enumerate() {
            assert_eq!(*seen, (i, i, node.time, node.level, to));
        }
        assert_eq!(seen.len(), grid.len());
    };
    let noise = || SeededNoise::new(1);
    check(&|net| drop(StepErrors::kl_bound(&grid, &data, net, &mut noise()).unwrap()));
    check(&|net| drop(fit::noise_moments(&grid, &data, net, &mut noise()).unwrap()));
    check(&|net| drop(fit::denoising_errors(&grid, &data, net, &mut noise()).unwrap()));
}

/// For Gaussian data the expectations of the bound are closed forms.
#[test]
fn the_bound_is_that_of_gaussian_data() {
    let (variance, items) = (0.3, 40_000);
    let from = |sigma| LogSnr::from_sigma(Sigma::new(sigma).unwrap());
    let schedule = VpLinear::new(0.1, 20.0).unwrap();
    let grid = Grid::uniform_log_snr_between(&schedule, 9, from(20.0), from(0.05)).unwrap();
    let mut noise = SeededNoise::new(5);
    let mut data = Array2::<f64>::zeros((items, 1));
    gaussian_diffusion::noise::NoiseSource::fill(&mut noise, &mut data).unwrap();
    data *= f64::sqrt(variance);
    let mut network = Columns::of(&[variance]);
    let errors = StepErrors::kl_bound(&grid, &data, &mut network, &mut noise).unwrap();
    assert_eq!(network.asked, 9);

    let levels: Vec<_> = grid.nodes().iter().map(|node| node.level).collect();
    let (gain, total): (Vec<_>, Vec<_>) = levels
        .iter()
        .map(|level| {
            let total = level.alpha().powi(2) * variance + level.sigma().powi(2);
            (level.alpha() * variance / total, total)
        })
        .unzip();
    let snr = |i: usize| (levels[i].alpha() / levels[i].sigma()).powi(2);
    // E (g_u x_u - g_t x_t)^2 on one path, where x_t is x_u faded and noised.
    let square = |t: usize, u: usize| {
        let shared = levels[t].alpha() / levels[u].alpha() * total[u];
        gain[u].powi(2) * total[u] + gain[t].powi(2) * total[t] - 2.0 * gain[u] * gain[t] * shared
    };
    let bound = |t: usize, s: usize| -> f64 {
        let piece = |u: usize| 0.25 * (square(t, u) + square(t, u + 1)) * (snr(u + 1) - snr(u));
        (t..s).map(piece).sum()
    };
    for choice in [vec![0, 3, 6], vec![0, 1, 2, 5], vec![0]] {
        let nodes: Vec<_> = choice.iter().map(|&i| grid.nodes()[i]).collect();
        let chosen = Grid::new(nodes, grid.end()).unwrap();
        let found = errors.costs_of(&chosen).unwrap();
        let ends = choice.iter().skip(1).copied().chain([8]);
        for ((t, s), found) in choice.iter().copied().zip(ends).zip(found) {
            let exact = bound(t, s);
            // A mean of 40,000 squares has a deviation of 0.7 %.
            assert!(
                (found / exact - 1.0).abs() < 0.035,
                "{t} to {s}: {found} {exact}"
            );
        }
    }
    let noiseless = Grid::uniform_time(&Cosine, 4).unwrap();
    let refused = StepErrors::kl_bound(&noiseless, &data, &mut Columns::of(&[1.0]), &mut noise);
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .starts_with("the bound of a step has no value")
    );
}

/// The step between two nodes of a lesson, against a much finer run.
#[test]
fn a_lesson_has_a_state_at_every_level() {
    fn check<S: NoiseSchedule<Time = T>, T: gaussian_diffusion::Clock + std::fmt::Debug>(
        schedule: &S,
        tolerance: f64,
    ) {
        let (from, to) = (-8.0, 8.0);
        let plan = |n: usize| {
            let snr = |i: usize| LogSnr::new(from + (to - from) * i as f64 / n as f64).unwrap();
            let snrs: Vec<_> = (0..n).map(snr).collect();
            let end = schedule.level_at(snr(n)).unwrap();
            let grid = Grid::at_log_snrs(schedule, &snrs)
                .unwrap()
                .ending_at(end)
                .unwrap();
            Plan::new(
                schedule,
                &grid,
                &ExponentialAdams::new(3, Coordinates::Data).unwrap(),
            )
            .unwrap()
        };
        let (coarse, dense) = (plan(100), plan(1000));
        let x = starts(&coarse, (3, 2), 1);
        let lesson = Lesson::new(&coarse, x.clone(), &mut mixture()).unwrap();
        let exact = Lesson::new(&dense, x.clone(), &mut mixture()).unwrap();
        // Of the third order, as the runs: with the data held constant between nodes it would be the second.
        let worst = |lesson: &Lesson<Array2<f64>, T>| {
            let distances = dense.levels().iter().map(|&level| {
                let (found, exact) = (lesson.state_at(level), exact.state_at(level));
                off(&found.unwrap(), &exact.unwrap()) / level.alpha().hypot(level.sigma())
            });
            distances.fold(0.0, f64::max)
        };
        let finer = Lesson::new(&plan(200), x, &mut mixture()).unwrap();
        let gain = worst(&lesson) / worst(&finer);
        assert!(gain > 5.7, "{gain}");
        for &level in dense.levels() {
            let (found, exact) = (
                lesson.state_at(level).unwrap(),
                exact.state_at(level).unwrap(),
            );
            let distance = off(&found, &exact) / level.alpha().hypot(level.sigma());
            assert!(distance < tolerance, "{distance:e} at {level:?}");
        }
        for (place, node) in lesson.nodes().enumerate() {
            assert_eq!(node.level, coarse.levels()[place]);
        }
        assert_eq!(
            lesson.state_at(coarse.levels()[100]).unwrap(),
            *lesson.end()
        );
    }
    check(&Discrete::cosine(1000).unwrap(), 2e-3);
    check(&Edm::default(), 2e-3);
    check(&RectifiedFlow, 2e-3);

    // A level computed another way may miss an end by a rounding, 1e-12 of 1 + |log-SNR|, and no more.
    let at = |value: f64| NoiseLevel::variance_preserving(LogSnr::new(value).unwrap()).unwrap();
    let snrs = Vec::from_iter((0..16).map(|i| LogSnr::new(f64::from(i) - 8.0).unwrap()));
    let grid = Grid::at_log_snrs(&Cosine, &snrs).unwrap();
    let plan = Plan::new(&Cosine, &grid.ending_at(at(8.0)).unwrap(), &Ddim::default()).unwrap();
    let lesson = Lesson::new(&plan, starts(&plan, (2, 2), 1), &mut mixture()).unwrap();
    for (end, outwards) in [(-8.0, -1.0), (8.0, 1.0)] {
        let slack = outwards * 9e-12;
        let state = |share: f64| lesson.state_at(at(end + share * slack));
        assert_eq!(state(0.95).unwrap(), state(0.0).unwrap());
        let error = state(1.05).unwrap_err().to_string();
        assert!(error.ends_with("those of the lesson"), "{error}");
    }

    // A point of data is followed exactly.
    let mut point = GaussianMixture::point(&[0.3, -0.8]).unwrap();
    let fine = fine(&Cosine, 10);
    let x = starts(&fine, (2, 2), 1);
    let lesson = Lesson::new(&fine, x.clone(), &mut point).unwrap();
    for step in 0..=50 {
        let level = Cosine
            .level(gaussian_diffusion::Time::new(f64::from(step) / 50.0).unwrap())
            .unwrap();
        let mut found = lesson.state_at(level).unwrap();
        for mut row in found.axis_iter_mut(Axis(0)) {
            row[0] -= level.alpha() * 0.3;
            row[1] += level.alpha() * 0.8;
        }
        assert!(off(&found, &(&x * level.sigma())) < 1e-13);
    }
    assert_eq!(Parameterization::X0, Coordinates::Data.basis());
}
