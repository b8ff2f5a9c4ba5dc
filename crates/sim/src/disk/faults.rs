//! What is planned to fail, and the counts of what happened.

use super::Survival;

/// A kind of storage operation that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// A commit. Whether the batch appears after the next start is drawn by the seed, as nobody
    /// can know it of a real one.
    Commit,
    /// A sync.
    Sync,
    /// A point read, live or from a snapshot.
    Get,
    /// A scan, live or from a snapshot; its only row is the error.
    Scan,
}

impl Operation {
    /// Every kind, in a fixed order.
    pub const ALL: [Self; 4] = [Self::Commit, Self::Sync, Self::Get, Self::Scan];

    /// The operation in a sentence.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Sync => "sync",
            Self::Get => "get",
            Self::Scan => "scan",
        }
    }
}

/// How long a planned failure lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The operation fails one time.
    Once,
    /// It and all later ones of its kind fail, across restarts, until the disk is repaired.
    ForEver,
}

/// What happened on a disk since it was made; restarts do not reset it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Commits tried by a living process.
    pub commits: u64,
    /// Syncs tried.
    pub syncs: u64,
    /// Point reads tried.
    pub gets: u64,
    /// Scans begun.
    pub scans: u64,
    /// Operations that failed by plan.
    pub failed: u64,
    /// Commits refused because the disk was full.
    pub full: u64,
    /// Failed commits whose batch reached the disk all the same.
    pub failed_yet_written: u64,
    /// Crashes.
    pub crashes: u64,
    /// Unsynced commits that crashes lost.
    pub lost: u64,
    /// Crashes that tore a commit.
    pub torn: u64,
    /// Images put back, wipes included.
    pub restores: u64,
    /// Rows that vanished behind the engine.
    pub vanished: u64,
}

impl Counts {
    /// How many operations of a kind were tried.
    pub const fn of(&self, operation: Operation) -> u64 {
        match operation {
            Operation::Commit => self.commits,
            Operation::Sync => self.syncs,
            Operation::Get => self.gets,
            Operation::Scan => self.scans,
        }
    }
}

/// The plan and the counts of one disk.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Per kind of operation: how many from now the failure is away, 1 being the next one.
    planned: [Option<(u64, Failure)>; Operation::ALL.len()],
    /// How many operations from now the process dies in one.
    kill: Option<u64>,
    counts: Counts,
    paused: bool,
}

impl Faults {
    pub(super) fn plan(&mut self, operation: Operation, nth: u64, failure: Failure) {
        self.planned[operation as usize] = (nth > 0).then_some((nth, failure));
    }

    pub(super) fn clear(&mut self) {
        self.planned = Default::default();
        self.kill = None;
    }

    pub(super) fn plan_kill(&mut self, nth: u64) {
        self.kill = (nth > 0).then_some(nth);
    }

    pub(super) fn forget_once(&mut self) {
        self.kill = None;
        for planned in &mut self.planned {
            planned.take_if(|(_, failure)| *failure == Failure::Once);
        }
    }

    /// Whether the process dies in this operation, which is then not counted.
    pub(super) fn kills(&mut self) -> bool {
        match &mut self.kill {
            Some(away) if *away > 1 && !self.paused => {
                *away -= 1;
                false
            }
            Some(_) if !self.paused => {
                self.kill = None;
                true
            }
            _ => false,
        }
    }

    pub(super) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Counts one operation; whether it is the one that fails.
    pub(super) fn strikes(&mut self, operation: Operation) -> bool {
        if self.paused {
            return false;
        }
        let count = match operation {
            Operation::Commit => &mut self.counts.commits,
            Operation::Sync => &mut self.counts.syncs,
            Operation::Get => &mut self.counts.gets,
            Operation::Scan => &mut self.counts.scans,
        };
        *count += 1;
        let planned = &mut self.planned[operation as usize];
        let strikes = match planned {
            None => false,
            Some((away, _)) if *away > 1 => {
                *away -= 1;
                false
            }
            Some((_, Failure::ForEver)) => true,
            Some((_, Failure::Once)) => {
                *planned = None;
                true
            }
        };
        self.counts.failed += u64::from(strikes);
        strikes
    }

    pub(super) fn note_full(&mut self) {
        self.counts.full += 1;
    }

    pub(super) fn note_failed_yet_written(&mut self) {
        self.counts.failed_yet_written += 1;
    }

    pub(super) fn note_crash(&mut self, survival: Survival) {
        self.counts.crashes += 1;
        self.counts.lost += survival.lost as u64;
        self.counts.torn += u64::from(survival.torn);
    }

    pub(super) fn note_restore(&mut self) {
        self.counts.restores += 1;
    }

    pub(super) fn note_vanished(&mut self, rows: usize) {
        self.counts.vanished += rows as u64;
    }
}
