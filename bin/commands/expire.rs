//! `tidings expire PATH KEY DURATION|--at MOMENT`

use std::ffi::OsString;
use std::time::{Duration, SystemTime};

use clap::Args;
use tidings_gateway::client::Write;
use tidings_gateway::{duration, moment};

use super::{Context, Keyspace, WriteArguments, absent, bytes_of};
use crate::exit::Failure;
use crate::output::{self, Format, say};

/// Lets an entry expire.
///
/// Prints the version of the write, which leaves the value as it is. Exits with 1 if there is no such key.
#[derive(Args, Debug)]
pub(crate) struct Expire {
    /// The path of the database.
    path: String,
    /// The key.
    key: OsString,
    /// Hide the entry this long from now, such as 30s or 7d.
    #[arg(value_name = "DURATION", required_unless_present = "at", conflicts_with = "at", value_parser = duration::parse)]
    after: Option<Duration>,
    /// Hide the entry from this moment on, such as 2026-11-21T16:00:00Z; at once if it has passed.
    #[arg(long, value_name = "MOMENT", value_parser = moment::parse)]
    at: Option<SystemTime>,
    /// The key is given in base64.
    #[arg(long)]
    base64: bool,
    #[command(flatten)]
    keyspace: Keyspace,
    #[command(flatten)]
    write: WriteArguments,
}

impl Expire {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let key = bytes_of(&self.key, self.base64)?;
        let write = Write { expires: self.at, ..self.write.write(self.after) };
        let client = context.client_in(self.keyspace)?;
        let Some(written) = client.expire(&self.path, &key, &write).await? else {
            return Err(absent(&self.path, &key));
        };
        match context.format(Format::Table) {
            format @ (Format::Json | Format::Jsonl) => output::document(format, &written)?,
            Format::Table | Format::Raw => say!("{}", written.version),
        }
        Ok(())
    }
}
