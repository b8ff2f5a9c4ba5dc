//! `tidings definitions [list | check FILE]`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tidings::Definition;

use super::{Context, apply};
use crate::exit::Failure;
use crate::output::{self, Format, Table};

/// Lists the definitions of the cluster, or checks a file of them without a peer.
#[derive(Args, Debug)]
pub(crate) struct Definitions {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the definitions of the cluster; the default.
    List,
    /// Check a file of definitions, and say what each matcher is taken for.
    Check {
        /// The file, in YAML; `-` is standard input.
        file: PathBuf,
    },
}

impl Definitions {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let format = context.format_of_documents()?;
        let definitions = match self.action {
            None | Some(Action::List) => context.client()?.definitions().await?,
            Some(Action::Check { file }) => apply::read(&file)?,
        };
        if format != Format::Table {
            output::documents(format, &definitions)?;
            return Ok(());
        }
        table(&definitions).print()?;
        Ok(())
    }
}

fn table(definitions: &[Definition]) -> Table {
    let mut table =
        Table::new(&["name", "matcher", "copies", "size", "durability", "priority", "description"]);
    for definition in definitions {
        table.row([
            definition.name.clone(),
            definition.matcher.clone(),
            format!("{}..{}", definition.replication.min, definition.replication.max),
            definition.size.map_or_else(|| "-".into(), output::size),
            format!("{:?}", definition.durability).to_lowercase(),
            definition.priority.to_string(),
            definition.description.lines().next().unwrap_or_default().to_owned(),
        ]);
    }
    table
}
