//! `tidings persist PATH KEY`

use std::ffi::OsString;

use clap::Args;

use super::{Context, Keyspace, WriteArguments, absent, bytes_of};
use crate::exit::Failure;
use crate::output::{self, Format, say};

/// Lets an entry stay that was to expire.
///
/// Prints the version of the write, which leaves the value as it is. Exits with 1 if there is no such key.
#[derive(Args, Debug)]
pub(crate) struct Persist {
    /// The path of the database.
    path: String,
    /// The key.
    key: OsString,
    /// The key is given in base64.
    #[arg(long)]
    base64: bool,
    #[command(flatten)]
    keyspace: Keyspace,
    #[command(flatten)]
    write: WriteArguments,
}

impl Persist {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let key = bytes_of(&self.key, self.base64)?;
        let client = context.client_in(self.keyspace)?;
        let Some(written) = client.persist(&self.path, &key, &self.write.write(None)).await? else {
            return Err(absent(&self.path, &key));
        };
        match context.format(Format::Table) {
            format @ (Format::Json | Format::Jsonl) => output::document(format, &written)?,
            Format::Table | Format::Raw => say!("{}", written.version),
        }
        Ok(())
    }
}
