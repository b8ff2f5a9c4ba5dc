//! `tidings put PATH KEY [VALUE|-|--file FILE]`

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use tidings::limits;
use tidings_core::stamp::Version;
use tidings_gateway::client::Write;
use tidings_gateway::{duration, moment};

use super::{Context, Keyspace, WriteArguments, bytes_of, read_whole, version};
use crate::exit::Failure;
use crate::output::{self, Format, say};

/// Sets a key.
///
/// Prints the version of the write.
#[derive(Args, Debug)]
pub(crate) struct Put {
    /// The path of the database.
    path: String,
    /// The key.
    key: OsString,
    /// The value; `-` reads it from standard input.
    #[arg(required_unless_present = "file", allow_hyphen_values = true)]
    value: Option<OsString>,
    /// Read the value from a file.
    #[arg(long, conflicts_with = "value")]
    file: Option<PathBuf>,
    /// The key, and a value that stands on the command line, are given in base64.
    #[arg(long)]
    base64: bool,
    /// Hide the entry this long after the write, such as 30s or 7d.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    ttl: Option<Duration>,
    /// Hide the entry from this moment on, such as 2026-11-21T16:00:00Z; at once if it has passed.
    #[arg(long, value_name = "MOMENT", conflicts_with = "ttl", value_parser = moment::parse)]
    expires: Option<SystemTime>,
    /// Only if there is no such key, as far as the holder that accepts the write knows.
    #[arg(long, conflicts_with = "if_version")]
    if_absent: bool,
    /// Only if the value has this version, which a put or a get -o json printed, at that holder.
    #[arg(long, value_name = "VERSION", value_parser = version)]
    if_version: Option<Version>,
    #[command(flatten)]
    keyspace: Keyspace,
    #[command(flatten)]
    write: WriteArguments,
}

impl Put {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let key = bytes_of(&self.key, self.base64)?;
        let value = match (&self.file, &self.value) {
            (Some(file), _) => read_whole(file, limits::VALUE_MAX, "value")?,
            (None, Some(value)) if value == "-" => {
                read_whole(Path::new("-"), limits::VALUE_MAX, "value")?
            }
            (None, Some(value)) => bytes_of(value, self.base64)?,
            (None, None) => Vec::new(),
        };
        let Self { if_absent, if_version, expires, .. } = self;
        let write = Write { if_absent, if_version, expires, ..self.write.write(self.ttl) };
        let written =
            context.client_in(self.keyspace)?.put(&self.path, &key, value, &write).await?;
        match context.format(Format::Table) {
            format @ (Format::Json | Format::Jsonl) => output::document(format, &written)?,
            Format::Table | Format::Raw => say!("{}", written.version),
        }
        Ok(())
    }
}
