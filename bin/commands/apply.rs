//! `tidings apply -f FILE`

use std::path::{Path, PathBuf};

use clap::Args;
use tidings::Definition;

use super::{Context, read_whole};
use crate::exit::Failure;
use crate::output::{self, Format, say};

/// Largest file of definitions: far above what a cluster's bound on definitions needs.
const TEXT_MAX: usize = 16 << 20;

/// Creates or changes the definitions of the cluster from YAML: all of a file's or none.
#[derive(Args, Debug)]
pub(crate) struct Apply {
    /// The file, in YAML; `-` is standard input.
    #[arg(short, long)]
    file: PathBuf,
}

impl Apply {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let format = context.format_of_documents()?;
        let definitions = read(&self.file)?;
        let applied = context.client()?.apply(definitions).await?;
        if format != Format::Table {
            output::document(format, &applied)?;
            return Ok(());
        }
        let groups = [
            ("created", applied.created),
            ("changed", applied.changed),
            ("unchanged", applied.unchanged),
        ];
        for (what, names) in groups {
            for name in names {
                say!("{what:<9}  {name}");
            }
        }
        for sentence in applied.overlaps {
            say!("note: {sentence}");
        }
        Ok(())
    }
}

/// Reads a file of definitions.
pub(crate) fn read(file: &Path) -> Result<Vec<Definition>, Failure> {
    let text = read_whole(file, TEXT_MAX, "file of definitions")?;
    let text = String::from_utf8(text)
        .map_err(|error| Failure::usage(format!("{} is not UTF-8: {error}", file.display())))?;
    tidings_gateway::yaml::parse(&text)
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
}
