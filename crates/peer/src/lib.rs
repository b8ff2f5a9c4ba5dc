//! The embeddable peer of tidings.

pub mod net;
