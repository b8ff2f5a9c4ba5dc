//! The tokens of a running peer: the list of the file as it is now.

use std::fs::Metadata;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::{FileError, TokenFile, Tokens};

/// How often a running peer looks whether the file was changed: a token that is revoked ends within
/// this time.
const LOOK: Duration = Duration::from_secs(1);

/// What tells a changed file from the one that was read. A file that is replaced is another one; one
/// that is written in place has another time or length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    file: (u64, u64),
    length: u64,
    modified: Option<SystemTime>,
    mode: u32,
}

impl Seen {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;

        Self {
            file: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: metadata.modified().ok(),
            mode: metadata.mode(),
        }
    }

    #[cfg(not(unix))]
    fn of(metadata: &Metadata) -> Self {
        let modified = metadata.modified().ok();
        Self { file: (0, 0), length: metadata.len(), modified, mode: 0 }
    }
}

/// The tokens of a file, read again whenever it changes. All doors of a peer share one.
#[derive(Debug)]
pub struct LiveTokens {
    file: TokenFile,
    current: watch::Sender<Arc<Tokens>>,
    /// The file as it was last looked at, whether it could be used or not; `None`: it was not there.
    seen: Mutex<Option<Seen>>,
}

impl LiveTokens {
    /// Reads the file.
    ///
    /// # Errors
    /// [`FileError`], when it is missing, open to others, or not understood.
    pub fn open(file: TokenFile) -> Result<Self, FileError> {
        let (tokens, metadata) = file.load_with()?;
        let (current, _) = watch::channel(Arc::new(tokens));
        Ok(Self { file, current, seen: Mutex::new(Some(Seen::of(&metadata))) })
    }

    /// The list as it is now.
    pub fn current(&self) -> Arc<Tokens> {
        Arc::clone(&self.current.borrow())
    }

    /// Tells of every new list, for what goes on for long: a token may be revoked meanwhile.
    pub fn changes(&self) -> watch::Receiver<Arc<Tokens>> {
        self.current.subscribe()
    }

    /// Reads the file again if it was changed since the last look, and says whether it was. A file that
    /// cannot be used leaves the list as it was.
    ///
    /// # Errors
    /// [`FileError`], once for each change.
    pub fn refresh(&self) -> Result<bool, FileError> {
        let now = std::fs::metadata(self.file.path()).ok().as_ref().map(Seen::of);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        let (tokens, metadata) = self.file.load_with()?;
        *seen = Some(Seen::of(&metadata));
        self.current.send_replace(Arc::new(tokens));
        Ok(true)
    }

    /// Looks after the file for as long as this is polled, and logs what it finds.
    pub async fn follow(self: Arc<Self>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let own = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || own.refresh()).await;
            match looked {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => {
                    let count = self.current.borrow().list.len();
                    tracing::info!(count, "the token file was changed and is read again");
                }
                Ok(Err(error)) => {
                    tracing::warn!("the tokens stay as they were before: {error}");
                }
                // The runtime stops.
                Err(_) => return,
            }
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::super::{PREFIX, Scope};
    use super::*;

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = TokenFile::new(directory.path().join("tokens"));
        assert!(matches!(LiveTokens::open(file.clone()), Err(FileError::Missing { .. })));
        let first = file.change(|tokens| tokens.add("a", Scope::Read, &[""; 0])).unwrap();
        let live = LiveTokens::open(file.clone()).unwrap();
        let changes = live.changes();
        assert!(!live.refresh().unwrap(), "nothing was changed");
        assert!(first.starts_with(PREFIX) && live.current().find(&first).is_some());

        let second = file.change(|tokens| tokens.add("b", Scope::Read, &[""; 0])).unwrap();
        assert!(live.refresh().unwrap());
        assert!(changes.has_changed().unwrap());
        assert!(live.current().find(&second).is_some());
        file.change(|tokens| Ok(tokens.revoke("a"))).unwrap();
        assert!(live.refresh().unwrap());
        assert!(live.current().find(&first).is_none());

        std::fs::write(file.path(), "{").unwrap();
        assert!(live.refresh().is_err());
        assert!(!live.refresh().unwrap(), "a broken file is told of once");
        assert!(live.current().find(&second).is_some());
        std::fs::remove_file(file.path()).unwrap();
        assert!(live.refresh().is_err());
        assert!(live.current().find(&second).is_some());
        let third = file.change(|tokens| tokens.add("c", Scope::Read, &[""; 0])).unwrap();
        assert!(live.refresh().unwrap());
        assert!(live.current().find(&second).is_none() && live.current().find(&third).is_some());
    }
}
