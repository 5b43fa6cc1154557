//! Random bits made standard normals.

use std::f64::consts::TAU;

/// Two independent standard normals from 128 random bits.
///
/// The polar form of Box and Muller (A Note on the Generation of Random Normal Deviates, 1958), with
/// the 53 high bits of each half. Its logarithm, sine and cosine are those of the libm crate, which
/// have the same bits on every platform. No value exceeds 8.58 in size.
pub(super) fn normal_pair(bits: [u32; 4]) -> [f64; 2] {
    let [a, b, c, d] = bits.map(u64::from);
    let unit = |high: u64, low: u64| ((high << 32 | low) >> 11) as f64;
    // (0, 1], so that the logarithm is finite.
    let radius = (-2.0 * libm::log((unit(a, b) + 1.0) * 2.0_f64.powi(-53))).sqrt();
    let (sin, cos) = libm::sincos(TAU * (unit(c, d) * 2.0_f64.powi(-53)));
    [radius * cos, radius * sin]
}

#[cfg(test)]
mod tests {
    use super::normal_pair;

    #[test]
    fn edge_bits_give_finite_normals() {
        for bits in [
            [0; 4],
            [u32::MAX; 4],
            [0, 0, u32::MAX, u32::MAX],
            [u32::MAX, u32::MAX, 0, 0],
        ] {
            for z in normal_pair(bits) {
                assert!(z.abs() <= 8.58, "{bits:?} gives {z}");
            }
        }
    }
}
