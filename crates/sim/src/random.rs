//! Randomness: one stream per concern, all split from one seed.
//!
//! Because network, disk, clock, workload and faults each draw from a stream of their own, taking
//! one event away does not shift what the others draw. Everything is integer arithmetic, so that a
//! seed means the same on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream of one concern of one seed.
    pub fn new(seed: u64, concern: &str) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&crate::trace::hash(concern.as_bytes()).to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number under `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.any()) * u128::from(bound)) >> 64) as u64
    }

    /// An index into something of this length; 0 when it is empty.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// A number from `low` up to, but without, `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low))
    }

    /// A number from `-span` to `span`, evenly.
    pub fn around(&mut self, span: i64) -> i64 {
        let span = span.unsigned_abs();
        (self.below(2 * span + 1).cast_signed()) - span.cast_signed()
    }

    /// True this many times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of several; `None` when there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.index(from.len()))
    }

    /// A seed for something else.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        seed
    }
}

/// A stream for the many small draws of one link: a counter, mixed (`SplitMix64`; Steele, Lea and
/// Flood, 2014). Eight bytes, so that every direction of every connection has one of its own.
#[derive(Clone, Debug)]
pub struct Quick(u64);

impl Quick {
    /// The stream of something that these numbers name.
    pub fn new(seed: u64, named: &[u64]) -> Self {
        let mut stream = Self(seed);
        for number in named {
            stream.0 = stream.any() ^ number;
        }
        stream
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number under `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.any()) * u128::from(bound)) >> 64) as u64
    }

    /// True for this share, in parts per million.
    pub fn share(&mut self, parts: u64) -> bool {
        self.below(crate::scenario::WHOLE) < parts
    }

    /// Exponentially distributed with this mean. The logarithm is computed in software, the same on
    /// every machine.
    pub fn exponential(&mut self, mean: u64) -> u64 {
        let uniform = ((self.any() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        (-libm::log(uniform) * mean as f64) as u64
    }
}
