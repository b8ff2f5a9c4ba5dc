//! Files that only their owner may read: secrets, tokens and the list of tokens.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::Path;

/// Why a private file is not used. Nothing was read of it into anything.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Others than its owner may read or write it.
    #[error("its mode is {mode:03o}, so others may read or change it; run chmod 600 {file}")]
    Mode {
        /// Its permissions.
        mode: u32,
        /// Its path.
        file: String,
    },
    /// It is longer than anything that belongs in it.
    #[error("it has more than {most} bytes, the most it can have")]
    TooLong {
        /// The bound, in bytes.
        most: usize,
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
pub(crate) fn read_with(file: &Path, most: usize) -> Result<(Vec<u8>, Metadata), PrivateError> {
    let open = File::open(file)?;
    let metadata = open.metadata()?;
    check_mode(file, &metadata)?;
    let mut bytes = Vec::new();
    open.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(PrivateError::TooLong { most });
    }
    Ok((bytes, metadata))
}

#[cfg(unix)]
fn check_mode(file: &Path, metadata: &Metadata) -> Result<(), PrivateError> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(PrivateError::Mode { mode, file: file.display().to_string() });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &Metadata) -> Result<(), PrivateError> {
    Ok(())
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
        std::fs::write(&file, "0123").unwrap();
        let with_mode = |mode: u32| {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            read(&file, 4)
        };
        assert_eq!(with_mode(0o600).unwrap(), b"0123");
        assert_eq!(with_mode(0o400).unwrap(), b"0123");
        for mode in [0o640, 0o620, 0o604, 0o602] {
            let error = with_mode(mode).unwrap_err().to_string();
            assert!(
                error.contains(&format!("{mode:03o}")) && error.contains("chmod 600"),
                "{error}"
            );
        }
        with_mode(0o600).unwrap();
        let error = read(&file, 3).unwrap_err().to_string();
        assert!(error.contains("more than 3 bytes"), "{error}");
        assert!(matches!(read(&directory.path().join("none"), 3), Err(PrivateError::Io(_))));
    }
}
