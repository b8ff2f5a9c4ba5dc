//! What happens to processes and their disks: kills, power cuts, wipes, rollbacks, stops.

use tidings_core::error::Error;
use tidings_core::store::Space;

use crate::checker::{Loss, Strays};
use crate::complete::is_active;
use crate::disk::Crash;
use crate::faults::{Act, is_planned};
use crate::look::Copies;
use crate::scenario::{MILLISECOND, SECOND};
use crate::world::{Event, World};

/// How long a stopping peer goes on serving, as the real driver does until its network is down.
const STOP_TIME: u64 = 300 * MILLISECOND;

impl World {
    /// A process starts again after some time.
    pub fn start_later(&mut self, index: usize, pause: u64) {
        self.schedule(self.now + pause, Event::Start(index));
    }

    /// As [`World::start_later`], where the time is known; else it starts when the faults end.
    pub(crate) fn restart(&mut self, index: usize, pause: Option<u64>) {
        if let Some(pause) = pause {
            self.start_later(index, pause);
        }
    }

    /// Ends a process, and does to its disk what the crash does.
    pub fn crash(&mut self, index: usize, crash: Crash) {
        let process = &mut self.processes[index];
        self.running -= usize::from(process.node.is_some());
        process.end();
        let survival = process.disk.crash(crash);
        self.trace.note("crash", &[index as u64, survival.kept as u64, survival.lost as u64]);
        let silent = self.random_of("crash", index).chance(300);
        self.break_all(index, silent);
        let loss = if crash == Crash::Process { Loss::Nothing } else { Loss::Unsynced };
        self.lost(index, loss);
    }

    /// Empties the disk of a process, which ends.
    pub fn wipe(&mut self, index: usize) {
        self.crash(index, Crash::Process);
        self.processes[index].disk.wipe();
        self.processes[index].tainted = false;
        self.processes[index].cloned = false;
        self.lost(index, Loss::Anything);
    }

    /// Puts the older image onto the disk of a process, which ends; or takes one for later.
    pub(crate) fn rollback_or_keep(&mut self, index: usize, time: Option<u64>) {
        let process = &mut self.processes[index];
        match process.image.take() {
            Some(image) => {
                self.rollback(index, &image);
                self.restart(index, time);
            }
            None => process.image = Some(process.disk.image()),
        }
    }

    /// Puts an image onto the disk of a process, which ends.
    pub fn rollback(&mut self, index: usize, image: &crate::disk::Image) {
        self.crash(index, Crash::Process);
        let process = &mut self.processes[index];
        process.disk.restore(image);
        // They may have vanished before the image was taken.
        process.tainted |= process.disk.counts().vanished > 0;
        self.sometimes.saw("rolled back");
        self.lost(index, Loss::Anything);
    }

    /// Kills a process and lets rows of its copies vanish.
    pub fn vanish(&mut self, index: usize, rows: usize) {
        self.crash(index, Crash::Process);
        let mut random = self.random_of("vanish", index);
        let space = if random.chance(300) { Space::Log } else { Space::Data };
        let process = &mut self.processes[index];
        let system = crate::look::system_prefixes(&process.disk.look());
        let keys: Vec<Vec<u8>> = {
            let all = process.disk.look();
            (0..rows)
                .filter_map(|_| {
                    let at = random.index(all.len(space));
                    all.key_at(space, at).map(<[u8]>::to_vec)
                })
                .filter(|key| !system.iter().any(|prefix| key.starts_with(prefix)))
                .collect()
        };
        let gone = process.disk.vanish(space, &keys);
        process.tainted |= gone > 0;
        self.sometimes.add("row vanished", gone as u64);
        self.lost(index, Loss::Anything);
    }

    /// Stops a process cleanly; it starts again within five seconds.
    pub fn stop(&mut self, index: usize) {
        let pause = self.random_of("stop", index).below(5 * SECOND);
        self.stop_for(index, Some(pause));
    }

    /// Stops a process cleanly; it starts again after a time, or when the faults end.
    pub fn stop_for(&mut self, index: usize, time: Option<u64>) {
        let life = self.processes[index].life;
        self.processes[index].stopping = true;
        self.call(index, tidings_core::node::Node::stop);
        self.schedule(self.now + STOP_TIME, Event::Act(Act::Stopped(index, life, time)));
    }

    pub(crate) fn finish_stop(&mut self, index: usize, time: Option<u64>) {
        let store = self.processes[index].node.as_ref().map(|node| node.store().clone());
        if let Some(store) = store {
            // A disk that fails here is found damaged at the next start, which is all the same.
            let _ = tidings_core::store::Store::sync(&store);
        }
        self.crash(index, Crash::Process);
        self.restart(index, time);
    }

    /// A node's store failed: its driver ends it, and somebody starts it again.
    pub(crate) fn process_failed(&mut self, index: usize, error: &Error) {
        let process = &self.processes[index];
        if process.node.as_ref().is_some_and(|node| !node.store().is_alive()) {
            self.killed_in_operation(index);
            return;
        }
        let life = process.life;
        if !is_planned(error) {
            self.checker.broke("14 no defects", format!("peer {index} failed: {error}"));
        }
        let text = error.to_string();
        let happened = [
            ("planned to be full", "disk full"),
            ("this get was planned", "read failed"),
            ("this scan was planned", "read failed"),
            ("this sync was planned", "sync failed"),
        ];
        for (_, name) in happened.into_iter().filter(|(part, _)| text.contains(part)) {
            self.sometimes.saw(name);
        }
        // After a sync that failed, nobody knows what the operating system still has.
        let crash =
            if text.contains("this sync was planned") { Crash::Power } else { Crash::Process };
        // What it sent before is on its way meanwhile.
        let ends = MILLISECOND * (1 + self.processes[index].random.below(300));
        self.schedule(self.now + ends, Event::Act(Act::End(index, life, crash)));
    }

    /// Tells the checker what a disk lost.
    pub(crate) fn lost(&mut self, index: usize, loss: Loss) {
        if loss != Loss::Nothing {
            self.losses += 1;
        }
        if loss == Loss::Anything {
            self.destroyed = self.now;
        }
        self.refresh_looks();
        let strays = self.strays();
        let disks: Vec<&Copies> = self.looks.disks().collect();
        self.checker.lost(index, loss, &disks, &strays, &mut self.sometimes);
    }

    /// Copies that came with a copied directory, to peers that are not known to hold them.
    pub(crate) fn strays(&self) -> Strays {
        let mut strays = Strays::new();
        let disks = self.processes.iter().zip(self.looks.disks()).enumerate();
        for (index, (process, disk)) in disks.filter(|(_, (process, _))| process.cloned) {
            let node = process.node.as_ref();
            let active =
                |path: &str| node.is_some_and(|node| is_active(node, node.database_id(path)));
            let stray = disk.iter().filter(|(_, copy)| !active(&copy.path));
            strays.extend(stray.map(|(id, _)| (index, id)));
        }
        strays
    }
}
