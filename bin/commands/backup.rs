//! `tidings backup FILE|DIR`

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;
use tidings::backup::{BackupError, BackupFile, BackupReport, verify};
use tidings::store::DirectoryError;
use tidings_gateway::moment;

use super::Context;
use crate::exit::{Code, Failure};
use crate::output::{self, Format, say};

/// What of a peer id is in the name of a file: the end, which is the part that differs.
const ID_PART: usize = 6;

/// Writes a copy of everything that the peer stores to a file.
///
/// The copy is of one moment, while the peer goes on. It has all databases with a copy at that peer, the
/// definitions and the directory, and neither the private key nor the secret. The file is in place only
/// once it is whole, was read back and is on the disk; its mode is 600. `tidings restore` makes a data directory
/// of it, for another peer of the same cluster.
#[derive(Args, Debug)]
pub(crate) struct Backup {
    /// The file, or a directory in which a file is to be named after the peer and the time.
    #[arg(value_name = "FILE|DIR")]
    target: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    replace: bool,
}

impl Backup {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let format = context.format_of_documents()?;
        let client = context.client()?;
        let file = if self.target.is_dir() {
            let peer = client.status().await?.peer;
            self.target.join(name_of(&peer, SystemTime::now()))
        } else {
            self.target
        };
        let mut out = BackupFile::create(&file, self.replace).map_err(|error| match error {
            BackupError::Io { source, .. } if source.kind() == ErrorKind::AlreadyExists => {
                let file = file.display();
                Failure::usage(format!(
                    "{file} is there already: name another file, or --replace it"
                ))
            }
            error => error.into(),
        })?;
        let mut parts = client.backup().await?;
        let bar = output::bar(None, "{spinner} {binary_bytes}  {binary_bytes_per_sec}");
        while let Some(part) = parts.next().await? {
            out.write_all(&part).map_err(|error| not_written(out.partial(), error))?;
            bar.inc(part.len() as u64);
        }
        bar.finish_and_clear();
        out.flush().map_err(|error| not_written(out.partial(), error))?;
        let bar = bar_of("checked");
        // What is on the disk, and not what came, is what a restore will read.
        let report = verify(out.partial(), |read, of| {
            bar.set_length(of);
            bar.set_position(read);
        })?;
        bar.finish_and_clear();
        out.finish()?;
        Told::new(&file, &report).print(format, "backed up")
    }
}

fn not_written(file: &Path, source: std::io::Error) -> Failure {
    BackupError::Io { verb: "write", path: Some(file.into()), source }.into()
}

/// The name of a backup in a directory: `tidings-bcdefg-20261121T160000Z.backup`.
fn name_of(peer: &str, now: SystemTime) -> String {
    let at = peer.len().saturating_sub(ID_PART);
    let moment: String = moment::format(now).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let moment = moment.split('.').next().unwrap_or_default();
    format!("tidings-{}-{moment}Z.backup", peer.get(at..).unwrap_or(peer))
}

/// A bar of bytes.
pub(super) fn bar_of(verb: &str) -> indicatif::ProgressBar {
    output::bar(
        Some(0),
        &format!("{{bar:40}} {{binary_bytes}} of {{binary_total_bytes}} {verb}  eta {{eta}}"),
    )
}

/// What is said of a backup.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    file: String,
    peer: String,
    taken: String,
    databases: u64,
    rows: u64,
    bytes: u64,
}

impl Told {
    pub(super) fn new(file: &Path, report: &BackupReport) -> Self {
        let taken = UNIX_EPOCH + Duration::from_millis(report.taken);
        Self {
            file: file.display().to_string(),
            peer: report.peer.clone(),
            taken: moment::format(taken),
            databases: report.databases,
            rows: report.rows,
            bytes: report.bytes,
        }
    }

    /// Prints it; for people in one sentence with this verb.
    pub(super) fn print(&self, format: Format, verb: &str) -> Result<(), Failure> {
        if format != Format::Table {
            return Ok(output::document(format, self)?);
        }
        let Self { file, peer, taken, databases, rows, bytes } = self;
        say!(
            "{verb}: {file}, {} in {} rows of {} databases, as of {taken} at peer {peer}",
            output::size(*bytes),
            output::count(*rows),
            output::count(*databases),
        );
        Ok(())
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let code = match &error {
            BackupError::Peer(error) => Code::of(error.code()),
            full if full.is_full() => Code::Refused,
            BackupError::Foreign
            | BackupError::Newer { .. }
            | BackupError::Truncated { .. }
            | BackupError::Damaged { .. }
            | BackupError::Io { .. }
            | BackupError::Directory(DirectoryError::Io { .. }) => Code::Usage,
            BackupError::Directory(_) => Code::Refused,
            BackupError::Store(_) => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_in_a_directory_is_named_after_peer_and_time() {
        let at = UNIX_EPOCH + Duration::from_millis(1_795_276_800_999);
        assert_eq!(name_of("12D3KooWabcdefg", at), "tidings-bcdefg-20261121T160000Z.backup");
    }
}
