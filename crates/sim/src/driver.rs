//! What a driver does with answers, events and syncs.

use tidings_core::error::Error;
use tidings_core::ident::PeerId;
use tidings_core::message::Reply;
use tidings_core::node::{Event as Told, Input};

use crate::complete::present;
use crate::process::Waiting;
use crate::scenario::MILLISECOND;
use crate::world::{Event, World};

/// How long a sync of the disk takes, at most.
const SYNC_TIME: u64 = 10 * MILLISECOND;

impl World {
    pub(crate) fn told(&mut self, index: usize, event: &Told) {
        self.say(|| format!("peer {index}: {event}"));
        match event {
            Told::Joined(path) => {
                self.sometimes.saw("copy joined");
                let process = &mut self.processes[index];
                if let Some(id) = process.node.as_ref().map(|node| node.database_id(path)) {
                    process.active.insert(id, self.now);
                    self.check_complete(index, id);
                }
            }
            Told::Left(path) => {
                self.sometimes.saw("copy left");
                if let Some(node) = &self.processes[index].node {
                    let id = node.database_id(path);
                    let there = present(node, id);
                    self.check_left(index, id);
                    self.left.insert(there, self.now);
                    self.checker.left(index, there);
                }
            }
            Told::Lost(..) => self.sometimes.saw("declared lost"),
            Told::Dropped(..) => self.sometimes.saw("deleted rows dropped"),
            Told::DatabaseDropped(path) => {
                self.sometimes.saw("database dropped");
                let process = &mut self.processes[index];
                if let Some(node) = &process.node {
                    let id = node.database_id(path);
                    process.dropped.insert(id, self.now);
                    self.checker.dropped(id, node.directory().generation(id));
                }
            }
            Told::Late(path, _) => {
                self.sometimes.saw("late write kept");
                if let Some(node) = &self.processes[index].node {
                    self.checker.came_late(present(node, node.database_id(path)));
                }
            }
            Told::Repaired(..) => self.sometimes.saw("rows repaired"),
            Told::Damaged(path) => {
                self.sometimes.saw("alarm damaged");
                if !self.processes[index].tainted {
                    let what = format!("{path:?} of peer {index} is damaged, by nothing we did");
                    self.checker.broke("11 derived", what);
                }
            }
            Told::Conflict(path) => {
                self.checker.broke("2 dots", format!("conflicting stamps in {path:?}"));
            }
            Told::Misbehaved(peer, _) if self.hostile.contains(peer) => {
                self.sometimes.saw("hostile peer noticed");
            }
            Told::Misbehaved(peer, what) => {
                let what = format!("peer {index} says that {peer:?} sent {what}");
                self.checker.broke("14 no defects", what);
            }
            Told::EpochSeenElsewhere => {
                self.checker.broke("2 dots", format!("peer {index} heard its own epoch"));
            }
            Told::BadDefinition(why) => self.checker.broke("14 no defects", why.clone()),
            Told::StampAhead(_) => self.sometimes.saw("alarm stamp ahead"),
            Told::Cloned => self.clones_told(index, self.processes[index].peer),
            Told::ClonesSeen(peer) => self.clones_told(index, *peer),
            Told::ClockOff(_) => self.sometimes.saw("alarm clock off"),
            Told::PeerDown(_) => self.sometimes.saw("peer down"),
            Told::PeerUp(..) => {}
        }
    }

    /// A process takes two others, or itself and another one, for clones.
    fn clones_told(&mut self, index: usize, peer: PeerId) {
        self.sometimes.saw("alarm cloned");
        let of_it = self.processes.iter().filter(|process| process.peer == peer);
        // Whoever does harm may say anything of epochs.
        if of_it.count() < 2 && self.hostile.is_empty() {
            let what = format!("process {index} takes {peer:?} for two, and there is one");
            self.checker.broke("15 clones", what);
        }
    }

    pub(crate) fn done(&mut self, index: usize, token: u64, result: Result<Reply, Error>) {
        self.trace.note("done", &[index as u64, token, u64::from(result.is_ok())]);
        match self.processes[index].calls.remove(&token) {
            Some(Waiting::Write(numbers, losses)) => {
                let versions = result.map(|reply| match reply {
                    Reply::Written(versions) => versions,
                    _ => Vec::new(),
                });
                self.write_answered(&numbers, &versions, losses, false);
            }
            Some(Waiting::Tally(by)) => {
                if let Ok(Reply::Written(written)) = &result {
                    self.tallied(by, written);
                }
            }
            Some(Waiting::Read(id, key)) => self.read_answered(id, &key, &result),
            Some(Waiting::Other) | None => {}
        }
    }

    pub(crate) fn begin_sync(&mut self, index: usize) {
        let process = &mut self.processes[index];
        let time = 200 + process.random.below(SYNC_TIME);
        if process.syncing.is_none() && process.sync_wanted > 0 {
            let ticket = std::mem::take(&mut process.sync_wanted);
            process.syncing = Some(ticket);
            let life = process.life;
            self.schedule(self.now + time, Event::Synced(index, life, ticket));
        }
    }

    pub(crate) fn synced(&mut self, index: usize, life: u64, ticket: u64) {
        let process = &mut self.processes[index];
        if process.life != life || process.node.is_none() {
            return;
        }
        process.syncing = None;
        let store = process.node.as_ref().map(|node| node.store().clone());
        match store.map(|store| tidings_core::store::Store::sync(&store)) {
            Some(Ok(())) => self.feed(index, Input::Synced(ticket)),
            Some(Err(error)) => self.process_failed(index, &Error::from(error)),
            None => {}
        }
        self.begin_sync(index);
    }
}
