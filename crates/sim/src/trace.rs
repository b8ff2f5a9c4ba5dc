//! The trace: one hash over everything that happened, in order.
//!
//! The same seed and scenario give the same hash, on any machine; two runs that differ anywhere
//! differ here. FNV-1a over words: fast enough for every byte of every frame, and nobody attacks a
//! simulation.

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// A running hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    hash: u64,
    events: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self { hash: OFFSET, events: 0 }
    }
}

impl Trace {
    /// Notes one event: what it was, and numbers that describe it.
    pub fn note(&mut self, what: &str, numbers: &[u64]) {
        self.events += 1;
        self.bytes(what.as_bytes());
        for number in numbers {
            self.word(*number);
        }
    }

    /// Notes bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let mut eight = [0; 8];
            eight.copy_from_slice(word);
            self.word(u64::from_le_bytes(eight));
        }
        let mut rest = [0; 8];
        rest[..words.remainder().len()].copy_from_slice(words.remainder());
        self.word(u64::from_le_bytes(rest) ^ bytes.len() as u64);
    }

    fn word(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(PRIME);
        self.hash ^= self.hash >> 29;
    }

    /// The hash so far.
    pub fn value(&self) -> u64 {
        self.hash
    }

    /// How many events were noted.
    pub fn events(&self) -> u64 {
        self.events
    }
}

/// The hash of some bytes.
pub fn hash(bytes: &[u8]) -> u64 {
    let mut trace = Trace::default();
    trace.bytes(bytes);
    trace.value()
}
