//! The Mersenne Twister, with a state that can be stored.

const N: usize = 624;
const M: usize = 397;

/// MT19937: 32-bit words.
///
/// [Source](crate::docs::papers#mersenne-twister-a-623-dimensionally-equidistributed): Mersenne Twister: A 623-Dimensionally Equidistributed Uniform Pseudo-Random
/// Number Generator, Matsumoto, Nishimura, 1998.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mt19937 {
    state: [u32; N],
    /// How many words of this state have been given.
    given: usize,
}

impl Mt19937 {
    pub(super) fn new(seed: u32) -> Self {
        let mut state = [seed; N];
        for i in 1..N {
            let before = state[i - 1];
            state[i] = (before ^ (before >> 30))
                .wrapping_mul(1_812_433_253)
                .wrapping_add(i as u32);
        }
        Self { state, given: N }
    }

    /// Goes on from a state.
    #[cfg(feature = "serde")]
    pub(super) fn resumed(words: &[u32], given: usize) -> Result<Self, crate::Error> {
        use crate::Error;
        let state = words.try_into().map_err(|_| Error::Shape {
            what: "the words of a Mersenne Twister",
            expected: vec![N],
            found: vec![words.len()],
        })?;
        if given > N {
            let what = "words that a Mersenne Twister has given";
            return Err(Error::range(what, given as f64, "0 to 624"));
        }
        Ok(Self { state, given })
    }

    /// Its words and how many of them it has given.
    #[cfg(feature = "serde")]
    pub(super) fn state(&self) -> (&[u32], usize) {
        (&self.state, self.given)
    }

    #[inline]
    pub(super) fn next_u32(&mut self) -> u32 {
        if self.given >= N {
            self.twist();
        }
        let mut word = self.state[self.given];
        self.given += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    fn twist(&mut self) {
        let state = &mut self.state;
        let twisted = |high: u32, low: u32| {
            let y = (high & 0x8000_0000) | (low & 0x7fff_ffff);
            (y >> 1) ^ ((y & 1) * 0x9908_b0df)
        };
        for i in 0..N - M {
            state[i] = state[i + M] ^ twisted(state[i], state[i + 1]);
        }
        for i in N - M..N - 1 {
            state[i] = state[i + M - N] ^ twisted(state[i], state[i + 1]);
        }
        state[N - 1] = state[M - 1] ^ twisted(state[N - 1], state[0]);
        self.given = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Mt19937;

    /// The C++ standard fixes the 10000th word of `std::mt19937`, whose seed is 5489 (26.6.5).
    #[test]
    fn the_ten_thousandth_word() {
        let mut words = Mt19937::new(5489);
        let last = (0..10_000).map(|_| words.next_u32()).last();
        assert_eq!(last, Some(4_123_659_995));
    }
}
