//! `tidings token new | list | revoke`: the tokens that the doors of a peer ask for.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use tidings_tokens::{Scope, Token as Known, TokenFile};

use super::Context;
use crate::exit::{Code, Failure};
use crate::output::{self, Format, Table};

/// Makes, lists and revokes the tokens that a peer asks for.
///
/// They are in the file that `serve --tokens` names, as hashes. A running peer reads it again within a
/// second of a change. No peer need run.
#[derive(Args, Debug)]
pub(crate) struct Token {
    /// The token file.
    #[arg(long, global = true, value_name = "FILE", env = "TIDINGS_TOKENS")]
    tokens: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a token, print it once, and add its hash to the file.
    New {
        /// What the token is called in lists and errors.
        #[arg(long)]
        name: String,
        /// What it may do: read, write (and read), or admin (and both).
        #[arg(long, value_name = "read|write|admin")]
        scope: String,
        /// A matcher of the databases that it is for; repeatable. Without one it is for all, and for
        /// what is about the whole cluster.
        #[arg(long, value_name = "MATCHER")]
        path: Vec<String>,
    },
    /// List the tokens: names, scopes and paths.
    List,
    /// Take a token off the list: whoever has it is refused from then on.
    Revoke {
        /// Its name.
        name: String,
    },
}

impl Token {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let Some(file) = self.tokens else {
            return Err(Failure::usage(
                "which token file? Write --tokens FILE, or set TIDINGS_TOKENS; it is the one that serve is given",
            ));
        };
        let file = TokenFile::new(file);
        match self.action {
            Action::New { name, scope, path } => new(&file, &name, &scope, &path, context),
            Action::List => list(&file, context),
            Action::Revoke { name } => revoke(&file, &name),
        }
    }
}

fn new(
    file: &TokenFile,
    name: &str,
    scope: &str,
    paths: &[String],
    context: &Context,
) -> Result<(), Failure> {
    let scope: Scope =
        scope.parse().map_err(|error| Failure::usage(format!("--scope: {error}")))?;
    let text = file.change(|tokens| tokens.add(name, scope, paths))?;
    match context.format(Format::Raw) {
        format @ (Format::Json | Format::Jsonl) => {
            let document = json!({ "name": name, "scope": scope, "paths": paths, "token": text });
            output::document(format, &document)?;
        }
        Format::Raw | Format::Table => {
            output::print_line(format_args!("{text}"));
            eprintln!(
                "note: this is the only time that it is shown; {} has its hash",
                file.path().display()
            );
        }
    }
    Ok(())
}

fn list(file: &TokenFile, context: &Context) -> Result<(), Failure> {
    let format = context.format_of_documents()?;
    let tokens = file.load()?;
    let paths =
        |token: &Known| -> Vec<String> { token.paths().iter().map(ToString::to_string).collect() };
    if format != Format::Table {
        let documents = tokens.iter().map(
            |token| json!({ "name": token.name(), "scope": token.scope(), "paths": paths(token) }),
        );
        output::documents(format, &documents.collect::<Vec<_>>())?;
        return Ok(());
    }
    let mut table = Table::new(&["name", "scope", "paths"]);
    for token in tokens.iter() {
        let paths = paths(token);
        table.row([
            token.name().to_owned(),
            token.scope().to_string(),
            if paths.is_empty() { "(all)".into() } else { paths.join(", ") },
        ]);
    }
    table.print()?;
    Ok(())
}

fn revoke(file: &TokenFile, name: &str) -> Result<(), Failure> {
    // A file that is missing has no token to revoke, and is not made for it.
    file.load()?;
    if file.change(|tokens| Ok(tokens.revoke(name)))? {
        return Ok(());
    }
    let file = file.path().display();
    Err(Failure::new(Code::NotFound, format!("there is no token named {name:?} in {file}")))
}
