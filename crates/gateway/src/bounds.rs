//! What one client can take of the door, so that it is there for the others: every bound with its reason.
//!
//! Connections beyond [`CONNECTIONS_MAX`] wait in the backlog of the socket. A connection ends when
//! nothing comes, or nothing is taken, for as long as the times here say.

use std::time::Duration;

use tidings::limits;

/// Connections served at once; more wait in the backlog. Watches hold one each, so this is also the
/// bound on watches through this door.
pub(crate) const CONNECTIONS_MAX: usize = 1024;
/// A client that has not sent a whole request head after this long is dropped, so that slow ones
/// cannot hold every connection. It counts from the connection or the answer before, so that it also
/// ends connections that are idle.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest request head, in bytes: an address of the greatest length, and headers three times as long.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;
/// Longest address with its query, in bytes. A path and a key with every byte percent-encoded are under
/// 5 KiB, and two bounds of a scan that much again.
pub(crate) const URI_BYTES_MAX: usize = 16 << 10;
/// Largest request body, in bytes: one value of the largest size, or a batch of the largest size in
/// JSON (whose escapes make it several times larger than its bytes), and some slack.
pub(crate) const BODY_MAX: usize = limits::VALUE_MAX + (64 << 10);
/// How far a body that is too large is read on, so that its sender gets to see the answer: a client
/// that is still writing when the connection closes sees only a reset.
pub(crate) const BODY_DRAIN_MAX: usize = 4 * BODY_MAX;
/// A body that is not complete after this long is given up: the largest comes at 70 kB/s in that time.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_mins(2);
/// How much of the body of a refused request is read on, for the same reason, and for how long.
pub(crate) const REFUSED_BODY_MAX: usize = 2 * BODY_MAX;
pub(crate) const REFUSED_BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that takes nothing of an answer for this long is dropped, so that ones that do not read
/// cannot hold every connection. A watch says something every fifteen seconds.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// Longest `timeout` that a request may ask for: who waits longer can ask again.
pub(crate) const WAIT_MAX: Duration = Duration::from_hours(1);
/// How long an answer may take to begin, beyond what the request asks for and what its body takes. Each
/// call of the library has a time of its own, of 30 s at most, so that this one ends what hangs. A delete
/// of a prefix is many calls; where it is ended here, asking again goes on with what is left.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// How long requests may take to finish once the door closes.
pub(crate) const CLOSING_TIMEOUT: Duration = Duration::from_secs(5);

/// The bounds of a door that a test makes smaller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) connections: usize,
    pub(crate) head_timeout: Duration,
    pub(crate) write_timeout: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS_MAX,
            head_timeout: HEAD_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
        }
    }
}
