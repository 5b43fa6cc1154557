//! A number that tells the tables of plans apart.

use std::fmt::{self, Debug, Write};

use super::Plan;
use crate::{NoiseLevel, UpdateNoise, solver::Update};

impl<T: Copy + Debug> Plan<T> {
    /// A number that tells this table from others: FNV-1a over all that a run takes from it, with what the
    /// network is given as `{:?}` writes it.
    ///
    /// It is the same in every process, and for a plan that was written and read; its name plays no part.
    /// A plan that is computed again on another machine may differ in the last digits of a coefficient,
    /// and then has another one.
    ///
    /// ```
    /// use gaussian_diffusion::{Sampler, schedule::Discrete};
    /// let schedule = Discrete::stable_diffusion()?;
    /// let plan = |n| Sampler::from_name("DPM++ 2M Karras")?.plan(&schedule, n);
    /// assert_eq!(plan(20)?.fingerprint(), plan(20)?.fingerprint());
    /// assert_ne!(plan(20)?.fingerprint(), plan(21)?.fingerprint());
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
        hash.whole(self.memory);
        self.levels.iter().for_each(|level| hash.level(*level));
        for planned in &self.stages {
            let (point, stage, over) = (&planned.point, &planned.stage, &planned.over);
            hash.whole(point.step);
            hash.text(&point.time);
            for level in [point.level, point.from, point.to, over.from, over.to] {
                hash.level(level);
            }
            hash.text(&stage.basis);
            for update in [&stage.renoise, &stage.commit, &stage.trial] {
                hash.update(update.as_ref());
            }
            if stage.discards {
                hash.text(&"discards");
            }
        }
        hash.0
    }
}

struct Fnv(u64);

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn whole(&mut self, number: usize) {
        self.bytes(&(number as u64).to_le_bytes());
    }

    fn number(&mut self, number: f64) {
        self.bytes(&number.to_bits().to_le_bytes());
    }

    /// Of what has no bits of its own to tell.
    fn text(&mut self, value: &impl Debug) {
        // Writing to a hash does not fail.
        let _ = write!(self, "{value:?};");
    }

    fn level(&mut self, level: NoiseLevel) {
        self.number(level.alpha());
        self.number(level.sigma());
    }

    fn update(&mut self, update: Option<&Update>) {
        let Some(update) = update else {
            return self.text(&"none");
        };
        self.number(update.state);
        self.whole(update.model.len());
        update.model.iter().for_each(|c| self.number(*c));
        match update.noise {
            UpdateNoise::Std(std) => self.number(std),
            learned => self.text(&learned),
        }
    }
}

impl fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}
