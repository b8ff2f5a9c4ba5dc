//! Files that only their owner may read: keys, secrets, tokens and the list of tokens.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// What the operating system refused. It reads as the reason alone, since whoever passes it on says
/// what the file is for.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct PrivateIoError {
    /// What was tried.
    pub verb: &'static str,
    /// On which file or directory, which may be the one beside the file that was asked for.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

/// Why a private file is not used. Nothing was read of it into anything.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] PrivateIoError),
    /// Others than its owner may read or write it.
    #[error(
        "its mode is {:03o}, so others may read or change it; run chmod 600 {}",
        mode & 0o777,
        file.display(),
    )]
    Mode {
        /// Its permission bits.
        mode: u32,
        /// Its path.
        file: PathBuf,
    },
    /// It is longer than anything that belongs in it.
    #[error("it has more than {most} bytes, the most it can have")]
    TooLong {
        /// The bound, in bytes.
        most: usize,
        /// Its path.
        file: PathBuf,
    },
}

/// Reads a file of at most `most` bytes that nobody but its owner may read or change.
///
/// # Errors
/// [`PrivateError`], when it is missing, open to others, or too long.
pub fn read(file: &Path, most: usize) -> Result<Vec<u8>, PrivateError> {
    read_with(file, most).map(|(bytes, _)| bytes)
}

/// The same, with what the file system says of the very file that was read.
///
/// # Errors
/// As of [`read`].
pub fn read_with(file: &Path, most: usize) -> Result<(Vec<u8>, Metadata), PrivateError> {
    let open = File::open(file).map_err(failed("open", file))?;
    // Of the open file, not of the path: the path may name another one by now.
    let metadata = open.metadata().map_err(failed("inspect", file))?;
    check_mode(file, &metadata)?;
    let mut bytes = Vec::new();
    open.take(most as u64 + 1).read_to_end(&mut bytes).map_err(failed("read", file))?;
    if bytes.len() > most {
        return Err(PrivateError::TooLong { most, file: file.into() });
    }
    Ok((bytes, metadata))
}

#[cfg(unix)]
fn check_mode(file: &Path, metadata: &Metadata) -> Result<(), PrivateError> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(PrivateError::Mode { mode, file: file.into() });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &Metadata) -> Result<(), PrivateError> {
    Ok(())
}

/// Writes a file of mode 0600, wholly or not at all, and durably: a new file beside it, with `.new`
/// after its name, is synced, renamed over it, and the directory synced. Two writers of one file must
/// wait for each other.
///
/// # Errors
/// When the operating system refuses. Until the directory is synced, the file is as it was.
pub fn write(file: &Path, bytes: &[u8]) -> Result<(), PrivateIoError> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = file.with_file_name(name);
    // One that an interrupted write left.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &beside)(error));
        }
        _ => {}
    }
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut open = options.open(&beside).map_err(failed("create", &beside))?;
    let written = open
        .write_all(bytes)
        .map_err(failed("write", &beside))
        .and_then(|()| open.sync_all().map_err(failed("sync", &beside)))
        .and_then(|()| fs::rename(&beside, file).map_err(failed("replace", file)));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    sync_directory(parent(file))
}

/// The directory that a file is in.
pub(crate) fn parent(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes new names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), PrivateIoError> {
    if cfg!(unix) {
        File::open(path)
            .and_then(|directory| directory.sync_all())
            .map_err(failed("sync", path))?;
    }
    Ok(())
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PrivateIoError {
    let path = path.to_path_buf();
    move |source| PrivateIoError { verb, path, source }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_the_owner_may_read_or_change_it_and_it_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("private");
        fs::write(&file, "0123").unwrap();
        let with_mode = |mode: u32| {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            read(&file, 4)
        };
        assert_eq!(with_mode(0o600).unwrap(), b"0123");
        assert_eq!(with_mode(0o400).unwrap(), b"0123");
        for mode in [0o640, 0o620, 0o604, 0o602] {
            let error = with_mode(mode).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "its mode is {mode:03o}, so others may read or change it; run chmod 600 {}",
                    file.display()
                )
            );
        }
        with_mode(0o600).unwrap();
        let error = read(&file, 3).unwrap_err().to_string();
        assert!(error.contains("more than 3 bytes"), "{error}");
        assert!(matches!(read(&directory.path().join("none"), 3), Err(PrivateError::Io(_))));
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_beside() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("private.key");
        fs::write(directory.path().join("private.key.new"), "torn").unwrap();
        write(&file, b"whole").unwrap();
        assert_eq!(read(&file, 5).unwrap(), b"whole");
        let taken = directory.path().join("taken");
        fs::create_dir(&taken).unwrap();
        let error = write(&taken, b"whole").unwrap_err();
        assert_eq!((error.verb, error.path), ("replace", taken));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is left");
    }
}
