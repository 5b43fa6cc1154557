//! The one loop: plans of every shape replayed by hand, tensors of other types, dynamic types.

use std::sync::Arc;

use gaussian_diffusion::{
    Clock, Denoiser, Error, ForwardProcess, GaussianMixture, Grid, LogSnr, ModelVariance,
    NoiseLevel, NoiseSchedule, Parameterization, Plan, Point, Prediction, ReverseStep, SeededNoise,
    Sigma, State, Step, Time, UpdateNoise,
    guidance::Strength,
    likelihood::ProbabilityFlow,
    noise::{Interval, NoiseSource, Scale},
    predicts,
    schedule::{Cosine, Discrete, Edm, Interpolant},
    solver::{At, Ddim, Ddpm, Path, Stage, Update},
    state::{Elements, InItself},
    training::{Ema, EmaRule, InputPerturbation},
};
use ndarray::{Array1, Array2, array};

/// A network without symmetry: nonlinear in the state, and in the time it is given.
fn net(x: f64, t: f64) -> f64 {
    0.8 * x.tanh() + 0.2 * (2.0 * x + t).cos()
}

/// Euler's and Heun's methods in sigma / alpha, in terms of x0, for levels with alpha = 1.
#[derive(Debug)]
struct Heun;

impl ReverseStep for Heun {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (from, to) = (path.from().sigma(), path.to().sigma());
        let euler = Update::new(to / from).with_model([1.0 - to / from]);
        let first = Stage::new(At::From, Parameterization::X0);
        if to == 0.0 {
            return Ok(vec![first.with_commit(euler)]);
        }
        // x + (to - from) ((x - m0) / from + (x' - m1) / to) / 2, with x' written out.
        let h = 0.5 * (to - from);
        let state = 1.0 + h / from + h / to * (to / from);
        let newest = -h / to;
        let oldest = -h / from + h / to * (1.0 - to / from);
        let second = Stage::new(At::To, Parameterization::X0);
        let correct = Update::new(state).with_model([newest, oldest]);
        Ok(vec![first.with_trial(euler), second.with_commit(correct)])
    }

    fn name(&self) -> &str {
        "Heun"
    }

    fn memory(&self) -> usize {
        2
    }

    fn order(&self) -> u32 {
        2
    }
}

#[test]
fn a_two_stage_run_is_the_method_by_hand() {
    let schedule = Edm::default();
    let grid = Grid::karras(&schedule, 7).unwrap();
    let plan = Plan::new(&schedule, &grid, &Heun).unwrap();
    assert_eq!(plan.evaluations(), 13);
    assert!(plan.defect().unwrap() < 1e-13);
    let mut x = 31.0;
    let start = array![x];
    let sigmas: Vec<f64> = grid.levels().map(|level| level.sigma()).collect();
    for pair in sigmas.windows(2) {
        let (s, t) = (pair[0], pair[1]);
        let d = (x - net(x, s)) / s;
        let guess = x + (t - s) * d;
        x = match t {
            0.0 => guess,
            _ => x + (t - s) * 0.5 * (d + (guess - net(guess, t)) / t),
        };
    }
    let mut network = predicts::x0(|x: &Array1<f64>, at: Point<gaussian_diffusion::Sigma>| {
        x.mapv(|x| net(x, at.time.get()))
    });
    let found = plan
        .sample(start, &mut network, &mut SeededNoise::new(0))
        .unwrap();
    assert!((found[0] - x).abs() < 1e-12, "{found} for {x}");
}

/// The measured order tells one stage from two.
#[cfg(feature = "laws")]
#[test]
fn a_two_stage_run_has_order_two() {
    let measured = gaussian_diffusion::laws::measured_order(&Heun, &Edm::default()).unwrap();
    assert!((measured - 2.0).abs() < 0.2, "{measured}");
}

/// Three predictions, none of them the same: an update of the newest and the two before it.
#[derive(Debug)]
struct Multistep(usize);

impl ReverseStep for Multistep {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let known = self.0.min(path.index() + 1);
        let weights: Vec<f64> = (0..known).map(|i| 0.5 - 0.3 * i as f64).collect();
        let update = Update::new(0.9).with_model(weights);
        Ok(vec![
            Stage::new(At::From, Parameterization::Noise).with_commit(update),
        ])
    }

    fn name(&self) -> &str {
        "multi-step"
    }

    fn memory(&self) -> usize {
        self.0
    }
}

#[test]
fn a_multistep_run_is_the_recursion_by_hand_and_forgets() {
    let schedule = Discrete::cosine(100).unwrap();
    let grid = Grid::trailing(&schedule, 12).unwrap();
    for memory in 1..=6 {
        let plan = Plan::new(&schedule, &grid, &Multistep(memory)).unwrap();
        let (mut x, mut past) = (0.4, Vec::new());
        for node in grid.nodes() {
            let p: f64 = net(x, node.time.get() / 100.0);
            // The network says v; the solver works with the noise.
            past.insert(0, node.level.sigma() * x + node.level.alpha() * p);
            x *= 0.9;
            for (i, eps) in past.iter().take(memory).enumerate() {
                x += (0.5 - 0.3 * i as f64) * eps;
            }
        }
        let mut noise = SeededNoise::new(0);
        let mut run = plan.start_from(array![0.4], &mut noise).unwrap();
        while let Some((x, at)) = run.pending() {
            let answer = Prediction::velocity(x.mapv(|x| net(x, at.time.get() / 100.0)));
            run.supply(answer, &mut noise).unwrap();
            assert!(run.predictions_kept() <= memory);
        }
        assert!(
            (run.state()[0] - x).abs() < 1e-12,
            "memory {memory}: {} for {x}",
            run.state()
        );
    }
}

/// Noise before an evaluation, at a noisier level between the nodes.
#[derive(Debug)]
struct Churn;

impl ReverseStep for Churn {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (from, to) = (path.from(), path.to());
        let snr = LogSnr::new(from.log_snr().get() - 0.5)?;
        let raised = path.level_at(snr)?;
        let scale = raised.alpha() / from.alpha();
        let std = (raised.sigma().powi(2) - (scale * from.sigma()).powi(2)).sqrt();
        let state = to.sigma() / raised.sigma();
        let step = Update::new(state).with_model([to.alpha() - state * raised.alpha()]);
        Ok(vec![
            Stage::new(At::LogSnr(snr), Parameterization::X0)
                .with_renoise(Update::new(scale).with_noise(UpdateNoise::Std(std)))
                .with_commit(step),
        ])
    }

    fn name(&self) -> &str {
        "churn"
    }
}

#[test]
fn noise_before_an_evaluation_keeps_the_law() {
    // Even in log-SNR with room for the noise that is added at the first node.
    let snrs: Vec<_> = (0..9)
        .map(|i| LogSnr::new(f64::from(i) - 4.0).unwrap())
        .collect();
    let grid = Grid::at_log_snrs(&Cosine, &snrs).unwrap();
    let plan = Plan::new(&Cosine, &grid, &Churn).unwrap();
    assert!(
        plan.defect().unwrap() < 1e-12,
        "{:e}",
        plan.defect().unwrap()
    );
    let mut noise = SeededNoise::new(4);
    let mut run = plan.start_from(array![1.0_f64], &mut noise).unwrap();
    let mut asked = 0;
    while let Some((_, at)) = run.pending() {
        assert!((at.level.log_snr().get() - (at.from.log_snr().get() - 0.5)).abs() < 1e-12);
        assert!((Cosine.level(at.time).unwrap().alpha() - at.level.alpha()).abs() < 1e-12);
        run.supply(Prediction::x0(array![2.0]), &mut noise).unwrap();
        asked += 1;
    }
    assert_eq!((asked, noise.draws()), (9, 9));
    assert!((run.into_state()[0] - 2.0).abs() < 1e-12);
}

/// A short DDPM run, element by element, with the noise drawn outside and Ho's own formulas.
#[test]
fn a_short_ddpm_run_by_hand() {
    let betas = [0.1, 0.2, 0.4];
    let schedule = Discrete::from_betas(betas).unwrap();
    let plan = Plan::new(
        &schedule,
        &Grid::every(&schedule).unwrap(),
        &Ddpm::default(),
    )
    .unwrap();
    let mut noise = SeededNoise::new(6);
    let mut zs = Vec::new();
    for _ in 0..3 {
        let mut z = Array2::<f64>::zeros((2, 2));
        noise.add(&mut z, Scale::Same(1.0), None).unwrap();
        zs.push(z);
    }
    let mut x = zs[0].clone();
    for t in (0..3).rev() {
        let bar = |t: usize| betas[..t].iter().map(|b| 1.0 - b).product::<f64>();
        let (ab, ab_before, beta) = (bar(t + 1), bar(t), betas[t]);
        let eps = x.mapv(|x| net(x, t as f64));
        x = (&x - &(eps * (beta / (1.0 - ab).sqrt()))) / (1.0 - beta).sqrt();
        if t > 0 {
            x += &(&zs[3 - t] * (beta * (1.0 - ab_before) / (1.0 - ab)).sqrt());
        }
    }
    let mut noise = SeededNoise::new(6);
    let start = plan.prior((2, 2), &mut noise).unwrap();
    let mut network =
        predicts::noise(|x: &Array2<f64>, at: Point<Step>| x.mapv(|x| net(x, at.time.get())));
    let found = plan.sample(start, &mut network, &mut noise).unwrap();
    assert!(
        found.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-13),
        "{found} for {x}"
    );
    // Two draws between three steps, and the prior.
    assert_eq!(noise.draws(), 3);
}

/// A draw that is thrown away comes before that of the update, in every stage that says so.
#[test]
fn draws_are_thrown_away_before_those_of_the_updates() {
    #[derive(Debug)]
    struct Wasteful;
    impl ReverseStep for Wasteful {
        fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
            let stages = Ddpm::default().stages(path)?.into_iter();
            Ok(stages.map(Stage::with_discarded_draw).collect())
        }

        fn name(&self) -> &str {
            "wasteful"
        }
    }
    #[derive(Default)]
    struct Told(Vec<&'static str>);
    impl NoiseSource<Array1<f64>> for Told {
        fn add(
            &mut self,
            _: &mut Array1<f64>,
            _: Scale<'_, Array1<f64>>,
            _: Option<Interval>,
        ) -> Result<(), Error> {
            self.0.push("drawn");
            Ok(())
        }

        fn discard(&mut self, like: &Array1<f64>) -> Result<(), Error> {
            assert_eq!(like.len(), 2);
            self.0.push("thrown away");
            Ok(())
        }
    }
    let schedule = Discrete::from_betas([0.1, 0.2, 0.4]).unwrap();
    let grid = Grid::every(&schedule).unwrap();
    let plan = Plan::new(&schedule, &grid, &Wasteful).unwrap();
    let mut network = predicts::noise(|x: &Array1<f64>, _: Point<Step>| x * 0.5);
    let mut noise = Told::default();
    plan.sample(array![0.3, -0.2], &mut network, &mut noise)
        .unwrap();
    let (thrown, drawn) = ("thrown away", "drawn");
    assert_eq!(noise.0, [thrown, drawn, thrown, drawn, thrown]);
}

/// A learned variance, in both forms, against the elementwise formula.
#[test]
fn learned_variances_scale_the_noise_of_each_element() {
    let schedule = Discrete::cosine(20).unwrap();
    let grid = Grid::at(&schedule, &[Step::new(15)]).unwrap();
    let to = schedule.level_at_step(9).unwrap();
    let grid = grid.ending_at(to).unwrap();
    let x = array![[0.5, -1.0], [2.0, 0.1]];
    let predictions = array![[-1.0, 0.25], [1.0, -3.0]];
    let mut z = Array2::<f64>::zeros((2, 2));
    SeededNoise::new(3)
        .add(&mut z, Scale::Same(1.0), None)
        .unwrap();
    for variance in [ModelVariance::Learned, ModelVariance::LearnedRange] {
        let plan = Plan::new(&schedule, &grid, &Ddpm::new(variance)).unwrap();
        let mut network = predicts::with(|x: &Array2<f64>, _: Point<Step>| {
            Ok(Prediction::x0(x * 0.0).with_variance(predictions.clone()))
        });
        let mut noise = SeededNoise::new(3);
        let found = plan.sample(x.clone(), &mut network, &mut noise).unwrap();
        let from = schedule.level_at_step(15).unwrap();
        let large = 1.0 - (from.alpha() / to.alpha()).powi(2);
        let small = large * (to.sigma() / from.sigma()).powi(2);
        let state = (from.alpha() / to.alpha()) * (to.sigma() / from.sigma()).powi(2);
        for (at, found) in found.indexed_iter() {
            let log = match variance {
                ModelVariance::Learned => predictions[at],
                _ => small.ln() + (large.ln() - small.ln()) * (predictions[at] + 1.0) / 2.0,
            };
            let expected = state * x[at] + (0.5 * log).exp() * z[at];
            assert!(
                (found - expected).abs() < 1e-12,
                "{variance:?}: {found} for {expected}"
            );
        }
    }
}

/// An f32 run follows the f64 run of the same seed.
#[test]
fn single_precision_follows_double() {
    let schedule = Discrete::stable_diffusion().unwrap();
    for solver in [&Ddpm::default() as &dyn ReverseStep, &Ddim::default()] {
        let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 20).unwrap(), solver).unwrap();
        let mixture = GaussianMixture::isotropic(&[
            (0.5, &[-1.0, 0.3][..], 0.1),
            (0.5, &[0.7, 0.2][..], 0.2),
        ])
        .unwrap();
        let (mut a, mut b) = (SeededNoise::new(5), SeededNoise::new(5));
        let wide: Array2<f64> = plan.prior((8, 2), &mut a).unwrap();
        let narrow: Array2<f32> = plan.prior((8, 2), &mut b).unwrap();
        let wide = plan.sample(wide, &mut mixture.clone(), &mut a).unwrap();
        let narrow = plan.sample(narrow, &mut mixture.clone(), &mut b).unwrap();
        for (a, b) in wide.iter().zip(&narrow) {
            assert!((a - f64::from(*b)).abs() < 2e-5, "{a} {b}");
        }
    }
}

/// A tensor type of another library, in seven methods.
#[derive(Debug, Clone, PartialEq)]
struct Tensor {
    items: usize,
    data: Vec<f32>,
}

impl Tensor {
    fn check(&self, other: &Self) -> Result<(), Error> {
        if (self.items, self.data.len()) == (other.items, other.data.len()) {
            return Ok(());
        }
        let shape = |t: &Self| vec![t.items, t.data.len() / t.items.max(1)];
        Err(Error::Shape {
            what: "tensor",
            expected: shape(self),
            found: shape(other),
        })
    }
}

impl State for Tensor {
    type Keeping = InItself;

    fn items(&self) -> usize {
        self.items
    }

    fn combine(&mut self, own: f64, terms: &[(f64, &Self)]) -> Result<(), Error> {
        let own = vec![own; self.items];
        let lists: Vec<_> = terms.iter().map(|(c, _)| vec![*c; self.items]).collect();
        let terms: Vec<_> = lists
            .iter()
            .zip(terms)
            .map(|(list, (_, term))| (list.as_slice(), *term))
            .collect();
        self.combine_items(&own, &terms)
    }

    fn combine_items(&mut self, own: &[f64], terms: &[(&[f64], &Self)]) -> Result<(), Error> {
        for list in terms.iter().map(|(list, _)| *list).chain([own]) {
            if list.len() != self.items {
                let (expected, found) = (self.items, list.len());
                return Err(Error::BatchLength {
                    what: "coefficients",
                    expected,
                    found,
                });
            }
        }
        terms.iter().try_for_each(|(_, term)| self.check(term))?;
        let length = self.data.len() / self.items.max(1);
        for (i, y) in self.data.iter_mut().enumerate() {
            let item = i / length;
            let mut sum = if own[item] == 0.0 {
                0.0
            } else {
                own[item] as f32 * *y
            };
            for (list, term) in terms {
                sum += list[item] as f32 * term.data[i];
            }
            *y = sum;
        }
        Ok(())
    }

    fn dot_items(&self, other: &Self) -> Result<Vec<f64>, Error> {
        self.check(other)?;
        let length = self.data.len() / self.items.max(1);
        let product = |i: usize| f64::from(self.data[i]) * f64::from(other.data[i]);
        let items = 0..self.items;
        Ok(items
            .map(|item| (item * length..(item + 1) * length).map(product).sum())
            .collect())
    }

    fn clamp(&mut self, low: f64, high: f64) -> Result<(), Error> {
        self.data
            .iter_mut()
            .for_each(|y| *y = y.clamp(low as f32, high as f32));
        Ok(())
    }

    fn exp_affine(&mut self, offset: f64, scale: f64) -> Result<(), Error> {
        self.data
            .iter_mut()
            .for_each(|y| *y = (offset as f32 + scale as f32 * *y).exp());
        Ok(())
    }

    fn is_finite(&self) -> bool {
        self.data.iter().all(|y| y.is_finite())
    }
}

/// What is more than sums, in three methods.
impl Elements for Tensor {
    fn shape(&self) -> Vec<usize> {
        vec![self.items, self.data.len() / self.items.max(1)]
    }

    fn numbers(&self) -> Result<Vec<f64>, Error> {
        Ok(self.data.iter().map(|x| f64::from(*x)).collect())
    }

    fn of_numbers(&self, shape: &[usize], numbers: &[f64]) -> Result<Self, Error> {
        Ok(Self {
            items: shape[0],
            data: numbers.iter().map(|x| *x as f32).collect(),
        })
    }
}

fn tensor(x: &Array2<f32>) -> Tensor {
    Tensor {
        items: x.nrows(),
        data: x.iter().copied().collect(),
    }
}

fn batch(which: usize) -> Array2<f32> {
    Array2::from_shape_fn((3, 8), |(i, j)| {
        (which as f32 + 1.3 * i as f32 + 0.7 * j as f32).sin()
    })
}

#[cfg(feature = "laws")]
#[test]
fn arrays_and_another_tensor_keep_the_laws_of_elements() {
    use gaussian_diffusion::laws;
    let one = Tensor {
        items: 1,
        data: vec![1.0, 2.0],
    };
    assert_eq!(one.spread(&[2, 2]).unwrap().data, [1.0, 2.0, 1.0, 2.0]);
    let two = Tensor {
        items: 2,
        data: vec![1.0, 2.0],
    };
    assert_eq!(
        two.spread(&[2, 3]).unwrap().data,
        [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]
    );
    for shape in [&[2][..], &[2, 2, 1], &[2, 3]] {
        let refused = one.spread(shape).unwrap_err().to_string();
        assert_eq!(
            refused,
            format!("shape has shape {shape:?}, expected [1, 2]")
        );
    }
    let [x, y] = [1, 2].map(batch);
    let other = batch(3).reversed_axes();
    laws::elements(&x, &y, &other, 1e-6).unwrap();
    laws::elements(
        &tensor(&x),
        &tensor(&y),
        &tensor(&batch(3).reversed_axes().as_standard_layout().into_owned()),
        1e-6,
    )
    .unwrap();
    // In another layout, in double precision, with three axes and with one.
    let turned = |x: &Array2<f32>| x.mapv(f64::from).reversed_axes();
    laws::elements(&turned(&x), &turned(&y), &batch(3).mapv(f64::from), 1e-14).unwrap();
    let deep = |x: &Array2<f32>| x.clone().into_shape_with_order((3, 2, 4)).unwrap();
    laws::elements(
        &deep(&x),
        &deep(&y),
        &deep(&x).permuted_axes([0, 2, 1]),
        1e-6,
    )
    .unwrap();
    let flat = |x: &Array2<f32>| x.iter().copied().collect::<ndarray::Array1<f32>>();
    laws::elements(&flat(&x), &flat(&y), &ndarray::Array1::zeros(5), 1e-6).unwrap();
}

/// A `combine_items` that multiplies what is to be forgotten by 0 is found.
#[cfg(feature = "laws")]
#[test]
fn the_laws_find_a_product_with_nan() {
    use gaussian_diffusion::laws;
    #[derive(Debug, Clone)]
    struct Wrong(Tensor);
    impl State for Wrong {
        type Keeping = InItself;

        fn items(&self) -> usize {
            self.0.items()
        }

        fn combine(&mut self, own: f64, terms: &[(f64, &Self)]) -> Result<(), Error> {
            let terms: Vec<_> = terms.iter().map(|(c, t)| (*c, &t.0)).collect();
            self.0.combine(own, &terms)
        }

        fn combine_items(&mut self, own: &[f64], terms: &[(&[f64], &Self)]) -> Result<(), Error> {
            let mut scaled = self.clone();
            let terms: Vec<_> = terms.iter().map(|(c, t)| (*c, &t.0)).collect();
            scaled.0.combine_items(own, &terms)?;
            let length = self.0.data.len() / self.0.items.max(1);
            let olds = self
                .0
                .data
                .iter()
                .enumerate()
                .map(|(i, x)| x * own[i / length] as f32);
            // Adds 0 times the old value, as a broadcast product does.
            scaled
                .0
                .data
                .iter_mut()
                .zip(olds)
                .enumerate()
                .for_each(|(i, (x, old))| {
                    if own[i / length] == 0.0 {
                        *x += old;
                    }
                });
            *self = scaled;
            Ok(())
        }

        fn dot_items(&self, other: &Self) -> Result<Vec<f64>, Error> {
            self.0.dot_items(&other.0)
        }

        fn clamp(&mut self, low: f64, high: f64) -> Result<(), Error> {
            self.0.clamp(low, high)
        }

        fn exp_affine(&mut self, offset: f64, scale: f64) -> Result<(), Error> {
            self.0.exp_affine(offset, scale)
        }

        fn is_finite(&self) -> bool {
            self.0.is_finite()
        }
    }
    let [x, y] = [1, 2].map(|which| tensor(&batch(which)));
    let other = Tensor {
        items: 2,
        data: vec![0.0; 6],
    };
    let read = |x: &Tensor| x.data.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
    laws::state(&x, &y, &other, read, 1e-6).unwrap();
    let broken = laws::state(&Wrong(x), &Wrong(y), &Wrong(other), |x| read(&x.0), 1e-6);
    let law = broken.unwrap_err().law;
    assert_eq!(law, "an own coefficient of 0 forgets, item by item");
}

/// Every source, mask, threshold and loss on a tensor of another library gives what it gives on an array.
#[test]
fn what_works_on_arrays_works_on_another_tensor() {
    use gaussian_diffusion::{
        denoiser::DynamicThreshold,
        editing::{Inpaint, Known},
        guidance::{Combination, Guided, Together},
        noise::{BrownianPath, NoNoise, TorchCpu, TorchCuda},
        rand::{SeedableRng, rngs::StdRng},
        training::OffsetNoise,
    };
    let level = |alpha, sigma| NoiseLevel::new(alpha, sigma).unwrap();
    let over = Some(Interval {
        from: level(0.6, 0.8),
        to: level(0.8, 0.6),
    });
    let (x, std) = (batch(1), batch(2).mapv(f32::abs));
    macro_rules! same_noise {
        ($($source:expr),*) => {$({
            let (mut a, mut b) = ($source, $source);
            let (mut array, mut other) = (x.clone(), tensor(&x));
            let list = [0.5, 1.5, 2.5];
            a.add(&mut array, Scale::Same(0.5), over).unwrap();
            b.add(&mut other, Scale::Same(0.5), over).unwrap();
            a.add(&mut array, Scale::PerItem(&list), None).unwrap();
            b.add(&mut other, Scale::PerItem(&list), None).unwrap();
            a.add(&mut array, Scale::PerElement(&std), None).unwrap();
            b.add(&mut other, Scale::PerElement(&tensor(&std)), None).unwrap();
            assert_eq!(other, tensor(&array), "{}", stringify!($source));
            NoiseSource::fill(&mut a, &mut array).unwrap();
            NoiseSource::fill(&mut b, &mut other).unwrap();
            assert_eq!(other, tensor(&array), "{}", stringify!($source));
        })*};
    }
    same_noise!(
        SeededNoise::new(3),
        SeededNoise::per_item([3, 5, 7]),
        BrownianPath::new(SeededNoise::new(3)),
        TorchCpu::new(3),
        TorchCuda::new(3),
        OffsetNoise::new(SeededNoise::new(3), 0.3).unwrap(),
        StdRng::seed_from_u64(3)
    );

    // A guided run with a threshold and a mask, on both.
    let schedule = Discrete::cosine(50).unwrap();
    let grid = Grid::trailing(&schedule, 10).unwrap();
    let plan = Plan::new(&schedule, &grid, &Ddpm::new(ModelVariance::FixedSmall)).unwrap();
    let soft = Array2::from_shape_fn((3, 8), |(_, j)| [0.0, 0.3, 0.7, 1.0][j % 4]);
    let binary = soft.mapv(f32::round);
    let guided = Combination::classifier_free(3.0).unwrap();
    for weights in [soft, binary] {
        for held in [false, true] {
            macro_rules! sample {
                ($V:ty, $of:expr, $net:expr) => {{
                    let known = Known::new($of(&batch(4)), $of(&weights)).unwrap();
                    let inpaint = Inpaint::new(known.clone(), SeededNoise::new(8));
                    let mut inpaint = if held {
                        inpaint.with_held_noise()
                    } else {
                        inpaint
                    };
                    let net = Guided::new(
                        Together::new(predicts::x0($net), 2).unwrap(),
                        guided.clone(),
                    );
                    let threshold = DynamicThreshold::new(0.7)
                        .unwrap()
                        .with_maximum(2.0)
                        .unwrap();
                    let net = Denoiser::<$V, Step>::corrected(net, threshold);
                    let mut net = Denoiser::<$V, Step>::corrected(net, known);
                    let mut noise = SeededNoise::new(1);
                    let start = plan.prior_like(&$of(&batch(1)), &mut noise).unwrap();
                    plan.sample_edited(start, &mut net, &mut inpaint, &mut noise)
                        .unwrap()
                }};
            }
            let answer = |i: usize, x: f32| if i < 24 { 1.5 * x } else { x * 0.5 + 0.1 };
            let array = sample!(
                Array2<f32>,
                Array2::clone,
                |x: &Array2<f32>, _: Point<Step>| {
                    let numbers = x.iter().enumerate().map(|(i, x)| answer(i, *x)).collect();
                    Array2::from_shape_vec(x.dim(), numbers).unwrap()
                }
            );
            let other = sample!(Tensor, tensor, |x: &Tensor, _: Point<Step>| Tensor {
                items: x.items,
                data: x
                    .data
                    .iter()
                    .enumerate()
                    .map(|(i, x)| answer(i, *x))
                    .collect(),
            });
            // A quotient there is a product with an inverse here.
            for (a, b) in array.iter().zip(&other.data) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
            let known = batch(4);
            let kept = array.iter().zip(&known).zip(&weights);
            assert!(
                kept.filter(|(_, w)| **w == 1.0)
                    .all(|((x, known), _)| x == known)
            );
        }
    }
    let plan = Plan::new(
        &schedule,
        &grid,
        &gaussian_diffusion::solver::Ddim::default(),
    )
    .unwrap();
    let mut net = predicts::x0(|x: &Tensor, _: Point<Step>| x.clone());
    assert!(plan.sample(tensor(&x), &mut net, &mut NoNoise).is_ok());
}

/// A configuration's network on a tensor of another library.
#[cfg(feature = "serde")]
#[test]
fn a_configuration_takes_another_tensor() {
    use gaussian_diffusion::config::SchedulerConfig;
    for more in [
        r#""clip_sample": true, "prediction_type": "v_prediction""#,
        r#""clip_sample": false, "thresholding": true, "sample_max_value": 1.5"#,
    ] {
        let text = format!(
            r#"{{"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": false, {more}}}"#
        );
        let config = SchedulerConfig::from_json(&text).unwrap();
        let plan = config.plan(8).unwrap();
        let mut noise = SeededNoise::new(1);
        let start = plan.prior_like(&batch(1), &mut noise).unwrap();
        let mut net = config.denoiser(|x: &Array2<f32>, _| Ok(x * 0.5));
        let array = plan.sample(start.clone(), &mut net, &mut noise).unwrap();
        let half = |x: &Tensor, _: f64| {
            Ok(Tensor {
                items: x.items,
                data: x.data.iter().map(|x| x * 0.5).collect(),
            })
        };
        let other = plan
            .sample(tensor(&start), &mut config.denoiser(half), &mut noise)
            .unwrap();
        for (a, b) in array.iter().zip(&other.data) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}

/// Its noise, by way of ndarray.
struct TensorNoise(SeededNoise);

impl NoiseSource<Tensor> for TensorNoise {
    fn add(
        &mut self,
        x: &mut Tensor,
        scale: Scale<'_, Tensor>,
        over: Option<Interval>,
    ) -> Result<(), Error> {
        let shape = (x.items, x.data.len() / x.items.max(1));
        let mut z = Array2::<f32>::zeros(shape);
        self.0.add(&mut z, Scale::Same(1.0), over)?;
        let length = shape.1;
        for (i, (x, z)) in x.data.iter_mut().zip(&z).enumerate() {
            *x += z * match scale {
                Scale::Same(std) => std as f32,
                Scale::PerItem(list) => list[i / length] as f32,
                Scale::PerElement(std) => std.data[i],
            };
        }
        Ok(())
    }
}

#[test]
fn another_tensor_type_runs_everything() {
    let schedule = Discrete::cosine(50).unwrap();
    let grid = Grid::trailing(&schedule, 10).unwrap();
    for variance in [ModelVariance::FixedSmall, ModelVariance::LearnedRange] {
        let plan = Plan::new(&schedule, &grid, &Ddpm::new(variance)).unwrap();
        let predictions = |x: f32, t: f64| net(f64::from(x), t / 50.0) as f32;
        let start: Array2<f32> = plan.prior((3, 4), &mut SeededNoise::new(1)).unwrap();
        let mut network = predicts::with(|x: &Array2<f32>, at: Point<Step>| {
            let value = x.mapv(|x| predictions(x, at.time.get()));
            Ok(Prediction::noise(value).with_variance(x.mapv(f32::sin)))
        });
        let mut network = Denoiser::<Array2<f32>, Step>::clipped(&mut network, -1.0, 1.0).unwrap();
        let mut noise = SeededNoise::new(1).with_first_draw(1);
        let array = plan
            .sample(start.clone(), &mut network, &mut noise)
            .unwrap();

        let mut network = predicts::with(|x: &Tensor, at: Point<Step>| {
            let map = |f: &dyn Fn(f32) -> f32| Tensor {
                items: x.items,
                data: x.data.iter().map(|x| f(*x)).collect(),
            };
            let value = map(&|x| predictions(x, at.time.get()));
            Ok(Prediction::noise(value).with_variance(map(&f32::sin)))
        });
        let mut network = Denoiser::<Tensor, Step>::clipped(&mut network, -1.0, 1.0).unwrap();
        let start = Tensor {
            items: 3,
            data: start.into_iter().collect(),
        };
        let mut noise = TensorNoise(SeededNoise::new(1).with_first_draw(1));
        let tensor = plan.sample(start, &mut network, &mut noise).unwrap();
        // Single precision, and exp of another library.
        for (a, b) in array.iter().zip(&tensor.data) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
    let x0 = Tensor {
        items: 2,
        data: vec![1.0, 2.0, 3.0, 4.0],
    };
    let times = [Step::new(3), Step::new(40)];
    let (xt, eps) = schedule
        .draw_jump(&x0, &times, &mut TensorNoise(SeededNoise::new(1)))
        .unwrap();
    assert_eq!(xt, schedule.jump(&x0, &times, &eps).unwrap());
}

/// Rules of inner products per item, and the systems of a batch, on a tensor of another library.
#[test]
fn another_tensor_type_is_guided() {
    use gaussian_diffusion::guidance::{
        CfgZeroStar, Combination, MagnitudeAwareCfg, Predictions, Projected, Rescaled, Rule,
        TangentialCfg,
    };
    fn rules<V: State + 'static>() -> Vec<Box<dyn Rule<V>>> {
        let cfg = Combination::classifier_free(3.0).unwrap();
        vec![
            Box::new(Rescaled::new(cfg, 0.7).unwrap()),
            Box::new(Projected::new(3.0).unwrap().with_norm(0.5).unwrap()),
            Box::new(TangentialCfg::new(3.0).unwrap()),
            Box::new(CfgZeroStar::new(3.0, 0).unwrap()),
            Box::new(MagnitudeAwareCfg::new(3.0, 2.0).unwrap()),
        ]
    }
    let (c, u) = (
        array![[1.0_f32, -0.25, 0.5], [2.0, 0.1, 0.7]],
        array![[0.3_f32, 1.5, -2.0], [0.0, 0.4, -0.6]],
    );
    let tensor = |x: &Array2<f32>| Tensor {
        items: 2,
        data: x.iter().copied().collect(),
    };
    let level = NoiseLevel::new(0.6, 0.8).unwrap();
    let at = Point::new((), level, NoiseLevel::CLEAN);
    for (mut of_arrays, mut of_tensors) in rules::<Array2<f32>>().into_iter().zip(rules::<Tensor>())
    {
        let predictions = Predictions::new(vec![Some(c.clone()), Some(u.clone())]);
        let array = of_arrays.combine(predictions, at).unwrap();
        let predictions = Predictions::new(vec![Some(tensor(&c)), Some(tensor(&u))]);
        let found = of_tensors.combine(predictions, at).unwrap();
        for (a, b) in array.iter().zip(&found.data) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
    let half = gaussian_diffusion::editing::slerp(&tensor(&c), &tensor(&u), 0.5).unwrap();
    let expected = gaussian_diffusion::editing::slerp(&c, &u, 0.5).unwrap();
    for (a, b) in expected.iter().zip(&half.data) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}

#[cfg(feature = "laws")]
#[test]
fn another_tensor_type_keeps_the_laws() {
    let tensor = |items, data: &[f32]| Tensor {
        items,
        data: data.to_vec(),
    };
    let (x, y) = (
        tensor(2, &[1.0, -0.25, 0.5, 2.0]),
        tensor(2, &[0.3, 1.5, -2.0, 0.0]),
    );
    let read = |v: &Tensor| v.data.iter().map(|x| f64::from(*x)).collect();
    gaussian_diffusion::laws::state(&x, &y, &tensor(2, &[1.0, 2.0]), read, 1e-6).unwrap();
}

#[test]
fn dynamic_types_do_what_static_types_do() {
    let fixed = Discrete::cosine(100).unwrap();
    let grid = Grid::trailing(&fixed, 5).unwrap();
    let expected = Plan::new(&fixed, &grid, &Ddim::default()).unwrap();
    let schedule: Box<dyn NoiseSchedule<Time = Step>> = Box::new(fixed);
    let solvers: [Box<dyn ReverseStep>; 2] = [Box::new(Ddim::default()), Box::new(Ddpm::default())];
    let grid = Grid::trailing(&*schedule, 5).unwrap();
    assert_eq!(
        Plan::new(&*schedule, &grid, &*solvers[0]).unwrap(),
        expected
    );
    let mut network: Box<dyn Denoiser<Array2<f32>, Step>> =
        Box::new(predicts::noise(|x: &Array2<f32>, _: Point<Step>| x * 0.5));
    let mut noise: Box<dyn NoiseSource<Array2<f32>>> = Box::new(SeededNoise::new(1));
    let plan = Plan::new(&schedule, &grid, &solvers[1]).unwrap();
    let start = plan.prior((2, 2), &mut *noise).unwrap();
    let x = plan.sample(start, &mut network, &mut *noise).unwrap();
    assert!(x.is_finite());
    let eps = Array2::<f32>::ones((2, 2));
    assert_eq!(
        schedule.jump(&eps, Step::new(3), &eps).unwrap().dim(),
        (2, 2)
    );
}

/// One plan, many threads: each run owns its state.
#[test]
fn plans_are_shared_by_concurrent_runs() {
    let schedule = Discrete::cosine(100).unwrap();
    let plan = Plan::new(
        &schedule,
        &Grid::every(&schedule).unwrap(),
        &Ddpm::default(),
    )
    .unwrap();
    let plan = Arc::new(plan);
    let run = |seed: u64, plan: Arc<Plan<Step>>| {
        let mut noise = SeededNoise::new(seed);
        let mut network = GaussianMixture::point(&[0.1, 0.2]).unwrap();
        let start: Array2<f32> = plan.prior((3, 2), &mut noise).unwrap();
        plan.sample(start, &mut network, &mut noise).unwrap()
    };
    let threads: Vec<_> = (0..4)
        .map(|seed| {
            let plan = Arc::clone(&plan);
            std::thread::spawn(move || run(seed, plan))
        })
        .collect();
    for (seed, thread) in threads.into_iter().enumerate() {
        assert_eq!(thread.join().unwrap(), run(seed as u64, Arc::clone(&plan)));
    }
}

/// Encoding data as noise and decoding it again comes back, at first order in the number of steps.
#[test]
fn inversion_and_sampling_return_at_first_order() {
    let schedule = Discrete::cosine(1000).unwrap();
    let mixture =
        GaussianMixture::isotropic(&[(0.5, &[-1.0][..], 0.2), (0.5, &[1.0][..], 0.2)]).unwrap();
    let x0 = array![[-1.3], [-0.7], [0.9], [1.1]];
    let mut errors = Vec::new();
    for n in [50, 100, 200] {
        let grid = Grid::trailing(&schedule, n).unwrap();
        let forth = Plan::new(&schedule, &grid.inverted(), &Ddim::default()).unwrap();
        let back = Plan::new(&schedule, &grid, &Ddim::default()).unwrap();
        let mut noise = SeededNoise::new(0);
        // The clean level says x0 of itself only in terms of the noise.
        let mut network = predicts::with(|x: &Array2<f64>, at: Point<Step>| {
            let level = if at.level.is_clean() { at.to } else { at.level };
            let mut exact = mixture.clone();
            let answer = exact.predict(x, Point::new(at.time, level, at.to))?;
            answer.to(Parameterization::Noise, x, level)
        });
        let code = forth.sample(x0.clone(), &mut network, &mut noise).unwrap();
        let again = back.sample(code, &mut network, &mut noise).unwrap();
        errors.push(
            (&again - &x0)
                .iter()
                .fold(0.0_f64, |worst, d| worst.max(d.abs())),
        );
    }
    let order = (errors[0] / errors[2]).log2() / 2.0;
    assert!(
        errors[2] < 0.05 && (0.7..1.5).contains(&order),
        "{errors:?}, order {order}"
    );
}

/// The forward chain, step by step, has the law of the jump: in closed form.
#[test]
fn steps_compose_to_the_jump() {
    let schedule = Discrete::cosine(40).unwrap();
    let (one, zero) = (array![1.0_f64], array![0.0_f64]);
    let (mut scale, mut variance) = (1.0, 0.0);
    for i in 0..40 {
        let t = Step::new(i);
        // The coefficients of x and of eps, read off.
        let keep = schedule.step(&one, t, &zero).unwrap()[0];
        let add = schedule.step(&zero, t, &one).unwrap()[0];
        scale *= keep;
        variance = variance * keep * keep + add * add;
        let q = schedule.marginal(&one, t).unwrap();
        assert!((scale - q.mean[0]).abs() < 1e-13, "{i}");
        assert!((variance.sqrt() - q.std[0]).abs() < 1e-13, "{i}");
    }
    // Between two levels after a jump is the jump to the second.
    let (s, t) = (Time::new(0.3).unwrap(), Time::new(0.8).unwrap());
    let keep = Cosine.between(&one, s, t, &zero).unwrap()[0];
    let add = Cosine.between(&zero, s, t, &one).unwrap()[0];
    let (a, b) = (Cosine.level(s).unwrap(), Cosine.level(t).unwrap());
    assert!((keep * a.alpha() - b.alpha()).abs() < 1e-15);
    assert!(((keep * a.sigma()).powi(2) + add * add - b.sigma().powi(2)).abs() < 1e-15);
    assert_eq!(
        Cosine.level(Time::new(0.0).unwrap()).unwrap(),
        NoiseLevel::CLEAN
    );
}

/// A tensor kept in itself has the running averages of an array, rounded as it is.
#[test]
fn another_tensor_is_averaged_as_an_array_is() {
    let rule = EmaRule::warm_up(2.0, 0.75, 0.99).unwrap();
    let values = |k: usize| (0..6).map(move |i| ((i + 5 * k) as f64 * 0.37).sin());
    let tensor = |k| Tensor {
        items: 3,
        data: values(k).map(|x| x as f32).collect(),
    };
    let array = |k| Array1::from_iter(values(k));
    let (mut ours, mut wanted) = (Ema::new(rule, tensor(0)), Ema::new(rule, array(0)));
    for k in 1..40 {
        ours.update(&tensor(k)).unwrap();
        wanted.update(&array(k)).unwrap();
        // Half an ulp of a number up to 1 from every update, and its decay lets 40 of them add up.
        for (x, y) in ours.average().data.iter().zip(wanted.average()) {
            assert!((f64::from(*x) - y).abs() < 40.0 * 6e-8, "{k}: {x} {y}");
        }
    }
    let one = Tensor {
        items: 1,
        data: vec![1.0],
    };
    assert!(ours.update(&one).is_err());
}

#[test]
fn predictions_are_in_the_terms_of_their_name() {
    use Parameterization::{Flow, Noise, Score, Velocity, X0};
    for (prediction, terms) in [
        (Prediction::noise(0.5), Noise),
        (Prediction::x0(0.5), X0),
        (Prediction::velocity(0.5), Velocity),
        (Prediction::score(0.5), Score),
        (Prediction::flow(0.5), Flow),
    ] {
        assert_eq!(
            (prediction.value, prediction.parameterization),
            (0.5, terms)
        );
    }
}

/// What holds a function or a network says the rest of itself.
#[test]
fn debug_forms_leave_functions_out() {
    let form = |x: &dyn std::fmt::Debug| format!("{x:?}");
    assert_eq!(form(&Strength::from(2.0)), "Strength(2)");
    assert_eq!(
        form(&Strength::from(vec![1.0, 2.5])),
        "Strength([1.0, 2.5])"
    );
    assert_eq!(form(&Strength::of_level(|_| 1.0)), "Strength(of level)");
    let same = InputPerturbation::new(0.1).unwrap();
    assert_eq!(form(&same), "InputPerturbation(0.1)");
    let of_level = InputPerturbation::of_level(|_| 0.1);
    assert_eq!(form(&of_level), "InputPerturbation(of level)");
    let path = Interpolant::new(|t| (1.0 - t, -1.0), |t| (t, 1.0)).unwrap();
    assert_eq!(form(&path), "Interpolant { has_latent_noise: false, .. }");
    let flow = form(&ProbabilityFlow::new(&Cosine).unwrap());
    assert!(flow.starts_with("ProbabilityFlow { noisiest: "), "{flow}");
    let mut noise = SeededNoise::new(0);
    let grid = Grid::uniform_time(&Cosine, 2).unwrap();
    let plan = Plan::new(&Cosine, &grid, &Ddim::default()).unwrap();
    let run = form(&plan.start_from(array![[0.5]], &mut noise).unwrap());
    assert!(
        run.starts_with("Run { plan: Borrowed(Plan { name: \"DDIM\""),
        "{run}"
    );
    let parallel = form(&plan.start_parallel(array![[0.5]], noise, 2).unwrap());
    assert!(
        parallel.starts_with("ParallelRun { run: Run { plan: ")
            && parallel.ends_with("batches: 0, evaluations: 0, .. }"),
        "{parallel}"
    );
    let average = form(&Ema::new(EmaRule::constant(0.5).unwrap(), array![0.5]));
    assert!(
        average.starts_with("Ema { rule: ") && average.ends_with("updates: 0 }"),
        "{average}"
    );
}

/// What a network of sigmas is told at the end of a step is the end itself, and the geometric mean half-way.
#[test]
fn sigmas_are_told_along_their_logarithms() {
    let sigma = |x: f64| Sigma::new(x).unwrap();
    for (a, b) in [(0.3, 7.7), (80.0, 0.002), (1e-3, 1.1)] {
        let (from, to) = (sigma(a), sigma(b));
        assert_eq!(from.heard_toward(to, 1.0), to);
        assert_eq!(from.heard_toward(to, 0.0), from);
        let middle = from.heard_toward(to, 0.5).get();
        assert!(
            (middle / (a * b).sqrt() - 1.0).abs() < 1e-15,
            "{a} {b}: {middle}"
        );
    }
    // A sigma of 0 has no logarithm: the way there is straight.
    let (none, two) = (sigma(0.0), sigma(2.0));
    assert_eq!(none.heard_toward(two, 0.25), sigma(0.5));
    assert_eq!(two.heard_toward(none, 0.25), sigma(1.5));
}
