//! What must be true in the end: once the faults have stopped, everyone agrees, nothing
//! acknowledged is missing, every reader finds it, and then there is silence.

use std::collections::{BTreeMap, BTreeSet};

use tidings_core::directory::Holder;
use tidings_core::ident::{DatabaseId, Epoch, PeerId};
use tidings_core::name::Path;
use tidings_core::node::Place;
use tidings_core::record::Record;
use tidings_core::status::HolderState;
use tidings_core::vector::LOST_MAX;

use crate::complete::present;
use crate::invariants::disagree;
use crate::look::{Copies, Copy};
use crate::scenario::{MILLISECOND, SECOND};
use crate::world::World;

/// How long the world must be silent to be called idle.
const IDLE: u64 = 20 * SECOND;
/// How often that is tried.
const IDLE_ROUNDS: u32 = 6;
/// How often it is tried where what expires is swept meanwhile.
const SWEEP_ROUNDS: u32 = 40;
/// Counters of the core that count what is deleted without being asked for.
const SWEPT: [&str; 2] = ["entries_expired", "sums_ended"];
/// How long after that old tombstones may still be there: several looks at a copy.
const COLLECTED_WITHIN: u64 = 200 * SECOND;
/// Most looks in one wait that is long, and otherwise one in a second.
const LOOKS: u64 = 2_000;
/// Holders whose `holder_ttl` is no longer than this are gone by then.
const EXPIRED_WITHIN: u64 = 60 * SECOND;
/// Counters of the core that stand still in an idle world.
const STILL: [&str; 7] = [
    "differences",
    "divergences",
    "offers",
    "pulls",
    "records_pushed",
    "rows_repaired",
    "databases_created",
];

impl World {
    /// Ends the faults and the users, lets the world come to rest, and checks everything that must
    /// be true then. Returns the time that took, in microseconds.
    pub fn settle(&mut self) -> Option<u64> {
        self.stop_users();
        self.end_faults();
        self.excuse_the_dead();
        let began = self.now;
        loop {
            // Often at first, so that a quick convergence is measured well.
            self.run_for(((self.now - began) / 10).clamp(SECOND / 20, SECOND));
            if self.checker.violation.is_some() {
                return None;
            }
            let Some(why) = self.unsettled() else { break };
            if self.now > began + self.scenario.patience {
                let what =
                    format!("{} s after the faults stopped: {why}", (self.now - began) / SECOND);
                self.checker.broke("convergence", what);
                self.describe();
                return None;
            }
        }
        let took = self.now - began;
        let patience = self.scenario.patience;
        // What was still on its way to a holder may have been accepted while copies were given back.
        if !self.wait_while(began + patience, "10 copies", |world| world.crowded())
            || !self.wait_while(began + 2 * patience, "convergence", Self::unsettled)
        {
            return None;
        }
        self.sample_if_wanted();
        self.measures.ended = true;
        self.measures.settled_bytes = Some(self.measures.bytes);
        for process in self.processes.iter_mut().filter(|process| !process.dead) {
            process.tainted = false;
        }
        self.check();
        self.check_contents();
        self.check_counters();
        self.check_followers();
        self.check_all_risen();
        self.check_definitions();
        if self.checker.violation.is_some() {
            self.describe();
        }
        self.check_readers();
        self.check_idle();
        self.check_collected();
        self.check();
        self.check_looks();
        for index in 0..self.processes.len() {
            if let Some(node) = &self.processes[index].node {
                for (name, count) in node.counters() {
                    self.sometimes.add(&format!("core {name}"), *count);
                }
            }
        }
        self.checker.violation.is_none().then_some(took)
    }

    /// Where `TIDINGS_SIM_DESCRIBE` is set, says what happens.
    #[expect(clippy::print_stderr, reason = "it is asked for")]
    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.talks {
            eprintln!("{:>12} {}", self.now, what());
        }
    }

    /// Where `TIDINGS_SIM_DESCRIBE` is set, says what each peer thinks.
    #[expect(clippy::print_stderr, reason = "it is asked for")]
    pub fn describe(&self) {
        if !self.talks {
            return;
        }
        eprintln!("{:?}", self.scenario);
        for (index, process) in self.processes.iter().enumerate() {
            let Some(node) = &process.node else {
                eprintln!("peer {index} does not run");
                continue;
            };
            eprintln!("peer {index} {:?} {:?}", process.peer, node.counters());
            let peers: Vec<String> =
                node.peers().iter().map(|p| format!("{} {}", &p.peer[46..], p.state)).collect();
            eprintln!("  {peers:?}");
            for (id, role) in node.copies() {
                let Some(replica) = node.replica(id) else { continue };
                if replica.path.starts_with("_tidings/") {
                    continue;
                }
                let holders: Vec<_> =
                    node.directory().holders(id).map(|(p, h)| (p, h.state)).collect();
                let progress = &replica.state.progress;
                let named = node.directory().path(id).is_some();
                eprintln!("  {} {id:?} {role:?} {named} {progress:?} {holders:?}", replica.path);
            }
        }
    }

    /// What only dead disks have is lost for now.
    fn excuse_the_dead(&mut self) {
        self.refresh_looks();
        let strays = self.strays();
        let empty = Copies::default();
        let disks: Vec<&Copies> = (0..self.processes.len())
            .map(|index| match self.looks.disk(index) {
                Some(copies) if !self.processes[index].dead => copies,
                _ => &empty,
            })
            .collect();
        if self.processes.iter().any(|process| process.dead) {
            self.checker.excuse(None, &disks, &strays, &mut self.sometimes);
        }
    }

    fn living(&self) -> Vec<usize> {
        (0..self.processes.len()).filter(|index| !self.processes[*index].dead).collect()
    }

    /// Why the world is not at rest yet.
    pub fn unsettled(&mut self) -> Option<String> {
        self.refresh_looks();
        let living = self.living();
        let mut by_path: BTreeMap<DatabaseId, Vec<(usize, &Copy)>> = BTreeMap::new();
        for &index in &living {
            let process = &self.processes[index];
            let Some(node) = &process.node else {
                return Some(format!("peer {index} does not run"));
            };
            if node.is_scrubbing() {
                return Some(format!("peer {index} is still recomputing its copies"));
            }
            if process.known.len() + 1 < living.len() {
                return Some(format!("peer {index} has {} connections", process.known.len()));
            }
            for (id, copy) in self.looks.disk(index)?.iter() {
                by_path.entry(id).or_default().push((index, copy));
            }
        }
        for held in by_path.values() {
            let system = held.first().is_some_and(|(_, copy)| copy.path.starts_with("_tidings/"));
            let why = if system { disagree(held) } else { self.holders_disagree(held, &living) };
            let why = why.or_else(|| held.iter().find_map(|(index, copy)| self.gap(*index, copy)));
            if why.is_some() {
                return why;
            }
        }
        None
    }

    /// 10: a database with more living copies than its definition allows.
    fn crowded(&self) -> Option<String> {
        let living = self.living();
        // Who sees no more than half of the identities of the last hour gives nothing back.
        if living.len() <= self.processes.len() - living.len() + self.retired as usize {
            return None;
        }
        let node = self.processes[*living.first()?].node.as_ref()?;
        let alive: BTreeSet<_> = living.iter().map(|index| self.processes[*index].peer).collect();
        node.directory().databases().find_map(|id| {
            let path = node.directory().path(id)?;
            let max = node.open(&Path::new(path).ok()?).ok()?.replication.max as usize;
            let copies = node
                .directory()
                .holders(id)
                .filter(|(peer, holder)| alive.contains(peer) && holder.state.is_complete());
            let copies = copies.count();
            (copies > max && !self.is_gap_for_ever(path))
                .then(|| format!("{path:?} has {copies} copies, at most {max} are wanted"))
        })
    }

    /// Whether a copy has a gap that only a peer could explain that never comes back: it is not given
    /// back.
    fn is_gap_for_ever(&self, path: &str) -> bool {
        let copies = self.looks.disks().flat_map(Copies::iter).map(|(_, copy)| copy);
        copies
            .filter(|copy| copy.path == path)
            .flat_map(|copy| copy.state.progress.loose())
            .any(|(epoch, _)| !self.has_writer(epoch))
    }

    /// Whether the peer of an epoch lives, or will again.
    fn has_writer(&self, epoch: Epoch) -> bool {
        self.processes.iter().any(|process| !process.dead && epoch.is_of(process.peer))
    }

    /// A gap in a copy whose writer lives: it is filled or declared lost.
    fn gap(&self, index: usize, copy: &Copy) -> Option<String> {
        let node = self.processes[index].node.as_ref()?;
        let (epoch, _) = copy.state.progress.loose().find(|(epoch, _)| self.has_writer(*epoch))?;
        let active = crate::complete::is_active(node, node.database_id(&copy.path));
        active
            .then(|| format!("the copy of {:?} at peer {index} has a gap in {epoch:?}", copy.path))
    }

    /// Why the copies of a user's database are not as they must be.
    fn holders_disagree(&self, held: &[(usize, &Copy)], living: &[usize]) -> Option<String> {
        let node = self.processes[*living.first()?].node.as_ref()?;
        let (_, copy) = held.first()?;
        let id = node.database_id(&copy.path);
        let generation = node.directory().generation(id);
        if let Some((index, _)) = held.iter().find(|(_, copy)| copy.state.generation != generation)
        {
            return Some(format!("peer {index} has {:?}, which was dropped", copy.path));
        }
        let index_of: BTreeMap<_, _> =
            living.iter().map(|i| (self.processes[*i].peer, *i)).collect();
        let mut active = BTreeSet::new();
        let mut waiting = Vec::new();
        let (mut dead_active, mut dead_joining) = (false, false);
        for (peer, holder) in node.directory().holders(id) {
            match (index_of.get(&peer), holder.state) {
                (Some(index), HolderState::Active) => {
                    active.insert(*index);
                }
                (Some(index), HolderState::Joining) => waiting.push(*index),
                (None, HolderState::Active) => dead_active = true,
                (None, HolderState::Joining) => dead_joining = true,
                _ => {}
            }
        }
        let path = held.first().map(|(_, copy)| copy.path.clone()).unwrap_or_default();
        if active.is_empty() {
            // Its only copies are on dead disks: nobody may serve it, and nobody can join.
            let known = node.directory().is_known(id);
            let dead = dead_active || dead_joining && waiting.is_empty();
            return (known && !dead).then(|| format!("{path:?} has no active holder"));
        }
        if let Some(index) = waiting.first() {
            return Some(format!("peer {index} is still joining {path:?}"));
        }
        for &index in &active {
            let node = self.processes[index].node.as_ref()?;
            if !node.copies().any(|(held, role)| held == id && role == HolderState::Active) {
                return Some(format!("peer {index} does not know that it holds {path:?}"));
            }
        }
        let parsed = Path::new(&path).ok()?;
        let min = node.open(&parsed).map_or(0, |definition| definition.replication.min as usize);
        if active.len() < min.min(living.len()) {
            return Some(format!("{path:?} has {} of {min} copies", active.len()));
        }
        let holders: Vec<(usize, &Copy)> =
            held.iter().copied().filter(|(index, _)| active.contains(index)).collect();
        disagree(&holders)
    }

    /// 3: every key of every database says what the history says it must.
    fn check_contents(&mut self) {
        let expected = self.checker.expected();
        let vanished = self.processes.iter().any(|process| process.disk.counts().vanished > 0);
        self.refresh_looks();
        let mut live = BTreeSet::new();
        for &index in &self.living() {
            let Some(node) = self.processes[index].node.as_ref() else { continue };
            for (id, _) in node.copies().filter(|(_, role)| *role == HolderState::Active) {
                let id = present(node, id);
                let copy = self.looks.disk(index).and_then(|copies| copies.get(id));
                for (key, record) in copy.into_iter().flat_map(Copy::records) {
                    if record.is_live() {
                        live.insert((id, key.to_vec()));
                    }
                }
            }
        }
        for &index in &self.living() {
            let Some(node) = self.processes[index].node.as_ref() else { continue };
            let roles: BTreeMap<_, _> =
                node.copies().map(|(id, role)| (present(node, id), role)).collect();
            let active = |id: &DatabaseId| roles.get(id) == Some(&HolderState::Active);
            for (place, expected) in expected.iter().filter(|((id, _), _)| active(id)) {
                let copy = self.looks.disk(index).and_then(|copies| copies.get(place.0));
                let found = copy.and_then(|copy| copy.record(&place.1));
                // A tombstone that vanished behind the engine is missed by no digest: what it hides is
                // not there either, or is back.
                let deletes = self.checker.attempts()[expected.0].value.is_none();
                if vanished
                    && (deletes || !found.is_some_and(Record::is_live) && !live.contains(place))
                {
                    continue;
                }
                let newest = |copy: &Copy| copy.state.newest_collected;
                let living = self.living().into_iter();
                // Whoever collected a delete may be another one: each does by itself.
                let all = living.filter_map(|other| self.looks.disk(other)?.get(place.0));
                let collected = if deletes { all.map(newest).max() } else { copy.map(newest) };
                let collected = collected.unwrap_or_default();
                self.checker.check_final(index, place, *expected, found, collected);
            }
        }
    }

    /// Every living peer knows where everything is: "not found" is not said of what others hold.
    fn check_readers(&mut self) {
        let databases = self.checker.databases();
        for path in self.paths.clone() {
            let Ok(parsed) = Path::new(&path) else { continue };
            for index in self.living() {
                let place = self
                    .call(index, |node, now| (node.place(&parsed, now), node.database_id(&path)));
                let node = self.processes[index].node.as_ref();
                let place = place.zip(node).map(|((place, id), node)| (place, present(node, id)));
                let Some((place, id)) = place else { continue };
                if databases.contains(&id) && matches!(place, Place::Nowhere | Place::Unknown) {
                    let what = format!("{path:?} is {place:?} to peer {index}");
                    self.checker.broke("3 final values", what);
                }
            }
        }
    }

    /// 13: at rest nothing is sent but summaries and probes.
    fn check_idle(&mut self) {
        // Offers and overdue pulls are repeated for a while, and what was sent into a narrow link
        // takes its time: silence comes within some rounds.
        let pairs = (self.living().len() * self.living().len()) as u64;
        // A summary every two seconds and pair.
        let most = pairs * (IDLE / SECOND);
        let mut broke = String::new();
        let (mut rounds, mut swept) = (0, self.count_of(&SWEPT));
        for _ in 0..SWEEP_ROUNDS {
            let (before, sent) = (self.count_of(&STILL), self.network.traffic.frames);
            self.run_for(IDLE);
            let (after, frames) = (self.count_of(&STILL), self.network.traffic.frames - sent);
            // What expires meanwhile is deleted, which others hear of.
            let sweeps = std::mem::replace(&mut swept, self.count_of(&SWEPT)) != swept;
            if before != after {
                broke = format!("an idle world went on: {before:?}, then {after:?}");
            } else if frames > most {
                broke = format!("{frames} frames in {} idle seconds", IDLE / SECOND);
            } else {
                return;
            }
            rounds += u32::from(!sweeps);
            if rounds == IDLE_ROUNDS {
                break;
            }
        }
        self.checker.broke("13 quiet when idle", broke);
        self.describe();
    }

    /// 13: at rest, tombstones that are old enough are collected, where nothing is in the way.
    fn check_collected(&mut self) {
        // A copy that was filled lately counts from then, and none is read again for every single one.
        let grace = self.scenario.tombstone_grace.saturating_mul(MILLISECOND);
        let until = self.now + COLLECTED_WITHIN + 2 * grace;
        self.wait_while(until, "13 tombstones", |world| {
            world.refresh_looks();
            world.uncollected()
        });
    }

    /// Runs while there is something in the way of what must come to be, until some time at most. False:
    /// an invariant broke.
    fn wait_while(
        &mut self,
        until: u64,
        invariant: &'static str,
        in_the_way: impl Fn(&mut Self) -> Option<String>,
    ) -> bool {
        let began = self.now;
        let step = (until.saturating_sub(began) / LOOKS).max(SECOND);
        while let Some(why) = in_the_way(self) {
            if self.now > until {
                let seconds = (self.now - began) / SECOND;
                self.checker.broke(invariant, format!("still so after {seconds} s: {why}"));
                self.describe();
            }
            if self.checker.violation.is_some() {
                return false;
            }
            self.run_for(step);
        }
        true
    }

    /// A copy with tombstones that are to be collected, or a holder that is dead and still counts.
    fn uncollected(&self) -> Option<String> {
        let living = self.living();
        let most = living.len() > self.processes.len() - living.len() + self.retired as usize;
        if self.scenario.holder_ttl <= EXPIRED_WITHIN / MILLISECOND && most {
            let alive: BTreeSet<_> = living.iter().map(|i| self.processes[*i].peer).collect();
            let counted = |holder: &(PeerId, Holder)| {
                holder.1.state != HolderState::Gone && !alive.contains(&holder.0)
            };
            let node = self.processes[*living.first()?].node.as_ref()?;
            let used = |id: &DatabaseId| {
                node.directory().holders(*id).any(|(peer, holder)| {
                    holder.state == HolderState::Active && alive.contains(&peer)
                })
            };
            for id in node.directory().databases().filter(used) {
                if let Some((peer, _)) = node.directory().holders(id).find(counted) {
                    return Some(format!("{peer:?} is dead and still a holder of {id:?}"));
                }
            }
        }
        self.living().into_iter().find_map(|index| {
            let process = &self.processes[index];
            let node = process.node.as_ref()?;
            let wall = process.clocks(self.now).wall;
            let ripe = wall.saturating_sub(self.scenario.tombstone_grace);
            let looked = self.looks.disk(index)?.iter();
            let copies = looked.filter(|(_, copy)| {
                let id = node.database_id(&copy.path);
                !copy.path.starts_with("_tidings/")
                    && crate::complete::is_active(node, id)
                    && node.why_not_collected(id).is_none()
            });
            copies.into_iter().find_map(|(_, copy)| {
                // Where too many intervals are lost, neighbours are called one: what is between them
                // is here, and yet nobody can say so.
                let lost = copy.state.progress.lost();
                let between =
                    |record: &Record| lost.len() >= LOST_MAX && lost.contains(record.dot());
                let old = copy.records().find(|(_, record)| {
                    let ripe = record.stamp().time.millis() < ripe;
                    !record.is_live() && ripe && !between(record)
                });
                old.map(|(key, record)| {
                    let key = String::from_utf8_lossy(key);
                    let (path, stamp) = (&copy.path, record.stamp());
                    format!("peer {index} still has the tombstone {stamp:?} of {key:?} in {path:?}")
                })
            })
        })
    }

    fn count_of(&self, names: &[&str]) -> Vec<u64> {
        let nodes = self.processes.iter().filter_map(|process| process.node.as_ref());
        nodes
            .flat_map(|node| {
                names.iter().map(|name| node.counters().get(name).copied().unwrap_or(0))
            })
            .collect()
    }
}
