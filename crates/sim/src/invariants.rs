//! What must be true of the copies, at every look: equal vectors mean equal copies, what is derived
//! fits its source, and everything is within its bound.

use std::collections::{BTreeMap, BTreeSet};

use tidings_core::ident::DatabaseId;
use tidings_core::vector::PENDING_MAX;

use crate::counting::is_lease;
use crate::look::{Copies, Copy, incarnation};
use crate::world::World;

/// The disks as they were last seen.
#[derive(Debug, Default)]
pub(crate) struct Looks(Vec<Copies>);

impl Looks {
    pub(crate) fn add_process(&mut self) {
        self.0.push(Copies::default());
    }

    pub(crate) fn disks(&self) -> impl Iterator<Item = &Copies> {
        self.0.iter()
    }

    pub(crate) fn disk(&self, index: usize) -> Option<&Copies> {
        self.0.get(index)
    }
}

impl World {
    /// Reads what changed on the disks.
    pub(crate) fn refresh_looks(&mut self) {
        for (index, process) in self.processes.iter().enumerate() {
            let (snapshot, changes) = process.disk.look_at_changes();
            if !changes.everything && changes.rows.is_empty() {
                continue;
            }
            if let Err(error) = self.looks.0[index].update(&snapshot, &changes) {
                self.checker.broke("11 derived", format!("the disk of peer {index}: {error}"));
            }
        }
    }

    /// Checks every invariant that holds at every moment, of every copy that changed.
    pub fn check(&mut self) {
        self.note_clocks();
        self.note_wrong_clocks();
        self.refresh_looks();
        self.note_complete();
        self.check_derived();
        self.check_equal_vectors();
        self.check_records();
        self.check_sums();
        for (index, copies) in self.looks.0.iter_mut().enumerate() {
            let tainted = self.processes[index].tainted;
            for copy in copies.iter_mut().filter(|copy| !copy.checked) {
                copy.checked = !tainted;
                copy.fresh.clear();
            }
        }
    }

    /// 11: what is derived from the rows is what the rows say. 13: nothing is beyond its bound.
    fn check_derived(&mut self) {
        let mut broke = None;
        for (index, copies) in self.looks.0.iter().enumerate() {
            let process = &self.processes[index];
            if process.tainted {
                continue;
            }
            for (_, copy) in copies.iter().filter(|(_, copy)| !copy.checked) {
                let (stored, found) = (copy.state.derived(), copy.found);
                let log = process.disk.log_of(copy.prefix.to_be_bytes());
                // Log rows that vanish come back with the next write of their key only.
                if process.disk.counts().vanished == 0 && copy.log != log {
                    broke =
                        Some(("11 derived", format!("the log of {:?}, peer {index}", copy.path)));
                }
                if found != stored {
                    let what = format!(
                        "{:?} of peer {index}: stored {stored:?}, found {found:?}",
                        copy.path
                    );
                    broke = Some(("11 derived", what));
                }
                let pending = copy.state.progress.pending().count();
                if pending > PENDING_MAX {
                    broke = Some(("13 bounds", format!("{pending} pending intervals")));
                }
                if pending > 0 {
                    self.sometimes.saw("pending interval");
                } else if !copy.state.progress.is_whole() {
                    self.sometimes.saw("unfinished cut");
                }
            }
        }
        if let Some((invariant, what)) = broke {
            self.checker.broke(invariant, what);
        }
    }

    /// 11, from the beginning: what the looks kept up to date is what lies on the disks.
    pub(crate) fn check_looks(&mut self) {
        self.refresh_looks();
        let mut broke = None;
        for (process, kept) in self.processes.iter().zip(self.looks.disks()) {
            let disk = process.disk.look();
            let Ok(copies) = Copies::read(&disk) else {
                broke = Some("a disk cannot be read".to_string());
                continue;
            };
            for (id, copy) in copies.iter() {
                let kept = kept.get(id);
                let same = |kept: &Copy| {
                    (kept.canonical, kept.found, &kept.state, kept.log)
                        == (copy.canonical, copy.found, &copy.state, copy.log)
                };
                let log = process.disk.log_of(copy.prefix.to_be_bytes());
                let fits = copy.log == log;
                if !kept.is_some_and(same) || copy.log_fits(&disk) != fits {
                    broke = Some(format!("what is kept of {:?} is not what is stored", copy.path));
                }
            }
        }
        if let Some(what) = broke {
            self.checker.broke("14 no defects", what);
        }
    }

    /// 1: equal vectors of whole copies mean equal copies. Not where rows vanished anywhere: who
    /// joins from such a copy lacks what it lacks, until they compare with others.
    fn check_equal_vectors(&mut self) {
        if self.has_vanished() {
            return;
        }
        let changed: BTreeSet<DatabaseId> = self
            .looks
            .disks()
            .flat_map(|copies| copies.iter().filter(|(_, copy)| !copy.checked).map(|(id, _)| id))
            .collect();
        let mut broke = None;
        for id in changed {
            let mut first: BTreeMap<Vec<u8>, (usize, &Copy)> = BTreeMap::new();
            for (index, copies) in self.looks.0.iter().enumerate() {
                let Some(copy) = copies.get(id).filter(|copy| copy.state.progress.is_whole())
                else {
                    continue;
                };
                if self.processes[index].tainted {
                    continue;
                }
                let state = &copy.state;
                let agreed = (state.generation, &state.progress.vector, state.progress.lost());
                let (other, theirs) =
                    first.entry(tidings_core::wire::encode(&agreed)).or_insert((index, copy));
                if !theirs.agrees_with(copy, self.checker.deletes.has_late(id)) {
                    broke = Some(format!(
                        "peers {other} and {index} have equal vectors of {:?} and differ: {}",
                        copy.path,
                        difference(theirs, copy)
                    ));
                }
            }
        }
        if let Some(what) = broke {
            self.checker.broke("1 convergence", what);
        }
    }

    /// 2 and 5: every record is one that somebody wrote, under its key, once. 4: and no copy has what a
    /// delete that it reflects took away.
    fn check_records(&mut self) {
        let vanished = self.has_vanished();
        for copies in &self.looks.0 {
            for (id, copy) in copies.iter().filter(|(_, copy)| !copy.checked) {
                let generation = copy.state.generation;
                if generation > 0 {
                    self.checker.dropped(incarnation(id, generation), generation);
                }
                self.checker.deletes.saw_collected(id, copy.state.newest_collected);
            }
        }
        let mut swept = Vec::new();
        for (index, copies) in self.looks.0.iter().enumerate() {
            for (id, copy) in copies.iter().filter(|(_, copy)| !copy.checked) {
                let system = copy.path.starts_with("_tidings/");
                for key in &copy.fresh {
                    let Some((record, hash)) = copy.hashed(key) else { continue };
                    if system {
                        self.checker.saw_dot(id, key, record, hash);
                        if self.checker.created_twice(key, record) {
                            self.sometimes.saw("concurrent creation");
                        }
                    } else {
                        if !record.is_live() && is_lease(key) {
                            swept.push((id, key.clone(), record.clone()));
                        }
                        self.checker.saw_record(id, key, record, hash);
                        // What vanished was perhaps the delete itself.
                        if !vanished && !self.processes[index].tainted {
                            self.checker.check_risen(index, id, key, copy);
                        }
                    }
                }
            }
        }
        for (id, key, record) in swept {
            self.check_swept(id, &key, &record);
        }
    }
}

impl World {
    /// Whether rows vanished from any disk.
    pub(crate) fn has_vanished(&self) -> bool {
        self.processes.iter().any(|process| process.disk.counts().vanished > 0)
    }

    /// 4, of every row: no copy has what a delete that it reflects took away.
    pub(crate) fn check_all_risen(&mut self) {
        if self.has_vanished() {
            return;
        }
        for (index, copies) in self.looks.0.iter().enumerate() {
            if self.processes[index].tainted {
                continue;
            }
            for (id, copy) in copies.iter().filter(|(_, copy)| !copy.path.starts_with("_tidings/"))
            {
                for (key, _) in copy.records() {
                    self.checker.check_risen(index, id, key, copy);
                }
            }
        }
    }
}

/// The first row in which two copies differ.
pub(crate) fn difference(one: &Copy, other: &Copy) -> String {
    if let Some(key) = one.disagreement(other, false) {
        // Without the values, which may be long: this is also said of copies that still differ.
        let short = |copy: &Copy| {
            let record = copy.record(key);
            let record =
                record.map(|record| (record.stamp(), record.is_live(), record.payload().len()));
            format!("{record:?}, collected up to {:?}", copy.state.newest_collected)
        };
        let key = String::from_utf8_lossy(key);
        return format!("{key:?}: {}; {}", short(one), short(other));
    }
    "in no row".into()
}

/// Why copies of one database are not equal.
pub(crate) fn disagree(held: &[(usize, &Copy)]) -> Option<String> {
    let (first, reference) = held.first()?;
    for (index, copy) in &held[1..] {
        let (a, b) = (&reference.state, &copy.state);
        let agree = a.progress.vector == b.progress.vector
            && a.progress.lost() == b.progress.lost()
            && a.digest == b.digest;
        if !agree {
            return Some(format!(
                "peers {first} and {index} differ in {:?}: {:?}, whole {}; {:?}, whole {}; {}",
                copy.path,
                a.progress.vector,
                a.progress.is_whole(),
                b.progress.vector,
                b.progress.is_whole(),
                difference(reference, copy)
            ));
        }
    }
    None
}
