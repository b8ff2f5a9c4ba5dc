//! Backups: a consistent copy of everything that a running peer stores, and a data directory made of one.
//!
//! [`Peer::backup`] writes the rows of one snapshot, so of one moment, in a format of its own (see
//! [`mod@format`]) while the peer goes on. [`restore`] makes a data directory of it for *another* peer: the
//! backup has no private key, and the restored peer has an identity and epochs of its own. It joins
//! the others with what the backup has, gets what was written since, and gives what they lack.

mod file;
pub mod format;
mod restore;

use std::io;
use std::path::PathBuf;

use tidings_core::store::{Space, Store as _, StoreError};

pub use file::BackupFile;
pub use restore::{RestoreOptions, restore, verify};

use crate::store::{AnyStore, DirectoryError};
use crate::{Error, Peer};
use format::Writer;

/// What a backup has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// The peer that was backed up, `12D3KooW…`.
    pub peer: String,
    /// When, in milliseconds since the Unix epoch, by that peer's clock.
    pub taken: u64,
    /// Rows, of data and of what describes it.
    pub rows: u64,
    /// Databases with a copy, without those of the system.
    pub databases: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Why a backup was not made or not used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It does not begin as a backup does.
    #[error(
        "it is no backup: it does not begin with {:?}; name a file that `tidings backup` wrote",
        "tidings backup"
    )]
    Foreign,
    /// A newer build wrote it.
    #[error(
        "the backup has format {found}, and this build reads format {}; use a newer build",
        format::VERSION
    )]
    Newer {
        /// The format that it names.
        found: u8,
    },
    /// It ends before its end.
    #[error(
        "the backup is cut off: it ends after {at} bytes, before its last part; take another copy of \
         the file, or another backup"
    )]
    Truncated {
        /// Its length, in bytes.
        at: u64,
    },
    /// Bytes of it are not what was written.
    #[error(
        "the backup is damaged between bytes {from} and {upto}: {why}; take another copy of the file, \
         or another backup"
    )]
    Damaged {
        /// Where the damaged part begins, in bytes from the beginning of the file.
        from: u64,
        /// Where it ends.
        upto: u64,
        /// What was found.
        why: &'static str,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The store cannot read or write.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The peer does not serve any more.
    #[error(transparent)]
    Peer(#[from] Error),
    /// The file, or whatever the backup is written to or read from, fails.
    #[error("cannot {verb} {}: {source}", path.as_deref().map_or("the backup".into(), |path| path.display().to_string()))]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On which file, where it is one.
        path: Option<PathBuf>,
        /// Why it failed.
        source: io::Error,
    },
}

impl BackupError {
    fn io(verb: &'static str, path: Option<&std::path::Path>, source: io::Error) -> Self {
        Self::Io { verb, path: path.map(Into::into), source }
    }

    /// The same, about this file.
    fn at(self, file: &std::path::Path) -> Self {
        match self {
            Self::Io { verb, path: None, source } => {
                Self::Io { verb, path: Some(file.into()), source }
            }
            other => other,
        }
    }

    /// Whether a disk has no room left.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } | Self::Directory(DirectoryError::Io { source, .. }) => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Store(StoreError::Full(_)) => true,
            _ => false,
        }
    }
}

impl Peer {
    /// Writes a backup of everything that this peer stores, as of the moment of the call: the rows of one
    /// snapshot, in the order of their keys, with bounded memory. Reads and writes go on meanwhile.
    /// Gives `out` back. [`backup_to`](Self::backup_to) writes a file.
    ///
    /// The private key of the peer is not in it, nor the cluster secret.
    ///
    /// # Errors
    /// [`BackupError`], when the store cannot be read, `out` cannot be written to, or the peer stops. What
    /// was written until then is no backup.
    pub async fn backup<W: io::Write + Send + 'static>(
        &self,
        mut out: W,
    ) -> Result<(W, BackupReport), BackupError> {
        self.shared().check()?;
        let peer = self.clone();
        let snapshot = self.shared().store.snapshot();
        blocking(move || peer.write_backup(&snapshot, &mut out).map(|report| (out, report))).await
    }

    /// Writes a backup to a file of mode 0600, which is in place only once it is whole and durable. One
    /// that is there is replaced, or with `replace` unset refused.
    ///
    /// # Errors
    /// As of [`backup`](Self::backup), and when the file cannot be created; nothing is left then.
    pub async fn backup_to(
        &self,
        file: impl Into<PathBuf>,
        replace: bool,
    ) -> Result<BackupReport, BackupError> {
        let file = file.into();
        let created = file.clone();
        let out = blocking(move || BackupFile::create(created, replace)).await?;
        let (out, report) = self.backup(out).await.map_err(|error| error.at(&file))?;
        blocking(move || out.finish()).await?;
        Ok(report)
    }

    fn write_backup(
        &self,
        snapshot: &<AnyStore as tidings_core::store::Store>::Snapshot,
        out: &mut impl io::Write,
    ) -> Result<BackupReport, BackupError> {
        let shared = self.shared();
        let mut writer = Writer::begin(snapshot, self.peer_id(), shared.now().wall, out)?;
        for space in Space::ALL {
            // A peer that stops must not wait for somebody who reads slowly.
            writer.space(snapshot, space, || shared.check().map_err(BackupError::from))?;
        }
        writer.finish()
    }
}

/// Does something that waits for disks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Internal(format!("a backup: {error}")))?
}
