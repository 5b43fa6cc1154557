//! Every solver against its paper's own notation: slow plain loops that share nothing with the crate.
//!
//! Here integrals are taken numerically from Lagrange polynomials, order conditions are solved as the
//! linear systems the papers state, and noise is drawn where the equations have it.

use std::cell::Cell;

use gaussian_diffusion::{
    Error, Grid, LogSnr, NoiseLevel, NoiseSchedule, Parameterization, Plan, Point, ReverseStep,
    Sigma,
    noise::{Interval, NoiseSource, Scale},
    plan::Restart,
    predicts,
    schedule::{Cosine, Edm, RectifiedFlow},
    solver::{
        Ancestral, Churn, Consistency, Coordinates, Ddim, Ddpm, Descent, DpmSde, DpmSolver,
        DpmSolver2MV2, ErSde, EulerMaruyama, ExponentialAdams, Langevin, LinearMultistep,
        NodeBlocks, Pndm, RungeKutta, SaSolver, SingleStep, UniPc,
    },
};
use ndarray::Array1;

/// The draw of this number: any list of numbers will do, as long as both sides have the same.
fn normal(draw: usize) -> f64 {
    (1.7 + 2.3 * draw as f64).sin() * 1.5
}

struct Drawn(usize);

impl NoiseSource<Array1<f64>> for Drawn {
    fn add(
        &mut self,
        x: &mut Array1<f64>,
        scale: Scale<'_, Array1<f64>>,
        _: Option<Interval>,
    ) -> Result<(), Error> {
        let Scale::Same(std) = scale else {
            unreachable!()
        };
        *x += std * normal(self.0);
        self.0 += 1;
        Ok(())
    }
}

/// A level: alpha and sigma.
#[derive(Clone, Copy, PartialEq)]
struct L {
    a: f64,
    s: f64,
}

impl L {
    fn l(self) -> f64 {
        (self.a / self.s).ln()
    }
    fn rho(self) -> f64 {
        self.s / self.a
    }
    fn clean(self) -> bool {
        self.s == 0.0
    }
}

/// A network that no data would give, so that no two formulas agree by accident.
fn net(x: f64, at: L) -> f64 {
    let y = x / (at.a + at.s);
    0.7 * (1.3 * y).tanh() + 0.2 * (2.0 * y + 0.4 * at.l().clamp(-9.0, 9.0)).cos()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Family {
    Vp,
    Ve,
    Flow,
}

/// A run by hand.
struct World {
    family: Family,
    levels: Vec<L>,
    drawn: Cell<usize>,
}

impl World {
    fn level(&self, lambda: f64) -> L {
        let rho = (-lambda).exp();
        let a = match self.family {
            Family::Vp => 1.0 / (1.0 + rho * rho).sqrt(),
            Family::Ve => 1.0,
            Family::Flow => 1.0 / (1.0 + rho),
        };
        L { a, s: a * rho }
    }
    fn z(&self) -> f64 {
        self.drawn.set(self.drawn.get() + 1);
        normal(self.drawn.get() - 1)
    }
    fn n(&self) -> usize {
        self.levels.len() - 1
    }
    /// `(index, from, to)`.
    fn steps(&self) -> impl Iterator<Item = (usize, L, L)> + '_ {
        self.levels
            .windows(2)
            .enumerate()
            .map(|(i, w)| (i, w[0], w[1]))
    }
}

fn eps(x: f64, at: L) -> f64 {
    (x - at.a * net(x, at)) / at.s
}

/// The composite rule of Boole on 2000 pieces.
fn integrate(a: f64, b: f64, f: impl Fn(f64) -> f64) -> f64 {
    let n = 2000;
    let h = (b - a) / (4 * n) as f64;
    let w = [7.0, 32.0, 12.0, 32.0, 7.0];
    let mut sum = 0.0;
    for i in 0..n {
        for (j, w) in w.iter().enumerate() {
            sum += w * f(a + h * (4 * i + j) as f64);
        }
    }
    sum * 2.0 * h / 45.0
}

/// The polynomial through `(node, value)`.
fn lagrange(points: &[(f64, f64)], at: f64) -> f64 {
    let mut sum = 0.0;
    for (i, &(node, value)) in points.iter().enumerate() {
        let mut term = value;
        for (j, &(other, _)) in points.iter().enumerate() {
            if i != j {
                term *= (at - other) / (node - other);
            }
        }
        sum += term;
    }
    sum
}

/// Gaussian elimination.
#[allow(clippy::needless_range_loop, reason = "two rows at a time")]
fn solve(mut m: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        let p = (i..n)
            .max_by(|&p, &q| m[p][i].abs().total_cmp(&m[q][i].abs()))
            .unwrap();
        m.swap(i, p);
        b.swap(i, p);
        for r in i + 1..n {
            let f = m[r][i] / m[i][i];
            for c in i..n {
                m[r][c] -= f * m[i][c];
            }
            b[r] -= f * b[i];
        }
    }
    for i in (0..n).rev() {
        for c in i + 1..n {
            b[i] -= m[i][c] * b[c];
        }
        b[i] /= m[i][i];
    }
    b
}

/// The last `count` of a list, as points of a polynomial.
fn last(points: &[(f64, f64)], count: usize) -> &[(f64, f64)] {
    &points[points.len().saturating_sub(count)..]
}

// ------------------------------------------------------------------ multi-step, exponential

fn adams_data(w: &World, mut x: f64, order: usize) -> f64 {
    let mut seen = Vec::new();
    for (_, s, t) in w.steps() {
        seen.push((s.l(), net(x, s)));
        if t.clean() {
            return seen.last().unwrap().1;
        }
        let p = last(&seen, order);
        x = t.s / s.s * x + t.s * integrate(s.l(), t.l(), |l| l.exp() * lagrange(p, l));
    }
    x
}

fn adams_noise(w: &World, mut x: f64, order: usize) -> f64 {
    let mut seen = Vec::new();
    for (_, s, t) in w.steps() {
        seen.push((s.l(), eps(x, s)));
        if t.clean() {
            return net(x, s);
        }
        let p = last(&seen, order);
        x = t.a / s.a * x - t.a * integrate(s.l(), t.l(), |l| (-l).exp() * lagrange(p, l));
    }
    x
}

fn adams_flow(w: &World, mut x: f64, order: usize) -> f64 {
    let u = |k: L| k.s / (k.a + k.s);
    let mut seen = Vec::new();
    for (_, s, t) in w.steps() {
        seen.push((s.l(), eps(x, s) - net(x, s)));
        if t.clean() {
            return net(x, s);
        }
        let p = last(&seen, order);
        let y = x / (s.a + s.s) + integrate(u(s), u(t), |u| lagrange(p, ((1.0 - u) / u).ln()));
        x = (t.a + t.s) * y;
    }
    x
}

/// DPM-Solver++ 2M and 3M as their authors write them.
fn dpm_plus_plus(w: &World, mut x: f64, order: usize, heun: bool) -> f64 {
    let mut m: Vec<f64> = Vec::new();
    for (i, s, t) in w.steps() {
        m.insert(0, net(x, s));
        if t.clean() {
            return m[0];
        }
        let h = t.l() - s.l();
        let e = (-h).exp();
        let back = |k: usize| (w.levels[i - k + 1].l() - w.levels[i - k].l()) / h;
        let base = t.s / s.s * x - t.a * (e - 1.0) * m[0];
        x = match order.min(i + 1) {
            1 => base,
            2 => {
                let d1 = (m[0] - m[1]) / back(1);
                base + match heun {
                    false => -0.5 * t.a * (e - 1.0) * d1,
                    true => t.a * ((e - 1.0) / h + 1.0) * d1,
                }
            }
            _ => {
                let (r0, r1) = (back(1), back(2));
                let (d10, d11) = ((m[0] - m[1]) / r0, (m[1] - m[2]) / r1);
                let d1 = d10 + r0 / (r0 + r1) * (d10 - d11);
                let d2 = (d10 - d11) / (r0 + r1);
                base + t.a * ((e - 1.0) / h + 1.0) * d1 - t.a * ((e - 1.0 + h) / (h * h) - 0.5) * d2
            }
        };
    }
    x
}

/// DPM-Solver 2M and 3M, for the noise.
fn dpm_noise(w: &World, mut x: f64, order: usize) -> f64 {
    let mut m: Vec<f64> = Vec::new();
    for (i, s, t) in w.steps() {
        m.insert(0, eps(x, s));
        if t.clean() {
            return net(x, s);
        }
        let h = t.l() - s.l();
        let e = h.exp();
        let back = |k: usize| (w.levels[i - k + 1].l() - w.levels[i - k].l()) / h;
        let base = t.a / s.a * x - t.s * (e - 1.0) * m[0];
        x = match order.min(i + 1) {
            1 => base,
            2 => base - 0.5 * t.s * (e - 1.0) * (m[0] - m[1]) / back(1),
            _ => {
                let (r0, r1) = (back(1), back(2));
                let (d10, d11) = ((m[0] - m[1]) / r0, (m[1] - m[2]) / r1);
                let d1 = d10 + r0 / (r0 + r1) * (d10 - d11);
                let d2 = (d10 - d11) / (r0 + r1);
                base - t.s * ((e - 1.0) / h - 1.0) * d1 - t.s * ((e - 1.0 - h) / (h * h) - 0.5) * d2
            }
        };
    }
    x
}

/// SDE-DPM-Solver++ 2M at the reverse of the forward process.
fn sde_plus_plus(w: &World, mut x: f64, order: usize) -> f64 {
    let mut m: Vec<f64> = Vec::new();
    for (i, s, t) in w.steps() {
        m.insert(0, net(x, s));
        if t.clean() {
            return m[0];
        }
        let h = t.l() - s.l();
        let c = t.a * (1.0 - (-2.0 * h).exp());
        x = t.s / s.s * (-h).exp() * x + c * m[0];
        if order == 2 && i > 0 {
            x += 0.5 * c * (m[0] - m[1]) * h / (s.l() - w.levels[i - 1].l());
        }
        x += t.s * (1.0 - (-2.0 * h).exp()).sqrt() * w.z();
    }
    x
}

/// SDE-DPM-Solver 2M, for the noise.
fn sde_noise(w: &World, mut x: f64, order: usize) -> f64 {
    let mut m: Vec<f64> = Vec::new();
    for (i, s, t) in w.steps() {
        m.insert(0, eps(x, s));
        if t.clean() {
            return net(x, s);
        }
        let h = t.l() - s.l();
        let c = t.s * (h.exp() - 1.0);
        x = t.a / s.a * x - 2.0 * c * m[0];
        if order == 2 && i > 0 {
            x -= c * (m[0] - m[1]) * h / (s.l() - w.levels[i - 1].l());
        }
        x += t.s * ((2.0 * h).exp() - 1.0).sqrt() * w.z();
    }
    x
}

/// UniPC, with the matrix `R_p(h)` and the vector of the paper; `sign` is -1 for the data.
fn unipc(w: &World, x: f64, order: usize, bh1: bool, of_noise: bool) -> f64 {
    let predict = |x: f64, at: L| if of_noise { eps(x, at) } else { net(x, at) };
    // One update of `p` unknown differences: those of `others`, relative to `m` at `s`.
    let update = |x: f64, s: L, t: L, m: f64, others: &[(f64, f64)]| {
        let h = t.l() - s.l();
        let hh = if of_noise { h } else { -h };
        let b_h = if bh1 { hh } else { hh.exp() - 1.0 };
        let p = others.len();
        let r: Vec<f64> = others.iter().map(|o| (o.0 - s.l()) / h).collect();
        let mut matrix = Vec::new();
        let mut right = Vec::new();
        let (mut phi, mut factorial) = ((hh.exp() - 1.0) / hh - 1.0, 1.0);
        for k in 1..=p {
            matrix.push(r.iter().map(|r| r.powi(k as i32 - 1)).collect());
            factorial *= k as f64;
            right.push(phi * factorial / b_h);
            phi = phi / hh - 1.0 / (factorial * (k + 1) as f64);
        }
        let a = match p {
            1 => vec![0.5],
            _ => solve(matrix, right),
        };
        let sum: f64 = (0..p).map(|k| a[k] * (others[k].1 - m) / r[k]).sum();
        match of_noise {
            true => t.a / s.a * x - t.s * (hh.exp() - 1.0) * m - t.s * b_h * sum,
            false => t.s / s.s * x - t.a * (hh.exp() - 1.0) * m - t.a * b_h * sum,
        }
    };
    // `x` predicted at the node, `base` the corrected state of the node before.
    let (mut x, mut base) = (x, x);
    let mut seen: Vec<(f64, f64)> = Vec::new();
    for (i, s, t) in w.steps() {
        let m = predict(x, s);
        if i > 0 {
            let p = order.min(i);
            let mut others: Vec<_> = (2..=p).map(|k| seen[seen.len() - k]).collect();
            others.push((s.l(), m));
            let before = w.levels[i - 1];
            base = update(base, before, s, seen[seen.len() - 1].1, &others);
        }
        seen.push((s.l(), m));
        if t.clean() {
            // The prediction is made before the correction, and not made again.
            return match of_noise {
                true => (base - s.s * m) / s.a,
                false => m,
            };
        }
        let p = order.min(i + 1);
        let others: Vec<_> = (2..=p).map(|k| seen[seen.len() - k]).collect();
        x = update(base, s, t, m, &others);
    }
    x
}

/// SA-Solver with its two special numbers for two nodes, as the authors' code has it.
fn sa_solver(
    w: &World,
    x: f64,
    (predictor, corrector): (usize, usize),
    tau: f64,
    simple: bool,
) -> f64 {
    let k = 1.0 + tau * tau;
    let drift = |s: L, t: L, p: &[(f64, f64)]| {
        let h = t.l() - s.l();
        let mut sum = integrate(s.l(), t.l(), |l| (k * (l - t.l())).exp() * lagrange(p, l));
        if let ([older, newer], true) = (p, simple) {
            let slope = (newer.1 - older.1) / (newer.0 - older.0);
            let exact = (h * k - 1.0 + (-k * h).exp()) / (k * k);
            sum += slope * (0.5 * h * h - exact);
        }
        k * t.a * sum
    };
    let (mut x, mut base, mut noise) = (x, x, 0.0);
    let mut seen: Vec<(f64, f64)> = Vec::new();
    for (i, s, t) in w.steps() {
        let m = net(x, s);
        seen.push((s.l(), m));
        if i > 0 && corrector > 0 {
            let b = w.levels[i - 1];
            let kept = s.s / b.s * (-(k - 1.0) * (s.l() - b.l())).exp();
            x = kept * base + drift(b, s, last(&seen, corrector.min(i + 1))) + noise;
        }
        if t.clean() {
            return m;
        }
        base = x;
        let h = t.l() - s.l();
        let std = t.s * (1.0 - (-2.0 * tau * tau * h).exp()).sqrt();
        noise = if tau > 0.0 { std * w.z() } else { 0.0 };
        let kept = t.s / s.s * (-(k - 1.0) * h).exp();
        x = kept * base + drift(s, t, last(&seen, predictor)) + noise;
    }
    x
}

/// As the loop of stable-diffusion.cpp has it, in the data scale.
fn dpm_2m_v2(w: &World, mut x: f64) -> f64 {
    let mut old = None;
    for (_, s, t) in w.steps() {
        let m = net(x, s);
        if t.clean() {
            return m;
        }
        let h = t.l() - s.l();
        let kept = t.s / s.s;
        x = match old {
            None => kept * x + t.a * (1.0 - (-h).exp()) * m,
            Some((h_last, m_last)) => {
                let r = f64::max(h_last, h) / f64::min(h_last, h);
                let d = (1.0 + 1.0 / (2.0 * r)) * m - 1.0 / (2.0 * r) * m_last;
                kept * x + t.a * (1.0 - (-(h_last + h) / 2.0).exp()) * d
            }
        };
        old = Some((h, m));
    }
    x
}

// ------------------------------------------------------------------ single-step, exponential

/// Algorithms 1 and 2 of DPM-Solver.
fn dpm_single_noise(w: &World, mut x: f64, orders: &[usize]) -> f64 {
    for (i, s, t) in w.steps() {
        let e0 = eps(x, s);
        if t.clean() {
            return net(x, s);
        }
        let h = t.l() - s.l();
        let euler = |t: L| t.a / s.a * x - t.s * ((t.l() - s.l()).exp() - 1.0) * e0;
        x = match orders.get(i).or(orders.last()).unwrap() {
            1 => euler(t),
            2 => {
                let middle = w.level(s.l() + 0.5 * h);
                let e1 = eps(euler(middle), middle);
                t.a / s.a * x - t.s * (h.exp() - 1.0) * e1
            }
            _ => {
                let (r1, r2) = (1.0 / 3.0, 2.0 / 3.0);
                let (a, b) = (w.level(s.l() + r1 * h), w.level(s.l() + r2 * h));
                let d1 = eps(euler(a), a) - e0;
                let u2 = euler(b) - b.s * r2 / r1 * (((r2 * h).exp() - 1.0) / (r2 * h) - 1.0) * d1;
                let d2 = eps(u2, b) - e0;
                euler(t) - t.s / r2 * ((h.exp() - 1.0) / h - 1.0) * d2
            }
        };
    }
    x
}

/// DPM-Solver++ 2S and 3S.
fn dpm_single_data(w: &World, mut x: f64, order: usize, r: f64, exact: bool) -> f64 {
    for (_, s, t) in w.steps() {
        let m0 = net(x, s);
        if t.clean() {
            return m0;
        }
        let h = t.l() - s.l();
        let euler = |t: L| t.s / s.s * x - t.a * ((s.l() - t.l()).exp() - 1.0) * m0;
        x = match order {
            2 => {
                let middle = w.level(s.l() + r * h);
                let d = net(euler(middle), middle) - m0;
                let c = match exact {
                    true => t.a * (((-h).exp() - 1.0) / h + 1.0) / r,
                    false => -t.a * ((-h).exp() - 1.0) / (2.0 * r),
                };
                euler(t) + c * d
            }
            _ => {
                let (r1, r2) = (1.0 / 3.0, 2.0 / 3.0);
                let (a, b) = (w.level(s.l() + r1 * h), w.level(s.l() + r2 * h));
                let d1 = net(euler(a), a) - m0;
                let u2 = euler(b) + b.a * r2 / r1 * (((-r2 * h).exp() - 1.0) / (r2 * h) + 1.0) * d1;
                let d2 = net(u2, b) - m0;
                euler(t) + t.a / r2 * (((-h).exp() - 1.0) / h + 1.0) * d2
            }
        };
    }
    x
}

/// The single-step DPM-Solver++ of the authors, its inner points the nodes of the grid.
fn node_blocks(w: &World, mut x: f64, order: usize) -> f64 {
    let mut i = 0;
    while i < w.n() {
        let s = w.levels[i];
        let m0 = net(x, s);
        let to = |k: usize| w.levels[(i + k).min(w.n())];
        let euler = |t: L| t.s / s.s * x - t.a * ((s.l() - t.l()).exp() - 1.0) * m0;
        // Nothing lies between the last node and the data.
        let usable = w.levels[i + 1..].iter().filter(|k| !k.clean()).count();
        let size = order.min(usable);
        if size == 0 {
            return m0;
        }
        let t = to(size);
        let h = t.l() - s.l();
        let second = |t: L, m1: f64, k: L| {
            let (h, r) = (t.l() - s.l(), (k.l() - s.l()) / (t.l() - s.l()));
            euler(t) - t.a * ((-h).exp() - 1.0) / (2.0 * r) * (m1 - m0)
        };
        x = match size {
            1 => euler(t),
            2 => second(t, net(euler(to(1)), to(1)), to(1)),
            _ => {
                let u2 = second(to(2), net(euler(to(1)), to(1)), to(1));
                let r2 = (to(2).l() - s.l()) / h;
                let d2 = net(u2, to(2)) - m0;
                euler(t) + t.a / r2 * (((-h).exp() - 1.0) / h + 1.0) * d2
            }
        };
        i += size;
    }
    x
}

/// SEEDS: the stochastic integral `sigma_t sqrt(2 eta) int e^(-eta (l_t - l)) dW / sqrt(..)` over the
/// parts of a step, each part with a normal of its own.
fn seeds(w: &World, mut x: f64, order: usize, eta: f64) -> f64 {
    for (_, s, t) in w.steps() {
        let m0 = net(x, s);
        if t.clean() {
            return m0;
        }
        let h = t.l() - s.l();
        let k = 1.0 + eta;
        let fractions: &[f64] = match order {
            1 => &[1.0],
            2 => &[0.5, 1.0],
            _ => &[1.0 / 3.0, 2.0 / 3.0, 1.0],
        };
        // In e^(eta l) / sigma the noise is a martingale: increments simply add up.
        let mut martingale = 0.0;
        let mut points: Vec<(f64, f64)> = vec![(s.l(), m0)];
        let mut before = s;
        for (i, f) in fractions.iter().enumerate() {
            let at = if *f == 1.0 { t } else { w.level(s.l() + f * h) };
            let variance = (2.0 * eta * at.l()).exp() - (2.0 * eta * before.l()).exp();
            martingale += variance.sqrt() * w.z();
            let used: Vec<_> = match i {
                0 => vec![points[0]],
                _ => vec![points[0], points[i]],
            };
            let mut drift = integrate(s.l(), at.l(), |l| {
                (k * (l - at.l())).exp() * lagrange(&used, l)
            });
            if order == 2 && i == 1 {
                // The midpoint rule: half of what a slope over the whole step would give.
                let whole = integrate(s.l(), at.l(), |l| (k * (l - at.l())).exp());
                drift = whole * (m0 + (points[1].1 - m0) / (2.0 * 0.5));
            }
            let kept = at.s / s.s * (-eta * (at.l() - s.l())).exp();
            let noise = at.s * (-eta * at.l()).exp() * martingale;
            let u = kept * x + k * at.a * drift + noise;
            if *f == 1.0 {
                x = u;
            } else {
                points.push((at.l(), net(u, at)));
            }
            before = at;
        }
    }
    x
}

/// ER-SDE: `x_t / alpha_t = n_t / n_s x_s / alpha_s + n_t int n' / n^2 p d(-rho) + noise`.
fn er_sde(w: &World, mut x: f64, order: usize) -> f64 {
    let n = |r: f64| r * (r.powf(0.3).exp() + 10.0);
    let slope = |r: f64| r.powf(0.3).exp() * (1.0 + 0.3 * r.powf(0.3)) + 10.0;
    let mut seen = Vec::new();
    for (_, s, t) in w.steps() {
        seen.push((s.rho(), net(x, s)));
        if t.clean() {
            return seen.last().unwrap().1;
        }
        let p = last(&seen, order);
        let r = n(t.rho()) / n(s.rho());
        let sum = integrate(s.rho(), t.rho(), |q| {
            -slope(q) / n(q).powi(2) * lagrange(p, q)
        });
        let std = (t.rho().powi(2) - (r * s.rho()).powi(2)).sqrt();
        x = t.a * (r * x / s.a + n(t.rho()) * sum + std * w.z());
    }
    x
}

// ------------------------------------------------------------------ in sigma / alpha

/// The slope `dy / d rho` of `y = x / alpha`.
fn slope(y: f64, at: L) -> f64 {
    eps(y * at.a, at)
}

fn lms(w: &World, x: f64, order: usize) -> f64 {
    let mut y = x / w.levels[0].a;
    let mut seen = Vec::new();
    for (_, s, t) in w.steps() {
        seen.push((s.rho(), slope(y, s)));
        y += integrate(s.rho(), t.rho(), |r| lagrange(last(&seen, order), r));
    }
    y * w.levels[w.n()].a
}

fn ipndm(w: &World, x: f64, order: usize) -> f64 {
    let tables: [&[f64]; 4] = [
        &[1.0],
        &[1.5, -0.5],
        &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
        &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
    ];
    let mut y = x / w.levels[0].a;
    let mut d: Vec<f64> = Vec::new();
    for (i, s, t) in w.steps() {
        d.insert(0, slope(y, s));
        let c = tables[order.min(i + 1) - 1];
        y += (t.rho() - s.rho()) * c.iter().zip(&d).map(|(c, d)| c * d).sum::<f64>();
    }
    y * w.levels[w.n()].a
}

fn gradient_estimation(w: &World, x: f64, gamma: f64) -> f64 {
    let mut y = x / w.levels[0].a;
    let mut old = None;
    for (_, s, t) in w.steps() {
        let d = slope(y, s);
        let bar = match old {
            Some(old) if !t.clean() => gamma * d + (1.0 - gamma) * old,
            _ => d,
        };
        y += (t.rho() - s.rho()) * bar;
        old = Some(d);
    }
    y * w.levels[w.n()].a
}

/// Pseudo Runge-Kutta over pairs of intervals, then the linear multi-step formula.
fn pndm(w: &World, x: f64, warm_up: bool) -> f64 {
    let mut y = x / w.levels[0].a;
    let mut d: Vec<f64> = Vec::new();
    let mut i = 0;
    while i < w.n() {
        let s = w.levels[i];
        let e = slope(y, s);
        d.insert(0, e);
        if warm_up && w.n() > 6 && i < 6 {
            let (m, t) = (w.levels[i + 1], w.levels[i + 2]);
            let e2 = slope(y + (m.rho() - s.rho()) * e, m);
            let e3 = slope(y + (m.rho() - s.rho()) * e2, m);
            let e4 = slope(y + (t.rho() - s.rho()) * e3, t);
            y += (t.rho() - s.rho()) * (e + 2.0 * e2 + 2.0 * e3 + e4) / 6.0;
            i += 2;
            continue;
        }
        let t = w.levels[i + 1];
        let h = t.rho() - s.rho();
        let bar = match (warm_up, d.len()) {
            (true, _) if w.n() <= 6 => e,
            (false, 1) if w.n() > 1 => 0.5 * (e + slope(y + h * e, t)),
            (_, 1) => e,
            (_, 2) => (3.0 * d[0] - d[1]) / 2.0,
            (_, 3) => (23.0 * d[0] - 16.0 * d[1] + 5.0 * d[2]) / 12.0,
            _ => (55.0 * d[0] - 59.0 * d[1] + 37.0 * d[2] - 9.0 * d[3]) / 24.0,
        };
        y += h * bar;
        i += 1;
    }
    y * w.levels[w.n()].a
}

/// Algorithm 2 of EDM in `sigma = rho`, with Euler's step or Heun's.
fn edm(w: &World, x: f64, heun: bool, churn: f64, low: f64, high: f64, s_noise: f64) -> f64 {
    let mut y = x / w.levels[0].a;
    for (_, s, t) in w.steps() {
        let inside = low <= s.rho() && s.rho() <= high;
        let gamma = if inside {
            (churn / w.n() as f64).min(2f64.sqrt() - 1.0)
        } else {
            0.0
        };
        let hat = s.rho() * (1.0 + gamma);
        if gamma > 0.0 {
            y += (hat * hat - s.rho() * s.rho()).sqrt() * s_noise * w.z();
        }
        let at = if gamma > 0.0 { w.level(-hat.ln()) } else { s };
        let d = slope(y, at);
        let next = y + (t.rho() - hat) * d;
        y = if heun && !t.clean() {
            y + (t.rho() - hat) * 0.5 * (d + slope(next, t))
        } else {
            next
        };
    }
    y * w.levels[w.n()].a
}

/// Euler ancestral of k-diffusion, in `sigma = rho`.
fn euler_ancestral(w: &World, x: f64, eta: f64) -> f64 {
    let mut y = x / w.levels[0].a;
    for (_, s, t) in w.steps() {
        let (a, b) = (s.rho().powi(2), t.rho().powi(2));
        let up = (eta * (b * (a - b) / a).sqrt()).min(t.rho());
        let down = (b - up * up).sqrt();
        y += slope(y, s) * (down - s.rho());
        if !t.clean() {
            y += up * w.z();
        }
    }
    y * w.levels[w.n()].a
}

/// Euler ancestral for rectified flows, in `sigma = sigma / (alpha + sigma)`.
fn flow_ancestral(w: &World, x: f64, eta: f64) -> f64 {
    let time = |k: L| k.s / (k.a + k.s);
    let mut y = x / (w.levels[0].a + w.levels[0].s);
    for (_, s, t) in w.steps() {
        let m = net(y * (s.a + s.s), s);
        if t.clean() {
            return m;
        }
        let (u, v) = (time(s), time(t));
        let down = v * (1.0 + (v / u - 1.0) * eta);
        y = down / u * y + (1.0 - down / u) * m;
        let c = (1.0 - v) / (1.0 - down);
        y = c * y + (v * v - (down * c).powi(2)).sqrt() * w.z();
    }
    let end = w.levels[w.n()];
    y * (end.a + end.s)
}

/// DPM++ SDE of k-diffusion, in `sigma = rho`.
fn dpm_sde(w: &World, x: f64, eta: f64, r: f64) -> f64 {
    let mut y = x / w.levels[0].a;
    let ancestral = |from: f64, to: f64| {
        let up = (eta * (to * to * (from * from - to * to) / (from * from)).sqrt()).min(to);
        ((to * to - up * up).sqrt(), up)
    };
    for (_, s, t) in w.steps() {
        let m = net(y * s.a, s);
        if t.clean() {
            return m;
        }
        let middle = w.level(s.l() + r * (t.l() - s.l()));
        let (down, up) = ancestral(s.rho(), middle.rho());
        let y2 = down / s.rho() * y + (1.0 - down / s.rho()) * m + up * w.z();
        let m2 = net(y2 * middle.a, middle);
        let (down, up) = ancestral(s.rho(), t.rho());
        let mixed = (1.0 - 0.5 / r) * m + 0.5 / r * m2;
        y = down / s.rho() * y + (1.0 - down / s.rho()) * mixed + up * w.z();
    }
    y * w.levels[w.n()].a
}

fn euler_maruyama(w: &World, x: f64, eta: f64) -> f64 {
    // dy = -(1 + eta^2) / 2 * d(rho^2) / dt * score + eta sqrt(d rho^2 / dt) dW, back in time.
    let mut y = x / w.levels[0].a;
    for (_, s, t) in w.steps() {
        let m = net(y * s.a, s);
        if t.clean() {
            return m;
        }
        let (a, b) = (s.rho().powi(2), t.rho().powi(2));
        let score = (m - y) / a;
        y += 0.5 * (1.0 + eta * eta) * (a - b) * score + eta * (a - b).sqrt() * w.z();
    }
    y * w.levels[w.n()].a
}

/// The posterior of DDPM, from the product of two Gaussian densities.
fn ddpm(w: &World, mut x: f64) -> f64 {
    for (_, s, t) in w.steps() {
        let m = net(x, s);
        if t.clean() {
            return m;
        }
        // x_s | x_t ~ N(c x_t, v), x_t | x_0 ~ N(t.a m, t.s^2).
        let c = s.a / t.a;
        let v = s.s * s.s - c * c * t.s * t.s;
        let precision = 1.0 / (t.s * t.s) + c * c / v;
        let mean = (t.a * m / (t.s * t.s) + c * x / v) / precision;
        x = mean + precision.recip().sqrt() * w.z();
    }
    x
}

/// Euler's predictor and Langevin's corrector with the expected norms.
fn predictor_corrector(w: &World, mut x: f64, snr: f64, corrections: usize) -> f64 {
    for (_, s, t) in w.steps() {
        x = t.a * x / s.a + t.a * (t.rho() - s.rho()) * eps(x, s);
        for _ in 0..if t.clean() { 0 } else { corrections } {
            let score = -eps(x, t) / t.s;
            let (norm_z, norm_s) = (1.0, 1.0 / t.s);
            let e = 2.0 * (snr * norm_z / norm_s).powi(2);
            x += e * score + (2.0 * e).sqrt() * w.z();
        }
    }
    x
}

/// The same with the corrector first, as the pipeline of diffusers has it.
fn corrector_predictor(w: &World, mut x: f64, snr: f64, corrections: usize) -> f64 {
    for (_, s, t) in w.steps() {
        for _ in 0..corrections {
            let e = 2.0 * (snr * s.s).powi(2);
            x += -e * eps(x, s) / s.s + (2.0 * e).sqrt() * w.z();
        }
        x = t.a * x / s.a + t.a * (t.rho() - s.rho()) * eps(x, s);
    }
    x
}

fn consistency(w: &World, mut x: f64, floor: f64) -> f64 {
    for (_, s, t) in w.steps() {
        let m = net(x, s);
        if t.clean() {
            return m;
        }
        x = t.a * (m + (t.rho().powi(2) - floor * floor).sqrt() * w.z());
    }
    x
}

// ------------------------------------------------------------------ both, side by side

fn lambdas(n: usize) -> Vec<f64> {
    let place = |i: usize| i as f64 / n as f64;
    (0..=n)
        .map(|i| -1.9 + 4.1 * place(i).powf(1.2) + 0.3 / n as f64 * (2.6 * i as f64).sin())
        .collect()
}

fn run<S>(schedule: &S, family: Family, name: &str, solver: &dyn ReverseStep, hand: &Hand)
where
    S: NoiseSchedule,
{
    for n in [1, 2, 5, 9] {
        for ends_clean in [false, true] {
            let mut world = World {
                family,
                levels: Vec::new(),
                drawn: Cell::new(0),
            };
            world.levels = lambdas(n).iter().map(|&l| world.level(l)).collect();
            let snr = |&l: &f64| LogSnr::new(2.0 * l).unwrap();
            let nodes: Vec<_> = lambdas(n)[..n].iter().map(snr).collect();
            let mut grid = Grid::at_log_snrs(schedule, &nodes).unwrap();
            if ends_clean {
                world.levels[n] = L { a: 1.0, s: 0.0 };
            } else {
                let end = schedule.level_at(snr(&lambdas(n)[n])).unwrap();
                grid = grid.ending_at(end).unwrap();
            }
            let plan = Plan::new(schedule, &grid, solver).unwrap();
            let mut drawn = Drawn(0);
            let found = sample(&plan, 0.8, &mut drawn);
            let expected = hand(&world, 0.8);
            assert!(
                (found - expected).abs() < 1e-10 * (1.0 + expected.abs()),
                "{name} on {family:?}, {n} steps, clean {ends_clean}: {found} instead of {expected}"
            );
            assert_eq!(drawn.0, world.drawn.get(), "draws of {name}, {n} steps");
        }
    }
}

fn sample<T: Copy + std::fmt::Debug>(plan: &Plan<T>, x: f64, drawn: &mut Drawn) -> f64 {
    let of = |level: NoiseLevel| L {
        a: level.alpha(),
        s: level.sigma(),
    };
    let mut network =
        predicts::x0(|x: &Array1<f64>, at: Point<T>| x.mapv(|x| net(x, of(at.level))));
    plan.sample(Array1::from(vec![x]), &mut network, drawn)
        .unwrap()[0]
}

type Hand = dyn Fn(&World, f64) -> f64;

fn agree(name: &str, solver: impl ReverseStep, hand: impl Fn(&World, f64) -> f64 + 'static) {
    run(&Cosine, Family::Vp, name, &solver, &hand);
    run(&Edm::default(), Family::Ve, name, &solver, &hand);
    run(&RectifiedFlow, Family::Flow, name, &solver, &hand);
}

#[test]
fn exponential_adams() {
    for order in 1..=5 {
        let of = |c| ExponentialAdams::new(order, c).unwrap();
        agree("xEAB", of(Coordinates::Data), move |w, x| {
            adams_data(w, x, order)
        });
        agree("zEAB", of(Coordinates::Noise), move |w, x| {
            adams_noise(w, x, order)
        });
        agree("vEAB", of(Coordinates::Flow), move |w, x| {
            adams_flow(w, x, order)
        });
        let deis = ExponentialAdams::deis(order).unwrap();
        agree("DEIS", deis, move |w, x| adams_noise(w, x, order));
    }
}

#[test]
fn dpm_solver() {
    for order in 1..=3 {
        let data = || DpmSolver::plus_plus(order).unwrap();
        let noise = || DpmSolver::new(order, Coordinates::Noise).unwrap();
        agree("++ M", data(), move |w, x| {
            dpm_plus_plus(w, x, order, false)
        });
        agree("++ M Heun", data().with_exact_integrals(), move |w, x| {
            dpm_plus_plus(w, x, order, true)
        });
        agree("M", noise(), move |w, x| dpm_noise(w, x, order));
        if order < 3 {
            let (data, noise) = (data().with_tau(1.0), noise().with_tau(1.0));
            agree("SDE ++", data.unwrap(), move |w, x| {
                sde_plus_plus(w, x, order)
            });
            agree("SDE", noise.unwrap(), move |w, x| sde_noise(w, x, order));
        }
        let single = SingleStep::new(order, Coordinates::Noise).unwrap();
        agree("DPM-Solver", single, move |w, x| {
            dpm_single_noise(w, x, &[order])
        });
        let blocks = NodeBlocks::plus_plus(order).unwrap();
        agree("blocks", blocks, move |w, x| node_blocks(w, x, order));
    }
    for (r, exact) in [
        (0.5, false),
        (0.3, false),
        (0.5, true),
        (0.7, true),
        (1.0, true),
    ] {
        let solver = SingleStep::plus_plus(2).unwrap().with_fraction(r).unwrap();
        let solver = if exact {
            solver.with_exact_integrals()
        } else {
            solver
        };
        agree("++ 2S", solver, move |w, x| {
            dpm_single_data(w, x, 2, r, exact)
        });
    }
    let solver = SingleStep::plus_plus(3).unwrap();
    agree("++ 3S", solver, |w, x| dpm_single_data(w, x, 3, 0.5, false));
    let solver = SingleStep::fast(14).unwrap();
    agree("fast", solver, |w, x| {
        dpm_single_noise(w, x, &[3, 3, 3, 3, 2])
    });
    let solver = SingleStep::fast(15).unwrap();
    agree("fast", solver, |w, x| {
        dpm_single_noise(w, x, &[3, 3, 3, 3, 2, 1])
    });
}

#[test]
fn dpm_2m_of_version_2() {
    agree("2M v2", DpmSolver2MV2, dpm_2m_v2);
}

#[test]
fn unified_predictor_corrector() {
    for order in 1..=4 {
        let new = || UniPc::new(order).unwrap();
        agree("UniPC", new(), move |w, x| unipc(w, x, order, false, false));
        agree("UniPC bh1", new().with_bh1(), move |w, x| {
            unipc(w, x, order, true, false)
        });
        agree(
            "UniPC noise",
            new().with_coordinates(Coordinates::Noise).unwrap(),
            move |w, x| unipc(w, x, order, false, true),
        );
        let both = new()
            .with_coordinates(Coordinates::Noise)
            .unwrap()
            .with_bh1();
        agree("UniPC noise bh1", both, move |w, x| {
            unipc(w, x, order, true, true)
        });
    }
}

#[test]
fn stochastic_exponential() {
    for (p, c) in [
        (1, 0),
        (2, 0),
        (3, 0),
        (1, 1),
        (2, 2),
        (3, 4),
        (3, 1),
        (1, 3),
    ] {
        for tau in [0.0, 0.6, 1.0] {
            let solver = SaSolver::new(p, c).unwrap().with_tau(tau).unwrap();
            agree("SA-Solver", solver, move |w, x| {
                sa_solver(w, x, (p, c), tau, false)
            });
            agree("SA-Solver", solver.with_diffusers_rules(), move |w, x| {
                sa_solver(w, x, (p, c), tau, true)
            });
        }
    }
    for order in 1..=3 {
        for tau in [0.5, 1.0] {
            let solver = SingleStep::plus_plus(order).unwrap().with_tau(tau).unwrap();
            agree("SEEDS", solver, move |w, x| seeds(w, x, order, tau * tau));
        }
        let solver = ErSde::new(order).unwrap();
        agree("ER-SDE", solver, move |w, x| er_sde(w, x, order));
    }
}

#[test]
fn in_sigma_over_alpha() {
    for order in 1..=4 {
        let solver = LinearMultistep::lms(order).unwrap();
        agree("LMS", solver, move |w, x| lms(w, x, order));
        let solver = LinearMultistep::ipndm(order).unwrap();
        agree("iPNDM", solver, move |w, x| ipndm(w, x, order));
    }
    for gamma in [1.0, 2.0, 2.6] {
        let solver = LinearMultistep::gradient_estimation(gamma).unwrap();
        agree("gradient estimation", solver, move |w, x| {
            gradient_estimation(w, x, gamma)
        });
    }
    agree("PLMS", Pndm::plms(), |w, x| pndm(w, x, false));
    agree("PNDM", Pndm::runge_kutta(), |w, x| pndm(w, x, true));
    for churn in [0.0, 0.7, 40.0] {
        let within = |s: f64| Sigma::new(s).unwrap();
        let euler = Churn::new(Ddim::default(), churn).unwrap();
        let euler = euler.with_noise_between(within(0.3), within(5.0)).unwrap();
        agree("EDM Euler", euler, move |w, x| {
            edm(w, x, false, churn, 0.3, 5.0, 1.0)
        });
        let heun = Churn::new(RungeKutta::heun(), churn).unwrap();
        let heun = heun.with_noise_factor(1.01).unwrap();
        agree("EDM Heun", heun, move |w, x| {
            edm(w, x, true, churn, 0.0, 1e9, 1.01)
        });
    }
}

#[test]
fn ancestral_and_other_noise() {
    for eta in [0.0, 0.6, 1.0] {
        let noisy = Ancestral::new(Ddim::default(), eta).unwrap();
        let ddim = Ddim::new(eta).unwrap();
        if eta > 0.0 {
            agree("Euler a", noisy, move |w, x| euler_ancestral(w, x, eta));
            agree("DDIM", ddim, move |w, x| euler_ancestral(w, x, eta));
            let flow = Ancestral::with_descent(Ddim::default(), Descent::Flow(eta)).unwrap();
            agree("flow a", flow, move |w, x| flow_ancestral(w, x, eta));
            let solver = DpmSde::new(eta).unwrap().with_fraction(0.4).unwrap();
            agree("DPM++ SDE", solver, move |w, x| dpm_sde(w, x, eta, 0.4));
            let solver = EulerMaruyama::new(eta).unwrap();
            agree("Euler-Maruyama", solver, move |w, x| {
                euler_maruyama(w, x, eta)
            });
        }
    }
    agree("DDPM", Ddpm::default(), ddpm);
    let solver = Langevin::new(Ddim::default(), 0.16, 2).unwrap();
    agree("Langevin", solver, |w, x| {
        predictor_corrector(w, x, 0.16, 2)
    });
    let solver = Langevin::new(Ddim::default(), 0.16, 2).unwrap();
    agree("Langevin first", solver.with_corrections_first(), |w, x| {
        corrector_predictor(w, x, 0.16, 2)
    });
    let floor = Sigma::new(0.05).unwrap();
    let solver = Consistency::default().with_floor(floor);
    agree("consistency", solver, |w, x| consistency(w, x, 0.05));
}

/// The published algorithm: down to the low level, up with noise, `steps` of Karras' grid down again.
#[test]
fn restart() {
    let schedule = Edm::default();
    let sigma = |s| Sigma::new(s).unwrap();
    let levels = [20.0, 8.0, 3.0, 1.0, 0.3];
    let snrs = levels.map(|s| LogSnr::from_sigma(sigma(s)));
    let grid = Grid::at_log_snrs(&schedule, &snrs).unwrap();
    let restart = Restart {
        high: snrs[1],
        low: LogSnr::from_sigma(sigma(0.9)),
        steps: 3,
        times: 2,
    };
    let plan = Plan::restarting(&schedule, &grid, &RungeKutta::heun(), &[restart]).unwrap();
    let mut drawn = Drawn(0);
    let found = sample(&plan, 15.0, &mut drawn);

    let heun = |x: f64, sigmas: &[f64]| {
        let mut x = x;
        for w in sigmas.windows(2) {
            let at = |s: f64| L { a: 1.0, s };
            let d = slope(x, at(w[0]));
            let next = x + (w[1] - w[0]) * d;
            x = match w[1] {
                0.0 => next,
                _ => x + (w[1] - w[0]) * 0.5 * (d + slope(next, at(w[1]))),
            };
        }
        x
    };
    let mut x = heun(15.0, &levels[..4]);
    for draw in 0..2 {
        x += (8f64.powi(2) - 1.0).sqrt() * normal(draw);
        let root = |s: f64| s.powf(1.0 / 7.0);
        let karras = |i: usize| (root(8.0) + i as f64 / 3.0 * (root(1.0) - root(8.0))).powi(7);
        x = heun(x, &[8.0, karras(1), karras(2), 1.0]);
    }
    x = heun(x, &[1.0, 0.3, 0.0]);
    assert!((found - x).abs() < 1e-12, "{found} instead of {x}");
    assert_eq!(drawn.0, 2);
}

/// What a state is divided by and the clock, as the table of [`Coordinates`] has them; along the flow to a
/// point of data the one is straight in the other.
#[test]
fn coordinates() {
    let level = NoiseLevel::new(0.6, 0.8).unwrap();
    let rows = [
        (Coordinates::Noise, 0.6, 0.8 / 0.6, Parameterization::Noise),
        (Coordinates::Flow, 1.4, 0.8 / 1.4, Parameterization::Flow),
        (Coordinates::Data, 0.8, 0.6 / 0.8, Parameterization::X0),
    ];
    let (data, noise) = (0.3, -1.1);
    for (coordinates, scale, clock, basis) in rows {
        assert_eq!(coordinates.scale(level), scale);
        assert_eq!(coordinates.clock(level), clock);
        assert_eq!(coordinates.basis(), basis);
        let place = |(a, s): (f64, f64)| {
            let level = NoiseLevel::new(a, s).unwrap();
            let scale = coordinates.scale(level);
            (coordinates.clock(level), (a * data + s * noise) / scale)
        };
        let [p, q, r] = [(0.9, 0.2), (0.6, 0.8), (0.1, 0.7)].map(place);
        let (first, second) = ((q.1 - p.1) / (q.0 - p.0), (r.1 - q.1) / (r.0 - q.0));
        assert!((first - second).abs() < 1e-13, "{coordinates:?}");
        // The slope is what the basis names.
        let slope = match basis {
            Parameterization::Noise => noise,
            Parameterization::Flow => noise - data,
            _ => data,
        };
        assert!((first - slope).abs() < 1e-13, "{coordinates:?}");
    }
}
