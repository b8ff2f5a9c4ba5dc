//! Rounds: what is said to every connected peer from time to time.
//!
//! A peer with few links says it to all of them in each round. With many, a round goes to
//! [`ROUND_LINKS`] of them, and the next one goes on from there: the cost of a peer that is idle does
//! not grow with the cluster, and every pair gets its turn within a known time. Links that want a
//! compare soon, because something differed or changed, or because the directories were not compared
//! yet, come first, but take half of a round at most.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Bound;

use super::Node;
use super::link::Link;
use crate::clock::Now;
use crate::ident::{DatabaseId, PeerId};
use crate::store::Store;

/// Most links in a round of summaries, and in one of pings.
const ROUND_LINKS: usize = 16;

/// Where the rounds stand.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// Peers to be compared with before others.
    urgent: BTreeSet<PeerId>,
    /// Connected peers that are not members: thought down while the connection stood still.
    strangers: BTreeSet<PeerId>,
    /// The last peer that had its turn, of each kind.
    urgent_after: Option<PeerId>,
    summary_after: Option<PeerId>,
    ping_after: Option<PeerId>,
    stranger_after: Option<PeerId>,
}

/// The next ones of a ring, each at most once, and where the turn after them begins.
pub(super) fn turn<T: Copy, I: Iterator<Item = T>>(
    after: &mut Option<T>,
    most: usize,
    ring: impl Fn((Bound<T>, Bound<T>)) -> I,
) -> Vec<T> {
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut taken: Vec<T> = ring((start, Bound::Unbounded)).take(most).collect();
    if let Some(after) = *after {
        let left = most - taken.len();
        taken.extend(ring((Bound::Unbounded, Bound::Included(after))).take(left));
    }
    *after = taken.last().copied().or(*after);
    taken
}

impl<S: Store> Node<S> {
    /// The periodic compare: begun by the lower peer id of each pair, and by either side while it is
    /// not in step.
    pub(super) fn send_summaries(&mut self) {
        let own = self.config.peer;
        let Self { rounds, links, .. } = self;
        let urgent = &rounds.urgent;
        let mut peers =
            turn(&mut rounds.urgent_after, ROUND_LINKS / 2, |ring| urgent.range(ring).copied());
        let begun_here = |peer: &PeerId| {
            !peers.contains(peer) && (own < *peer || links.get(peer).is_some_and(Link::is_stepping))
        };
        let rest = turn(&mut rounds.summary_after, ROUND_LINKS - peers.len(), |ring| {
            links.range(ring).map(|(peer, _)| *peer).filter(begun_here)
        });
        peers.extend(rest);
        for peer in &peers {
            if !links.get(peer).is_some_and(Link::is_stepping) {
                rounds.urgent.remove(peer);
            }
        }
        peers.sort_unstable();
        for peer in peers {
            self.send_summary(peer);
        }
    }

    /// The periodic measurement of clocks and round trips.
    pub(super) fn send_pings(&mut self, now: Now) {
        let Self { rounds, links, .. } = self;
        let peers = turn(&mut rounds.ping_after, ROUND_LINKS, |ring| {
            links.range(ring).map(|(peer, _)| *peer)
        });
        let strangers = &rounds.strangers;
        let unmet =
            turn(&mut rounds.stranger_after, ROUND_LINKS, |ring| strangers.range(ring).copied());
        for peer in peers {
            self.send_ping(peer, now);
        }
        // Where both sides think each other down, neither would ever probe the other again.
        for peer in unmet {
            let hello = self.own_hello();
            self.send(peer, &hello);
        }
    }

    /// The next rounds compare with this peer before others, if it is for this peer to begin.
    pub(super) fn compare_soon(&mut self, peer: PeerId) {
        let Some(link) = self.links.get(&peer) else { return };
        if self.config.peer < peer || link.is_stepping() {
            self.rounds.urgent.insert(peer);
        }
    }

    /// A database of users changed: where not all links have their turn in each round, those to its
    /// other holders come first, whoever begins the compare otherwise, since they may know nothing of
    /// the change.
    pub(super) fn compare_holders_soon(&mut self, id: DatabaseId) {
        if self.links.len() <= ROUND_LINKS || self.directory.is_system(id) {
            return;
        }
        for (peer, _) in self.directory.holders(id) {
            if self.links.contains_key(&peer) {
                self.rounds.urgent.insert(peer);
            }
        }
    }

    /// A link came or went, or a member did.
    pub(super) fn note_acquaintance(&mut self, peer: PeerId) {
        if self.links.contains_key(&peer) {
            if self.members.contains_key(&peer) {
                self.rounds.strangers.remove(&peer);
            } else {
                self.rounds.strangers.insert(peer);
            }
        } else {
            self.rounds.urgent.remove(&peer);
            self.rounds.strangers.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_a_turn_within_a_round_of_rounds() {
        let mut ring: BTreeSet<PeerId> = (0..40).map(|number| PeerId([number; 32])).collect();
        let mut after = None;
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.extend(turn(&mut after, 16, |range| ring.range(range).copied()));
        }
        assert_eq!(seen.len(), 48);
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 40);
        // Who has had the last turn may leave.
        ring.remove(&after.unwrap_or(PeerId([0; 32])));
        let next = turn(&mut after, 16, |range| ring.range(range).copied());
        assert_eq!(next.first(), Some(&PeerId([8; 32])));
        assert_eq!(turn(&mut after, 64, |range| ring.range(range).copied()).len(), 39);
    }
}
