//! Disks that are copied, and processes that die in the middle of using theirs.

use tidings_core::error::Error;

use crate::checker::Loss;
use crate::disk::Crash;
use crate::scenario::MILLISECOND;
use crate::world::World;

impl World {
    /// Puts a copy of the disk of another peer onto the disk of a process, which ends.
    pub(super) fn clone_disk(&mut self, index: usize, other: usize, lasts: Option<u64>) {
        self.crash(index, Crash::Process);
        let from = self.processes[other].disk.clone();
        self.processes[index].disk.clone_from_disk(&from);
        self.processes[index].tainted |= self.processes[other].tainted;
        self.processes[index].cloned = true;
        self.lost(index, Loss::Anything);
        self.restart(index, lasts);
    }

    /// A process was killed in the middle of a storage operation.
    pub(crate) fn killed_in_operation(&mut self, index: usize) {
        self.sometimes.saw("killed in an operation");
        self.trace.note("killed", &[index as u64]);
        let lasts = self.processes[index].killed_for;
        self.crash(index, Crash::Process);
        self.restart(index, lasts);
    }

    /// A process could not start, because its disk does not work: somebody tries again.
    pub(crate) fn start_failed(&mut self, index: usize, error: &Error) {
        self.say(|| format!("start of {index} failed: {error}"));
        self.sometimes.saw("start failed");
        self.trace.note("start failed", &[index as u64]);
        let pause =
            200 * MILLISECOND + self.random_of("start again", index).below(800 * MILLISECOND);
        self.crash(index, Crash::Process);
        self.start_later(index, pause);
    }
}

/// Whether a storage error is one that a fault planned.
pub(crate) fn is_planned(error: &Error) -> bool {
    matches!(error, Error::Storage(text) if text.contains("planned")
        || text.contains("stopped after an earlier failure"))
}
