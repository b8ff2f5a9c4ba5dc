//! `tidings usage [PATH]`

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::Context;
use crate::exit::Failure;
use crate::output::{self, Format, Table, count};

/// Prints how much is in a database, or in all of them, and how much more fits.
///
/// With a path, a holder is asked. Without one, databases that the peer has no copy of are listed
/// without figures.
#[derive(Args, Debug)]
pub(crate) struct Usage {
    /// The path of a database.
    path: Option<String>,
}

/// The figures of one database; those that are not known are left out.
#[derive(Debug, Serialize)]
struct Figures {
    path: String,
    /// Live entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
    /// Deletes that are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    tombstones: Option<u64>,
    /// Of keys and values of live entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// The most of them that there may be; `null`: as many as the disk holds.
    limit: Option<u64>,
    /// How many more fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<u64>,
}

impl Figures {
    fn new(path: String, entries: Option<u64>, bytes: Option<u64>, limit: Option<u64>) -> Self {
        let remaining = limit.zip(bytes).map(|(limit, bytes)| limit.saturating_sub(bytes));
        Self { path, entries, tombstones: None, bytes, limit, remaining }
    }
}

impl Usage {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let format = context.format_of_documents()?;
        let figures = match &self.path {
            Some(path) => vec![of_one(path, context).await?],
            None => of_all(context).await?,
        };
        if format == Format::Table {
            return Ok(table(&figures).print()?);
        }
        match figures.as_slice() {
            [one] if self.path.is_some() => output::document(format, one)?,
            all => output::documents(format, all)?,
        }
        Ok(())
    }
}

async fn of_one(path: &str, context: &Context) -> Result<Figures, Failure> {
    let status = context.client()?.database_status(path).await?;
    let (entries, bytes) = (Some(status.entries), Some(status.bytes));
    let figures = Figures::new(status.path, entries, bytes, status.limit);
    Ok(Figures { tombstones: Some(status.tombstones), ..figures })
}

async fn of_all(context: &Context) -> Result<Vec<Figures>, Failure> {
    let client = context.client()?;
    let limits: BTreeMap<String, Option<u64>> = client
        .definitions()
        .await?
        .into_iter()
        .map(|definition| (definition.name, definition.size))
        .collect();
    let mut figures = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = client.databases(cursor.as_deref()).await?;
        figures.extend(page.databases.into_iter().map(|database| {
            let limit = database.definition.and_then(|name| limits.get(&name).copied().flatten());
            Figures::new(database.path, database.entries, database.bytes, limit)
        }));
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(figures);
        }
    }
}

fn table(figures: &[Figures]) -> Table {
    let mut table = Table::new(&["path", "entries", "tombstones", "bytes", "limit", "remaining"]);
    let shown = |number: Option<u64>| number.map_or_else(|| "-".into(), count);
    for own in figures {
        table.row([
            output::shown(own.path.as_bytes()),
            shown(own.entries),
            shown(own.tombstones),
            shown(own.bytes),
            shown(own.limit),
            shown(own.remaining),
        ]);
    }
    table
}
