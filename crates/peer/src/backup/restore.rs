//! A data directory from a backup.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use tidings_core::backup::is_whereabouts;
use tidings_core::store::Store as _;

use super::format::{Reader, read_all};
use super::{BackupError, BackupReport};
use crate::store::{Directory, FjallStore, StoreConfig};

/// Bytes that are read from the file at once.
const READ_BYTES: usize = 1 << 20;

fn open(file: &Path) -> Result<(Reader<BufReader<File>>, u64), BackupError> {
    let failed = |error| BackupError::io("read", Some(file), error);
    let open = File::open(file).map_err(failed)?;
    let length = open.metadata().map_err(failed)?.len();
    let reader = Reader::begin(BufReader::with_capacity(READ_BYTES, open));
    Ok((reader.map_err(|error| error.at(file))?, length))
}

/// Reads a backup to its end, without using it. `progress` hears how many bytes of how many were read.
///
/// # Errors
/// [`BackupError`], when it cannot be read, is cut off, damaged, or no backup.
pub fn verify(
    file: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<BackupReport, BackupError> {
    let (mut reader, length) = open(file)?;
    read_all(&mut reader, |_, read| {
        progress(read, length);
        Ok(())
    })
    .map_err(|error| error.at(file))
}

/// How a backup is restored. The default is as a peer of its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Leave out where other peers were, so that the restored peer does not connect to them by itself.
    pub alone: bool,
}

/// Makes a data directory of a backup, for a peer that is another one than the one that was backed up. The
/// directory is created, or is there and empty, or is what an earlier restore left that was cut short.
/// `progress` hears how many bytes of how many were read. It takes the calling thread until it is done.
///
/// Until the last row is durably in place, the directory is marked as unfinished, and no peer starts on it.
///
/// # Errors
/// [`BackupError`], when the backup cannot be read, is cut off, damaged, or no backup, when the directory
/// is not empty or in use, or when there is no room. Where it failed after the first row, the unfinished
/// directory is left: restore into it again, or remove it.
pub fn restore(
    file: &Path,
    directory: &Path,
    options: &RestoreOptions,
    mut progress: impl FnMut(u64, u64),
) -> Result<BackupReport, BackupError> {
    let (mut reader, length) = open(file)?;
    let directory = Directory::restore(directory)?;
    let store = FjallStore::open(&directory, &StoreConfig::default())?;
    let report = read_all(&mut reader, |mut batch, read| {
        batch.writes.retain(|(space, key, _)| !(options.alone && is_whereabouts(*space, key)));
        store.commit(batch)?;
        progress(read, length);
        Ok(())
    });
    let report = report.map_err(|error| error.at(file))?;
    store.commit(reader.origin().rows())?;
    store.sync_all()?;
    directory.restored()?;
    Ok(report)
}
