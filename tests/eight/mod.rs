//! What the test of eight peers consists of: its users, and its picture.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod plot;
pub(crate) mod user;
