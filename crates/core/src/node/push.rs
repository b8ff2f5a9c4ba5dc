//! Push: committed intervals leave at once, and are offered again until they are acknowledged.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::work::Work;
use super::{MILLISECOND, NEVER, Node, Output, SECOND};
use crate::clock::Now;
use crate::definition::Durability;
use crate::error::Error;
use crate::ident::{DatabaseId, Epoch, PeerId};
use crate::interval::Interval;
use crate::message::{Message, Reply, Target, Written};
use crate::planted::{Planted, planted};
use crate::record::Sent;
use crate::replica::Late;
use crate::status::HolderState;
use crate::store::{Store, StoreError};
use crate::vector::Fit;
use crate::wire;

/// First pause before an unacknowledged push is offered again: many round trips of a LAN.
const OFFER_FIRST: u64 = 500 * MILLISECOND;
/// Longest such pause.
const OFFER_MAX: u64 = 30 * SECOND;
/// Staged bytes of arrived pushes after which they are committed.
const ARRIVED_MAX: usize = 2 << 20;

/// Most receivers of a push that are asked to pass it on: system databases have so many that each
/// one passing it on to everyone would be a flood.
const RELAYS_MAX: usize = 16;

/// A push message, taken apart.
#[derive(Debug)]
pub(super) struct Push {
    pub(super) target: Target,
    pub(super) interval: Interval,
    pub(super) records: Vec<Sent>,
    pub(super) durability: Durability,
    pub(super) unreached: Vec<PeerId>,
}

/// Pushes of one peer that are applied but not committed yet.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    work: Work,
    bytes: usize,
    /// To acknowledge once committed: highest sequence, and whether it must be synced.
    acknowledge: BTreeMap<(Target, Epoch), (u64, Durability)>,
    relays: Vec<(Vec<PeerId>, Vec<u8>)>,
    /// What came late.
    late: Vec<(DatabaseId, Late)>,
    /// Databases with a gap: epoch and the sequence that was seen.
    gaps: Vec<(DatabaseId, Epoch, u64)>,
}

/// What one peer has not acknowledged of one database.
#[derive(Debug)]
struct Outstanding {
    epoch: Epoch,
    acknowledged: u64,
    upto: u64,
    /// It is offered until it is acknowledged with this durability.
    durability: Durability,
    offer_at: u64,
    pause: u64,
}

/// Who hears of the end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyTo {
    /// The local user's call with this token.
    Token(u64),
    /// A peer's request.
    Peer(PeerId, u64),
}

/// A write that waits for its sync, or for other holders.
#[derive(Debug)]
struct Waiter {
    reply: ReplyTo,
    database: DatabaseId,
    epoch: Epoch,
    upto: u64,
    want: u32,
    durability: Durability,
    have: BTreeSet<PeerId>,
    ticket: Option<u64>,
    deadline: u64,
    timeout: u64,
    written: Vec<Written>,
}

/// Pushes under way.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    outstanding: BTreeMap<(PeerId, DatabaseId), Outstanding>,
    waiters: BTreeMap<u64, Waiter>,
    next_waiter: u64,
    ticket: u64,
    /// What is sent once a sync is done, by its ticket.
    unsynced: BTreeMap<u64, Vec<(PeerId, Message)>>,
}

/// A write set that was committed: what leaves, and who waits for it.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) reply: ReplyTo,
    pub(super) want: u32,
    pub(super) durability: Durability,
    /// In milliseconds.
    pub(super) timeout: u64,
    pub(super) written: Vec<Written>,
}

impl<S: Store> Node<S> {
    /// The other holders of a database: those connected, and the live ones that are not.
    pub(super) fn receivers(&self, id: DatabaseId) -> (Vec<PeerId>, Vec<PeerId>) {
        let all: Vec<PeerId> = if self.directory.is_system(id) {
            let strangers = self.links.keys().filter(|peer| !self.members.contains_key(*peer));
            let mut known: Vec<PeerId> = self.members.keys().chain(strangers).copied().collect();
            known.sort_unstable();
            known
        } else {
            self.directory
                .holders(id)
                .filter(|(_, h)| h.state != HolderState::Gone)
                .map(|(p, _)| p)
                .collect()
        };
        let (connected, away): (Vec<PeerId>, Vec<PeerId>) = all
            .into_iter()
            .filter(|peer| *peer != self.config.peer)
            .partition(|peer| self.links.contains_key(peer));
        (connected, away.into_iter().filter(|peer| self.members.contains_key(peer)).collect())
    }

    /// Sends a committed interval of this peer's own writes to the other holders.
    pub(super) fn push(
        &mut self,
        target: Target,
        interval: Interval,
        records: Vec<Sent>,
        durability: Durability,
        now: Now,
    ) {
        let (connected, mut unreached) = self.receivers(target.database);
        if connected.is_empty() {
            return;
        }
        unreached.truncate(crate::limits::COPIES_MAX as usize);
        let mut bytes = Vec::with_capacity(64 + records.iter().map(Sent::weight).sum::<usize>());
        let count = records.len() as u64;
        let mut push = Message::Push { target, interval, records, durability, unreached };
        wire::append_sized(&mut bytes, &push);
        for (index, peer) in connected.into_iter().enumerate() {
            if index == RELAYS_MAX
                && let Message::Push { unreached, .. } = &mut push
                && !unreached.is_empty()
            {
                unreached.clear();
                bytes.clear();
                wire::append_sized(&mut bytes, &push);
            }
            self.send_encoded(peer, &bytes);
            self.count("records_pushed", count);
            self.expect_acknowledgement(peer, target.database, interval, durability, now);
        }
    }

    fn expect_acknowledgement(
        &mut self,
        peer: PeerId,
        database: DatabaseId,
        interval: Interval,
        durability: Durability,
        now: Now,
    ) {
        let offer_at = now.monotonic + OFFER_FIRST;
        let outstanding =
            self.push.outstanding.entry((peer, database)).or_insert_with(|| Outstanding {
                epoch: interval.epoch,
                acknowledged: interval.from,
                upto: 0,
                durability,
                offer_at,
                pause: OFFER_FIRST,
            });
        if outstanding.epoch != interval.epoch {
            outstanding.epoch = interval.epoch;
            outstanding.acknowledged = interval.from;
        }
        outstanding.upto = interval.upto;
        outstanding.durability = outstanding.durability.max(durability);
        outstanding.offer_at = offer_at.min(outstanding.offer_at.max(now.monotonic));
        outstanding.pause = OFFER_FIRST;
        self.timers.offers = self.timers.offers.min(outstanding.offer_at);
    }

    pub(super) fn send_offers(&mut self, now: Now) {
        let mut due = Vec::new();
        for (&(peer, database), outstanding) in &mut self.push.outstanding {
            if outstanding.offer_at <= now.monotonic {
                let Outstanding { epoch, upto, durability, .. } = *outstanding;
                due.push((peer, database, epoch, upto, durability));
                outstanding.offer_at = now.monotonic + outstanding.pause;
                outstanding.pause = (outstanding.pause * 2).min(OFFER_MAX);
            }
        }
        for (peer, database, epoch, upto, durability) in due {
            match self.target(database) {
                Some(target) if self.is_receiver(peer, database) => {
                    self.count("offers", 1);
                    self.send(peer, &Message::Offer { target, epoch, upto, durability });
                }
                _ => {
                    self.push.outstanding.remove(&(peer, database));
                }
            }
        }
        self.timers.offers =
            self.push.outstanding.values().map(|o| o.offer_at).min().unwrap_or(NEVER);
    }

    pub(super) fn is_receiver(&self, peer: PeerId, id: DatabaseId) -> bool {
        self.directory.is_system(id)
            || self.directory.holder(id, peer).is_some_and(|h| h.state != HolderState::Gone)
    }

    /// A database held here, in its generation.
    pub(super) fn target(&self, database: DatabaseId) -> Option<Target> {
        let held = self.held.get(&database).filter(|held| held.role != HolderState::Gone)?;
        Some(Target { database, generation: held.replica.state.generation })
    }

    /// Whether a message is about a copy held here, in its generation.
    pub(super) fn is_ours(&mut self, target: Target) -> bool {
        let held = self.target(target.database);
        let ours = held == Some(target) || planted(Planted::GenerationIgnored) && held.is_some();
        if !ours {
            self.count("messages_for_other_copies", 1);
        }
        ours
    }

    pub(super) fn push_arrived(
        &mut self,
        peer: PeerId,
        push: Push,
        arrived: &mut Arrived,
        now: Now,
    ) -> Result<(), StoreError> {
        let Push { target, interval, mut records, durability, unreached } = push;
        let id = target.database;
        let inside = |sent: &Sent| sent.sequence > interval.from && sent.sequence <= interval.upto;
        if interval.upto <= interval.from
            || !records.iter().all(|sent| inside(sent) && is_sane(sent))
            || unreached.len() > crate::limits::COPIES_MAX as usize
        {
            self.misbehaved(peer, "an interval with records outside it or out of bounds");
            return Ok(());
        }
        if self.target(id).is_none_or(|held| held.generation < target.generation) {
            // The directory may say so in what arrived just before: then a copy is begun now.
            self.commit_arrived(peer, arrived, now)?;
            while self.placement_step(now)? {}
        }
        if !self.is_ours(target) || self.is_handed_over(id) {
            return Ok(());
        }
        self.check_own_epoch(id, interval.epoch, interval.upto)?;
        let wanted = self.wants_changes(id);
        let Some(held) = self.held.get_mut(&id) else { return Ok(()) };
        let fit = held.replica.state.progress.fit(interval);
        if fit != Fit::Known {
            let room = held.replica.state.progress.has_room() || planted(Planted::PendingUnbounded);
            let Work { transaction, .. } = &arrived.work;
            // An increment is acknowledged with its counter, which may be of another epoch: a pull brings both.
            if fit == Fit::Gap && !room
                || held.replica.lacks_counters(transaction, &self.store, &records)?
            {
                arrived.gaps.push((id, interval.epoch, interval.upto));
                return Ok(());
            }
            let path = held.replica.path.clone();
            let newest = records.iter().map(|sent| sent.time).max();
            if fit == Fit::Next && !unreached.is_empty() {
                arrived.relays.push((unreached, relayed(target, interval, &records, durability)));
            }
            let limit = held.definition.as_ref().and_then(|definition| definition.size);
            if planted(Planted::QuotaOnMerge)
                && limit.is_some_and(|limit| held.replica.state.counts.bytes >= limit)
            {
                records.clear();
            }
            let count = records.len() as u64;
            arrived.bytes += records.iter().map(Sent::weight).sum::<usize>();
            if !planted(Planted::StateNotStaged) {
                arrived.work.touched.insert(id);
            }
            let Work { transaction, .. } = &mut arrived.work;
            let mut told = Vec::new();
            let late = held.replica.apply_sent(
                transaction,
                &self.store,
                &self.fingerprint,
                interval.epoch,
                records,
                |stored, record, applied| {
                    if wanted || matches!(applied, crate::replica::Applied::Conflict(_)) {
                        told.push((stored.to_vec(), record.clone(), applied));
                    }
                },
            )?;
            held.replica.state.progress.reflect(interval);
            for (stored, record, applied) in told {
                arrived.work.tell(id, wanted, &stored, &record, applied);
            }
            if !late.is_empty() {
                arrived.late.push((id, late));
            }
            self.count("records_received", count);
            if let Some(newest) = newest {
                self.follow(newest, &path, now);
            }
        }
        let early = match fit {
            Fit::Gap => planted(Planted::GapAcknowledged),
            Fit::Known | Fit::Next => planted(Planted::AcknowledgedBeforeCommit),
        };
        if early {
            let (epoch, upto, durability) = (interval.epoch, interval.upto, Durability::Buffered);
            self.send(peer, &Message::Acknowledge { target, epoch, upto, durability });
        }
        if fit == Fit::Gap {
            arrived.gaps.push((id, interval.epoch, interval.upto));
        } else {
            let entry = arrived
                .acknowledge
                .entry((target, interval.epoch))
                .or_insert((0, Durability::Buffered));
            *entry = (entry.0.max(interval.upto), entry.1.max(durability));
        }
        if arrived.bytes > ARRIVED_MAX {
            self.commit_arrived(peer, arrived, now)?;
        }
        Ok(())
    }

    /// Commits the pushes of one peer, then acknowledges, relays, and pulls gaps.
    pub(super) fn commit_arrived(
        &mut self,
        peer: PeerId,
        arrived: &mut Arrived,
        now: Now,
    ) -> Result<(), StoreError> {
        let Arrived { work, acknowledge, relays, gaps, late, .. } = core::mem::take(arrived);
        self.commit_work(work, now)?;
        for (id, late) in late {
            self.tell_late(id, late, now)?;
        }
        let mut unsynced = Vec::new();
        for ((target, epoch), (upto, durability)) in acknowledge {
            let buffered = Durability::Buffered;
            self.send(peer, &Message::Acknowledge { target, epoch, upto, durability: buffered });
            if planted(Planted::SyncedEarlyThere) {
                self.send(peer, &Message::Acknowledge { target, epoch, upto, durability });
            } else if durability == Durability::Synced {
                unsynced.push((peer, Message::Acknowledge { target, epoch, upto, durability }));
            }
        }
        self.send_synced(unsynced);
        for (peers, bytes) in relays {
            for peer in peers {
                self.count("pushes_relayed", 1);
                self.send_encoded(peer, &bytes);
            }
        }
        for (id, epoch, upto) in gaps {
            self.count("gaps", 1);
            self.pull_gap(id, peer, epoch, upto, now);
        }
        Ok(())
    }

    /// I3: nobody else may write under the live epoch of this peer.
    pub(super) fn check_own_epoch(
        &mut self,
        id: DatabaseId,
        epoch: Epoch,
        upto: u64,
    ) -> Result<(), StoreError> {
        let held = self.held.get(&id);
        let (generation, issued) = held.map_or((0, 0), |held| {
            (held.replica.state.generation, held.replica.state.progress.vector.get(epoch))
        });
        if epoch != self.epoch || upto <= issued.max(self.leaves.issued(id, generation)) {
            return Ok(());
        }
        self.event(super::Event::EpochSeenElsewhere);
        self.take_new_epoch()
    }

    /// Sends messages once everything committed so far is synced, to peers that are connected until then.
    pub(super) fn send_synced(&mut self, messages: Vec<(PeerId, Message)>) {
        if !messages.is_empty() {
            let ticket = self.request_sync();
            self.push.unsynced.insert(ticket, messages);
        }
    }

    /// Asks the driver for a sync of everything committed so far.
    pub(super) fn request_sync(&mut self) -> u64 {
        self.push.ticket += 1;
        self.outputs.push_back(Output::Sync(self.push.ticket));
        self.push.ticket
    }

    pub(super) fn offered(
        &mut self,
        peer: PeerId,
        target: Target,
        (epoch, upto): (Epoch, u64),
        durability: Durability,
        now: Now,
    ) {
        if !self.is_ours(target) || self.is_handed_over(target.database) {
            return;
        }
        let Some(held) = self.held.get(&target.database) else { return };
        let have = held.replica.state.progress.vector.get(epoch);
        if have >= upto {
            let buffered = Durability::Buffered;
            self.send(
                peer,
                &Message::Acknowledge { target, epoch, upto: have, durability: buffered },
            );
            if durability == Durability::Synced {
                let acknowledge = Message::Acknowledge { target, epoch, upto: have, durability };
                self.send_synced(alloc::vec![(peer, acknowledge)]);
            }
        } else {
            self.pull_gap(target.database, peer, epoch, upto, now);
        }
    }

    pub(super) fn acknowledged(
        &mut self,
        peer: PeerId,
        target: Target,
        epoch: Epoch,
        upto: u64,
        durability: Durability,
    ) {
        if self.target(target.database) != Some(target) {
            return;
        }
        let key = (peer, target.database);
        if let Some(outstanding) = self.push.outstanding.get_mut(&key)
            && outstanding.epoch == epoch
            && outstanding.durability <= durability
        {
            outstanding.acknowledged = outstanding.acknowledged.max(upto);
            let over = outstanding.acknowledged >= outstanding.upto;
            if over && !planted(Planted::OfferedForEver) {
                self.push.outstanding.remove(&key);
            }
        }
        if self.push.waiters.is_empty() {
            return;
        }
        for waiter in self.push.waiters.values_mut() {
            if waiter.database == target.database
                && waiter.epoch == epoch
                && waiter.upto <= upto
                && (waiter.durability <= durability || planted(Planted::BufferedCountsAsSynced))
            {
                waiter.have.insert(peer);
            }
        }
        self.review_waiters();
    }

    /// Answers the writes that have what they waited for. A holder that is still joining counts from
    /// the moment it is active.
    pub(super) fn review_waiters(&mut self) {
        let mut done = Vec::new();
        for (number, waiter) in &self.push.waiters {
            if waiter.ticket.is_none() && self.copies_of(waiter) >= waiter.want {
                done.push(*number);
            }
        }
        for number in done {
            if let Some(waiter) = self.push.waiters.remove(&number) {
                self.reply(waiter.reply, Ok(Reply::Written(waiter.written)));
            }
        }
    }

    /// Active holders that have what a write waits for, this one included.
    fn copies_of(&self, waiter: &Waiter) -> u32 {
        let id = waiter.database;
        let counts = |peer: &&PeerId| {
            self.directory.is_system(id)
                || self.directory.holder(id, **peer).is_some_and(|h| h.state == HolderState::Active)
        };
        let own = if planted(Planted::OwnCopyCountsTwice) { 2 } else { 1 };
        waiter.have.iter().filter(counts).count() as u32 + own
    }

    /// Answers a write when its sync and its acknowledgements are there.
    pub(super) fn wait_for(
        &mut self,
        database: DatabaseId,
        epoch: Epoch,
        upto: u64,
        waiting: Waiting,
        ticket: Option<u64>,
        now: Now,
    ) {
        let Waiting { reply, want, durability, timeout, written } = waiting;
        let deadline = now.monotonic.saturating_add(timeout.saturating_mul(MILLISECOND));
        self.timers.calls = self.timers.calls.min(deadline);
        let have = BTreeSet::new();
        self.push.next_waiter += 1;
        self.push.waiters.insert(
            self.push.next_waiter,
            Waiter {
                reply,
                database,
                epoch,
                upto,
                want,
                durability,
                have,
                ticket,
                deadline,
                timeout,
                written,
            },
        );
    }

    pub(super) fn synced(&mut self, ticket: u64) {
        let later = self.push.unsynced.split_off(&(ticket + 1));
        let ready = core::mem::replace(&mut self.push.unsynced, later);
        for (peer, message) in ready.into_values().flatten() {
            // Meanwhile it may have begun to leave itself.
            let holds = match &message {
                Message::Stay { target, .. } => self.keeps(peer, *target),
                _ => true,
            };
            if holds {
                self.send(peer, &message);
            }
        }
        for waiter in self.push.waiters.values_mut() {
            if waiter.ticket.is_some_and(|waits| waits <= ticket) {
                waiter.ticket = None;
            }
        }
        self.review_waiters();
    }

    /// Ends the waits whose time is over; the earliest deadline of the others.
    pub(super) fn expire_waiters(&mut self, now: Now) -> u64 {
        let expired: Vec<u64> = self
            .push
            .waiters
            .iter()
            .filter(|(_, waiter)| waiter.deadline <= now.monotonic)
            .map(|(number, _)| *number)
            .collect();
        for number in expired {
            let Some(waiter) = self.push.waiters.remove(&number) else { continue };
            let error = if waiter.ticket.is_some() {
                Error::TimedOut(waiter.timeout)
            } else {
                Error::UnderReplicated { have: self.copies_of(&waiter), want: waiter.want }
            };
            self.reply(waiter.reply, Err(error));
        }
        self.push.waiters.values().map(|waiter| waiter.deadline).min().unwrap_or(NEVER)
    }

    /// A peer is gone: what it missed is found by the compare when it comes back. The writes that it asked
    /// for go on, since it may ask again what became of them.
    pub(super) fn forget_pushes(&mut self, peer: PeerId) {
        let of_peer = (peer, DatabaseId([0; 16]))..=(peer, DatabaseId([0xff; 16]));
        let gone: Vec<_> = self.push.outstanding.range(of_peer).map(|(key, _)| *key).collect();
        for key in gone {
            self.push.outstanding.remove(&key);
        }
        for waiting in self.push.unsynced.values_mut() {
            waiting.retain(|(to, ..)| *to != peer);
        }
    }

    /// A database was dropped: nothing of it is offered any more, and nobody can say what became of the
    /// writes that wait.
    pub(super) fn forget_pushes_of(&mut self, id: DatabaseId, path: &str) {
        self.push.outstanding.retain(|(_, database), _| *database != id);
        let waits = |(_, waiter): &(&u64, &Waiter)| waiter.database == id;
        let over: Vec<u64> =
            self.push.waiters.iter().filter(waits).map(|(number, _)| *number).collect();
        for number in over {
            if let Some(waiter) = self.push.waiters.remove(&number) {
                let why = "the database was dropped meanwhile".into();
                let error = Error::OutcomeUnknown { path: path.into(), why };
                self.reply(waiter.reply, Err(error));
            }
        }
    }

    /// Whether a write to a database waits for its sync or for other holders.
    pub(super) fn is_awaited(&self, id: DatabaseId) -> bool {
        self.push.waiters.values().any(|waiter| waiter.database == id)
    }

    /// Records pushed to a peer that it has not acknowledged.
    pub(super) fn unacknowledged(&self, peer: PeerId, id: DatabaseId) -> u64 {
        self.push.outstanding.get(&(peer, id)).map_or(0, |outstanding| {
            outstanding.upto - outstanding.acknowledged.min(outstanding.upto)
        })
    }
}

/// Whether no bound is broken by a sent record.
pub(super) fn is_sane(sent: &Sent) -> bool {
    sent.sequence > 0
        && sent.time <= crate::stamp::TIME_CEILING
        && sent.payload.len() <= crate::limits::VALUE_MAX
        && sent.payload.fits(&sent.key)
        && (1..=STORED_KEY_MAX).contains(&sent.key.len())
}

/// Longest stored key: a key with room for its keyspace, and for the names of sub-registers.
pub(super) const STORED_KEY_MAX: usize = crate::limits::KEY_MAX + 1024;

/// The same push for the holders its sender could not reach, which pass it on no further.
fn relayed(
    target: Target,
    interval: Interval,
    records: &[Sent],
    durability: Durability,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (records, unreached) = (records.to_vec(), Vec::new());
    let push = Message::Push { target, interval, records, durability, unreached };
    wire::append_sized(&mut bytes, &push);
    bytes
}
