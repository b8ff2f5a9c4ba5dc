//! The embeddable peer of tidings.

mod database;
pub mod store;
mod peer;

pub use database::{Batch, Change, Database, Entry, ListOptions, Page, Watch, WriteOptions};
pub use peer::{ApplyReport, Event, Peer, PeerBuilder};
pub use tidings_core::definition::{Definition, Durability, Replication};
pub use tidings_core::error::Error;
pub use tidings_core::stamp::Version;
pub use tidings_core::{limits, status};

/// A result with this crate's error.
pub type Result<T, E = Error> = core::result::Result<T, E>;
