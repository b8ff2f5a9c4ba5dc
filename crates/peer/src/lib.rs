//! The embeddable peer of tidings: an eventually consistent key-value store for peers that find each
//! other.
//!
//! A [`Peer`] is one member of a cluster, in this process. A [`Database`] is opened by its path and
//! comes into being with its first write; a [`Definition`] says which paths are databases and how
//! many live copies of each there shall be. Every database is a last-writer-wins map: peers write
//! without asking each other, and agree once they have heard of each other's writes.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> tidings::Result<()> {
//! use tidings::{Definition, Peer};
//!
//! let peer = Peer::in_memory()
//!     .definitions(vec![Definition::new("profiles", "profile/*/*", 1, 3)])
//!     .start()
//!     .await?;
//! let history = peer.database("profile/history/alice").await?;
//! history.put("2026-11-21", "hello").await?;
//! assert_eq!(history.get("2026-11-21").await?, Some(b"hello".to_vec()));
//! peer.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//! - An acknowledged write survives the process (`buffered`, the default) or power loss (`synced`);
//!   see [`Durability`].
//! - Peers that have received the same writes have equal contents, whatever the order of arrival.
//! - A deleted key does not come back, unless somebody puts it again.
//!
//! # How it works
//! The protocol is a value without clocks and sockets, in the crate `tidings-core`; this crate drives
//! it with tokio, libp2p and fjall. Reads go straight to the store; concurrent writes share commits.

mod batch;
mod builder;
mod database;
mod expiry;
mod persister;
mod shared;
mod watch;
mod write;

mod peer;

pub mod backup;
pub mod net;
pub mod store;

pub use batch::Batch;
pub use builder::{PeerBuilder, SECRET_MIN};
pub use database::{
    Counted, Database, Entry, KeyspacePage, ListOptions, Page, ScanOptions, WriteOptions,
};
pub use peer::{ApplyReport, Peer};
pub use shared::Event;
pub use tidings_core::definition::{Definition, Durability, Replication};
pub use tidings_core::error::Error;
pub use tidings_core::filter::Filter;
pub use tidings_core::message::{Condition, Written};
pub use tidings_core::stamp::Version;
pub use tidings_core::{filter, limits, matcher, name, status};
pub use watch::{Change, Watch, WatchToken};

/// A result with this crate's error.
pub type Result<T, E = Error> = core::result::Result<T, E>;
