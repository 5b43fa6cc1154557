//! Philox 4x32: random bits as a function of a counter and a key.
//!
//! Source: Parallel Random Numbers: As Easy as 1, 2, 3, Salmon, Moraes, Dror, Shaw, 2011.

const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const LOW: u64 = 0xFFFF_FFFF;

/// The 128 random bits of this counter under this key, after some rounds: 10 are usual, 7 the fewest
/// that pass every test of BigCrush.
///
/// Words live in 64 bits, where a product has both its halves: a loop over counters then vectorises.
#[inline(always)]
pub(super) fn philox<const ROUNDS: usize>(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    // Word by word: `map` of an array is a call where it is not inlined.
    let [a, b, c, d] = counter;
    let (mut a, mut b, mut c, mut d) = (a as u64, b as u64, c as u64, d as u64);
    let [mut k, mut l] = key;
    for _ in 0..ROUNDS {
        let (left, right) = ((a & LOW) * MULTIPLIERS[0], (c & LOW) * MULTIPLIERS[1]);
        (a, b) = ((right >> 32) ^ b ^ k as u64, right);
        (c, d) = ((left >> 32) ^ d ^ l as u64, left);
        (k, l) = (k.wrapping_add(WEYL[0]), l.wrapping_add(WEYL[1]));
    }
    [a as u32, b as u32, c as u32, d as u32]
}

#[cfg(test)]
mod tests {
    use super::philox;

    /// The vectors published with the Random123 library.
    #[test]
    fn known_answers() {
        assert_eq!(
            philox::<10>([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox::<7>([0; 4], [0; 2]),
            [0x5f6f_b709, 0x0d89_3f64, 0x4f12_1f81, 0x4f73_0a48]
        );
        assert_eq!(
            philox::<10>([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox::<10>(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }
}
