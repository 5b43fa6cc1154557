//! Random words made standard normals.
//!
//! Source: A Note on the Generation of Random Normal Deviates, Box, Muller, 1958.
//!
//! `sqrt(-2 ln u) (cos a, sin a)` of two uniforms, from additions, multiplications, divisions and square
//! roots in a fixed order: the same bits everywhere. The polynomials are best approximations on the
//! reduced ranges, found in 60 digits.
//!
//! Half of the radius words stand for `u = p`, the others for `u = 1 - p`, with `p` below one half known
//! to full relative precision. So the numbers near 0 are as accurate as those in the tails.

use std::{f64::consts::TAU, ops};

use super::Wide;

/// Two independent standard normals for each word of the radii and of the angles, the high words first.
#[inline(always)]
pub(crate) fn pairs<W: Wide>(
    radii: [&[u32]; 2],
    angles: [&[u32]; 2],
    cosines: &mut [W],
    sines: &mut [W],
) {
    let length = cosines.len();
    // Slices of one length, as the compiler can see.
    let ([radii, low_radii], [angles, low_angles]) = (radii, angles);
    let (radii, low_radii) = (&radii[..length], &low_radii[..length]);
    let (angles, low_angles) = (&angles[..length], &low_angles[..length]);
    let sines = &mut sines[..length];
    // Two loops, the first of which leaves its results where the normals will be: a processor looks some hundred
    // instructions ahead, and so sees several elements at once.
    for i in 0..length {
        (cosines[i], sines[i]) = W::reduced([radii[i], low_radii[i]]);
    }
    for i in 0..length {
        let reduced = (cosines[i], sines[i]);
        (cosines[i], sines[i]) = W::normal_pair(reduced, [angles[i], low_angles[i]]);
    }
}

/// The uniform number of a word as `f` and `e`, by which it is `(1 + f) 2^e`, with `1 + f` between the roots of one
/// half and of two.
#[inline(always)]
pub(super) fn reduced_f32(radius: u32) -> (f32, f32) {
    /// The bits of sqrt(1/2): mantissas are taken from there to sqrt(2).
    const ROOT: u32 = 0x3f35_04f3;

    let p = ((radius & 0x7fff_ffff) as i32 as f32 + 0.5) * 2.0_f32.powi(-32);
    let complement = (radius as i32) < 0;
    let bits = (if complement { 1.0 - p } else { p }).to_bits();
    let shifted = bits.wrapping_sub(ROOT);
    let exponent = (shifted as i32) >> 23;
    let mantissa = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(ROOT));
    let f = if complement & (exponent == 0) {
        -p
    } else {
        mantissa - 1.0
    };
    (f, exponent as f32)
}

/// Two independent standard normals from what [`reduced_f32`] makes of a word for the radius and from a word for the
/// angle.
///
/// No value is larger than 6.77, and none is 0. Relative error below 4e-7, 6e-8 root mean square.
#[inline(always)]
pub(super) fn pair_f32((f, e): (f32, f32), angle: u32) -> (f32, f32) {
    /// Of `-2 ln(1 + f)`, from the third power of f on.
    const LN: [f32; 8] = [
        -0.666_666_6,
        0.500_016_4,
        -0.400_024_53,
        0.332_467_14,
        -0.284_035_15,
        0.263_203_65,
        -0.255_231_53,
        0.152_689_93,
    ];
    const LN_2: f32 = -2.0 * std::f32::consts::LN_2;
    const SIN: [f32; 3] = [-0.166_666_55, 0.008_332_178, -1.951_73e-4];
    const COS: [f32; 3] = [0.041_666_646, -0.001_388_736_8, 2.443_845_2e-5];

    let f2 = f * f;
    let r = ((f2 - (f + f)) + f2 * f * polynomial(f, &LN) + e * LN_2).sqrt();

    let turn = angle.wrapping_add(1 << 29) >> 30;
    // The signed rest of the angle, between two of its values: never 0.
    let rest = (((angle << 2) as i32) >> 1) | 1;
    let x = rest as f32 * (TAU / 8_589_934_592.0) as f32;
    let x2 = x * x;
    let sin = x + x * x2 * polynomial(x2, &SIN);
    let cos = 1.0 - 0.5 * x2 + x2 * x2 * polynomial(x2, &COS);
    let (c, s) = if turn & 1 == 1 {
        (sin, cos)
    } else {
        (cos, sin)
    };
    let c = f32::from_bits(c.to_bits() ^ ((turn.wrapping_add(1) & 2) << 30));
    let s = f32::from_bits(s.to_bits() ^ ((turn & 2) << 30));
    (r * c, r * s)
}

/// The same as [`reduced_f32`] from two words, the high one first: to f64 precision what that makes of the high word,
/// but for the bits that it has not.
#[inline(always)]
pub(super) fn reduced_f64(radius: [u32; 2]) -> (f64, f64) {
    const ROOT: u64 = 0x3fe6_a09e_667f_3bcd;

    let high = f64::from((radius[0] & 0x7fff_ffff) as i32);
    let p = high * 2.0_f64.powi(-32) + fraction(radius[1]) * 2.0_f64.powi(-32);
    let complement = (radius[0] as i32) < 0;
    let bits = (if complement { 1.0 - p } else { p }).to_bits();
    let shifted = bits.wrapping_sub(ROOT);
    let exponent = ((shifted >> 32) as i32) >> 20;
    let mantissa = f64::from_bits((shifted & 0x000f_ffff_ffff_ffff).wrapping_add(ROOT));
    let f = if complement & (exponent == 0) {
        -p
    } else {
        mantissa - 1.0
    };
    (f, f64::from(exponent))
}

/// The same as [`pair_f32`], to f64 precision.
///
/// No value is larger than 9.43. Relative error below 8e-16.
#[inline(always)]
pub(super) fn pair_f64((f, e): (f64, f64), angle: [u32; 2]) -> (f64, f64) {
    const LN: [f64; 8] = [
        0.666_666_666_666_666_6,
        0.400_000_000_000_008_8,
        0.285_714_285_708_036_14,
        0.222_222_223_917_139_17,
        0.181_817_956_401_329,
        0.153_862_397_028_148_88,
        0.132_687_731_386_516_77,
        0.130_866_261_478_873_12,
    ];
    const LN_2: [f64; 2] = [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10];
    const SIN: [f64; 6] = [
        -0.166_666_666_666_666_66,
        0.008_333_333_333_330_948,
        -0.000_198_412_698_367_585_74,
        2.755_731_610_255_244e-6,
        -2.505_113_184_500_323_7e-8,
        1.591_812_929_484_383_5e-10,
    ];
    const COS: [f64; 6] = [
        0.041_666_666_666_666_664,
        -0.001_388_888_888_888_739_8,
        2.480_158_729_876_569e-5,
        -2.755_731_727_172_964_5e-7,
        2.087_614_626_837_903_3e-9,
        -1.138_263_242_409_723_8e-11,
    ];

    let s = f / (2.0 + f);
    let s2 = s * s;
    let half = 0.5 * f * f;
    let ln = f - (half - (s * (half + s2 * polynomial(s2, &LN)) + e * LN_2[1]));
    let r = (-2.0 * (ln + e * LN_2[0])).sqrt();

    let turn = angle[0].wrapping_add(1 << 29) >> 30;
    let rest = f64::from(((angle[0] << 2) as i32) >> 2) + fraction(angle[1]);
    let x = rest * (TAU / 4_294_967_296.0);
    let x2 = x * x;
    let sin = x + x * x2 * polynomial(x2, &SIN);
    let cos = 1.0 - (0.5 * x2 - x2 * x2 * polynomial(x2, &COS));
    let (c, s) = if turn & 1 == 1 {
        (sin, cos)
    } else {
        (cos, sin)
    };
    let c = f64::from_bits(c.to_bits() ^ (u64::from(turn.wrapping_add(1) & 2) << 62));
    let s = f64::from_bits(s.to_bits() ^ (u64::from(turn & 2) << 62));
    (r * c, r * s)
}

/// The low word as a number between 0 and 1, neither included.
#[inline(always)]
fn fraction(low: u32) -> f64 {
    (f64::from((low >> 1) as i32) + 0.5) * 2.0_f64.powi(-31)
}

/// `c[0] + c[1] x + c[2] x^2 + ..` by pairs, pairs of pairs, ..: a shorter wait than one term after the
/// other.
#[inline(always)]
fn polynomial<T, const N: usize>(x: T, c: &[T; N]) -> T
where
    T: Copy + ops::Add<Output = T> + ops::Mul<Output = T>,
{
    let x2 = x * x;
    let pair = |k: usize| c[k] + c[k + 1] * x;
    let quad = |k: usize| pair(k) + pair(k + 2) * x2;
    match N {
        3 => pair(0) + c[2] * x2,
        6 => quad(0) + pair(4) * (x2 * x2),
        8 => quad(0) + quad(4) * (x2 * x2),
        _ => (1..N).rev().fold(c[N - 1], |sum, k| sum * x + c[k - 1]),
    }
}

#[cfg(test)]
mod tests {
    use super::{pair_f32, pair_f64, reduced_f32, reduced_f64};

    /// Words whose bits are all alike, or all alike but for a few.
    fn edges() -> Vec<u32> {
        let powers = (0..32).map(|k| 1 << k);
        let below = powers.clone().map(|word: u32| word - 1);
        let words = powers.chain(below).collect::<Vec<_>>();
        words.iter().flat_map(|word| [*word, !word]).collect()
    }

    #[test]
    fn edge_words_give_finite_normals_that_are_not_zero() {
        let (mut largest, mut smallest) = ([0.0_f64; 2], [1.0_f64; 2]);
        for radius in edges() {
            for angle in edges() {
                let (a, b) = pair_f32(reduced_f32(radius), angle);
                let single = [a, b].map(f64::from);
                for low in [0, u32::MAX] {
                    let (a, b) = pair_f64(reduced_f64([radius, low]), [angle, low]);
                    for (k, z) in [single, [a, b]].into_iter().enumerate() {
                        for z in z.map(f64::abs) {
                            assert!(z.is_finite() && z > 0.0, "{radius:#x}, {angle:#x}: {z}");
                            largest[k] = largest[k].max(z);
                            smallest[k] = smallest[k].min(z);
                        }
                    }
                }
            }
        }
        // sqrt(2 ln 2^33) and, with half a low word, sqrt(2 ln 2^64).
        assert!((largest[0] - 6.763_8).abs() < 1e-3, "{largest:?}");
        assert!((largest[1] - 9.419_3).abs() < 1e-3, "{largest:?}");
        assert!(smallest[0] < 1e-9 && smallest[1] < 1e-9, "{smallest:?}");
    }
}
