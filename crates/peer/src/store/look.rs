//! Looking at a data directory without using it: nothing is created, changed or kept locked.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::directory::{
    DirectoryError, FORMAT, LOCK, VERSION, failed, read_version, refuse_foreign, refuse_unfinished,
};

/// What a data directory is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// There is none yet; a start would make it, and what is missing above it.
    Absent {
        /// The nearest directory above it that exists.
        above: PathBuf,
    },
    /// It is there.
    Present {
        /// Its permission bits; a start takes those of group and others away. `None` where the system
        /// has none.
        mode: Option<u32>,
        /// The number of its format; `None`: no store was created in it yet.
        format: Option<u32>,
        /// Whether a process uses it.
        user: User,
    },
}

/// Who uses a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Nobody.
    Nobody,
    /// A process, with its pid where that is known.
    Process(Option<u32>),
}

/// Looks at a directory as [`Directory::open`](super::Directory::open) would, and changes nothing.
///
/// # Errors
/// [`DirectoryError`], where that would refuse it for anything but its user; and where it is no
/// directory, or cannot be read.
pub fn look(path: &Path) -> Result<Look, DirectoryError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = path.ancestors().skip(1).find(|above| above.is_dir());
            let above = above.unwrap_or(Path::new("."));
            return Ok(Look::Absent { above: above.into() });
        }
        Err(error) => return Err(failed("inspect", path)(error)),
    };
    refuse_foreign(path)?;
    refuse_unfinished(path)?;
    let format = read_version(path)?;
    match format {
        Some(found) if found > FORMAT => {
            return Err(DirectoryError::Newer { path: path.into(), found });
        }
        Some(found) if found < FORMAT => {
            let (path, found) = (path.join(VERSION), found.to_string());
            return Err(DirectoryError::Garbage { path, found });
        }
        _ => {}
    }
    Ok(Look::Present { mode: mode(&metadata), format, user: user(path)? })
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other systems have no mode")]
fn mode(metadata: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(metadata.permissions().mode() & 0o7777)
}

#[cfg(not(unix))]
fn mode(_: &fs::Metadata) -> Option<u32> {
    None
}

/// Who holds the lock. It is shared for a moment, which keeps nobody out but a peer that starts at that
/// very moment.
fn user(path: &Path) -> Result<User, DirectoryError> {
    let path = path.join(LOCK);
    let mut lock = match File::open(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(User::Nobody),
        Err(error) => return Err(failed("open", &path)(error)),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(User::Nobody),
        Err(fs::TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // The pid is a courtesy.
            let _ = (&mut lock).take(32).read_to_string(&mut pid);
            Ok(User::Process(pid.trim().parse().ok()))
        }
        Err(fs::TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Directory;
    use super::*;

    /// A directory is told as it is, and looking at one that is missing does not make it.
    #[test]
    fn a_look_changes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b");
        assert_eq!(look(&path).unwrap(), Look::Absent { above: home.path().into() });
        assert!(!home.path().join("a").exists());

        let directory = Directory::open(&path).unwrap();
        let used = User::Process(Some(std::process::id()));
        let Look::Present { format: None, user, .. } = look(&path).unwrap() else { panic!() };
        assert_eq!(user, used);
        directory.created().unwrap();
        drop(directory);
        let Look::Present { format, user, .. } = look(&path).unwrap() else { panic!() };
        assert_eq!((format, user), (Some(FORMAT), User::Nobody));
        // The lock was given back.
        drop(Directory::open(&path).unwrap());
    }

    /// What a start refuses is refused, for the same reason.
    #[test]
    fn what_a_start_refuses_is_refused() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("letter"), "dear").unwrap();
        assert!(matches!(look(home.path()), Err(DirectoryError::Foreign { .. })));
        assert!(matches!(look(&home.path().join("letter")), Err(DirectoryError::Io { .. })));
        fs::remove_file(home.path().join("letter")).unwrap();
        fs::write(home.path().join(VERSION), "7").unwrap();
        assert!(matches!(look(home.path()), Err(DirectoryError::Newer { found: 7, .. })));
        fs::write(home.path().join(VERSION), "seven").unwrap();
        assert!(matches!(look(home.path()), Err(DirectoryError::Garbage { .. })));
    }
}
