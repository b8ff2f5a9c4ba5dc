//! `tidings delete PATH KEY|--prefix PREFIX`

use std::ffi::OsString;

use clap::Args;
use tidings_core::stamp::Version;
use tidings_gateway::client::Write;

use super::asking::agrees;
use super::{Context, Keyspace, WriteArguments, bytes_of, version};
use crate::exit::Failure;
use crate::output::{self, Format, say};

/// Deletes a key, or every key with a prefix.
///
/// Prints the version of the delete, or with `--prefix` how many keys there were. Deleting what is absent
/// is fine.
#[derive(Args, Debug)]
pub(crate) struct Delete {
    /// The path of the database.
    path: String,
    /// The key.
    #[arg(required_unless_present = "prefix", conflicts_with = "prefix")]
    key: Option<OsString>,
    /// Delete every key that starts with this; an empty one asks first, for it is every key of the keyspace.
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<OsString>,
    /// Do not ask.
    #[arg(long, conflicts_with = "key")]
    yes: bool,
    /// The key or the prefix is given in base64.
    #[arg(long)]
    base64: bool,
    /// Only if the value has this version, at the holder that accepts the delete.
    #[arg(long, value_name = "VERSION", value_parser = version, conflicts_with = "prefix")]
    if_version: Option<Version>,
    #[command(flatten)]
    keyspace: Keyspace,
    #[command(flatten)]
    write: WriteArguments,
}

impl Delete {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let write = Write { if_version: self.if_version, ..self.write.write(None) };
        if self.prefix.is_some() {
            return self.run_prefix(context, &write).await;
        }
        let key = bytes_of(&self.key.unwrap_or_default(), self.base64)?;
        let client = context.client_in(self.keyspace)?;
        let written = client.delete(&self.path, &key, &write).await?;
        match context.format(Format::Table) {
            format @ (Format::Json | Format::Jsonl) => output::document(format, &written)?,
            Format::Table | Format::Raw => say!("{}", written.version),
        }
        Ok(())
    }

    async fn run_prefix(self, context: &Context, write: &Write) -> Result<(), Failure> {
        let Self { path, yes, keyspace, .. } = self;
        let prefix = bytes_of(&self.prefix.unwrap_or_default(), self.base64)?;
        let question = format!("delete every key of {path:?}{keyspace}?");
        let unasked = format!(
            "every key of {path:?}{keyspace} would be deleted, and nobody is there to ask; say --yes to delete them"
        );
        if prefix.is_empty() && !yes && !agrees(&question, &unasked)? {
            return Err(Failure::refused("nothing was deleted"));
        }
        let deleted = context.client_in(keyspace)?.delete_prefix(&path, &prefix, write).await?;
        match context.format(Format::Table) {
            format @ (Format::Json | Format::Jsonl) => output::document(format, &deleted)?,
            Format::Table | Format::Raw => say!("{}", deleted.deleted),
        }
        Ok(())
    }
}
