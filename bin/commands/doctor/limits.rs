//! What the system lets a process have.

use super::Check;

/// Open files that the storage engine keeps at most, and what a peer has besides: its lock, its
/// journals, its sockets, some tens of connections.
const FILES_WARN: u64 = 900 + 124;
/// Below that a peer can hardly serve: an empty one has some fifty files and sockets open.
const FILES_MIN: u64 = 128;

/// Whether a process may open enough files.
pub(super) fn open_files() -> Check {
    match std::fs::read_to_string("/proc/self/limits") {
        Ok(limits) => judged(soft_limit(&limits)),
        Err(error) => Check::ok(
            "open-files",
            format!("the limit is not known here ({error}); {FILES_WARN} are enough"),
        ),
    }
}

/// The soft limit; `None` without one.
fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn judged(limit: Option<u64>) -> Check {
    let name = "open-files";
    let mend = format!(
        "raise it, with `ulimit -n {FILES_WARN}` in the shell or LimitNOFILE={FILES_WARN} in the unit of systemd; 4096 for hundreds of connections"
    );
    match limit {
        None => Check::ok(name, "there is no limit"),
        Some(limit) if limit < FILES_MIN => Check::fail(
            name,
            format!("{limit} may be open at once, and a peer needs {FILES_MIN}"),
            mend,
        ),
        Some(limit) if limit < FILES_WARN => Check::warn(
            name,
            format!("{limit} may be open at once, and a peer may want {FILES_WARN}"),
            mend,
        ),
        Some(limit) => Check::ok(name, format!("{limit} may be open at once")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    /// The limit is found where the system writes it, and judged by the bounds from both sides.
    #[test]
    fn the_limit_is_found_and_judged() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1023                 524288               files\n";
        assert_eq!(soft_limit(limits), Some(1023));
        assert_eq!(soft_limit("Max open files            unlimited  unlimited  files\n"), None);
        let level = |limit| judged(limit).result;
        assert_eq!(level(Some(FILES_MIN - 1)), Level::Fail);
        assert_eq!(level(Some(FILES_MIN)), Level::Warn);
        assert_eq!(level(Some(FILES_WARN - 1)), Level::Warn);
        assert_eq!(level(Some(FILES_WARN)), Level::Ok);
        assert_eq!(level(None), Level::Ok);
    }
}
