//! The token file: read whole, and changed so that a reader sees the old list or the new one.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};

use tidings::store::private::{self, PrivateError};

use super::{TokenError, Tokens};

/// Longest token file, in bytes: far more than the largest list takes, and a wrong file name shall not
/// read a whole disk.
const FILE_MAX: usize = 16 << 20;

/// Why a token file is not used, or not changed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there.
    #[error(
        "there is no token file {file}; make the first token with `tidings token new --tokens {file} --name admin --scope admin`"
    )]
    Missing {
        /// Its path.
        file: String,
    },
    /// It cannot be read, or others may read it.
    #[error("the token file {file} is not used: {source}")]
    Private {
        /// Its path.
        file: String,
        /// The reason.
        source: PrivateError,
    },
    /// What it says is not understood, or a change to it is refused. It is as it was.
    #[error("the token file {file}: {source}")]
    Token {
        /// Its path.
        file: String,
        /// The reason.
        source: TokenError,
    },
    /// It cannot be written. It is as it was.
    #[error("the token file {file} cannot be written: {source}")]
    Write {
        /// Its path.
        file: String,
        /// The reason.
        source: std::io::Error,
    },
}

/// A file with a list of tokens, which only its owner may read.
#[derive(Clone, Debug)]
pub struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    /// The file at this path, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// Reads the list.
    ///
    /// # Errors
    /// [`FileError`], when it is missing, open to others, or not understood.
    pub fn load(&self) -> Result<Tokens, FileError> {
        self.load_with().map(|(tokens, _)| tokens)
    }

    /// The list, and what the file system says of the file that it was read from.
    pub(super) fn load_with(&self) -> Result<(Tokens, Metadata), FileError> {
        let file = || self.shown();
        let (text, metadata) = match private::read_with(&self.path, FILE_MAX) {
            Ok(read) => read,
            Err(PrivateError::Io(error)) if error.source.kind() == std::io::ErrorKind::NotFound => {
                return Err(FileError::Missing { file: file() });
            }
            Err(source) => return Err(FileError::Private { file: file(), source }),
        };
        let tokens =
            Tokens::parse(&text).map_err(|source| FileError::Token { file: file(), source })?;
        Ok((tokens, metadata))
    }

    /// Changes the list: reads it, or begins an empty one, and writes what `change` made of it with mode
    /// 0600, on the disk when this returns. Programs that change it at the same time wait for each other.
    ///
    /// # Errors
    /// [`FileError`]; the file is as it was.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut Tokens) -> Result<T, TokenError>,
    ) -> Result<T, FileError> {
        let failed = |source| FileError::Write { file: self.shown(), source };
        // What is replaced is the file that a link leads to, and not the link.
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = File::open(parent.unwrap_or(Path::new("."))).map_err(failed)?;
        // The file is replaced, so that a lock of it would be one of the old list. Released at the end.
        directory.lock().map_err(failed)?;
        let mut tokens = match self.load() {
            Err(FileError::Missing { .. }) => Tokens::default(),
            loaded => loaded?,
        };
        let result = change(&mut tokens)
            .map_err(|source| FileError::Token { file: self.shown(), source })?;
        // The lock says that nobody else is writing it.
        private::write(&path, tokens.to_text().as_bytes()).map_err(|error| failed(error.source))?;
        Ok(result)
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::Scope;
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn changes_are_kept_in_a_private_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = TokenFile::new(directory.path().join("tokens"));
        let missing = file.load().unwrap_err().to_string();
        assert!(missing.contains("make the first token with `tidings token new"), "{missing}");
        let text = file.change(|tokens| tokens.add("a", Scope::Read, &["x"])).unwrap();
        file.change(|tokens| tokens.add("b", Scope::Admin, &[""; 0])).unwrap();
        assert_eq!(mode(file.path()), 0o600);
        let names: Vec<_> = file.load().unwrap().iter().map(|t| t.name().to_owned()).collect();
        assert_eq!(names, ["a", "b"]);
        let refused = file.change(|tokens| tokens.add("a", Scope::Read, &[""; 0])).unwrap_err();
        assert!(refused.to_string().contains("already"), "{refused}");
        assert!(file.change(|tokens| Ok(tokens.revoke("b"))).unwrap());
        assert!(file.load().unwrap().find(&text).is_some());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left");
    }

    #[test]
    fn a_list_that_is_open_to_others_or_not_understood_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = TokenFile::new(directory.path().join("tokens"));
        std::fs::write(file.path(), "{}").unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let add = || file.change(|tokens| tokens.add("a", Scope::Read, &[""; 0]));
        assert!(add().unwrap_err().to_string().contains("chmod 600"));
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(add().unwrap_err().to_string().contains("not a list of tokens"));
        assert_eq!(std::fs::read(file.path()).unwrap(), b"{}");
    }

    #[test]
    fn a_link_stays_one() {
        let directory = tempfile::tempdir().unwrap();
        let file = TokenFile::new(directory.path().join("tokens"));
        file.change(|tokens| tokens.add("a", Scope::Read, &[""; 0])).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let link = elsewhere.path().join("link");
        std::os::unix::fs::symlink(file.path(), &link).unwrap();
        let linked = TokenFile::new(&link);
        linked.change(|tokens| tokens.add("b", Scope::Read, &[""; 0])).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(file.load().unwrap().iter().count(), 2);
    }

    /// Changes at the same time are all kept: each thread adds one of its own.
    #[test]
    fn changes_wait_for_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        std::thread::scope(|scope| {
            for n in 0..8 {
                let file = TokenFile::new(&path);
                scope.spawn(move || {
                    let name = format!("t{n}");
                    file.change(|tokens| tokens.add(&name, Scope::Read, &[""; 0])).unwrap();
                });
            }
        });
        assert_eq!(TokenFile::new(&path).load().unwrap().iter().count(), 8);
    }
}
