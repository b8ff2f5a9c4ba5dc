//! What the network has done so far, as numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Frames and their bytes in one direction. Bytes include the length prefixes, not the overhead
/// of encryption and transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many frames or packets.
    pub frames: u64,
    /// How many bytes they took on their stream.
    pub bytes: u64,
}

/// A snapshot of the counters since the network started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkCounters {
    /// Data frames written.
    pub frames_sent: Traffic,
    /// Data frames read.
    pub frames_received: Traffic,
    /// Probe packets written.
    pub probes_sent: Traffic,
    /// Probe packets read.
    pub probes_received: Traffic,
    /// Frames and probes that were not accepted for sending: not connected, too large, or the
    /// queue was full.
    pub dropped_sends: u64,
    /// Connections, in either direction, that did not pass the secret handshake.
    pub authentication_failures: u64,
    /// Connections turned away by a connection limit.
    pub refused_connections: u64,
    /// Dials that reached nobody.
    pub failed_dials: u64,
    /// Peers connected now.
    pub connected_peers: u64,
    /// How often a peer became connected.
    pub sessions: u64,
}

/// The live counters behind [`NetworkCounters`].
#[derive(Default)]
pub(super) struct Counters {
    pub(super) frames_sent: TrafficCounter,
    pub(super) frames_received: TrafficCounter,
    pub(super) probes_sent: TrafficCounter,
    pub(super) probes_received: TrafficCounter,
    pub(super) dropped_sends: AtomicU64,
    pub(super) authentication_failures: AtomicU64,
    pub(super) refused_connections: AtomicU64,
    pub(super) failed_dials: AtomicU64,
    pub(super) sessions: AtomicU64,
}

#[derive(Default)]
pub(super) struct TrafficCounter {
    frames: AtomicU64,
    bytes: AtomicU64,
}

impl TrafficCounter {
    pub(super) fn add(&self, frames: usize, bytes: usize) {
        self.frames.fetch_add(frames as u64, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    fn snapshot(&self) -> Traffic {
        Traffic { frames: self.frames.load(Relaxed), bytes: self.bytes.load(Relaxed) }
    }
}

impl Counters {
    pub(super) fn snapshot(&self, connected_peers: usize) -> NetworkCounters {
        NetworkCounters {
            frames_sent: self.frames_sent.snapshot(),
            frames_received: self.frames_received.snapshot(),
            probes_sent: self.probes_sent.snapshot(),
            probes_received: self.probes_received.snapshot(),
            dropped_sends: self.dropped_sends.load(Relaxed),
            authentication_failures: self.authentication_failures.load(Relaxed),
            refused_connections: self.refused_connections.load(Relaxed),
            failed_dials: self.failed_dials.load(Relaxed),
            connected_peers: connected_peers as u64,
            sessions: self.sessions.load(Relaxed),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
