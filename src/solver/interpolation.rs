//! Integrals of the polynomial through a few predictions.

/// The weights `w` with `sum of w_j node_j^k = moments[k]`: the integral of the polynomial through
/// values at the nodes, when `moments` are the integrals of `1, r, r^2, ..`.
///
/// Solves the Vandermonde system by divided differences (Bjorck and Pereyra, 1970), which keeps the
/// digits that Gaussian elimination loses. The nodes are distinct.
pub(super) fn weights(nodes: &[f64], moments: &[f64]) -> Vec<f64> {
    let n = nodes.len().min(moments.len());
    let mut w = moments[..n].to_vec();
    for (k, node) in nodes.iter().enumerate().take(n) {
        for i in (k + 1..n).rev() {
            w[i] -= node * w[i - 1];
        }
    }
    for k in (0..n.saturating_sub(1)).rev() {
        for i in k + 1..n {
            w[i] /= nodes[i] - nodes[i - k - 1];
        }
        for i in k..n - 1 {
            w[i] -= w[i + 1];
        }
    }
    w
}

/// `phi_k(z) = integral over 0..1 of e^((1 - r) z) r^(k-1) / (k-1)! dr`; `phi_0 = e^z`.
pub(super) fn phi(k: usize, z: f64) -> f64 {
    // The series starts at 1/k!, and the recursion loses about a digit per order and per factor of
    // 1/z: they meet well above 1.
    if k > 0 && z.abs() < 3.0 {
        let mut term = (1..=k).map(|i| 1.0 / i as f64).product::<f64>();
        let mut sum = 0.0;
        for i in 1..40 {
            sum += term;
            term *= z / (k + i) as f64;
        }
        return sum;
    }
    let mut phi = if k == 0 { z.exp() } else { z.exp_m1() / z };
    let mut factorial = 1.0;
    for i in 1..k {
        factorial *= i as f64;
        phi = (phi - 1.0 / factorial) / z;
    }
    phi
}

/// `integral over 0..1 of e^((1 - r) z) r^k dr`, for `k` from 0 to below `count`.
pub(super) fn exponential_moments(count: usize, z: f64) -> Vec<f64> {
    let mut factorial = 1.0;
    (0..count)
        .map(|k| {
            factorial *= k.max(1) as f64;
            factorial * phi(k + 1, z)
        })
        .collect()
}

/// The integral of `f` over 0..1 by `pieces` Gauss-Legendre rules of eight points.
pub(super) fn integral(pieces: usize, f: impl Fn(f64) -> f64) -> f64 {
    const HALF: [(f64, f64); 4] = [
        (0.183_434_642_495_649_8, 0.362_683_783_378_362),
        (0.525_532_409_916_329, 0.313_706_645_877_887_27),
        (0.796_666_477_413_626_7, 0.222_381_034_453_374_48),
        (0.960_289_856_497_536_3, 0.101_228_536_290_376_26),
    ];
    let width = 1.0 / pieces.max(1) as f64;
    let mut sum = 0.0;
    for piece in 0..pieces.max(1) {
        let middle = (piece as f64 + 0.5) * width;
        for (x, w) in HALF {
            sum += w * (f(middle - 0.5 * width * x) + f(middle + 0.5 * width * x));
        }
    }
    0.5 * width * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_integrate_every_power() {
        let nodes = [0.0, -0.7, -1.1, -2.6, 1.0];
        let moments = [1.0, 0.4, 0.3, -0.2, 0.05];
        let w = weights(&nodes, &moments);
        for (k, moment) in moments.iter().enumerate() {
            let sum: f64 = nodes
                .iter()
                .zip(&w)
                .map(|(r, w)| w * r.powi(k as i32))
                .sum();
            assert!((sum - moment).abs() < 1e-13, "{k}: {sum}");
        }
        assert_eq!(weights(&[0.3], &[2.0]), [2.0]);
        assert!(weights(&[], &[]).is_empty());
    }

    /// Against the integral that defines it, by a rule that knows no exponential.
    #[test]
    fn phi_is_its_integral() {
        for z in [
            -40.0, -5.0, -3.0, -2.9, -0.1, -1e-9, 0.0, 1e-3, 1.0, 2.9, 3.1, 12.0,
        ] {
            let mut factorial = 1.0;
            for k in 1..6 {
                factorial *= (k - 1).max(1) as f64;
                let exact = integral(64, |r| ((1.0 - r) * z).exp() * r.powi(k - 1)) / factorial;
                let found = phi(k as usize, z);
                assert!(
                    (found / exact - 1.0).abs() < 2e-13,
                    "{k}, {z}: {found} for {exact}"
                );
            }
        }
        assert_eq!(phi(0, 0.0), 1.0);
    }
}
