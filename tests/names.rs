//! Samplers by name.

use gaussian_diffusion::{
    Clock, Error, Grid, LogSnr, NoiseLevel, NoiseSchedule, Plan, ReverseStep, Sampler, Sigma, Step,
    Time, Variance,
    plan::{Affine, Moments},
    sampler::{GridName, Kind, SolverName},
    schedule::{Cosine, Discrete, Edm, RectifiedFlow, Shifted, VeGeometric, VpLinear},
    solver::{Ancestral, Ddim, DpmSolver, Pndm, RungeKutta, SingleStep},
};

/// As the WebUI 1.8 lists them.
const WEBUI: [&str; 30] = [
    "Euler a",
    "Euler",
    "LMS",
    "Heun",
    "DPM2",
    "DPM2 a",
    "DPM++ 2S a",
    "DPM++ 2M",
    "DPM++ SDE",
    "DPM++ 2M SDE",
    "DPM++ 2M SDE Heun",
    "DPM++ 3M SDE",
    "DPM fast",
    "DPM adaptive",
    "Restart",
    "DDIM",
    "PLMS",
    "UniPC",
    "LMS Karras",
    "DPM2 Karras",
    "DPM2 a Karras",
    "DPM++ 2S a Karras",
    "DPM++ 2M Karras",
    "DPM++ SDE Karras",
    "DPM++ 2M SDE Karras",
    "DPM++ 2M SDE Heun Karras",
    "DPM++ 3M SDE Karras",
    "DPM++ 2M SDE Exponential",
    "DPM++ 2M SDE Heun Exponential",
    "DPM++ 3M SDE Exponential",
];

fn sampler(name: &str) -> Sampler {
    name.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_list_begins_with_the_thirty_of_the_webui() {
    let names: Vec<_> = Sampler::all().map(|sampler| sampler.to_string()).collect();
    assert_eq!(names[..30], WEBUI);
    let mut distinct = names.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), names.len());
    for solver in SolverName::all() {
        assert!(Sampler::all().any(|sampler| sampler.solver() == solver));
    }
}

#[test]
fn a_choice_has_one_name_and_aliases() {
    assert_eq!(GridName::SgmUniform.aliases(), [""; 0]);
    assert_eq!(GridName::Trailing.aliases(), ["turbo"]);
    assert_eq!(GridName::AlignYourStepsXl.aliases(), ["ays_xl"]);
    assert_eq!(
        SolverName::DpmPlusPlus2MCfgPlusPlus.name(),
        "dpmpp_2m_cfg_pp"
    );
    assert!(SolverName::DpmPlusPlus2MCfgPlusPlus.aliases().is_empty());
    assert!(
        SolverName::EulerAncestral
            .aliases()
            .contains(&"euler_ancestral")
    );
    assert!(
        SolverName::EulerAncestral
            .aliases()
            .iter()
            .all(|alias| *alias != "Euler a")
    );
}

/// Grids that are for flows say which of them was asked for.
#[test]
fn grids_of_flows_refuse_other_schedules() {
    let schedule = Discrete::stable_diffusion().unwrap();
    for (grid, name) in [
        (GridName::Flux, "FLUX"),
        (GridName::Flux2, "FLUX2"),
        (GridName::Ltx2, "LTX2"),
    ] {
        let refused = grid.grid(&schedule, 4).unwrap_err().to_string();
        let expected = format!("a rectified flow is missing, the grid {name} needs it");
        assert_eq!(refused, expected);
    }
}

#[test]
fn every_name_is_read_as_what_it_is_printed_for() {
    for one in Sampler::all() {
        assert_eq!(sampler(&one.to_string()), one);
        assert_eq!(sampler(&one.to_string().to_uppercase()), one);
    }
    for solver in SolverName::all() {
        assert_eq!(solver.to_string().parse::<SolverName>().unwrap(), solver);
        for alias in solver.aliases() {
            assert_eq!(alias.parse::<SolverName>().unwrap(), solver, "{alias}");
            assert_eq!(sampler(alias).grid_rule(), solver.default_grid(), "{alias}");
        }
        for grid in GridName::all() {
            let pair = Sampler::new(solver, grid);
            assert_eq!(sampler(&pair.to_string()), pair, "{pair}");
            assert_eq!(sampler(&format!("{solver}_{grid}")), pair, "{pair}");
        }
    }
    for grid in GridName::all() {
        assert_eq!(grid.name().parse::<GridName>().unwrap(), grid);
        for alias in grid.aliases() {
            assert_eq!(alias.parse::<GridName>().unwrap(), grid, "{alias}");
        }
    }
}

#[test]
fn names_of_peers_mean_what_they_run() {
    // ComfyUI.
    for name in "euler euler_cfg_pp euler_ancestral euler_ancestral_cfg_pp heun heunpp2 exp_heun_2_x0 exp_heun_2_x0_sde dpm_2 dpm_2_ancestral lms \
        dpm_fast dpm_adaptive dpmpp_2s_ancestral dpmpp_sde dpmpp_sde_gpu dpmpp_2m dpmpp_2m_sde \
        dpmpp_2m_sde_gpu dpmpp_2m_sde_heun dpmpp_2m_sde_heun_gpu dpmpp_3m_sde dpmpp_3m_sde_gpu ddpm lcm \
        ipndm ipndm_v deis res_multistep gradient_estimation er_sde seeds_2 seeds_3 sa_solver ddim uni_pc \
        uni_pc_bh2 dpmpp_2s_ancestral_cfg_pp dpmpp_2m_cfg_pp res_multistep_cfg_pp res_multistep_ancestral \
        res_multistep_ancestral_cfg_pp gradient_estimation_cfg_pp sa_solver_pece"
        .split_whitespace()
    {
        for grid in "simple sgm_uniform karras exponential ddim_uniform beta normal linear_quadratic \
            kl_optimal"
            .split_whitespace()
        {
            sampler(&format!("{name} {grid}"));
        }
    }
    // stable-diffusion.cpp.
    for name in "euler euler_a heun dpm2 dpm++2s_a dpm++2m ipndm ipndm_v lcm ddim_trailing tcd \
        res_multistep res_2s er_sde euler_ge dpm++2m_sde dpm++2m_sde_bt lms dpm++2mv2 euler_cfg_pp \
        euler_a_cfg_pp"
        .split_whitespace()
    {
        sampler(name);
    }
    for name in "discrete karras exponential ays gits sgm_uniform simple smoothstep kl_optimal lcm \
        bong_tangent logit_normal beta"
        .split_whitespace()
    {
        name.parse::<GridName>().unwrap();
    }
    use {GridName as G, SolverName as S};
    for (name, solver, grid) in [
        ("dpmpp_2m + karras", S::DpmPlusPlus2M, G::Karras),
        ("DPM++ 2M Automatic", S::DpmPlusPlus2M, G::Karras),
        (
            "DPM++ 3M SDE Automatic",
            S::DpmPlusPlus3MSde,
            G::Exponential,
        ),
        (
            "dpmpp_3m_sde exponential",
            S::DpmPlusPlus3MSdeWhole,
            G::Exponential,
        ),
        ("ddim_trailing", S::Ddim, G::Trailing),
        ("ddim ddim_uniform", S::Ddim, G::DdimUniform),
        ("lcm sgm_uniform", S::Lcm, G::SgmUniform),
        (" unipc ", S::UniPc, G::TimeUniform),
        ("uni_pc", S::UniPcBh1, G::Uniform),
    ] {
        assert_eq!(
            sampler(&name.replace(" +", "")),
            Sampler::new(solver, grid),
            "{name}"
        );
    }
}

#[test]
fn an_unknown_name_is_offered_the_nearest() {
    for (name, message) in [
        (
            "DPM++ 2N Karras",
            "sampler \"DPM++ 2N Karras\" is unknown, nearest: DPM++ 2M Karras, ",
        ),
        ("eulr", "sampler \"eulr\" is unknown, nearest: Euler, "),
        (
            "dpmpp_2m_carras",
            "sampler \"dpmpp_2m_carras\" is unknown, nearest: dpmpp_2m Karras, ",
        ),
        ("", "sampler \"\" is unknown, nearest: "),
    ] {
        let error = Sampler::from_name(name).unwrap_err();
        assert!(error.to_string().starts_with(message), "{error}");
        let Error::UnknownName { nearest, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(nearest.len(), 3);
        for name in nearest {
            sampler(&name);
        }
    }
    let error = "caras".parse::<GridName>().unwrap_err().to_string();
    assert!(
        error.starts_with("grid \"caras\" is unknown, nearest: Karras, "),
        "{error}"
    );
    let error = "heum".parse::<SolverName>().unwrap_err().to_string();
    assert!(
        error.starts_with("solver \"heum\" is unknown, nearest: Heun, "),
        "{error}"
    );
    // Long and foreign names are no more than unknown.
    for name in ["é".repeat(100_000), "ß_ß".to_owned(), " _-".to_owned()] {
        assert!(matches!(
            Sampler::from_name(&name),
            Err(Error::UnknownName { .. })
        ));
    }
}

/// Names that differ in underscores or capitals alone, and what they stand for.
#[test]
fn an_underscore_is_comfyui() {
    use SolverName as S;
    for (name, solver) in [
        ("DPM fast", S::DpmFast),
        ("dpm fast", S::DpmFast),
        ("DPM fast_karras", S::DpmFast),
        ("dpm_fast", S::DpmFastOde),
        ("DPM_FAST karras", S::DpmFastOde),
        ("dpm_fast_karras", S::DpmFastOde),
        ("DPM adaptive", S::DpmAdaptive),
        ("dpm_adaptive", S::DpmAdaptiveOde),
        ("dpm_2", S::Dpm2),
        ("UNI_PC", S::UniPcBh1),
        ("unipc", S::UniPc),
    ] {
        assert_eq!(sampler(name).solver(), solver, "{name}");
    }
}

/// 5 evaluations with the exact denoiser of N(0, 0.2^2): the last step is the x0-prediction, and the orders
/// fall before it.
#[test]
fn sa_solver_ends_near_the_deviation_of_the_data() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let variance = Variance::new(0.04).unwrap();
    for (name, n) in [("sa_solver", 5), ("sa_solver_pece", 3)] {
        let plan = sampler(name).plan(&schedule, n).unwrap();
        assert_eq!(plan.evaluations(), 5);
        let first = plan.levels()[0];
        let start = Moments {
            mean: 0.0,
            variance: first.alpha().powi(2) * 0.04 + first.sigma().powi(2),
        };
        let end = plan
            .carry(start, |level| Affine::of_gaussian(0.0, variance, level))
            .unwrap();
        let deviation = end.variance.sqrt();
        println!("{name}: {deviation}");
        assert!((deviation - 0.2).abs() < 0.13, "{name}: {deviation}");
    }
}

/// Builds every sampler on every grid, and gives the grids of some length that the schedule has not.
fn check_all<S: NoiseSchedule<Time: Clock>>(schedule: &S) -> Vec<(GridName, usize)> {
    let mut missing = Vec::new();
    for rule in GridName::all() {
        for n in [1, 2, 3, 8, 20, 40] {
            let Err(error) = rule.grid(schedule, n) else {
                continue;
            };
            // What the field has no grid of: figures beyond the schedule, flows alone, strides that do not fit.
            match error {
                Error::Missing {
                    what: "a rectified flow",
                    ..
                } => (),
                Error::OutOfRange {
                    what: "log-SNR" | "number of steps",
                    ..
                } => (),
                error => panic!("{rule}, {n}: {error}"),
            }
            missing.push((rule, n));
        }
    }
    for sampler in SolverName::all().flat_map(|s| GridName::all().map(move |g| Sampler::new(s, g)))
    {
        if sampler.kind() == Kind::Adaptive {
            continue;
        }
        for n in [1, 2, 3, 8, 20, 40] {
            let left_out = usize::from(sampler.solver().discards_penultimate());
            let asked = match sampler.solver() {
                SolverName::DpmFast | SolverName::DpmFastOde => n.max(2),
                _ => n + left_out,
            };
            if sampler.grid_rule().grid(schedule, asked).is_err() {
                continue;
            }
            let plan = sampler.plan(schedule, n);
            let plan = plan.unwrap_or_else(|error| panic!("{sampler}, {n}: {error}"));
            // Restarts are steps of the n; DPM fast counts evaluations.
            let counted = match sampler.solver() {
                SolverName::DpmFast | SolverName::DpmFastOde => false,
                solver => solver != SolverName::Restart || n < 20,
            };
            assert!(plan.steps() == n || !counted, "{sampler}, {n}");
            if sampler.solver() == SolverName::DpmPlusPlus2MV2 {
                // Has one by its formula.
                continue;
            }
            let defect = plan.defect().unwrap();
            assert!(defect < 1e-12, "{sampler}, {n}: {defect:e}");
        }
    }
    missing
}

#[test]
fn every_sampler_has_plans_without_defect() {
    use GridName as G;
    let names = |missing: Vec<(G, usize)>| {
        let mut names: Vec<_> = missing.into_iter().map(|(rule, _)| rule).collect();
        names.dedup();
        names
    };
    let flows = [G::Flux, G::Flux2, G::Ltx2];
    // Sigmas from 152, from 700, of log-SNR from -15.
    let beyond = [G::AlignYourStepsVideo, G::Vp, G::LogitNormal];
    let sd = Discrete::stable_diffusion().unwrap();
    assert_eq!(names(check_all(&sd)), [&beyond[..], &flows].concat());
    let zero = sd.zero_terminal_snr().unwrap();
    // The last of these figures still lie beyond the first step.
    assert_eq!(names(check_all(&zero)), [&beyond[..2], &flows].concat());
    assert_eq!(
        names(check_all(&VpLinear::new(0.1, 20.0).unwrap())),
        [&beyond[..1], &beyond[2..], &flows].concat()
    );
    assert_eq!(names(check_all(&Cosine)), flows);
    assert_eq!(names(check_all(&Edm::default())), flows);
    let sigma = |value| Sigma::new(value).unwrap();
    let exploding = VeGeometric::new(sigma(0.01), sigma(50.0)).unwrap();
    assert_eq!(names(check_all(&exploding)), [&beyond[..], &flows].concat());
    assert_eq!(check_all(&RectifiedFlow), []);
    assert_eq!(check_all(&Shifted::flow(3.0).unwrap()), []);
    assert_eq!(check_all(&Shifted::flow(0.5).unwrap()), []);
}

#[test]
fn every_listed_sampler_has_a_plan_on_the_steps_of_stable_diffusion() {
    let schedule = Discrete::stable_diffusion().unwrap();
    for sampler in Sampler::all().filter(|sampler| sampler.kind() == Kind::Planned) {
        for n in [1, 2, 5, 12, 20, 50] {
            let plan = sampler.plan(&schedule, n);
            plan.unwrap_or_else(|error| panic!("{sampler}, {n}: {error}"));
        }
    }
    let error = sampler("Euler").plan(&schedule, 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "number of steps is 0, allowed: 1 to 16777216"
    );
    for name in ["DPM2", "DPM fast", "DDIM", "Restart"] {
        assert!(sampler(name).plan(&schedule, 0).is_err(), "{name}");
        assert!(sampler(name).plan(&schedule, usize::MAX).is_err(), "{name}");
    }
}

#[test]
fn named_plans_are_those_built_by_hand() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let check = |name: &str, n, grid: Result<Grid<Step>, Error>, solver: &dyn ReverseStep| {
        let plan = Plan::new(&schedule, &grid.unwrap(), solver).unwrap();
        assert_eq!(sampler(name).plan(&schedule, n).unwrap(), plan, "{name}");
    };
    let ancestral = Ancestral::new(Ddim::default(), 1.0).unwrap();
    check("Euler a", 20, Grid::uniform_time(&schedule, 20), &ancestral);
    let second = DpmSolver::plus_plus(2).unwrap();
    check("DPM++ 2M Karras", 20, Grid::karras(&schedule, 20), &second);
    check(
        "dpmpp_2m sgm_uniform",
        7,
        Grid::sgm_uniform(&schedule, 7),
        &second,
    );
    let last = schedule.level_at_step(0).unwrap();
    let leading = Grid::leading(&schedule, 20, 1).and_then(|grid| grid.ending_at(last));
    check("PLMS", 20, leading, &Pndm::plms());
    let less = Grid::karras(&schedule, 11).and_then(Grid::without_penultimate);
    check("DPM2 Karras", 10, less.clone(), &RungeKutta::dpm2());
    let third = DpmSolver::plus_plus(3)
        .unwrap()
        .with_exact_integrals()
        .with_tau(1.0)
        .unwrap();
    check("DPM++ 3M SDE Karras", 10, less, &third);
    check(
        "dpmpp_3m_sde karras",
        10,
        Grid::karras(&schedule, 10),
        &third,
    );
    // The fast solver between the ends of the schedule, 14 evaluations in five steps.
    let fast = Grid::uniform_log_snr(&schedule, 6).and_then(|grid| grid.without_final_step());
    let solver = Ancestral::new(SingleStep::fast(14).unwrap(), 1.0)
        .unwrap()
        .with_floor();
    check("DPM fast", 14, fast, &solver);
    assert_eq!(
        sampler("DPM fast")
            .plan(&schedule, 14)
            .unwrap()
            .evaluations(),
        14
    );
}

/// The sigmas of the WebUI for 10 steps with the penultimate one left out: 14.6146 to 0.0292 by Karras, 11 of them,
/// without the smallest.
#[test]
fn the_penultimate_sigma_is_left_out() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let sigmas = |name: &str| -> Vec<f64> {
        let grid = sampler(name).grid(&schedule, 10).unwrap();
        grid.levels().map(|level| level.noise_to_signal()).collect()
    };
    let (whole, less) = (sigmas("DPM++ 2M Karras"), sigmas("DPM2 a Karras"));
    let (max, min) = (14.614_641_229_333_643_f64, 0.029_167_158_2_f64);
    let karras = |i: f64| {
        let [a, b] = [max, min].map(|sigma| sigma.powf(1.0 / 7.0));
        (a + i / 10.0 * (b - a)).powi(7)
    };
    assert_eq!((whole.len(), less.len()), (11, 11));
    assert!((whole[9] - min).abs() < 1e-6 && whole[10] == 0.0);
    assert!(less[10] == 0.0);
    for (i, sigma) in less[..10].iter().enumerate() {
        assert!(
            (sigma / karras(i as f64) - 1.0).abs() < 1e-5,
            "{i}: {sigma}"
        );
    }
}

/// The step list of the WebUI's restarts, written out as its code makes it.
#[test]
fn restarts_follow_the_rule_of_the_webui() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let karras = |n: usize, min: f64, max: f64| -> Vec<f64> {
        let [a, b] = [max, min].map(|sigma| sigma.powf(1.0 / 7.0));
        let last = (n - 1) as f64;
        (0..n)
            .map(|i| (a + i as f64 / last * (b - a)).powi(7))
            .collect()
    };
    for (n, times) in [(19, 0), (20, 1), (35, 1), (36, 2), (50, 2)] {
        let plan = sampler("Restart").plan(&schedule, n).unwrap();
        let steps = if n >= 36 { n / 4 } else { 9 };
        let ratios: Vec<_> = plan
            .levels()
            .iter()
            .map(|level| level.noise_to_signal())
            .collect();
        let mut sigmas = karras(n - times * steps, 0.029_167_158_2, 14.614_641_229_333_643);
        sigmas.push(0.0);
        let nearest = |wanted: f64| {
            let distance = |i: &usize| (sigmas[*i] - wanted).abs();
            (0..sigmas.len())
                .min_by(|i, j| distance(i).total_cmp(&distance(j)))
                .unwrap()
        };
        let (low, high) = (nearest(0.1), nearest(2.0));
        // The level each step leaves, and the end: those above the low one, each restart from the high
        // one, the rest.
        let mut expected = sigmas[..low].to_vec();
        for _ in 0..times {
            expected.extend(&karras(steps + 1, sigmas[low], sigmas[high])[..steps]);
        }
        expected.extend(&sigmas[low..]);
        assert_eq!(plan.steps(), n, "{n}");
        assert_eq!(ratios.len(), expected.len(), "{n}");
        for (ratio, sigma) in ratios.iter().zip(&expected) {
            assert!(
                (ratio - sigma).abs() <= 1e-5 * sigma,
                "{n}: {ratio} {sigma}"
            );
        }
        let up = plan
            .stages()
            .iter()
            .filter(|stage| stage.stage.renoise.is_some());
        assert_eq!(up.count(), times, "{n}");
    }
}

/// The figures of the issue of a front end's names on flows, written out.
#[test]
fn grids_on_flows_are_those_of_a_table_of_steps() {
    let sigmas = |name: &str, factor: f64, n| -> Vec<f64> {
        let plan = sampler(name)
            .plan(&Shifted::flow(factor).unwrap(), n)
            .unwrap();
        plan.levels().iter().map(|level| level.sigma()).collect()
    };
    let shifted = |t: f64| 3.0 * t / (1.0 + 2.0 * t);
    assert!((sigmas("Euler simple", 3.0, 8)[1] - shifted(0.875)).abs() < 1e-15);
    assert!((sigmas("euler normal", 1.0, 4)[3] - 0.001).abs() < 1e-15);
    // ComfyUI shifts the end of these twice.
    assert!((sigmas("euler normal", 3.0, 4)[3] - shifted(shifted(0.001))).abs() < 1e-15);
    assert!((sigmas("euler discrete", 3.0, 4)[3] - shifted(0.001)).abs() < 1e-15);
    let even = 1.0 - 0.25 * (1.0 - shifted(0.001));
    assert!((sigmas("euler sgm_uniform", 3.0, 4)[1] - shifted(even)).abs() < 1e-15);
    // Curves run in sigma, which is time, and not in its ratio to the signal.
    let root = shifted(0.001_f64).powf(1.0 / 7.0);
    assert!((sigmas("euler karras", 3.0, 3)[1] - (0.5 + 0.5 * root).powi(7)).abs() < 1e-15);
    assert!((sigmas("euler exponential", 3.0, 3)[1] - shifted(0.001).sqrt()).abs() < 1e-15);
    assert_eq!(sigmas("euler linear_quadratic", 3.0, 4)[1], 0.9875);
    // Zero terminal SNR: the last step is one of sigma 4518.76.
    let zero = Discrete::stable_diffusion()
        .unwrap()
        .zero_terminal_snr()
        .unwrap();
    for grid in [
        "simple",
        "normal",
        "karras",
        "exponential",
        "beta",
        "kl_optimal",
        "lcm",
    ] {
        let plan = sampler(&format!("euler {grid}")).plan(&zero, 6).unwrap();
        let point = plan.stages()[0].point;
        assert!(
            (point.level.noise_to_signal() - 4518.763699).abs() < 1e-6,
            "{grid}"
        );
        assert_eq!(point.time, Step::new(999), "{grid}");
    }
    // Any schedule behind a pointer will do.
    let boxed: Box<dyn NoiseSchedule<Time = Step>> = Box::new(Discrete::cosine(100).unwrap());
    assert_eq!(sampler("euler simple").plan(&boxed, 5).unwrap().steps(), 5);
}

/// Ancestral steps of rectified flows, by their own formulas.
#[test]
fn ancestral_names_on_flows_take_the_step_of_flows() {
    let schedule = Shifted::flow(3.0).unwrap();
    for name in [
        "euler_ancestral simple",
        "dpmpp_2s_ancestral simple",
        "euler_a simple",
    ] {
        let plan = sampler(name).plan(&schedule, 8).unwrap();
        let levels = plan.levels();
        let drawn: Vec<f64> = plan
            .stages()
            .iter()
            .filter_map(|stage| stage.stage.commit.as_ref())
            .filter_map(|update| match update.noise {
                gaussian_diffusion::UpdateNoise::Std(std) => Some(std),
                _ => None,
            })
            .collect();
        for (i, pair) in levels.windows(2).enumerate().take(7) {
            let (s, t) = (pair[0].sigma(), pair[1].sigma());
            let down = t * t / s;
            let up = (1.0 - t) / (1.0 - down);
            let std = (t * t - (down * up).powi(2)).sqrt();
            assert!(
                (drawn[i] - std).abs() < 1e-13,
                "{name}, {i}: {} {std}",
                drawn[i]
            );
        }
        assert!((drawn[0] - 0.8330).abs() < 5e-5 && (drawn[1] - 0.7043).abs() < 5e-5);
    }
    // Elsewhere it is DDIM's.
    let plan = sampler("euler_ancestral").plan(&Edm::default(), 8).unwrap();
    let by_hand = Ancestral::new(Ddim::default(), 1.0).unwrap();
    let grid = GridName::Uniform.grid(&Edm::default(), 8).unwrap();
    assert_eq!(plan, Plan::new(&Edm::default(), &grid, &by_hand).unwrap());
}

/// Trajectory consistency, by its own formulas in one dimension: down to floor(0.7 t), and back up.
#[test]
fn tcd_goes_below_its_targets() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let plan = sampler("TCD").plan(&schedule, 4).unwrap();
    let times: Vec<_> = plan
        .stages()
        .iter()
        .map(|stage| stage.point.time.get())
        .collect();
    assert_eq!(times, [999.0, 759.0, 499.0, 259.0]);
    for (pair, stage) in times.windows(2).zip(plan.stages()) {
        let bar = |t: f64| schedule.alpha_bar(Step::new(t as usize)).unwrap();
        let (from, to, below) = (bar(pair[0]), bar(pair[1]), bar((0.7 * pair[1]).floor()));
        let up = (to / below).sqrt();
        // With x = sqrt(a) x0 + sqrt(1 - a) e, in x and x0.
        let state = up * ((1.0 - below) / (1.0 - from)).sqrt();
        let commit = stage.stage.commit.as_ref().unwrap();
        let std = (1.0 - to / below).sqrt();
        let gaussian_diffusion::UpdateNoise::Std(found) = commit.noise else {
            panic!()
        };
        assert!((found - std).abs() < 1e-12, "{found} {std}");
        if stage.stage.basis == gaussian_diffusion::Parameterization::X0 {
            assert!((commit.state - state).abs() < 1e-12);
        }
    }
}

/// A flow of ten steps of one's own, whose clock counts them.
struct TenSteps;

impl NoiseSchedule for TenSteps {
    type Time = Step;

    fn level(&self, t: Step) -> Result<NoiseLevel, Error> {
        RectifiedFlow.level(Time::new((t.get() + 1.0) / 10.0)?)
    }

    fn time_at(&self, snr: LogSnr) -> Result<Step, Error> {
        let step = 10.0 * RectifiedFlow.time_at(snr)?.get() - 1.0;
        // The first step may be missed by a rounding.
        Step::fractional(if step > -1e-9 { step.max(0.0) } else { step })
    }

    fn ends(&self) -> (Step, Step) {
        (Step::new(9), Step::new(0))
    }

    fn level_at(&self, snr: LogSnr) -> Result<NoiseLevel, Error> {
        NoiseLevel::rectified_flow(snr)
    }
}

#[test]
fn a_schedule_on_steps_keeps_its_own() {
    let sigmas = |name: &str, n| -> Vec<f64> {
        let plan = sampler(name).plan(&TenSteps, n).unwrap();
        plan.levels().iter().map(|level| level.sigma()).collect()
    };
    let near = |found: Vec<f64>, expected: &[f64]| {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-14, "{found:?}");
        }
    };
    near(sigmas("euler simple", 5), &[1.0, 0.8, 0.6, 0.4, 0.2, 0.0]);
    near(sigmas("euler normal", 4), &[1.0, 0.7, 0.4, 0.1, 0.0]);
    near(
        sigmas("euler exponential", 3),
        &[1.0, 0.1_f64.sqrt(), 0.1, 0.0],
    );
    // The step of flows.
    let plan = sampler("euler_ancestral simple")
        .plan(&TenSteps, 5)
        .unwrap();
    let update = plan.stages()[0].stage.commit.as_ref().unwrap();
    let std = (0.8_f64.powi(2) - (0.64 * 0.2 / 0.36_f64).powi(2)).sqrt();
    let gaussian_diffusion::UpdateNoise::Std(found) = update.noise else {
        panic!()
    };
    assert!((found - std).abs() < 1e-14, "{found} {std}");
}
