//! The bodies of the fuzz targets, for the fuzzer and for the test that runs the committed corpora
//! (`tests/corpora.rs`). Each takes any bytes and panics where something is wrong.

pub mod config;
pub mod harness;
pub mod matchers;
pub mod peer;
pub mod redis;
pub mod resp;
pub mod seeds;
pub mod stored;

/// What a target is: it takes any bytes.
pub type Target = fn(&[u8]);

/// Every target, by the name of its binary and of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("config", config::run),
    ("matchers", matchers::run),
    ("peer", peer::run),
    ("redis", redis::run),
    ("stored", stored::run),
];
