//! `tidings databases`

use clap::Args;

use super::Context;
use crate::exit::Failure;
use crate::output::{self, Format, Table};

/// Lists the databases of the cluster.
#[derive(Args, Debug)]
pub(crate) struct Databases {}

impl Databases {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let format = context.format_of_documents()?;
        let client = context.client()?;
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let page = client.databases(cursor.as_deref()).await?;
            all.extend(page.databases);
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        if format != Format::Table {
            output::documents(format, &all)?;
            return Ok(());
        }
        let mut table = Table::new(&["path", "definition", "copies", "here", "entries", "bytes"]);
        for database in all {
            let number = |number: Option<u64>| number.map_or_else(|| "-".into(), output::count);
            table.row([
                output::shown(database.path.as_bytes()),
                database.definition.unwrap_or_else(|| "(removed)".into()),
                database.copies.to_string(),
                if database.held { "yes" } else { "no" }.into(),
                number(database.entries),
                number(database.bytes),
            ]);
        }
        table.print()?;
        Ok(())
    }
}
