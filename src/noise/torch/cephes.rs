//! Logarithm, sine and cosine in f32, to the bit as torch's vector code on x86-64 has them.
//!
//! The polynomials of the Cephes library, where every product that goes into a sum is fused with it; `mul_add`
//! rounds once on every platform. The logarithm is within one unit in the last place, sine and cosine are
//! within 8e-8, for every argument a draw can have.
//!
//! Source: Cephes Mathematical Library, Moshier, 1992, by way of `avx_mathfun.h` of PyTorch.

use published::{COS, FOUR_OVER_PI, FRAC_PI_4, LN, LN_2, SIN};

/// The natural logarithm of a positive number that is not subnormal.
pub(super) fn ln(x: f32) -> f32 {
    // x = m 2^exponent, with m between sqrt(1/2) and sqrt(2).
    let bits = x.to_bits();
    let mut exponent = (bits >> 23) as f32 - 126.0;
    let mut m = f32::from_bits(bits & 0x007f_ffff | 0x3f00_0000);
    if m < std::f32::consts::FRAC_1_SQRT_2 {
        exponent -= 1.0;
        m += m;
    }
    // ln(1 + r) = r - r^2 / 2 + r^3 series(r).
    let r = m - 1.0;
    let square = r * r;
    let tail = (series(&LN, r) * r).mul_add(square, exponent * LN_2[1]);
    let tail = square.mul_add(-0.5, tail);
    exponent.mul_add(LN_2[0], r + tail)
}

/// Sine and cosine of an angle from 0 to 2 pi.
pub(super) fn sin_cos(angle: f32) -> (f32, f32) {
    // angle = octants pi / 4 + r, with an even number of them and r between -pi / 4 and pi / 4.
    let octants = ((angle * FOUR_OVER_PI) as u32 + 1) & !1;
    let count = octants as f32;
    let r = FRAC_PI_4
        .iter()
        .fold(angle, |r, part| count.mul_add(-part, r));
    let square = r * r;
    let cos = (series(&COS, square) * square).mul_add(square, square * -0.5) + 1.0;
    let sin = (series(&SIN, square) * square).mul_add(r, r);
    match octants & 7 {
        0 => (sin, cos),
        2 => (cos, -sin),
        4 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// A polynomial by Horner's rule, the highest power first.
fn series(coefficients: &[f32], x: f32) -> f32 {
    let (first, rest) = (coefficients[0], &coefficients[1..]);
    rest.iter().fold(first, |sum, &c| sum.mul_add(x, c))
}

#[allow(
    clippy::excessive_precision,
    reason = "as they are published; the nearest f32 is meant"
)]
mod published {
    pub(super) const LN: [f32; 9] = [
        7.0376836292e-2,
        -1.1514610310e-1,
        1.1676998740e-1,
        -1.2420140846e-1,
        1.4249322787e-1,
        -1.6668057665e-1,
        2.0000714765e-1,
        -2.4999993993e-1,
        3.3333331174e-1,
    ];
    pub(super) const SIN: [f32; 3] = [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1];
    pub(super) const COS: [f32; 3] = [
        2.443315711809948e-5,
        -1.388731625493765e-3,
        4.166664568298827e-2,
    ];
    pub(super) const FOUR_OVER_PI: f32 = 1.27323954473516;
    /// ln 2 and pi / 4 as sums: the products of the first parts with small whole numbers are exact.
    pub(super) const LN_2: [f32; 2] = [0.693359375, -2.12194440e-4];
    pub(super) const FRAC_PI_4: [f32; 3] =
        [0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8];
}

#[cfg(test)]
mod tests {
    use super::{ln, sin_cos};

    /// The distance to an f64 in units in the last place of f32.
    fn ulps(found: f32, expected: f64) -> f64 {
        let near = expected as f32;
        let unit = f64::from(near.abs().next_up()) - f64::from(near.abs());
        (f64::from(found) - expected).abs() / unit
    }

    /// Every argument there is: the multiples of 2^-24 up to 1, and 2 pi times them.
    #[test]
    fn every_argument_against_f64() {
        let (mut of_ln, mut of_turn) = (0.0_f64, 0.0_f64);
        for i in 0..1_u32 << 24 {
            let u = i as f32 * 2.0_f32.powi(-24);
            of_ln = of_ln.max(ulps(ln(1.0 - u), f64::from(1.0 - u).ln()));
            let angle = std::f32::consts::TAU * u;
            let (sin, cos) = sin_cos(angle);
            let (s, c) = f64::from(angle).sin_cos();
            for (found, expected) in [(sin, s), (cos, c)] {
                of_turn = of_turn.max((f64::from(found) - expected).abs());
            }
        }
        assert!(of_ln < 0.82, "logarithm: {of_ln} ulp");
        assert!(of_turn < 7.8e-8, "sine and cosine: {of_turn}");
    }
}
