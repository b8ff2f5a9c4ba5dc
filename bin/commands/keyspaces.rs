//! `tidings keyspaces PATH`

use clap::Args;

use super::Context;
use crate::exit::Failure;
use crate::output::{self, Format, say};

/// Lists the keyspaces of a database that have keys.
///
/// Shorter names come first, and those of one length by their bytes. The default keyspace has no name, and is
/// shown as `(default)`; in JSON it is the empty one.
#[derive(Args, Debug)]
pub(crate) struct Keyspaces {
    /// The path of the database.
    path: String,
}

impl Keyspaces {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let format = context.format_of_documents()?;
        let client = context.client()?;
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let page = client.keyspaces(&self.path, cursor.as_deref()).await?;
            all.extend(page.keyspaces);
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        if format != Format::Table {
            output::documents(format, &all)?;
            return Ok(());
        }
        for name in &all {
            say!(
                "{}",
                if name.is_empty() { "(default)".into() } else { output::shown(name.as_bytes()) }
            );
        }
        Ok(())
    }
}
