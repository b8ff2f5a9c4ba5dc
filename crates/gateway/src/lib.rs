//! The HTTP door of a tidings peer, and the client that speaks to it.
//!
//! A [`Gateway`] binds a loopback address and serves `/v1` over a [`tidings::Peer`]; a [`Client`] is
//! the other end, which the command line uses. Both share the JSON forms in [`json`].
//!
//! # How bytes travel
//!
//! In a URL, `{path}` and `{key}` are percent-encoded whole, so `/` inside them is `%2F` and any
//! byte can be named. Bodies of single values are raw bytes.
//!
//! In JSON, a key or a value that is UTF-8 is a string under its own name, and anything else is
//! standard base64 with padding under the name with `_base64` appended: `{"key": "a", "value_base64":
//! "/wA="}`. That holds for listings, scans, batches, changes, imports and exports alike.
//!
//! # Errors
//!
//! Every error is a problem body after RFC 9457 (`application/problem+json`) with a stable `code`; the
//! table from error to status is in one place, [`Problem`]. A database's 404 means that the key, the
//! database's status or the definition is absent, and nothing else.

mod batch;
mod cluster;
mod definitions;
mod guard;
mod health;
mod keys;
mod query;
mod routes;
mod scan;
mod server;
mod target;
mod watch;

pub mod client;
pub mod duration;
pub mod json;
pub mod problem;
pub mod yaml;

pub use client::{Client, ClientError};
pub use problem::Problem;
pub use server::{BindError, Gateway};
