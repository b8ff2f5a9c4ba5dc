//! The deterministic world that the core is tried in.

pub mod disk;
