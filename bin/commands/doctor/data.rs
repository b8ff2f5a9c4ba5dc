//! The data directory and the disk that it lies on.

use std::path::{Path, PathBuf};

use tidings::store::look::{Look, User, look};

use super::Check;
use crate::output::size;

/// Less than that, and a peer does not get far: the engine lays out a journal of 64 MiB while it writes.
const SPACE_MIN: u64 = 64 << 20;
/// Less than that, and it will not be long: journals and tables are kept beside those that replace them.
const SPACE_WARN: u64 = 1 << 30;

/// Whether a peer could use the directory, or uses it.
pub(super) fn directory(path: &Path) -> Check {
    let name = "data";
    if path.as_os_str().is_empty() {
        return Check::warn(
            name,
            "no data directory is named, and `serve` needs one",
            "write --data DIR, set TIDINGS_DATA, or name it in the config file",
        );
    }
    let shown = path.display();
    match look(path) {
        Err(error) => Check::error(name, error),
        Ok(Look::Absent { above }) => match writable(&above) {
            Ok(()) => Check::ok(name, format!("{shown} does not exist yet and can be made")),
            Err(error) => Check::fail(
                name,
                format!("{shown} cannot be made: {} is not writable ({error})", above.display()),
                "make it yourself for the user that runs the peer, or name another one with --data",
            ),
        },
        Ok(Look::Present { user: User::Process(pid), format, .. }) => {
            let pid = pid.map_or_else(String::new, |pid| format!(" with pid {pid}"));
            let format = told(format);
            Check::ok(name, format!("{shown} has {format} and is in use by the process{pid}"))
        }
        Ok(Look::Present { mode, format, .. }) => {
            if let Err(error) = writable(path) {
                return Check::fail(
                    name,
                    format!("{shown} is not writable ({error})"),
                    format!("make the user that runs the peer its owner: chown USER {shown}"),
                );
            }
            match mode {
                Some(mode) if mode & 0o077 != 0 => Check::warn(
                    name,
                    format!("{shown} has mode {mode:04o}, so that others can enter it"),
                    format!("run chmod 700 {shown}; the next start does it, too"),
                ),
                _ => Check::ok(name, format!("{shown} has {}, and nobody uses it", told(format))),
            }
        }
    }
}

fn told(format: Option<u32>) -> String {
    format.map_or_else(|| "no store yet".into(), |format| format!("a store of format {format}"))
}

/// The pid of the process that uses the directory; `None`: nobody does, as far as can be seen.
pub(super) fn user(path: &Path) -> Option<User> {
    match look(path) {
        Ok(Look::Present { user: User::Process(pid), .. }) => Some(User::Process(pid)),
        _ => None,
    }
}

/// Whether a file can be made in a directory: one without a name is, and goes at once.
fn writable(directory: &Path) -> std::io::Result<()> {
    tempfile::tempfile_in(directory).map(drop)
}

/// Whether there is room on the disk.
pub(super) fn space(path: &Path) -> Check {
    let name = "disk";
    let nearest = match look(path) {
        Ok(Look::Absent { above }) => above,
        _ if path.is_dir() => path.into(),
        _ => path.parent().map_or_else(|| PathBuf::from("."), Into::into),
    };
    match free(&nearest) {
        Ok(free) => judged(free, &nearest),
        Err(error) => Check::warn(
            name,
            format!("how much is free at {} is not known: {error}", nearest.display()),
            format!("see to it that there are at least {}", size(SPACE_MIN)),
        ),
    }
}

#[cfg(unix)]
fn free(directory: &Path) -> std::io::Result<u64> {
    let told = rustix::fs::statvfs(directory)?;
    Ok(told.f_bavail.saturating_mul(told.f_frsize))
}

#[cfg(not(unix))]
fn free(_: &Path) -> std::io::Result<u64> {
    Err(std::io::ErrorKind::Unsupported.into())
}

fn judged(free: u64, at: &Path) -> Check {
    let name = "disk";
    let found = format!("{} are free at {}", size(free), at.display());
    if free < SPACE_MIN {
        Check::fail(
            name,
            format!("{found}, and a peer needs {}", size(SPACE_MIN)),
            "make room, or name a directory on another disk with --data: a full disk stops a peer",
        )
    } else if free < SPACE_WARN {
        Check::warn(
            name,
            format!("{found}, which is less than {}", size(SPACE_WARN)),
            "make room before it is full: a full disk stops a peer",
        )
    } else {
        Check::ok(name, found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    /// The bounds, from both sides.
    #[test]
    fn free_space_is_judged_by_its_bounds() {
        let level = |free| judged(free, Path::new("data")).result;
        assert_eq!(level(0), Level::Fail);
        assert_eq!(level(SPACE_MIN - 1), Level::Fail);
        assert_eq!(level(SPACE_MIN), Level::Warn);
        assert_eq!(level(SPACE_WARN - 1), Level::Warn);
        assert_eq!(level(SPACE_WARN), Level::Ok);
        assert!(judged(1, Path::new("data")).found.contains("needs 64.00 MiB"));
    }
}
