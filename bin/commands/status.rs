//! `tidings status [PATH]`

use clap::Args;
use tidings::status::{DatabaseStatus, NodeStatus};

use super::Context;
use crate::exit::Failure;
use crate::output::{self, Format, Table, count, say};

/// Prints how the peer, or one database, is doing, and why.
#[derive(Args, Debug)]
pub(crate) struct Status {
    /// The path of a database.
    path: Option<String>,
}

impl Status {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let format = context.format_of_documents()?;
        let client = context.client()?;
        if let Some(path) = &self.path {
            let status = client.database_status(path).await?;
            if format == Format::Table {
                database(&status)?;
            } else {
                output::document(format, &status)?;
            }
        } else {
            let status = client.status().await?;
            if format == Format::Table {
                node(&status)?;
            } else {
                output::document(format, &status)?;
            }
        }
        Ok(())
    }
}

fn field(name: &str, value: impl std::fmt::Display) {
    say!("{name:<12}{value}");
}

fn database(status: &DatabaseStatus) -> std::io::Result<()> {
    field("path", output::shown(status.path.as_bytes()));
    field("id", &status.id);
    field("definition", status.definition.as_deref().unwrap_or("(removed)"));
    field("generation", status.generation);
    field("answered by", &status.peer);
    field("entries", count(status.entries));
    field("tombstones", count(status.tombstones));
    let limit = status.limit.map_or_else(String::new, |limit| format!(" of {}", count(limit)));
    field("bytes", format!("{}{limit}", count(status.bytes)));
    field("digest", &status.digest);
    for (epoch, sequence) in &status.vector {
        field("vector", format!("{epoch} {}", count(*sequence)));
    }
    say!("");
    let mut table = Table::new(&["holder", "state", "live", "behind"]);
    for holder in &status.holders {
        table.row([
            holder.peer.clone(),
            format!("{:?}", holder.state).to_lowercase(),
            if holder.live { "yes" } else { "no" }.into(),
            holder.behind.map_or_else(|| "-".into(), count),
        ]);
    }
    table.print()?;
    verdict(&status.verdict);
    Ok(())
}

fn node(status: &NodeStatus) -> std::io::Result<()> {
    field("peer", &status.peer);
    field("name", output::shown(status.name.as_bytes()));
    field("version", &status.version);
    field("epoch", &status.epoch);
    for address in &status.listen {
        field("listen", address);
    }
    field("live peers", status.live_peers);
    field(
        "databases",
        format!("{} held, {} known", count(status.databases_held), count(status.databases_known)),
    );
    verdict(&status.verdict);
    if !status.counters.is_empty() {
        say!("");
        let mut table = Table::new(&["counter", "since start"]);
        for (name, value) in &status.counters {
            table.row([name.clone(), count(*value)]);
        }
        table.print()?;
    }
    Ok(())
}

fn verdict(sentences: &[String]) {
    say!("");
    for sentence in sentences {
        say!("{sentence}");
    }
}
