//! States in a subspace, and several clocks in one network.

use gaussian_diffusion::{
    Denoiser, Error, Grid, NoiseLevel, Plan, Point, Prediction, SeededNoise, Step, Time,
    denoiser::{Differentiable, InSubspace, WithVjp},
    likelihood::{Exact, ProbabilityFlow, step_log_density},
    noise::{NoiseSource, ProjectedNoise, Scale},
    predicts,
    schedule::{Cosine, Discrete, RectifiedFlow},
    solver::{Ddim, Ddpm},
    state::{Subspace, ZeroMean},
};
use ndarray::{Array1, Array2, Array3, ArrayD, Axis, IxDyn, array};

use super::close;

fn points(shape: (usize, usize, usize), seed: u64) -> Array3<f64> {
    let mut x = Array3::zeros(shape);
    SeededNoise::new(seed).fill(&mut x).unwrap();
    x
}

#[test]
fn coordinates_keep_lengths_and_angles() {
    let space = ZeroMean::along(1);
    for n in [1, 2, 3, 7, 40] {
        let (a, b) = (points((2, n, 3), 1), points((2, n, 3), 2));
        let centred = |x: &Array3<f64>| x - &x.mean_axis(Axis(1)).unwrap().insert_axis(Axis(1));
        let (ca, cb) = (
            space.coordinates(&a).unwrap(),
            space.coordinates(&b).unwrap(),
        );
        assert_eq!(ca.dim(), (2, n - 1, 3));
        for i in 0..2 {
            let of = |x: &Array3<f64>| Array1::from_iter(x.index_axis(Axis(0), i).iter().copied());
            close(
                of(&ca).dot(&of(&cb)),
                of(&centred(&a)).dot(&of(&centred(&b))),
                1e-13,
                n,
            );
        }
        let again = space.project(&a).unwrap();
        assert!((&again - &centred(&a)).iter().all(|d| d.abs() < 1e-13));
        // A shift of all points is not seen, and coordinates come back.
        let moved = space.coordinates(&(&a + 17.0)).unwrap();
        assert!((&moved - &ca).iter().all(|d| d.abs() < 1e-11));
        let back = space.coordinates(&space.embed(&ca).unwrap()).unwrap();
        assert!((&back - &ca).iter().all(|d| d.abs() < 1e-13));
        // A rotation of the points is one of the coordinates.
        let turn = |x: &Array3<f64>| {
            let mut y = x.clone();
            for i in 0..x.dim().0 {
                for j in 0..x.dim().1 {
                    y[[i, j, 0]] = 0.6 * x[[i, j, 0]] - 0.8 * x[[i, j, 1]];
                    y[[i, j, 1]] = 0.8 * x[[i, j, 0]] + 0.6 * x[[i, j, 1]];
                }
            }
            y
        };
        let turned = space.coordinates(&turn(&a)).unwrap();
        assert!((&turned - &turn(&ca)).iter().all(|d| d.abs() < 1e-13));
    }
    // Along any axis, and of any number of axes.
    let x = points((3, 4, 5), 7);
    let last = ZeroMean::along(2).project(&x).unwrap();
    assert!(last.sum_axis(Axis(2)).iter().all(|sum| sum.abs() < 1e-13));
    assert!(ZeroMean::along(3).coordinates(&x).is_err());
    for shape in [vec![2, 0, 3], vec![0, 4, 3], vec![2, 4, 0]] {
        let x = ArrayD::<f32>::zeros(IxDyn(&shape));
        let _ = ZeroMean::along(1).coordinates(&x);
        assert_eq!(
            ZeroMean::along(1).embed(&x).unwrap().shape()[1],
            shape[1] + 1
        );
    }
    assert!(
        ZeroMean::along(1)
            .coordinates(&ArrayD::<f32>::zeros(IxDyn(&[2, 0, 3])))
            .is_err()
    );
    let huge = ArrayD::<f32>::zeros(IxDyn(&[usize::MAX >> 24, 0, 1 << 20]));
    assert!(ZeroMean::along(1).embed(&huge).is_err());
}

/// A run on the coordinates and one on the points, with the same noise, are one run; both have the covariance of the subspace.
#[test]
fn runs_in_coordinates_and_on_points_are_the_same() {
    /// The noise of the coordinates, embedded.
    struct Embedded(SeededNoise, ZeroMean);
    impl NoiseSource<Array3<f64>> for Embedded {
        fn add(
            &mut self,
            x: &mut Array3<f64>,
            scale: Scale<'_, Array3<f64>>,
            _: Option<gaussian_diffusion::noise::Interval>,
        ) -> Result<(), Error> {
            let mut c = self.1.coordinates(x)?;
            c.fill(0.0);
            let Scale::Same(std) = scale else {
                unreachable!()
            };
            self.0.add(&mut c, Scale::Same(std), None)?;
            *x += &self.1.embed(&c)?;
            Ok(())
        }
    }
    let space = ZeroMean::along(1);
    // Pulls every point toward its neighbour: its answers keep the centre.
    let net = || {
        predicts::noise(|x: &Array3<f64>, at: Point<Step>| {
            let n = x.dim().1;
            let turned = x.select(Axis(1), &(0..n).map(|i| (i + 1) % n).collect::<Vec<_>>());
            (x * 0.6 + turned * 0.3) * at.level.sigma()
        })
    };
    let schedule = Discrete::stable_diffusion().unwrap();
    let plan = Plan::new(
        &schedule,
        &Grid::trailing(&schedule, 9).unwrap(),
        &Ddpm::default(),
    )
    .unwrap();
    let mut noise = SeededNoise::new(3);
    let start: Array3<f64> = plan.prior((2, 5, 3), &mut noise).unwrap();
    let mut inside = InSubspace::new(net(), space);
    let found = plan
        .sample(start.clone(), &mut inside, &mut noise.clone())
        .unwrap();
    let on_points = plan
        .sample(
            space.embed(&start).unwrap(),
            &mut net(),
            &mut Embedded(noise, space),
        )
        .unwrap();
    assert!(
        (space.embed(&found).unwrap() - &on_points)
            .iter()
            .all(|d| d.abs() < 1e-12)
    );

    // The law of projected noise: covariance 1 - 1/n on the diagonal, -1/n beside it. 200,000 draws of 3 points: each entry has a
    // deviation below 0.0032; the bound is six of them.
    let mut z = Array2::<f64>::zeros((200_000, 3));
    ProjectedNoise::new(SeededNoise::new(5), ZeroMean::along(1))
        .fill(&mut z)
        .unwrap();
    let covariance = z.t().dot(&z) / 200_000.0;
    for ((i, j), found) in covariance.indexed_iter() {
        let expected = if i == j { 2.0 / 3.0 } else { -1.0 / 3.0 };
        assert!((found - expected).abs() < 0.019, "{i} {j} {found}");
    }
    let mut x = points((2, 4, 3), 9);
    let before = x.sum_axis(Axis(1));
    let mut projected = ProjectedNoise::new(SeededNoise::new(5), space);
    projected
        .add(&mut x, Scale::PerItem(&[0.5, 2.0]), None)
        .unwrap();
    assert!(
        (x.sum_axis(Axis(1)) - before)
            .iter()
            .all(|d| d.abs() < 1e-13)
    );
    let std = x.clone();
    assert!(
        projected
            .add(&mut x, Scale::PerElement(&std), None)
            .is_err()
    );
    // A draw that is passed over is one of the source within; a subspace that is borrowed is the subspace.
    let mut passed = ProjectedNoise::new(SeededNoise::new(5), &space);
    let mut inner = SeededNoise::new(5);
    let mut second = points((2, 4, 3), 9);
    passed.discard(&second).unwrap();
    NoiseSource::discard(&mut inner, &second).unwrap();
    passed.fill(&mut second).unwrap();
    let mut expected = second.clone();
    inner.fill(&mut expected).unwrap();
    assert_eq!(second, space.project(&expected).unwrap());
    assert_eq!(second, Subspace::project(&&space, &expected).unwrap());
    let short: Result<(), Error> = projected.add(&mut x, Scale::PerItem(&[0.5]), None);
    assert!(short.is_err());
}

/// Densities count the dimensions of the subspace: of a step, and of the probability flow, for Gaussian data whose
/// density in the subspace is a closed form.
#[test]
fn densities_have_the_dimension_of_the_subspace() {
    let space = ZeroMean::along(1);
    let (variance, n) = (0.3_f64, 4);
    let net = move |x: &Array2<f64>, at: Point<Time>| {
        let (alpha, sigma) = (at.level.alpha(), at.level.sigma());
        x * (alpha * variance / (alpha * alpha * variance + sigma * sigma))
    };
    let x0 = space
        .project(&array![[0.4, -1.0, 0.3, 0.9], [0.1, 0.2, -0.4, 0.0]])
        .unwrap();
    let c0 = space.coordinates(&x0).unwrap();
    // The trace in the subspace: 3 equal numbers, not 4.
    let mut inside = InSubspace::new(predicts::x0(net), space);
    let with_trace = Exact(move |c: &Array2<f64>, at: Point<Time>| {
        let answer = inside.predict(c, at)?;
        let slope = at.level.alpha() * variance
            / (at.level.alpha().powi(2) * variance + at.level.sigma().powi(2));
        Ok::<_, Error>((answer, vec![slope * c.ncols() as f64; c.nrows()]))
    });
    let (noisy, clean) = (Time::new(1.0).unwrap(), Time::new(1e-4).unwrap());
    let flow = ProbabilityFlow::between(&RectifiedFlow, noisy, clean).unwrap();
    let mut with_trace = with_trace;
    let found = flow.log_density(&c0, &mut with_trace).unwrap();
    for (i, row) in x0.rows().into_iter().enumerate() {
        let square: f64 = row.iter().map(|x| x * x).sum();
        let dimension = (n - 1) as f64;
        let expected = -0.5 * square / variance
            - 0.5 * dimension * (2.0 * std::f64::consts::PI * variance).ln();
        let density = found.log_density[i].value.nats().get();
        // Between times, of which the cleanest has a little noise.
        assert!((density - expected).abs() < 2e-3, "{density} {expected}");
    }
    let plan = Plan::new(
        &Cosine,
        &Grid::uniform_time(&Cosine, 5).unwrap(),
        &Ddpm::default(),
    )
    .unwrap();
    let planned = &plan.stages()[2];
    let (c, next) = (c0.mapv(|x| 0.7 * x), c0.mapv(|x| 0.8 * x + 0.01));
    let answer = Prediction::x0(c0.clone());
    let found = step_log_density(planned, &c, &answer, &next)
        .unwrap()
        .unwrap();
    let update = planned.stage.commit.clone().unwrap();
    let gaussian_diffusion::UpdateNoise::Std(std) = update.noise else {
        unreachable!()
    };
    let mean = &c * update.state + &c0 * update.model[0];
    let off = space.embed(&(&next - &mean)).unwrap();
    for (i, found) in found.iter().enumerate() {
        let square: f64 = off.row(i).iter().map(|x| x * x).sum();
        let expected =
            -0.5 * square / (std * std) - 1.5 * (2.0 * std::f64::consts::PI * std * std).ln();
        close(found.nats().get(), expected, 1e-12, i);
    }
}

/// The transposed Jacobian in coordinates, against differences.
#[test]
fn what_is_differentiated_is_seen_from_the_coordinates() {
    let space = ZeroMean::along(1);
    let f = |x: f64| (1.3 * x).sin();
    let net = || {
        let said = predicts::x0(move |x: &Array2<f64>, _: Point<Step>| {
            let mut y = x.mapv(f);
            y.column_mut(0)
                .zip_mut_with(&x.column(1), |y, x| *y += x * x);
            y
        });
        WithVjp::new(said, |x: &Array2<f64>, _: Point<Step>, v: &Array2<f64>| {
            let mut g = x.mapv(|x| 1.3 * (1.3 * x).cos()) * v;
            let more = 2.0 * &x.column(1) * v.column(0);
            g.column_mut(1).zip_mut_with(&more, |g, m| *g += m);
            Ok(g)
        })
    };
    let mut inside = InSubspace::new(net(), space);
    let level = NoiseLevel::new(0.6, 0.8).unwrap();
    let at = Point::new(Step::new(2), level, NoiseLevel::CLEAN);
    let (c, v) = (array![[0.3, -0.7, 0.2]], array![[1.0, 0.5, -0.4]]);
    let found = inside.vjp(&c, at, &v).unwrap();
    for j in 0..3 {
        let mut at_h = |h: f64| {
            let mut c = c.clone();
            c[[0, j]] += h;
            (inside.predict(&c, at).unwrap().value * &v).sum()
        };
        let h = 1e-6;
        let slope = (at_h(h) - at_h(-h)) / (2.0 * h);
        // Off by the third derivative times h^2 and rounding over h.
        close(found[[0, j]], slope, 1e-8, j);
    }
    let learned = predicts::with(|x: &Array2<f64>, _: Point<Step>| {
        Ok(Prediction::x0(x.clone()).with_variance(x.clone()))
    });
    assert!(InSubspace::new(learned, space).predict(&c, at).is_err());
}

/// Two groups of one joint Gaussian. With one clock the two runs are the one run of both; with clocks of their own each step is
/// the one that the posterior mean of the joint Gaussian at its two levels makes.
#[test]
fn groups_with_clocks_of_their_own_are_runs_side_by_side() {
    let covariance = [[1.0, 0.8], [0.8, 1.5]];
    // E[x_0 | both noisy numbers], from the two-by-two system.
    let mean = move |x: [f64; 2], levels: [NoiseLevel; 2]| {
        let [a, b] = levels;
        let s = [
            [
                a.alpha().powi(2) * covariance[0][0] + a.sigma().powi(2),
                a.alpha() * b.alpha() * covariance[0][1],
            ],
            [
                a.alpha() * b.alpha() * covariance[0][1],
                b.alpha().powi(2) * covariance[1][1] + b.sigma().powi(2),
            ],
        ];
        let det = s[0][0] * s[1][1] - s[0][1] * s[1][0];
        let u = [
            (s[1][1] * x[0] - s[0][1] * x[1]) / det,
            (s[0][0] * x[1] - s[1][0] * x[0]) / det,
        ];
        [0, 1].map(|i| covariance[i][0] * a.alpha() * u[0] + covariance[i][1] * b.alpha() * u[1])
    };
    let schedule = RectifiedFlow;
    let full = Grid::uniform_time(&schedule, 8).unwrap();
    let plan = Plan::new(&schedule, &full, &Ddim::default()).unwrap();
    let side_by_side = |first: &Plan<Time>, second: &Plan<Time>, start: [f64; 2]| {
        let mut noise = SeededNoise::new(0);
        let mut runs = [
            first.start_from(array![start[0]], &mut noise).unwrap(),
            second.start_from(array![start[1]], &mut noise).unwrap(),
        ];
        loop {
            let [a, b] = &runs;
            let (Some((x, at_x)), Some((y, at_y))) = (a.pending(), b.pending()) else {
                break;
            };
            let said = mean([x[0], y[0]], [at_x.level, at_y.level]);
            for (run, said) in runs.iter_mut().zip(said) {
                run.supply(Prediction::x0(array![said]), &mut noise)
                    .unwrap();
            }
        }
        runs.map(|run| run.into_state()[0])
    };
    let start = [0.4, -1.1];
    let found = side_by_side(&plan, &plan, start);
    let mut joint = predicts::x0(|x: &Array2<f64>, at: Point<Time>| {
        let said = mean([x[[0, 0]], x[[0, 1]]], [at.level; 2]);
        array![said]
    });
    let expected = plan
        .sample(array![start], &mut joint, &mut SeededNoise::new(0))
        .unwrap();
    close(found[0], expected[[0, 0]], 1e-14, "first");
    close(found[1], expected[[0, 1]], 1e-14, "second");

    // Another schedule for the second, with as many steps.
    let vp = Plan::new(
        &Cosine,
        &Grid::uniform_time(&Cosine, 8).unwrap(),
        &Ddim::default(),
    )
    .unwrap();
    let found = side_by_side(&plan, &vp, start);
    let mut x = start;
    for k in 0..8 {
        let levels = [
            [plan.levels()[k], vp.levels()[k]],
            [plan.levels()[k + 1], vp.levels()[k + 1]],
        ];
        let said = mean(x, levels[0]);
        for i in 0..2 {
            let (from, to) = (levels[0][i], levels[1][i]);
            let eps = (x[i] - from.alpha() * said[i]) / from.sigma();
            x[i] = to.alpha() * said[i] + to.sigma() * eps;
        }
    }
    close(found[0], x[0], 1e-12, "flow");
    close(found[1], x[1], 1e-12, "cosine");
}
