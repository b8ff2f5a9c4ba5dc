//! The process's side of a simulated disk: the `Store` that the core is given.

use std::{ops::Bound, sync::Arc};

use tidings_core::store::{Batch, MemorySnapshot, Read, Rows, Space, Store, StoreError};

use super::{Disk, Operation, Platter};

/// A store on a [`Disk`], as one process sees it. Clones are handles of the same process; all of
/// them fail once the process has died.
#[derive(Clone, Debug)]
pub struct FaultyStore {
    disk: Disk,
    life: u64,
}

/// A snapshot of a [`FaultyStore`]; it dies with the process too.
#[derive(Debug)]
pub struct FaultySnapshot {
    rows: MemorySnapshot,
    store: FaultyStore,
}

impl FaultyStore {
    pub(super) fn new(disk: Disk, life: u64) -> Self {
        Self { disk, life }
    }

    /// Whether the process that this handle belongs to still runs.
    pub fn is_alive(&self) -> bool {
        self.disk.lock().life == self.life
    }

    /// Begins a read: refuses for a dead process, counts, and fails by plan.
    fn begin_read(&self, platter: &mut Platter, operation: Operation) -> Result<(), StoreError> {
        self.refuse_dead(platter)?;
        if platter.faults.kills() {
            platter.end_life();
            return Err(killed());
        }
        if platter.faults.strikes(operation) { Err(planned(operation)) } else { Ok(()) }
    }

    /// Begins a commit or a sync: refuses also after an earlier failure.
    fn begin_write(&self, platter: &Platter) -> Result<(), StoreError> {
        self.refuse_dead(platter)?;
        match &platter.stopped {
            Some(reason) => Err(StoreError::Stopped(Arc::clone(reason))),
            None => Ok(()),
        }
    }

    fn refuse_dead(&self, platter: &Platter) -> Result<(), StoreError> {
        if platter.life == self.life {
            return Ok(());
        }
        Err(StoreError::Stopped("the process that this handle belongs to has died".into()))
    }
}

impl Platter {
    /// Ends the writing of this process, and returns the error that did.
    fn stop(&mut self, error: StoreError) -> Result<(), StoreError> {
        self.stopped = Some(error.to_string().into());
        Err(error)
    }

    /// Fails a commit: by the seed, its batch is gone or appears after the next start.
    fn fail_commit(&mut self, batch: Batch, error: StoreError) -> Result<(), StoreError> {
        if self.below(2) == 0 {
            self.limbo = Some(batch);
            self.faults.note_failed_yet_written();
        }
        self.stop(error)
    }
}

impl Read for FaultyStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut platter = self.disk.lock();
        self.begin_read(&mut platter, Operation::Get)?;
        platter.live.get(space, key)
    }

    fn range(&self, space: Space, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Rows {
        let mut platter = self.disk.lock();
        match self.begin_read(&mut platter, Operation::Scan) {
            Ok(()) => platter.live.range(space, start, end),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }
}

impl Store for FaultyStore {
    type Snapshot = FaultySnapshot;

    fn snapshot(&self) -> FaultySnapshot {
        FaultySnapshot { rows: self.disk.lock().live.snapshot(), store: self.clone() }
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let mut platter = self.disk.lock();
        self.begin_write(&platter)?;
        if platter.faults.kills() {
            let _ = platter.fail_commit(batch, killed());
            platter.end_life();
            return Err(killed());
        }
        if platter.faults.strikes(Operation::Commit) {
            return platter.fail_commit(batch, planned(Operation::Commit));
        }
        if let Some(room) = platter.room {
            let needed = bytes(&batch);
            if needed > room {
                platter.faults.note_full();
                let error = format!("planned to be full: {needed} bytes, {room} are left");
                return platter.fail_commit(batch, StoreError::Full(error.into()));
            }
            platter.room = Some(room - needed);
        }
        let undo = platter.write(batch);
        platter.undo.push(undo);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut platter = self.disk.lock();
        self.begin_write(&platter)?;
        if platter.faults.kills() {
            platter.end_life();
            return Err(killed());
        }
        if platter.faults.strikes(Operation::Sync) {
            return platter.stop(planned(Operation::Sync));
        }
        platter.undo.clear();
        Ok(())
    }
}

impl Read for FaultySnapshot {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.begin_read(&mut self.store.disk.lock(), Operation::Get)?;
        self.rows.get(space, key)
    }

    fn range(&self, space: Space, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Rows {
        match self.store.begin_read(&mut self.store.disk.lock(), Operation::Scan) {
            Ok(()) => self.rows.range(space, start, end),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }
}

fn planned(operation: Operation) -> StoreError {
    StoreError::Io(format!("this {} was planned to fail", operation.name()).into())
}

fn killed() -> StoreError {
    StoreError::Stopped("the process was planned to die in this operation".into())
}

/// What a batch writes: at least a byte for each row, and its key and value.
fn bytes(batch: &Batch) -> u64 {
    let writes = batch.writes.iter();
    writes
        .map(|(_, key, value)| 1 + key.len() as u64 + value.as_ref().map_or(0, Vec::len) as u64)
        .sum()
}
