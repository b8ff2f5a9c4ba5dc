//! Followers: watches that go on with their token, now at this holder and now at that one.
//!
//! One follows each database. Wherever a user reads, it goes on there: from then on it must have seen, of
//! every key, what that copy says, in the order of the stamps, and nothing twice.

use std::collections::BTreeMap;

use tidings_core::directory::Holder;
use tidings_core::error::Error;
use tidings_core::ident::DatabaseId;
use tidings_core::node::{Changes, Node};
use tidings_core::position::Position;
use tidings_core::record::Record;
use tidings_core::replica::decode_record;
use tidings_core::rows::split_sum;
use tidings_core::stamp::Stamp;
use tidings_core::status::HolderState;
use tidings_core::store::{Space, prefix_rows};

use crate::complete::present;
use crate::counting::{is_counter, is_lease};
use crate::disk::FaultyStore;
use crate::faults::is_planned;
use crate::world::World;

/// What one of them has been told.
#[derive(Debug)]
pub(crate) struct Follower {
    position: Position,
    /// Whether the copy that told it had nothing above what the position says.
    whole: bool,
    /// How many disks had lost data until then: what it was told may be nowhere any more.
    losses: u64,
    /// What it was told last of each key, and whether there is a value.
    seen: BTreeMap<Vec<u8>, (Stamp, bool)>,
}

impl Follower {
    /// Whoever reads a copy anew.
    fn begin(node: &mut Node<FaultyStore>, id: DatabaseId, losses: u64) -> Option<Self> {
        let seen = records(node, id)?;
        let whole = is_whole(node, id);
        let position = node.watch(id);
        node.unwatch(id);
        Some(Self { position, whole, losses, seen })
    }

    /// Takes in what it is told by a copy one of whose holders was not waited for until some time, in
    /// milliseconds since the Unix epoch; the key that was told twice, or too late.
    fn take(&mut self, changes: Changes, whole: bool, away: u64) -> Option<(Vec<u8>, Record)> {
        let mut wrong = None;
        for (key, record) in changes.changes {
            let (stamp, live) = (record.stamp(), record.is_live());
            let last = self.seen.insert(key.clone(), (stamp, live));
            // Two sides of a cut may sweep what expires, and the younger delete be collected first: both
            // say the same. So do two deletes of users, where a holder that has the older one was no
            // longer waited for when the younger one was collected.
            let same = |last: Stamp| is_lease(&key) || last.time.millis() < away;
            let again = |(last, was_live): (Stamp, bool)| {
                last >= stamp && (live || was_live || !same(last))
            };
            if last.is_some_and(again) && !counts(&key) && self.whole {
                wrong = Some((key, record));
            }
        }
        (self.position, self.whole) = (changes.position, whole);
        wrong
    }

    /// A key of a copy that it has been told all of, of which it has been told something else.
    fn gap(&self, rows: &BTreeMap<Vec<u8>, (Stamp, bool)>) -> Option<Vec<u8>> {
        // A delete may have been collected where it began.
        let differs = |(key, row): (&Vec<u8>, &(Stamp, bool))| {
            let seen = self.seen.get(key);
            let differs = if row.1 { seen != Some(row) } else { seen.is_some_and(|seen| seen.1) };
            (differs && !counts(key)).then(|| key.clone())
        };
        let gone = |(key, (_, live)): (&Vec<u8>, &(Stamp, bool))| {
            (*live && !counts(key) && !rows.contains_key(key)).then(|| key.clone())
        };
        rows.iter().find_map(differs).or_else(|| self.seen.iter().find_map(gone))
    }
}

/// Whether a key is that of a counter or of one of its sums: users are told what those come to.
fn counts(stored: &[u8]) -> bool {
    is_counter(stored) || split_sum(stored).is_some()
}

/// What the rows of a complete copy say.
fn records(node: &Node<FaultyStore>, id: DatabaseId) -> Option<BTreeMap<Vec<u8>, (Stamp, bool)>> {
    let prefix = node.replica(id)?.prefix.to_be_bytes();
    let rows = prefix_rows(node.store(), Space::Data, &prefix);
    let read = |row: Result<(Vec<u8>, Vec<u8>), _>| {
        let (key, bytes) = row.ok()?;
        let record = decode_record(&bytes).ok()?;
        Some((key[4..].to_vec(), (record.stamp(), record.is_live())))
    };
    rows.map(read).collect()
}

/// Until when one of the holders was not waited for, as far as the directory of a peer says.
fn away(node: &Node<FaultyStore>, id: DatabaseId) -> u64 {
    let until = |(_, holder): (_, Holder)| match holder.state {
        HolderState::Active => holder.since,
        _ => u64::MAX,
    };
    node.directory().holders(id).map(until).max().unwrap_or(0)
}

fn is_whole(node: &Node<FaultyStore>, id: DatabaseId) -> bool {
    node.replica(id).is_some_and(|replica| replica.state.progress.is_whole())
}

impl World {
    /// The follower of a database goes on at the copy of a process.
    pub(crate) fn follow(&mut self, index: usize, id: DatabaseId) {
        // A peer that means harm writes whatever it likes.
        if !self.hostile.is_empty() {
            return;
        }
        let losses = self.losses;
        let follower = self.followers.remove(&id).filter(|follower| follower.losses == losses);
        let followed = self.call(index, |node, _| {
            if node.failure().is_some()
                || !node.copies().any(|(held, role)| held == id && role == HolderState::Active)
            {
                return (follower, None);
            }
            let Some(mut follower) = follower else {
                return (Follower::begin(node, id, losses), None);
            };
            match node.watch_after(id, &[], &follower.position) {
                Ok(None) => (Some(follower), None),
                Ok(Some(changes)) => {
                    node.unwatch(id);
                    let wrong = follower.take(changes, is_whole(node, id), away(node, id));
                    (Some(follower), Some(Ok(wrong)))
                }
                Err(error) => (Follower::begin(node, id, losses), Some(Err(error))),
            }
        });
        let Some((follower, told)) = followed else { return };
        if let Some(follower) = follower {
            self.followers.insert(id, follower);
        }
        match told {
            Some(Ok(wrong)) => {
                self.sometimes.saw("watch went on");
                let late = self.processes[index].node.as_ref().map(|node| present(node, id));
                let late = late.is_some_and(|there| self.checker.deletes.has_late(there));
                if let Some((key, record)) = wrong.filter(|_| !late && !self.has_vanished()) {
                    let key = String::from_utf8_lossy(&key);
                    let what =
                        format!("told of {key:?} by peer {index} again, or late: {record:?}");
                    self.checker.broke("12 watch", what);
                }
            }
            Some(Err(Error::Lagged)) => self.sometimes.saw("watch lagged"),
            Some(Err(error)) if is_planned(&error) => self.sometimes.saw("read failed"),
            Some(Err(error)) => self.checker.broke("12 watch", format!("{error}")),
            None => {}
        }
    }

    /// 12: whoever has gone on at a copy that is at rest has been told all that is there.
    pub(crate) fn check_followers(&mut self) {
        if !self.hostile.is_empty() {
            return;
        }
        for index in 0..self.processes.len() {
            let Some(node) = &self.processes[index].node else { continue };
            let active = node.copies().filter(|(_, role)| *role == HolderState::Active);
            let ids: Vec<DatabaseId> =
                active.map(|(id, _)| id).filter(|id| self.followers.contains_key(id)).collect();
            for id in ids {
                self.follow(index, id);
                let Some(node) = &self.processes[index].node else { continue };
                let (Some(follower), Some(rows)) = (self.followers.get(&id), records(node, id))
                else {
                    continue;
                };
                let own = node.replica(id).map(|replica| &replica.state.progress.vector);
                let late = self.checker.deletes.has_late(present(node, id));
                if own != Some(&follower.position.vector) || late || self.has_vanished() {
                    continue;
                }
                if let Some(key) = follower.gap(&rows) {
                    let what = format!(
                        "whoever watches {id:?} at peer {index} was not told of {:?}: {:?}, not {:?}",
                        String::from_utf8_lossy(&key),
                        follower.seen.get(&key),
                        rows.get(&key)
                    );
                    self.checker.broke("12 watch", what);
                    return;
                }
                self.sometimes.saw("watch checked");
            }
        }
    }
}
