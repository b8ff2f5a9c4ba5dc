//! The Redis door over a socket: each command with the exact bytes of its answer, in both versions of the
//! protocol where they differ. The answers are those that a Redis 7.0 gives, unless a comment says why not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod atomic;
mod connection;
mod counters;
mod databases;
mod events;
mod expiries;
mod keys;
mod pipelines;
mod protocol;
mod strings;
mod support;
mod tokens;
mod transactions;
