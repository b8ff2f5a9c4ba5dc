//! The driver's dials: making those that are due, and learning from those that fail.

use std::time::Instant;

use libp2p::{
    Multiaddr, connection_limits,
    swarm::{
        ConnectionDenied, ConnectionId, DialError,
        dial_opts::{DialOpts, PeerCondition},
    },
};

use super::{
    super::{
        AuthenticationFailure, NetworkEvent, address,
        counters::count,
        limits::{DIAL_CONCURRENCY, MAX_PENDING_OUTGOING},
        streams,
        targets::{Dial, Failure, Target},
        transport::Rejected,
    },
    Driver,
};

/// A dial under way.
pub(super) struct PendingDial {
    pub(super) target: Target,
    /// Whether the secret handshake failed on one of its addresses.
    unauthenticated: bool,
    addresses: Vec<Multiaddr>,
}

impl Driver {
    pub(super) fn room_for_dials(&self) -> usize {
        (MAX_PENDING_OUTGOING as usize).saturating_sub(self.dials.len() + self.lookups.len())
    }

    pub(super) fn dial_what_is_due(&mut self) {
        let room = self.room_for_dials();
        if room == 0 {
            return;
        }
        let due = self.shared.targets().due(Instant::now(), room);
        for dial in due {
            if address::needs_lookup(&dial.addresses) {
                self.lookups.spawn(async move {
                    let addresses = address::resolve(dial.addresses).await;
                    Dial { target: dial.target, addresses }
                });
            } else {
                self.dial(dial);
            }
        }
    }

    pub(super) fn dial(&mut self, Dial { target, addresses }: Dial) {
        // Ports are not reused: two peers that dial each other from their listening ports would
        // open one TCP connection that has two dialers.
        let options = match &target {
            Target::Peer(peer) => DialOpts::peer_id(*peer)
                .addresses(addresses.clone())
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .override_dial_concurrency_factor(DIAL_CONCURRENCY)
                .allocate_new_port()
                .build(),
            Target::Address(_) => match addresses.first() {
                Some(first) => {
                    DialOpts::unknown_peer_id().address(first.clone()).allocate_new_port().build()
                }
                None => return self.dial_failed(&target, Failure::Unreachable, "no such name"),
            },
        };
        let id = options.connection_id();
        let pending = PendingDial { target, unauthenticated: false, addresses };
        match self.swarm.dial(options) {
            Ok(()) => {
                self.dials.insert(id, pending);
            }
            Err(error) => {
                self.dial_failed(&pending.target, Failure::Unreachable, &error.to_string());
            }
        }
    }

    pub(super) fn dial_failed(&mut self, target: &Target, failure: Failure, reason: &str) {
        count(&self.shared.counters.failed_dials);
        tracing::debug!(?target, %reason, "the dial failed");
        self.shared.targets().failed(target, failure, Instant::now(), jitter());
    }

    pub(super) fn on_rejected(&mut self, rejected: Rejected) {
        let Rejected { peer, address, dialed, reason } = rejected;
        let hung_up =
            matches!(reason, AuthenticationFailure::Interrupted | AuthenticationFailure::Refused);
        if hung_up && self.peers.contains_key(&peer) {
            // Two peers that dial each other at once keep one connection, and hang up on the other.
            tracing::debug!(%peer, %address, "a connection that is not needed ended early");
            return;
        }
        count(&self.shared.counters.authentication_failures);
        if dialed {
            let (plain, _) = address::split_peer(address.clone());
            for dial in self.dials.values_mut() {
                dial.unauthenticated |=
                    dial.addresses.iter().any(|a| address::split_peer(a.clone()).0 == plain);
            }
        }
        self.shared.sink.event(NetworkEvent::AuthenticationFailed {
            peer,
            address,
            dialed,
            reason,
        });
    }

    pub(super) fn on_denied(&self, address: Multiaddr, cause: &ConnectionDenied) {
        count(&self.shared.counters.refused_connections);
        let reason = if let Some(exceeded) = cause.downcast_ref::<connection_limits::Exceeded>() {
            exceeded.to_string()
        } else if let Some(exceeded) = cause.downcast_ref::<streams::HostLimit>() {
            exceeded.to_string()
        } else {
            cause.to_string()
        };
        self.shared.sink.event(NetworkEvent::ConnectionRefused { address, reason });
    }

    pub(super) fn on_dial_error(&mut self, connection: ConnectionId, error: &DialError) {
        // A rejection is reported before the dial fails, on the other channel.
        while let Ok(rejected) = self.rejections.try_recv() {
            self.on_rejected(rejected);
        }
        match error {
            DialError::LocalPeerId { address } => {
                tracing::debug!(%address, "this address is our own");
                self.shared.targets().ourselves(address);
            }
            DialError::WrongPeerId { obtained, address }
                if obtained == self.swarm.local_peer_id() =>
            {
                self.shared.targets().ourselves(address);
            }
            DialError::Denied { cause } => {
                if let Some(dial) = self.dials.get(&connection)
                    && let Some(address) = dial.addresses.first()
                {
                    self.on_denied(address.clone(), cause);
                }
            }
            _ => {}
        }
        if let Some(dial) = self.dials.remove(&connection) {
            let failure =
                if dial.unauthenticated { Failure::Unauthenticated } else { Failure::Unreachable };
            self.dial_failed(&dial.target, failure, &error.to_string());
        }
    }
}

/// Between 0 and 1.
pub(super) fn jitter() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness the pauses are merely predictable.
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
