//! The embeddable peer of tidings.

pub mod store;
