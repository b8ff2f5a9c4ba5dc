//! The Redis door of a tidings peer: a port that Redis clients talk to.
//!
//! A [`RedisDoor`] binds an address and answers RESP2 and RESP3 over a [`tidings::Peer`]. It
//! offers strings, expiries, scans, transactions of writes and key events; which command does what, what
//! is exact and what differs from Redis is told in `docs/redis.md`.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tidings::{Definition, Peer};
//! use tidings_redis::RedisDoor;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! let any = Definition::new("any", "**", 1, 1);
//! let peer = Peer::in_memory().definitions(vec![any]).start().await?;
//! let door = RedisDoor::bind("127.0.0.1:0", None).await?.database("cache");
//! let mut client = tokio::net::TcpStream::connect(door.address()).await?;
//! tokio::spawn(door.serve(peer, std::future::pending()));
//!
//! client.write_all(b"SET greeting hello\r\nGET greeting\r\n").await?;
//! let mut answer = [0; 16];
//! client.read_exact(&mut answer).await?;
//! assert_eq!(&answer, b"+OK\r\n$5\r\nhello\r\n");
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//! Each connection is one task. It reads what is there, finds the requests in it without copying them,
//! runs them one after the other on the handle of its selected database, and writes all answers at once.
//! Commands that read before they write use the library's conditional writes, so they are atomic at the
//! holder that accepts the write.
//!
//! # Who may speak
//! Without tokens, programs on this machine: the door binds to loopback only. With
//! [tokens](tidings_tokens), every connection sends one with `AUTH` or `HELLO`, and each command needs a
//! scope for the selected database. A token that is revoked is refused from the next command on.
//!
//! # Bounds
//! Everything that a client can make grow has a bound, and is checked before space is taken: connections,
//! the bytes and words of a request, answers that wait to be read, queued commands, subscriptions,
//! cursors, and the time that a connection may be silent. Each is a constant with its reason.

mod about;
mod access;
mod change;
mod client;
mod command;
mod connection;
mod counters;
mod cursors;
mod door;
mod expiry;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod glob;
mod keys;
mod metrics;
mod notice;
mod number;
mod parser;
mod refusal;
mod reply;
mod scan;
mod server;
mod server_info;
mod session;
mod set;
mod strings;
mod subscriptions;
mod time;
mod transaction;
mod wait;
mod words;
mod writes;

pub use metrics::Metrics;
pub use server::RedisDoor;
pub use tidings_tokens::listen::BindError;
