//! Clones: two processes that run at the same time under one peer's identity, because its data
//! directory was copied with its key. Both refuse writes until one of them stops.
//!
//! Neither of the two can see the other; a third peer sees both, one after the other, on the
//! connections that it has with their name. Each start has its own epoch, and an epoch that was given
//! up never comes back. So a peer that hears an old epoch again asks for the live one, here and on
//! each later connection, and keeps this order:
//!
//! 1. an epoch *a* was heard,
//! 2. then a question was sent, and answered under another epoch *b*,
//! 3. then a question was sent, and answered under *a*.
//!
//! One process after the other cannot do that: *a* was live before *b* and after it. What was on its way
//! for long, what comes twice, and a clock that is set back do not change it, because a question is
//! answered only by somebody who is alive after it was asked. Nor does a restart, with whatever disk:
//! it takes an epoch that nobody heard before. Where no old epoch is heard, nothing is asked.
//!
//! Whoever has seen that much says so ([`Message::Cloned`]) on the connection at hand, and again each
//! time that the other one shows up. A peer that was told refuses writes for [`HOLD`].

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use rand_core::Rng;

use super::work::Work;
use super::{Event, Node, SECOND};
use crate::clock::Now;
use crate::error::Error;
use crate::ident::{Epoch, PeerId};
use crate::message::Message;
use crate::store::{Store, StoreError};

/// How long a peer refuses writes after it was last told, in microseconds. Two clones take turns at
/// the connection to a third peer every few seconds, and are told at each turn.
const HOLD: u64 = 30 * SECOND;

/// How long nothing more is seen of clones before they are news again, in microseconds.
const NEWS_AFTER: u64 = 10 * 60 * SECOND;

/// Most epochs of one peer that are remembered: of clones that are both restarted again and again,
/// those two that are alive are among the last ones.
const EPOCHS_KEPT: usize = 8;

/// Most peers whose epochs are remembered: more than can be connected.
const PEERS_KEPT: usize = 4_096;

/// What is known of clones: of others, and of this peer.
#[derive(Debug, Default)]
pub(super) struct Clones {
    heard: BTreeMap<PeerId, Heard>,
    /// Until when this peer refuses writes.
    until: Option<u64>,
}

/// What was heard under one peer's name, on all connections since the start.
#[derive(Debug, Default)]
struct Heard {
    /// Different epochs, the one heard last at the end.
    epochs: Vec<Epoch>,
    /// Whether an earlier one was heard again.
    returned: bool,
    /// When the question that is not answered yet was sent, and what had been heard by then.
    asked: Option<(u64, Vec<Epoch>)>,
    /// The last answer, and what had been heard before its question was sent.
    answered: Option<(Epoch, Vec<Epoch>)>,
    /// When clones were last seen.
    seen: Option<u64>,
}

impl Heard {
    /// Notes an epoch; whether to ask for the live one.
    fn note(&mut self, epoch: Epoch) -> bool {
        if self.epochs.last() != Some(&epoch) {
            let before = self.epochs.len();
            self.epochs.retain(|known| *known != epoch);
            self.returned |= self.epochs.len() < before;
            if self.epochs.len() == EPOCHS_KEPT {
                self.epochs.remove(0);
            }
            self.epochs.push(epoch);
        }
        self.returned && self.asked.is_none()
    }

    /// A question was answered, the one that was sent at this time or a later one. The epoch of a clone,
    /// if this shows that there is one.
    fn answer(&mut self, asked: u64, epoch: Epoch) -> Option<Epoch> {
        let (_, before) = self.asked.take_if(|(at, _)| *at <= asked)?;
        let last = self.answered.replace((epoch, before));
        let (other, before) = last?;
        (other != epoch && before.contains(&epoch)).then_some(other)
    }
}

impl Clones {
    /// The connection is gone, and whatever was asked on it.
    pub(super) fn disconnected(&mut self, peer: PeerId) {
        if let Some(heard) = self.heard.get_mut(&peer) {
            heard.asked = None;
        }
    }

    /// Ends the refusal in time.
    pub(super) fn tick(&mut self, now: Now) {
        self.until.take_if(|until| *until <= now.monotonic);
    }
}

impl<S: Store> Node<S> {
    /// Goes on under a new epoch: the live one was heard above what was issued here, or what was issued
    /// cannot be known for certain.
    pub(super) fn take_new_epoch(&mut self) -> Result<(), StoreError> {
        self.epoch = Epoch::new(self.random.next_u64(), self.config.peer);
        let mut work = Work::default();
        self.stage_own(&mut work, None);
        self.commit(work.transaction)?;
        self.sync_store()?;
        self.leaves.forget_issued();
        self.broadcast_hello();
        Ok(())
    }

    /// Whether another process runs under this peer's identity: writes are refused then.
    pub fn is_cloned(&self) -> bool {
        self.clones.until.is_some()
    }

    /// Whether a user may change anything through this peer.
    pub(super) fn not_cloned(&self) -> Result<(), Error> {
        if self.is_cloned() { Err(Error::Cloned) } else { Ok(()) }
    }

    /// A peer said hello under this epoch.
    pub(super) fn heard_epoch(&mut self, peer: PeerId, epoch: Epoch, now: Now) {
        let Self { clones, links, .. } = self;
        if clones.heard.len() >= PEERS_KEPT && !clones.heard.contains_key(&peer) {
            let away = clones.heard.keys().find(|known| !links.contains_key(*known)).copied();
            away.map(|away| clones.heard.remove(&away));
        }
        let heard = clones.heard.entry(peer).or_default();
        if heard.note(epoch) {
            heard.asked = Some((now.monotonic, heard.epochs.clone()));
            self.send(peer, &Message::AskEpoch { asked: now.monotonic });
        }
    }

    /// A peer answered a question that was asked at this time.
    pub(super) fn epoch_told(&mut self, peer: PeerId, asked: u64, epoch: Epoch, now: Now) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.told = Some((asked, epoch));
        }
        let Some(heard) = self.clones.heard.get_mut(&peer) else { return };
        let Some(epoch) = heard.answer(asked, epoch) else { return };
        let seen = heard.seen.replace(now.monotonic);
        if seen.is_none_or(|seen| seen + NEWS_AFTER <= now.monotonic) {
            self.event(Event::ClonesSeen(peer));
        }
        self.count("clones_seen", 1);
        self.send(peer, &Message::Cloned { epoch });
    }

    /// A peer says that somebody else is alive under this peer's name.
    pub(super) fn cloned(&mut self, peer: PeerId, epoch: Epoch, now: Now) {
        if epoch == self.epoch || !epoch.is_of(self.config.peer) {
            self.misbehaved(peer, "a clone of this peer that cannot be one");
            return;
        }
        if self.clones.until.replace(now.monotonic.saturating_add(HOLD)).is_none() {
            self.event(Event::Cloned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Epoch = Epoch(1);
    const NEW: Epoch = Epoch(2);

    /// A hello, and what is answered if that makes the peer ask.
    fn meet(heard: &mut Heard, at: u64, hello: Epoch, answers: Option<Epoch>) -> Option<Epoch> {
        heard.asked = None;
        if heard.note(hello) {
            heard.asked = Some((at, heard.epochs.clone()));
            return answers.and_then(|epoch| heard.answer(at, epoch));
        }
        None
    }

    #[test]
    fn an_epoch_that_was_live_before_and_after_another_has_a_clone() {
        let mut heard = Heard::default();
        for (at, epoch) in [(1, OLD), (2, NEW), (3, OLD)] {
            assert_eq!(meet(&mut heard, at, epoch, Some(epoch)), None);
        }
        assert_eq!(meet(&mut heard, 4, NEW, Some(NEW)), Some(OLD));
        assert_eq!(meet(&mut heard, 5, OLD, Some(OLD)), Some(NEW));
        assert_eq!(meet(&mut heard, 6, OLD, Some(OLD)), None, "the other one was not heard since");
    }

    #[test]
    fn late_hellos_of_the_dead_prove_nothing() {
        let mut heard = Heard::default();
        // Hellos of every start arrive in every order; whoever is alive answers, or nobody does.
        for (at, hello, answers) in [
            (1, NEW, Some(NEW)),
            (2, OLD, Some(NEW)),
            (3, NEW, Some(NEW)),
            (4, OLD, None),
            (5, Epoch(3), Some(Epoch(3))),
            (6, NEW, Some(Epoch(3))),
            (7, OLD, Some(Epoch(3))),
        ] {
            assert_eq!(meet(&mut heard, at, hello, answers), None, "{at}");
        }
    }

    #[test]
    fn an_answer_to_an_earlier_question_is_none() {
        let mut heard = Heard::default();
        for (at, epoch) in [(1, OLD), (2, NEW), (3, OLD)] {
            meet(&mut heard, at, epoch, Some(epoch));
        }
        assert!(heard.note(NEW));
        heard.asked = Some((9, heard.epochs.clone()));
        assert_eq!(heard.answer(8, NEW), None);
        assert!(heard.asked.is_some());
        assert_eq!(heard.answer(9, NEW), Some(OLD));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut heard = Heard::default();
        for number in 0..100 {
            heard.note(Epoch(number));
        }
        assert_eq!(heard.epochs.len(), EPOCHS_KEPT);
    }
}
