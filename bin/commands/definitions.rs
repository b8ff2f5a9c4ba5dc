//! `tidings definitions [list | check FILE]`

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use tidings::Definition;
use tidings_core::matcher::Matcher;
use tidings_core::name;
use tidings_core::registry::Registry;
use tidings_gateway::duration;

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
        /// Paths of databases: which definition of the file governs each.
        paths: Vec<String>,
    },
}

impl Definitions {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let format = context.format_of_documents()?;
        let definitions = match self.action {
            None | Some(Action::List) => context.client()?.definitions().await?,
            Some(Action::Check { file, paths }) => return check(&file, &paths, format),
        };
        if format == Format::Table {
            table(&definitions).print()?;
        } else {
            output::documents(format, &definitions)?;
        }
        Ok(())
    }
}

/// Checks a file as a cluster with no other definitions would: shows what it defines and where its
/// matchers overlap, or, for given paths, which definition governs each.
fn check(file: &Path, paths: &[String], format: Format) -> Result<(), Failure> {
    let definitions = apply::read(file)?;
    let mut registry = Registry::new();
    let mut overlaps = Vec::new();
    for definition in &definitions {
        // Asked before it is one of them, so that each pair is told of once.
        overlaps.extend(registry.overlaps(definition));
        registry.insert(definition.clone())?;
    }
    if !paths.is_empty() {
        return govern(&registry, paths, format);
    }
    if format == Format::Table {
        table(&definitions).print()?;
    } else {
        output::documents(format, &definitions)?;
    }
    for sentence in overlaps {
        eprintln!("note: {sentence}");
    }
    Ok(())
}

fn govern(registry: &Registry, paths: &[String], format: Format) -> Result<(), Failure> {
    let mut table = Table::new(&["path", "definition", "matcher"]);
    let mut documents = Vec::new();
    for path in paths {
        let governs = registry.resolve(&name::Path::new(path)?);
        documents.push(serde_json::json!({
            "path": path,
            "definition": governs.map(|definition| &definition.name),
        }));
        table.row([
            path.clone(),
            governs.map_or("(none: it cannot be opened)", |one| one.name.as_str()).to_owned(),
            governs.map_or("-", |definition| definition.matcher.as_str()).to_owned(),
        ]);
    }
    if format == Format::Table {
        table.print()?;
    } else {
        output::documents(format, &documents)?;
    }
    Ok(())
}

fn table(definitions: &[Definition]) -> Table {
    let mut table = Table::new(&[
        "name",
        "kind",
        "matcher",
        "copies",
        "size",
        "ttl",
        "durability",
        "priority",
        "description",
    ]);
    for definition in definitions {
        let ttl = definition.ttl.map(Duration::from_millis);
        table.row([
            definition.name.clone(),
            Matcher::parse(&definition.matcher)
                .map_or_else(|_| "-".into(), |m| m.kind().to_string()),
            definition.matcher.clone(),
            format!("{}..{}", definition.replication.min, definition.replication.max),
            definition.size.map_or_else(|| "-".into(), output::size),
            ttl.map_or_else(|| "-".into(), duration::format),
            format!("{:?}", definition.durability).to_lowercase(),
            definition.priority.to_string(),
            definition.description.lines().next().unwrap_or_default().to_owned(),
        ]);
    }
    table
}
