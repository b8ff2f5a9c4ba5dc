//! `tidings batch PATH [FILE]`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tidings_gateway::duration;

use super::{Context, Keyspace, WriteArguments, read_whole};
use crate::exit::Failure;
use crate::output::{self, Format, say};

/// Most bytes of a batch as JSON: its largest size in bytes, each a six-byte escape, and its frame.
const TEXT_MAX: usize = 8 << 20;

/// Applies several writes together: all of them or none.
///
/// They are lines of JSON, `{"put": {"key": "a", "value": "1"}}` or `{"delete": {"key": "b"}}`, or one
/// JSON list of these. `"expires": "2026-11-21T16:00:00.000Z"` after a value hides the entry from then on.
/// Bytes that are not UTF-8 go as `key_base64` and `value_base64`.
#[derive(Args, Debug)]
pub(crate) struct Batch {
    /// The path of the database.
    path: String,
    /// The file; `-` is standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Hide entries without `expires` this long after the write, such as 30s or 7d.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    ttl: Option<Duration>,
    #[command(flatten)]
    keyspace: Keyspace,
    #[command(flatten)]
    write: WriteArguments,
}

impl Batch {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let text = read_whole(&self.file, TEXT_MAX, "batch")?;
        let write = self.write.write(self.ttl);
        let written =
            context.client_in(self.keyspace)?.batch_lines(&self.path, text, &write, true).await?;
        match context.format(Format::Table) {
            Format::Table => say!("{} writes", written.writes),
            Format::Raw => {
                for version in written.versions.unwrap_or_default() {
                    say!("{version}");
                }
            }
            format => output::document(format, &written)?,
        }
        Ok(())
    }
}
