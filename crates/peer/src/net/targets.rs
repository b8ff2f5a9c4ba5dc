//! Whom to dial, and when: peers and addresses that are tried again for ever.
//!
//! Attempts are spaced by exponential backoff with jitter, so that peers that lost each other at
//! the same moment do not meet at the same moment for ever. A value without clock, randomness or
//! sockets of its own.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId};

use super::{
    address,
    limits::{
        BACKOFF_AUTHENTICATION, BACKOFF_FIRST, BACKOFF_LONGEST, MAX_ADDRESSES_PER_PEER,
        MAX_HINTED_PEERS, TURN,
    },
};

/// Most short sessions that make pauses longer: to 4 s, so that a turn can last.
const SHORT_MAX: u32 = 4;

/// What a dial is aimed at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// This peer, wherever it is.
    Peer(PeerId),
    /// Whoever answers at this address.
    Address(Multiaddr),
}

/// Why an attempt did not lead to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Unreachable,
    Unauthenticated,
}

/// A dial to make now.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) target: Target,
    pub(super) addresses: Vec<Multiaddr>,
}

/// Everything that is worth dialing.
#[derive(Default)]
pub(super) struct Targets {
    entries: HashMap<Target, Entry>,
    connected: HashSet<PeerId>,
}

struct Entry {
    addresses: Vec<Multiaddr>,
    /// Known from mDNS alone: dropped when the hint expires.
    hint: bool,
    /// The peer that last answered at an address.
    answered_by: Option<PeerId>,
    dialing: bool,
    failures: u32,
    /// When the last session began, until it ends.
    session: Option<Instant>,
    /// Sessions in a row that ended soon.
    short: u32,
    due: Instant,
}

impl Targets {
    /// An address from the configuration, tried for ever.
    pub(super) fn bootstrap(&mut self, address: Multiaddr, now: Instant) {
        match address::split_peer(address) {
            (address, Some(peer)) => self.ask(peer, vec![address], now),
            (address, None) => {
                let target = Target::Address(address.clone());
                self.entries.entry(target).or_insert_with(|| Entry::new(vec![address], now));
            }
        }
    }

    /// A peer to be tried for ever, at these addresses beside those already known.
    pub(super) fn ask(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, now: Instant) {
        let entry =
            self.entries.entry(Target::Peer(peer)).or_insert_with(|| Entry::new(Vec::new(), now));
        entry.hint = false;
        if entry.add(addresses) {
            entry.retry_soon(now);
        }
    }

    /// Gives a peer up.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.entries.remove(&Target::Peer(*peer));
    }

    /// A hint that a peer may be at an address. Returns whether it is news.
    pub(super) fn hint(&mut self, peer: PeerId, address: Multiaddr, now: Instant) -> bool {
        let (address, _) = address::split_peer(address);
        let target = Target::Peer(peer);
        if !self.entries.contains_key(&target) {
            if self.entries.values().filter(|entry| entry.hint).count() >= MAX_HINTED_PEERS {
                return false;
            }
            let mut entry = Entry::new(Vec::new(), now);
            entry.hint = true;
            self.entries.insert(target.clone(), entry);
        }
        self.entries.get_mut(&target).is_some_and(|entry| {
            let news = entry.add(vec![address]);
            if news {
                entry.retry_soon(now);
            }
            news
        })
    }

    /// A hint is no longer believed.
    pub(super) fn hint_expired(&mut self, peer: PeerId, address: Multiaddr) {
        let (address, _) = address::split_peer(address);
        let target = Target::Peer(peer);
        if let Some(entry) = self.entries.get_mut(&target)
            && entry.hint
        {
            entry.addresses.retain(|known| *known != address);
            if entry.addresses.is_empty() {
                self.entries.remove(&target);
            }
        }
    }

    /// The dials to make now, at most `room`; they count as under way from here on.
    pub(super) fn due(&mut self, now: Instant, room: usize) -> Vec<Dial> {
        let connected = &self.connected;
        let mut due: Vec<(&Target, &mut Entry)> = self
            .entries
            .iter_mut()
            .filter(|(target, entry)| entry.wanted(target, connected) && entry.due <= now)
            .collect();
        due.sort_by_key(|(_, entry)| entry.due);
        due.into_iter()
            .take(room)
            .map(|(target, entry)| {
                entry.dialing = true;
                Dial { target: target.clone(), addresses: entry.addresses.clone() }
            })
            .collect()
    }

    /// When the next dial is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.entries
            .iter()
            .filter(|(target, entry)| entry.wanted(target, &self.connected))
            .map(|(_, entry)| entry.due)
            .min()
    }

    /// A dial failed.
    pub(super) fn failed(&mut self, target: &Target, failure: Failure, now: Instant, jitter: f64) {
        if let Some(entry) = self.entries.get_mut(target) {
            entry.dialing = false;
            entry.failures = entry.failures.saturating_add(1);
            let pause = match failure {
                Failure::Unreachable => backoff(entry.failures),
                Failure::Unauthenticated => BACKOFF_AUTHENTICATION,
            };
            entry.due = now + jittered(pause, jitter);
        }
    }

    /// A dial reached `peer` at `address`.
    pub(super) fn answered(&mut self, target: &Target, peer: PeerId, address: &Multiaddr) {
        if let Some(entry) = self.entries.get_mut(target) {
            entry.dialing = false;
            entry.answered_by = Some(peer);
            // What worked last is tried first.
            let (address, _) = address::split_peer(address.clone());
            if let Some(at) = entry.addresses.iter().position(|known| *known == address) {
                entry.addresses[..=at].rotate_right(1);
            }
        }
    }

    /// A connection to the peer exists: no need to dial it.
    pub(super) fn connected(&mut self, peer: PeerId) {
        self.connected.insert(peer);
    }

    /// A session with the peer exists: its backoff begins anew after it, where it lasts. Else two
    /// processes under one identity would push each other out many times a second.
    pub(super) fn succeeded(&mut self, peer: PeerId, now: Instant) {
        for entry in self.of(peer) {
            entry.failures = 0;
            entry.session = Some(now);
        }
    }

    /// The last connection to the peer is gone.
    pub(super) fn disconnected(&mut self, peer: PeerId, now: Instant, jitter: f64) {
        self.connected.remove(&peer);
        for entry in self.of(peer) {
            if let Some(began) = entry.session.take() {
                let short = now < began + TURN;
                entry.short = if short { entry.short.saturating_add(1).min(SHORT_MAX) } else { 0 };
                entry.failures = entry.short;
            }
            entry.failures = entry.failures.saturating_add(1);
            entry.due = now + jittered(backoff(entry.failures), jitter);
        }
    }

    /// An address turned out to be our own.
    pub(super) fn ourselves(&mut self, address: &Multiaddr) {
        let (address, _) = address::split_peer(address.clone());
        self.entries.retain(|target, entry| {
            entry.addresses.retain(|known| *known != address);
            matches!(target, Target::Peer(_)) || !entry.addresses.is_empty()
        });
    }

    fn of(&mut self, peer: PeerId) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut().filter_map(move |(target, entry)| match target {
            Target::Peer(other) if *other == peer => Some(entry),
            Target::Address(_) if entry.answered_by == Some(peer) => Some(entry),
            _ => None,
        })
    }
}

impl Entry {
    fn new(addresses: Vec<Multiaddr>, now: Instant) -> Self {
        Self {
            addresses,
            hint: false,
            answered_by: None,
            dialing: false,
            failures: 0,
            session: None,
            short: 0,
            due: now,
        }
    }

    /// Whether this should be dialed at all.
    fn wanted(&self, target: &Target, connected: &HashSet<PeerId>) -> bool {
        let peer = match target {
            Target::Peer(peer) => Some(*peer),
            Target::Address(_) => self.answered_by,
        };
        !self.dialing
            && !self.addresses.is_empty()
            && !peer.is_some_and(|peer| connected.contains(&peer))
    }

    /// Adds addresses, the newest first when there are too many; returns whether any was new.
    fn add(&mut self, addresses: Vec<Multiaddr>) -> bool {
        let mut news = false;
        for address in addresses {
            let (address, _) = address::split_peer(address);
            if !self.addresses.contains(&address) {
                if self.addresses.len() >= MAX_ADDRESSES_PER_PEER {
                    self.addresses.pop();
                }
                self.addresses.insert(0, address);
                news = true;
            }
        }
        news
    }

    /// A new address is worth an early try, but not one per address.
    fn retry_soon(&mut self, now: Instant) {
        self.due = self.due.min(now + BACKOFF_FIRST);
    }
}

/// The pause after so many failures in a row.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    BACKOFF_FIRST.saturating_mul(1 << doublings).min(BACKOFF_LONGEST)
}

/// Between half of the pause and all of it; `jitter` is between 0 and 1.
fn jittered(pause: Duration, jitter: f64) -> Duration {
    pause.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: usize) -> Multiaddr {
        format!("/ip4/10.0.0.1/tcp/{n}").parse().unwrap()
    }

    /// Pauses double up to the longest, and begin anew after a success.
    #[test]
    fn pauses_double_and_begin_anew_after_a_success() {
        let (peer, mut now) = (PeerId::random(), Instant::now());
        let target = Target::Peer(peer);
        let mut targets = Targets::default();
        targets.ask(peer, vec![address(1)], now);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            assert_eq!(targets.due(now, 8).len(), 1);
            assert!(targets.due(now, 8).is_empty(), "already under way");
            targets.failed(&target, Failure::Unreachable, now, 1.0);
            let due = targets.next_due().unwrap();
            pauses.push((due - now).as_millis());
            now = due;
        }
        assert_eq!(pauses[..4], [250, 500, 1000, 2000]);
        assert_eq!(*pauses.last().unwrap(), BACKOFF_LONGEST.as_millis());

        targets.due(now, 8);
        targets.answered(&target, peer, &address(1));
        targets.connected(peer);
        targets.succeeded(peer, now);
        assert_eq!(targets.next_due(), None, "connected peers are not dialed");
        now += TURN;
        targets.disconnected(peer, now, 0.0);
        assert_eq!(targets.next_due(), Some(now + BACKOFF_FIRST / 2));

        let mut pauses = Vec::new();
        for _ in 0..6 {
            targets.succeeded(peer, now);
            targets.disconnected(peer, now, 1.0);
            pauses.push((targets.next_due().unwrap() - now).as_millis());
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 4000, 4000], "sessions that do not last");
        targets.forget(&peer);
        assert_eq!(targets.next_due(), None);
    }

    /// A bootstrap address rests while the peer that answered there is connected, and our own is
    /// dropped.
    #[test]
    fn bootstrap_addresses_follow_whoever_answers() {
        let (peer, now) = (PeerId::random(), Instant::now());
        let mut targets = Targets::default();
        targets.bootstrap(address(1), now);
        targets.bootstrap(address(2), now);
        assert_eq!(targets.due(now, 8).len(), 2);
        targets.answered(&Target::Address(address(1)), peer, &address(1));
        targets.connected(peer);
        targets.ourselves(&address(2));
        assert_eq!(targets.next_due(), None);
        targets.disconnected(peer, now, 0.0);
        assert!(targets.next_due().is_some());
        // Named peers are dialed by name.
        let named = address(3).with_p2p(peer).unwrap();
        targets.bootstrap(named, now);
        let dials = targets.due(now, 8);
        assert_eq!(dials[0].target, Target::Peer(peer));
        assert_eq!(dials[0].addresses, [address(3)]);
    }

    /// Hints are bounded, forgotten when they expire, and kept once somebody asks for the peer.
    #[test]
    fn hints_are_bounded_and_expire() {
        let now = Instant::now();
        let mut targets = Targets::default();
        let (gone, kept) = (PeerId::random(), PeerId::random());
        assert!(targets.hint(gone, address(1), now));
        assert!(targets.hint(kept, address(2), now));
        assert!(!targets.hint(kept, address(2), now), "no news");
        for _ in 0..2 * MAX_HINTED_PEERS {
            targets.hint(PeerId::random(), address(3), now);
        }
        assert_eq!(targets.entries.len(), MAX_HINTED_PEERS);
        for n in 0..2 * MAX_ADDRESSES_PER_PEER {
            targets.hint(kept, address(10 + n), now);
        }
        let entry = &targets.entries[&Target::Peer(kept)];
        assert_eq!(entry.addresses.len(), MAX_ADDRESSES_PER_PEER);
        targets.hint_expired(gone, address(1));
        assert!(!targets.entries.contains_key(&Target::Peer(gone)));
        targets.ask(kept, vec![], now);
        for n in 0..2 * MAX_ADDRESSES_PER_PEER {
            targets.hint_expired(kept, address(10 + n));
        }
        assert!(targets.entries.contains_key(&Target::Peer(kept)));
    }

    /// An address that failed the secret handshake is left alone for long.
    #[test]
    fn a_wrong_secret_is_not_asked_again_soon() {
        let (peer, now) = (PeerId::random(), Instant::now());
        let mut targets = Targets::default();
        targets.ask(peer, vec![address(1)], now);
        targets.due(now, 1);
        targets.failed(&Target::Peer(peer), Failure::Unauthenticated, now, 0.5);
        assert!(targets.next_due().unwrap() >= now + BACKOFF_AUTHENTICATION / 2);
    }
}
