//! The data directory: whose it is, who uses it, and in which format it is written.
//!
//! ```text
//! LOCK          held exclusively by the one process that uses the directory; holds its pid
//! VERSION       the number of the format, written when the store was created in full
//! CREATING      there until then: what is here without a VERSION is safe to start over
//! RESTORING     there until a backup was restored in full: no peer starts on it
//! identity.key  the peer's private key, mode 0600
//! store/        the storage engine's files
//! ```
//!
//! The directory is private: it is created with mode 0700, and one of ours that group or others
//! can enter is tightened to that, since the rows in it are as secret as the cluster. A directory
//! that is not empty and not ours is refused untouched.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::private::{self, PrivateError, PrivateIoError};

/// The format that this build reads and writes.
pub const FORMAT: u32 = 1;

/// The longest secret file that is read: many times any key or token, and far from filling memory
/// when the path names something else by mistake.
pub const PRIVATE_FILE_BYTES_MAX: usize = 64 * 1024;

pub(super) const LOCK: &str = "LOCK";
pub(super) const VERSION: &str = "VERSION";
const CREATING: &str = "CREATING";
pub(super) const RESTORING: &str = "RESTORING";
const IDENTITY: &str = "identity.key";
const STORE: &str = "store";

/// What may lie in a directory that has no VERSION yet: a lock from a first start that did not get
/// far, a key put there by hand, and what a file system keeps at its root.
const BEFORE_VERSION: [&str; 5] = [LOCK, CREATING, "CREATING.new", IDENTITY, "lost+found"];

/// What may lie in a directory before a backup is restored into it: a lock that somebody took, the mark
/// that was being written, and what a file system keeps at its root.
const BEFORE_RESTORING: [&str; 3] = [LOCK, "RESTORING.new", "lost+found"];

/// What a restore that was cut short may have left beside that.
const WHILE_RESTORING: [&str; 5] = [RESTORING, STORE, VERSION, "VERSION.new", "probe.new"];

/// A data directory, locked for as long as any clone of this handle lives.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
    is_new: bool,
    is_restoring: bool,
    _lock: Arc<File>,
}

/// Why a data directory or a secret file in it cannot be used. Nothing was changed, unless the
/// variant says so.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another process uses it.
    #[error(
        "data directory {} is in use by another process{}; stop it or name another directory",
        path.display(),
        pid.map_or(String::new(), |pid| format!(" (pid {pid})")),
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process that holds it, where it is known.
        pid: Option<u32>,
    },
    /// A newer build wrote it.
    #[error(
        "data directory {} has format {found}, and this build reads format {FORMAT}; use a newer \
         build, or restore a copy made before the upgrade",
        path.display(),
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// The format that its VERSION names.
        found: u32,
    },
    /// Its VERSION is not a number that any build wrote.
    #[error(
        "{} holds {found:?}, which is no format number; restore the file (this build writes \
         {FORMAT}) or name another directory",
        path.display(),
    )]
    Garbage {
        /// The VERSION file.
        path: PathBuf,
        /// The beginning of what it holds.
        found: String,
    },
    /// It is not empty and not a data directory.
    #[error(
        "{} is not a data directory: it has no VERSION file, yet it holds {found:?}; name an \
         empty or a new directory",
        path.display(),
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// One of the names in it.
        found: String,
    },
    /// A backup was being restored into it, and that did not come to its end.
    #[error(
        "data directory {} is unfinished: a backup was being restored into it; run `tidings restore` \
         again, or remove the directory",
        path.display(),
    )]
    Unfinished {
        /// The directory.
        path: PathBuf,
    },
    /// A backup is to be restored into it, and something is there.
    #[error(
        "{} is not empty: it holds {found:?}; a backup is restored into an empty or a new directory",
        path.display(),
    )]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// One of the names in it.
        found: String,
    },
    /// A secret file can be read by others.
    #[error(
        "secret file {} has mode {mode:04o}, so that others than its owner can use it; run \
         `chmod 600 {}`",
        path.display(),
        path.display(),
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A secret file is far too long to be one.
    #[error(
        "secret file {} is longer than {PRIVATE_FILE_BYTES_MAX} bytes; name the file that holds \
         the secret",
        path.display(),
    )]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl Directory {
    /// Opens the data directory and locks it, creating it where there is none.
    ///
    /// The lock is the operating system's: it ends with the process, however that ends.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DirectoryError> {
        let path = path.as_ref();
        create_private_directory(path)?;
        // Read before anything is written or tightened: it may be somebody's home directory.
        refuse_foreign(path)?;
        refuse_unfinished(path)?;
        tighten(path)?;
        let lock = lock(path)?;
        // Whoever held the lock may have been restoring.
        refuse_unfinished(path)?;
        let is_new = match read_version(path)? {
            Some(FORMAT) => false,
            Some(found) if found > FORMAT => {
                return Err(DirectoryError::Newer { path: path.into(), found });
            }
            Some(found) => {
                return Err(DirectoryError::Garbage {
                    path: path.join(VERSION),
                    found: found.to_string(),
                });
            }
            None => {
                private::write(&path.join(CREATING), b"")?;
                true
            }
        };
        let is_restoring = false;
        Ok(Self { path: path.into(), is_new, is_restoring, _lock: Arc::new(lock) })
    }

    /// Opens and locks an empty data directory, creating it where there is none, for a backup to be
    /// restored into it. Until [`Self::restored`], nobody else opens it. One that a restore left
    /// which was cut short is begun again.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub fn restore(path: impl AsRef<Path>) -> Result<Self, DirectoryError> {
        let path = path.as_ref();
        create_private_directory(path)?;
        refuse_filled(path)?;
        tighten(path)?;
        let lock = lock(path)?;
        // Another restore may have ended while this one looked.
        refuse_filled(path)?;
        private::write(&path.join(RESTORING), b"")?;
        // What was cut short is not to be taken for whole.
        remove(&path.join(VERSION))?;
        Ok(Self { path: path.into(), is_new: true, is_restoring: true, _lock: Arc::new(lock) })
    }

    /// Records that a backup was restored in full: it is a data directory like any other from now on.
    ///
    /// # Errors
    /// When that could not be written.
    pub fn restored(&self) -> Result<(), DirectoryError> {
        self.created()?;
        remove(&self.path.join(RESTORING))?;
        Ok(private::sync_directory(&self.path)?)
    }

    /// Whether a backup is being restored into it.
    pub(super) fn is_restoring(&self) -> bool {
        self.is_restoring
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the storage engine keeps its files.
    pub fn store_path(&self) -> PathBuf {
        self.path.join(STORE)
    }

    /// Whether no store was created here in full before: what lies in [`Self::store_path`] is
    /// then the rest of a first start that was cut short, and nothing was ever committed to it.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Records that the store exists in full; from now on it is never started over.
    ///
    /// # Errors
    /// When VERSION could not be written.
    pub fn created(&self) -> Result<(), DirectoryError> {
        private::write(&self.path.join(VERSION), format!("{FORMAT}\n").as_bytes())?;
        remove(&self.path.join(CREATING))
    }

    /// The peer's private key as it was stored, or `None` when none was.
    ///
    /// # Errors
    /// When the file exists and cannot be read, or others than its owner can read it.
    pub fn identity(&self) -> Result<Option<Vec<u8>>, DirectoryError> {
        match read_private_file(self.path.join(IDENTITY)) {
            Err(DirectoryError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            read => read.map(Some),
        }
    }

    /// Stores the peer's private key, replacing any other: wholly or not at all, and durably when
    /// this returns.
    ///
    /// # Errors
    /// When it could not be written; the key that was there before then still is.
    pub fn set_identity(&self, key: &[u8]) -> Result<(), DirectoryError> {
        Ok(private::write(&self.path.join(IDENTITY), key)?)
    }
}

/// Reads a file that holds a secret, after making sure that only its owner can.
///
/// # Errors
/// When it cannot be read, when group or others have any permission on it, or when it is longer
/// than [`PRIVATE_FILE_BYTES_MAX`].
pub fn read_private_file(path: impl AsRef<Path>) -> Result<Vec<u8>, DirectoryError> {
    private::read(path.as_ref(), PRIVATE_FILE_BYTES_MAX).map_err(|error| match error {
        PrivateError::Io(error) => error.into(),
        PrivateError::Mode { mode, file } => DirectoryError::Exposed { path: file, mode },
        PrivateError::TooLong { file, .. } => DirectoryError::TooLong { path: file },
    })
}

impl From<PrivateIoError> for DirectoryError {
    fn from(PrivateIoError { verb, path, source }: PrivateIoError) -> Self {
        Self::Io { verb, path, source }
    }
}

fn create_private_directory(path: &Path) -> Result<(), DirectoryError> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(failed("create", path))?;
    Ok(private::sync_directory(private::parent(path))?)
}

/// Removes a file, if it is there.
fn remove(file: &Path) -> Result<(), DirectoryError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", file)(error)),
        _ => Ok(()),
    }
}

/// Refuses a directory into which a backup was restored only in part.
pub(super) fn refuse_unfinished(path: &Path) -> Result<(), DirectoryError> {
    match fs::symlink_metadata(path.join(RESTORING)) {
        Ok(_) => Err(DirectoryError::Unfinished { path: path.into() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("inspect", path)(error)),
    }
}

/// Refuses a directory with anything in it but what a restore leaves that was cut short.
fn refuse_filled(path: &Path) -> Result<(), DirectoryError> {
    let begun = fs::symlink_metadata(path.join(RESTORING)).is_ok();
    for entry in fs::read_dir(path).map_err(failed("list", path))? {
        let name = entry.map_err(failed("list", path))?.file_name();
        let name = name.to_string_lossy().into_owned();
        let left = begun && WHILE_RESTORING.contains(&name.as_str());
        if !left && !BEFORE_RESTORING.contains(&name.as_str()) {
            return Err(DirectoryError::NotEmpty { path: path.into(), found: name });
        }
    }
    Ok(())
}

pub(super) fn refuse_foreign(path: &Path) -> Result<(), DirectoryError> {
    let (mut is_ours, mut other) = (false, None);
    for entry in fs::read_dir(path).map_err(failed("list", path))? {
        let name = entry.map_err(failed("list", path))?.file_name();
        let name = name.to_string_lossy().into_owned();
        is_ours |= name == VERSION || name == CREATING || name == RESTORING;
        if !BEFORE_VERSION.contains(&name.as_str()) {
            other = Some(name);
        }
    }
    match other {
        Some(found) if !is_ours => Err(DirectoryError::Foreign { path: path.into(), found }),
        _ => Ok(()),
    }
}

/// Takes every permission from group and others.
fn tighten(path: &Path) -> Result<(), DirectoryError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mut permissions = fs::metadata(path).map_err(failed("inspect", path))?.permissions();
        let mode = permissions.mode() & 0o7777;
        if mode & 0o077 != 0 {
            tracing::warn!(
                path = %path.display(),
                mode = format_args!("{mode:04o}"),
                "the data directory could be read by others; its mode is now 0700",
            );
            permissions.set_mode(0o700);
            fs::set_permissions(path, permissions).map_err(failed("make private", path))?;
        }
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, DirectoryError> {
    let file = path.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut lock = options.open(&file).map_err(failed("open", &file))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // The pid is a courtesy; the error stands without it.
            let _ = lock.take(32).read_to_string(&mut pid);
            return Err(DirectoryError::Locked { path: path.into(), pid: pid.trim().parse().ok() });
        }
        Err(fs::TryLockError::Error(error)) => return Err(failed("lock", &file)(error)),
    }
    lock.set_len(0)
        .and_then(|()| writeln!(lock, "{}", std::process::id()))
        .map_err(failed("write", &file))?;
    Ok(lock)
}

/// The format number that VERSION holds; `None` where there is no VERSION.
pub(super) fn read_version(path: &Path) -> Result<Option<u32>, DirectoryError> {
    let path = path.join(VERSION);
    let mut bytes = Vec::new();
    match File::open(&path) {
        Ok(file) => file.take(64).read_to_end(&mut bytes).map_err(failed("read", &path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", &path)(error)),
    };
    let text = String::from_utf8_lossy(&bytes);
    match text.trim_end().parse() {
        Ok(version) if version > 0 => Ok(Some(version)),
        _ => Err(DirectoryError::Garbage { path, found: text.into_owned() }),
    }
}

pub(super) fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_path_buf();
    move |source| DirectoryError::Io { verb, path, source }
}
