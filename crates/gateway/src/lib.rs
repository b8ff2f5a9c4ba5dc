//! The front doors of a tidings peer.

pub mod yaml;
