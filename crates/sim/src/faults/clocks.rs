//! Wall clocks that stand still.

use crate::faults::Act;
use crate::world::World;

impl World {
    /// A wall clock stands still for a time, or until the faults end; then it is as it would have been.
    pub(super) fn freeze_clock(&mut self, index: usize, lasts: Option<u64>) {
        let process = &mut self.processes[index];
        process.frozen = Some(process.clocks(self.now).wall);
        self.end_after(lasts, Act::Thaw(index));
    }
}
