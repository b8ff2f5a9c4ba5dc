//! What must be true of the copies, at every look: equal vectors mean equal copies, what is derived
//! fits its source, and everything is within its bound.

use std::collections::BTreeMap;

use tidings_core::ident::DatabaseId;
use tidings_core::record::Fingerprint;
use tidings_core::vector::PENDING_MAX;

use crate::look::{Copies, Copy, copies};
use crate::world::World;

/// What counts the writes to a disk: while it stands still, so does the disk.
type Age = (u64, u64, u64, u64);

/// The disks as they were last seen.
#[derive(Debug, Default)]
pub(crate) struct Looks(Vec<(Option<Age>, Copies, bool)>);

impl Looks {
    pub(crate) fn add_process(&mut self) {
        self.0.push((None, Copies::new(), true));
    }

    pub(crate) fn disks(&self) -> impl Iterator<Item = &Copies> {
        self.0.iter().map(|(_, copies, _)| copies)
    }

    pub(crate) fn disk(&self, index: usize) -> Option<&Copies> {
        self.0.get(index).map(|(_, copies, _)| copies)
    }
}

impl World {
    /// Reads the disks that changed.
    pub(crate) fn refresh_looks(&mut self) {
        for (index, process) in self.processes.iter().enumerate() {
            let counts = process.disk.counts();
            let age = (counts.commits, counts.crashes, counts.restores, counts.vanished);
            let (known, seen, checked) = &mut self.looks.0[index];
            if *known == Some(age) {
                continue;
            }
            *known = Some(age);
            *checked = false;
            match copies(&process.disk.look()) {
                Ok(found) => *seen = found,
                Err(error) => {
                    self.checker.broke("11 derived", format!("the disk of peer {index}: {error}"));
                }
            }
        }
    }

    /// Checks every invariant that holds at every moment.
    pub fn check(&mut self) {
        self.refresh_looks();
        self.check_derived();
        self.check_equal_vectors();
        self.check_records();
        for (index, (_, _, checked)) in self.looks.0.iter_mut().enumerate() {
            *checked = !self.processes[index].tainted;
        }
    }

    /// 11: what is derived from the rows is what the rows say. 13: nothing is beyond its bound.
    fn check_derived(&mut self) {
        let fingerprint = Fingerprint::new(&[7; 32]);
        let mut broke = None;
        for (index, (_, copies, checked)) in self.looks.0.iter().enumerate() {
            let process = &self.processes[index];
            if *checked || process.tainted {
                continue;
            }
            let disk = process.disk.look();
            for (id, copy) in copies {
                let replica = copy.replica(*id);
                let stored = replica.derived();
                let Ok(found) = replica.recompute(&disk, &fingerprint) else {
                    broke = Some(("11 derived", format!("{:?} of peer {index}", copy.path)));
                    continue;
                };
                // Log rows that vanish come back with the next write of their key only.
                if !copy.log_fits && process.disk.counts().vanished == 0 {
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

    /// 1: equal vectors of whole copies mean equal copies. Not where rows vanished anywhere: who
    /// joins from such a copy lacks what it lacks, until they compare with others.
    fn check_equal_vectors(&mut self) {
        if self.processes.iter().any(|process| process.disk.counts().vanished > 0) {
            return;
        }
        let mut broke = None;
        let mut first: BTreeMap<(DatabaseId, Vec<u8>), (usize, &Copy)> = BTreeMap::new();
        for (index, (_, copies, _)) in self.looks.0.iter().enumerate() {
            if self.processes[index].tainted {
                continue;
            }
            for (id, copy) in copies {
                if !copy.state.progress.is_whole() {
                    continue;
                }
                let state = &copy.state;
                let agreed = (state.generation, &state.progress.vector, &state.retired);
                let agreed = tidings_core::wire::encode(&agreed);
                match first.get(&(*id, agreed.clone())) {
                    None => {
                        first.insert((*id, agreed), (index, copy));
                    }
                    Some((other, theirs)) if theirs.canonical != copy.canonical => {
                        broke = Some(format!(
                            "peers {other} and {index} have equal vectors of {:?} and differ: {}",
                            copy.path,
                            difference(theirs, copy)
                        ));
                    }
                    Some(_) => {}
                }
            }
        }
        if let Some(what) = broke {
            self.checker.broke("1 convergence", what);
        }
    }

    /// 2 and 5: every record is one that somebody wrote, under its key, once.
    fn check_records(&mut self) {
        for (_, copies, checked) in &self.looks.0 {
            if *checked {
                continue;
            }
            for (id, copy) in copies {
                let system = copy.path.starts_with("_tidings/");
                for (key, record) in &copy.rows {
                    if system {
                        self.checker.saw_dot(*id, key, record);
                        if self.checker.created_twice(key, record) {
                            self.sometimes.saw("concurrent creation");
                        }
                    } else {
                        self.checker.saw_record(*id, key, record);
                    }
                }
            }
        }
    }
}

/// The first row in which two copies differ.
pub(crate) fn difference(one: &Copy, other: &Copy) -> String {
    for key in one.rows.keys().chain(other.rows.keys()) {
        let (a, b) = (one.rows.get(key), other.rows.get(key));
        if a != b {
            return format!("{:?}: {a:?} and {b:?}", String::from_utf8_lossy(key));
        }
    }
    "in no row".into()
}
