//! What the system says of this process, under the names that all Prometheus clients use. On systems
//! without `/proc` only the start is told.

use std::time::SystemTime;

use super::{Text, unix};

/// Writes what can be found out.
pub(super) fn write(text: &mut Text, started: SystemTime) {
    let name = "process_start_time_seconds";
    text.head(name, "When the peer began to serve, in seconds since the Unix epoch.", "gauge");
    text.line(format_args!("{name} {:.3}", unix(started)));
    let read = |file: &str| std::fs::read_to_string(file).ok();
    if let Some(bytes) = read("/proc/self/status").and_then(|status| resident(&status)) {
        text.gauge("process_resident_memory_bytes", "Memory of the process, in bytes.", bytes);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        text.gauge("process_open_fds", "Open files and sockets.", files.count() as u64);
    }
    if let Some(most) = read("/proc/self/limits").and_then(|limits| open_files(&limits)) {
        text.gauge("process_max_fds", "Most files and sockets that may be open.", most);
    }
}

/// The resident memory in `/proc/self/status`, which is in kilobytes there.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The soft limit in `/proc/self/limits`; `None` without one.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_where_they_stand() {
        let status = "Name:\ttidings\nVmPeak:\t  100 kB\nVmRSS:\t   12345 kB\n";
        assert_eq!(resident(status), Some(12345 * 1024));
        assert_eq!(resident("Name:\ttidings\n"), None);
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(open_files(limits), Some(1024));
        assert_eq!(open_files("Max open files            unlimited  unlimited  files\n"), None);
    }
}
