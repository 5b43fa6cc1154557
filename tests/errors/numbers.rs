//! What is made of numbers: levels, times, variances, schedules, grids.

use gaussian_diffusion::{
    Error, Grid, LogSnr, LogVariance, Markov, ModelVariance, NoiseLevel, NoiseSchedule,
    NonMarkovian, Parameterization, Posterior, PosteriorCoefficients, Prediction, Sigma, Step,
    Time, Variance,
    grid::{Karras, Node},
    schedule::{
        ContinuousSchedule, Cosine, Discrete, Edm, LogSnrLinear, RectifiedFlow, Respacing, Shifted,
        SubVp, VeGeometric, VpLinear,
    },
    solver::Ddim,
};
use ndarray::array;

use super::{INF, NAN, level, message, sigma, snr, time};

#[test]
fn levels_times_and_variances() {
    refused! {
        NoiseLevel::new(NAN, 1.0) => "alpha is NaN, allowed: 0, or 1e-150 to 1e150";
        NoiseLevel::new(-0.5, 1.0) => "alpha is -0.5, allowed: 0, or 1e-150 to 1e150";
        NoiseLevel::new(1.0, INF) => "sigma is inf, allowed: 0, or 1e-150 to 1e150";
        NoiseLevel::new(1.0, 0.5e-150) => "sigma is 5e-151, allowed: 0, or 1e-150 to 1e150";
        NoiseLevel::new(0.0, 0.0) => "sigma is 0, allowed: above 0 where alpha is 0";
        NoiseLevel::new(-0.0, 0.0) => "sigma is 0, allowed: above 0 where alpha is 0";
        NoiseLevel::from_alpha_bar(1.5) => "alpha_bar is 1.5, allowed: 0, or 1e-300 to 1";
        NoiseLevel::from_alpha_bar(NAN) => "alpha_bar is NaN, allowed: 0, or 1e-300 to 1";
        NoiseLevel::from_alpha_bar(-0.5) => "alpha_bar is -0.5, allowed: 0, or 1e-300 to 1";
        NoiseLevel::variance_preserving(snr(691.0)) => "log-SNR is 691, allowed: -690 to 690, or infinite";
        NoiseLevel::rectified_flow(snr(-691.0)) => "log-SNR is -691, allowed: -690 to 690, or infinite";
        NoiseLevel::variance_exploding(sigma(1e200)) => "sigma is 1e200, allowed: 0, or 1e-150 to 1e150";
        LogSnr::new(NAN) => "log-SNR is NaN, allowed: any number, also infinite";
        Step::fractional(-1.0) => "step is -1, allowed: a finite number from 0 on";
        Step::fractional(INF) => "step is inf, allowed: a finite number from 0 on";
        Time::new(-INF) => "time is -inf, allowed: a finite number";
        Sigma::new(-1.0) => "sigma is -1, allowed: a finite number from 0 on";
        Sigma::new(NAN) => "sigma is NaN, allowed: a finite number from 0 on";
        Variance::new(-0.25) => "variance is -0.25, allowed: a finite number from 0 on";
        Variance::new(INF) => "variance is inf, allowed: a finite number from 0 on";
        LogVariance::new(NAN) => "log-variance is NaN, allowed: a number up to 709";
        LogVariance::new(INF) => "log-variance is inf, allowed: a number up to 709";
    }
}

#[test]
fn posteriors_and_variances_of_steps() {
    let (noisy, clean) = (level(0.6, 0.8), level(0.8, 0.6));
    let (down, up) = (noisy.log_snr().get(), clean.log_snr().get());
    let backwards = format!("step[1] has log-SNR {down} after {up}, allowed: strictly one way");
    let standing = format!("step[1] has log-SNR {down} after {down}, allowed: strictly one way");
    let most = 1.0 / (1.0 - (0.6_f64 * 0.6 / (0.8 * 0.8)).powi(2)).sqrt();
    refused! {
        NonMarkovian::new(NAN) => "eta is NaN, allowed: a finite number from 0 on";
        NonMarkovian::new(-0.1) => "eta is -0.1, allowed: a finite number from 0 on";
        Ddim::new(INF) => "eta is inf, allowed: a finite number from 0 on";
        NonMarkovian::new(2.0).unwrap().coefficients(noisy, NoiseLevel::CLEAN) => "eta is 2, allowed: 0 to 1 for this step";
        Markov.coefficients(clean, noisy) => backwards;
        Markov.coefficients(noisy, noisy) => standing;
        Markov.variance(clean, noisy) => backwards;
        Markov.log_variance(clean, noisy) => backwards;
        Markov.forward_std(clean, noisy) => backwards;
        ModelVariance::Learned.update_noise(clean, noisy, None) => backwards;
        Markov.coefficients(NoiseLevel::CLEAN, NoiseLevel::CLEAN) => "step[1] has log-SNR inf after inf, allowed: strictly one way";
        Markov.coefficients(NoiseLevel::NOISE, NoiseLevel::NOISE) => "step[1] has log-SNR -inf after -inf, allowed: strictly one way";
    }
    let found = message(NonMarkovian::new(1e200).unwrap().coefficients(noisy, clean));
    assert!(found.ends_with("for this step"), "{found}");
    let found = message(NonMarkovian::new(1.5).unwrap().coefficients(noisy, clean));
    let limit: f64 = found
        .trim_start_matches("eta is 1.5, allowed: 0 to ")
        .trim_end_matches(" for this step")
        .parse()
        .unwrap();
    assert!((limit / most - 1.0).abs() < 1e-14, "{limit} for {most}");
}

#[test]
fn conversions_without_a_value() {
    use Parameterization::{Flow, Mean, Noise, Score, Velocity, X0};
    let broken = PosteriorCoefficients {
        state: NAN,
        clean: 1.0,
        std: 0.0,
    };
    let blind = PosteriorCoefficients {
        state: 0.5,
        clean: 0.0,
        std: 0.0,
    };
    let here = level(0.6, 0.8);
    let (pure, data) = (NoiseLevel::NOISE, NoiseLevel::CLEAN);
    let none = |what, at: NoiseLevel| {
        let written = |x: f64| {
            if x > 0.0 && x < 1e-12 || x > 1e21 {
                format!("{x:e}")
            } else {
                x.to_string()
            }
        };
        let (alpha, sigma) = (written(at.alpha()), written(at.sigma()));
        format!(
            "a conversion of {what} prediction has no value at alpha = {alpha}, sigma = {sigma}"
        )
    };
    let far = level(1e-150, 1e150);
    refused! {
        Noise.to(X0, pure) => none("a noise", pure);
        Score.to(X0, pure) => none("a score", pure);
        Score.to(Velocity, data) => none("a score", data);
        Flow.to(Score, data) => none("a score", data);
        X0.to(Noise, data) => none("an x0", data);
        Mean(blind).to(X0, here) => none("a mean", here);
        Mean(broken).to(X0, here) => none("a mean", here);
        X0.to(Mean(broken), here) => none("a mean", here);
        Mean(broken).components(here) => none("a mean", here);
        Score.components(data) => none("a score", data);
        // 1e450 is no f64.
        Score.to(X0, far) => none("a score", far);
        blind.mean_from(Noise, pure) => none("a noise", pure);
        Prediction::noise(array![1.0]).to(X0, &array![1.0], pure) => none("a noise", pure);
        Prediction::noise(array![1.0, 2.0]).to(X0, &array![1.0], here) => "x has shape [1], expected [2]";
        blind.mean(&array![1.0], &array![1.0, 2.0]) => "x_0 has shape [2], expected [1]";
        blind.sample(&array![1.0], &array![1.0, 2.0], &mut gaussian_diffusion::SeededNoise::new(0)) => "x_0 has shape [2], expected [1]";
    }
}

#[test]
fn tables_of_betas() {
    let beta = |i: usize, value: &str| format!("betas[{i}] is {value}, allowed: 1e-300 to below 1");
    let no_steps = "number of steps is 0, allowed: 1 to 16777216";
    let below = "1e-300 to below 1";
    let near = Discrete::constant(1, 0.4).unwrap().levels()[0]
        .log_snr()
        .get();
    refused! {
        Discrete::from_betas([]) => "number of steps is 0, allowed: 1 or more";
        Discrete::from_betas([0.1, NAN]) => beta(1, "NaN");
        Discrete::from_betas([0.1, -0.1]) => beta(1, "-0.1");
        Discrete::from_betas([0.0]) => beta(0, "0");
        Discrete::from_betas([0.1, 1.0]) => beta(1, "1");
        Discrete::from_betas([1e-310]) => beta(0, "1e-310");
        Discrete::from_betas([0.4, 1e-30]) => format!("levels[1] has log-SNR {near} after {near}, allowed: strictly one way");
        Discrete::from_betas([1.0 - 1e-16; 20]) => format!("alpha_bars[18] is {:e}, allowed: 1e-300 to 1", (1.0 - (1.0 - 1e-16_f64)).powi(19));
        Discrete::from_alpha_bars(&[]) => "number of steps is 0, allowed: 1 or more";
        Discrete::from_alpha_bars(&[NAN]) => "alpha_bars[0] is NaN, allowed: 1e-300 to below 1, or 0 for the last";
        Discrete::from_alpha_bars(&[0.5, 0.5]) => "alpha_bars[1] is 0.5, allowed: 1e-300 to below 0.5, or 0 for the last";
        Discrete::from_alpha_bars(&[0.0, 0.0]) => "alpha_bars[0] is 0, allowed: 1e-300 to below 1, or 0 for the last";
        Discrete::from_alpha_bars(&[INF]) => "alpha_bars[0] is inf, allowed: 1e-300 to below 1, or 0 for the last";
        Discrete::ddpm(0) => no_steps;
        Discrete::ddpm(20) => "betas[19] is 1, allowed: 1e-300 to below 1";
        Discrete::linear(0, 0.1, 0.2) => no_steps;
        Discrete::linear(3, NAN, 0.2) => beta(0, "NaN");
        Discrete::linear(3, 0.5, 1.5) => beta(1, "1");
        Discrete::scaled_linear(3, -0.1, 0.2) => format!("first beta is -0.1, allowed: {below}");
        Discrete::scaled_linear(3, 0.1, NAN) => format!("last beta is NaN, allowed: {below}");
        Discrete::cosine(0) => no_steps;
        Discrete::cosine_with(3, 1.5, 0.9) => "offset is 1.5, allowed: 0 to 1";
        Discrete::cosine_with(3, NAN, 0.9) => "offset is NaN, allowed: 0 to 1";
        Discrete::cosine_with(3, 0.1, 1.0) => format!("max beta is 1, allowed: {below}");
        Discrete::sigmoid(3, INF, 0.2) => beta(0, "NaN");
        Discrete::sigmoid_alpha_bar(0) => no_steps;
        Discrete::sigmoid_alpha_bar_with(3, NAN, 3.0, 1.0) => "start is NaN, allowed: a finite number";
        Discrete::sigmoid_alpha_bar_with(3, 3.0, 3.0, 1.0) => "end is 3, allowed: a finite number above start = 3";
        Discrete::sigmoid_alpha_bar_with(3, -3.0, INF, 1.0) => "end is inf, allowed: a finite number above start = -3";
        Discrete::sigmoid_alpha_bar_with(3, -3.0, 3.0, 0.0) => "temperature is 0, allowed: a finite number above 0";
        Discrete::constant(0, 0.1) => no_steps;
        Discrete::constant(3, 1.0) => beta(0, "1");
        Discrete::warm_up(3, 0.1, 0.2, 1.5) => "fraction is 1.5, allowed: 0 to 1";
        Discrete::warm_up(3, 0.1, 0.2, NAN) => "fraction is NaN, allowed: 0 to 1";
        Discrete::warm_up(3, 0.1, 2.0, 0.0) => beta(0, "2");
        Discrete::harmonic(0) => no_steps;
        Discrete::exponential(3, 0.0) => "rate is 0, allowed: a finite number above 0";
        Discrete::exponential(3, INF) => "rate is inf, allowed: a finite number above 0";
        Discrete::exponential(0, 12.0) => no_steps;
        Discrete::laplace(3, NAN, 0.5) => "location is NaN, allowed: a finite number";
        Discrete::laplace(3, 0.0, -0.5) => "scale is -0.5, allowed: a finite number above 0";
        Discrete::laplace(0, 0.0, 0.5) => no_steps;
    }
}

#[test]
fn discrete_schedules_off_their_steps() {
    let schedule = Discrete::constant(10, 0.1).unwrap();
    let between = Step::fractional(2.5).unwrap();
    let whole = |step: &str| format!("step is {step}, allowed: the whole steps 0 to 9");
    let (high, low) = (schedule.levels()[0], schedule.levels()[9]);
    let (high, low) = (high.log_snr().get(), low.log_snr().get());
    refused! {
        schedule.level(Step::new(10)) => "step is 10, allowed: 0 to 9";
        schedule.level_at_step(10) => whole("10");
        schedule.level_before(between) => whole("2.5");
        schedule.beta(Step::new(10)) => whole("10");
        schedule.alpha(between) => whole("2.5");
        schedule.sqrt_alpha(between) => whole("2.5");
        schedule.alpha_bar(between) => whole("2.5");
        schedule.one_minus_alpha_bar(between) => whole("2.5");
        schedule.posterior_variance(Step::new(10)) => whole("10");
        schedule.model_variance(ModelVariance::Learned, between) => whole("2.5");
        schedule.beta(Step::new(usize::MAX)) => whole(&(usize::MAX as f64).to_string());
        schedule.time_at(snr(99.0)) => format!("log-SNR is 99, allowed: {low} to {high}");
        schedule.time_at(snr(-INF)) => format!("log-SNR is -inf, allowed: {low} to {high}");
        Discrete::constant(1, 0.1).unwrap().zero_terminal_snr() => "number of steps is 1, allowed: 2 or more";
        schedule.respaced(&Respacing::of_steps(11, [0]).unwrap()) => "steps of the respacing is 11, allowed: 10, the steps of the schedule";
    }
}

#[test]
fn respacings() {
    let form = "\"ddim50\" or \"10,15,20\"";
    let stride = "\"ddimN\" with an N that an integer stride gives";
    let unreadable =
        |text: &str, form: &str| format!("respacing {text:?} cannot be read, allowed: {form}");
    refused! {
        Respacing::of_steps(0, [0]) => "number of steps is 0, allowed: 1 to 16777216";
        Respacing::of_steps(5, []) => "number of steps kept is 0, allowed: 1 or more";
        Respacing::of_steps(5, [0, 5]) => "steps[1] is 5, allowed: 1 to below 5";
        Respacing::of_steps(5, [2, 2]) => "steps[1] is 2, allowed: 3 to below 5";
        Respacing::of_steps(5, [3, 1]) => "steps[1] is 1, allowed: 4 to below 5";
        Respacing::of_sections(10, &[]) => "number of steps kept is 0, allowed: 1 or more";
        Respacing::of_sections(10, &[0, 0]) => "number of steps kept is 0, allowed: 1 or more";
        Respacing::of_sections(10, &[5, 6]) => "section counts[1] is 6, allowed: 0 to 5, the steps of this section";
        Respacing::parse("", 10) => unreadable("", form);
        Respacing::parse("ddim", 10) => unreadable("ddim", form);
        Respacing::parse("ddim-3", 10) => unreadable("ddim-3", form);
        Respacing::parse("3;4", 10) => unreadable("3;4", form);
        Respacing::parse("3,,4", 10) => unreadable("3,,4", form);
        Respacing::parse("ddim0", 10) => unreadable("ddim0", stride);
        Respacing::parse("ddim8", 10) => unreadable("ddim8", stride);
        Respacing::parse("ddim11", 10) => unreadable("ddim11", stride);
        Respacing::parse("99999999999999999999", 10) => unreadable("99999999999999999999", form);
        Respacing::parse("11", 10) => "section counts[0] is 11, allowed: 0 to 10, the steps of this section";
    }
}

#[test]
fn continuous_schedules() {
    let vp = VpLinear::new(0.1, 20.0).unwrap();
    let ve = VeGeometric::new(sigma(0.01), sigma(50.0)).unwrap();
    let linear = LogSnrLinear::new(snr(-5.0), snr(13.0)).unwrap();
    let outside = |t: f64| format!("time is {t}, allowed: 0 to 1");
    let equation = |alpha: f64, sigma: f64| {
        format!("the forward equation has no value at alpha = {alpha}, sigma = {sigma}")
    };
    let (low, high) = (-2.0 * 50.0_f64.ln(), -2.0 * 0.01_f64.ln());
    let end = vp.level(time(1.0)).unwrap().log_snr().get();
    refused! {
        VpLinear::new(NAN, 20.0) => "min beta is NaN, allowed: 1e-100 to 690";
        VpLinear::new(0.0, 20.0) => "min beta is 0, allowed: 1e-100 to 690";
        VpLinear::new(0.1, 0.05) => "max beta is 0.05, allowed: 0.1 (the min beta) to 690";
        VpLinear::new(0.1, INF) => "max beta is inf, allowed: 0.1 (the min beta) to 690";
        SubVp::new(-0.1, 20.0) => "min beta is -0.1, allowed: 1e-100 to 690";
        SubVp::new(0.1, NAN) => "max beta is NaN, allowed: 0.1 (the min beta) to 690";
        VeGeometric::new(sigma(0.0), sigma(1.0)) => "min sigma is 0, allowed: 1e-150 to 1e150";
        VeGeometric::new(sigma(1.0), sigma(1.0)) => "max sigma is 1, allowed: above 1 and up to 1e150";
        Edm::new(sigma(0.0), sigma(1.0)) => "min sigma is 0, allowed: 1e-150 to 1e150";
        Edm::new(sigma(2.0), sigma(1.0)) => "max sigma is 1, allowed: above 2 and up to 1e150";
        LogSnrLinear::new(snr(-INF), snr(1.0)) => "min log-SNR is -inf, allowed: -690 to 690";
        LogSnrLinear::new(snr(1.0), snr(1.0)) => "max log-SNR is 1, allowed: above 1 and up to 690";
        LogSnrLinear::new(snr(1.0), snr(INF)) => "max log-SNR is inf, allowed: above 1 and up to 690";
        Shifted::flow(0.0) => "shift factor is 0, allowed: 1e-6 to 1e6";
        Shifted::new(Cosine, NAN) => "shift factor is NaN, allowed: 1e-6 to 1e6";
        Shifted::for_resolution(Cosine, 64.0, 0.0) => "shift factor is inf, allowed: 1e-6 to 1e6";
        vp.level(time(1.5)) => outside(1.5);
        SubVp::new(0.1, 20.0).unwrap().level(time(-0.5)) => outside(-0.5);
        ve.level(time(2.0)) => outside(2.0);
        linear.level(time(-1e-9)) => outside(-1e-9);
        Cosine.level(time(1.5)) => outside(1.5);
        RectifiedFlow.level(time(1.5)) => outside(1.5);
        Shifted::flow(3.0).unwrap().level(time(1.5)) => outside(1.5);
        vp.sde(time(1.5)) => outside(1.5);
        vp.time_at(snr(-99.0)) => format!("log-SNR is -99, allowed: {end} to inf");
        ve.time_at(snr(INF)) => format!("log-SNR is inf, allowed: {low} to {high}");
        linear.time_at(snr(14.0)) => "log-SNR is 14, allowed: -5 to 13";
        Edm::default().time_at(snr(-INF)) => "sigma is inf, allowed: a finite number from 0 on";
        Edm::default().level_at(snr(-INF)) => "sigma is inf, allowed: 0, or 1e-150 to 1e150";
        Cosine.sde(time(1.0)) => equation(0.0, 1.0);
        RectifiedFlow.sde(time(1.0)) => equation(0.0, 1.0);
        Shifted::flow(3.0).unwrap().sde(time(1.0)) => equation(0.0, 1.0);
    }
}

#[test]
fn grids() {
    let (table, edm) = (Discrete::constant(10, 0.1).unwrap(), Edm::default());
    let steps = |list: &[usize]| list.iter().map(|&i| Step::new(i)).collect::<Vec<_>>();
    let snr_of = |i: usize| table.levels()[i].log_snr().get();
    let order = |i: usize, this: f64, before: f64| {
        format!("grid[{i}] has log-SNR {this} after {before}, allowed: strictly one way")
    };
    let no_steps = "number of steps is 0, allowed: 1 to 16777216";
    let node = Node {
        level: level(0.6, 0.8),
        time: time(0.5),
    };
    let one = Grid::new(vec![node], NoiseLevel::CLEAN).unwrap();
    refused! {
        Grid::<Time>::new(vec![], NoiseLevel::CLEAN) => "number of steps is 0, allowed: 1 or more";
        Grid::new(vec![node, node], NoiseLevel::CLEAN) => order(1, node.level.log_snr().get(), node.level.log_snr().get());
        Grid::at(&table, &[]) => "number of steps is 0, allowed: 1 or more";
        Grid::at(&Cosine, &[time(0.0)]) => "number of steps is 0, allowed: 1 or more";
        Grid::at(&table, &steps(&[3, 7])) => order(2, INF, snr_of(7));
        Grid::at(&table, &steps(&[7, 3, 3])) => order(2, snr_of(3), snr_of(3));
        Grid::at(&table, &steps(&[10])) => "step is 10, allowed: 0 to 9";
        Grid::at_log_snrs(&table, &[snr(99.0)]) => format!("log-SNR is 99, allowed: {} to {}", snr_of(9), snr_of(0));
        one.clone().ending_at(node.level) => order(1, node.level.log_snr().get(), node.level.log_snr().get());
        one.with_times(&[]) => "times to tell has 0 entries for a batch of 1";
        Grid::leading(&table, 0, 0) => "number of steps is 0, allowed: 1 to 10, the steps of the schedule";
        Grid::leading(&table, 11, 0) => "number of steps is 11, allowed: 1 to 10, the steps of the schedule";
        Grid::leading(&table, 10, 1) => "step is 10, allowed: 0 to 9";
        Grid::leading(&table, 2, usize::MAX) => format!("step is {}, allowed: 0 to 9", usize::MAX as f64);
        Grid::trailing(&table, 0) => "number of steps is 0, allowed: 1 to 10, the steps of the schedule";
        Grid::trailing(&table, 11) => "number of steps is 11, allowed: 1 to 10, the steps of the schedule";
        Grid::linspace(&table, 0) => "number of steps is 0, allowed: 1 to 10, the steps of the schedule";
        Grid::linspace(&table, 11) => "number of steps is 11, allowed: 1 to 10, the steps of the schedule";
        Grid::uniform_time(&Cosine, 0) => no_steps;
        Grid::uniform_log_snr(&edm, 0) => no_steps;
        Grid::uniform_log_snr(&Cosine, 3) => "first log-SNR is -inf, allowed: a finite number";
        Grid::uniform_log_snr_between(&Cosine, 3, snr(0.0), snr(INF)) => "last log-SNR is inf, allowed: a finite number";
        Grid::uniform_log_snr_between(&Cosine, 2, snr(1.0), snr(0.0)) => order(2, INF, 0.0);
        Grid::karras(&edm, 0) => no_steps;
        Grid::karras(&Cosine, 3) => "sigma is inf, allowed: a finite number from 0 on";
        Grid::karras(&VpLinear::new(0.1, 20.0).unwrap(), 3) => "min sigma is 0, allowed: above 0";
        Karras::new(sigma(1.0), sigma(1.0), 7.0) => "max sigma is 1, allowed: above 1, the min sigma";
        Karras::new(sigma(1.0), sigma(0.0), 7.0) => "min sigma is 0, allowed: above 0";
        Karras::new(sigma(2.0), sigma(1.0), NAN) => "exponent is NaN, allowed: 1e-3 to 1e3";
        Grid::leading(&table, 10, 0).unwrap().inverted().rounded(&table) => format!("log-SNR is inf, allowed: {} to {}", snr_of(9), snr_of(0));
        Grid::uniform_log_snr(&table, 40).unwrap().rounded(&table).map(|_| ()).map_err(|_| Error::Finished) => "a prediction was supplied to a run that has ended";
    }
}
